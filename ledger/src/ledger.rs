//! Layer 4: one chain in one folder: opening it, and how far it has come.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use galen_types::{BlockHeader, Hash, Slug};

use crate::constants::{BLOCK_CACHE_BYTES, FORMAT_VERSION, WRITE_BUFFER_BYTES};
use crate::damage::DamageObserver;
use crate::error::LedgerError;
use crate::evidence::EvidenceHeld;
use crate::halt::Halt;
use crate::meta::{self, DurableMark, GenesisRoot, HistoryPeaks, HistorySpan, OrderingStarted, Progress, Settings};
use crate::signed_mark::SignedMark;
use crate::store::column::{Certificates, Column as _, Headers, Meta, OwnSignatures, StateLeaves};
use crate::store::current::is_store;
use crate::store::{Durability, Span, Store, damaged};
use crate::tree::levels::Levels;
use crate::view::View;

/// What a ledger is opened with.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// The hash of the genesis document; may never change.
    pub genesis_hash: Hash,
    /// The chain's name; may never change.
    pub chain: Slug,
    /// The state tree has 2^this many buckets, 1 to 24; may never change.
    pub state_bucket_bits: u8,
    /// Bytes of memory for blocks read from disk.
    pub block_cache_bytes: usize,
    /// Bytes of memory for rows not yet flushed.
    pub write_buffer_bytes: usize,
}

impl LedgerOptions {
    /// Options with the default amounts of memory.
    pub fn new(genesis_hash: Hash, chain: Slug, state_bucket_bits: u8) -> Self {
        Self {
            genesis_hash,
            chain,
            state_bucket_bits,
            block_cache_bytes: BLOCK_CACHE_BYTES,
            write_buffer_bytes: WRITE_BUFFER_BYTES,
        }
    }
}

/// The last block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Its height; 0 before the first block.
    pub height: u64,
    /// Its header's hash; before the first block, the genesis hash. The next block's parent.
    pub hash: Hash,
    /// Its header; `None` before the first block.
    pub header: Option<BlockHeader>,
}

/// The last entry of the ordering log whose effects are in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Its index; 0 before the first.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// What changes with every block.
pub(crate) struct Head {
    pub(crate) tip: Tip,
    pub(crate) applied: Applied,
    pub(crate) history: HistoryPeaks,
    pub(crate) initialised: bool,
}

/// One chain in one folder. Shared by threads; one of them commits blocks, any may read.
pub struct Ledger {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) head: Mutex<Head>,
    pub(crate) tree: RwLock<Levels>,
    /// Held while history is filled in or pruned.
    pub(crate) span: Mutex<HistorySpan>,
    /// Held while a header signature is recorded; the last one's height, 0 before the first.
    pub(crate) last_signed: Mutex<u64>,
    /// Held while evidence is kept.
    pub(crate) evidence: Mutex<EvidenceHeld>,
    /// The note of it outside of the ledger, where there is one.
    pub(crate) signed_mark: OnceLock<Mutex<SignedMark>>,
    /// Up to here nothing is signed: another header may have been.
    pub(crate) signed_floor: AtomicU64,
    pub(crate) certified: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) halt: Halt,
}

impl Ledger {
    /// Opens the ledger in `path`, creating it when the folder is empty or absent.
    ///
    /// # Errors
    /// When the folder belongs to another genesis, chain, tree or format, is open elsewhere, cannot be read, or its
    /// content does not fit together.
    pub fn open(path: &Path, options: &LedgerOptions) -> Result<Self, LedgerError> {
        if !(1..=24).contains(&options.state_bucket_bits) {
            return Err(LedgerError::BucketBits(options.state_bucket_bits));
        }
        crate::install::settle(path)?;
        crate::folder::create(path).map_err(|error| LedgerError::Read(error.to_string()))?;
        let store = Store::open(path, options.block_cache_bytes, options.write_buffer_bytes)?;
        crate::install::remove_leftovers(path)?;
        let given = Settings::of(options);
        let stored = meta::get::<Settings>(&store.reader())?;
        match stored {
            Some(stored) => check_settings(path, &stored, &given)?,
            None => {
                let mut batch = store.batch(512);
                meta::put(&mut batch, &given)?;
                meta::put(&mut batch, &Progress::default())?;
                meta::put(&mut batch, &HistoryPeaks::default())?;
                batch.write(Durability::Disk)?;
            }
        }
        Self::load(store, given)
    }

