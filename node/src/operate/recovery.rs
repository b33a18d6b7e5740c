//! Going on without a lost quorum, on the operator's side: drawing up a recovery from a verified ledger, gathering its
//! signatures in a file, and applying it to a home. Everything here works on stopped nodes.
//!
//! ```text
//!   draft HOME --voters ..   every member draws one up; that of the node that holds most goes on
//!   sign FILE                each member's administrator     its signature in a copy
//!   merge FILES              all signatures in one file
//!   complete FILE            the first of the signers        the transaction, the same for everyone
//!   apply HOME FILE          on every node that goes on, and on every other: it then follows through the recovery
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use galen_chain::executor::ApplyRecoveryError;
use galen_chain::orderer::snapshot_context;
use galen_chain::recovery::{HeldRecoveries, HeldRecovery, RecoveryError};
use galen_chain::signatures::VerifiedCache;
use galen_chain::verify::{Progress, VerifyReport, verify_folder};
use galen_chain::{Executor, ExecutorConfig, ExecutorError, LedgerState, OrderedBatch};
use galen_consensus::vfs::RealVfs;
use galen_consensus::{EntryKind, Identity, Log, LogError, LogOptions, Membership, MembershipAt, RaftId, SnapshotMeta};
use galen_contracts::query::{get_account, get_lineage, get_node, get_voter_set, list_members};
use galen_ledger::{Ledger, LedgerError, SnapshotError, Tip};
use galen_types::certificate::Voter;
use galen_types::genesis::{GENESIS_BYTES_MAX, GenesisError};
use galen_types::member::{Role, Standing};
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::{
    AccountName, Call, Encoding, Genesis, Hash, MemberName, NodeName, SecretKey, Signer, Timestamp, TransactionBody,
};
use serde::{Deserialize, Serialize};

use super::files::{FileError, write_atomically};
use super::held::{self, HeldFileError};
use crate::config::{ConfigError, NodeConfig, read_text};
use crate::home::NodeHome;
use crate::runtime::{PartError, PartNotes, ledger_options};

/// Most bytes of a recovery's file.
const BYTES_MAX: u64 = 1 << 20;
/// How far a recovery may be ahead of this machine's time, milliseconds: as far as voters take batches from the future.
const CLOCK_AHEAD_MS_MAX: u64 = galen_chain::limits::PROPOSED_AHEAD_MS_MAX;
/// Members read at a time.
const PAGE: usize = 256;

/// A recovery as it is handed around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryFile {
    /// The full signed bytes of the recovery block's transaction in hexadecimal digits, once complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// Where the ordering log of the node ended on which it was drawn up: to compare with, not part of what is signed.
    #[serde(default)]
    pub log_end: DraftedFrom,
    /// What is to be done.
    pub recovery: Recovery,
    /// Administrators' signatures, in ascending order of account name, each once.
    #[serde(default)]
    pub signatures: Vec<RecoverySignature>,
}

/// The end of an ordering log. Of two, the later term holds more, within a term the higher index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftedFrom {
    /// The last entry's term.
    pub term: u64,
    /// The last entry's index.
    pub index: u64,
}

