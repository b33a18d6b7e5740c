//! What is done to a testnet, and what must hold meanwhile.

use std::fmt;
use std::str::FromStr;

use galen_testnet::fault::Fault;
use galen_types::NodeName;
use serde::Serialize;

use crate::draws::Draws;

/// Writes a second of a slow disk: a sync takes 0.6 s.
const SLOW_DISK_WRITES: u32 = 5;
/// Kilobits a second of a slow cable: heartbeats pass, blocks of a loaded chain do not.
const SLOW_LINK_KILOBITS: u32 = 128;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The leader and everybody else do not hear each other.
    IsolatedLeader,
    /// Some voters, half of them at most, and the others do not hear each other.
    Partition,
    /// The leader is heard and hears nobody.
    DeafLeader,
    /// The leader hears and is heard by nobody.
    MuteLeader,
    /// One voter does not hear the leader; everything else passes.
    OneWay,
    /// The leader and another voter do not hear each other; all others hear both.
    Cut,
    /// Two halves of the voters hear each other through one voter alone.
    Bridge,
    /// The leader's lines come and go every 0.3 to 3 s.
    Flapping,
    /// A voter's cable is pulled.
    LinkDown,
    /// A voter's cable carries little.
    SlowLink,
    /// The leader stands still for a while and does not know it afterwards.
    PausedLeader,
    /// A voter that does not lead writes slowly.
    SlowDisk,
    /// The leader writes slowly.
    SlowLeaderDisk,
    /// Leadership is handed from one to the next.
    Transfer,
    /// The leader is killed, and started again.
    KilledLeader,
}

/// All of them, in the order in which they are played once.
pub const ALL: [Scenario; 15] = [
    Scenario::IsolatedLeader,
    Scenario::Partition,
    Scenario::DeafLeader,
    Scenario::MuteLeader,
    Scenario::OneWay,
    Scenario::Cut,
    Scenario::Bridge,
    Scenario::Flapping,
    Scenario::LinkDown,
    Scenario::SlowLink,
    Scenario::PausedLeader,
    Scenario::SlowDisk,
    Scenario::SlowLeaderDisk,
    Scenario::Transfer,
    Scenario::KilledLeader,
];

impl Scenario {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::IsolatedLeader => "isolated-leader",
            Self::Partition => "partition",
            Self::DeafLeader => "deaf-leader",
            Self::MuteLeader => "mute-leader",
            Self::OneWay => "one-way",
            Self::Cut => "cut",
            Self::Bridge => "bridge",
            Self::Flapping => "flapping",
            Self::LinkDown => "link-down",
            Self::SlowLink => "slow-link",
            Self::PausedLeader => "paused-leader",
            Self::SlowDisk => "slow-disk",
            Self::SlowLeaderDisk => "slow-leader-disk",
            Self::Transfer => "transfer",
            Self::KilledLeader => "killed-leader",
        }
    }

    /// Whether it takes lines that carry little, which relays between nodes do not make.
    pub fn needs_namespaces(self) -> bool {
        self == Self::SlowLink
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || ALL.map(Self::name).join(", ");
        ALL.into_iter().find(|scenario| scenario.name() == text).ok_or_else(|| format!("there are: {}", known()))
    }
}

/// What is done, and what must hold while it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// All at the same time.
    pub(super) faults: Vec<Fault>,
    /// What happens over and over meanwhile.
    pub(super) motion: Motion,
    /// Voters at which what is submitted meanwhile is not acknowledged before all is healed: they hear no majority.
    pub(super) cut_off: Vec<NodeName>,
    /// Voters at which what is submitted meanwhile is acknowledged meanwhile.
    pub(super) going_on: Vec<NodeName>,
}

/// What happens over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    /// The faults hold.
    Still,
    /// The faults come and go.
    Flapping,
    /// Leadership is handed over.
    Transfers,
    /// The leader is killed; it is started again when all is healed.
    Kill,
}

