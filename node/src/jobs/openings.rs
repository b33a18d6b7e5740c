//! Openings of job filters, kept on the disk of the submitter's node until the job ends, a day at most. A submission that
//! never came leaves no opening behind for longer.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use galen_types::api::JobOpening;
use galen_types::vocabulary::Filter;
use galen_types::{AccountName, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::JobsError;
use super::protocol::Opening;
use crate::files::documents::Documents;
use crate::files::error::disk_failed;
use crate::http::services::{ErrorKind, ServiceError};

/// Openings of one account that are kept at a time.
const ACCOUNT_OPENINGS_MAX: usize = 64;
/// Openings that are kept at a time.
const OPENINGS_MAX: usize = 10_000;
/// How long an opening is kept at most, milliseconds.
const KEPT_MS: u64 = 24 * 3_600_000;
/// Most bytes of a stored opening: 4 KiB of filter, escaped.
const DOCUMENT_BYTES_MAX: u64 = 64 << 10;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    account: AccountName,
    kept: Timestamp,
    opening: JobOpening,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.opening.filter.zeroize();
        self.opening.salt.zeroize();
    }
}

/// An opening is its account's: nobody can take the place of another's job.
type Key = (JobId, AccountName);

/// The openings.
#[derive(Debug)]
pub(crate) struct Openings {
    documents: Documents,
    /// Since when each is kept.
    kept: Mutex<BTreeMap<Key, Timestamp>>,
}

