//! How one voter set handed over to the next: what a light client, or a node that takes a snapshot, follows from the
//! genesis (or a set that it knows) to the voters of now.

use galen_ledger::snapshot::EpochEnd;
use galen_types::recovery::Recovery;
use galen_types::{BlockHeader, Certificate, Hash, VoterSet};
use wincode::{SchemaRead, SchemaWrite};

use super::SyncError;
use crate::recovery::HeldRecoveries;

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Handover {
    /// The last header of the epoch; where a recovery ended it, the last that the recovery keeps.
    pub last: BlockHeader,
    /// Why the next voters are believed.
    pub proof: HandoverProof,
    /// The voters of the next height.
    pub next: VoterSet,
}

/// Why the voters of an epoch are believed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
#[wincode(tag_encoding = "u8")]
pub enum HandoverProof {
    /// The old voters certified the last header, which names the new ones.
    #[wincode(tag = 1)]
    Certificate(Certificate),
    /// A recovery, for those who hold it.
    #[wincode(tag = 2)]
    Recovery {
        /// The recovery block's header.
        header: Box<BlockHeader>,
        /// What the remaining members signed: it names the voters with their keys.
        recovery: Box<Recovery>,
    },
}

/// Follows handovers from a voter set that is known (the genesis's, or one verified before) and gives the last set that
/// they lead to. Those of epochs before the known set's are passed over. `recoveries` are those that the caller holds.
///
/// # Errors
/// [`SyncError`] naming the first handover that is not believed.
pub fn verify_handovers(
    genesis: &Hash,
    known: &VoterSet,
    handovers: &[Handover],
    recoveries: &HeldRecoveries,
) -> Result<VoterSet, SyncError> {
    let mut current = known;
    let mut height = 0;
    for handover in handovers {
        let last = &handover.last;
        if handover.next.epoch <= current.epoch {
            continue;
        }
        let refused = |cause| SyncError::Handover { epoch: last.epoch, cause };
        if last.genesis != *genesis {
            return Err(refused("it is of another chain"));
        }
        // What a recovery keeps may be the very header by which the epoch before it ended.
        let recovery = matches!(handover.proof, HandoverProof::Recovery { .. });
        if last.height < height || (last.height == height && !recovery) {
            return Err(refused("its height does not follow"));
        }
        height = last.height;
        match &handover.proof {
            HandoverProof::Certificate(certificate) => {
                follows(current, handover, certificate, genesis).map_err(refused)?;
            }
            HandoverProof::Recovery { header, recovery } => {
                if !recoveries.holds(&recovery.hash()) {
                    return Err(refused("it is a recovery that this node does not hold"));
                }
                let end = EpochEnd::from(handover.clone());
                end.check_recovery(current, header, recovery).map_err(refused)?;
            }
        }
        current = &handover.next;
    }
    Ok(current.clone())
}

/// The old voters handed over.
fn follows(
    current: &VoterSet,
    handover: &Handover,
    certificate: &Certificate,
    genesis: &Hash,
) -> Result<(), &'static str> {
    let Handover { last, next, .. } = handover;
    if last.epoch != current.epoch || last.voter_set != current.hash() {
        return Err("its voters are not those of the epoch");
    }
    if next.epoch != last.epoch + 1 || next.hash() != last.next_voter_set || next.lineage != current.lineage {
        return Err("its header names other voters for the next epoch");
    }
    if (certificate.height, certificate.header) != (last.height, last.hash()) {
        return Err("its certificate is of another header");
    }
    certificate.verify(genesis, current).map_err(|_| "its certificate does not hold")
}