    /// Opens the ledger that a folder holds, with the settings that it was made with.
    ///
    /// # Errors
    /// [`LedgerError::Absent`] when it holds none; else as [`Ledger::open`].
    pub fn open_existing(path: &Path) -> Result<Self, LedgerError> {
        crate::install::settle(path)?;
        let ledger = Self::open_existing_in_place(path)?;
        crate::install::remove_leftovers(path)?;
        Ok(ledger)
    }

    /// [`Ledger::open_existing`] of a folder whose siblings are not looked at.
    pub(crate) fn open_existing_in_place(path: &Path) -> Result<Self, LedgerError> {
        if !is_store(path) {
            return Err(LedgerError::Absent { path: path.to_owned() });
        }
        let store = Store::open(path, BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES)?;
        let settings = stored_settings(&store)?;
        Self::load(store, settings)
    }

    /// Opens what is in a folder for reading only, for offline work: the node should be stopped.
    ///
    /// # Errors
    /// When there is no ledger, or it cannot be read, or does not fit together.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        let store = Store::open_read_only(path, BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES)?;
        let settings = stored_settings(&store)?;
        Self::load(store, settings)
    }

    /// Breaks off snapshots and backups of it that are being made, for it is to be closed.
    pub fn halt_copies(&self) {
        self.halt.halt();
    }

    /// Reads how far the chain has come and checks that no part of the store lags behind another.
    fn load(store: Store, settings: Settings) -> Result<Self, LedgerError> {
        let reader = store.reader();
        let meta_row = |name: &str| damaged::<Meta>(name.as_bytes(), "the row is missing");
        let progress = meta::get::<Progress>(&reader)?.ok_or_else(|| meta_row("progress"))?;
        let history = meta::get::<HistoryPeaks>(&reader)?.ok_or_else(|| meta_row("history_peaks"))?;
        let genesis_root = meta::get::<GenesisRoot>(&reader)?;
        let durable = meta::get::<DurableMark>(&reader)?.map_or(0, |mark| mark.height);
        let tip = load_tip(&reader, progress.height, settings.genesis)?;
        let missing = |height: u64, problem: &str| damaged::<Headers>(&height.to_be_bytes(), problem);
        if durable > progress.height {
            return Err(missing(durable, "this height was synced, but blocks up to it are missing"));
        }
        let last_signed = last_height::<OwnSignatures>(&reader)?;
        if last_signed > progress.height {
            return Err(missing(last_signed, "this height was signed, but blocks up to it are missing"));
        }
        if history.range.length() != progress.height {
            return Err(missing(progress.height, "the history covers another number of blocks"));
        }
        let span = meta::get::<HistorySpan>(&reader)?.unwrap_or_default();
        check_links(&reader, &tip, durable.max(span.headers_from))?;
        let mut tree = Levels::new(settings.state_bucket_bits);
        let leaves = reader.sweep::<StateLeaves>(Span::default())?.collect::<Result<Vec<_>, _>>()?;
        if let Some((bucket, _)) = leaves.last().filter(|(bucket, _)| bucket >> settings.state_bucket_bits != 0) {
            return Err(damaged::<StateLeaves>(&bucket.to_be_bytes(), "there is no such bucket"));
        }
        let changes = tree.prepare(leaves);
        tree.apply(&changes);
        let expected =
            tip.header.as_ref().map(|header| header.state_root).or(genesis_root.as_ref().map(|row| row.root));
        if expected.is_some_and(|expected| expected != tree.root()) {
            return Err(LedgerError::Damaged {
                column: StateLeaves::NAME,
                place: format!("height {}", tip.height),
                problem: String::from("the state tree is not the one that the header names"),
            });
        }
        // A snapshot was certified before it was installed, by a certificate that may stand at a later height.
        let certified = last_height::<Certificates>(&reader)?.max(span.base_height);
        let evidence = EvidenceHeld::load(&reader)?;
        drop(reader);
        // What opening read back from the write-ahead log is now in table files, which RocksDB syncs.
        let durable = AtomicU64::new(tip.height);
        let applied = Applied { index: progress.raft_index, term: progress.raft_term };
        let head = Head { tip, applied, history, initialised: genesis_root.is_some() };
        Ok(Self {
            store,
            settings,
            head: Mutex::new(head),
            tree: RwLock::new(tree),
            span: Mutex::new(span),
            last_signed: Mutex::new(last_signed),
            evidence: Mutex::new(evidence),
            signed_mark: OnceLock::new(),
            signed_floor: AtomicU64::new(0),
            certified: AtomicU64::new(certified),
            halt: Halt::default(),
            durable,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The hash of the genesis document.
    pub fn genesis_hash(&self) -> Hash {
        self.settings.genesis
    }

    /// The chain's name.
    pub fn chain(&self) -> &Slug {
        &self.settings.chain
    }

    /// The state tree has 2^this many buckets.
    pub fn state_bucket_bits(&self) -> u8 {
        self.settings.state_bucket_bits
    }

    /// Whether the genesis state is written.
    ///
    /// # Errors
    /// [`LedgerError::Stopped`] after a fault.
    pub fn is_initialised(&self) -> Result<bool, LedgerError> {
        Ok(self.head()?.initialised)
    }

    /// The last block.
    ///
    /// # Errors
    /// [`LedgerError::Stopped`] after a fault.
    pub fn tip(&self) -> Result<Tip, LedgerError> {
        Ok(self.head()?.tip.clone())
    }

    /// The last applied entry of the ordering log.
    ///
    /// # Errors
    /// [`LedgerError::Stopped`] after a fault.
    pub fn applied(&self) -> Result<Applied, LedgerError> {
        Ok(self.head()?.applied)
    }

    /// What the next header names as `history_root`: the root over the hashes of all headers so far.
    ///
    /// # Errors
    /// [`LedgerError::Stopped`] after a fault.
    pub fn history_root(&self) -> Result<Hash, LedgerError> {
        Ok(self.head()?.history.range.root())
    }

    /// The root of the latest state.
    ///
    /// # Errors
    /// [`LedgerError::Stopped`] after a fault.
    pub fn state_root(&self) -> Result<Hash, LedgerError> {
        Ok(self.tree()?.root())
    }

    /// The highest height that a stored certificate covers; 0 when there is none.
    pub fn certified_height(&self) -> u64 {
        self.certified.load(Ordering::Acquire)
    }

    /// The highest height that survives loss of power.
    pub fn durable_height(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The number under which this node took part in ordering last, as [`Ledger::note_ordering_started`] noted it. When
    /// the log of that number is gone, so is what was promised in it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ordering_started(&self) -> Result<Option<u64>, LedgerError> {
        Ok(meta::get::<OrderingStarted>(&self.store.reader())?.map(|row| row.raft_id))
    }

    /// Notes, synced, that this node is about to take part in ordering under a number.
    ///
    /// # Errors
    /// A failed write is fatal.
    pub fn note_ordering_started(&self, raft_id: u64) -> Result<(), LedgerError> {
        let mut batch = self.store.batch(256);
        meta::put(&mut batch, &OrderingStarted { raft_id })?;
        batch.write(Durability::Disk)
    }

    /// The chain as it is now; it does not change under its reader while blocks are committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn view(&self) -> Result<View<'_>, LedgerError> {
        View::new(self.store.reader(), self.settings.genesis)
    }

    /// Whether the ledger still accepts writes; the error is what stopped it.
    ///
    /// # Errors
    /// [`LedgerError::Stopped`] after a failed write, [`LedgerError::ReadOnly`] when opened so.
    pub fn check_writable(&self) -> Result<(), LedgerError> {
        self.store.check_writable()
    }

    /// Has somebody told of the first damage that any reader meets, before the reader hears of it; at once, where it was
    /// met already. Only the first observer counts.
    pub fn on_damage(&self, observer: DamageObserver) {
        self.store.damage.observe(observer);
    }

    /// The first damage that was met.
    pub fn damage(&self) -> Option<LedgerError> {
        self.store.damage.found().cloned()
    }

    /// Takes note of damage that somebody else found: from now on nothing is written or signed.
    pub fn report_damage(&self, damage: LedgerError) {
        self.store.damage.see(damage);
    }

    pub(crate) fn head(&self) -> Result<MutexGuard<'_, Head>, LedgerError> {
        self.head.lock().map_err(|_| self.panicked())
    }

    pub(crate) fn tree(&self) -> Result<RwLockReadGuard<'_, Levels>, LedgerError> {
        self.tree.read().map_err(|_| self.panicked())
    }

    pub(crate) fn tree_mut(&self) -> Result<RwLockWriteGuard<'_, Levels>, LedgerError> {
        self.tree.write().map_err(|_| self.panicked())
    }

    pub(crate) fn span(&self) -> Result<MutexGuard<'_, HistorySpan>, LedgerError> {
        self.span.lock().map_err(|_| self.panicked())
    }

    pub(crate) fn evidence_held(&self) -> Result<MutexGuard<'_, EvidenceHeld>, LedgerError> {
        self.evidence.lock().map_err(|_| self.panicked())
    }

    pub(crate) fn last_signed(&self) -> Result<MutexGuard<'_, u64>, LedgerError> {
        self.last_signed.lock().map_err(|_| self.panicked())
    }

    /// A thread panicked while it changed the ledger: what is in memory may not be what is on disk.
    pub(crate) fn panicked(&self) -> LedgerError {
        let message = "a thread panicked while changing the ledger";
        self.store.stop(message);
        LedgerError::Stopped(message.to_owned())
    }
}

