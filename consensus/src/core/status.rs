//! For operators and metrics.

use std::collections::BTreeMap;

use raft::ProgressState;

use super::{RaftCore, Role};
use crate::membership::Membership;
use crate::types::RaftId;

/// A node's state at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// This node.
    pub id: RaftId,
    /// Its part.
    pub role: Role,
    /// Who leads, if known.
    pub leader: Option<RaftId>,
    /// Whether that leader was heard within an election timeout, or is this node. A learner never campaigns, and so holds the
    /// last leader that it heard for one for ever.
    pub hears_leader: bool,
    /// The term.
    pub term: u64,
    /// Committed up to here, as far as this node knows.
    pub commit: u64,
    /// Applied by the embedder up to here.
    pub applied: u64,
    /// Index of the snapshot that stands for what was cut.
    pub snapshot: u64,
    /// The log's last index.
    pub last: u64,
    /// Durable on this node up to here.
    pub durable: u64,
    /// Bytes of entries held in memory.
    pub log_bytes: u64,
    /// Steps that wait to become durable.
    pub pending: usize,
    /// The configuration that holds; joint only for moments.
    pub membership: Membership,
    /// On a leader: how far each other node is.
    pub peers: BTreeMap<RaftId, PeerProgress>,
    /// Messages refused so far, by code.
    pub refusals: BTreeMap<&'static str, u64>,
}

/// How far a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerProgress {
    /// It holds the log up to here.
    pub matched: u64,
    /// It was heard within an election timeout.
    pub heard_lately: bool,
    /// It needs entries that were cut and must pull blocks.
    pub needs_snapshot: bool,
    /// Ticks since it was heard; `None` if never.
    pub silent_ticks: Option<u64>,
}

impl RaftCore {
    /// Bytes of entries held in memory.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.raw.store().bytes()
    }

    /// On a leader: how far another node of the configuration is.
    #[must_use]
    pub fn progress_of(&self, id: RaftId) -> Option<PeerProgress> {
        let progress = self.raw.raft.prs().get(id.0);
        let progress = progress.filter(|_| self.role() == Role::Leader && id != self.config.id)?;
        Some(PeerProgress {
            matched: progress.matched,
            heard_lately: self.heard_lately(id),
            needs_snapshot: progress.state == ProgressState::Snapshot,
            silent_ticks: self.heard.get(&id).map(|tick| self.ticks.saturating_sub(*tick)),
        })
    }

    /// Whether the node was heard within an election timeout; this one always is. A leader that loses its majority steps
    /// down only one to two timeouts later.
    pub(super) fn heard_lately(&self, id: RaftId) -> bool {
        let recent = self.ticks.saturating_sub(self.config.election_tick as u64);
        id == self.config.id || self.heard.get(&id).is_some_and(|tick| *tick >= recent)
    }

    /// Whether it knows a leader and heard it within an election timeout; a leader always does.
    #[must_use]
    pub fn hears_leader(&self) -> bool {
        self.leader().is_some_and(|leader| self.heard_lately(leader))
    }

    /// The log's last index.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Committed up to here, as far as this node knows.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// Whether this node waits to be taken into the group: the configuration it knows, if any, does not name it.
    #[must_use]
    pub fn is_joining(&self) -> bool {
        !self.membership().contains(self.config.id)
    }

    /// Whether a change of the configuration is unfinished as far as this node knows: proposed and not applied by the
    /// leader, or joint. A leader takes no other meanwhile.
    #[must_use]
    pub fn change_unfinished(&self) -> bool {
        self.membership().is_joint() || (self.role() == Role::Leader && self.raw.raft.has_pending_conf())
    }

    /// The node's state now.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let mut peers = BTreeMap::new();
        if self.role() == Role::Leader {
            let ids = raft.prs().iter().map(|(id, _)| RaftId(*id)).filter(|id| *id != self.config.id);
            peers.extend(ids.filter_map(|id| Some((id, self.progress_of(id)?))));
        }
        Status {
            id: self.config.id,
            role: self.role(),
            leader: self.leader(),
            hears_leader: self.hears_leader(),
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: self.applied,
            snapshot: self.raw.store().snapshot.index,
            last: raft.raft_log.last_index(),
            durable: raft.raft_log.persisted,
            log_bytes: self.log_bytes(),
            pending: self.pending.len(),
            membership: self.membership().clone(),
            peers,
            refusals: self.refusals.clone(),
        }
    }
}
