//! The node's keys. A rotation lays the new key ready in `keys-next/`; once the chain names it, it takes the place of the
//! former in `keys/`, and the former waits in `keys-former/`: the voters of before the rotation must still certify the
//! block that rotates it, and where power is lost the ledger may come up as it was before that block. A node whose ledger
//! has not come to that block cannot fetch it with the former key, which peers refuse; `keys-registered`, which the one who
//! rotated the key writes once that block is certified, has it take the new key before.

use std::path::Path;

use galen_keys::{KeyError, KeyPair, Keystore, Password, PasswordSource};
use galen_types::member::Node as NodeRecord;
use galen_types::{Hash, NodeName, PublicKey, SecretKey, Signer};

use super::start::StartError;
use crate::config::NodeConfig;
use crate::home::NodeHome;

/// What a node signs with.
pub(super) struct NodeKeys {
    /// What the chain registers for the node, as far as the ledger goes; else the newest that is in force.
    pub(super) present: KeyPair,
    /// Every key that may be asked to sign a header: the present one and those that are kept from before.
    pub(super) voting: Vec<SecretKey>,
    /// Whether there are former keys, and the present one is none of them: they go when the tip is certified.
    pub(super) keeps_former: bool,
}

impl NodeKeys {
    /// Reads them, and puts the next key in force if the chain names it.
    pub(super) fn load(home: &NodeHome, config: &NodeConfig, record: Option<&NodeRecord>) -> Result<Self, StartError> {
        let source = match (&config.key.password_file, &config.key.password_env) {
            (Some(file), None) => PasswordSource::File(file.clone()),
            (None, Some(variable)) => PasswordSource::Environment(variable.clone()),
            _ => return Err(StartError::PasswordSource),
        };
        let signer = Signer::Node(config.node.clone());
        let folders = Folders { home, signer, password: source.read("")? };
        let registered = |keys: &KeyPair| record.is_some_and(|record| record.key == keys.public_key());
        let noted = noted(home);
        let is_noted = |keys: &KeyPair| noted == Some(keys.public_key());
        let next = home.next_keys();
        // An empty folder is what a crash at the end of this left.
        if next.is_dir() && std::fs::remove_dir(&next).is_err() {
            match folders.load(&next) {
                Ok(keys) if registered(&keys) || is_noted(&keys) => {
                    tracing::info!(node = %config.node, key = %keys.public_key(), "the node's new key is in force");
                    folders.install(&next)?;
                }
                Ok(_) => {}
                Err(StartError::Key(KeyError::Missing { .. })) => {
                    tracing::warn!(folder = %next.display(), "no key of this node lies there: no rotation is under way");
                }
                Err(error) => return Err(error),
            }
        }
        let newest = folders.load(&home.keys())?;
        let former = folders.former()?;
        if noted.is_some() && registered(&newest) {
            // The chain says it itself now; a note that stays does no harm.
            let _ = std::fs::remove_file(home.registered_key());
        }
        let mut voting = vec![newest.signing.clone()];
        voting.extend(former.iter().map(|keys| keys.signing.clone()));
        let mut keeps_former = registered(&newest) && !former.is_empty();
        let present = match former.into_iter().find(registered) {
            // Power was lost, and with it the block that rotated the key; it comes again.
            Some(former) if !is_noted(&newest) => {
                keeps_former = false;
                former
            }
            _ => newest,
        };
        Ok(Self { present, voting, keeps_former })
    }
}

/// The new key that the chain is known to register, though the ledger here may not have come to it.
fn noted(home: &NodeHome) -> Option<PublicKey> {
    std::fs::read_to_string(home.registered_key()).ok()?.trim().parse().ok()
}

/// Whether a new key lies ready that the chain is known to register.
pub(super) fn next_is_registered(home: &NodeHome, node: &NodeName) -> bool {
    noted(home).is_some_and(|key| lies_ready(home, node, &key))
}