/// The settings that a folder was made with.
pub(crate) fn stored_settings(store: &Store) -> Result<Settings, LedgerError> {
    let settings =
        meta::get::<Settings>(&store.reader())?.ok_or_else(|| LedgerError::Absent { path: store.path().to_owned() })?;
    check_format(store.path(), &settings)?;
    if !(1..=24).contains(&settings.state_bucket_bits) {
        return Err(LedgerError::BucketBits(settings.state_bucket_bits));
    }
    Ok(settings)
}

fn check_format(path: &Path, stored: &Settings) -> Result<(), LedgerError> {
    if stored.format_version == FORMAT_VERSION {
        return Ok(());
    }
    Err(LedgerError::OtherFormat { path: path.to_owned(), stored: stored.format_version, supported: FORMAT_VERSION })
}

pub(crate) fn check_settings(path: &Path, stored: &Settings, given: &Settings) -> Result<(), LedgerError> {
    check_format(path, stored)?;
    let path = path.to_owned();
    if stored.genesis != given.genesis {
        return Err(LedgerError::OtherGenesis { path, stored: stored.genesis, given: given.genesis });
    }
    if stored.chain != given.chain {
        return Err(LedgerError::OtherChain { path, stored: stored.chain.clone(), given: given.chain.clone() });
    }
    if stored.state_bucket_bits != given.state_bucket_bits {
        let (stored, given) = (stored.state_bucket_bits, given.state_bucket_bits);
        return Err(LedgerError::OtherBucketBits { path, stored, given });
    }
    Ok(())
}

