//! A testnet under load and in trouble: scenarios one after the other, each with what must hold while it lasts and after it
//! is healed. In the end every node must have the same chain with everything that was acknowledged, and every ledger must
//! verify offline.
//!
//! While a scenario lasts, voters that hear a majority acknowledge what is submitted to them, and voters that do not
//! acknowledge nothing that was submitted since; a leader that stood still answers no linearizable read with anything old when
//! it goes on. When all is healed, every voter acknowledges again.

mod scenario;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use galen_client::{Client, ClientError};
use galen_testnet::Testnet;
use galen_testnet::fault::{self, Lines};
use galen_testnet::process::NodeProcess;
use galen_types::{AccountName, NodeName, Timestamp};
use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::accounts::slug;
use crate::acknowledged::{Acknowledged, Record};
use crate::agreement::{self, Agreement, Asked};
use crate::draws::Draws;
use crate::error::BenchError;
use crate::standing::{PATIENCE, all_well, leader_of, voters_of, votes_again};
use crate::steady::{Receipt, Steady};
pub use scenario::{ALL, Scenario};
use scenario::{Motion, Script};

/// How long nodes may take in the end to come to the same chain.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(120);
/// Lines that flap do so after a time between these.
const FLAP: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// Leadership that is handed over stays for a time between these.
const LEAD: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_500));

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct FaultOptions {
    /// What is played.
    pub scenarios: Vec<Scenario>,
    /// For how long scenarios are drawn and played; each once, in order, when `None`.
    pub length: Option<Duration>,
    /// How long a scenario lasts at least: longer than an election.
    pub hold: Duration,
    /// How long a paused leader stands still.
    pub pause: Duration,
    /// Transactions a second at each voter.
    pub per_second_at_voter: u32,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Every acknowledged transaction is written here.
    pub acknowledged: Option<PathBuf>,
}

impl Default for FaultOptions {
    fn default() -> Self {
        Self {
            scenarios: ALL.to_vec(),
            length: None,
            hold: Duration::from_secs(6),
            pause: Duration::from_secs(60),
            per_second_at_voter: 20,
            seed: 1,
            acknowledged: None,
        }
    }
}

/// One scenario as it went.
#[derive(Debug, Clone, Serialize)]
pub struct Played {
    /// Which.
    pub scenario: Scenario,
    /// What was done.
    pub done: String,
    /// How long it lasted, seconds.
    pub seconds: f64,
    /// Milliseconds until every voter that hears a majority had acknowledged something submitted since; `null` where none does.
    pub going_on_ms: Option<f64>,
    /// Milliseconds from the healing until every voter had acknowledged something submitted since.
    pub healed_ms: f64,
    /// Transactions acknowledged while it lasted.
    pub acknowledged: usize,
    /// By how much the term of ordering grew: elections, successful or not.
    pub terms: u64,
}

/// A scenario that cannot be played here.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// Which.
    pub scenario: Scenario,
    /// Why.
    pub cause: String,
}

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct FaultReport {
    /// When it was made.
    pub time: Timestamp,
    /// What it was drawn from.
    pub seed: u64,
    /// How the network was broken: `namespaces` or `relays`.
    pub lines: &'static str,
    /// Voters of the testnet.
    pub voters: usize,
    /// Transactions a second at each voter.
    pub per_second_at_voter: u32,
    /// What was played.
    pub played: Vec<Played>,
    /// What was not.
    pub left_out: Vec<LeftOut>,
    /// What all nodes agree upon in the end.
    pub agreement: Agreement,
    /// Ledgers that were verified offline.
    pub ledgers_verified: usize,
}

