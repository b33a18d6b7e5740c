//! The secret salt of each dataset: made once, kept sealed to the node's own key, the same for all versions.

use std::sync::{Mutex, PoisonError};

use galen_filestore::{FileKey, Salt, WrappedKey, unwrap_key, wrap_key};
use galen_keys::KeyPair;
use galen_types::hash::Context;
use galen_types::{DatasetName, Hash};
use serde::{Deserialize, Serialize};

use super::documents::Documents;
use super::error::{disk_failed, wrap_failed};
use crate::http::services::ServiceError;

/// Most bytes of a stored salt.
pub(crate) const SALT_DOCUMENT_BYTES_MAX: u64 = 4 << 10;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    dataset: DatasetName,
    sealed: WrappedKey,
}

/// The salts of the node's own member's datasets.
#[derive(Debug)]
pub(crate) struct Salts {
    documents: Documents,
    creating: Mutex<()>,
}

impl Salts {
    pub(crate) fn new(documents: Documents) -> Self {
        Self { documents, creating: Mutex::new(()) }
    }

    /// The salt of a dataset, made now if there is none.
    pub(crate) fn of(&self, dataset: &DatasetName, keys: &KeyPair) -> Result<Salt, ServiceError> {
        // Two first deposits at once must not make two salts.
        let _creating = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{}.json", dataset.dataset);
        if let Some(document) = self.documents.read(&name).map_err(disk_failed)? {
            let entry: Entry = serde_json::from_slice(&document).map_err(|error| damaged(dataset, &error))?;
            if entry.version != VERSION || entry.dataset != *dataset {
                return Err(damaged(dataset, &"it is of another dataset or version"));
            }
            let opened = unwrap_key(&entry.sealed, keys.encryption_secret(), &sealed_for(dataset));
            let opened = opened.map_err(|error| damaged(dataset, &error))?;
            return Ok(Salt::from_bytes(*opened.as_bytes()));
        }
        let salt = Salt::generate().map_err(|error| ServiceError::internal(&error))?;
        // A salt is sealed like a file key: 32 secret bytes, for one recipient and one name.
        let secret = FileKey::from_bytes(*salt.as_bytes());
        let sealed = wrap_key(&secret, &keys.encryption_key(), &sealed_for(dataset));
        let sealed = sealed.map_err(|error| wrap_failed(&error))?;
        let entry = Entry { version: VERSION, dataset: dataset.clone(), sealed };
        let document = serde_json::to_vec_pretty(&entry).map_err(|error| ServiceError::internal(&error))?;
        self.documents.write(&name, &document).map_err(disk_failed)?;
        Ok(salt)
    }
}

/// The name that a dataset's salt is sealed for; no file's name is a hash of this context.
fn sealed_for(dataset: &DatasetName) -> Hash {
    Hash::of(Context::Commitment, dataset.to_string().as_bytes())
}

/// A new salt would break the link between a dataset's versions, so a damaged one is never replaced.
fn damaged(dataset: &DatasetName, cause: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::internal(&format!("the salt of dataset {dataset} is damaged ({cause}); restore it from a backup"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salts(folder: &std::path::Path) -> Salts {
        Salts::new(Documents::open(folder.join("salts"), SALT_DOCUMENT_BYTES_MAX).unwrap())
    }

    #[test]
    fn a_dataset_keeps_its_salt() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyPair::from_seed(&[1; 32]);
        let (opt, mouse) = ("harlem/opt".parse().unwrap(), "harlem/mouse".parse().unwrap());
        let first = salts(folder.path()).of(&opt, &keys).unwrap();
        assert_eq!(salts(folder.path()).of(&opt, &keys).unwrap(), first);
        assert_ne!(salts(folder.path()).of(&mouse, &keys).unwrap(), first);
        let stored = std::fs::read_to_string(folder.path().join("salts/opt.json")).unwrap();
        assert!(!stored.contains(&Hash(*first.as_bytes()).to_string()));

        // A stolen or swapped file opens with no other key and for no other dataset, and is never replaced.
        assert_eq!(salts(folder.path()).of(&opt, &KeyPair::from_seed(&[2; 32])).unwrap_err().code, "internal");
        std::fs::copy(folder.path().join("salts/opt.json"), folder.path().join("salts/mouse.json")).unwrap();
        assert_eq!(salts(folder.path()).of(&mouse, &keys).unwrap_err().code, "internal");
    }
}
