//! What happens to nodes while a history is recorded: one at a time is killed and started again, or paused for longer than
//! an election takes and continued. Most often it is the one that leads. Where the lines between nodes can be cut, a leader
//! that was paused wakes alone: it takes itself for the leader still, and nobody can tell it otherwise.

use std::path::Path;
use std::time::Duration;

use galen_histories::Random;
use galen_types::NodeName;
use galen_types::member::NodeRole;
use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::error::TestnetError;
use crate::fault::{Fault, Lines};
use crate::network::Testnet;
use crate::process::NodeProcess;

/// Faults that were played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FaultCounts {
    /// Leaders killed (SIGKILL) and started again.
    pub leaders_killed: u32,
    /// Leaders paused (SIGSTOP) while another led, and continued.
    pub leaders_paused: u32,
    /// Those of them that were cut off from the others when they went on.
    pub leaders_cut_off: u32,
    /// Other nodes killed and started again.
    pub others_killed: u32,
    /// Other nodes paused and continued.
    pub others_paused: u32,
}

/// Shortest and longest time between two faults, milliseconds.
const CALM_MS: (u64, u64) = (500, 2_000);
/// How long a killed node stays away, milliseconds.
const AWAY_MS: (u64, u64) = (100, 2_000);
/// How long a paused node stays so, milliseconds: an election takes 0.8 to 1.6 s.
const PAUSED_MS: (u64, u64) = (2_500, 5_000);
/// How long a leader that goes on stays cut off, milliseconds: it believes that it leads for 0.8 to 1.6 s.
const CUT_OFF_MS: (u64, u64) = (1_500, 3_000);
/// Between two looks for a leader.
const LOOK: Duration = Duration::from_millis(100);

/// Continues a process, however its pause ends.
struct Paused(NodeProcess);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

/// Mends the lines, however a cut ends.
struct Cut<'lines>(&'lines Lines);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        let _ = self.0.heal();
    }
}

fn between(random: &mut Random, (low, high): (u64, u64)) -> Duration {
    Duration::from_millis(low + random.below(high - low))
}

/// Plays faults until a time; afterwards every node runs. `lines` is how nodes are cut off, where that can be; `tell` is told
/// of each fault.
///
/// # Errors
/// [`TestnetError`] when a node does not come back.
pub async fn play(
    testnet: &Testnet,
    program: &Path,
    seed: u64,
    until: Instant,
    lines: Option<&Lines>,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<FaultCounts, TestnetError> {
    let mut random = Random(seed);
    let mut counts = FaultCounts::default();
    while Instant::now() < until {
        sleep(between(&mut random, CALM_MS)).await;
        let Some(leader) = leader(testnet, until).await else { break };
        let victim = if random.chance(70) { leader.clone() } else { other(testnet, &leader, &mut random) };
        let leads = victim == leader;
        let name = victim.to_string();
        let Some(process) = NodeProcess::find(testnet.folder(), &victim) else { continue };
        if random.chance(50) {
            tell(&format!("{victim} is killed{}", if leads { ", it leads" } else { "" }));
            process.kill();
            sleep(between(&mut random, AWAY_MS)).await;
            testnet.start(&name, program).await?;
            *(if leads { &mut counts.leaders_killed } else { &mut counts.others_killed }) += 1;
        } else {
            tell(&format!("{victim} is paused{}", if leads { ", it leads" } else { "" }));
            process.signal(Signal::SIGSTOP);
            let paused = Paused(process);
            let cut = lines.filter(|_| leads).map(Cut);
            if cut.is_some() {
                Fault::Partition { side: vec![victim] }.apply(testnet, lines)?;
            }
            sleep(between(&mut random, PAUSED_MS)).await;
            drop(paused);
            if let Some(cut) = cut {
                sleep(between(&mut random, CUT_OFF_MS)).await;
                cut.0.heal()?;
                counts.leaders_cut_off += 1;
            }
            testnet.ready(testnet.node(&name)?).await?;
            *(if leads { &mut counts.leaders_paused } else { &mut counts.others_paused }) += 1;
        }
    }
    Ok(counts)
}

/// Who leads, as any node knows it.
async fn leader(testnet: &Testnet, until: Instant) -> Option<NodeName> {
    while Instant::now() < until {
        for node in testnet.plan().present() {
            let Ok(client) = testnet.client(node) else { continue };
            if let Ok(Ok(chain)) = tokio::time::timeout(Duration::from_secs(1), client.chain()).await
                && let Some(leader) = chain.leader
            {
                return Some(leader);
            }
        }
        sleep(LOOK).await;
    }
    None
}

/// A voter that does not lead.
fn other(testnet: &Testnet, leader: &NodeName, random: &mut Random) -> NodeName {
    let others: Vec<_> = testnet
        .plan()
        .present()
        .filter(|node| node.role == NodeRole::Voter && node.name != *leader)
        .map(|node| node.name.clone())
        .collect();
    random.pick(&others).unwrap_or_else(|| leader.clone())
}