impl Scenario {
    /// What is done to these voters, of whom one leads, and other nodes.
    pub(super) fn script(self, voters: &[NodeName], leader: &NodeName, draws: &mut Draws) -> Script {
        let followers: Vec<NodeName> = voters.iter().filter(|voter| *voter != leader).cloned().collect();
        let follower = draws.one_of(&followers).unwrap_or(leader).clone();
        let all_but = |left_out: &[NodeName]| -> Vec<NodeName> {
            voters.iter().filter(|voter| !left_out.contains(voter)).cloned().collect()
        };
        let leader_alone = vec![leader.clone()];
        let ways = |way: fn(&NodeName, &NodeName) -> Fault| followers.iter().map(|other| way(leader, other)).collect();
        // Who is cut off, when the leader or a follower is, and everybody else goes on.
        let apart = |faults: Vec<Fault>, cut_off: Vec<NodeName>| {
            let going_on = all_but(&cut_off);
            Script { faults, motion: Motion::Still, cut_off, going_on }
        };
        // Nobody is cut off for certain; all but some go on.
        let hampered = |faults: Vec<Fault>, but: &[NodeName]| Script {
            faults,
            motion: Motion::Still,
            cut_off: Vec::new(),
            going_on: all_but(but),
        };
        match self {
            Self::IsolatedLeader => apart(vec![Fault::Partition { side: leader_alone.clone() }], leader_alone),
            Self::Partition => partition(voters, draws),
            Self::DeafLeader => {
                apart(ways(|leader, other| Fault::OneWay { from: other.clone(), to: leader.clone() }), leader_alone)
            }
            Self::MuteLeader => {
                apart(ways(|leader, other| Fault::OneWay { from: leader.clone(), to: other.clone() }), leader_alone)
            }
            Self::OneWay => hampered(vec![Fault::OneWay { from: leader.clone(), to: follower.clone() }], &[follower]),
            Self::Cut => hampered(vec![Fault::Cut { one: leader.clone(), other: follower.clone() }], &[follower]),
            Self::Bridge => bridge(voters, leader, draws),
            Self::Flapping => Script {
                motion: Motion::Flapping,
                going_on: Vec::new(),
                ..apart(vec![Fault::Partition { side: leader_alone }], Vec::new())
            },
            Self::LinkDown => {
                let node = draws.one_of(voters).unwrap_or(leader).clone();
                apart(vec![Fault::LinkDown { node: node.clone() }], vec![node])
            }
            Self::SlowLink => {
                let node = draws.one_of(voters).unwrap_or(leader).clone();
                let fault = Fault::SlowLink { node: node.clone(), kilobits_per_second: SLOW_LINK_KILOBITS };
                hampered(vec![fault], &[node])
            }
            Self::PausedLeader => apart(vec![Fault::Pause { node: leader.clone() }], leader_alone),
            Self::SlowDisk => {
                let fault = Fault::SlowDisk { node: follower.clone(), writes_per_second: SLOW_DISK_WRITES };
                hampered(vec![fault], &[follower])
            }
            Self::SlowLeaderDisk => {
                let fault = Fault::SlowDisk { node: leader.clone(), writes_per_second: SLOW_DISK_WRITES };
                hampered(vec![fault], &leader_alone)
            }
            Self::Transfer => Script { motion: Motion::Transfers, ..hampered(Vec::new(), &[]) },
            Self::KilledLeader => Script { motion: Motion::Kill, ..apart(Vec::new(), leader_alone) },
        }
    }
}

/// Some of the voters against the rest. Where neither side is a majority, nobody goes on.
fn partition(voters: &[NodeName], draws: &mut Draws) -> Script {
    let size = 1 + draws.below(voters.len() / 2);
    let mut rest = voters.to_vec();
    let side: Vec<NodeName> = (0..size).map(|_| rest.remove(draws.below(rest.len()))).collect();
    let (cut_off, going_on) =
        if rest.len() * 2 > voters.len() { (side.clone(), rest) } else { (voters.to_vec(), Vec::new()) };
    Script { faults: vec![Fault::Partition { side }], motion: Motion::Still, cut_off, going_on }
}

