//! Comparing the stored bytes of a dataset's versions with the chain.

use galen_contracts::query::{get_dataset, list_versions};
use galen_filestore::Verification;
use galen_types::api::{FilePart, FileVerification};
use galen_types::dataset::{Version, VersionState};
use galen_types::{DatasetName, Timestamp, VersionName};

use super::Files;
use super::error::{key_ring_failed, state_unusable, store_failed};
use super::reading::{blocking, read};
use crate::http::services::{ErrorKind, ServiceError};

/// The finding about a file that should be here.
pub(super) const MISSING: &str = "the file is missing";

/// Versions read at a time.
const VERSIONS_PAGE: usize = 256;

/// The finding about changed bytes.
pub(super) fn finding_at(offset: u64) -> String {
    format!("differs at or after byte {offset}")
}

/// What is wrong with a file, if anything is.
pub(super) fn finding(verification: &Verification) -> Option<String> {
    match verification {
        Verification::Intact { .. } => None,
        Verification::Tampered { offset } => Some(finding_at(*offset)),
        Verification::Missing => Some(MISSING.to_owned()),
    }
}

impl Files {
    /// Reads and hashes every version that can be used. What differs is recorded on the chain.
    pub(super) async fn check(&self, dataset: DatasetName) -> Result<FileVerification, ServiceError> {
        if dataset.member != *self.member() {
            let detail = format!("files of `{}` are kept by its own nodes", dataset.member);
            return Err(ServiceError::new(ErrorKind::Forbidden, "wrong-member", detail));
        }
        let name = dataset.clone();
        let versions = read(&self.chain, move |view| {
            let state = view.state();
            let unknown =
                || ServiceError::new(ErrorKind::NotFound, "not-found", format!("there is no dataset `{name}`"));
            let recorded = get_dataset(state, &name).map_err(state_unusable)?.ok_or_else(unknown)?;
            if recorded.state == VersionState::Withdrawn {
                let detail = format!("dataset `{name}` is withdrawn");
                return Err(ServiceError::new(ErrorKind::Gone, "dataset-withdrawn", detail));
            }
            let mut active: Vec<Version> = Vec::new();
            let mut last = 0;
            loop {
                let page = list_versions(state, &name, last, VERSIONS_PAGE).map_err(state_unusable)?;
                let Some(newest) = page.last().map(|version| version.number) else { return Ok(active) };
                last = newest;
                active.extend(page.into_iter().filter(|version| version.state == VersionState::Active));
            }
        })
        .await?;
        let mut parts = Vec::new();
        for version in versions {
            parts.push(self.check_version(&dataset, &version).await?);
        }
        Ok(FileVerification { checked: Timestamp::now(), parts })
    }

    async fn check_version(&self, dataset: &DatasetName, version: &Version) -> Result<FilePart, ServiceError> {
        let ciphertext = version.content.ciphertext;
        let name = VersionName { dataset: dataset.clone(), version: version.number };
        let mut bytes = 0;
        let verification = self.store.verify(&ciphertext, |done, _| bytes = done).await;
        let verification = verification.map_err(|error| store_failed(&error))?;
        let found = match (&verification, finding(&verification)) {
            // Without its key it was never here, or was erased: nothing to report.
            (Verification::Missing, Some(_)) if !self.has_key(ciphertext).await? => {
                Some("this node does not keep the file".to_owned())
            }
            (_, Some(finding)) => {
                self.reports.report(&name, &finding).await;
                Some(finding)
            }
            (_, None) => {
                self.reports.intact(&name);
                None
            }
        };
        Ok(FilePart { version: name, ciphertext, bytes, intact: found.is_none(), finding: found })
    }

    pub(super) async fn has_key(&self, ciphertext: galen_types::Hash) -> Result<bool, ServiceError> {
        let ring = self.ring.clone();
        blocking(move || ring.contains(&ciphertext).map_err(|error| key_ring_failed(&error))).await
    }
}