/// Why a recovery is not drawn up, gathered or applied. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A file cannot be read or understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The founding document.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The ledger; it may be open: the node must be stopped.
    #[error("{0}; the node of this home must be stopped")]
    Ledger(#[from] LedgerError),
    /// Execution.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The ordering log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Notes of the home.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The recovery itself.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The state.
    #[error("the state cannot be read: {0}; run `galen ledger verify` on the node's folder")]
    State(#[from] galen_contracts::StateError),
    /// The ledger does not verify.
    #[error(
        "the ledger has {0} findings: a chain must not go on from it; run `galen ledger verify` and use another home"
    )]
    Unsound(usize),
    /// No voters were named, or not in order.
    #[error("name the nodes that vote from here on, each once")]
    Voters,
    /// A named node cannot vote.
    #[error("{0} is no active node of an active member at that height; name only nodes that are registered there")]
    NodeUnfit(NodeName),
    /// The signer is no administrator that counts.
    #[error("{0} is no active administrator at that height")]
    NotAdministrator(AccountName),
    /// Files to be merged are of different recoveries.
    #[error("the files are of different recoveries: all members must sign the same one")]
    Different,
    /// A member's signature is missing.
    #[error("no administrator of {0} has signed; every member that has a node among the voters must")]
    Unsigned(MemberName),
    /// The recovery before it is not here.
    #[error(
        "the recovery goes on from an earlier one, {0}, which this home neither came through nor holds; apply that one here \
         first, then this one"
    )]
    LacksEarlier(Hash),
    /// A named member is not there to be abandoned.
    #[error("{0} is no active member at that height, or has a node among the voters; it cannot be abandoned")]
    Abandoned(MemberName),
    /// The own node holds more than the draft keeps.
    #[error(
        "this node holds more than the recovery keeps: its ordering log ends with term {own_term}, index {own_index}, its \
         ledger comes to height {own_height}; the recovery was drawn up at term {term}, index {index}, height {height}. \
         Draw the recovery up on this node instead: what only it holds would be lost"
    )]
    HoldsMore {
        /// The own log's last term.
        own_term: u64,
        /// The own log's last index.
        own_index: u64,
        /// The height that the own ledger and log come to.
        own_height: u64,
        /// The draft's last term.
        term: u64,
        /// The draft's last index.
        index: u64,
        /// The draft's height.
        height: u64,
    },
    /// Drawn up with a clock that is wrong, here or there.
    #[error(
        "the recovery was drawn up at {made}, and it is {now} here: every later block would wait for that time; correct \
         the clock, here or where it was drawn up, and draw it up again"
    )]
    FromTheFuture {
        /// When it says that it was drawn up.
        made: Timestamp,
        /// This machine's time.
        now: Timestamp,
    },
    /// Nobody signed.
    #[error("the file has no signatures yet; sign it first")]
    NoSignatures,
    /// The transaction must be signed by the first signer.
    #[error("{expected} must complete it: the first of the signers by name")]
    NotFirst {
        /// Who.
        expected: AccountName,
    },
    /// Another signature now would make another block of the same recovery.
    #[error(
        "the recovery is complete already, and with these signatures it would be completed a second time, into another \
         block: hand the complete file to every node's operator, and sign and merge nothing more"
    )]
    Completed,
    /// A file that is there holds what the new one does not.
    #[error("{0} is there already, and is no earlier state of this recovery: give another file with --out")]
    WouldOverwrite(PathBuf),
    /// The home holds the same recovery, completed otherwise.
    #[error(
        "this home holds the same recovery, completed with other signatures, in {0}: agree on one complete file, the same \
         on every node. Where it is to be this one, remove the other first"
    )]
    HeldOtherwise(PathBuf),
    /// It is not complete.
    #[error("the recovery is not complete yet: merge all signatures, then let the first signer complete it")]
    Incomplete,
    /// The copy of the ledger on which a draft is made.
    #[error("the ledger cannot be copied for the draft: {0}")]
    Copy(#[from] SnapshotError),
    /// The recoveries that the home holds.
    #[error(transparent)]
    Held(#[from] HeldFileError),
}

impl RecoverError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Executor(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Part(error) => error.code(),
            Self::Recovery(error) => error.code(),
            Self::State(_) => "state-unreadable",
            Self::Unsound(_) => "recovery-ledger-unsound",
            Self::Voters => "recovery-voters",
            Self::NodeUnfit(_) => "recovery-node-unfit",
            Self::NotAdministrator(_) => "recovery-not-administrator",
            Self::Different => "recovery-different",
            Self::Unsigned(_) => "recovery-unsigned",
            Self::LacksEarlier(_) => "recovery-lacks-earlier",
            Self::Abandoned(_) => "recovery-abandoned",
            Self::HoldsMore { .. } => "recovery-holds-more",
            Self::FromTheFuture { .. } => "recovery-from-the-future",
            Self::Copy(error) => error.code(),
            Self::Held(error) => error.code(),
            Self::NoSignatures => "recovery-no-signatures",
            Self::NotFirst { .. } => "recovery-not-first",
            Self::Completed => "recovery-complete-already",
            Self::WouldOverwrite(_) => "recovery-would-overwrite",
            Self::HeldOtherwise(_) => "recovery-held-otherwise",
            Self::Incomplete => "recovery-incomplete",
        }
    }
}

