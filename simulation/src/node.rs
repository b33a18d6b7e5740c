//! One replica of the simulation: orderer, log on a simulated disk, executor over a real ledger.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use galen_chain::executor::{ApplyRecoveryError, Certification, Executed, FollowError, SignatureError};
use galen_chain::history::HistoryRequest;
use galen_chain::knowledge::{
    Answer, Asker, Assessment, LeaderSilence, OrderingAccount, Question, SeenSignatures, Unchecked, assess,
};
use galen_chain::orderer::parse_snapshot_context;
use galen_chain::recovery::{HeldRecoveries, HeldRecovery, RecoveryError};
use galen_chain::signatures::VerifiedCache;
use galen_chain::snapshot::{CutBlock, SnapshotRequest, cut_block};
use galen_chain::sync::{SyncAnswer, SyncRequest};
use galen_chain::{
    Executor, ExecutorConfig, ExecutorError, LedgerState, OrderedBatch, Orderer, OrdererConfig, OrdererEffects,
    ReadTicket, Void,
};
use galen_consensus::vfs::{Crash, SimVfs, Vfs};
use galen_consensus::{
    ConfigError, CoreConfig, Identity, Log, LogEnd, LogOptions, Membership, MessageError, Persist, RaftId, Role,
};
use galen_contracts::VoidReason;
use galen_ledger::install::Built;
use galen_ledger::snapshot::SnapshotSource;
use galen_types::member::{NodeRole, Standing};
use galen_types::{
    Certificate, DecodedTransaction, Encoding, Genesis, Hash, HeaderSignature, NodeName, PublicKey, SecretKey,
    Timestamp, TransactionId,
};

use crate::consortium::{key, open_ledger};
use crate::ledger_world::{Forgery, SnapshotRules};

mod archive;
mod disk;
mod gate;
mod hear;
mod leap;
mod repair;
mod rot;
mod start;
mod wish;
mod work;

pub(crate) use disk::{Flipped, HomeCopy};
pub(crate) use leap::{Installed, Taken};

/// What nodes send each other.
#[derive(Clone)]
pub(crate) enum Frame {
    /// From the sender's number in ordering, which the connection would tell.
    Raft(RaftId, bytes::Bytes),
    Transactions(Vec<bytes::Bytes>),
    Signature(HeaderSignature),
    Certificate(Certificate),
    /// With how often the asking node had started: a restart breaks the connection that the answer would come by.
    Ask(SyncRequest, u64),
    Answer(Vec<u8>, u64),
    /// What is known of me?
    Question(Question, u64),
    /// This.
    Knowledge(Box<Answer>, u64),
    /// How far are you certified? The answer is an answer to this question alone, so the real node's `Question` is left out.
    AskHeight(u64),
    /// So far.
    Height(u64, u64),
    /// What snapshot do you have, or: a piece of it?
    AskSnapshot(SnapshotRequest, u64),
    /// With the question that it answers.
    Snapshot(SnapshotRequest, Vec<u8>, u64),
    /// What came before my ledger's first block?
    AskPast(HistoryRequest, u64),
    /// This.
    Past(Vec<u8>, u64),
}

impl Frame {
    /// What the trace hash takes in.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raft(number, bytes) => [&number.0.to_le_bytes()[..], bytes].concat(),
            Self::Transactions(transactions) => transactions.concat(),
            Self::Signature(signature) => signature.encode(),
            Self::Certificate(certificate) => certificate.encode(),
            Self::Ask(request, _) => request.encode(),
            Self::Answer(bytes, _) | Self::Snapshot(_, bytes, _) | Self::Past(bytes, _) => bytes.clone(),
            Self::Question(question, _) => question.encode(),
            Self::Knowledge(answer, _) => answer.encode(),
            Self::AskHeight(_) => Vec::new(),
            Self::Height(height, _) => height.to_le_bytes().to_vec(),
            Self::AskSnapshot(request, _) => request.encode(),
            Self::AskPast(request, _) => request.encode(),
        }
    }
}