/// Plays scenarios on a running testnet. In the end its nodes are stopped, for their ledgers are verified offline.
///
/// # Errors
/// [`BenchError`] naming the scenario and what did not hold; everything is healed then, and the nodes go on.
pub async fn run(
    testnet: &Testnet,
    lines: &Lines,
    program: &Path,
    options: &FaultOptions,
    on_played: &mut dyn FnMut(&Played),
) -> Result<FaultReport, BenchError> {
    options.check(testnet)?;
    let mut record = options.acknowledged.as_deref().map(Record::open).transpose()?;
    let load = Steady::start(testnet, options.per_second_at_voter).await?;
    let stage = Stage { testnet, lines, program, options, load: &load };
    let outcome = stage.play(on_played).await;
    let healed = fault::heal(testnet, Some(lines));
    let (played, left_out) = outcome?;
    healed?;
    let (receipts, _) = load.stop().await;
    let acknowledged: Vec<Acknowledged> = receipts.iter().map(|receipt| receipt.acknowledged).collect();
    if let Some(record) = &mut record {
        acknowledged.iter().try_for_each(|one| record.add(one))?;
    }
    record.map_or(Ok(()), Record::finish)?;
    let agreement = agreement::check(&Asked::all(testnet)?, &acknowledged, AGREEMENT_PATIENCE).await?;
    testnet.down()?;
    let ledgers_verified = verify_ledgers(testnet, program).await?;
    Ok(FaultReport {
        time: Timestamp::now(),
        seed: options.seed,
        lines: match lines {
            Lines::Namespaces(_) => "namespaces",
            Lines::Relays(_) => "relays",
        },
        voters: voters_of(testnet).len(),
        per_second_at_voter: options.per_second_at_voter,
        played,
        left_out,
        agreement,
        ledgers_verified,
    })
}

impl FaultOptions {
    fn check(&self, testnet: &Testnet) -> Result<(), BenchError> {
        let voters = voters_of(testnet).len();
        if voters < 3 {
            return Err(BenchError::Options(format!("{voters} voters do not go on without one; it takes 3")));
        }
        if self.scenarios.is_empty() || !(1..=1_000).contains(&self.per_second_at_voter) {
            return Err(BenchError::Options("name a scenario at least, and a --rate of 1 to 1000 a voter".to_owned()));
        }
        Ok(())
    }
}

/// Runs `ledger verify` on every node that takes part; how many there are.
async fn verify_ledgers(testnet: &Testnet, program: &Path) -> Result<usize, BenchError> {
    let mut verified = 0;
    for entry in testnet.nodes() {
        let home = testnet.folder().home(&entry.node);
        let output = tokio::process::Command::new(program).args(["ledger", "verify"]).arg(home.root()).output().await;
        let output = output.map_err(|cause| BenchError::File { path: program.to_path_buf(), cause })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(BenchError::Disagreement(format!("the ledger of {} does not verify: {said}", entry.node)));
        }
        verified += 1;
    }
    Ok(verified)
}

/// Where it is played.
struct Stage<'run> {
    testnet: &'run Testnet,
    lines: &'run Lines,
    program: &'run Path,
    options: &'run FaultOptions,
    load: &'run Steady,
}