impl RecoveryFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path.to_path_buf(), BYTES_MAX)?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_path_buf(), cause: error.to_string() })
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        write_atomically(path, self.to_text(path)?.as_bytes())
    }

    pub(crate) fn to_text(&self, path: &Path) -> Result<String, FileError> {
        toml::to_string_pretty(self)
            .map_err(|error| FileError { path: path.to_path_buf(), cause: std::io::Error::other(error) })
    }

    /// A document that nobody signed here.
    pub(crate) fn of(recovery: Recovery) -> Self {
        Self { transaction: None, log_end: DraftedFrom::default(), recovery, signatures: Vec::new() }
    }

    /// Adds an administrator's signature; an earlier one of the same account is replaced.
    ///
    /// # Errors
    /// [`RecoverError::FromTheFuture`] when it was drawn up after this machine's time; [`RecoverError::Completed`].
    pub fn sign(&mut self, account: AccountName, key: &SecretKey) -> Result<(), RecoverError> {
        self.check_time()?;
        if self.transaction.is_some() {
            return Err(RecoverError::Completed);
        }
        let signature = RecoverySignature::sign(&self.recovery, account, key);
        self.add(signature);
        Ok(())
    }

    /// No later block is earlier than the recovery, so a wrong clock would stop the chain until its time has come.
    fn check_time(&self) -> Result<(), RecoverError> {
        let (made, now) = (self.recovery.made, Timestamp::now());
        if made > now.plus_ms(CLOCK_AHEAD_MS_MAX) {
            return Err(RecoverError::FromTheFuture { made, now });
        }
        Ok(())
    }

    fn add(&mut self, signature: RecoverySignature) {
        self.signatures.retain(|held| held.account != signature.account);
        self.signatures.push(signature);
        self.signatures.sort_by(|left, right| left.account.cmp(&right.account));
    }

    /// Gathers the signatures of several copies in one; it is complete if one of them is, which then has all of them.
    ///
    /// # Errors
    /// [`RecoverError::Different`] when they are not copies of one recovery; [`RecoverError::Completed`] when one is complete
    /// and lacks what the others add.
    pub fn merge(files: Vec<Self>) -> Result<Self, RecoverError> {
        let complete: Vec<_> = files.iter().filter(|file| file.transaction.is_some()).cloned().collect();
        let mut files = files.into_iter();
        let mut merged = files.next().ok_or(RecoverError::NoSignatures)?;
        for file in files {
            if file.recovery != merged.recovery {
                return Err(RecoverError::Different);
            }
            for signature in file.signatures {
                merged.add(signature);
            }
        }
        for file in complete {
            let is_same = merged.transaction.is_none() || merged.transaction == file.transaction;
            if !is_same || merged.signatures != file.signatures {
                return Err(RecoverError::Completed);
            }
            merged.transaction = file.transaction;
        }
        Ok(merged)
    }

    /// Whether nothing is lost when this takes the place of another: an earlier state of it.
    fn contains(&self, earlier: &Self) -> bool {
        let is_further = earlier.transaction.is_none() || earlier.transaction == self.transaction;
        let has_all = earlier.signatures.iter().all(|signature| self.signatures.contains(signature));
        self.recovery == earlier.recovery && is_further && has_all
    }

    /// Writes it, over an earlier state of it at most.
    ///
    /// # Errors
    /// [`RecoverError::WouldOverwrite`]; [`FileError`] when it cannot be written.
    pub fn write_further(&self, path: &Path) -> Result<(), RecoverError> {
        if path.exists() && !Self::load(path).is_ok_and(|earlier| self.contains(&earlier)) {
            return Err(RecoverError::WouldOverwrite(path.to_path_buf()));
        }
        Ok(self.write(path)?)
    }

    /// The members that must sign and have not: those with a node among the voters.
    pub fn missing(&self) -> Vec<MemberName> {
        let mut missing: Vec<_> = self.recovery.names().map(|voter| voter.member.clone()).collect();
        missing.sort();
        missing.dedup();
        missing.retain(|member| !self.signatures.iter().any(|signature| signature.account.member == *member));
        missing
    }

    /// Makes the transaction, signed by the first of the signers by name: afterwards the file is the same for everyone.
    ///
    /// # Errors
    /// [`RecoverError`] when a signature is missing or another account must do it.
    pub fn complete(&mut self, account: &AccountName, key: &SecretKey) -> Result<(), RecoverError> {
        if let Some(member) = self.missing().into_iter().next() {
            return Err(RecoverError::Unsigned(member));
        }
        let first = self.signatures.first().ok_or(RecoverError::NoSignatures)?;
        if first.account != *account {
            return Err(RecoverError::NotFirst { expected: first.account.clone() });
        }
        // Of the recovery itself: done again with the same signatures it makes the same transaction.
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.recovery.hash().0[..16]);
        let signed = SignedRecovery { recovery: self.recovery.clone(), signatures: self.signatures.clone() };
        let body = TransactionBody {
            chain: self.recovery.genesis,
            signer: Signer::Account(account.clone()),
            salt,
            // The recovery block's time: drawn up later than the kept block.
            valid_until: self.recovery.made,
            call: Call::Recover { recovery: Box::new(signed) },
        };
        self.transaction = Some(hex::encode(body.sign(key).encode()));
        Ok(())
    }

    /// The transaction's bytes.
    ///
    /// # Errors
    /// [`RecoverError::Incomplete`].
    pub fn transaction_bytes(&self) -> Result<Vec<u8>, RecoverError> {
        let text = self.transaction.as_ref().ok_or(RecoverError::Incomplete)?;
        hex::decode(text).map_err(|_| RecoverError::Incomplete)
    }
}

