//! Linearizable reads: waits until this node holds everything that was acknowledged anywhere before the question. A node
//! that orders has a quorum confirm an index of the ordering log (Raft's ReadIndex, never a lease); one that does not
//! asks a quorum of voters to do so ([`inquiry`](super::inquiry)).

use std::sync::mpsc::SyncSender;
use std::time::Instant;

use galen_p2p::{Refusal, Responder};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;

use super::execution::{ExecutionHandle, ExecutionInput, Progress};
use super::fatal::Shutdown;
use super::gate::Gate;
use super::inquiry::Inquirer;
use super::ordering::{Leadership, OrderingInput};
use crate::http::services::{ErrorKind, ServiceError};

/// What confirming reads works with.
#[derive(Clone)]
pub(super) struct Reading {
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// Whether ordering speaks.
    pub(super) gate: Gate,
    /// To the task that asks voters. Full: reads are refused.
    pub(super) inquiries: mpsc::Sender<Inquirer>,
    /// To the execution thread.
    pub(super) execution: ExecutionHandle,
    /// How far the chain has come.
    pub(super) progress: watch::Receiver<Progress>,
    /// Who leads.
    pub(super) leadership: watch::Receiver<Leadership>,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
}

const HINT: &str = "ask again, or ask another node; with consistency=local a node answers at once from what it holds, and \
                    says at which height";

fn busy() -> ServiceError {
    ServiceError::new(ErrorKind::Unavailable, "reads-busy", "too many reads wait to be confirmed here").with_hint(HINT)
}

fn stopping() -> ServiceError {
    ServiceError::new(ErrorKind::Unavailable, "node-stopping", "the node is stopping")
        .with_hint("ask another node of the consortium")
}

impl Reading {
    /// Waits until this node's ledger holds whatever was acknowledged by any node before the call.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`]: code `read-not-confirmed` when no quorum confirmed it by the deadline,
    /// `read-not-caught-up` when this node did not get the blocks by then, `reads-busy` when too many wait.
    pub(super) async fn confirm(&self, deadline: Instant) -> Result<(), ServiceError> {
        match &self.ordering {
            Some(ordering) if self.gate.is_open() => self.confirm_by_ordering(ordering, deadline).await,
            _ => self.confirm_by_voters(deadline).await,
        }
    }

    async fn confirm_by_ordering(
        &self,
        ordering: &SyncSender<OrderingInput>,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        let (reply, served) = oneshot::channel();
        ordering.try_send(OrderingInput::Read { reply }).map_err(|_| busy())?;
        match timeout_at(deadline.into(), served).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(_))) => Err(busy()),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                let detail = match &self.leadership.borrow().leader {
                    None => {
                        "no leader is known, so that nobody can confirm that this node's answer is not stale".into()
                    }
                    Some(leader) => format!(
                        "no quorum confirmed through the leader {leader} in time that this node's answer would not be stale"
                    ),
                };
                Err(ServiceError::new(ErrorKind::Unavailable, "read-not-confirmed", detail).with_hint(HINT))
            }
        }
    }

    async fn confirm_by_voters(&self, deadline: Instant) -> Result<(), ServiceError> {
        let (reply, answer) = oneshot::channel();
        self.inquiries.try_send(Inquirer { deadline, reply }).map_err(|_| busy())?;
        let height = match timeout_at(deadline.into(), answer).await {
            Ok(Ok(height)) => height,
            Ok(Err(_)) if self.shutdown.is_stopping() => return Err(stopping()),
            Ok(Err(_)) | Err(_) => {
                let detail = "too few voters confirmed in time how far this node must have come to answer";
                return Err(ServiceError::new(ErrorKind::Unavailable, "read-not-confirmed", detail).with_hint(HINT));
            }
        };
        if self.progress.borrow().height < height {
            // A reason to ask for blocks at once, and nothing else.
            self.execution.offer(ExecutionInput::Claimed(height));
        }
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.height >= height);
        let reached = tokio::select! {
            biased;
            reached = timeout_at(deadline.into(), reached) => matches!(reached, Ok(Ok(_))),
            () = self.shutdown.stopping() => return Err(stopping()),
        };
        if reached {
            return Ok(());
        }
        let held = self.progress.borrow().height;
        let detail = format!("the voters are at height {height}, this node at {held}: it did not catch up in time");
        Err(ServiceError::new(ErrorKind::Unavailable, "read-not-caught-up", detail).with_hint(HINT))
    }

    /// Answers a peer that does not order: the height up to which this node's ledger holds whatever was acknowledged before
    /// the question came, as 8 bytes, little-endian.
    pub(super) async fn answer(self, deadline: Instant, reply: Responder) {
        let confirmed = match &self.ordering {
            Some(ordering) if self.gate.is_open() => self.confirm_by_ordering(ordering, deadline).await,
            _ => return reply.refuse(Refusal::new("not-ordering", "this node does not order")),
        };
        match confirmed {
            Ok(()) => {
                let height = self.progress.borrow().height;
                reply.answer(height.to_le_bytes().to_vec().into());
            }
            Err(error) => reply.refuse(Refusal::new(error.code, error.detail)),
        }
    }
}