impl Stage<'_> {
    async fn play(&self, on_played: &mut dyn FnMut(&Played)) -> Result<(Vec<Played>, Vec<LeftOut>), BenchError> {
        let mut playable = Vec::new();
        let (mut played, mut left_out) = (Vec::new(), Vec::new());
        for scenario in self.options.scenarios.iter().copied() {
            match self.cannot(scenario) {
                Some(cause) => left_out.push(LeftOut { scenario, cause }),
                None => playable.push(scenario),
            }
        }
        let mut choices = Draws::new(self.options.seed, "scenarios");
        let mut next = playable.iter().copied();
        let end = self.options.length.map(|length| Instant::now() + length);
        loop {
            let scenario = match end {
                Some(end) if Instant::now() >= end => break,
                Some(_) => choices.one_of(&playable).copied(),
                None => next.next(),
            };
            let Some(scenario) = scenario else { break };
            let (seed, number) = (self.options.seed, played.len() + 1);
            // Its own stream: how long the others took changes nothing.
            let mut draws = Draws::new(seed, &number.to_string());
            let named = |error| match error {
                BenchError::Stalled(what) => {
                    BenchError::Stalled(format!("{scenario}, number {number} of seed {seed}: {what}"))
                }
                error => error,
            };
            let one = self.play_one(scenario, &mut draws).await.map_err(named)?;
            on_played(&one);
            played.push(one);
        }
        Ok((played, left_out))
    }

    /// Why a scenario cannot be played here.
    fn cannot(&self, scenario: Scenario) -> Option<String> {
        if scenario.needs_namespaces() && matches!(self.lines, Lines::Relays(_)) {
            return Some("it takes network namespaces".to_owned());
        }
        if matches!(scenario, Scenario::SlowDisk | Scenario::SlowLeaderDisk) {
            return galen_testnet::slow_disk::permitted(self.testnet).err().map(|error| error.to_string());
        }
        None
    }

    async fn play_one(&self, scenario: Scenario, draws: &mut Draws) -> Result<Played, BenchError> {
        let voters = voters_of(self.testnet);
        let leader = all_well(self.testnet, self.load, &voters).await?;
        let script = scenario.script(&voters, &leader, draws);
        let term = self.term(&voters[0]).await?;
        let hold = if scenario == Scenario::PausedLeader { self.options.pause } else { self.options.hold };

        let killed = self.begin(&script, &leader)?;
        let began = Instant::now();
        let moving = self.keep_moving(&script, &voters, &leader, began + hold, draws);
        let (going_on, moved) = tokio::join!(self.going_on(&script, began), moving);
        moved?;
        let going_on = going_on?;
        sleep_until(began + hold).await;

        let healing = Instant::now();
        let meanwhile = self.load.receipts(|receipt| receipt.submitted >= began && receipt.at < healing);
        if let Some(receipt) = meanwhile.iter().find(|receipt| script.cut_off.contains(&receipt.node)) {
            return Err(BenchError::Stalled(acknowledged_alone(receipt, began)));
        }
        if scenario == Scenario::PausedLeader {
            fault::resume(self.testnet);
            self.reads_nothing_old(&leader, &meanwhile).await?;
        }
        fault::heal(self.testnet, Some(self.lines))?;
        if let Some(process) = killed {
            let gone = tokio::task::spawn_blocking(move || process.kill()).await;
            gone.map_err(|error| BenchError::Stalled(error.to_string()))?;
            self.testnet.start(&leader.to_string(), self.program).await?;
            votes_again(self.testnet, &leader, Instant::now() + PATIENCE).await?;
        }
        let healed = Instant::now();
        self.all_acknowledge(&voters, healed, "after all was healed").await?;
        Ok(Played {
            scenario,
            done: told(&script, &leader),
            seconds: healing.duration_since(began).as_secs_f64(),
            going_on_ms: going_on.map(|time| time.as_secs_f64() * 1000.0),
            healed_ms: healed.elapsed().as_secs_f64() * 1000.0,
            acknowledged: meanwhile.len(),
            terms: self.term(&voters[0]).await?.saturating_sub(term),
        })
    }

    /// Does what a script begins with; the process that it killed, if it did.
    fn begin(&self, script: &Script, leader: &NodeName) -> Result<Option<NodeProcess>, BenchError> {
        for fault in &script.faults {
            fault.apply(self.testnet, Some(self.lines))?;
        }
        if script.motion != Motion::Kill {
            return Ok(None);
        }
        let process = NodeProcess::find(self.testnet.folder(), leader);
        let process = process.ok_or_else(|| BenchError::Stalled(format!("{leader} ended by itself")))?;
        process.signal(Signal::SIGKILL);
        Ok(Some(process))
    }

    /// Does what happens over and over, until a time.
    async fn keep_moving(
        &self,
        script: &Script,
        voters: &[NodeName],
        leader: &NodeName,
        until: Instant,
        draws: &mut Draws,
    ) -> Result<(), BenchError> {
        let mut broken = true;
        let mut leader = leader.clone();
        loop {
            let (low, high) = match script.motion {
                Motion::Still | Motion::Kill => return Ok(()),
                Motion::Flapping => FLAP,
                Motion::Transfers => LEAD,
            };
            sleep(draws.between(low, high)).await;
            if Instant::now() >= until {
                return Ok(());
            }
            if script.motion == Motion::Flapping {
                if broken {
                    self.lines.heal()?;
                } else {
                    script.faults.iter().try_for_each(|fault| fault.apply(self.testnet, Some(self.lines)))?;
                }
                broken = !broken;
            } else {
                let administrator = self.administrator(&leader)?;
                // Who leads may have changed by itself meanwhile; then the next one is asked next time.
                match administrator.transfer_leadership(None).await {
                    Ok(transfer) => leader = transfer.leader,
                    Err(_) => leader = leader_of(self.testnet, voters.first()).await.unwrap_or(leader),
                }
            }
        }
    }

    /// Waits until every voter that hears a majority acknowledged something submitted since; how long that took.
    async fn going_on(&self, script: &Script, began: Instant) -> Result<Option<Duration>, BenchError> {
        if script.going_on.is_empty() {
            return Ok(None);
        }
        self.all_acknowledge(&script.going_on, began, "though it hears a majority").await?;
        Ok(Some(began.elapsed()))
    }

    /// Asks a node that stood still, as soon as it goes on, for the last transaction that others acknowledged meanwhile: a
    /// linearizable read finds it, or is refused.
    async fn reads_nothing_old(&self, woken: &NodeName, meanwhile: &[Receipt]) -> Result<(), BenchError> {
        let Some(last) = meanwhile.iter().max_by_key(|receipt| receipt.acknowledged.height) else { return Ok(()) };
        let client = self.testnet.client_linearizable(self.testnet.node(&woken.to_string())?)?;
        let answer = client.transaction(&last.acknowledged.id).await;
        let is_old = match &answer {
            Ok(status) => Acknowledged::of(status) != Some(last.acknowledged),
            Err(ClientError::Problem(problem)) => problem.status == 404,
            // No answer: nothing old was said.
            Err(_) => false,
        };
        if is_old {
            return Err(BenchError::Stalled(format!(
                "{woken} stood still and answered a linearizable read with something old: {:?} is {answer:?}",
                last.acknowledged
            )));
        }
        Ok(())
    }

    async fn all_acknowledge(&self, voters: &[NodeName], since: Instant, though: &str) -> Result<(), BenchError> {
        for voter in voters {
            let wanted = |receipt: &Receipt| receipt.submitted >= since && &receipt.node == voter;
            if self.load.first(since + PATIENCE, wanted).await.is_none() {
                let first = self.load.tally().first_failure.unwrap_or_default();
                return Err(BenchError::Stalled(format!(
                    "{voter} acknowledged nothing for {} s {though}; the first failure of the load: {first}",
                    PATIENCE.as_secs()
                )));
            }
        }
        Ok(())
    }

    fn administrator(&self, node: &NodeName) -> Result<Client, BenchError> {
        let account = AccountName { account: slug("admin")?, member: node.member.clone() };
        Ok(self.testnet.client_at(self.testnet.node(&node.to_string())?, &account)?)
    }

    /// The term in which a node's last block was ordered.
    async fn term(&self, node: &NodeName) -> Result<u64, BenchError> {
        let client = self.administrator(node)?;
        let height = client.chain().await?.height;
        Ok(client.block(height.max(1)).await?.header.raft_term)
    }
}