/// A recovery as drawn up.
#[derive(Debug, Clone)]
pub struct Drafted {
    /// To be signed.
    pub file: RecoveryFile,
    /// What verifying the ledger found: nothing, or it would not have been drawn up.
    pub report: VerifyReport,
    /// The last block's time.
    pub time: Timestamp,
    /// Who voted until now.
    pub voters_before: Vec<NodeName>,
    /// Blocks that the ledger lacked and the node's own ordering log held.
    pub from_log: u64,
    /// The members that must sign.
    pub must_sign: Vec<MemberName>,
}

fn genesis_of(home: &NodeHome) -> Result<Genesis, RecoverError> {
    Ok(Genesis::from_toml(&read_text(home.genesis(), GENESIS_BYTES_MAX as u64)?)?)
}

/// Verifies the ledger of a home whose node is stopped, executes on a copy what its ordering log holds beyond it, and draws
/// up a recovery that keeps all of it. The home stays as it is. `abandoned` are the active members that need not sign.
///
/// Entries that are not known to be committed are kept too. Whoever ordered them may have acknowledged them: an entry is
/// acknowledged once a majority holds it, and what says so reaches the others later.
///
/// # Errors
/// [`RecoverError`] when the ledger is not sound, or the nodes cannot vote.
pub fn draft(
    home: &NodeHome,
    mut voters: Vec<NodeName>,
    mut abandoned: Vec<MemberName>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Drafted, RecoverError> {
    let genesis = genesis_of(home)?;
    let report = verify_folder(&home.ledger(), &genesis, None, on_progress)?;
    if !report.findings.is_empty() {
        return Err(RecoverError::Unsound(report.findings.len()));
    }
    let reached = Reached::of(home)?;
    voters.sort();
    voters.dedup();
    abandoned.sort();
    abandoned.dedup();
    if voters.is_empty() {
        return Err(RecoverError::Voters);
    }
    let state = LedgerState(reached.ledger.view()?);
    let active = active_members(&state)?;
    let mut named = Vec::with_capacity(voters.len());
    for voter in voters {
        let node = get_node(&state, &voter)?.filter(|node| node.standing == Standing::Active);
        let Some(node) = node.filter(|_| active.contains(&voter.member)) else {
            return Err(RecoverError::NodeUnfit(voter));
        };
        named.push(Voter { node: voter, key: node.key });
    }
    for member in &abandoned {
        if !active.contains(member) || named.iter().any(|voter| voter.node.member == *member) {
            return Err(RecoverError::Abandoned(member.clone()));
        }
    }
    let must_sign = active.into_iter().filter(|member| !abandoned.contains(member)).collect();
    let time = reached.tip.header.as_ref().map_or(genesis.founded, |header| header.time);
    let recovery = Recovery {
        genesis: genesis.hash(),
        lineage: get_lineage(&state)?,
        height: reached.tip.height,
        header: reached.tip.hash,
        made: Timestamp::now().max(time.plus_ms(1)),
        abandoned,
        voters: named,
    };
    let voters_before = get_voter_set(&state)?.voters.into_iter().map(|voter| voter.node).collect();
    let file = RecoveryFile { transaction: None, log_end: reached.log_end, recovery, signatures: Vec::new() };
    let from_log = reached.tip.height - reached.stored_height;
    Ok(Drafted { file, report, time, voters_before, from_log, must_sign })
}

/// The active members, in ascending order.
fn active_members(state: &LedgerState<'_>) -> Result<Vec<MemberName>, RecoverError> {
    let (mut active, mut last): (Vec<MemberName>, Option<MemberName>) = (Vec::new(), None);
    loop {
        let page = list_members(state, last.as_ref(), PAGE)?;
        let Some(end) = page.last() else { return Ok(active) };
        last = Some(end.name.clone());
        active.extend(page.into_iter().filter(|member| member.standing == Standing::Active).map(|member| member.name));
    }
}

/// What a home holds in all: its ledger, and what its own ordering log adds to it, executed on a copy.
struct Reached {
    ledger: Arc<Ledger>,
    tip: Tip,
    log_end: DraftedFrom,
    /// The ledger's own height.
    stored_height: u64,
    _copy: ScratchFolder,
}

/// A folder that goes when it is not needed any more.
struct ScratchFolder(PathBuf);

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Reached {
    fn of(home: &NodeHome) -> Result<Self, RecoverError> {
        let folder = home.root().join("recovery-draft");
        let _ = std::fs::remove_dir_all(&folder);
        let copy = ScratchFolder(folder);
        let genesis = Arc::new(genesis_of(home)?);
        let stored_height = {
            let ledger = Ledger::open_existing(&home.ledger())?;
            galen_ledger::snapshot::copy(&ledger, &copy.0)?;
            ledger.tip()?.height
        };
        let ledger = Arc::new(Ledger::open(&copy.0, &ledger_options(&genesis, genesis.hash()))?);
        let log_end = execute_log(home, &ledger, &genesis, u64::MAX)?;
        let tip = ledger.tip()?;
        Ok(Self { tip, ledger, log_end, stored_height, _copy: copy })
    }
}

/// Executes on a ledger what the home's ordering log holds beyond it, up to a height; gives the log's end.
fn execute_log(
    home: &NodeHome,
    ledger: &Arc<Ledger>,
    genesis: &Arc<Genesis>,
    height: u64,
) -> Result<DraftedFrom, RecoverError> {
    let applied = ledger.applied()?;
    let end_of_ledger = DraftedFrom { term: applied.term, index: applied.index };
    let Some(raft_id) = ledger.ordering_started()? else { return Ok(end_of_ledger) };
    let folder = home.log(raft_id);
    if !folder.exists() {
        return Ok(end_of_ledger);
    }
    let identity = Identity { cluster: genesis.hash().0, node: RaftId(raft_id) };
    let (_log, recovered) = Log::open(RealVfs, &folder, identity, LogOptions::default())?;
    let config = NodeConfig::load(home)?;
    let mut executor = executor_on(ledger, genesis, &config)?;
    let mut end = end_of_ledger;
    for entry in recovered.entries {
        end = end.max(DraftedFrom { term: entry.term, index: entry.index });
        // A gap means that the log was cut above this ledger: the rest says nothing here.
        if executor.tip().height >= height || entry.index > ledger.applied()?.index + 1 {
            continue;
        }
        let bytes = if entry.kind == EntryKind::Data { entry.data } else { Default::default() };
        executor.execute(&OrderedBatch { index: entry.index, term: entry.term, bytes })?;
    }
    Ok(end)
}

fn executor_on(ledger: &Arc<Ledger>, genesis: &Arc<Genesis>, config: &NodeConfig) -> Result<Executor, RecoverError> {
    let settings = ExecutorConfig {
        genesis: Arc::clone(genesis),
        node: config.node.clone(),
        voter_keys: Vec::new(),
        orders: false,
        recoveries: HeldRecoveries::default(),
        verified: Arc::new(VerifiedCache::default()),
    };
    Ok(Executor::new(Arc::clone(ledger), settings)?)
}

/// What applying a recovery did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedRecovery {
    /// This node.
    pub node: NodeName,
    /// Names the branch of the chain from here on.
    pub lineage: Hash,
    /// The recovery block's height.
    pub height: u64,
    /// Whether the block was made here; else this node has fewer blocks and follows the others through the recovery.
    pub applied: bool,
    /// This node's number in ordering from here on; 0 when it is not among the voters.
    pub raft_id: u64,
}

