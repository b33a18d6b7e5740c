//! A ledger installed from a snapshot is the source's, takes the old one's place all or nothing, and forgets nothing that
//! a voter promised. The kill test starts itself again with a folder in the environment.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod fixture;
mod past;

use std::path::Path;
use std::process::Command;

use fixture::{
    commit, execute, genesis_hash, grow, next_block, open, options, signature, voter_key, voter_name, voters,
};
use galen_ledger::install::{Incoming, InstallStep};
use galen_ledger::snapshot::{self, Part, SnapshotSource};
use galen_ledger::{Ledger, LedgerError, SnapshotError, constants};
use galen_types::hash::Context;
use galen_types::{Encoding as _, Hash, HeaderSignature};
use past::{certify, genesis_root, grow_wide, install, proof, receive, state, transfer};

/// A source with some parts of state, its snapshot, and an old ledger at height 2 that signed.
fn prepare(folder: &Path) -> (Ledger, SnapshotSource) {
    let source = open(&folder.join("source"));
    for _ in 0..4 {
        grow_wide(&source, 800);
        grow(&source);
    }
    let taken = snapshot::take(&source, &folder.join("snapshots")).unwrap();
    let old = open(&folder.join("ledger"));
    for height in 1..=2 {
        let past = past::Past::of(&source, height);
        let mut made = execute(height, &past.block.transactions);
        if height == 1 {
            let (wide, _) = (grow_wide(&old, 800), &mut made);
            assert_eq!(wide, past.block);
        } else {
            commit(&old, &past.block, made);
        }
        old.record_own_signature(&signature(&past.block, 0)).unwrap();
    }
    let deviant =
        HeaderSignature::sign(&genesis_hash(), &voters(0).hash(), 2, Hash([9; 32]), voter_name(3), &voter_key(3));
    assert!(!old.put_signature(&deviant).unwrap());
    certify(&old, 2);
    old.note_ordering_started(7).unwrap();
    (source, SnapshotSource::open(&taken.path).unwrap())
}

/// What the old ledger promised is known.
fn assert_remembers(ledger: &Ledger) {
    let view = ledger.view().unwrap();
    assert!(view.own_signature(1).unwrap().is_some() && view.own_signature(2).unwrap().is_some());
    assert_eq!(view.evidence(1, 10).unwrap().len(), 1);
    assert_eq!(ledger.ordering_started().unwrap(), Some(7));
    let other =
        HeaderSignature::sign(&genesis_hash(), &voters(0).hash(), 2, Hash([8; 32]), voter_name(0), &voter_key(0));
    assert_eq!(ledger.record_own_signature(&other).unwrap_err().code(), "ledger-already-signed");
}

#[test]
fn an_installed_ledger_is_the_sources_and_goes_on_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let path = folder.path().join("ledger");
    let mut incoming =
        Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof(&source, 8)).unwrap();
    let mut steps = Vec::new();
    let error = incoming.build(&path, &options(), genesis_root(), &mut |_| {}).map(drop).unwrap_err();
    assert_eq!(error.code(), "snapshot-incomplete");
    receive(&snapshot, &mut incoming);
    assert_eq!(incoming.received_bytes(), snapshot.manifest().bytes);
    install(&mut incoming, &path, &options(), &mut |progress| steps.push(progress.step)).unwrap();
    steps.dedup();
    let all = [
        InstallStep::Rows,
        InstallStep::Tree,
        InstallStep::Chain,
        InstallStep::CarryOver,
        InstallStep::Place,
        InstallStep::Remove,
    ];
    assert_eq!(steps, all);
    let installed = Ledger::open(&path, &options()).unwrap();
    assert_eq!(installed.tip().unwrap(), source.tip().unwrap());
    assert_eq!(installed.state_root().unwrap(), source.state_root().unwrap());
    assert_eq!(installed.history_root().unwrap(), source.history_root().unwrap());
    assert_eq!(installed.applied().unwrap(), source.applied().unwrap());
    assert_eq!((installed.certified_height(), installed.durable_height()), (8, 8));
    assert!(installed.is_initialised().unwrap());
    assert_eq!(state(&installed), state(&source));
    assert_remembers(&installed);
    let view = installed.view().unwrap();
    assert_eq!((view.base_height().unwrap(), view.history_from().unwrap(), view.bodies_from().unwrap()), (8, 8, 9));
    assert_eq!(view.absence(3).unwrap().unwrap().code(), "history-absent");
    assert!(view.block(3).unwrap().is_none() && view.header(3).unwrap().is_none());
    assert!(view.voter_set(0).unwrap().is_some() && view.voter_set(1).unwrap().is_some());
    drop(view);
    for _ in 0..5 {
        let block = grow(&source);
        let (same, made) = next_block(&installed, block.transactions.clone());
        assert_eq!(same, block);
        commit(&installed, &same, made);
        installed.record_own_signature(&signature(&block, 0)).unwrap();
    }
    let wide = grow_wide(&source, 100);
    assert_eq!(grow_wide(&installed, 100), wide);
    let (proof, header) = installed.prove_state(b"height").unwrap();
    let value = 14_u64.to_le_bytes();
    assert_eq!(proof.verify(&header.unwrap().state_root, b"height", Some(value.as_slice())), Ok(()));
    // It serves what the source serves, and opens again.
    let taken = snapshot::take(&installed, &folder.path().join("again")).unwrap();
    assert_eq!(taken.manifest, snapshot::take(&source, &folder.path().join("snapshots")).unwrap().manifest);
    drop(installed);
    assert_eq!(Ledger::open(&path, &options()).unwrap().tip().unwrap(), source.tip().unwrap());
}

