//! The execution thread: owns the executor. Executes ordered batches and handles what peers say about headers, in turns;
//! signs and publishes; tells waiting clients, the ordering thread and the event stream what happened.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use galen_chain::executor::{Certification, Executed, FollowError};
use galen_chain::knowledge::SeenSignatures;
use galen_chain::sync::SyncAnswer;
use galen_chain::{Executor, ExecutorError, OrderedBatch};
use galen_ledger::LedgerError;
use galen_p2p::{GossipValidation, NetworkHandle, Topic};
use galen_types::api::Finality;
use galen_types::api::{BlockSummary, StreamEvent, TransactionStatus};
use galen_types::job::JobState;
use galen_types::{Call, Certificate, Encoding, Hash, HeaderSignature, JobId, NodeName, Receipt};
use tokio::sync::{broadcast, oneshot, watch};

use super::damage::{Damages, FoundBy};
use super::fatal::{Fatal, Restart, Shutdown};
use super::gate::Gate;
use super::limits;
use super::metrics::RuntimeMetrics;
use super::ordering::OrderingInput;
use super::receipts::Receipts;
use super::registered::Registered;

/// What the execution thread is told, beside ordered batches.
pub(super) enum ExecutionInput {
    /// Something was ordered, or may be signed.
    Wake,
    /// A peer's header signature.
    Signature(HeaderSignature),
    /// A peer's certificate; where it came by gossip, with the judgement that decides whether it is passed on.
    Certificate(Certificate, Option<GossipValidation>),
    /// Somebody says that there is a block at a height: a reason to ask for it once.
    Claimed(u64),
    /// A peer's answer with certified blocks; the reply is the height after it.
    Answer(SyncAnswer, oneshot::Sender<Result<u64, String>>),
    /// Stop.
    Stop,
}

/// How others reach the execution thread.
#[derive(Clone)]
pub(super) struct ExecutionHandle {
    inputs: SyncSender<ExecutionInput>,
}

impl ExecutionHandle {
    /// A handle and the thread's end of it.
    pub(super) fn new() -> (Self, Receiver<ExecutionInput>) {
        let (inputs, receiver) = sync_channel(limits::EXECUTION_INPUTS_MAX);
        (Self { inputs }, receiver)
    }

    /// Tells it that a batch was ordered. A full queue wakes it as well.
    pub(super) fn wake(&self) {
        let _ = self.inputs.try_send(ExecutionInput::Wake);
    }

    /// Gives it something from a peer; `false` when its queue is full and the thing was dropped.
    pub(super) fn offer(&self, input: ExecutionInput) -> bool {
        !matches!(self.inputs.try_send(input), Err(TrySendError::Full(_)))
    }
}

/// How far this node's chain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks applied.
    pub height: u64,
    /// The last block's hash.
    pub header: Hash,
    /// The last block's time, milliseconds.
    pub time: galen_types::Timestamp,
    /// Certified height.
    pub certified_height: u64,
    /// Highest height that is known to be certified or signed elsewhere.
    pub known_height: u64,
    /// The height that somebody claimed last to be certified, in a way that cannot be judged here: a reason to ask once,
    /// and nothing else.
    pub claimed_height: u64,
}

/// Everything the execution thread works with.
pub(super) struct Execution {
    /// This node.
    pub(super) node: NodeName,
    /// The state machine.
    pub(super) executor: Executor,
    /// Whether it may sign headers.
    pub(super) gate: Gate,
    /// What is executed waits for the gate: it is signed once that opens, whether or not more is ordered.
    pub(super) waits_for_gate: bool,
    /// Voters' signatures seen.
    pub(super) seen: Arc<SeenSignatures>,
    /// What the chain says about nodes.
    pub(super) registered: watch::Sender<Arc<Registered>>,
    /// The recovery that peers must agree on.
    pub(super) lineage: Hash,
    /// Runs what the network is told.
    pub(super) runtime: tokio::runtime::Handle,
    /// Ordered batches; none on nodes that do not order.
    pub(super) ordered: Receiver<OrderedBatch>,
    /// To the ordering thread; none on nodes that do not order.
    pub(super) ordering: Option<SyncSender<OrderingInput>>,
    /// To peers.
    pub(super) network: NetworkHandle,
    /// Waiting clients.
    pub(super) receipts: Arc<Receipts>,
    /// How far the chain has come.
    pub(super) progress: watch::Sender<Progress>,
    /// Readers of the event stream.
    pub(super) events: broadcast::Sender<Arc<StreamEvent>>,
    /// Where damage is noted down.
    pub(super) damages: Damages,
    /// Stops the node.
    pub(super) shutdown: Shutdown,
    /// Counts.
    pub(super) metrics: Arc<RuntimeMetrics>,
}

