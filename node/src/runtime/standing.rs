//! Keeps what this node does at what the chain says that it shall do: asks for a number in ordering and for its place in
//! the voter set when they are due, and has the node start anew when other threads are needed than those that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use galen_ledger::{Ledger, LedgerError};
use galen_p2p::{NetworkHandle, PeerStatus};
use galen_types::api::Finality;
use galen_types::member::NodeRole;
use galen_types::{Call, NodeName, Outcome, PublicKey};
use tokio::sync::watch;

use super::fatal::{Restart, Shutdown};
use super::gate::Gate;
use super::keys;
use super::limits;
use super::metrics::RuntimeMetrics;
use super::ordering::OrderingReport;
use super::own_transactions::NodeSigner;
use super::part::{Part, PartNotes, Rejoin};
use super::registered::Registered;
use super::repair;
use super::service::Chain;
use crate::home::NodeHome;
use crate::http::services::Participation;
use crate::operate::files::FileError;

/// What the node does and what it waits for, for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What it does.
    pub(crate) participation: Participation,
    /// What it waits for or what its operator is to do; empty when nothing.
    pub(crate) detail: String,
}

/// Everything that the task works with.
pub(super) struct Keeper {
    /// This node.
    pub(super) node: NodeName,
    /// Its key.
    pub(super) key: PublicKey,
    /// The height that must be certified and durable before the keys go that it had before this one.
    pub(super) former_keys_until: Option<u64>,
    /// What it was started as.
    pub(super) part: Part,
    /// Its number in ordering by the genesis, where it is a founding voter.
    pub(super) founding: Option<u64>,
    /// Its home.
    pub(super) home: NodeHome,
    /// The chain's store.
    pub(super) ledger: Arc<Ledger>,
    /// What the chain says.
    pub(super) registered: watch::Receiver<Arc<Registered>>,
    /// Whether it holds what its peers hold, by blocks.
    pub(super) caught_up: watch::Receiver<bool>,
    /// The ordering thread's account of itself.
    pub(super) ordering: watch::Receiver<OrderingReport>,
    /// Whether it may speak in ordering.
    pub(super) gate: Gate,
    /// What the check before it orders waits for.
    pub(super) waiting: watch::Receiver<String>,
    /// Signs for the node.
    pub(super) signer: NodeSigner,
    /// Hands leadership over.
    pub(super) chain: Arc<Chain>,
    /// Who refuses this node.
    pub(super) network: NetworkHandle,
    /// How long a repair waits for something to come.
    pub(super) patience: Duration,
    /// Counts what comes of a snapshot.
    pub(super) fetched: Arc<AtomicU64>,
    /// Where its standing is told.
    pub(super) standing: watch::Sender<Standing>,
    /// Counts.
    pub(super) metrics: Arc<RuntimeMetrics>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

/// What is to be done now.
enum Step {
    /// Nothing.
    Wait,
    /// Ask the chain for something.
    Ask(Wish),
    /// Hand leadership over: who leads goes last.
    HandOver,
    /// Start anew.
    Restart(Restart),
    /// The ledger that came in the place of a damaged one is whole.
    Repaired {
        /// This node's number in ordering by the chain; 0 for none.
        raft_id: u64,
    },
    /// Nothing comes that a repair needs.
    GiveUp(String),
}

/// What a node asks the chain for.
#[derive(Clone, Copy)]
enum Wish {
    /// A number in ordering, in place of this one (0 for none).
    Number {
        /// The number it has now.
        replaces: u64,
    },
    /// Its place in the voter set.
    Vote {
        /// Its number.
        raft_id: u64,
    },
}

/// Attempts, further and further apart.
struct Attempts {
    next: Instant,
    pause: Duration,
}

impl Attempts {
    fn new() -> Self {
        Self { next: Instant::now(), pause: limits::ASK_AGAIN.0 }
    }

    fn due(&self) -> bool {
        Instant::now() >= self.next
    }

