//! What goes wrong with ledgers in a seed: fetched by snapshot from peers that lie and crash, writes that fail, rows that
//! rot.

use crate::consortium::Random;

/// How ledgers come to nodes that lack much, and what goes wrong on the way; rates in per mille.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LedgerWorld {
    /// How nodes catch up by snapshot; `None` where they follow by blocks alone.
    pub(crate) snapshots: Option<SnapshotRules>,
    /// Answers with a piece, an offer or the past that are altered on their way.
    pub(crate) altered: usize,
    /// Pieces that are the last thing that their source says.
    pub(crate) source_crash: usize,
    /// Pieces that rot on the receiver's disk.
    pub(crate) piece_rots: usize,
    /// Installations that are killed on the way.
    pub(crate) install_killed: usize,
    /// One node offers snapshots of a state that nobody computed.
    pub(crate) forgery: Option<Forgery>,
    /// Steps in which a node that does not order loses its disk.
    pub(crate) set_up_anew: usize,
    /// Steps in which a write of a ledger is made to fail.
    pub(crate) write_error: usize,
    /// Steps in which rows of a stopped node's ledger rot.
    pub(crate) rot: usize,
}

/// How a node catches up by snapshot, as its configuration says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotRules {
    /// Blocks that it lies behind before it fetches one.
    pub(crate) lag_blocks: u64,
    /// Blocks after which the newest is too old to be given out.
    pub(crate) age_blocks: u64,
    /// Bytes of a piece.
    pub(crate) piece_bytes: usize,
    /// Whether the chain before the snapshot is fetched too.
    pub(crate) fills_past: bool,
}

/// What is wrong with the snapshots that a node offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// The header is the certified one, the rows are others.
    Rows,
    /// The header names the forged rows' root, and no quorum signed it.
    Header,
}

impl LedgerWorld {
    /// Ledgers come by blocks, and nothing goes wrong with them.
    pub(crate) fn by_blocks() -> Self {
        Self {
            snapshots: None,
            altered: 0,
            source_crash: 0,
            piece_rots: 0,
            install_killed: 0,
            forgery: None,
            set_up_anew: 0,
            write_error: 0,
            rot: 0,
        }
    }

    /// Drawn by a generator of its own: the other rates of the seed stay what they are.
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x6c65_6467_6572_7300);
        let mut pick = |choices: [usize; 3]| choices[random.below(3)];
        let rules = SnapshotRules {
            lag_blocks: pick([4, 12, 30]) as u64,
            age_blocks: pick([2, 8, 20]) as u64,
            piece_bytes: pick([400, 1_500, 6_000]),
            fills_past: pick([0, 1, 1]) == 1,
        };
        Self {
            snapshots: Some(rules),
            altered: pick([0, 50, 250]),
            source_crash: pick([0, 20, 80]),
            piece_rots: pick([0, 20, 100]),
            install_killed: pick([0, 300, 700]),
            forgery: [None, Some(Forgery::Rows), Some(Forgery::Header)][pick([0, 1, 2])],
            set_up_anew: pick([5, 10, 20]),
            write_error: pick([0, 5, 15]),
            rot: pick([0, 10, 20]),
        }
    }

    /// What stays of it when all faults cease: whoever lies goes on with it.
    pub(crate) fn healed(self) -> Self {
        Self { snapshots: self.snapshots, forgery: self.forgery, ..Self::by_blocks() }
    }
}