impl Execution {
    /// Runs until the node stops.
    pub(super) fn run(mut self, inputs: &Receiver<ExecutionInput>) {
        let Err(error) = self.turn(inputs) else { return };
        let ledger = Arc::downgrade(self.executor.ledger());
        match error {
            // Whoever met it first has noted it down; this is for what no reader of the ledger saw.
            ExecutorError::Ledger(damage) if damage.is_damage() => self.damages.found(FoundBy::Read, damage, &ledger),
            ExecutorError::State(problem) => {
                let height = self.executor.tip().height;
                let (place, problem) = (format!("the state after height {height}"), problem.to_string());
                self.damages.found(FoundBy::Read, LedgerError::Damaged { column: "state", place, problem }, &ledger);
            }
            // Whether its own bytes are to blame is found out once the ledger is closed.
            ExecutorError::Contradicted { .. } => {
                let (code, message) = (error.code(), error.to_string());
                self.shutdown.restart(Restart::Contradicted(Fatal { code, message }));
            }
            error @ ExecutorError::Ledger(_) => self.shutdown.fail(error.code(), &error),
        }
    }

    fn turn(&mut self, inputs: &Receiver<ExecutionInput>) -> Result<(), ExecutorError> {
        self.sign()?;
        self.regroup();
        while !self.shutdown.is_stopping() {
            let began = Instant::now();
            let some = self.execute_ordered()?;
            // As long as execution took: one block may take longer than a slice.
            let turn = began.elapsed().max(limits::EXECUTION_SLICE);
            let mut next = if some {
                inputs.try_recv().ok()
            } else {
                let Ok(input) = inputs.recv() else { return Ok(()) };
                Some(input)
            };
            let began = Instant::now();
            while let Some(input) = next {
                if self.take(input)?.is_break() {
                    return Ok(());
                }
                next = if began.elapsed() < turn { inputs.try_recv().ok() } else { None };
            }
        }
        Ok(())
    }