#[test]
fn an_installed_ledger_can_be_replaced_by_a_later_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (source, _) = prepare(folder.path());
    let path = folder.path().join("ledger");
    transfer(&source, folder.path(), &path);
    grow(&source);
    grow_wide(&source, 50);
    transfer(&source, folder.path(), &path);
    let installed = Ledger::open(&path, &options()).unwrap();
    assert_eq!(installed.tip().unwrap(), source.tip().unwrap());
    assert_eq!(state(&installed), state(&source));
    assert_remembers(&installed);
    drop(installed);
    // The same once more is refused, and changes nothing.
    let snapshot = snapshot::open(&folder.path().join("taken"), 10).unwrap();
    let proof = proof(&source, 10);
    let mut incoming = Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof).unwrap();
    receive(&snapshot, &mut incoming);
    let error = install(&mut incoming, &path, &options(), &mut |_| {}).unwrap_err();
    assert_eq!(error.code(), "snapshot-not-ahead");
    assert_eq!(Ledger::open(&path, &options()).unwrap().tip().unwrap().height, 10);
}

#[test]
fn a_node_that_joins_needs_no_ledger_before() {
    let folder = tempfile::tempdir().unwrap();
    let (source, _) = prepare(folder.path());
    let path = folder.path().join("fresh");
    transfer(&source, folder.path(), &path);
    assert_eq!(Ledger::open(&path, &options()).unwrap().tip().unwrap(), source.tip().unwrap());
}

