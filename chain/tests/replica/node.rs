//! One replica of the simulation: orderer, log on a simulated disk, executor over a real ledger.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use galen_chain::executor::{Certification, Executed, FollowError, SignatureError};
use galen_chain::orderer::parse_snapshot_context;
use galen_chain::signatures::VerifiedCache;
use galen_chain::sync::{SyncAnswer, SyncRequest};
use galen_chain::{
    Executor, ExecutorConfig, ExecutorError, LedgerState, OrderedBatch, Orderer, OrdererConfig, OrdererEffects, Void,
};
use galen_consensus::vfs::{Crash, SimVfs};
use galen_consensus::{CoreConfig, Identity, Log, LogOptions, Membership, MessageError, Persist, RaftId, Role};
use galen_contracts::VoidReason;
use galen_types::{
    Certificate, DecodedTransaction, Genesis, Hash, HeaderSignature, NodeName, Timestamp, TransactionId,
};

use super::support::{key, open_ledger};

/// What nodes send each other.
#[derive(Clone)]
pub(crate) enum Frame {
    Raft(bytes::Bytes),
    Transactions(Vec<bytes::Bytes>),
    Signature(HeaderSignature),
    Certificate(Certificate),
    Ask(SyncRequest),
    Answer(Vec<u8>),
}

/// To whom.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Place(usize),
    Everyone,
}

/// What a node saw.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) blocks: u64,
    pub(crate) pulled: u64,
    pub(crate) duplicates: u64,
    pub(crate) expired: u64,
    pub(crate) crashes: u64,
    pub(crate) snapshots: u64,
    pub(crate) deviant: u64,
    pub(crate) led: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.pulled += other.pulled;
        self.duplicates += other.duplicates;
        self.expired += other.expired;
        self.crashes += other.crashes;
        self.snapshots += other.snapshots;
        self.deviant += other.deviant;
        self.led += other.led;
    }
}

struct Ordering {
    orderer: Orderer,
    log: Log<SimVfs>,
    /// Not on disk yet, each with the step at which it is.
    writes: VecDeque<(u64, Persist)>,
}

struct Running {
    executor: Executor,
    verified: Arc<VerifiedCache>,
    ordering: Option<Ordering>,
    ordered: VecDeque<OrderedBatch>,
    goal: Option<(u64, u64, Hash)>,
    known_height: u64,
    /// Heights of certified and tip when certification was last seen to move, and when.
    certified: (u64, u64),
    asked: u64,
    /// The height of the copy that a loss of power would leave.
    copied: u64,
}

pub(crate) struct Node {
    pub(crate) place: usize,
    pub(crate) name: NodeName,
    pub(crate) raft_id: Option<RaftId>,
    genesis: Arc<Genesis>,
    pub(crate) folder: PathBuf,
    /// Where a copy of the ledger is kept as a loss of power would leave it; not on every node.
    pub(crate) durable_copy: Option<PathBuf>,
    disk: SimVfs,
    running: Option<Running>,
    starts: u64,
    compact_entries: usize,
    /// This node's clock against the world's, milliseconds.
    pub(crate) skew_ms: u64,
    pub(crate) out: Vec<(To, Frame)>,
    /// What its clients were told: where their transactions stand.
    pub(crate) receipts: BTreeMap<TransactionId, (u64, usize)>,
    pub(crate) seen: Seen,
}

/// Heights that a voter may lag before it pulls blocks beside ordering: small, so that both happen at once.
const LAG_VOTER: u64 = 4;

