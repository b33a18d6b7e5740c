//! Which seed finds which bug.

use galen_planted::Bug;
use galen_simulation::Scenario::{self, Disks, Faults, Liars, Members, Moments, Recoveries};

/// Bug, scenario, steps, and the seed from which on the gate looks for it: those that most seeds find. Rarer ones stand in
/// the table of `README.md` alone.
pub(crate) const KNOWN: &[(Bug, Scenario, u64, u64)] = &[
    (Bug::SyncLeftOut, Faults, 80, 1),
    (Bug::SentBeforeStored, Faults, 80, 2),
    (Bug::AppliedFromCommit, Faults, 80, 12),
    (Bug::VoteNotStored, Faults, 80, 1),
    (Bug::DamageTakenForTorn, Disks, 120, 8),
    (Bug::GateOpenedUnasked, Disks, 150, 2),
    (Bug::CertificateBelowQuorum, Faults, 80, 1),
    (Bug::CertificateUnverified, Liars, 80, 5),
    (Bug::DeviantSignatureCounted, Liars, 80, 1),
    (Bug::WrongEpochsVoters, Members, 120, 2),
    (Bug::EpochEndPassed, Members, 120, 8),
    (Bug::OwnSignatureUnstored, Faults, 80, 1),
    (Bug::OtherHeaderSigned, Faults, 80, 1),
    (Bug::LogCutTooFar, Faults, 80, 3),
    (Bug::UncertifiedFollowed, Faults, 80, 7),
    (Bug::CacheByIdAlone, Liars, 120, 5),
    (Bug::DuplicateAccepted, Faults, 80, 2),
    (Bug::ReplayAfterRestart, Faults, 80, 3),
    (Bug::ExpiredAccepted, Faults, 80, 1),
    (Bug::TimeGoesBack, Faults, 80, 2),
    (Bug::GrantAtWrongHeight, Liars, 120, 4),
    (Bug::RecoveryUnsigned, Recoveries, 100, 1),
    (Bug::WaitingForgotten, Faults, 80, 1),
    (Bug::BlockTimeUnbounded, Moments, 200, 1),
    (Bug::ReadUnconfirmed, Moments, 200, 5),
    (Bug::GroupBeforeCertificate, Moments, 200, 6),
    (Bug::PromotedUnnamed, Moments, 200, 6),
    (Bug::WipedDiskOldNumber, Moments, 200, 6),
    (Bug::VoteFloorLeftOut, Moments, 200, 12),
];

/// Those that the gate does not look for: found by few seeds, or by none so far. What is known of them stands in `README.md`.
pub(crate) const RARE: &[Bug] = &[Bug::HardStateFirst, Bug::TornTailKept, Bug::SnapshotUnchecked];
