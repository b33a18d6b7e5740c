//! How the voters of an epoch followed from the founders, as this ledger's headers and certificates tell it.

use galen_types::proof::{EpochHandover, HandoverReason};
use galen_types::{BlockHeader, Call, Encoding, TransactionBody};
use galen_types::{SignedTransaction, recovery::Recovery};

use super::ProveError;
use crate::handover::{hands_over, next_epoch};
use crate::snapshot::{EpochEnd, EpochEndProof};
use crate::view::View;

/// Headers that are looked through for a recovery block after the last certified end of an epoch. Nobody could certify
/// them, so they are those of the moment in which the quorum was lost.
const UNCERTIFIED_HEADERS_MAX: usize = 10_000;

/// Most bytes of a recovery's transaction.
const RECOVERY_BYTES_MAX: usize = 512 << 10;

/// Whether a recovery kept this height, so that a certificate of the epoch after it stands for the one that nobody could
/// make.
pub(super) fn kept_by_recovery(handovers: &[EpochHandover], height: u64) -> bool {
    handovers
        .iter()
        .any(|handover| matches!(handover.reason, HandoverReason::Recovery(_)) && handover.last.height >= height)
}

impl From<EpochEnd> for EpochHandover {
    fn from(end: EpochEnd) -> Self {
        let EpochEnd { last, proof, next } = end;
        let reason = match proof {
            EpochEndProof::Certificate(certificate) => HandoverReason::Certificate(certificate.signatures),
            EpochEndProof::Recovery { recovery, .. } => HandoverReason::Recovery(*recovery),
        };
        Self { last, next, reason }
    }
}

impl View<'_> {
    /// How epoch 0 led to `epoch`, whose header at `height` is held.
    pub(super) fn handovers_to(&self, epoch: u64, height: u64) -> Result<Vec<EpochHandover>, ProveError> {
        // Where the ledger began with a snapshot, it keeps why that was believed.
        let ends = self.base_proof()?.map(|base| base.epoch_ends).unwrap_or_default();
        let ends = ends.into_iter().take_while(|end| end.next.epoch <= epoch);
        let mut handovers: Vec<EpochHandover> = ends.map(EpochHandover::from).collect();
        let mut current = handovers.last().map_or(0, |handover| handover.next.epoch);
        while current < epoch {
            let low = handovers.last().map_or(1, |handover| handover.last.height + 1);
            // An epoch that a recovery ended before its first block has no header: the recovery keeps the one before.
            let last = match self.last_of_epoch(current, low, height)? {
                Some(last) => last,
                None => match handovers.last() {
                    Some(before) => before.last.clone(),
                    None => return Err(self.absent(current)?),
                },
            };
            let handover = self.handover(current, last, height)?;
            current = handover.next.epoch;
            handovers.push(handover);
        }
        Ok(handovers)
    }

    fn absent(&self, epoch: u64) -> Result<ProveError, ProveError> {
        Ok(ProveError::HandoverAbsent { epoch, from: self.history_from()? })
    }

    /// The last header of an epoch, by bisection: epochs only rise with the height.
    fn last_of_epoch(&self, epoch: u64, mut low: u64, mut high: u64) -> Result<Option<BlockHeader>, ProveError> {
        let mut found = None;
        while low <= high {
            let middle = low + (high - low) / 2;
            match self.header(middle)? {
                Some(header) if header.epoch > epoch => high = middle - 1,
                Some(header) => {
                    low = middle + 1;
                    found = Some(header);
                }
                // Headers that are not held lie below those that are.
                None => low = middle + 1,
            }
        }
        let found = found.filter(|header: &BlockHeader| header.epoch == epoch);
        if found.is_none() && self.history_from()? > 1 {
            return Err(self.absent(epoch)?);
        }
        Ok(found)
    }

    /// How the epoch was left that ends with this header: by a certificate at exactly it, or by the next recovery.
    fn handover(&self, epoch: u64, last: BlockHeader, height: u64) -> Result<EpochHandover, ProveError> {
        if last.epoch == epoch
            && hands_over(&last)
            && let Some(certificate) = self.certificate(last.height)?
            && let Some(next) = self.voter_set(next_epoch(&last))?
        {
            return Ok(EpochHandover { last, next, reason: HandoverReason::Certificate(certificate.signatures) });
        }
        let mut before = last;
        for header in self.headers(before.height + 1, UNCERTIFIED_HEADERS_MAX)? {
            if header.height > height {
                break;
            }
            if header.voter_set == before.next_voter_set {
                before = header;
                continue;
            }
            let recovery = self.recovery_at(&header)?;
            let (Some(recovery), Some(next)) = (recovery, self.voter_set(header.epoch)?) else { break };
            return Ok(EpochHandover { last: before, next, reason: HandoverReason::Recovery(recovery) });
        }
        Err(self.absent(epoch)?)
    }

    /// The recovery that a recovery block holds; `None` where its body is not held.
    fn recovery_at(&self, header: &BlockHeader) -> Result<Option<Recovery>, ProveError> {
        let Some(block) = self.block(header.height)? else {
            return match self.absence(header.height)? {
                Some(absence) => Err(absence.into()),
                None => Ok(None),
            };
        };
        let body = block.transactions.first().and_then(|bytes| {
            let signed = SignedTransaction::decode(bytes, RECOVERY_BYTES_MAX).ok()?;
            TransactionBody::decode(&signed.body, RECOVERY_BYTES_MAX).ok()
        });
        Ok(match body.map(|body| body.call) {
            Some(Call::Recover { recovery }) => Some(recovery.recovery),
            _ => None,
        })
    }
}
