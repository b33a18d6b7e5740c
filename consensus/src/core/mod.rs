//! The sans-io core: inputs are methods, outputs come from [`RaftCore::effects`].
//!
//! Files: `effects` and `error` are the values, `drive` turns raft's readiness into effects and keeps R1 and R2,
//! `clock` is what time alone causes, `vote_floor` holds back the votes of a disk in doubt, `term_claims` weighs terms far ahead,
//! `transfer` hands leadership over, `snapshot` and `change` are the two rare paths,
//! `status` is for operators and for whoever drives changes of the group.

mod change;
mod clock;
mod config;
mod drive;
mod effects;
mod error;
mod input;
mod snapshot;
mod status;
mod term_claims;
mod transfer;
mod vote_floor;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft::eraftpb::Message;
use raft::{RawNode, StateRole};

use crate::firewall::Refusal;
use crate::log::Recovered;
use crate::logger::raft_logger;
use crate::membership::Membership;
use crate::storage::EntryStore;
use crate::timeout::election_timeout;
use crate::types::{Entry, EntryKind, HardState, MembershipAt, Persist, PersistToken, RaftId, SnapshotMeta, VoteFloor};

pub use change::MembershipChange;
pub use config::{ConfigError, CoreConfig};
pub use effects::{
    Committed, Effects, Outgoing, Payload, ReadState, Role, RoleChange, SnapshotOffer, TransferEnd, TransferOutcome,
};
pub use error::{
    CompactError, MembershipChangeError, MessageError, ProposeError, ReadIndexError, SnapshotError, Stopped,
    TransferError,
};
pub use status::{PeerProgress, Status};

use drive::{Pending, Restoring};
use term_claims::TermClaims;
use transfer::Transfer;

/// One node's Raft state machine.
///
/// Call any number of inputs, then [`effects`](Self::effects) once: what happened together is written and sent together.
pub struct RaftCore {
    raw: RawNode<EntryStore>,
    config: CoreConfig,
    /// Configurations still of use, oldest first; the last one holds. Never empty.
    memberships: VecDeque<MembershipAt>,
    /// Nodes that may speak though the configuration does not name them.
    admitted: BTreeSet<RaftId>,
    /// The embedder's ledger holds everything up to here.
    applied: u64,
    /// Raft has handed out everything up to here.
    emitted: u64,
    ticks: u64,
    /// Election timers that ran out; each draws a new timeout.
    draws: u64,
    /// Steps of raft whose messages wait, oldest first.
    pending: VecDeque<Pending>,
    last_token: PersistToken,
    durable: PersistToken,
    /// Term and vote as last handed out to be written.
    written: HardState,
    reported: RoleChange,
    /// The last request for votes that was sent: (is a pre-vote, term).
    votes_asked: Option<(bool, u64)>,
    restoring: Option<Restoring>,
    offer: Option<Message>,
    /// When each peer was last heard, in ticks.
    heard: BTreeMap<RaftId, u64>,
    /// Since when each follower waits on a snapshot, in ticks.
    snapshot_since: BTreeMap<RaftId, u64>,
    /// A handover of leadership whose end was not reported yet.
    transfer: Option<Transfer>,
    refusals: BTreeMap<&'static str, u64>,
    /// The leader whose entries the embedder refused last.
    distrust: Option<Distrust>,
    /// Terms far ahead that members claimed.
    claims: TermClaims,
    /// Below this this node gives no vote.
    vote_floor: VoteFloor,
    out: Effects,
    stopped: Option<String>,
}

/// A leader that sent an entry which the embedder refuses.
#[derive(Debug, Clone, Copy)]
struct Distrust {
    leader: RaftId,
    term: u64,
    /// The tick from which its heartbeats are answered again, so that it sends its entries again.
    until: u64,
}