impl Openings {
    /// Opens the folder. What cannot be read there is deleted: its submitter can hand it in again.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, JobsError> {
        let documents = Documents::open(folder, DOCUMENT_BYTES_MAX)?;
        let mut kept = BTreeMap::new();
        for name in documents.names()? {
            let entry = read(&documents, &name)?;
            match entry.filter(|entry| document_name(&(entry.opening.job, entry.account.clone())) == name) {
                Some(entry) => {
                    kept.insert((entry.opening.job, entry.account.clone()), entry.kept);
                }
                None => {
                    tracing::warn!(name, "a job's opening is damaged and is deleted");
                    documents.remove(&name)?;
                }
            }
        }
        Ok(Self { documents, kept: Mutex::new(kept) })
    }

    /// Keeps an opening. The same one again changes nothing.
    pub(crate) fn put(&self, account: AccountName, opening: JobOpening, now: Timestamp) -> Result<(), ServiceError> {
        if let Err(error) = opening.filter.parse::<Filter>() {
            return Err(ServiceError::new(ErrorKind::Unprocessable, "filter-malformed", error.to_string()));
        }
        let key = (opening.job, account.clone());
        let name = document_name(&key);
        let mut kept = self.lock();
        if kept.contains_key(&key) {
            let before = read(&self.documents, &name).map_err(disk_failed)?;
            if before.is_some_and(|before| before.opening == opening) {
                return Ok(());
            }
            let detail = format!("another opening of job {} is kept already", opening.job);
            return Err(ServiceError::new(ErrorKind::Conflict, "opening-exists", detail));
        }
        let of_account = kept.keys().filter(|(_, owner)| *owner == account).count();
        if of_account >= ACCOUNT_OPENINGS_MAX || kept.len() >= OPENINGS_MAX {
            let detail = format!("{of_account} of your openings and {} in all wait for their jobs", kept.len());
            return Err(ServiceError::new(ErrorKind::TooMany, "openings-too-many", detail)
                .with_hint("wait until your running jobs have ended"));
        }
        let entry = Entry { version: VERSION, account, kept: now, opening };
        let document = serde_json::to_vec(&entry).map_err(|error| ServiceError::internal(&error))?;
        self.documents.write(&name, &Zeroizing::new(document)).map_err(disk_failed)?;
        kept.insert(key, now);
        Ok(())
    }

    /// The opening that an account handed in for a job.
    pub(crate) fn get(&self, job: JobId, account: &AccountName) -> Option<Opening> {
        let key = (job, account.clone());
        if !self.lock().contains_key(&key) {
            return None;
        }
        let entry = match read(&self.documents, &document_name(&key)) {
            Ok(entry) => entry?,
            Err(error) => {
                tracing::warn!(%job, %error, "a job's opening cannot be read");
                return None;
            }
        };
        Some(Opening { filter: entry.opening.filter.clone(), salt: entry.opening.salt })
    }

    /// The jobs that there are openings for.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        self.lock().keys().map(|(job, _)| *job).collect()
    }

    /// Deletes the openings of ended jobs and those that are too old.
    pub(crate) fn sweep(&self, now: Timestamp, ended: &[JobId]) -> io::Result<()> {
        let mut kept = self.lock();
        let over: Vec<Key> = kept
            .iter()
            .filter(|((job, _), since)| ended.contains(job) || since.plus_ms(KEPT_MS) < now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            self.documents.remove(&document_name(&key))?;
            kept.remove(&key);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Timestamp>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn document_name((job, account): &Key) -> String {
    format!("{job}-{}.{}", account.account, account.member)
}

/// A stored opening; none where it is missing or damaged.
fn read(documents: &Documents, name: &str) -> io::Result<Option<Entry>> {
    let document = match documents.read(name) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        read => read?,
    };
    let entry: Option<Entry> = document.and_then(|document| serde_json::from_slice(&document).ok());
    Ok(entry.filter(|entry| entry.version == VERSION))
}

#[cfg(test)]
mod tests {
    use galen_types::Hash;

    use super::*;

    fn opening(number: u8) -> JobOpening {
        JobOpening { job: JobId(Hash([number; 32])), filter: "Age >= 18".to_owned(), salt: [number; 32] }
    }

    fn account(name: &str) -> AccountName {
        name.parse().unwrap()
    }

    #[test]
    fn openings_outlive_the_process_and_end_with_their_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openings");
        let (alice, now) = (account("alice@harlem"), Timestamp(1_000_000));
        let openings = Openings::open(path.clone()).unwrap();
        for number in 1..=3 {
            openings.put(alice.clone(), opening(number), now.plus_ms(u64::from(number))).unwrap();
        }
        std::fs::write(path.join("damaged"), b"{").unwrap();

        let openings = Openings::open(path.clone()).unwrap();
        let kept = openings.get(opening(1).job, &alice).unwrap();
        assert_eq!((kept.filter.as_str(), kept.salt), ("Age >= 18", [1; 32]));
        assert_eq!(openings.jobs().len(), 3);
        assert!(!path.join("damaged").exists());

        openings.sweep(now, &[opening(2).job]).unwrap();
        assert!(openings.get(opening(2).job, &alice).is_none());
        openings.sweep(now.plus_ms(KEPT_MS + 2), &[]).unwrap();
        assert!(openings.get(opening(1).job, &alice).is_none(), "a day has passed");
        assert!(openings.get(opening(3).job, &alice).is_some(), "it is a moment younger");
        assert_eq!(Openings::open(path).unwrap().jobs(), [opening(3).job]);
    }

    #[test]
    fn an_opening_is_its_accounts_and_final() {
        let folder = tempfile::tempdir().unwrap();
        let openings = Openings::open(folder.path().join("openings")).unwrap();
        let (alice, mallory, now) = (account("alice@harlem"), account("mallory@boston"), Timestamp(1_000_000));
        let other = JobOpening { filter: "Age >= 19".to_owned(), ..opening(1) };
        openings.put(mallory, other.clone(), now).unwrap();
        openings.put(alice.clone(), opening(1), now).unwrap();
        openings.put(alice.clone(), opening(1), now).unwrap();
        assert_eq!(openings.put(alice.clone(), other, now).unwrap_err().code, "opening-exists");
        assert_eq!(openings.get(opening(1).job, &alice).unwrap().filter, "Age >= 18");
        let nonsense = JobOpening { filter: "Age >=".to_owned(), ..opening(2) };
        assert_eq!(openings.put(alice, nonsense, now).unwrap_err().code, "filter-malformed");
    }

    #[test]
    fn an_account_can_fill_its_own_share_only() {
        let folder = tempfile::tempdir().unwrap();
        let openings = Openings::open(folder.path().join("openings")).unwrap();
        let (alice, bob, now) = (account("alice@harlem"), account("bob@harlem"), Timestamp(1_000_000));
        for number in 0..64 {
            openings.put(alice.clone(), opening(number), now).unwrap();
        }
        assert_eq!(openings.put(alice.clone(), opening(64), now).unwrap_err().code, "openings-too-many");
        openings.put(bob, opening(64), now).unwrap();
        openings.sweep(now, &[opening(0).job]).unwrap();
        openings.put(alice, opening(65), now).unwrap();
    }
}