#[test]
fn wrong_parts_are_named_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let other = {
        grow_wide(&source, 10);
        let taken = snapshot::take(&source, &folder.path().join("snapshots")).unwrap();
        SnapshotSource::open(&taken.path).unwrap()
    };
    let into = folder.path().join("incoming");
    let mut incoming = Incoming::begin(&into, snapshot.manifest().clone(), proof(&source, 8)).unwrap();
    let part = |index| snapshot.part(index).unwrap().unwrap();
    let refused = |incoming: &mut Incoming, index: u32, bytes: &[u8]| {
        let error = incoming.accept(index, bytes).unwrap_err();
        assert!(matches!(error, SnapshotError::Part { index: named, .. } if named == index), "{error}");
        assert!(error.blames_peer());
    };
    let mut flipped = part(1);
    flipped[1000] ^= 1;
    refused(&mut incoming, 1, &flipped);
    refused(&mut incoming, 1, &part(1)[..1000]);
    refused(&mut incoming, 1, &part(2));
    refused(&mut incoming, 1, &[part(1), vec![0]].concat());
    refused(&mut incoming, 1, &[]);
    refused(&mut incoming, 99, &part(1));
    let last = u32::try_from(snapshot.manifest().parts.len()).unwrap() - 1;
    refused(&mut incoming, last, &other.part(last).unwrap().unwrap());
    assert_eq!(incoming.missing_count(), snapshot.manifest().parts.len());
    // Out of order is fine, twice too.
    incoming.accept(2, &part(2)).unwrap();
    incoming.accept(0, &part(0)).unwrap();
    incoming.accept(0, &part(0)).unwrap();
    drop(incoming);
    // From another peer with the same manifest it goes on; with another manifest it starts anew.
    let mut incoming = Incoming::begin(&into, snapshot.manifest().clone(), proof(&source, 8)).unwrap();
    assert!(!incoming.missing(0, 99).contains(&0) && !incoming.missing(0, 99).contains(&2));
    assert_eq!(incoming.missing(1, 1), [1]);
    receive(&snapshot, &mut incoming);
    // Damaged on disk after it was received: found when it is used, and asked for again.
    let path = folder.path().join("incoming/part-0000001");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[77] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let ledger = folder.path().join("ledger");
    let error = install(&mut incoming, &ledger, &options(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, SnapshotError::Part { index: 1, .. }), "{error}");
    assert_eq!(incoming.missing(0, 99), [1]);
    receive(&snapshot, &mut incoming);
    install(&mut incoming, &ledger, &options(), &mut |_| {}).unwrap();
    let again = Incoming::begin(&into, other.manifest().clone(), proof(&source, 9)).unwrap();
    assert_eq!(again.missing_count(), other.manifest().parts.len());
}

#[test]
fn rows_that_are_not_the_certified_state_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let mut manifest = snapshot.manifest().clone();
    let mut part = Part::decode(&snapshot.part(0).unwrap().unwrap(), 2 << 20).unwrap();
    part.rows[5].1[0] ^= 1;
    let forged = part.encode();
    manifest.parts[0].hash = Hash::of(Context::SnapshotPart, &forged);
    let mut incoming = Incoming::begin(&folder.path().join("incoming"), manifest, proof(&source, 8)).unwrap();
    incoming.accept(0, &forged).unwrap();
    receive(&snapshot, &mut incoming);
    let path = folder.path().join("ledger");
    let error = install(&mut incoming, &path, &options(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, SnapshotError::Root { .. }) && error.blames_peer(), "{error}");
    let ledger = Ledger::open(&path, &options()).unwrap();
    assert_eq!(ledger.tip().unwrap().height, 2);
    assert_remembers(&ledger);
    // Rows out of order across parts, and the voters of another header.
    let mut manifest = snapshot.manifest().clone();
    manifest.parts.swap(0, 1);
    let mut incoming = Incoming::begin(&folder.path().join("incoming"), manifest, proof(&source, 8)).unwrap();
    for index in incoming.missing(0, 99) {
        let from = if index < 2 { 1 - index } else { index };
        incoming.accept(index, &snapshot.part(from).unwrap().unwrap()).unwrap();
    }
    let error = incoming.build(&path, &options(), genesis_root(), &mut |_| {}).map(drop).unwrap_err();
    assert_eq!(error.code(), "snapshot-manifest");
    let refused = Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof(&source, 2));
    assert_eq!(refused.map(drop).unwrap_err().code(), "snapshot-voter-sets");
}

#[test]
fn the_old_ledger_must_be_closed_before_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let path = folder.path().join("ledger");
    let old = Ledger::open(&path, &options()).unwrap();
    let mut incoming =
        Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof(&source, 8)).unwrap();
    receive(&snapshot, &mut incoming);
    let built = incoming.build(&path, &options(), genesis_root(), &mut |_| {}).unwrap();
    let mut halted = Incoming::resume(&folder.path().join("incoming")).unwrap().unwrap();
    halted.halt().halt();
    let error = halted.build(&folder.path().join("other"), &options(), genesis_root(), &mut |_| {}).map(drop);
    assert_eq!(error.unwrap_err().code(), "snapshot-halted");
    // The node runs on meanwhile, and signs.
    let block = past::Past::of(&source, 3).block;
    assert_eq!(grow_wide(&old, 800), block);
    old.record_own_signature(&signature(&block, 0)).unwrap();
    let error = built.put_in_place(&mut |_| {}).unwrap_err();
    assert!(matches!(error, SnapshotError::Ledger(LedgerError::Locked { .. })), "{error}");
    let built = incoming.build(&path, &options(), genesis_root(), &mut |_| {}).unwrap();
    drop(old);
    built.put_in_place(&mut |_| {}).unwrap();
    let installed = Ledger::open(&path, &options()).unwrap();
    assert_eq!(installed.view().unwrap().own_signature(3).unwrap(), Some(signature(&block, 0)));
    assert_remembers(&installed);
}