impl RaftCore {
    /// A core that goes on where the log ends. `applied` is the index that the embedder's ledger holds; entries up to it
    /// are not handed out again. It may be ahead of the log (the ledger also grows by pulled blocks), as it is on a node
    /// that joins, never behind what the log was cut below.
    ///
    /// # Errors
    /// When the configuration or the log cannot be.
    pub fn new(config: CoreConfig, recovered: Recovered, applied: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let fresh = recovered.snapshot.is_none() && recovered.memberships.is_empty();
        if fresh && config.bootstrap.as_ref().is_some_and(|founders| !founders.contains(config.id)) {
            return Err(ConfigError::NotFounder(config.id));
        }
        let initial = MembershipAt { index: 0, membership: config.bootstrap.clone().unwrap_or_default() };
        let snapshot = recovered.snapshot.unwrap_or_else(|| SnapshotMeta {
            index: 0,
            term: 0,
            membership: recovered.memberships.first().filter(|at| at.index == 0).cloned().unwrap_or(initial),
            context: bytes::Bytes::new(),
        });
        if applied < snapshot.index {
            return Err(ConfigError::LedgerBehind { applied, snapshot: snapshot.index });
        }
        let mut memberships = VecDeque::from([snapshot.membership.clone()]);
        memberships.extend(recovered.memberships.into_iter().filter(|at| at.index > snapshot.membership.index));
        let current = memberships.back().map(|at| at.membership.clone()).unwrap_or_default();
        if current.is_known() {
            current.check().map_err(ConfigError::Membership)?;
        }
        if current.is_retired(config.id) {
            return Err(ConfigError::Retired(config.id));
        }
        let last = recovered.entries.last().map_or(snapshot.index, |entry| entry.index);
        if current.is_sole_voter(config.id) && last < applied {
            return Err(ConfigError::LogBehind { last, applied });
        }
        // A change of the configuration that the ledger has passed and the log has not noted: the crash came between the
        // two. Raft must hand it out again.
        let noted = memberships.back().map_or(0, |at| at.index);
        let unseen = |entry: &&Entry| entry.kind == EntryKind::Membership && entry.index > noted;
        let unseen_change = recovered.entries.iter().find(unseen).map_or(u64::MAX, |entry| entry.index);
        let hard_state = start_state(&snapshot, &recovered.entries, recovered.hard_state)?;

        let entries = recovered.entries.into_iter().map(drive::to_raft_entry).collect();
        let raft_hard_state = raft::eraftpb::HardState {
            term: hard_state.term,
            vote: hard_state.vote.map_or(0, |id| id.0),
            commit: hard_state.commit,
        };
        // Raft demands that what is applied is committed; where the ledger is ahead, the rest follows by `applied`.
        let raft_applied = applied.min(hard_state.commit).min(unseen_change.saturating_sub(1));
        #[cfg(feature = "planted")]
        let raft_applied = match galen_planted::is_on(galen_planted::Bug::AppliedFromCommit) {
            true => hard_state.commit.min(unseen_change.saturating_sub(1)),
            false => raft_applied,
        };
        let store = EntryStore::new(snapshot, entries, raft_hard_state, current.to_raft_on(config.id));
        let raw = RawNode::new(&config.to_raft(raft_applied), store, &raft_logger(config.id.0))
            .map_err(|error| ConfigError::Raft(error.to_string()))?;
        let reported = RoleChange { role: Role::Follower, leader: None, term: hard_state.term };
        let mut core = Self {
            raw,
            config,
            memberships,
            admitted: BTreeSet::new(),
            applied,
            emitted: raft_applied,
            ticks: 0,
            draws: 0,
            pending: VecDeque::new(),
            last_token: PersistToken(0),
            durable: PersistToken(0),
            written: recovered.hard_state,
            reported,
            votes_asked: None,
            restoring: None,
            offer: None,
            heard: BTreeMap::new(),
            snapshot_since: BTreeMap::new(),
            transfer: None,
            refusals: BTreeMap::new(),
            distrust: None,
            claims: TermClaims::default(),
            vote_floor: VoteFloor::default(),
            out: Effects::default(),
            stopped: None,
        };
        core.reset_timeout();
        if fresh {
            // From now on the log knows the group's first configuration, or that this node joins and has none yet,
            // whatever a later start is told.
            let membership = core.memberships.back().cloned();
            core.write(Persist {
                token: PersistToken(0),
                snapshot: None,
                entries: Vec::new(),
                membership,
                hard_state: None,
            });
        }
        Ok(core)
    }

    /// Stops for good, for a reason outside: the log could not be written (R4).
    pub fn stop(&mut self, cause: impl Into<String>) {
        let cause = cause.into();
        tracing::error!(node = self.config.id.0, %cause, "ordering stops on this node");
        self.stopped.get_or_insert(cause);
    }

    fn running(&self) -> Result<(), Stopped> {
        match &self.stopped {
            Some(cause) => Err(Stopped { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Runs a piece of raft. A panic there is a defect; it ends this instance and not the process, so that the embedder
    /// reports it and stops in order.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut RawNode<EntryStore>) -> T) -> Result<T, Stopped> {
        self.running()?;
        let raw = &mut self.raw;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(raw)));
        result.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            self.stop(format!("internal error: {}", text.unwrap_or_default()));
            Stopped { cause: self.stopped.clone().unwrap_or_default() }
        })
    }

    fn reset_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let timeout =
            election_timeout(self.config.seed, self.config.id.0, raft.term, self.draws, self.config.election_tick);
        raft.set_randomized_election_timeout(timeout);
    }

    fn refuse(&mut self, refusal: Refusal) -> MessageError {
        *self.refusals.entry(refusal.code()).or_default() += 1;
        refusal.into()
    }

    fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }
    }

    /// Who leads, as far as it knows.
    #[must_use]
    pub fn leader(&self) -> Option<RaftId> {
        RaftId::known(self.raw.raft.leader_id)
    }

    pub(crate) fn membership_at(&self) -> MembershipAt {
        self.memberships.back().cloned().unwrap_or_default()
    }

    /// The configuration that holds; not [known](Membership::is_known) on a node that joins and has heard of none yet.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        static NONE: Membership = Membership {
            voters: BTreeSet::new(),
            learners: BTreeSet::new(),
            voters_outgoing: BTreeSet::new(),
            learners_next: BTreeSet::new(),
            highest_id: RaftId(0),
        };
        self.memberships.back().map_or(&NONE, |at| &at.membership)
    }
}

/// Checks the recovered log against itself and gives the state to start from.
fn start_state(snapshot: &SnapshotMeta, entries: &[Entry], recovered: HardState) -> Result<HardState, ConfigError> {
    let (mut index, mut term) = (snapshot.index, snapshot.term);
    for entry in entries {
        if entry.index != index + 1 || entry.term < term {
            return Err(ConfigError::Log(entry.index));
        }
        (index, term) = (entry.index, entry.term);
    }
    if recovered.commit > index {
        return Err(ConfigError::Log(recovered.commit));
    }
    let mut state = HardState { commit: recovered.commit.max(snapshot.index), ..recovered };
    if state.term < term {
        // The write that brought the entries was cut before its hard state: nothing of that term was promised.
        state = HardState { term, vote: None, ..state };
    }
    Ok(state)
}
