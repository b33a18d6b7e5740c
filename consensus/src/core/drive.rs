//! Turns raft's readiness into effects.
//!
//! Raft hands out its work in numbered steps ("ready"). Each step's messages wait here until its own writes and all
//! earlier ones are durable (R1), except a leader's: it may replicate while it writes (Raft dissertation, 10.2.1), once
//! its term and vote are durable.

use raft::Ready;
use raft::eraftpb::{Entry as RaftEntry, EntryType, Message, MessageType};

use super::{Committed, Effects, Outgoing, Payload, RaftCore, ReadState, Role, RoleChange, Stopped};
use crate::types::{Entry, EntryKind, HardState, Persist, PersistToken, RaftId, SnapshotChange, SnapshotMeta};
use crate::wire;

/// A step whose messages wait.
pub(super) struct Pending {
    /// What must be durable first; `None` when only earlier steps must be.
    pub(super) token: Option<PersistToken>,
    /// Raft's number of the step.
    number: Option<u64>,
    messages: Vec<Message>,
    /// Whether the step changes term or vote.
    votes: bool,
    /// The tick at which it began to wait.
    pub(super) since: u64,
}

/// A snapshot that raft has taken and that is not durable. Until it is, raft is not touched: its log would be between
/// two states, in which an election timeout panics it.
pub(super) struct Restoring {
    ready: Ready,
    snapshot: SnapshotMeta,
}

impl RaftCore {
    /// Everything to do since the last call.
    ///
    /// # Errors
    /// When the core has stopped.
    pub fn effects(&mut self) -> Result<Effects, Stopped> {
        self.running()?;
        loop {
            self.release()?;
            if self.restoring.is_some() || !self.raw.has_ready() {
                break;
            }
            self.step_ready()?;
        }
        self.report_transfer();
        let role = RoleChange { role: self.role(), leader: self.leader(), term: self.raw.raft.term };
        if role != self.reported {
            self.reported = role;
            self.out.role = Some(role);
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// Everything up to `token` is durable. Call it only after a sync that succeeded; after one that failed call
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    /// When the core has stopped.
    pub fn persisted(&mut self, token: PersistToken) -> Result<(), Stopped> {
        self.running()?;
        self.durable = self.durable.max(token.min(self.last_token));
        self.release()
    }

    /// Hands out a write and waits for it.
    pub(super) fn write(&mut self, persist: Persist) {
        self.wait(Some(persist), None, Vec::new());
    }

    fn wait(&mut self, persist: Option<Persist>, number: Option<u64>, messages: Vec<Message>) {
        let mut votes = false;
        let token = persist.map(|mut persist| {
            self.last_token = PersistToken(self.last_token.0 + 1);
            persist.token = self.last_token;
            if let Some(state) = persist.hard_state {
                votes = (state.term, state.vote) != (self.written.term, self.written.vote);
                self.written = state;
            }
            self.out.persist.push(persist);
            self.last_token
        });
        self.pending.push_back(Pending { token, number, messages, votes, since: self.ticks });
    }

    /// Lets go of the steps that are durable, in order.
    fn release(&mut self) -> Result<(), Stopped> {
        while self.pending.front().is_some_and(|front| front.token.is_none_or(|token| token <= self.durable)) {
            let Some(step) = self.pending.pop_front() else {
                break;
            };
            if let Some(number) = step.number {
                match &self.restoring {
                    Some(restoring) if restoring.ready.number() == number => self.restored()?,
                    // The snapshot's own number says it for all before it.
                    Some(_) => {}
                    None => self.guarded(|raw| raw.on_persist_ready(number))?,
                }
            }
            self.send(step.messages);
        }
        self.advance_applied()
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            // A candidate's own vote counts too; a request that nobody hears wins nothing.
            if self.judge_candidate(&message).is_err() {
                continue;
            }
            match message.msg_type {
                MessageType::MsgRequestVote => self.votes_asked = Some((false, message.term)),
                MessageType::MsgRequestPreVote => self.votes_asked = Some((true, message.term)),
                _ => {}
            }
            self.out.send.push(Outgoing { to: RaftId(message.to), bytes: wire::encode(&message) });
        }
    }

    fn step_ready(&mut self) -> Result<(), Stopped> {
        let mut ready = self.guarded(|raw| raw.ready())?;
        let number = ready.number();
        let committed = ready.take_committed_entries();
        for state in ready.take_read_states() {
            let context = state.request_ctx.get(8..).map(bytes::Bytes::copy_from_slice).unwrap_or_default();
            self.out.read_states.push(ReadState { index: state.index, context });
        }
        let at_once = ready.take_messages();
        let mut messages = ready.take_persisted_messages();
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::SentBeforeStored) {
            self.send(std::mem::take(&mut messages));
        }
        let snapshot = self.snapshot_of(&ready)?;
        let persist = ready.must_sync().then(|| Persist {
            token: PersistToken(0),
            snapshot: snapshot.clone().map(SnapshotChange::Restored),
            entries: ready.entries().iter().map(from_raft_entry).collect(),
            membership: None,
            hard_state: Some(self.hard_state()),
        });
        if let Some(snapshot) = snapshot {
            self.wait(persist, Some(number), messages);
            self.restoring = Some(Restoring { ready, snapshot });
            return Ok(());
        }
        if !self.raw.mut_store().append(ready.entries()) {
            self.stop("the log would have a gap");
            return self.running();
        }
        self.guarded(|raw| raw.advance_append_async(ready))?;

        let votes_before = self.pending.iter().any(|pending| pending.votes);
        let votes_now = persist
            .as_ref()
            .and_then(|persist| persist.hard_state)
            .is_some_and(|state| (state.term, state.vote) != (self.written.term, self.written.vote));
        if votes_before || votes_now {
            // A sole voter leads in the step in which it votes for itself: its entries must not be seen in a term that
            // a crash would make it forget.
            messages.extend(at_once);
        } else {
            self.send(at_once);
        }
        self.wait(persist, Some(number), messages);
        for entry in committed {
            self.commit(entry)?;
        }
        self.advance_applied()
    }