const FOLDER: &str = "GALEN_LEDGER_INSTALL_TEST_FOLDER";
const STEPS: &str = "GALEN_LEDGER_INSTALL_TEST_STEPS";

/// What is left in the folder, however damaged, never keeps a snapshot from being begun; and a proof that could not be kept
/// is refused before anything is fetched.
#[test]
fn a_damaged_or_oversized_remainder_is_thrown_away_and_a_long_proof_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let path = folder.path().join("incoming");
    let peers = ["node-1.harlem".parse().unwrap(), "node-1.hennepin".parse().unwrap()];
    let begin = || Incoming::begin(&path, snapshot.manifest().clone(), proof(&source, 8));
    for file in ["proof", "manifest"] {
        for bytes in [0, 200, 25 << 20] {
            let mut incoming = begin().unwrap();
            receive(&snapshot, &mut incoming);
            incoming.note_offered_by(&peers).unwrap();
            assert_eq!(begin().unwrap().offered_by(), peers, "gone on with");
            drop(incoming);
            std::fs::File::create(path.join(file)).unwrap().set_len(bytes).unwrap();
            assert!(Incoming::resume(&path).unwrap().is_none(), "{file} of {bytes} bytes");
            let incoming = begin().unwrap();
            assert_eq!(incoming.missing_count(), snapshot.manifest().parts.len());
            assert_eq!(incoming.offered_by(), []);
        }
    }
    let mut long = proof(&source, 8);
    let header = snapshot.manifest().header.clone();
    long.trail = vec![header.clone(); constants::SNAPSHOT_PROOF_BYTES_MAX / header.encode().len() + 1];
    let error = Incoming::begin(&path, snapshot.manifest().clone(), long).err().unwrap();
    assert_eq!(error.code(), "snapshot-proof-too-long");
}

/// Does nothing unless it is the child: receives and installs, and dies without a trace after so many steps.
#[test]
fn child_installs_until_it_dies() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut left: u32 = std::env::var(STEPS).unwrap().parse().unwrap();
    let mut step = || {
        if left == 0 {
            std::process::abort();
        }
        left -= 1;
    };
    let mut incoming = Incoming::resume(&folder.join("incoming")).unwrap().unwrap();
    let snapshot = snapshot::open(&folder.join("snapshots"), incoming.manifest().header.height).unwrap();
    for index in incoming.missing(0, usize::MAX) {
        step();
        incoming.accept(index, &snapshot.part(index).unwrap().unwrap()).unwrap();
    }
    install(&mut incoming, &folder.join("ledger"), &options(), &mut |_| step()).unwrap();
    step();
}

#[test]
fn killed_at_any_step_the_old_ledger_or_the_new_one_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let path = folder.path().join("ledger");
    Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof(&source, 8)).unwrap();
    drop(snapshot);
    let (mut steps, mut installed) = (0, false);
    while !installed {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_installs_until_it_dies"])
            .env(FOLDER, folder.path())
            .env(STEPS, steps.to_string())
            .output()
            .unwrap();
        assert!(!status.status.success() || steps > 5);
        let ledger = Ledger::open(&path, &options()).unwrap();
        let tip = ledger.tip().unwrap().height;
        assert!(tip == 2 || tip == 8, "after {steps} steps the tip is {tip}");
        assert_remembers(&ledger);
        if tip == 8 {
            assert_eq!(state(&ledger), state(&source));
            installed = true;
        }
        for left in ["ledger.install-building", "ledger.install-new", "ledger.install-old"] {
            assert!(!folder.path().join(left).exists(), "`{left}` is left after {steps} steps");
        }
        steps += 1;
        assert!(steps < 100);
    }
    // Once the renames had begun, each further step ended with the new ledger.
    assert!(steps > 10, "{steps}");
}

