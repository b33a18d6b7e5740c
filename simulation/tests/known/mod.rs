//! Which seed finds which bug.

use galen_planted::Bug;
use galen_simulation::Scenario::{self, Disks, Faults, Liars, Members};

/// Bug, scenario, steps, and the first seed from 1 on that finds it.
pub(crate) const KNOWN: &[(Bug, Scenario, u64, u64)] = &[
    (Bug::SyncLeftOut, Faults, 80, 1),
    (Bug::SentBeforeStored, Faults, 80, 2),
    (Bug::VoteNotStored, Faults, 80, 1),
    (Bug::HardStateFirst, Faults, 80, 9),
    (Bug::DamageTakenForTorn, Disks, 120, 4),
    (Bug::CertificateUnverified, Liars, 80, 1),
    (Bug::DeviantSignatureCounted, Liars, 80, 1),
    (Bug::WrongEpochsVoters, Members, 120, 1),
    (Bug::EpochEndPassed, Members, 120, 6),
    (Bug::UncertifiedFollowed, Faults, 80, 1),
    (Bug::CacheByIdAlone, Faults, 80, 7),
    (Bug::DuplicateAccepted, Faults, 80, 1),
    (Bug::ReplayAfterRestart, Faults, 80, 3),
    (Bug::ExpiredAccepted, Faults, 80, 1),
];
