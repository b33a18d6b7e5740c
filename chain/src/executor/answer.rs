//! What a replica tells peers that catch up. Reads the ledger only, so it can run beside execution.

use galen_ledger::{Ledger, LedgerError, View};
use galen_types::Encoding;

use crate::limits;
use crate::sync::{SyncAnswer, SyncRequest};

impl SyncAnswer {
    /// The answer to a peer's request, bounded in size.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub fn to_request(request: &SyncRequest, ledger: &Ledger) -> Result<Self, LedgerError> {
        let view = ledger.view()?;
        // Read after the view: it may be ahead of it, and what it names may not be in it yet.
        let certified_height = ledger.certified_height().min(view.height());
        match request {
            SyncRequest::Blocks { from } => blocks(&view, (*from).max(1), certified_height),
            SyncRequest::Signatures { from } => signatures(&view, (*from).max(1), certified_height),
        }
    }
}

fn blocks(view: &View<'_>, from: u64, certified_height: u64) -> Result<SyncAnswer, LedgerError> {
    let (mut blocks, mut size, mut next) = (Vec::new(), 0, from);
    while next <= certified_height && size < limits::SYNC_BYTES_MAX {
        let Some(block) = view.block(next)? else { break };
        let bytes = block.encode();
        size += bytes.len();
        blocks.push(bytes);
        next += 1;
    }
    // Where the next certificate is too far away, the run ends at the last one within it.
    while !blocks.is_empty() {
        let last = next - 1;
        if let Some(certificate) = view.certificate_covering(last)?
            && let missing = usize::try_from(certificate.height - last).unwrap_or(usize::MAX)
            && missing <= limits::SYNC_TRAIL_HEADERS_MAX
        {
            let trail = if missing == 0 { Vec::new() } else { view.headers(next, missing)? };
            return Ok(SyncAnswer::Blocks { blocks, trail, certificate: Some(certificate) });
        }
        blocks.pop();
        next = last;
    }
    Ok(SyncAnswer::Blocks { blocks, trail: Vec::new(), certificate: None })
}

fn signatures(view: &View<'_>, from: u64, certified_height: u64) -> Result<SyncAnswer, LedgerError> {
    let to = view.height().min(from.saturating_add(limits::SYNC_SIGNATURE_HEIGHTS_MAX - 1));
    let mut signatures = Vec::new();
    for height in from..=to {
        signatures.extend(view.signatures(height)?);
    }
    let mut certificates: Vec<_> = view.certificate_covering(from)?.into_iter().collect();
    if certificates.first().is_some_and(|lowest| lowest.height < certified_height) {
        certificates.extend(view.certificate(certified_height)?);
    }
    Ok(SyncAnswer::Signatures { signatures, certificates })
}
