//! What a replica tells peers that catch up. Reads the ledger only, so it can run beside execution.

use galen_ledger::{Ledger, LedgerError};
use galen_types::Encoding;

use crate::limits;
use crate::sync::{SyncAnswer, SyncRequest};

/// Header signatures in one answer.
const SIGNATURES_PER_ANSWER: u64 = 256;

impl SyncAnswer {
    /// The answer to a peer's request, bounded in size. Blocks end at a height that has a certificate of its own.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn to_request(request: &SyncRequest, ledger: &Ledger) -> Result<Self, LedgerError> {
        match request {
            SyncRequest::Blocks { from } => blocks(ledger, (*from).max(1)),
            SyncRequest::Signatures { from } => {
                let view = ledger.view()?;
                let tip = view.height();
                let mut signatures = Vec::new();
                for height in *from..=tip.min(from.saturating_add(SIGNATURES_PER_ANSWER / 8)) {
                    signatures.extend(view.signatures(height)?);
                }
                Ok(Self::Signatures { signatures })
            }
        }
    }
}

fn blocks(ledger: &Ledger, from: u64) -> Result<SyncAnswer, LedgerError> {
    let certified_height = ledger.certified_height();
    let view = ledger.view()?;
    let (mut blocks, mut size, mut last) = (Vec::new(), 0, None);
    let mut height = from;
    while height <= certified_height {
        let Some(certificate) = view.certificate_covering(height)? else { break };
        // A run ends only where a certificate stands; it is taken whole or not at all.
        let mut run = Vec::new();
        for height in height..=certificate.height {
            let Some(block) = view.block(height)? else { break };
            let bytes = block.encode();
            size += bytes.len();
            run.push(bytes);
        }
        if !blocks.is_empty() && size > limits::SYNC_BYTES_MAX {
            break;
        }
        blocks.append(&mut run);
        height = certificate.height + 1;
        last = Some(certificate);
    }
    Ok(SyncAnswer::Blocks { blocks, certificate: last, certified_height })
}
