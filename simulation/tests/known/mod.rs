//! Which seed finds which bug.

use galen_planted::Bug;
use galen_simulation::Scenario::{self, Disks, Faults, Liars, Members, Recoveries};

/// Bug, scenario, steps, and the first seed from 1 on that finds it.
pub(crate) const KNOWN: &[(Bug, Scenario, u64, u64)] = &[
    (Bug::SyncLeftOut, Faults, 80, 1),
    (Bug::SentBeforeStored, Faults, 80, 2),
    (Bug::AppliedFromCommit, Faults, 80, 1),
    (Bug::VoteNotStored, Faults, 80, 1),
    (Bug::HardStateFirst, Faults, 80, 1),
    (Bug::TornTailKept, Faults, 80, 1),
    (Bug::DamageTakenForTorn, Disks, 120, 4),
    (Bug::SnapshotUnchecked, Faults, 80, 1),
    (Bug::VoteFloorLeftOut, Disks, 120, 1),
    (Bug::GateOpenedUnasked, Disks, 120, 1),
    (Bug::CertificateBelowQuorum, Faults, 80, 1),
    (Bug::CertificateUnverified, Liars, 80, 1),
    (Bug::DeviantSignatureCounted, Liars, 80, 1),
    (Bug::WrongEpochsVoters, Members, 120, 1),
    (Bug::EpochEndPassed, Members, 120, 1),
    (Bug::OwnSignatureUnstored, Faults, 80, 1),
    (Bug::OtherHeaderSigned, Faults, 80, 1),
    (Bug::LogCutTooFar, Faults, 80, 1),
    (Bug::UncertifiedFollowed, Faults, 80, 1),
    (Bug::CacheByIdAlone, Faults, 80, 7),
    (Bug::DuplicateAccepted, Faults, 80, 1),
    (Bug::ReplayAfterRestart, Faults, 80, 1),
    (Bug::ExpiredAccepted, Faults, 80, 1),
    (Bug::BlockTimeUnbounded, Faults, 80, 1),
    (Bug::TimeGoesBack, Faults, 80, 1),
    (Bug::GrantAtWrongHeight, Faults, 80, 1),
    (Bug::PromotedUnnamed, Members, 120, 1),
    (Bug::GroupBeforeCertificate, Members, 120, 1),
    (Bug::RecoveryUnsigned, Recoveries, 120, 1),
    (Bug::WipedDiskOldNumber, Disks, 120, 1),
    (Bug::WaitingForgotten, Faults, 80, 1),
];
