//! Contacts of applicants: free text, so personal data, that stays off the chain behind a salted commitment.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use galen_types::Hash;
use galen_types::api::CONTACTS_BYTES_MAX;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::files::documents::{Documents, FolderError};
use crate::files::error::disk_failed;
use crate::http::services::ServiceError;

/// Begins the names of contacts.
const PREFIX: &str = "contacts-";
/// Most bytes of a stored text: control characters take six bytes each as JSON.
const DOCUMENT_BYTES_MAX: u64 = 6 * CONTACTS_BYTES_MAX as u64 + 512;

/// What opens an application's commitment to its contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactsOpening {
    /// Keeps the text from being guessed.
    #[serde(with = "hex::serde")]
    pub(crate) salt: [u8; 32],
    /// The applicant's words.
    pub(crate) text: String,
}

impl ContactsOpening {
    /// What the application holds of it.
    pub(crate) fn commitment(&self) -> Hash {
        Hash::commitment(&self.salt, self.text.as_bytes())
    }
}

/// The folder of contacts.
pub(super) struct ContactsStore(Documents);

fn document_name(commitment: &Hash) -> String {
    format!("{PREFIX}{commitment}")
}

impl ContactsStore {
    pub(super) fn open(folder: PathBuf) -> Result<Self, FolderError> {
        Documents::open(folder, DOCUMENT_BYTES_MAX).map(Self)
    }

    /// The folder, for what else this node keeps of applications.
    pub(super) fn documents(&self) -> &Documents {
        &self.0
    }

    /// Deletes what is older than `age` and of no application in `kept`; how much it was.
    pub(super) fn tidy(&self, kept: &HashSet<Hash>, age: Duration) -> Result<usize, ServiceError> {
        let mut forgotten = 0;
        for name in self.0.names().map_err(disk_failed)? {
            let commitment = name.strip_prefix(PREFIX).and_then(|hash| hash.parse::<Hash>().ok());
            let Some(commitment) = commitment.filter(|commitment| !kept.contains(commitment)) else { continue };
            if self.0.age(&name).map_err(disk_failed)?.is_some_and(|its| its >= age) {
                self.forget(&commitment)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// Keeps contacts; their commitment, and whether they are new here.
    pub(super) fn keep(&self, opening: &ContactsOpening) -> Result<(Hash, bool), ServiceError> {
        let commitment = opening.commitment();
        if self.get(&commitment)?.is_some() {
            return Ok((commitment, false));
        }
        let document = serde_json::to_vec(opening).map_err(|error| ServiceError::internal(&error))?;
        self.0.write(&document_name(&commitment), &document).map_err(disk_failed)?;
        Ok((commitment, true))
    }

    pub(super) fn get(&self, commitment: &Hash) -> Result<Option<ContactsOpening>, ServiceError> {
        let Some(document) = self.0.read(&document_name(commitment)).map_err(disk_failed)? else { return Ok(None) };
        serde_json::from_slice(&document).map(Some).map_err(|error| ServiceError::internal(&error))
    }

    /// Deletes contacts.
    pub(super) fn forget(&self, commitment: &Hash) -> Result<(), ServiceError> {
        self.0.remove(&document_name(commitment)).map(drop).map_err(disk_failed)
    }
}
