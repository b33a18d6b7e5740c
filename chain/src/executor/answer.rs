//! What a replica tells peers that catch up. Reads the ledger only, so it can run beside execution.

use galen_contracts::keys;
use galen_ledger::snapshot::EpochEnd;
use galen_ledger::{Ledger, LedgerError, View};
use galen_types::recovery::Recovery;
use galen_types::{BlockHeader, Certificate, Encoding, Hash};

use crate::limits;
use crate::recovery::RECOVERY_BYTES_MAX;
use crate::sync::{Handover, HandoverProof, SyncAnswer, SyncRequest};

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
            SyncRequest::Handovers { from_epoch } => handovers(&view, *from_epoch, certified_height),
        }
    }
}

/// Blocks of one epoch, up to its end. What a recovery keeps, and its block, are given before they are certified: the
/// nodes that are to certify them may be those that ask.
fn blocks(view: &View<'_>, from: u64, certified_height: u64) -> Result<SyncAnswer, LedgerError> {
    let recovered = recoveries(view)?.last().map_or(0, |last| last.height.saturating_add(1));
    let to = certified_height.max(recovered.min(view.height()));
    #[cfg(feature = "planted")]
    let planted = galen_planted::is_on(galen_planted::Bug::UncertifiedFollowed);
    #[cfg(feature = "planted")]
    let to = if planted { view.height() } else { to };
    let (mut run, mut encoded): (Vec<BlockHeader>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let mut size = 0;
    for height in from..=to {
        if size >= limits::SYNC_BYTES_MAX {
            break;
        }
        let Some(block) = view.block(height)? else { break };
        // A recovery begins here.
        if run.last().is_some_and(|before| before.next_voter_set != block.header.voter_set) {
            break;
        }
        let ends = galen_ledger::hands_over(&block.header);
        let bytes = block.encode();
        size += bytes.len();
        encoded.push(bytes);
        run.push(block.header);
        if ends {
            break;
        }
    }
    #[cfg(feature = "planted")]
    if planted {
        return Ok(SyncAnswer::Blocks { blocks: encoded, trail: Vec::new(), certificate: None });
    }
    let Some((length, trail, certificate)) = closing(view, &run)? else {
        return Ok(SyncAnswer::Blocks { blocks: Vec::new(), trail: Vec::new(), certificate: None });
    };
    encoded.truncate(length);
    Ok(SyncAnswer::Blocks { blocks: encoded, trail, certificate })
}

/// The recoveries that the chain went on by, in the order of the heights that they keep.
fn recoveries(view: &View<'_>) -> Result<Vec<Recovery>, LedgerError> {
    let get = |key: &[u8]| view.state_get(key);
    let mut next = match get(keys::last_recovery().as_bytes())? {
        Some(bytes) => Hash::decode(&bytes, 32).unwrap_or(Hash::ZERO),
        None => Hash::ZERO,
    };
    let mut found = Vec::new();
    while let Some(bytes) = get(keys::recovery(&next).as_bytes())? {
        let Ok(recovery) = Recovery::decode(&bytes, RECOVERY_BYTES_MAX) else { break };
        next = recovery.lineage;
        found.push(recovery);
    }
    found.reverse();
    Ok(found)
}

/// How many blocks of a run are given, and what closes them: the headers up to the certificate that covers them, or up to
/// the header that a recovery kept; nothing for a recovery's own block.
type Closing = (usize, Vec<BlockHeader>, Option<Certificate>);

/// What closes a run, or its beginning; `None` where that is too far away. Where a recovery took the certificate's place,
/// only what no certificate covers is left to those who hold the recovery.
fn closing(view: &View<'_>, run: &[BlockHeader]) -> Result<Option<Closing>, LedgerError> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(None) };
    let trail = |to: u64| -> Result<Option<Vec<BlockHeader>>, LedgerError> {
        let length = usize::try_from(to - last.height).unwrap_or(usize::MAX);
        if length > limits::SYNC_TRAIL_HEADERS_MAX {
            return Ok(None);
        }
        if length == 0 { Ok(Some(Vec::new())) } else { view.headers(last.height + 1, length).map(Some) }
    };
    let certificate = view.certificate_covering(last.height)?;
    if let Some(certificate) = certificate
        // A certificate of a later epoch covers nothing of this one.
        && view.header(certificate.height)?.is_some_and(|header| header.epoch == last.epoch)
        && let Some(trail) = trail(certificate.height)?
    {
        return Ok(Some((run.len(), trail, Some(certificate))));
    }
    let mut within = None;
    let mut height = first.height;
    while let Some(certificate) = view.certificate_covering(height)?.filter(|found| found.height <= last.height) {
        height = certificate.height + 1;
        within = Some(certificate);
    }
    if let Some(certificate) = within {
        let length = run.partition_point(|header| header.height <= certificate.height);
        return Ok(Some((length, Vec::new(), Some(certificate))));
    }
    let recoveries = recoveries(view)?;
    if let Some(recovery) = recoveries.iter().find(|recovery| recovery.height >= last.height)
        && let Some(trail) = trail(recovery.height)?
    {
        return Ok(Some((run.len(), trail, None)));
    }
    let recovers = recoveries.iter().any(|recovery| recovery.height.checked_add(1) == Some(first.height));
    Ok(recovers.then_some((1, Vec::new(), None)))
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

fn handovers(view: &View<'_>, from_epoch: u64, certified_height: u64) -> Result<SyncAnswer, LedgerError> {
    let (mut handovers, mut size) = (Vec::new(), 0);
    let newest = view.header(certified_height)?.map_or(0, |header| galen_ledger::next_epoch(&header));
    let mut followed = Followed { epoch: from_epoch, height: 0 };
    // Of epochs whose headers are not held here, because the ledger began with a snapshot.
    let first = view.header(view.history_from()?)?;
    let before = match first.filter(|first| first.height > 1 && from_epoch <= first.epoch) {
        Some(first) => view.base_proof()?.map(|proof| (first, proof)),
        None => None,
    };
    if let Some((first, proof)) = before {
        let lacking = |end: &EpochEnd| end.next.epoch > from_epoch && end.last.height < first.height;
        for end in proof.epoch_ends.into_iter().filter(lacking) {
            if handovers.len() >= limits::HANDOVERS_MAX || size >= limits::SYNC_BYTES_MAX {
                return Ok(SyncAnswer::Handovers { handovers });
            }
            followed = Followed { epoch: end.next.epoch, height: end.last.height };
            let handover = Handover::from(end);
            size += handover.encode().len();
            handovers.push(handover);
        }
    }
    let recoveries = recoveries(view)?;
    while followed.epoch < newest && handovers.len() < limits::HANDOVERS_MAX && size < limits::SYNC_BYTES_MAX {
        let Some(handover) = handover(view, followed, certified_height, &recoveries)? else { break };
        followed = Followed { epoch: handover.next.epoch, height: handover.last.height };
        size += handover.encode().len();
        handovers.push(handover);
    }
    Ok(SyncAnswer::Handovers { handovers })
}

/// How far handovers were followed.
#[derive(Debug, Clone, Copy)]
struct Followed {
    /// The epoch that they led to.
    epoch: u64,
    /// The last height before it.
    height: u64,
}

/// The last header of an epoch, by bisection: epochs only rise with the height. Of an earlier one where the epoch has no
/// header: a recovery came before its first block.
fn last_of_epoch(view: &View<'_>, epoch: u64, mut low: u64, mut high: u64) -> Result<Option<BlockHeader>, LedgerError> {
    let mut found = None;
    while low <= high {
        let middle = low + (high - low) / 2;
        // Headers that are not held yet lie below those that are.
        match view.header(middle)? {
            Some(header) if header.epoch > epoch => high = middle - 1,
            Some(header) => {
                low = middle + 1;
                found = Some(header);
            }
            None => low = middle + 1,
        }
    }
    Ok(found)
}

/// How an epoch was left: by a certificate at exactly its last header, or by the next recovery.
fn handover(
    view: &View<'_>,
    followed: Followed,
    certified_height: u64,
    recoveries: &[Recovery],
) -> Result<Option<Handover>, LedgerError> {
    let last = last_of_epoch(view, followed.epoch, followed.height + 1, certified_height)?;
    if let Some(last) = &last
        && last.epoch == followed.epoch
        && galen_ledger::hands_over(last)
        && let Some(certificate) = view.certificate(last.height)?
        && let Some(next) = view.voter_set(galen_ledger::next_epoch(last))?
    {
        let proof = HandoverProof::Certificate(certificate);
        return Ok(Some(Handover { last: last.clone(), proof, next }));
    }
    let from = last.map_or(followed.height, |last| last.height);
    let Some(recovery) = recoveries.iter().find(|recovery| recovery.height >= from) else { return Ok(None) };
    if recovery.height >= certified_height {
        return Ok(None);
    }
    let (last, header) = (view.header(recovery.height)?, view.header(recovery.height + 1)?);
    let (Some(last), Some(header)) = (last, header) else { return Ok(None) };
    let next = recovery.voter_set(header.epoch);
    let proof = HandoverProof::Recovery { header: Box::new(header), recovery: Box::new(recovery.clone()) };
    Ok(Some(Handover { last, proof, next }))
}
