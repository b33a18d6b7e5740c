//! What the embedder and the peers ask for.

use bytes::Bytes;
use raft::StateRole;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::{Distrust, MessageError, ProposeError, RaftCore, ReadIndexError, Role, Stopped};
use crate::firewall::{self, Refusal};
use crate::limits::{PERSISTS_PENDING_MAX, READ_CONTEXT_BYTES_MAX, READS_PENDING_MAX};
use crate::types::RaftId;

impl RaftCore {
    /// A frame from a peer. `from` is who the connection is authenticated as, never what the frame says.
    ///
    /// # Errors
    /// When the firewall refuses it (nothing has changed then), or the core has stopped.
    pub fn message(&mut self, from: RaftId, bytes: Bytes) -> Result<(), MessageError> {
        self.message_with(from, bytes, |_| true)
    }

    /// A frame from a peer, as [`message`](Self::message), with the embedder's judgement on the data of each entry in it.
    /// A frame with an entry that is not acceptable is not acknowledged, and for a while its sender's heartbeats are
    /// not either: a leader that a majority refuses in this way is replaced, instead of leading without a commit.
    ///
    /// # Errors
    /// As [`message`](Self::message); [`Refusal::Unacceptable`] by the embedder's judgement.
    pub fn message_with(
        &mut self,
        from: RaftId,
        bytes: Bytes,
        acceptable: impl Fn(&[u8]) -> bool,
    ) -> Result<(), MessageError> {
        self.running()?;
        if self.restoring.is_some() {
            return Err(self.refuse(Refusal::Restoring));
        }
        if self.pending.len() >= PERSISTS_PENDING_MAX {
            return Err(self.refuse(Refusal::DiskBehind));
        }
        let view = firewall::View {
            id: self.config.id,
            term: self.raw.raft.term,
            role: self.role(),
            leader: self.leader(),
            last: self.raw.raft.raft_log.last_index(),
            membership: self.membership(),
            admitted: self.admitted.contains(&from),
            votes_asked: self.votes_asked,
            reads_pending: self.raw.raft.pending_read_count(),
            term_claimed: self.claims.believed(self.voices()),
        };
        let message = match firewall::check(&view, from, bytes) {
            Ok(message) => message,
            Err(refusal) => {
                tracing::debug!(node = self.config.id.0, peer = from.0, code = refusal.code(), %refusal, "message refused");
                if let Refusal::TermAhead { message, .. } = refusal {
                    self.claims.note(from, message, self.raw.raft.term);
                }
                return Err(self.refuse(refusal));
            }
        };
        let judged = self.judge_candidate(&message).and_then(|()| self.judge(from, &message, acceptable));
        if let Err(refusal) = judged {
            return Err(self.refuse(refusal));
        }
        self.heard.insert(from, self.ticks);
        if message.msg_type == MessageType::MsgSnapshot {
            self.offered(message)?;
        } else {
            self.step(message)?;
        }
        Ok(())
    }

    /// Asks the embedder about the entries of an append, and holds what else their sender says as long as it stands by
    /// unacceptable ones.
    fn judge(&mut self, from: RaftId, message: &Message, acceptable: impl Fn(&[u8]) -> bool) -> Result<(), Refusal> {
        let leads =
            matches!(message.msg_type, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot);
        if !leads {
            return Ok(());
        }
        // What the ledger holds stands on the chain, by this log or by certified blocks: nobody asks again whether it may.
        let refused = message.entries.iter().filter(|entry| entry.index > self.applied).find(|entry| {
            entry.entry_type == EntryType::EntryNormal && !entry.data.is_empty() && !acceptable(&entry.data)
        });
        if let Some(entry) = refused {
            // Every follower's election timer runs out within this.
            let until = self.ticks + 3 * self.config.election_tick as u64;
            self.distrust = Some(Distrust { leader: from, term: message.term, until });
            tracing::warn!(node = self.config.id.0, leader = from.0, index = entry.index, "an entry is not acceptable");
            return Err(Refusal::Unacceptable(entry.index));
        }
        let Some(distrust) = self.distrust.filter(|distrust| (distrust.leader, distrust.term) == (from, message.term))
        else {
            return Ok(());
        };
        if message.entries.is_empty() && self.ticks < distrust.until {
            return Err(Refusal::Distrusted(from));
        }
        self.distrust = None;
        Ok(())
    }

    /// Steps a message that passed the firewall. Raft's own refusals mean that it ignored it.
    pub(super) fn step(&mut self, message: Message) -> Result<(), Stopped> {
        let _ignored = self.guarded(|raw| raw.step(message))?;
        self.reset_timeout();
        Ok(())
    }

