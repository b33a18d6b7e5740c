//! Seeds that once found a fault of the replica or of the simulator, with what it was. The worlds that they draw change with
//! the simulator, but what they come near to is worth going near again.

use crate::{Scenario, run_seed};

/// Scenario, seed, steps, and what was found.
const PINNED: &[(Scenario, u64, u64, &str)] = &[
    (Scenario::Recoveries, 3, 100, "a voter of a recovery waited for a certificate before it took up its number"),
    (Scenario::Disks, 3, 100, "of three voters one gave its number up, and another, restarted, waited for its word"),
    (Scenario::Recoveries, 6, 100, "signatures of a node that stopped were looked for on the disk of the next one"),
    (
        Scenario::Disks,
        7,
        300,
        "a learner told a restarted leader for ever that it knows a leader, and it waited for itself",
    ),
    (Scenario::Disks, 19, 300, "a voter waited for a leader that only a learner still took for one"),
    (Scenario::Faults, 5, 150, "a batch of a leader's clock that was far ahead held ordering up until that time"),
    (Scenario::Faults, 56, 300, "the last transaction was valid up to the horizon, which begins at a majority's time"),
    (Scenario::Moments, 44, 300, "the last transaction was given to a leader that did not know its signer yet"),
    (
        Scenario::Moments,
        54,
        300,
        "peers said late whom they take for the leader, and a wiped voter was not told of its word",
    ),
    (
        Scenario::Moments,
        92,
        300,
        "a leader's count that nobody confirmed yet was passed over, and a wiped voter went on",
    ),
    (Scenario::Faults, 22, 300, "a log was cut at a block whose certificate a loss of power took afterwards"),
    (Scenario::Disks, 1_094, 300, "an acknowledgement of a voter's former process came after the new one had asked"),
    (Scenario::Disks, 1_095, 300, "a disk was wiped before a leader took up the voter that replaced the last one"),
    (
        Scenario::Snapshots,
        116,
        300,
        "a voter whose ledger began above the leader's cut waited for the header of the cut, which it never fetched",
    ),
];

#[test]
fn seeds_that_once_found_something_pass() {
    for (scenario, seed, steps, what) in PINNED {
        let report = run_seed(*scenario, *seed, *steps);
        assert_eq!(report.failure, None, "{what}");
    }
}
