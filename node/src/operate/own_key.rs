//! The keys of a home that does not run: opening the one in force, and laying the next one ready.

use std::path::{Path, PathBuf};

use galen_keys::{KdfProfile, KeyError, KeyPair, Keystore, Password, PasswordSource};
use galen_types::{PublicKey, Signer};

use super::files::{FileError, remove, sync_folder, write_atomically};
use crate::config::NodeConfig;
use crate::home::NodeHome;

/// Opens it with the password that `node.toml` points to.
///
/// # Errors
/// [`KeyError`] when there is no password, no key, or one does not fit the other.
pub(super) fn open(home: &NodeHome, config: &NodeConfig) -> Result<KeyPair, KeyError> {
    open_with(home, config, &password(config)?)
}

fn open_with(home: &NodeHome, config: &NodeConfig, password: &Password) -> Result<KeyPair, KeyError> {
    Keystore::open(home.keys())?.load(&Signer::Node(config.node.clone()), password)
}

fn password(config: &NodeConfig) -> Result<Password, KeyError> {
    let source = match (&config.key.password_file, &config.key.password_env) {
        (Some(file), None) => PasswordSource::File(file.clone()),
        (None, Some(variable)) => PasswordSource::Environment(variable.clone()),
        _ => {
            let text = "set one of `key.password_file` and `key.password_env` in node.toml";
            return Err(KeyError::Password(text.to_owned()));
        }
    };
    source.read("")
}

/// Lays the key ready that a rotation puts in force, and gives its public half; the one that lies there already, where a
/// rotation was interrupted. The folder gets its name once the key is in it, on the disk: the node, which may start at any
/// moment, finds all of it or nothing.
///
/// # Errors
/// [`KeyError`] when the key in force cannot be opened or the new one not be stored.
pub fn lay_next_key(home: &NodeHome, config: &NodeConfig) -> Result<PublicKey, KeyError> {
    let signer = Signer::Node(config.node.clone());
    let next = home.next_keys();
    if next.is_dir() {
        match Keystore::open(&next)?.public_keys(&signer) {
            Ok(keys) => return Ok(keys.public_key),
            Err(KeyError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // The encryption key stays: what is stored at the node was wrapped to it.
    let password = password(config)?;
    let key = open_with(home, config, &password)?.with_new_signing_key()?;
    // A note of an earlier rotation is about another key.
    remove(&home.registered_key()).map_err(|error| failed(&error.path)(error.cause))?;
    let making = making(&next);
    remove_folder(&making)?;
    Keystore::open(&making)?.insert(&signer, &key, &password, KdfProfile::Standard)?;
    // What was there held no key of this node's.
    remove_folder(&next)?;
    let placed = std::fs::rename(&making, &next).and_then(|()| sync_folder(&next));
    placed.map_err(failed(&next))?;
    Ok(key.public_key())
}

/// Notes, durably, that the chain registers this key for the node: peers refuse the former one from that block on, and a
/// node that has not come to the block cannot learn it from them.
///
/// # Errors
/// [`FileError`] when the home cannot be written.
pub fn note_registered_key(home: &NodeHome, key: &PublicKey) -> Result<(), FileError> {
    write_atomically(&home.registered_key(), format!("{key}\n").as_bytes())
}

fn making(next: &Path) -> PathBuf {
    let mut name = next.as_os_str().to_owned();
    name.push(".making");
    PathBuf::from(name)
}

fn remove_folder(folder: &Path) -> Result<(), KeyError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(folder)(error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> KeyError {
    move |source| KeyError::Io { path: path.to_path_buf(), source }
}