/// To whom.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Place(usize),
    /// Whoever has this number in ordering.
    Number(RaftId),
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
    /// Crashes in the middle of a sync of the ordering log.
    pub(crate) cut_off: u64,
    /// Starts that found the end of the log torn.
    pub(crate) torn: u64,
    pub(crate) snapshots: u64,
    pub(crate) deviant: u64,
    pub(crate) led: u64,
    pub(crate) groups: u64,
    pub(crate) unjudged: u64,
    /// Answers of peers on another branch of the chain.
    pub(crate) refused: u64,
    /// Hostile frames that were refused.
    pub(crate) hostile: u64,
    /// Checks by peers that ended well.
    pub(crate) opened: u64,
    /// Numbers given up because peers knew more.
    pub(crate) given_up: u64,
    /// Snapshots taken for peers.
    pub(crate) taken: u64,
    /// Pieces of snapshots that were not what the manifest names.
    pub(crate) pieces_refused: u64,
    /// Pieces that rotted before the ledger was built from them.
    pub(crate) pieces_rotted: u64,
    /// Offers of snapshots that no quorum certified.
    pub(crate) offers_refused: u64,
    /// Snapshots whose rows were not the state of their header.
    pub(crate) snapshots_refuted: u64,
    /// Answers that brought a part of the past.
    pub(crate) past_filled: u64,
    /// Damage that was found.
    pub(crate) rot_found: u64,
    /// Damaged ledgers that were fetched anew.
    pub(crate) repaired: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.pulled += other.pulled;
        self.duplicates += other.duplicates;
        self.expired += other.expired;
        self.crashes += other.crashes;
        self.cut_off += other.cut_off;
        self.torn += other.torn;
        self.snapshots += other.snapshots;
        self.deviant += other.deviant;
        self.led += other.led;
        self.groups += other.groups;
        self.unjudged += other.unjudged;
        self.refused += other.refused;
        self.hostile += other.hostile;
        self.opened += other.opened;
        self.given_up += other.given_up;
        self.taken += other.taken;
        self.pieces_refused += other.pieces_refused;
        self.pieces_rotted += other.pieces_rotted;
        self.offers_refused += other.offers_refused;
        self.snapshots_refuted += other.snapshots_refuted;
        self.past_filled += other.past_filled;
        self.rot_found += other.rot_found;
        self.repaired += other.repaired;
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
    asked_signatures: u64,
    /// When ordering last had a leader that speaks to it.
    led_at: u64,
    /// The height of the copy that a loss of power would leave.
    copied: u64,
    /// What it asks its peers before it speaks as an orderer, or again where its vote is held back.
    asking: Option<Asking>,
    /// It may speak as an orderer.
    speaks: bool,
    /// Since when its vote has been held back without a leader.
    held_back_since: Option<u64>,
    seen: SeenSignatures,
    /// The height at which it last looked at what it is to be.
    part_of: u64,
    /// Snapshots that it serves.
    sources: Vec<Arc<SnapshotSource>>,
    /// The snapshot that it fetches.
    leap: Option<leap::Leap>,
    /// It looks for another snapshot because the one before could not be fetched.
    leaps_again: bool,
    /// It fetches no snapshot before this step.
    leaps_from: u64,
    /// When it last asked how far its peers are.
    asked_heights: Option<u64>,
    /// When it last asked for its past.
    asked_past: u64,
    /// It only follows until its ledger has come so far.
    rejoin: Option<repair::Rejoin>,
}

/// What a node notes on its disk beside ledger and log.
#[derive(Debug, Clone, Copy, Default)]
struct Home {
    /// How far it had come when a check began that has not ended.
    unchecked: Option<Unchecked>,
    /// The number that it asked to have replaced.
    asked: Option<u64>,
    /// The number under which it ordered last.
    started: Option<u64>,
    /// Where the log ended of a number that it gave up, until it takes up another.
    gave_up: Option<LogEnd>,
}

/// A question under way.
struct Asking {
    unchecked: Unchecked,
    answers: BTreeMap<NodeName, Answer>,
    began: u64,
    asked: Option<u64>,
    silent_since: BTreeMap<LeaderSilence, u64>,
}