/// Whether this key lies ready to be put in force.
pub(super) fn lies_ready(home: &NodeHome, node: &NodeName, key: &PublicKey) -> bool {
    let folder = home.next_keys();
    let signer = Signer::Node(node.clone());
    // Opening a keystore would make the folder.
    folder.is_dir()
        && Keystore::open(folder).and_then(|store| store.public_keys(&signer)).is_ok_and(|keys| keys.public_key == *key)
}

/// Removes the former keys: nothing that the chain may still come to names them.
pub(super) fn remove_former(home: &NodeHome) -> std::io::Result<()> {
    match std::fs::remove_dir_all(home.former_keys()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

struct Folders<'home> {
    home: &'home NodeHome,
    signer: Signer,
    password: Password,
}

impl Folders<'_> {
    fn load(&self, folder: &Path) -> Result<KeyPair, StartError> {
        Ok(Keystore::open(folder)?.load(&self.signer, &self.password)?)
    }

    /// The keys that were replaced, each in a folder of its own.
    fn former(&self) -> Result<Vec<KeyPair>, StartError> {
        let folder = self.home.former_keys();
        let failed = |error: std::io::Error| StartError::System(format!("{}: {error}", folder.display()));
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        let mut keys = Vec::new();
        for path in paths {
            let store = Keystore::open(&path)?;
            // A crash may have left a folder that the key had not come to: it is in `keys/` then.
            if store.public_keys(&self.signer).is_ok() {
                keys.push(store.load(&self.signer, &self.password)?);
            }
        }
        Ok(keys)
    }

    /// Keeps the key in force as a former one, then moves each file of the folder of new keys over it, and the empty
    /// folder away. After a crash it is done again, or what is left of it is an empty folder.
    fn install(&self, next: &Path) -> Result<(), StartError> {
        let present = Keystore::open(self.home.keys())?.public_keys(&self.signer)?.public_key;
        let former = self.home.former_keys().join(Hash(*present.as_bytes()).to_string());
        Keystore::open(&former)?;
        let moved = || -> std::io::Result<()> {
            for entry in std::fs::read_dir(next)? {
                let entry = entry?;
                let place = self.home.keys().join(entry.file_name());
                if place.exists() {
                    let kept = former.join(entry.file_name());
                    if !kept.exists() {
                        // The file itself, not a copy: it is whole under one name or the other.
                        std::fs::hard_link(&place, &kept)?;
                    }
                    std::fs::File::open(&former)?.sync_all()?;
                    std::fs::File::open(self.home.former_keys())?.sync_all()?;
                }
                std::fs::rename(entry.path(), place)?;
            }
            std::fs::File::open(self.home.keys())?.sync_all()?;
            std::fs::remove_dir(next)
        };
        moved().map_err(|error| StartError::System(format!("{}: {error}", next.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use galen_keys::KdfProfile;
    use galen_types::member::{NodeAddress, NodeRole, Standing};

    use super::*;
    use crate::operate::{InitOptions, init, lay_next_key, note_registered_key};

    #[test]
    fn a_key_that_the_chain_is_known_to_register_is_in_force_before_the_ledger_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, "pw").unwrap();
        std::fs::set_permissions(&password_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let home = NodeHome::new(folder.path().join("home"));
        let node: NodeName = "node-1.ohio".parse().unwrap();
        let at = |text: &str| galen_types::member::NodeAddress::parse(text).unwrap();
        let options = InitOptions {
            node: node.clone(),
            http_listen: "127.0.0.1:7200".parse().unwrap(),
            listen: at("/ip4/127.0.0.1/tcp/7201"),
            listen_files: at("/ip4/127.0.0.1/tcp/7202"),
            password_file: password_file.clone(),
            genesis: None,
        };
        let old = init(&home, options).unwrap().public_key;
        let config = NodeConfig::load(&home).unwrap();
        let password = PasswordSource::File(password_file).read("").unwrap();
        let signer = Signer::Node(node.clone());
        let next = Keystore::open(home.next_keys()).unwrap();
        let new = next.create(&signer, &password, KdfProfile::Testnet).unwrap().public_key();
        let present = || NodeKeys::load(&home, &config, None).unwrap().present.public_key();

        assert!(!next_is_registered(&home, &node));
        assert_eq!(present(), old, "nobody says that the chain registers the new key");
        note_registered_key(&home, &old).unwrap();
        assert_eq!((next_is_registered(&home, &node), present()), (false, old), "the note is about another key");
        note_registered_key(&home, &new).unwrap();
        assert!(next_is_registered(&home, &node));
        assert_eq!(present(), new);
        assert!(!next_is_registered(&home, &node), "it is installed once");
        let loaded = NodeKeys::load(&home, &config, None).unwrap();
        assert_eq!(loaded.present.public_key(), new, "the former does not come back");
        assert_eq!(loaded.voting.len(), 2, "the former may still be asked to certify");
    }

    fn home(folder: &Path) -> (NodeHome, NodeConfig) {
        let password = folder.join("password");
        std::fs::write(&password, "right").unwrap();
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let home = NodeHome::new(folder.join("home"));
        let options = InitOptions {
            node: "node-1.ohio".parse().unwrap(),
            http_listen: "127.0.0.1:7200".parse().unwrap(),
            listen: NodeAddress::parse("/ip4/127.0.0.1/tcp/7201").unwrap(),
            listen_files: NodeAddress::parse("/ip4/127.0.0.1/tcp/7202").unwrap(),
            password_file: password,
            genesis: None,
        };
        init(&home, options).unwrap();
        let config = NodeConfig::load(&home).unwrap();
        (home, config)
    }

    fn record(config: &NodeConfig, key: PublicKey) -> NodeRecord {
        NodeRecord {
            name: config.node.clone(),
            key,
            role: NodeRole::Voter,
            raft_id: 1,
            address: NodeAddress::parse("/ip4/127.0.0.1/tcp/7201").unwrap(),
            standing: Standing::Active,
            registered_height: 0,
        }
    }

    #[test]
    fn a_rotation_that_is_killed_at_any_point_leaves_a_node_that_starts_and_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let (home, config) = home(folder.path());
        let load = |key| NodeKeys::load(&home, &config, Some(&record(&config, key)));
        let first = NodeKeys::load(&home, &config, None).unwrap().present.public_key();
        // Killed while the file was written, as it was once: under its temporary name, in the folder's place.
        let next = home.next_keys();
        std::fs::create_dir(&next).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(next.join("node-1.ohio.json.tmp"), b"half a key").unwrap();
        assert_eq!(load(first).unwrap().present.public_key(), first);
        // And as it is now: in a folder aside.
        let aside = home.root().join("keys-next.making");
        std::fs::rename(&next, &aside).unwrap();
        assert_eq!(load(first).unwrap().present.public_key(), first);
        std::fs::create_dir(&next).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(next.join("node-1.ohio.json.tmp"), b"half a key").unwrap();
        let second = lay_next_key(&home, &config).unwrap();
        assert_eq!(lay_next_key(&home, &config).unwrap(), second, "done again it goes on with the same key");
        assert!(!aside.exists() && !next.join("node-1.ohio.json.tmp").exists());
        assert_eq!(load(first).unwrap().present.public_key(), first, "the chain does not name it yet");
        let keys = load(second).unwrap();
        assert_eq!((keys.present.public_key(), keys.keeps_former), (second, true));
        assert!(!next.exists());
    }

    /// A node that follows starts anew for the key that the chain names, not for any that lies there: it would do so for ever.
    #[test]
    fn only_the_key_that_lies_there_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let (home, config) = home(folder.path());
        let other = SecretKey::from_seed(&[9; 32]).public_key();
        assert!(!lies_ready(&home, &config.node, &other));
        assert!(!home.next_keys().exists());
        let next = lay_next_key(&home, &config).unwrap();
        assert!(lies_ready(&home, &config.node, &next));
        assert!(!lies_ready(&home, &config.node, &other));
    }
}
