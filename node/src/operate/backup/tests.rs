//! What is in a backup, and what a restored home is.

use std::os::unix::fs::PermissionsExt as _;

use galen_ledger::LedgerOptions;
use galen_types::Hash;
use galen_types::member::NodeAddress;

use super::*;
use crate::http::TlsFiles;
use crate::operate::{InitOptions, init};

struct World {
    folder: tempfile::TempDir,
    home: NodeHome,
}

impl World {
    /// A home with a file in each of its folders; its password lies in it too, its certificate inside and its key outside.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = NodeHome::new(folder.path().join("home"));
        std::fs::create_dir(home.root()).unwrap();
        let password_file = home.keys().join("password");
        write(&password_file, "secret");
        std::fs::set_permissions(home.keys(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let options = InitOptions {
            node: "node-1.ohio".parse().unwrap(),
            http_listen: "127.0.0.1:7200".parse().unwrap(),
            listen: NodeAddress::parse("/ip4/127.0.0.1/tcp/7201").unwrap(),
            listen_files: NodeAddress::parse("/ip4/127.0.0.1/tcp/7202").unwrap(),
            password_file,
            genesis: None,
        };
        init(&home, options).unwrap();
        let mut config = NodeConfig::load(&home).unwrap();
        config.http.tls =
            Some(TlsFiles { certificate: "tls/chain.pem".into(), key: folder.path().join("outside/key.pem") });
        std::fs::write(home.config(), config.to_toml().unwrap()).unwrap();
        for path in [
            home.genesis(),
            home.next_keys().join("node-1.ohio.json"),
            home.registered_key(),
            home.former_keys().join("ab/node-1.ohio.json"),
            home.files().join("objects/1"),
            home.jobs().join("1"),
            home.membership().join("contacts"),
            home.recoveries().join("1.toml"),
            home.log(1).join("00000000000000000000.log"),
            home.snapshots().join("12/index"),
            home.root().join("tls/chain.pem"),
            folder.path().join("outside/key.pem"),
            home.began(),
        ] {
            write(&path, "content");
        }
        let world = Self { folder, home };
        drop(world.ledger());
        world
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.home.ledger(), &LedgerOptions::new(Hash([1; 32]), "opt".parse().unwrap(), 4)).unwrap()
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    fn restored(&self) -> NodeHome {
        NodeHome::new(self.folder.path().join("restored"))
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

const KEPT: [&str; 11] = [
    "node.toml",
    "genesis.toml",
    "keys/node-1.ohio.json",
    "keys-next/node-1.ohio.json",
    "keys-registered",
    "keys-former/ab/node-1.ohio.json",
    "files/objects/1",
    "jobs/1",
    "membership/contacts",
    "recoveries/1.toml",
    "tls/chain.pem",
];

#[test]
fn a_backup_holds_all_of_a_home_but_its_promises_and_its_password() {
    let world = World::new();
    // The files lie on another disk.
    let disk = world.folder.path().join("disk");
    std::fs::rename(world.home.files(), &disk).unwrap();
    std::os::unix::fs::symlink(&disk, world.home.files()).unwrap();
    let made = backup_stopped(&world.home, &world.kept()).unwrap();
    let outside = world.folder.path().join("outside/key.pem");
    assert_eq!(made.missing, [world.home.keys().join("password"), outside.clone()]);
    let restored = world.restored();
    let back = restore(&world.kept(), &restored).unwrap();
    assert_eq!(back.ledger, made.ledger);
    assert!(back.missing.is_empty(), "both are where the configuration says: {:?}", back.missing);
    for path in KEPT {
        assert!(world.kept().join(path).is_file(), "{path} is not in the backup");
        assert!(restored.root().join(path).is_file(), "{path} does not come back");
    }
    for path in ["log", "snapshots", "backups", "keys/password"] {
        assert!(!world.kept().join(path).exists(), "{path} is in the backup");
        assert!(!restored.root().join(path).exists(), "{path} came back");
    }
    // Also a home that never held a block must not begin the chain a second time.
    assert!(!world.kept().join("began").exists() && restored.began().exists());
    assert_eq!(restored.root().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(world.kept().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

/// What the chain names at the backup's height is in it, so the ledger is copied before the files, and the configuration,
/// without which a folder is no backup, after all.
#[test]
fn what_a_killed_backup_leaves_is_none() {
    let world = World::new();
    // It ends at the files: after the ledger, before the configuration.
    let socket = world.home.files().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = backup_stopped(&world.home, &world.kept()).unwrap_err();
    assert!(matches!(&error, BackupError::Unfit(path) if *path == socket), "{error}");
    assert!(world.kept().join("ledger/backup.toml").is_file());
    assert!(world.kept().join("keys/node-1.ohio.json").is_file());
    assert!(!world.kept().join("node.toml").exists());
    assert_eq!(restore(&world.kept(), &world.restored()).unwrap_err().code(), "backup-absent");
    assert!(!world.restored().root().exists());
}

#[test]
fn what_a_killed_backup_left_in_the_home_goes_at_the_next_start() {
    let world = World::new();
    let ledger = world.ledger();
    let made = backup_into_home(&world.home, &ledger).unwrap();
    assert_eq!(made.folder.parent().unwrap(), world.home.backups());
    write(&world.home.backups().join("7-1790000000000.making/ledger/db/000012.sst"), "half");
    write(&world.home.backups().join("own/copy"), "a person's");
    tidy(&world.home).unwrap();
    let mut left: Vec<_> =
        std::fs::read_dir(world.home.backups()).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    assert_eq!(left, [made.folder.clone(), world.home.backups().join("own")]);
    restore(&made.folder, &world.restored()).unwrap();
    // One that fails leaves nothing.
    std::os::unix::fs::symlink(world.home.files(), world.home.jobs().join("files")).unwrap();
    assert_eq!(backup_into_home(&world.home, &ledger).unwrap_err().code(), "backup-unfit-file");
    assert_eq!(std::fs::read_dir(world.home.backups()).unwrap().count(), 2);
}

#[test]
fn a_disk_that_is_not_mounted_is_not_passed_over() {
    let world = World::new();
    std::fs::remove_dir_all(world.home.files()).unwrap();
    std::os::unix::fs::symlink(world.folder.path().join("not-mounted"), world.home.files()).unwrap();
    let error = backup_stopped(&world.home, &world.kept()).unwrap_err();
    assert!(error.to_string().contains("files"), "{error}");
    assert_eq!(error.code(), "home-file");
}

#[test]
fn a_running_node_and_a_folder_within_the_files_are_refused() {
    let world = World::new();
    let ledger = world.ledger();
    assert_eq!(backup_stopped(&world.home, &world.kept()).unwrap_err().code(), "ledger-locked");
    assert!(!world.kept().exists());
    drop(ledger);
    let within = world.home.files().join("backup");
    assert_eq!(backup_stopped(&world.home, &within).unwrap_err().code(), "backup-inside-home");
    assert!(!within.exists());
    let error = backup_stopped(&world.home, world.home.files().as_path()).unwrap_err();
    assert_eq!(error.code(), "backup-not-empty");
}