impl Node {
    pub(crate) fn new(place: usize, genesis: &Arc<Genesis>, folder: &Path, compact_entries: usize) -> Self {
        let record = genesis.nodes().into_iter().find(|node| {
            // The observer is last.
            node.raft_id == place as u64 + 1 || (node.raft_id == 0 && place == genesis.voter_set().voters.len())
        });
        let record = record.unwrap();
        Self {
            place,
            raft_id: (record.raft_id > 0).then_some(RaftId(record.raft_id)),
            folder: folder.join(record.name.to_string()),
            name: record.name,
            genesis: Arc::clone(genesis),
            durable_copy: None,
            disk: SimVfs::default(),
            running: None,
            starts: 0,
            compact_entries,
            skew_ms: 0,
            out: Vec::new(),
            receipts: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    pub(crate) fn start(&mut self, seed: u64, now: Timestamp) {
        let ledger = open_ledger(&self.folder, &self.genesis);
        let verified = Arc::new(VerifiedCache::default());
        let config = ExecutorConfig {
            genesis: Arc::clone(&self.genesis),
            node: self.name.clone(),
            voter_key: self.raft_id.map(|_| key(&self.name.to_string())),
            verified: Arc::clone(&verified),
        };
        let executor = Executor::new(Arc::clone(&ledger), config).unwrap();
        self.starts += 1;
        let ordering = self.raft_id.map(|id| {
            let identity = Identity { cluster: self.genesis.hash().0, node: id };
            let options = LogOptions { segment_bytes: 16 << 10 };
            let (log, recovered) = Log::open(self.disk.clone(), Path::new("log"), identity, options).unwrap();
            let voters: HashMap<RaftId, NodeName> = self
                .genesis
                .nodes()
                .into_iter()
                .filter(|node| node.raft_id > 0)
                .map(|node| (RaftId(node.raft_id), node.name))
                .collect();
            let membership = Membership::new(voters.keys().copied(), []);
            let core = CoreConfig::new(id, membership, seed ^ id.0 ^ (self.starts << 32));
            let config = OrdererConfig {
                core,
                node: self.name.clone(),
                batch_limits: executor.parameters().into(),
                compact_entries: self.compact_entries,
                compact_bytes: 1 << 20,
            };
            let applied = ledger.applied().unwrap().index;
            let orderer = Orderer::new(config, recovered, applied, voters, now.plus_ms(self.skew_ms)).unwrap();
            Ordering { orderer, log, writes: VecDeque::new() }
        });
        let known_height = executor.tip().height;
        self.running = Some(Running {
            executor,
            verified,
            ordering,
            ordered: VecDeque::new(),
            goal: None,
            known_height,
            certified: (0, 0),
            asked: 0,
            copied: 0,
        });
    }

    /// The machine dies: everything in memory is gone, and what the disk has not synced by `kind`.
    pub(crate) fn crash(&mut self, kind: Crash) {
        self.seen.crashes += 1;
        self.running = None;
        self.out.clear();
        self.disk.crash(kind);
        if let Some(copy) = self.durable_copy.as_ref().filter(|copy| copy.exists()) {
            copy_folder(copy, &self.folder);
        }
    }

    /// Stops in order, so that others may open its ledger.
    pub(crate) fn stop(&mut self) {
        self.running = None;
        self.out.clear();
        self.disk.crash(Crash::KeepAll);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.running.as_ref().unwrap().executor
    }

    pub(crate) fn orderer(&self) -> Option<&Orderer> {
        self.running.as_ref().and_then(|running| running.ordering.as_ref()).map(|ordering| &ordering.orderer)
    }

    pub(crate) fn leads(&self) -> bool {
        self.orderer().is_some_and(|orderer| orderer.role().role == Role::Leader)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.orderer().map_or(0, Orderer::mempool_len)
    }

    /// Transactions of a client or a peer: judged by signature, then into the mempool.
    pub(crate) fn submit(&mut self, transactions: Vec<Vec<u8>>) {
        let Some(running) = &mut self.running else { return };
        let Some(ordering) = &mut running.ordering else {
            return;
        };
        let state = LedgerState(running.executor.ledger().view().unwrap());
        let candidates = transactions
            .into_iter()
            .map(|bytes| DecodedTransaction::decode(bytes, 1 << 20).unwrap())
            .map(|decoded| {
                let key = galen_contracts::signer_key(&state, &decoded.body.signer).unwrap();
                (decoded, key)
            })
            .collect();
        for admitted in running.verified.admit(candidates).into_iter().flatten() {
            ordering.orderer.submit(admitted).unwrap();
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp) {
        if let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut()) {
            ordering.orderer.tick(now.plus_ms(self.skew_ms)).unwrap();
        }
    }

    /// Takes a frame from another node.
    pub(crate) fn take(&mut self, from: usize, frame: Frame) {
        let Some(running) = &mut self.running else { return };
        match frame {
            Frame::Raft(bytes) => {
                let Some(ordering) = &mut running.ordering else { return };
                match ordering.orderer.message(RaftId(from as u64 + 1), bytes) {
                    Err(MessageError::Refused(refusal)) => assert!(!refusal.is_suspicious(), "{refusal}"),
                    outcome => outcome.unwrap(),
                }
            }
            Frame::Transactions(transactions) => {
                self.submit(transactions.into_iter().map(|bytes| bytes.to_vec()).collect());
            }
            Frame::Signature(signature) => self.signature(signature),
            Frame::Certificate(certificate) => {
                let taken = running.executor.add_certificate(certificate).unwrap();
                self.certification(taken);
            }
            Frame::Ask(request) => {
                let answer = SyncAnswer::to_request(&request, running.executor.ledger()).unwrap();
                self.out.push((To::Place(from), Frame::Answer(galen_types::Encoding::encode(&answer))));
            }
            Frame::Answer(bytes) => match SyncAnswer::from_peer(&bytes).unwrap() {
                SyncAnswer::Signatures { signatures, certificates } => {
                    for certificate in certificates {
                        let taken = self.running.as_mut().unwrap().executor.add_certificate(certificate).unwrap();
                        self.certification(taken);
                    }
                    for signature in signatures {
                        self.signature(signature);
                    }
                }
                answer => self.follow(answer),
            },
        }
    }

    fn signature(&mut self, signature: HeaderSignature) {
        let executor = &mut self.running.as_mut().unwrap().executor;
        match executor.add_signature(signature).unwrap() {
            Ok(taken) => self.certification(taken),
            Err(SignatureError::Deviant) => self.seen.deviant += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn certification(&mut self, taken: Certification) {
        match taken {
            Certification::Nothing => {}
            Certification::Certified(certificate) => {
                if self.leads() {
                    self.out.push((To::Everyone, Frame::Certificate(certificate)));
                }
            }
            Certification::Behind(height) => {
                let running = self.running.as_mut().unwrap();
                running.known_height = running.known_height.max(height);
            }
        }
    }

    fn follow(&mut self, answer: SyncAnswer) {
        let running = self.running.as_mut().unwrap();
        let applied = match running.executor.follow(answer) {
            Ok(applied) => applied,
            Err(FollowError::Answer(error)) => panic!("an honest answer is not believed: {error}"),
            Err(FollowError::Fatal(error)) => panic!("{error}"),
        };
        self.seen.pulled += applied.len() as u64;
        for executed in applied {
            self.tell(executed);
        }
        self.sign().unwrap();
        self.running.as_mut().unwrap().executor.sync().unwrap();
        self.cut_and_copy();
    }

    /// What becomes of an executed batch: clients, the mempool.
    fn tell(&mut self, executed: Executed) {
        let running = self.running.as_mut().unwrap();
        let mut settled: Vec<_> = executed.void.iter().map(|(id, _)| *id).collect();
        let duplicate = |void: &Void| matches!(void, Void::Rule(VoidReason::Duplicate));
        self.seen.duplicates += executed.void.iter().filter(|(_, void)| duplicate(void)).count() as u64;
        if let Some(block) = &executed.block {
            self.seen.blocks += 1;
            for (index, receipt) in block.receipts.iter().enumerate() {
                let place = (block.block.header.height, index);
                let before = self.receipts.insert(receipt.transaction, place);
                assert!(before.is_none_or(|before| before == place), "a client was told two places");
                settled.push(receipt.transaction);
            }
        }
        if let Some(ordering) = &mut running.ordering {
            ordering.orderer.set_batch_limits(running.executor.parameters().into());
            ordering.orderer.applied(executed.applied_index, running.executor.tip().time, &settled).unwrap();
        }
    }

    /// Executes up to `batches` of what is ordered.
    pub(crate) fn execute(&mut self, batches: usize) {
        for _ in 0..batches {
            let Some(running) = &mut self.running else { return };
            let Some(batch) = running.ordered.pop_front() else { return };
            let executed = running.executor.execute(&batch).unwrap();
            self.tell(executed);
        }
    }

    /// Signs and publishes what was executed.
    pub(crate) fn sign(&mut self) -> Result<(), ExecutorError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        for signature in running.executor.sign()? {
            self.out.push((To::Everyone, Frame::Signature(signature.clone())));
            self.signature(signature);
        }
        if let Some(certificate) = self.running.as_mut().unwrap().executor.certify_applied()? {
            self.certification(Certification::Certified(certificate));
        }
        self.cut_and_copy();
        Ok(())
    }

    fn cut_and_copy(&mut self) {
        let running = self.running.as_mut().unwrap();
        let points = running.executor.cut_points();
        if let Some(ordering) = &mut running.ordering {
            for point in points {
                ordering.orderer.may_cut(point).unwrap();
            }
        }
        let ledger = running.executor.ledger();
        if let Some(copy) = &self.durable_copy
            && ledger.durable_height() == running.executor.tip().height
            && running.copied != ledger.durable_height()
        {
            running.copied = ledger.durable_height();
            copy_folder(&self.folder, copy);
        }
    }

    /// Everything that follows from what came in; `write_delay` steps until a write is on disk.
    pub(crate) fn carry_out(&mut self, step: u64, write_delay: u64) {
        loop {
            let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut()) else { return };
            let effects = ordering.orderer.effects().unwrap();
            let quiet = effects.persist.is_empty()
                && effects.send.is_empty()
                && effects.ordered.is_empty()
                && effects.forward.is_none()
                && effects.role.is_none();
            self.take_effects(effects, step + write_delay);
            if !self.finish_writes(step) && quiet {
                return;
            }
        }
    }

    fn take_effects(&mut self, effects: OrdererEffects, due: u64) {
        let Some(running) = &mut self.running else { return };
        let Some(ordering) = &mut running.ordering else { return };
        ordering.writes.extend(effects.persist.into_iter().map(|persist| (due, persist)));
        let sent = effects.send.into_iter();
        self.out.extend(sent.map(|message| (To::Place(message.to.0 as usize - 1), Frame::Raft(message.bytes))));
        running.ordered.extend(effects.ordered);
        if let Some((leader, transactions)) = effects.forward {
            self.out.push((To::Place(leader.0 as usize - 1), Frame::Transactions(transactions)));
        }
        if let Some(offer) = effects.snapshot_offer {
            let (height, header) = parse_snapshot_context(&offer.context).unwrap();
            running.goal = Some((offer.index, height, header));
        }
        self.seen.led += u64::from(effects.role.is_some_and(|role| role.role == Role::Leader));
        self.seen.expired += effects.expired.len() as u64;
    }

    fn finish_writes(&mut self, step: u64) -> bool {
        let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut()) else { return false };
        let mut batch = Vec::new();
        while ordering.writes.front().is_some_and(|(due, _)| *due <= step) {
            batch.extend(ordering.writes.pop_front().map(|(_, persist)| persist));
        }
        let Some(token) = batch.last().map(|persist| persist.token) else { return false };
        ordering.log.append(&batch).unwrap();
        ordering.orderer.persisted(token).unwrap();
        true
    }

    /// Asks `peer` for what is missing, and takes a snapshot offer whose block is here.
    pub(crate) fn catch_up(&mut self, step: u64, peer: usize) {
        let Some(running) = &mut self.running else { return };
        let (ledger, tip) = (running.executor.ledger(), running.executor.tip().height);
        if let Some((index, height, header)) = running.goal
            && ledger.certified_height().min(ledger.durable_height()) >= height
        {
            let held = ledger.view().unwrap().header(height).unwrap().unwrap();
            assert_eq!((held.hash(), held.raft_index), (header, index), "the offer's block is on the chain");
            if let Some(ordering) = &mut running.ordering {
                ordering.orderer.accept_snapshot(index).unwrap();
            }
            running.goal = None;
            self.seen.snapshots += 1;
        }
        if step < running.asked + 4 {
            return;
        }
        let certified = ledger.certified_height();
        let lag = if self.raft_id.is_some() { LAG_VOTER } else { 0 };
        let behind = running.known_height > tip + lag || running.goal.is_some_and(|(_, height, _)| height > tip);
        let request = if behind {
            SyncRequest::Blocks { from: tip + 1 }
        } else if certified < tip && running.certified.0 == certified && step > running.certified.1 + 10 {
            SyncRequest::Signatures { from: certified + 1 }
        } else {
            if running.certified.0 != certified || certified == tip {
                running.certified = (certified, step);
            }
            return;
        };
        running.asked = step;
        self.out.push((To::Place(peer), Frame::Ask(request)));
    }
}

/// Copies a folder in which RocksDB may be tidying up: again, if the files changed on the way.
fn copy_folder(from: &Path, to: &Path) {
    let names = || {
        let entries = std::fs::read_dir(from).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    loop {
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir_all(to).unwrap();
        let before = names();
        let copied = before.iter().all(|name| std::fs::copy(from.join(name), to.join(name)).is_ok());
        if copied && names() == before {
            return;
        }
    }
}