/// Applies a complete recovery to a home whose node is stopped: its ledger gets the recovery block, its ordering begins
/// anew there. A ledger that lacks blocks which the home's own ordering log holds gets them first. On a home that has fewer
/// blocks than the recovery keeps it is only kept: its node follows the others through it. Doing it again does no harm.
///
/// # Errors
/// [`RecoverError`] saying why not; nothing has changed then, except after an error of the disk.
pub fn apply(home: &NodeHome, file: &RecoveryFile) -> Result<AppliedRecovery, RecoverError> {
    let config = NodeConfig::load(home)?;
    let genesis = Arc::new(genesis_of(home)?);
    let genesis_hash = genesis.hash();
    file.check_time()?;
    let bytes = file.transaction_bytes()?;
    let recovery = HeldRecovery::from_bytes(&bytes, &genesis_hash)?;
    if recovery.recovery != file.recovery {
        return Err(RecoverError::Different);
    }
    let lineage = recovery.hash;
    let kept = recovery.recovery.height;
    let open = || Ledger::open(&home.ledger(), &ledger_options(&genesis, genesis_hash)).map(Arc::new);
    let is_behind = {
        let ledger = open()?;
        // Also writes the founding state into a new ledger.
        let executor = executor_on(&ledger, &genesis, &config)?;
        let (before, own) = (recovery.recovery.lineage, executor.lineage()?);
        let held = held::load(home, &genesis_hash)?;
        if held.get(&lineage).and_then(HeldRecovery::transaction_bytes).is_some_and(|held| held != bytes) {
            return Err(RecoverError::HeldOtherwise(home.recovery(&lineage)));
        }
        if before != Hash::ZERO && own != before && own != lineage && !held.holds(&before) {
            return Err(RecoverError::LacksEarlier(before));
        }
        executor.tip().height < kept
    };
    // On the ledger itself only what leads to the very block that the recovery keeps.
    let leads = is_behind && Reached::of(home)?.ledger.view()?.header_hash(kept)? == Some(recovery.recovery.header);
    let ledger = open()?;
    if leads {
        execute_log(home, &ledger, &genesis, kept)?;
    }
    let before = galen_chain::recovery::lineage(&LedgerState(ledger.view()?))?;
    let mut executor = executor_on(&ledger, &genesis, &config)?;
    let height = kept + 1;
    let applied = match executor.apply_recovery(&bytes) {
        Ok(_) | Err(ApplyRecoveryError::Recovery(RecoveryError::Applied)) => true,
        Err(ApplyRecoveryError::Recovery(RecoveryError::Behind { .. })) => false,
        Err(ApplyRecoveryError::Recovery(error)) => return Err(error.into()),
        Err(ApplyRecoveryError::Fatal(error)) => return Err(error.into()),
    };
    // Held before anything speaks: peers agree on it.
    held::keep(home, file, before)?;
    if !applied {
        return Ok(AppliedRecovery { node: config.node, lineage, height, applied, raft_id: 0 });
    }
    let state = LedgerState(ledger.view()?);
    let raft_id = get_node(&state, &config.node)?.map_or(0, |node| node.raft_id);
    let named = recovery.recovery.names().any(|voter| *voter == config.node);
    drop(state);
    // When later blocks follow already, the log exists, or the node comes back as a learner.
    if named && raft_id != 0 && ledger.tip()?.height == height {
        begin_log(home, &ledger, &executor, raft_id, genesis_hash, height)?;
    }
    Ok(AppliedRecovery { node: config.node, lineage, height, applied, raft_id: if named { raft_id } else { 0 } })
}

