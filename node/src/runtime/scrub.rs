//! The background scrub: from time to time everything that is stored is read again from the medium, slowly, and compared
//! with what the chain says it must be. It finds what rots unread, and what RocksDB's own checksums cannot see.
//!
//! | stored | checked against |
//! |---|---|
//! | ordering log | its records' checksums and chain, segment by segment up to what is durable |
//! | ledger | all that `galen ledger verify` recomputes (but for executing the blocks), on a copy that shares the table files |
//! | files | the hash by which the chain names each |
//!
//! A pass that a restart interrupts begins anew.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use galen_consensus::{Extent, Identity, Link, LogError, SegmentCheck, segment_path};
use galen_ledger::verify::VerifyReport;
use galen_ledger::{Ledger, LedgerError};
use galen_types::{Genesis, Timestamp};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::sync::watch;

use super::damage::{Damages, FoundBy};
use super::fatal::Shutdown;
use super::metrics::RuntimeMetrics;
use super::throttle::{Load, Throttle};
use super::{repair, room};
use crate::config::ScrubSection;
use crate::files::Files;
use crate::home::NodeHome;
use crate::operate::files::write_atomically;

/// How soon after a start the first pass may begin. A node that starts has other things to read, and nodes that were started
/// together, as after an upgrade, should be done with that before they all read everything.
const FIRST: Duration = Duration::from_secs(600);
/// Between two looks whether a pass is due, or the node stops.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes of a log read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// The ordering log, to whoever reads it beside its writer.
pub(super) struct LogToScrub {
    /// Its number in ordering.
    pub(super) raft_id: u64,
    /// Whose it is.
    pub(super) identity: Identity,
    /// How far it goes; the writer says so after each write.
    pub(super) extent: watch::Receiver<Extent>,
}

/// Everything that the scrub works with.
pub(super) struct Scrub {
    pub(super) home: NodeHome,
    pub(super) section: ScrubSection,
    pub(super) genesis: Arc<Genesis>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) log: Option<LogToScrub>,
    pub(super) files: Arc<Files>,
    /// Whether this node holds what its peers hold: before, it reads and writes enough.
    pub(super) caught_up: watch::Receiver<bool>,
    pub(super) damages: Damages,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) metrics: Arc<RuntimeMetrics>,
    pub(super) shutdown: Shutdown,
}

/// How a pass ended.
enum Pass {
    /// Everything was read.
    Complete,
    /// The node stops, for damage or for another reason; or it cannot be read now.
    Broken,
}

impl Scrub {
    /// Runs until the node stops, on a thread of its own.
    pub(super) fn run(self) {
        let copy = self.home.scrub().join("ledger");
        // Its links keep table files that the ledger has long replaced.
        let _ = std::fs::remove_dir_all(&copy);
        let last = self.last_pass();
        self.metrics.scrubbed(last);
        if self.section.period_seconds == 0 {
            return;
        }
        let period = Duration::from_secs(self.section.period_seconds);
        let since = Duration::from_millis(Timestamp::now().0.saturating_sub(last.map_or(0, |last| last.0)));
        let mut wait = period.saturating_sub(since).max(FIRST.min(period));
        while self.sleep(wait) {
            wait = period;
            let started = std::time::Instant::now();
            match self.pass(&copy) {
                Pass::Complete => {
                    let now = Timestamp::now();
                    self.note_pass(now);
                    self.metrics.scrubbed(Some(now));
                    tracing::info!(
                        seconds = started.elapsed().as_secs_f64(),
                        height = self.ledger.certified_height(),
                        "all that is stored was read again"
                    );
                }
                Pass::Broken => wait = period.min(FIRST),
            }
            let _ = std::fs::remove_dir_all(&copy);
            repair::remove_kept(&self.home);
        }
    }

