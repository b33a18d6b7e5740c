//! What must hold of a ledger that came by snapshot: it begins with a block of the chain that others hold certified, and its
//! rows are that block's state.

use galen_ledger::StateWrite;

use crate::node::Node;
use crate::oracle::Oracle;

/// Rows read at a time.
const ROWS: usize = 1_000;

impl Oracle {
    /// Looks at the first block of a node's ledger, where that is above what the node has shown so far.
    pub(crate) fn look_at_base(&mut self, node: &Node, shown: u64) {
        let ledger = node.executor().ledger();
        let view = ledger.view().unwrap();
        let base = view.base_height().unwrap();
        if base <= shown {
            return;
        }
        let name = &node.name;
        let header = view.header(base).unwrap().unwrap();
        let Some(known) = self.header_at(base).cloned() else {
            panic!("{name} begins at height {base}, where nobody has shown a block")
        };
        assert_eq!(header.hash(), known.hash(), "{name} begins with another block at height {base}");
        let certified = self.certified_height();
        assert!(base <= certified, "{name} begins at height {base}, others hold blocks certified up to {certified}");
        // The certificate that it was believed for, over that block or one after it of the same epoch.
        let certificate = view.base_proof().unwrap().unwrap().certificate;
        let covering = self.header_at(certificate.height).filter(|covering| covering.hash() == certificate.header);
        let Some(covering) = covering.filter(|covering| covering.height >= base && covering.epoch == known.epoch)
        else {
            panic!(
                "{name} believes its snapshot for a certificate of a block at height {} that nobody has",
                certificate.height
            )
        };
        let valid = certificate.verify(&covering.genesis, self.voters_of(covering.epoch).unwrap());
        assert!(valid.is_ok(), "{name} believes its snapshot for a certificate that is none: {valid:?}");
        self.checked("a ledger that came by snapshot begins with a certified block of the chain");
        if view.height() > base {
            return;
        }
        let mut rows: Vec<StateWrite> = Vec::new();
        loop {
            let after = rows.last().map(|(key, _)| key.clone());
            let some = view.state_scan(&[], after.as_deref(), ROWS).unwrap();
            let is_last = some.len() < ROWS;
            rows.extend(some.into_iter().map(|(key, value)| (key, Some(value))));
            if is_last {
                break;
            }
        }
        let root = galen_ledger::state_root_of(&rows, ledger.state_bucket_bits()).unwrap();
        assert_eq!(root, known.state_root, "{name}: the rows of its snapshot are not the state after height {base}");
        self.checked("the rows of a snapshot are the state of its block");
    }
}