    fn failed(&mut self) {
        self.next = Instant::now() + self.pause;
        self.pause = (2 * self.pause).min(limits::ASK_AGAIN.1);
    }
}

impl Keeper {
    /// Runs until the node stops.
    pub(super) async fn run(mut self) {
        let mut attempts = Attempts::new();
        let mut refused_since: Option<Instant> = None;
        let mut refused = String::new();
        let mut progress = RepairProgress::new();
        loop {
            let registered = Arc::clone(&self.registered.borrow_and_update());
            if let Err(error) = self.look_again(&registered) {
                return self.shutdown.fail(error.code(), &error);
            }
            self.forget_former_keys();
            if let Err(error) = self.note_began(registered.height) {
                return self.shutdown.fail(error.code(), &error);
            }
            let (step, mut standing) = match &self.part {
                Part::Rejoin(rejoin) => match self.rejoin(rejoin, &registered, &mut progress) {
                    Ok(next) => next,
                    // What reads the ledger has noted it down.
                    Err(error) => return self.shutdown.fail(error.code(), &error),
                },
                Part::Follow { .. } | Part::Order { .. } => self.step(&registered, &mut refused_since),
            };
            if !refused.is_empty() && matches!(step, Step::Ask(_)) {
                standing.detail = format!("{}; {refused}", standing.detail);
            }
            self.tell(standing);
            match step {
                Step::Wait => {}
                Step::Restart(why) => return self.shutdown.restart(why),
                Step::GiveUp(why) => return self.shutdown.fail("ledger-damaged-no-copy", why),
                Step::Repaired { raft_id } => return self.end_repair(raft_id).await,
                Step::HandOver if attempts.due() => {
                    self.hand_over(&registered).await;
                    attempts.failed();
                }
                Step::Ask(wish) if attempts.due() => match self.ask(wish).await {
                    Ok(()) => {
                        refused.clear();
                        // The block may not be applied here yet: not at once again.
                        attempts = Attempts { next: Instant::now() + limits::ASK_AGAIN.0, pause: limits::ASK_AGAIN.0 };
                    }
                    Err(why) => {
                        refused = why;
                        attempts.failed();
                    }
                },
                Step::Ask(_) | Step::HandOver => {}
            }
            tokio::select! {
                () = self.shutdown.stopping() => return,
                changed = self.registered.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(limits::PART_PERIOD) => {}
            }
        }
    }

    /// A node that follows and whose number changes: it starts to order only where the number was given to this disk. While
    /// it catches up, numbers pass by that were another disk's.
    fn look_again(&mut self, registered: &Registered) -> Result<(), LedgerError> {
        let Part::Follow { stale } = &self.part else { return Ok(()) };
        let record = registered.own_active().filter(|own| own.key == self.key && own.raft_id != 0);
        let Some(record) = record else { return Ok(()) };
        if stale.as_ref().is_some_and(|stale| stale.raft_id == record.raft_id) {
            return Ok(());
        }
        let notes = PartNotes::new(&self.home);
        let part = notes.part(Some(record), None, self.founding, &self.ledger)?;
        if let Part::Follow { .. } = part {
            self.part = part;
        }
        Ok(())
    }

    /// Not before the first block: who never made one may begin the chain.
    fn note_began(&self, height: u64) -> Result<(), FileError> {
        if height.max(self.ledger.certified_height()) == 0 { Ok(()) } else { PartNotes::new(&self.home).note_began() }
    }