    /// Sleeps until a pass is due and the node has caught up; `false` when it stops.
    fn sleep(&self, wait: Duration) -> bool {
        let until = std::time::Instant::now() + wait;
        while !self.shutdown.is_stopping() {
            let is_due = std::time::Instant::now() >= until;
            if is_due && (self.log.is_some() || *self.caught_up.borrow()) {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        false
    }

    fn pass(&self, copy: &Path) -> Pass {
        let load = Load::new(self.metrics.transactions.clone());
        let read = self.metrics.scrub_bytes.clone();
        let throttle = Throttle::new(self.section.bytes_per_second, load, read, self.shutdown.clone());
        if let Some(log) = &self.log {
            let dir = self.home.log(log.raft_id);
            match scrub_log(&dir, log.identity, &log.extent, &|bytes| throttle.take(bytes)) {
                Ok(true) => {}
                Ok(false) => return Pass::Broken,
                Err(error) if error.is_damage() => {
                    self.metrics.scrub_findings.inc();
                    self.damages.log(FoundBy::Scrub, log.raft_id, &error);
                    return Pass::Broken;
                }
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "the ordering log cannot be scrubbed now");
                    return Pass::Broken;
                }
            }
        }
        match self.ledger_pass(copy, &throttle) {
            Ok(Some(report)) if report.is_sound() => {}
            Ok(Some(report)) => {
                self.metrics.scrub_findings.inc_by(report.findings_total);
                for finding in &report.findings {
                    tracing::error!(code = finding.problem.code(), %finding, "the scrub finds the ledger wrong");
                }
                let Some(first) = report.findings.into_iter().next() else { return Pass::Broken };
                let (column, place, problem) = (first.column, first.place, first.problem.to_string());
                let damage = LedgerError::Damaged { column, place, problem };
                self.damages.found(FoundBy::Scrub, damage, &Arc::downgrade(&self.ledger));
                return Pass::Broken;
            }
            Ok(None) => return Pass::Broken,
            Err(error) if error.is_damage() => {
                self.metrics.scrub_findings.inc();
                self.damages.found(FoundBy::Scrub, error, &Arc::downgrade(&self.ledger));
                return Pass::Broken;
            }
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the ledger cannot be scrubbed now");
                return Pass::Broken;
            }
        }
        let files = Arc::clone(&self.files);
        let damaged = self.runtime.block_on(files.scrub(|bytes| throttle.take(bytes), &self.shutdown));
        match damaged {
            Ok(Some(findings)) => {
                self.metrics.scrub_findings.inc_by(findings);
                self.metrics.files_damaged.set(i64::try_from(findings).unwrap_or(i64::MAX));
                Pass::Complete
            }
            Ok(None) => Pass::Broken,
            Err(error) => {
                tracing::warn!(%error, "the stored files cannot be scrubbed now");
                Pass::Broken
            }
        }
    }

    /// Checks a copy of the ledger; `None` when the node stops, or the disk has no room for the table files that the copy
    /// keeps from being dropped.
    fn ledger_pass(&self, copy: &Path, throttle: &Throttle) -> Result<Option<VerifyReport>, LedgerError> {
        if let Err(room) = room::check(self.home.root(), room::SPARED_BYTES) {
            tracing::warn!(room, "the ledger is not scrubbed: it needs some room on the disk");
            return Ok(None);
        }
        let folder = self.home.scrub();
        std::fs::create_dir_all(&folder)
            .map_err(|error| LedgerError::Read(format!("`{}` cannot be created: {error}", folder.display())))?;
        let _ = std::fs::remove_dir_all(copy);
        galen_ledger::snapshot::copy(&self.ledger, copy).map_err(|error| match error {
            galen_ledger::SnapshotError::Ledger(error) => error,
            error => LedgerError::Read(error.to_string()),
        })?;
        let pace = throttle.clone();
        let report = galen_chain::verify::scrub_copy(copy, &self.genesis, move |bytes| pace.take(bytes));
        // What was being read when the node stopped looks wrong.
        if self.shutdown.is_stopping() { Ok(None) } else { report.map(Some) }
    }

    fn last_pass(&self) -> Option<Timestamp> {
        let text = std::fs::read_to_string(self.home.scrub().join("last")).ok()?;
        text.trim().parse().ok().map(Timestamp)
    }

    fn note_pass(&self, now: Timestamp) {
        // Forgetting it costs a pass.
        if let Err(error) = write_atomically(&self.home.scrub().join("last"), now.0.to_string().as_bytes()) {
            tracing::warn!(%error, "that the stored bytes were read again cannot be noted down");
        }
    }
}

/// Reads a log again, beside its writer, up to what was durable when it was looked at; `false` when `pace` ends it.
fn scrub_log(
    dir: &Path,
    identity: Identity,
    extent: &watch::Receiver<Extent>,
    pace: &dyn Fn(u64) -> bool,
) -> Result<bool, LogError> {
    let begun = *extent.borrow();
    let mut link = None;
    for segment in begun.first..=begun.last {
        let length = (segment == begun.last).then_some(begun.last_bytes);
        match scrub_segment(dir, identity, segment, length, link, pace)? {
            Segment::Sound(next) => link = Some(next),
            // Cut off since; what follows begins anew.
            Segment::Gone if segment < extent.borrow().first => link = None,
            Segment::Gone => return Err(LogError::MissingSegment(segment)),
            Segment::Ended => return Ok(false),
        }
    }
    Ok(true)
}

enum Segment {
    Sound(Link),
    Gone,
    Ended,
}