/// The ordering log of the new number, which begins at the recovery block.
fn begin_log(
    home: &NodeHome,
    ledger: &Ledger,
    executor: &Executor,
    raft_id: u64,
    genesis: Hash,
    height: u64,
) -> Result<(), RecoverError> {
    let folder = home.log(raft_id);
    if folder.exists() && ledger.ordering_started()? == Some(raft_id) {
        return Ok(());
    }
    let header = ledger.view()?.header(height)?.ok_or(RecoveryError::Applied)?;
    let group = executor.group()?;
    let membership = Membership::new(group.voters.keys().copied(), []);
    let snapshot = SnapshotMeta {
        index: header.raft_index,
        term: header.raft_term,
        membership: MembershipAt { index: header.raft_index, membership },
        context: snapshot_context(height, &header.hash()),
    };
    let identity = Identity { cluster: genesis.0, node: RaftId(raft_id) };
    Log::create_at(RealVfs, &folder, identity, LogOptions::default(), snapshot)?;
    PartNotes::new(home).take_up(raft_id, ledger)?;
    Ok(())
}

/// Whether an account's signature would count: an active administrator in the state that the ledger of a home holds.
///
/// # Errors
/// [`RecoverError::NotAdministrator`], or when the ledger cannot be read.
pub fn check_administrator(home: &NodeHome, account: &AccountName) -> Result<(), RecoverError> {
    let ledger = Ledger::open_read_only(&home.ledger())?;
    let found = get_account(&LedgerState(ledger.view()?), account)?;
    let counts = found.is_some_and(|found| found.standing == Standing::Active && found.has_role(Role::Admin));
    if counts { Ok(()) } else { Err(RecoverError::NotAdministrator(account.clone())) }
}