/// A voter that heard no majority acknowledged something.
fn acknowledged_alone(receipt: &Receipt, began: Instant) -> String {
    let after = |at: Instant| at.duration_since(began).as_millis();
    format!(
        "{} heard no majority and acknowledged {} at height {}, {} ms after it was cut off, submitted {} ms after",
        receipt.node,
        receipt.acknowledged.id,
        receipt.acknowledged.height,
        after(receipt.at),
        after(receipt.submitted)
    )
}

/// What was done, for people.
fn told(script: &Script, leader: &NodeName) -> String {
    let faults: Vec<String> = script.faults.iter().map(ToString::to_string).collect();
    let faults = faults.join("; ");
    match script.motion {
        Motion::Still => faults,
        Motion::Flapping => format!("{faults}, on and off"),
        Motion::Transfers => "leadership is handed over again and again".to_owned(),
        Motion::Kill => format!("{leader} is killed"),
    }
}

impl fmt::Display for Played {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let going_on = self.going_on_ms.map_or_else(|| "-".to_owned(), |time| format!("{time:.0} ms"));
        write!(
            formatter,
            "{:16} {:5.1} s  on after {going_on:>8}  healed after {:6.0} ms  {:5} acknowledged  terms +{}  {}",
            self.scenario.name(),
            self.seconds,
            self.healed_ms,
            self.acknowledged,
            self.terms,
            self.done
        )
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for LeftOut { scenario, cause } in &self.left_out {
            writeln!(formatter, "LEFT OUT: {scenario}: {cause}")?;
        }
        let Agreement { nodes, height, acknowledged, .. } = &self.agreement;
        writeln!(formatter, "{} scenarios of seed {}, lines broken by {}", self.played.len(), self.seed, self.lines)?;
        writeln!(
            formatter,
            "{acknowledged} acknowledged transactions are where they were, once, on each of {nodes} nodes, whose {height} headers are equal"
        )?;
        write!(formatter, "{} ledgers verify offline; the nodes are stopped", self.ledgers_verified)
    }
}
