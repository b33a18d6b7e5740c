//! Which seed finds which bug.

use galen_planted::Bug;
use galen_simulation::Scenario::{self, Disks, Faults, Liars, Members, Moments, Recoveries, Snapshots};

/// Bug, scenario, steps, and the seed from which on the gate looks for it.
pub(crate) const KNOWN: &[(Bug, Scenario, u64, u64)] = &[
    (Bug::SyncLeftOut, Faults, 80, 1),
    (Bug::SentBeforeStored, Faults, 80, 2),
    (Bug::AppliedFromCommit, Faults, 80, 6),
    (Bug::VoteNotStored, Faults, 80, 1),
    (Bug::HardStateFirst, Faults, 80, 68),
    (Bug::TornTailKept, Faults, 80, 14),
    (Bug::DamageTakenForTorn, Disks, 120, 3),
    (Bug::SnapshotUnchecked, Faults, 80, 12),
    (Bug::VoteFloorLeftOut, Moments, 200, 19),
    (Bug::GateOpenedUnasked, Disks, 150, 1),
    (Bug::CertificateBelowQuorum, Faults, 80, 1),
    (Bug::CertificateUnverified, Liars, 80, 2),
    (Bug::DeviantSignatureCounted, Liars, 80, 1),
    (Bug::WrongEpochsVoters, Members, 120, 1),
    (Bug::EpochEndPassed, Members, 120, 5),
    (Bug::OwnSignatureUnstored, Faults, 80, 1),
    (Bug::OtherHeaderSigned, Faults, 80, 2),
    (Bug::LogCutTooFar, Faults, 80, 3),
    (Bug::UncertifiedFollowed, Faults, 80, 3),
    (Bug::SnapshotRootUnverified, Snapshots, 120, 2),
    (Bug::SnapshotUncertified, Snapshots, 120, 9),
    (Bug::SnapshotPieceUnchecked, Snapshots, 120, 2),
    (Bug::FailedWritePassed, Snapshots, 120, 2),
    (Bug::CacheByIdAlone, Liars, 120, 4),
    (Bug::DuplicateAccepted, Faults, 80, 2),
    (Bug::ReplayAfterRestart, Faults, 80, 6),
    (Bug::ExpiredAccepted, Faults, 80, 1),
    (Bug::BlockTimeUnbounded, Moments, 200, 2),
    (Bug::TimeGoesBack, Faults, 80, 2),
    (Bug::GrantAtWrongHeight, Liars, 120, 4),
    (Bug::PromotedUnnamed, Moments, 200, 2),
    (Bug::GroupBeforeCertificate, Moments, 200, 13),
    (Bug::RecoveryUnsigned, Recoveries, 100, 1),
    (Bug::StaleVerdictIgnored, Moments, 200, 22),
    (Bug::ReadUnconfirmed, Moments, 200, 8),
    (Bug::WaitingForgotten, Faults, 80, 1),
];