/// Whether a home holds no more than a recovery keeps: neither its ordering log's end nor what its ledger comes to with it
/// is beyond the draft's.
///
/// # Errors
/// [`RecoverError::HoldsMore`], or when the home cannot be read.
pub fn check_holds_no_more(home: &NodeHome, file: &RecoveryFile) -> Result<(), RecoverError> {
    let reached = Reached::of(home)?;
    let (own, draft) = (reached.log_end, file.log_end);
    let (own_height, height) = (reached.tip.height, file.recovery.height);
    if own > draft || own_height > height {
        let (own_term, own_index, term, index) = (own.term, own.index, draft.term, draft.index);
        return Err(RecoverError::HoldsMore { own_term, own_index, own_height, term, index, height });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(account: &str) -> SecretKey {
        SecretKey::from_seed(&[account.as_bytes()[0]; 32])
    }

    /// Two voters' members, and an administrator more than is needed.
    fn drafted() -> RecoveryFile {
        let voter = |node: &str| Voter { node: node.parse().unwrap(), key: key(node).public_key() };
        RecoveryFile::of(Recovery {
            genesis: Hash([1; 32]),
            lineage: Hash::ZERO,
            height: 7,
            header: Hash([2; 32]),
            made: Timestamp(1_790_000_000_000),
            abandoned: Vec::new(),
            voters: vec![voter("node-1.iowa"), voter("node-1.ohio")],
        })
    }

    fn signed(accounts: &[&str]) -> RecoveryFile {
        let mut file = drafted();
        for account in accounts {
            file.add(RecoverySignature::sign(&file.recovery, account.parse().unwrap(), &key(account)));
        }
        file
    }

    fn completed(accounts: &[&str], first: &str) -> RecoveryFile {
        let mut file = signed(accounts);
        file.complete(&first.parse().unwrap(), &key(first)).unwrap();
        file
    }

    #[test]
    fn completed_twice_it_is_the_same_transaction() {
        let accounts = ["admin@iowa", "admin@ohio"];
        let once = completed(&accounts, "admin@iowa");
        assert!(once.transaction.is_some());
        assert_eq!(once, completed(&accounts, "admin@iowa"));
    }

    #[test]
    fn a_complete_one_takes_no_signature_more() {
        let mut complete = completed(&["admin@iowa", "admin@ohio"], "admin@iowa");
        let merge = |files: &[&RecoveryFile]| RecoveryFile::merge(files.iter().copied().cloned().collect());
        assert_eq!(merge(&[&signed(&["admin@iowa"]), &complete]).unwrap(), complete);
        assert_eq!(merge(&[&complete, &signed(&["admin@ohio"]), &complete]).unwrap(), complete);
        let more = signed(&["second@ohio"]);
        let other = completed(&["admin@iowa", "second@ohio"], "admin@iowa");
        for files in [[&complete, &more], [&more, &complete], [&complete, &other], [&other, &complete]] {
            assert_eq!(merge(&files).unwrap_err().code(), "recovery-complete-already");
        }
        let error = complete.sign("second@ohio".parse().unwrap(), &key("second@ohio")).unwrap_err();
        assert_eq!(error.code(), "recovery-complete-already");
    }

    #[test]
    fn only_an_earlier_state_of_it_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery.toml");
        let refused = |file: &RecoveryFile| file.write_further(&path).unwrap_err().code();
        drafted().write_further(&path).unwrap();
        signed(&["admin@ohio"]).write_further(&path).unwrap();
        assert_eq!(refused(&signed(&["admin@iowa"])), "recovery-would-overwrite", "a signature would be lost");
        let complete = completed(&["admin@iowa", "admin@ohio"], "admin@iowa");
        complete.write_further(&path).unwrap();
        complete.write_further(&path).unwrap();
        assert_eq!(refused(&signed(&["admin@iowa", "admin@ohio"])), "recovery-would-overwrite");
        let more = completed(&["admin@iowa", "admin@ohio", "second@ohio"], "admin@iowa");
        assert_eq!(refused(&more), "recovery-would-overwrite");
        assert_eq!(RecoveryFile::load(&path).unwrap(), complete);
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(refused(&complete), "recovery-would-overwrite");
    }
}