    fn hard_state(&self) -> HardState {
        let raft = &self.raw.raft;
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::VoteNotStored) {
            return HardState { term: raft.term, vote: None, commit: raft.raft_log.committed };
        }
        HardState { term: raft.term, vote: RaftId::known(raft.vote), commit: raft.raft_log.committed }
    }

    fn snapshot_of(&mut self, ready: &Ready) -> Result<Option<SnapshotMeta>, Stopped> {
        if ready.snapshot().is_empty() {
            return Ok(None);
        }
        let metadata = ready.snapshot().get_metadata();
        let Ok((membership, context)) = wire::decode_snapshot_data(&ready.snapshot().data) else {
            self.stop("a snapshot passed the firewall that does not decode");
            self.running()?;
            return Ok(None);
        };
        Ok(Some(SnapshotMeta { index: metadata.index, term: metadata.term, membership, context }))
    }

    /// The snapshot is durable: now raft may see it.
    fn restored(&mut self) -> Result<(), Stopped> {
        let Some(Restoring { ready, snapshot }) = self.restoring.take() else {
            return Ok(());
        };
        let number = ready.number();
        self.emitted = self.emitted.max(snapshot.index);
        self.memberships = [snapshot.membership.clone()].into();
        self.raw.mut_store().restore(snapshot);
        if !self.raw.mut_store().append(ready.entries()) {
            self.stop("the log would have a gap after its snapshot");
            return self.running();
        }
        self.guarded(|raw| {
            raw.advance_append_async(ready);
            raw.on_persist_ready(number);
        })?;
        self.reset_timeout();
        self.advance_applied()
    }

    fn commit(&mut self, entry: RaftEntry) -> Result<(), Stopped> {
        let (index, term) = (entry.index, entry.term);
        let payload = match entry.entry_type {
            EntryType::EntryNormal if entry.data.is_empty() => Payload::Nothing,
            EntryType::EntryNormal => Payload::Data(entry.data),
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => self.change(&entry)?,
        };
        if index > self.applied.max(self.emitted) {
            self.out.committed.push(Committed { index, term, payload });
        }
        self.emitted = self.emitted.max(index);
        Ok(())
    }

    /// Tells raft what is applied, as far as it can hear it: the ledger may be ahead of the log.
    pub(super) fn advance_applied(&mut self) -> Result<(), Stopped> {
        if self.restoring.is_some() {
            return Ok(());
        }
        let log = &self.raw.raft.raft_log;
        // Not beyond what raft handed out: changes of the configuration take effect there.
        let target = self.applied.min(self.emitted).min(log.committed).min(log.persisted);
        if target > log.applied {
            self.guarded(|raw| raw.advance_apply_to(target))?;
        }
        Ok(())
    }

    /// Steps down a leader that no longer votes, once the others can know.
    pub(super) fn step_down_if_removed(&mut self) -> Result<(), Stopped> {
        if self.role() == Role::Leader && !self.membership().is_voter(self.config.id) {
            self.step_down()?;
        }
        Ok(())
    }
}

fn from_raft_entry(entry: &RaftEntry) -> Entry {
    let kind = match entry.entry_type {
        EntryType::EntryNormal => EntryKind::Data,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Membership,
    };
    Entry { index: entry.index, term: entry.term, kind, data: entry.data.clone() }
}

pub(super) fn to_raft_entry(entry: Entry) -> RaftEntry {
    let entry_type = match entry.kind {
        EntryKind::Data => EntryType::EntryNormal,
        EntryKind::Membership => EntryType::EntryConfChangeV2,
    };
    RaftEntry { entry_type, index: entry.index, term: entry.term, data: entry.data, context: bytes::Bytes::new() }
}
