//! What a node gives peers that lack much, as the real one's `runtime::archive` does: snapshots of its ledger, taken when a
//! peer asks and the newest is old, and the past.

use galen_chain::snapshot::{SnapshotAnswer, SnapshotOffer, SnapshotRequest};
use galen_ledger::snapshot::{self, Part, PartDigest, SnapshotSource};
use galen_ledger::{LedgerError, SnapshotError, StateWrite};
use galen_types::hash::Context;

use super::*;
use crate::ledger_world::Forgery;

/// Snapshots kept, as the node keeps them.
const KEPT: usize = 2;
/// Most bytes of a part that is decoded here.
const PART_BYTES_MAX: usize = 1 << 20;

impl Node {
    /// A folder beside its ledger's.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.folder.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// Where its snapshots are, those that it takes and the one that it fetches.
    pub(super) fn snapshots_folder(&self) -> PathBuf {
        self.beside("-snapshots")
    }

    /// Opens the snapshots that its disk holds.
    pub(super) fn open_snapshots(&self) -> Vec<Arc<SnapshotSource>> {
        let folder = self.snapshots_folder();
        if self.snapshots.is_none() || !folder.exists() {
            return Vec::new();
        }
        snapshot::tidy(&folder).unwrap();
        let heights = snapshot::list(&folder).unwrap();
        heights.into_iter().map(|height| Arc::new(snapshot::open(&folder, height).unwrap())).collect()
    }

    /// Answers a peer from its snapshots; takes a new one afterwards where the newest is too old.
    /// `None` where that meets damage of the ledger.
    pub(super) fn answer_snapshot(&mut self, request: &SnapshotRequest) -> Option<SnapshotAnswer> {
        let (Some(running), Some(rules)) = (&self.running, self.snapshots) else { return None };
        let ledger = Arc::clone(running.executor.ledger());
        let answer = SnapshotAnswer::to_request(request, &running.sources, &ledger);
        let answer = self.survive(answer.map_err(ledger_error))?;
        let answer = match self.forges {
            Some(forgery) => self.forged(forgery, request, answer),
            None => answer,
        };
        let running = self.running.as_mut().unwrap();
        let newest = running.sources.iter().map(|source| source.height()).max().unwrap_or(0);
        let certified = ledger.certified_height();
        let is_outdated = certified > 0 && (newest == 0 || certified.saturating_sub(newest) > rules.age_blocks);
        if is_outdated && *request == SnapshotRequest::Offer {
            let folder = self.snapshots_folder();
            let taken = snapshot::take_in_parts(&ledger, &folder, rules.piece_bytes);
            let Some(taken) = self.survive(taken.map_err(ledger_error)) else { return Some(answer) };
            let source = Arc::new(SnapshotSource::open(&taken.path).unwrap());
            let sources = &mut self.running.as_mut().unwrap().sources;
            sources.retain(|held| held.height() != source.height());
            sources.push(source);
            let surplus = sources.len().saturating_sub(KEPT);
            sources.drain(..surplus);
            snapshot::remove_old(&folder, KEPT).unwrap();
            self.seen.taken += 1;
        }
        Some(answer)
    }

    /// What a node says that lies about its state: the last row is another one.
    fn forged(&self, forgery: Forgery, request: &SnapshotRequest, answer: SnapshotAnswer) -> SnapshotAnswer {
        let sources = &self.running.as_ref().unwrap().sources;
        match answer {
            SnapshotAnswer::Offer(offer) => {
                let source = sources.iter().find(|source| source.height() == offer.header().height).unwrap();
                SnapshotAnswer::Offer(Box::new(self.forged_offer(forgery, *offer, source)))
            }
            SnapshotAnswer::Part(bytes) => {
                let SnapshotRequest::Part { height, index } = request else { return SnapshotAnswer::Part(bytes) };
                let source = sources.iter().find(|source| source.height() == *height).unwrap();
                let is_last = *index as usize + 1 == source.manifest().parts.len();
                SnapshotAnswer::Part(if is_last { forged_part(&bytes).encode() } else { bytes })
            }
            SnapshotAnswer::Nothing => SnapshotAnswer::Nothing,
        }
    }

    fn forged_offer(&self, forgery: Forgery, mut offer: SnapshotOffer, source: &SnapshotSource) -> SnapshotOffer {
        let last = offer.manifest.parts.len() - 1;
        let bytes = forged_part(&source.part(last as u32).unwrap().unwrap()).encode();
        let digest = &mut offer.manifest.parts[last];
        *digest = PartDigest { hash: Hash::of(Context::SnapshotPart, &bytes), ..*digest };
        if forgery == Forgery::Header {
            let mut writes: Vec<StateWrite> = Vec::new();
            for index in 0..=last {
                let bytes = source.part(index as u32).unwrap().unwrap();
                let part =
                    if index == last { forged_part(&bytes) } else { Part::decode(&bytes, PART_BYTES_MAX).unwrap() };
                writes.extend(part.rows.into_iter().map(|(key, value)| (key, Some(value))));
            }
            let header = &mut offer.manifest.header;
            header.state_root = galen_ledger::state_root_of(&writes, self.genesis.state_bucket_bits).unwrap();
            // The signatures stay those of another header.
            offer.trail.clear();
            (offer.certificate.height, offer.certificate.header) = (header.height, header.hash());
        }
        offer
    }
}

fn ledger_error(error: SnapshotError) -> LedgerError {
    match error {
        SnapshotError::Ledger(error) => error,
        error => panic!("{error}"),
    }
}

fn forged_part(bytes: &[u8]) -> Part {
    let mut part = Part::decode(bytes, PART_BYTES_MAX).unwrap();
    let (_, value) = part.rows.last_mut().unwrap();
    if let Some(byte) = value.last_mut() {
        *byte ^= 1;
    }
    part
}