fn load_tip(reader: &crate::store::Reader<'_>, height: u64, genesis: Hash) -> Result<Tip, LedgerError> {
    let last = last_height::<Headers>(reader)?;
    if last != height {
        return Err(damaged::<Headers>(&last.to_be_bytes(), &format!("it is not the last height applied, {height}")));
    }
    if height == 0 {
        return Ok(Tip { height, hash: genesis, header: None });
    }
    let header = reader.require::<Headers>(&height)?;
    Ok(Tip { height, hash: header.hash(), header: Some(header) })
}

/// Unsynced blocks can be lost on loss of power, but only from the end: a gap means that the write-ahead log lost a part
/// in its middle, and the state with it.
fn check_links(reader: &crate::store::Reader<'_>, tip: &Tip, durable: u64) -> Result<(), LedgerError> {
    let Some(header) = &tip.header else { return Ok(()) };
    let (mut height, mut parent) = (header.height, header.parent);
    while height > durable.max(1) {
        height -= 1;
        let header = reader.require::<Headers>(&height)?;
        if header.hash() != parent {
            return Err(damaged::<Headers>(&height.to_be_bytes(), "the next header names another parent"));
        }
        parent = header.parent;
    }
    Ok(())
}

/// The highest key of a column that is keyed by height; 0 when it is empty.
fn last_height<C: crate::store::column::Column<Key = u64>>(
    reader: &crate::store::Reader<'_>,
) -> Result<u64, LedgerError> {
    Ok(reader.rows::<C>(Span::default().reversed())?.next().transpose()?.map_or(0, |(height, _)| height))
}
