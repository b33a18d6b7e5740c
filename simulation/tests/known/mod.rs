//! Which seed finds which bug.

use galen_planted::Bug;
use galen_simulation::Scenario::{self, Disks, Faults, Liars, Members, Recoveries};

/// Bug, scenario, steps, and the first seed from 1 on that finds it.
pub(crate) const KNOWN: &[(Bug, Scenario, u64, u64)] = &[
    (Bug::SyncLeftOut, Faults, 80, 1),
    (Bug::SentBeforeStored, Faults, 80, 2),
    (Bug::AppliedFromCommit, Faults, 80, 4),
    (Bug::VoteNotStored, Faults, 80, 1),
    (Bug::TornTailKept, Faults, 80, 16),
    (Bug::DamageTakenForTorn, Disks, 120, 6),
    (Bug::SnapshotUnchecked, Faults, 80, 27),
    (Bug::GateOpenedUnasked, Disks, 150, 2),
    (Bug::CertificateBelowQuorum, Faults, 80, 1),
    (Bug::CertificateUnverified, Liars, 80, 5),
    (Bug::DeviantSignatureCounted, Liars, 80, 1),
    (Bug::WrongEpochsVoters, Members, 120, 1),
    (Bug::OwnSignatureUnstored, Faults, 80, 1),
    (Bug::OtherHeaderSigned, Faults, 80, 1),
    (Bug::LogCutTooFar, Faults, 80, 3),
    (Bug::CacheByIdAlone, Liars, 120, 5),
    (Bug::PromotedUnnamed, Members, 120, 4),
    (Bug::RecoveryUnsigned, Recoveries, 100, 1),
];