/// Whoever finds that another process runs on the ledger, or puts one in place, touches nothing of it.
#[test]
fn nothing_beside_a_ledger_in_use_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = open(&path);
    grow(&ledger);
    let beside = |name: &str| folder.path().join(name);
    let building = beside("ledger.install-building");
    std::fs::create_dir(&building).unwrap();
    std::fs::write(building.join("CURRENT"), b"").unwrap();
    let refused = |error: LedgerError| assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    refused(Ledger::open_existing(&path).map(drop).unwrap_err());
    refused(Ledger::open(&path, &options()).map(drop).unwrap_err());
    assert!(building.join("CURRENT").exists());
    drop(ledger);
    // Between two renames of a process that puts the new ledger in place.
    std::fs::remove_dir_all(&building).unwrap();
    let new = beside("ledger.install-new");
    std::fs::rename(&path, &new).unwrap();
    let claim = std::fs::File::open(&new).unwrap();
    claim.try_lock().unwrap();
    refused(Ledger::open_existing(&path).map(drop).unwrap_err());
    refused(Ledger::open(&path, &options()).map(drop).unwrap_err());
    assert!(new.join("CURRENT").exists() && !path.exists());
    // That process died.
    drop(claim);
    assert_eq!(Ledger::open_existing(&path).unwrap().tip().unwrap().height, 1);
    assert!(!new.exists());
}

#[test]
fn what_is_left_of_a_snapshot_that_was_received_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let into = folder.path().join("incoming");
    let begin = || drop(Incoming::begin(&into, snapshot.manifest().clone(), proof(&source, 8)).unwrap());
    begin();
    Incoming::tidy(&into, 7).unwrap();
    assert!(Incoming::resume(&into).unwrap().is_some(), "it is still worth it");
    Incoming::tidy(&into, 8).unwrap();
    assert!(!into.exists());
    Incoming::tidy(&into, 8).unwrap();
    // A crash came while it was removed: the manifest goes first.
    begin();
    std::fs::remove_file(into.join("manifest")).unwrap();
    Incoming::tidy(&into, 2).unwrap();
    assert!(!into.exists());
}

/// Does nothing unless it is the child, whose files may not grow beyond a limit.
#[test]
fn child_installs_on_a_full_disk() {
    let Ok(folder) = std::env::var("GALEN_LEDGER_INSTALL_FULL_DISK_FOLDER") else { return };
    let folder = Path::new(&folder);
    let mut incoming = Incoming::resume(&folder.join("incoming")).unwrap().unwrap();
    let error = install(&mut incoming, &folder.join("ledger"), &options(), &mut |_| {}).unwrap_err();
    println!("refused by {}", error.code());
}

#[test]
fn a_full_disk_leaves_the_old_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let mut incoming =
        Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof(&source, 8)).unwrap();
    receive(&snapshot, &mut incoming);
    for limit in [1, 50, 200] {
        let script =
            format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" --exact child_installs_on_a_full_disk --nocapture");
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env("GALEN_LEDGER_INSTALL_FULL_DISK_FOLDER", folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("refused by"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let ledger = open(&folder.path().join("ledger"));
        assert_eq!(ledger.tip().unwrap().height, 2);
        assert_remembers(&ledger);
    }
    let path = folder.path().join("ledger");
    install(&mut incoming, &path, &options(), &mut |_| {}).unwrap();
    assert_eq!(Ledger::open(&path, &options()).unwrap().tip().unwrap().height, 8);
}

#[test]
fn a_snapshot_certified_by_a_later_header_is_certified() {
    let folder = tempfile::tempdir().unwrap();
    let (source, snapshot) = prepare(folder.path());
    let trail = vec![grow(&source).header, grow(&source).header];
    let mut proof = proof(&source, 8);
    proof.trail = trail;
    proof.certificate = certify(&source, 10);
    let mut incoming = Incoming::begin(&folder.path().join("incoming"), snapshot.manifest().clone(), proof).unwrap();
    receive(&snapshot, &mut incoming);
    let path = folder.path().join("ledger");
    install(&mut incoming, &path, &options(), &mut |_| {}).unwrap();
    let installed = Ledger::open(&path, &options()).unwrap();
    assert_eq!(installed.certified_height(), 8);
}