    /// Proposes an entry; only the leader does. Gives the index and term at which it stands, if it is ever committed:
    /// another entry may be committed at that index when leadership is lost.
    ///
    /// # Errors
    /// When this node does not lead, is full, or the data is of a wrong size.
    pub fn propose(&mut self, data: Bytes) -> Result<(u64, u64), ProposeError> {
        self.may_propose()?;
        if data.is_empty() {
            return Err(ProposeError::Empty);
        }
        if data.len() > self.config.entry_bytes_max {
            return Err(ProposeError::TooLarge { bytes: data.len(), limit: self.config.entry_bytes_max });
        }
        if self.raw.store().bytes() >= self.config.log_bytes_max {
            return Err(ProposeError::Full);
        }
        let message = Message {
            msg_type: MessageType::MsgPropose,
            from: self.config.id.0,
            entries: vec![Entry { data, ..Entry::default() }],
            ..Message::default()
        };
        self.guarded(|raw| raw.step(message))?.map_err(|_| ProposeError::Full)?;
        self.reset_timeout();
        Ok((self.raw.raft.raft_log.last_index(), self.raw.raft.term))
    }

    pub(super) fn may_propose(&self) -> Result<(), ProposeError> {
        self.running()?;
        if self.role() != Role::Leader || self.restoring.is_some() {
            return Err(ProposeError::NotLeader { leader: self.leader().filter(|leader| *leader != self.config.id) });
        }
        if self.raw.raft.lead_transferee.is_some() {
            return Err(ProposeError::Transferring);
        }
        if self.pending.len() >= PERSISTS_PENDING_MAX {
            return Err(ProposeError::Full);
        }
        Ok(())
    }

    /// The ledger holds everything up to `index`, by executing committed entries or by pulling blocks.
    ///
    /// # Errors
    /// When the core has stopped.
    pub fn applied(&mut self, index: u64) -> Result<(), Stopped> {
        self.running()?;
        self.applied = self.applied.max(index);
        self.advance_applied()
    }

    /// Asks for the index up to which a read must have applied to be linearizable: confirmed by a quorum, never by a
    /// clock. The answer comes in `Effects::read_states`, or never: ask again after a deadline with another context.
    ///
    /// # Errors
    /// When nobody can answer, or too much is asked.
    pub fn read_index(&mut self, context: &[u8]) -> Result<(), ReadIndexError> {
        self.running()?;
        if context.len() > READ_CONTEXT_BYTES_MAX {
            return Err(ReadIndexError::Context);
        }
        let leads = self.role() == Role::Leader;
        if self.restoring.is_some() || self.leader().is_none() || (leads && !self.raw.raft.commit_to_current_term()) {
            return Err(ReadIndexError::NoLeader);
        }
        if self.raw.raft.pending_read_count() >= READS_PENDING_MAX {
            return Err(ReadIndexError::Full);
        }
        let mut own = self.config.id.0.to_le_bytes().to_vec();
        own.extend_from_slice(context);
        self.guarded(|raw| raw.read_index(own))?;
        self.reset_timeout();
        Ok(())
    }

    /// Starts an election now, with a pre-vote. Does nothing on a leader or a node without a vote.
    ///
    /// # Errors
    /// When the core has stopped.
    pub fn campaign(&mut self) -> Result<(), Stopped> {
        self.running()?;
        if self.raw.raft.state == StateRole::Leader || !self.raw.raft.promotable() || !self.may_campaign() {
            return Ok(());
        }
        let _ignored = self.guarded(|raw| raw.campaign())?;
        self.reset_timeout();
        Ok(())
    }

    /// The last frame for this peer was not delivered.
    ///
    /// # Errors
    /// When the core has stopped.
    pub fn report_unreachable(&mut self, peer: RaftId) -> Result<(), Stopped> {
        self.guarded(|raw| raw.report_unreachable(peer.0))?;
        self.reset_timeout();
        Ok(())
    }

    /// The connection to a peer broke. A voter whose leader that was does not wait any longer than the shortest election
    /// timeout would have it: a process that dies takes its connections along at once, and its voters notice together. Where
    /// the leader lives and only this connection broke, its next heartbeat starts the wait anew; and a voter that asks too
    /// early is refused by all that still hear the leader, without a new term (pre-vote).
    pub fn peer_lost(&mut self, peer: RaftId) {
        if self.role() == Role::Follower && self.leader() == Some(peer) {
            let raft = &mut self.raw.raft;
            raft.election_elapsed = raft.election_elapsed.max(raft.election_timeout());
        }
    }

    /// Lets a node speak that this node's configuration does not name yet: the chain's newest blocks may know more
    /// members than this node has applied.
    pub fn admit(&mut self, peer: RaftId) {
        self.admitted.insert(peer);
    }

    /// Takes that back.
    pub fn dismiss(&mut self, peer: RaftId) {
        self.admitted.remove(&peer);
    }
}
