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

    /// The node's state now.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let mut peers = BTreeMap::new();
        if self.role() == Role::Leader {
            for (id, progress) in raft.prs().iter().filter(|(id, _)| **id != self.config.id.0) {
                let id = RaftId(*id);
                let silent_ticks = self.heard.get(&id).map(|tick| self.ticks.saturating_sub(*tick));
                let needs_snapshot = progress.state == ProgressState::Snapshot;
                peers.insert(id, PeerProgress { matched: progress.matched, needs_snapshot, silent_ticks });
            }
        }
        Status {
            id: self.config.id,
            role: self.role(),
            leader: self.leader(),
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