fn scrub_segment(
    dir: &Path,
    identity: Identity,
    segment: u64,
    length: Option<u64>,
    link: Option<Link>,
    pace: &dyn Fn(u64) -> bool,
) -> Result<Segment, LogError> {
    let path = segment_path(dir, segment);
    let failed = |action| {
        let path = path.clone();
        move |source| LogError::Io { action, path, source }
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Segment::Gone),
        Err(error) => return Err(failed("open")(error)),
    };
    let length = match length {
        Some(length) => length,
        None => file.metadata().map_err(failed("read"))?.len(),
    };
    // What lies in the system's cache is not what lies on the disk. Advice: without it, the cache is checked.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    let mut check = SegmentCheck::new(identity, segment, link);
    let (mut left, mut chunk) = (length, vec![0; CHUNK_BYTES]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let read = match file.read(&mut chunk[..most]) {
            // The file is shorter than what was durable.
            Ok(0) => break,
            Ok(read) => read,
            // The medium does not give the bytes back.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => {
                return Err(LogError::Damaged { segment, offset: length - left, index: 0 });
            }
            Err(error) => return Err(failed("read")(error)),
        };
        check.push(&chunk[..read])?;
        left -= read as u64;
        if !pace(read as u64) {
            return Ok(Segment::Ended);
        }
    }
    if left > 0 {
        return Err(LogError::Damaged { segment, offset: length - left, index: 0 });
    }
    check.finish().map(Segment::Sound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use galen_consensus::vfs::RealVfs;
    use galen_consensus::{Entry, EntryKind, HardState, Log, LogOptions, Persist, PersistToken, RaftId};

    use super::*;

    const IDENTITY: Identity = Identity { cluster: [9; 32], node: RaftId(2) };

    /// A log of several segments.
    fn make(dir: &Path) -> Log<RealVfs> {
        let options = LogOptions { segment_bytes: 64 << 10 };
        let (mut log, _) = Log::open(RealVfs, dir, IDENTITY, options).unwrap();
        for index in 1..=60 {
            append(&mut log, index);
        }
        log
    }

    fn append(log: &mut Log<RealVfs>, index: u64) {
        let data = bytes::Bytes::from(vec![u8::try_from(index).unwrap(); 5_000]);
        let hard_state = Some(HardState { term: 1, vote: None, commit: index - 1 });
        let entries = vec![Entry { index, term: 1, kind: EntryKind::Data, data }];
        let token = PersistToken(index);
        log.append(&[Persist { token, snapshot: None, entries, membership: None, hard_state }]).unwrap();
    }

    fn scrub(dir: &Path, log: &Log<RealVfs>) -> Result<bool, LogError> {
        let (_sender, extent) = watch::channel(log.extent());
        scrub_log(dir, IDENTITY, &extent, &|_| true)
    }

    #[test]
    fn a_flipped_byte_anywhere_in_a_log_in_use_is_found_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = make(folder.path());
        assert!(log.segments().count() > 3);
        assert!(scrub(folder.path(), &log).unwrap());
        for segment in log.segments().collect::<Vec<_>>() {
            let path = segment_path(folder.path(), segment);
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let length = file.metadata().unwrap().len();
            // Header, payload and trailer of the first records, the middle, and the last byte.
            for place in [0, 5, 40, 80, 120, 200, length / 3, length / 2, length - 1] {
                let mut byte = [0];
                file.read_exact_at(&mut byte, place).unwrap();
                file.write_all_at(&[byte[0] ^ 0x20], place).unwrap();
                let error = scrub(folder.path(), &log).unwrap_err();
                assert!(error.is_damage(), "byte {place} of segment {segment}: {error}");
                assert!(error.to_string().contains(&format!("segment {segment}")), "{error}");
                file.write_all_at(&byte, place).unwrap();
            }
        }
        append(&mut log, 61);
        assert!(scrub(folder.path(), &log).unwrap());
    }

    #[test]
    fn a_log_that_is_shorter_or_lacks_a_segment_is_damaged_and_one_that_was_cut_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = make(folder.path());
        let (sender, extent) = watch::channel(log.extent());
        let scrub = || scrub_log(folder.path(), IDENTITY, &extent, &|_| true);
        let last = segment_path(folder.path(), log.extent().last);
        let whole = std::fs::read(&last).unwrap();
        std::fs::write(&last, &whole[..whole.len() - 1]).unwrap();
        assert!(scrub().unwrap_err().is_damage());
        std::fs::write(&last, &whole).unwrap();
        std::fs::remove_file(segment_path(folder.path(), 1)).unwrap();
        assert!(matches!(scrub(), Err(LogError::MissingSegment(1))));
        // The writer removed it while it was read.
        let first = std::cell::Cell::new(true);
        let begun = *extent.borrow();
        std::fs::write(segment_path(folder.path(), 1), b"").unwrap();
        std::fs::remove_file(segment_path(folder.path(), 1)).unwrap();
        sender.send_replace(Extent { first: 2, ..begun });
        assert!(scrub_log(folder.path(), IDENTITY, &extent, &|_| first.replace(true)).unwrap());
        assert!(!scrub_log(folder.path(), IDENTITY, &extent, &|_| false).unwrap(), "the node stops");
    }
}