    /// Former keys go once no height that names them waits for its certificate, nor can come back by a loss of power.
    fn forget_former_keys(&mut self) {
        let settled = self.ledger.certified_height().min(self.ledger.durable_height());
        if self.former_keys_until.take_if(|until| *until <= settled).is_none() {
            return;
        }
        match keys::remove_former(&self.home) {
            Ok(()) => tracing::info!(node = %self.node, "its former keys are removed: nothing waits for them"),
            Err(error) => tracing::warn!(node = %self.node, %error, "its former keys cannot be removed"),
        }
    }

    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|known| {
            if *known == standing {
                return false;
            }
            tracing::info!(
                participation = standing.participation.as_str(),
                detail = standing.detail,
                "how this node takes part"
            );
            self.metrics.participation(standing.participation);
            *known = standing;
            true
        });
    }

    /// Submits a call of the node's own and waits until it is certified.
    async fn ask(&self, wish: Wish) -> Result<(), String> {
        let call = match wish {
            Wish::Number { replaces } => {
                // Noted first: a number that this disk did not ask for is another disk's.
                PartNotes::new(&self.home).note_asked(replaces).map_err(|error| error.to_string())?;
                Call::StartOrdering { replaces }
            }
            Wish::Vote { raft_id } => Call::JoinVoters { raft_id },
        };
        let submitted = tokio::select! {
            () = self.shutdown.stopping() => return Ok(()),
            submitted = self.signer.submit(call, Finality::Certified) => submitted,
        };
        match submitted {
            Ok(status) => match status.receipt.map(|receipt| receipt.outcome) {
                Some(Outcome::Refused { rule, explanation }) => {
                    tracing::warn!(%rule, explanation, "the chain refuses what this node asks for");
                    Err(format!("the chain refuses ({rule}): {explanation}"))
                }
                _ => Ok(()),
            },
            Err(error) => {
                tracing::debug!(%error, "what this node asks for is not recorded yet");
                Err(format!("not recorded yet: {error}"))
            }
        }
    }

    /// What a node does that follows until its ledger has come so far that it can take its part.
    fn rejoin(
        &self,
        rejoin: &Rejoin,
        registered: &Registered,
        progress: &mut RepairProgress,
    ) -> Result<(Step, Standing), LedgerError> {
        let tip = self.ledger.tip()?.height;
        let detail = format!("{}; it has come to height {tip}", rejoin.told());
        let standing = Standing { participation: Participation::Repairing, detail };
        let caught_up = *self.caught_up.borrow();
        let Some(damage) = &rejoin.damage else {
            let reached = caught_up && self.ledger.applied()?.index >= rejoin.until_index;
            let step = if reached { restart("its ledger has come to where its log begins") } else { Step::Wait };
            return Ok((step, standing));
        };
        let certified = self.ledger.certified_height();
        let needed = damage.certified_height.max(needed_height(self.ledger.signed_mark_height()));
        if caught_up && certified >= needed && tip > 0 {
            return Ok((Step::Repaired { raft_id: registered.own_active().map_or(0, |own| own.raft_id) }, standing));
        }
        let is_stuck = progress.is_stuck((tip, self.fetched.load(Ordering::Relaxed)), self.patience);
        let step = if is_stuck {
            let known = needed.max(tip.saturating_add(1));
            Step::GiveUp(format!(
                "the ledger is damaged: {}; no peer has given a sound copy for {} s: of the chain up to height {known} \
                 nothing comes from height {} on ({} peers connected). Start the other nodes, or restore this node or the \
                 consortium from a backup (docs/runbook.md, `Stored bytes have rotted`); the damaged ledger is kept in {}",
                damage.told(),
                self.patience.as_secs(),
                tip.saturating_add(1),
                self.network.connected_count(),
                self.home.damaged_ledger().display()
            ))
        } else {
            Step::Wait
        };
        Ok((step, standing))
    }

    /// Takes over what proves itself, and starts anew as what the node is.
    async fn end_repair(&self, raft_id: u64) {
        let (home, ledger) = (self.home.clone(), Arc::clone(&self.ledger));
        let ended = tokio::task::spawn_blocking(move || repair::finish(&home, &ledger, raft_id)).await;
        match ended {
            Ok(Ok(())) => self.shutdown.restart(Restart::Part("its ledger is repaired".to_owned())),
            Ok(Err(error)) => self.shutdown.fail(error.code(), &error),
            Err(error) => self.shutdown.fail("internal-error", error),
        }
    }

    fn step(&self, registered: &Registered, refused_since: &mut Option<Instant>) -> (Step, Standing) {
        let standing = |participation, detail: String| Standing { participation, detail };
        let caught_up = *self.caught_up.borrow();
        // Peers refuse the key in force from the block on that replaces it, so that block may never come with it.
        if matches!(self.part, Part::Follow { .. }) && keys::next_is_registered(&self.home, &self.node) {
            let detail = "it starts with its new key, which the chain registers".to_owned();
            return (restart("its key was replaced"), standing(Participation::Following, detail));
        }
        let Some(record) = registered.own_active() else {
            // A joining node's chain has not come to its record; one that orders was taken out.
            return match (&self.part, &registered.own) {
                (_, None) => {
                    let detail = format!("at height {} the chain does not know this node yet", registered.height);
                    (Step::Wait, standing(Participation::Following, detail))
                }
                (Part::Order { raft_id }, Some(_)) => {
                    let step = self.leave(registered, *raft_id, refused_since);
                    let detail = format!(
                        "this node or its member is suspended, left or removed; it orders on under its number {raft_id}                          until the others go on without it: leave it running"
                    );
                    (step, standing(Participation::Retired, detail))
                }
                (Part::Follow { .. } | Part::Rejoin(_), Some(_)) => {
                    let detail = "this node or its member is suspended, left or removed: peers refuse it; it serves what it holds";
                    (Step::Wait, standing(Participation::Retired, detail.to_owned()))
                }
            };
        };
        if record.key != self.key {
            let detail =
                "the chain registers another key for this node; it starts with that key once its file lies in \
                          keys-next/"
                    .to_owned();
            // Not while it catches up: the key of that height may be one that was replaced later.
            let step = match &self.part {
                Part::Order { .. } => restart("its key was replaced"),
                Part::Follow { .. } if keys::lies_ready(&self.home, &self.node, &record.key) => {
                    restart("its key was replaced")
                }
                Part::Follow { .. } | Part::Rejoin(_) => Step::Wait,
            };
            return (step, standing(Participation::Following, detail));
        }
        let number = record.raft_id;
        match &self.part {
            Part::Order { raft_id } if *raft_id == number && record.role == NodeRole::Voter => {
                self.ordering_step(registered, number)
            }
            Part::Order { raft_id } => {
                let detail = format!(
                    "it leaves ordering: it orders on under its number {raft_id} until the others go on without it"
                );
                let step = self.leave(registered, *raft_id, refused_since);
                (step, standing(Participation::Following, detail))
            }
            Part::Follow { .. } if record.role != NodeRole::Voter => {
                (Step::Wait, standing(Participation::Following, String::new()))
            }
            Part::Follow { stale: Some(stale) } if stale.raft_id == number => {
                let alone = registered.voters.voters.len() == 1 && registered.votes(&self.node);
                let next = if alone {
                    "it is the only voter, so nobody can give it a new number: recover (galen recovery draft)"
                } else {
                    "it catches up and then asks for a new number"
                };
                let step = if caught_up { Step::Ask(Wish::Number { replaces: number }) } else { Step::Wait };
                let detail = format!("it may not order under its number {number}: {}; {next}", stale.why);
                (step, standing(Participation::Stale, detail))
            }
            Part::Follow { .. } if number == 0 => {
                let detail =
                    if caught_up { "it asks for its number in ordering" } else { "it catches up before it asks" };
                let step = if caught_up { Step::Ask(Wish::Number { replaces: 0 }) } else { Step::Wait };
                (step, standing(Participation::Starting, detail.to_owned()))
            }
            // Handled before.
            Part::Rejoin(rejoin) => (Step::Wait, standing(Participation::Repairing, rejoin.told())),
            Part::Follow { .. } => (
                restart(&format!("the chain gives it the number {number} in ordering")),
                standing(Participation::Starting, format!("it starts to order under the number {number}")),
            ),
        }
    }

    /// What a node does that orders under its number.
    fn ordering_step(&self, registered: &Registered, raft_id: u64) -> (Step, Standing) {
        let standing = |participation, detail: String| Standing { participation, detail };
        if !self.gate.is_open() {
            return (Step::Wait, standing(Participation::Checking, self.waiting.borrow().clone()));
        }
        if registered.votes(&self.node) {
            return (Step::Wait, standing(Participation::Voting, String::new()));
        }
        let report = self.ordering.borrow();
        if report.is_caught_up && report.is_member {
            let detail = "it has caught up and asks for its place in the voter set".to_owned();
            return (Step::Ask(Wish::Vote { raft_id }), standing(Participation::Learning, detail));
        }
        let detail = if report.is_member {
            "it catches up in ordering"
        } else {
            "it waits for the leader to take it into ordering"
        };
        (Step::Wait, standing(Participation::Learning, detail.to_owned()))
    }

    /// A node that the chain has taken out of ordering orders on under its number until ordering goes on without it, however
    /// long that takes and however often it starts meanwhile: its vote may be the one that is missing for the change.
    ///
    /// It gives its number up when its own ordering log shows that ordering is without it, or when nobody leads it any more
    /// and its chain grows all the same ([`galen_chain::Orderer::may_retire`]); when the chain says nothing of that number
    /// any more; or when a majority of the voters refuses it for [`limits::REFUSED_PATIENCE`] as not registered. They do so
    /// only once the configuration of their own ordering is without it, and a majority that has applied that needs nobody
    /// else to go on. A node that hears nothing at all waits: the others may be down, and need it when they are back.
    fn leave(&self, registered: &Registered, raft_id: u64, refused_since: &mut Option<Instant>) -> Step {
        let log_end = self.ordering.borrow().log_end.unwrap_or_default();
        let retire = |why: &str| Step::Restart(Restart::Retired { raft_id, log_end, why: why.to_owned() });
        if registered.own_retired() != Some(raft_id) {
            // It has another number, asked for from another disk, or the chain has gone on by a recovery.
            return retire("the chain knows nothing of it any more");
        }
        let (may_retire, is_leader) = {
            let report = self.ordering.borrow();
            (report.may_retire, report.is_leader)
        };
        if may_retire && self.gate.is_open() {
            return retire("ordering goes on without this node");
        }
        if self.is_refused_by_majority(registered) {
            if refused_since.get_or_insert_with(Instant::now).elapsed() >= limits::REFUSED_PATIENCE {
                return retire("a majority of the voters refuses this node: their ordering is without it");
            }
        } else {
            *refused_since = None;
        }
        if is_leader { Step::HandOver } else { Step::Wait }
    }

    fn is_refused_by_majority(&self, registered: &Registered) -> bool {
        let refusing = self.network.peers().into_iter().filter(|peer| {
            let refused = peer.refusal.as_ref().is_some_and(|refusal| refusal.code() == NOT_REGISTERED);
            refused && peer.connection.is_none() && registered.votes(&peer.node)
        });
        refusing.count() > registered.voters.voters.len() / 2
    }

    /// Who leads and is to go hands over to a voter that stays. Ordering does so by itself once the block that takes this
    /// node out is certified here; but the others may have cut it off from the last signature.
    async fn hand_over(&self, registered: &Registered) {
        let stays = |peer: &PeerStatus| peer.connection.is_some() && registered.votes(&peer.node);
        for peer in self.network.peers().into_iter().filter(stays) {
            match self.chain.transfer(Some(peer.node)).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::info!(%error, "this node leaves ordering, and leadership is not handed over yet")
                }
            }
        }
    }
}

/// Whether what a repair needs still comes.
struct RepairProgress {
    seen: (u64, u64),
    since: Instant,
}

impl RepairProgress {
    fn new() -> Self {
        Self { seen: (0, 0), since: Instant::now() }
    }

    /// Whether neither the height nor what was fetched of a snapshot has changed for so long.
    fn is_stuck(&mut self, now: (u64, u64), patience: Duration) -> bool {
        if now != self.seen {
            (self.seen, self.since) = (now, Instant::now());
        }
        self.since.elapsed() >= patience
    }
}

/// The height that must be certified again before a repair ends, by the highest that was signed: certification follows
/// signatures, and those blocks may wait for this very node.
fn needed_height(signed: u64) -> u64 {
    signed.saturating_sub(limits::SYNC_LAG_VOTER)
}

/// The code with which the network refuses a node that is not registered.
const NOT_REGISTERED: &str = "not-registered";

fn restart(why: &str) -> Step {
    Step::Restart(Restart::Part(why.to_owned()))
}
