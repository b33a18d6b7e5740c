//! The tracer and the model of the disk against programs of the system.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use galen_crash::disk::{Image, Loss, Recording};
use galen_crash::trace::{Action, Ended, Kind, Launch, Strike, Traced};
use nix::errno::Errno;

struct Run {
    folder: tempfile::TempDir,
    recording: Recording,
    ended: Ended,
}

impl Run {
    /// Runs a shell script in a folder of its own, with whatever is done to it.
    fn of(script: &str, strike: Option<Strike>, lying_syncs: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("before"), "old").unwrap();
        let recording = Arc::new(Mutex::new(Recording::begin(&root).unwrap()));
        let launch = Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-e".into(), "-c".into(), format!("cd '{}'\n{script}", root.display()).into()],
            environment: Vec::new(),
            output: std::fs::File::create(folder.path().join("output")).unwrap(),
            strike,
            lying_syncs: lying_syncs.map(str::to_owned),
        };
        let mut traced = Traced::start(launch, Arc::clone(&recording)).unwrap();
        let ended = traced.wait(Duration::from_secs(60)).unwrap().unwrap();
        let recording = recording.lock().unwrap().clone();
        Self { folder, recording, ended }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The files after a loss of power at the end.
    fn left(&self, loss: Loss, seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
        let parent = tempfile::tempdir_in(self.folder.path()).unwrap();
        let to = parent.path().join("left");
        Image::after(&self.recording, usize::MAX, loss, seed).write_to(&to).unwrap();
        files(&to)
    }
}

/// Every file below a folder; a folder's own place holds a slash.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn add(root: &Path, at: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let place = path.strip_prefix(root).unwrap().to_path_buf();
            if path.is_dir() {
                files.insert(place, b"/".to_vec());
                add(root, &path, files);
            } else {
                files.insert(place, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    add(root, root, &mut found);
    found
}

fn expected(files: &[(&str, &str)]) -> BTreeMap<PathBuf, Vec<u8>> {
    files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
}

const LIFE: &str = "
    printf one > a; printf ' two' >> a; mv a b; mkdir d; ln b d/link; cp b copied
    dd if=b of=d/synced conv=fsync status=none
    truncate -s 2 copied; printf x > gone; rm gone; mv d e
";

#[test]
fn the_recording_is_what_happened() {
    let run = Run::of(LIFE, None, None);
    assert!(run.ended.status.success());
    let to = run.folder.path().join("replayed");
    Image::at(&run.recording, usize::MAX).write_to(&to).unwrap();
    assert_eq!(files(&to), files(&run.root()));
    let expect = [
        ("before", "old"),
        ("b", "one two"),
        ("copied", "on"),
        ("e", "/"),
        ("e/link", "one two"),
        ("e/synced", "one two"),
    ];
    assert_eq!(files(&to), expected(&expect));
}

#[test]
fn a_loss_of_power_leaves_what_was_synced() {
    // Its bytes are synced, its name is not; then the folder is.
    let run = Run::of("dd if=before of=file conv=fsync status=none", None, None);
    assert_eq!(run.left(Loss::All, 0), expected(&[("before", "old")]));
    let synced = "dd if=before of=file conv=fsync status=none; printf lost > other; sync .; printf more >> file";
    let run = Run::of(synced, None, None);
    assert_eq!(run.left(Loss::All, 0), expected(&[("before", "old"), ("file", "old"), ("other", "")]));
    assert_eq!(run.left(Loss::Zeroes, 0)[Path::new("file")], b"old\0\0\0\0");
    assert_eq!(run.left(Loss::Names, 0)[Path::new("file")], b"oldmore");
}

#[test]
fn unsynced_changes_may_be_left_in_part() {
    let run = Run::of(
        "dd if=/dev/zero bs=20000 count=1 status=none | tr '\\0' x > big; sync .; printf y > small",
        None,
        None,
    );
    let seeds = |loss| (0..30).map(move |seed| (seed, loss));
    let mut seen = std::collections::BTreeSet::new();
    for (seed, loss) in seeds(Loss::Sectors512).chain(seeds(Loss::Sectors4096)) {
        let left = run.left(loss, seed);
        let sector = if loss == Loss::Sectors512 { 512 } else { 4096 };
        for part in left[Path::new("big")].chunks(sector) {
            assert!(part.iter().all(|byte| *byte == part[0]), "a sector is whole");
        }
        seen.insert(left);
    }
    assert!(seen.len() > 20);
    assert_eq!(run.left(Loss::Some, 3), run.left(Loss::Some, 3));
    let kept = |loss: Loss| (0..30).filter(|seed| run.left(loss, *seed).contains_key(Path::new("small"))).count();
    assert!((1..30).contains(&kept(Loss::Suffix)) && (1..30).contains(&kept(Loss::Some)));
}

#[test]
fn a_sync_that_lies_or_fails_makes_nothing_durable() {
    let script = "dd if=before of=file conv=fsync status=none; sync .";
    let run = Run::of(script, None, Some("/file"));
    assert!(run.ended.status.success());
    assert_eq!(run.left(Loss::All, 0), expected(&[("before", "old"), ("file", "")]));
    // The second sync succeeds; what the first one left behind is not on the disk.
    let twice = "printf new > file; sync file || sync file; printf , >> file; sync file; sync .";
    let strike = Strike {
        kinds: vec![Kind::Sync],
        within: None,
        at: 1,
        action: Action::Fail { error: Errno::EIO, lasts: false },
    };
    let run = Run::of(twice, Some(strike), None);
    assert!(run.ended.status.success());
    assert_eq!(run.left(Loss::All, 0)[Path::new("file")], b"\0\0\0,");
}

#[test]
fn a_process_is_killed_before_the_nth_call() {
    let whole = Run::of(LIFE, None, None).ended.calls;
    assert_eq!(whole.iter().filter(|kind| **kind == Kind::Rename).count(), 2);
    for at in 1..=whole.len() {
        let run = Run::of(LIFE, Some(Strike::kill(at)), None);
        assert_eq!(run.ended.struck.as_ref().map(|struck| struck.kind), Some(whole[at - 1]));
        assert_eq!(run.ended.status.signal(), Some(9));
        let to = run.folder.path().join("replayed");
        Image::at(&run.recording, usize::MAX).write_to(&to).unwrap();
        assert_eq!(files(&to), files(&run.root()));
    }
}

#[test]
fn a_full_disk_stays_full() {
    let script = "printf 12345678 > a || true; printf 5678 > b || true; test -e a; ! test -e b";
    let strike = |action| Strike { kinds: Kind::NEED_SPACE.to_vec(), within: None, at: 2, action };
    let run = Run::of(script, Some(strike(Action::Halve { error: Errno::ENOSPC })), None);
    assert!(run.ended.status.success());
    assert_eq!(files(&run.root()), expected(&[("before", "old"), ("a", "1234")]));
    let run = Run::of(script, Some(strike(Action::Fail { error: Errno::ENOSPC, lasts: true })), None);
    assert_eq!(files(&run.root()), expected(&[("before", "old"), ("a", "")]));
}