    /// Takes one input; breaks off where it says to stop.
    fn take(&mut self, input: ExecutionInput) -> Result<ControlFlow<()>, ExecutorError> {
        match input {
            ExecutionInput::Stop => return Ok(ControlFlow::Break(())),
            ExecutionInput::Wake if self.waits_for_gate => self.sign()?,
            ExecutionInput::Wake => {}
            ExecutionInput::Signature(signature) => self.take_signature(signature)?,
            ExecutionInput::Certificate(certificate, validation) => {
                let taken = self.executor.add_certificate(certificate)?;
                // What cannot be verified here is not passed on.
                if let Some(validation) = validation
                    && matches!(taken, Certification::Certified(_) | Certification::Behind(_))
                {
                    validation.accept();
                }
                self.certification(taken)?;
            }
            ExecutionInput::Claimed(height) => self.certification(Certification::Claimed(height))?,
            ExecutionInput::Answer(answer, reply) => {
                let outcome = self.follow(answer)?;
                let _ = reply.send(outcome);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Executes what is ordered, for a slice of time; whether there was any. Then what peers say has its turn, for as long: a
    /// node that is behind would certify nothing until it has caught up. Signatures wait for one disk sync: a lone block is
    /// signed at once, and where this node is behind, those of a slice are signed together, so that it catches up at the pace
    /// of its processor and not of its disk.
    fn execute_ordered(&mut self) -> Result<bool, ExecutorError> {
        let (began, mut some) = (Instant::now(), false);
        while let Ok(batch) = self.ordered.try_recv() {
            let started = Instant::now();
            let executed = self.executor.execute(&batch)?;
            self.metrics.block_execution_seconds.observe(started.elapsed().as_secs_f64());
            self.tell(executed)?;
            some = true;
            if began.elapsed() >= limits::EXECUTION_SLICE {
                break;
            }
        }
        if some {
            self.sign()?;
        }
        Ok(some)
    }

    fn follow(&mut self, answer: SyncAnswer) -> Result<Result<u64, String>, ExecutorError> {
        match self.executor.follow(answer) {
            Ok(applied) => {
                for executed in applied {
                    self.metrics.blocks_pulled.inc();
                    self.tell(executed)?;
                }
                self.sign()?;
                self.executor.sync()?;
                self.certified()?;
                Ok(Ok(self.executor.tip().height))
            }
            Err(FollowError::Answer(error)) => Ok(Err(error.to_string())),
            Err(FollowError::Fatal(error)) => Err(error),
        }
    }

    /// Tells everyone of an executed batch: clients first.
    fn tell(&mut self, executed: Executed) -> Result<(), ExecutorError> {
        let mut settled: Vec<_> = executed.void.iter().map(|(id, _)| *id).collect();
        self.metrics.transactions_void.inc_by(executed.void.len() as u64);
        if let Some(block) = executed.block {
            let block = Arc::new(block);
            // Before clients hear of it: who is out is cut off by then, or right after.
            if block.changes_registry {
                self.register()?;
            }
            self.receipts.block(&block);
            settled.extend(block.receipts.iter().map(|receipt| receipt.transaction));
            self.metrics.transactions.inc_by(block.receipts.len() as u64);
            self.stream(&block);
        }
        self.receipts.void(&executed.void);
        let tip = self.executor.tip();
        self.publish_progress()?;
        if let Some(ordering) = &self.ordering {
            let limits = self.executor.parameters().into();
            let (index, height, time) = (executed.applied_index, tip.height, tip.time);
            let applied = OrderingInput::Applied { index, height, time, limits, settled };
            let _ = ordering.send(applied);
        }
        Ok(())
    }

    /// Tells everyone what the chain says about nodes now.
    fn register(&mut self) -> Result<(), ExecutorError> {
        let now = Registered::of(self.executor.ledger(), &self.node)?;
        self.metrics.registered(&now);
        self.registered.send_replace(Arc::new(now));
        let lineage = self.executor.lineage()?;
        if lineage != self.lineage && lineage != Hash::ZERO {
            self.lineage = lineage;
            let network = self.network.clone();
            self.runtime.spawn(async move { network.set_lineage(lineage).await });
        }
        Ok(())
    }

    /// Tells the ordering thread what its members are to be, as of certified blocks.
    fn regroup(&mut self) {
        if let Some(group) = self.executor.take_group()
            && let Some(ordering) = &self.ordering
        {
            let _ = ordering.send(OrderingInput::Group(group));
        }
    }

    fn stream(&self, block: &galen_chain::executor::ExecutedBlock) {
        if self.events.receiver_count() == 0 {
            return;
        }
        let header = &block.block.header;
        let summary = BlockSummary {
            height: header.height,
            hash: block.hash,
            time: header.time,
            transactions: u32::try_from(block.receipts.len()).unwrap_or(u32::MAX),
            proposer: header.proposer.clone(),
        };
        let _ = self.events.send(Arc::new(StreamEvent::Block(summary)));
        for (index, receipt) in (0u32..).zip(block.receipts.iter()) {
            let status = TransactionStatus {
                id: receipt.transaction,
                finality: Finality::Committed,
                height: Some(header.height),
                index: Some(index),
                time: Some(header.time),
                receipt: Some(receipt.clone()),
                body: super::service::body_of(&block.block.transactions[index as usize]),
            };
            let changed = status.body.as_ref().and_then(|body| changed_job(&body.call, receipt));
            let _ = self.events.send(Arc::new(StreamEvent::Receipt(Box::new(status))));
            if let Some((job, state)) = changed {
                let _ = self.events.send(Arc::new(StreamEvent::Job { job, state }));
            }
        }
    }

    /// Signs what was computed, stores that durably, then publishes.
    fn sign(&mut self) -> Result<(), ExecutorError> {
        self.waits_for_gate = !self.gate.is_open();
        let signatures = if self.waits_for_gate { Vec::new() } else { self.executor.sign()? };
        for signature in signatures {
            // Lost gossip is pulled by height.
            let _ = self.network.publish(Topic::Signatures, signature.encode().into());
            if let Ok(taken) = self.executor.add_signature(signature)? {
                self.certification(taken)?;
            }
        }
        if let Some(certificate) = self.executor.certify_applied()? {
            self.certification(Certification::Certified(certificate))?;
        }
        Ok(())
    }

    fn take_signature(&mut self, signature: HeaderSignature) -> Result<(), ExecutorError> {
        let voter = signature.voter.clone();
        let executor = &mut self.executor;
        self.seen.seen(&signature, || executor.signed_as(&signature).unwrap_or(None));
        match self.executor.add_signature(signature)? {
            Ok(taken) => self.certification(taken),
            Err(refused) => {
                self.metrics.signatures_refused.inc();
                self.note_evidence()?;
                tracing::warn!(%voter, code = refused.code(), %refused, "a header signature is refused");
                Ok(())
            }
        }
    }

    fn certification(&mut self, taken: Certification) -> Result<(), ExecutorError> {
        match taken {
            Certification::Nothing => Ok(()),
            Certification::Certified(certificate) => {
                // The leader announces it, so that observers know at once that there is something to pull.
                let leads = self.ordering.is_some() && self.metrics.is_leader.get() == 1;
                if leads {
                    let _ = self.network.publish(Topic::Announcements, certificate.encode().into());
                }
                self.certified()
            }
            Certification::Behind(height) => {
                // Also when it is known already: the peer that was asked then may not have had it yet.
                self.progress.send_modify(|progress| progress.known_height = progress.known_height.max(height));
                Ok(())
            }
            Certification::Claimed(height) => {
                self.progress.send_modify(|progress| progress.claimed_height = height);
                Ok(())
            }
        }
    }

    /// Something more is certified.
    fn certified(&mut self) -> Result<(), ExecutorError> {
        self.publish_progress()?;
        self.regroup();
        if !self.registered.borrow().certifying.is_empty() {
            // Of those that were taken out, some may have given the last signature that was missing.
            self.register()?;
        }
        let height = self.executor.ledger().certified_height();
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(Arc::new(StreamEvent::Certified { height }));
        }
        if let Some(ordering) = &self.ordering {
            let points = self.executor.cut_points();
            if !points.is_empty() {
                let _ = ordering.send(OrderingInput::CutPoints(points));
            }
        }
        Ok(())
    }

    /// Tells of evidence as soon as a certificate makes it some.
    fn note_evidence(&self) -> Result<(), ExecutorError> {
        let count = self.executor.ledger().evidence_count()?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if count > self.metrics.evidence.set(count) {
            tracing::error!(
                count,
                "a voter signed another header than the certified one: `galen ledger evidence` shows and exports it"
            );
        }
        Ok(())
    }

    fn publish_progress(&self) -> Result<(), ExecutorError> {
        let tip = self.executor.tip();
        let certified_height = self.executor.ledger().certified_height();
        self.metrics.height.set(i64::try_from(tip.height).unwrap_or(i64::MAX));
        self.metrics.certified_height.set(i64::try_from(certified_height).unwrap_or(i64::MAX));
        self.note_evidence()?;
        self.progress.send_modify(|progress| {
            *progress = Progress {
                height: tip.height,
                header: tip.hash,
                time: tip.time,
                certified_height,
                known_height: progress.known_height.max(tip.height),
                claimed_height: progress.claimed_height,
            };
        });
        Ok(())
    }
}

/// The job that a call began or ended. A job is called by the transaction that submitted it.
fn changed_job(call: &Call, receipt: &Receipt) -> Option<(JobId, JobState)> {
    match call {
        _ if !receipt.is_applied() => None,
        Call::SubmitJob(_) => Some((JobId(receipt.transaction.0), JobState::Running)),
        Call::FinishJob { job, .. } => Some((*job, JobState::Finished)),
        Call::FailJob { job, .. } => Some((*job, JobState::Failed)),
        _ => None,
    }
}