/// Two halves and one voter that hears both. Whoever leads, a half that is a majority with the one between goes on, where
/// the other half is none or does not hold the leader; of three voters it is a cut.
fn bridge(voters: &[NodeName], leader: &NodeName, draws: &mut Draws) -> Script {
    let mut rest = voters.to_vec();
    let over = rest.remove(draws.below(rest.len()));
    let side: Vec<NodeName> = (0..rest.len() / 2).map(|_| rest.remove(draws.below(rest.len()))).collect();
    // The rest is the greater half, so that with the one between it is always a majority.
    let is_majority = |half: &[NodeName]| (half.len() + 1) * 2 > voters.len();
    let going_on = if *leader == over {
        voters.to_vec()
    } else {
        let half = if side.contains(leader) && is_majority(&side) { &side } else { &rest };
        half.iter().chain([&over]).cloned().collect()
    };
    let faults = vec![Fault::Bridge { over, side }];
    // Who hears no leader may still be told of one by the voter between.
    Script { faults, motion: Motion::Still, cut_off: Vec::new(), going_on }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(count: usize) -> Vec<NodeName> {
        (0..count).map(|number| format!("node-1.m{number}").parse().unwrap()).collect()
    }

    #[test]
    fn who_is_cut_off_is_never_expected_to_go_on_and_a_majority_always_is() {
        for count in [3, 4, 5, 7] {
            let voters = voters(count);
            for scenario in ALL {
                for seed in 0..20 {
                    let leader = &voters[seed % count];
                    let script = scenario.script(&voters, leader, &mut Draws::new(seed as u64, scenario.name()));
                    assert!(script.cut_off.iter().all(|node| !script.going_on.contains(node)), "{scenario}");
                    let halves = script.cut_off.len() == count;
                    let goes_on = script.going_on.len() * 2 > count - 2 || scenario == Scenario::Flapping;
                    assert!(halves || goes_on, "{scenario} of {count}: {script:?}");
                }
            }
        }
    }

    #[test]
    fn a_bridge_has_one_voter_between_two_halves_and_a_majority_goes_on() {
        for (count, sizes) in [(3, (1, 1)), (4, (1, 2)), (5, (2, 2)), (7, (3, 3))] {
            let voters = voters(count);
            let mut leaders = [false; 3];
            for seed in 0..60 {
                let leader = &voters[seed % count];
                let script = bridge(&voters, leader, &mut Draws::new(seed as u64, "bridge"));
                let [Fault::Bridge { over, side }] = script.faults.as_slice() else { panic!("{script:?}") };
                assert_eq!((side.len(), count - 1 - side.len()), sizes);
                assert!(!side.contains(over) && script.going_on.contains(over));
                assert!(script.going_on.len() * 2 > count, "{script:?}");
                assert!(script.cut_off.is_empty());
                // A leader that keeps a majority keeps leading.
                let place = if leader == over { 0 } else { 1 + usize::from(side.contains(leader)) };
                leaders[place] = true;
                assert!(count == 4 && place == 2 || script.going_on.contains(leader), "{script:?}");
            }
            assert_eq!(leaders, [true; 3], "the leader is between, in the one half, in the other");
        }
    }

    #[test]
    fn every_scenario_is_found_by_its_name() {
        for scenario in ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
            assert_eq!(serde_json::to_value(scenario).unwrap(), scenario.name());
        }
        assert!("earthquake".parse::<Scenario>().unwrap_err().contains("isolated-leader, partition"));
    }

    #[test]
    fn halves_of_an_even_number_of_voters_both_stop() {
        let voters = voters(4);
        let scripts = (0..50).map(|seed| partition(&voters, &mut Draws::new(seed, "partition")));
        let (halves, uneven): (Vec<_>, Vec<_>) = scripts.partition(|script| script.cut_off.len() == 4);
        assert!(!halves.is_empty() && !uneven.is_empty());
        assert!(halves.iter().all(|script| script.going_on.is_empty()));
        assert!(uneven.iter().all(|script| script.going_on.len() == 3));
    }
}