pub(crate) struct Node {
    pub(crate) place: usize,
    pub(crate) name: NodeName,
    /// The number under which it orders now.
    pub(crate) raft_id: Option<RaftId>,
    /// The number that it took part under last and has not given up.
    pub(crate) last_number: Option<RaftId>,
    /// What its keys are made from, the newest last.
    pub(crate) keys: Vec<String>,
    /// What it signs with now.
    pub(crate) key: PublicKey,
    /// Notes on its disk.
    home: Home,
    /// Its operator stands for its disk, until it starts again.
    pub(crate) trusts_disk: bool,
    /// It told its operator why it gave its number up.
    pub(crate) gave_up: Option<String>,
    /// Its record on the chain changed.
    pub(crate) must_restart: bool,
    /// Recoveries that its operator gave it.
    pub(crate) held: Vec<HeldRecovery>,
    /// It knows of no recovery and goes on by a chain that others gave up, so that honest answers of theirs are none to it.
    pub(crate) parted: bool,
    genesis: Arc<Genesis>,
    /// Names of all nodes, by place.
    names: Vec<NodeName>,
    pub(crate) folder: PathBuf,
    /// Where a copy of the ledger is kept as a loss of power would leave it; not on every node.
    pub(crate) durable_copy: Option<PathBuf>,
    /// How it catches up by snapshot; `None` where it follows by blocks alone.
    pub(crate) snapshots: Option<SnapshotRules>,
    /// It lies about its state to those who ask for a snapshot.
    pub(crate) forges: Option<Forgery>,
    /// Manifests whose rows were not the state of their header; noted on its disk.
    refused: BTreeSet<Hash>,
    /// Who offered them; likewise.
    blamed: BTreeSet<usize>,
    /// A ledger that was built beside the one in use.
    built: Option<Built>,
    /// The step of its last tick.
    step: u64,
    /// Its note of a damaged ledger, on its disk.
    damage: Option<repair::Damage>,
    /// Bytes of its ledger have rotted, which it may not know yet.
    is_rotten: bool,
    /// It finds that before it starts.
    rot_shows_at_start: bool,
    /// When its scrub comes by.
    scrub_at: Option<u64>,
    /// Its ordering log begins after this entry, and its ledger ends before it.
    rejoin_until: Option<u64>,
    /// A write of its ledger was made to fail since its start.
    write_fails: bool,
    /// The name by which it stopped then.
    pub(crate) stopped_by: Option<&'static str>,
    disk: SimVfs,
    /// Bytes of the last write to its ordering log, and of those before it that the disk took at once.
    last_write: usize,
    running: Option<Running>,
    pub(crate) starts: u64,
    /// It orders under another number since its last start.
    pub(crate) new_number: bool,
    /// Entries that came out of its orderer since they were last looked at.
    pub(crate) ordered_now: Vec<OrderedBatch>,
    /// Numbers of the voters after blocks that it executed since it was last looked at.
    pub(crate) named_now: Vec<(u64, Vec<RaftId>)>,
    /// Headers that it signed since it was last looked at.
    pub(crate) signed_now: Vec<HeaderSignature>,
    /// Linearizable reads that were served since it was last looked at, each with the height that it saw.
    pub(crate) served_now: Vec<(ReadTicket, u64)>,
    /// Index and term of blocks of which clients were told since the node was last looked at.
    pub(crate) told_now: Vec<(u64, u64)>,
    compact_entries: usize,
    /// This node's clock against the world's, milliseconds.
    pub(crate) skew_ms: i64,
    /// It stands still until this step.
    pub(crate) paused_until: u64,
    /// It executes nothing before this step: ordering runs ahead of it.
    pub(crate) executes_from: u64,
    /// Its disk failed: the process must end.
    pub(crate) failed: bool,
    pub(crate) out: Vec<(To, Frame)>,
    /// Transactions that its orderer took since its start and that no block has settled.
    pub(crate) taken: BTreeSet<TransactionId>,
    /// What its clients were told: where their transactions stand.
    pub(crate) receipts: BTreeMap<TransactionId, (u64, usize)>,
    pub(crate) seen: Seen,
}

/// Heights that a voter may lag before it pulls blocks beside ordering: small, so that both happen at once.
const LAG_VOTER: u64 = 4;
/// As a node's configuration has it: a tick is a step.
const ELECTION_TICKS: usize = 16;
/// Likewise.
const HEARTBEAT_TICKS: usize = 2;
/// Steps without a leader after which a node that orders asks for blocks like one that does not.
const UNLED_STEPS: u64 = 60;

impl Node {
    pub(crate) fn new(place: usize, genesis: &Arc<Genesis>, folder: &Path, compact_entries: usize) -> Self {
        let mut nodes = genesis.nodes();
        // Voters first, then the observer, then those that may become voters.
        nodes.sort_by_key(|node| (node.raft_id == 0, node.raft_id, !node.name.to_string().starts_with("watcher")));
        let names = nodes.iter().map(|node| node.name.clone()).collect();
        let record = nodes.swap_remove(place);
        Self {
            place,
            raft_id: None,
            last_number: None,
            keys: vec![record.name.to_string()],
            key: record.key,
            home: Home::default(),
            gave_up: None,
            trusts_disk: false,
            must_restart: false,
            held: Vec::new(),
            parted: false,
            folder: folder.join(record.name.to_string()),
            name: record.name,
            genesis: Arc::clone(genesis),
            names,
            durable_copy: None,
            snapshots: None,
            forges: None,
            refused: BTreeSet::new(),
            blamed: BTreeSet::new(),
            built: None,
            step: 0,
            damage: None,
            is_rotten: false,
            rot_shows_at_start: false,
            scrub_at: None,
            rejoin_until: None,
            write_fails: false,
            stopped_by: None,
            disk: SimVfs::default(),
            last_write: 0,
            running: None,
            starts: 0,
            new_number: false,
            ordered_now: Vec::new(),
            signed_now: Vec::new(),
            told_now: Vec::new(),
            served_now: Vec::new(),
            named_now: Vec::new(),
            compact_entries,
            skew_ms: 0,
            paused_until: 0,
            executes_from: 0,
            failed: false,
            out: Vec::new(),
            taken: BTreeSet::new(),
            receipts: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    /// The key that its record names, else the first.
    pub(crate) fn secret(&self, record: &galen_types::member::Node) -> SecretKey {
        let registered = self.keys.iter().map(|text| key(text)).find(|secret| secret.public_key() == record.key);
        registered.unwrap_or_else(|| key(&self.keys[0]))
    }

    fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.skew_ms))
    }

    pub(crate) fn record(&self) -> galen_types::member::Node {
        self.record_in(self.executor().ledger())
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

    /// The height and hash of the last block of its folder.
    pub(crate) fn stored_tip(&self) -> (u64, Hash) {
        let tip = open_ledger(&self.folder, &self.genesis).tip().unwrap();
        (tip.height, tip.hash)
    }
}
