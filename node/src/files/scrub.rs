//! Reading all stored files again, slowly: what is not the file that the chain names is recorded on the chain, as when a
//! reader meets it. It is never given out: every read checks its bytes.

use galen_contracts::query::{list_datasets, list_versions};
use galen_types::dataset::VersionState;
use galen_types::{Hash, VersionName};

use super::Files;
use super::check::finding;
use super::error::{state_unusable, store_failed};
use super::reading::read;
use crate::http::services::ServiceError;
use crate::runtime::fatal::Shutdown;

/// Rows read at a time.
const PAGE: usize = 256;

impl Files {
    /// Reads every stored file that a usable version of the member's datasets names; `pace` is told of the bytes, waits,
    /// and says whether to go on. Gives how many are wrong; `None` when the node stops.
    ///
    /// # Errors
    /// When the chain or the store cannot be read.
    pub(crate) async fn scrub(
        &self,
        pace: impl Fn(u64) -> bool + Send + Sync,
        shutdown: &Shutdown,
    ) -> Result<Option<u64>, ServiceError> {
        let mut damaged = 0;
        for (version, ciphertext) in self.versions().await? {
            // Without its key it was never here, or was erased.
            if !self.has_key(ciphertext).await? {
                continue;
            }
            let mut before = 0;
            let verification = self.store.verify(&ciphertext, |done, _| {
                // A tree that is made anew counts from the start again.
                pace(done.saturating_sub(before));
                before = done;
            });
            let verification = tokio::select! {
                () = shutdown.stopping() => return Ok(None),
                verification = verification => verification.map_err(|error| store_failed(&error))?,
            };
            match finding(&verification) {
                Some(found) => {
                    damaged += 1;
                    tracing::error!(%version, %ciphertext, finding = found, "the scrub finds a stored file wrong");
                    self.reports.report_soon(version, found);
                }
                None => self.reports.intact(&version),
            }
            if shutdown.is_stopping() {
                return Ok(None);
            }
        }
        Ok(Some(damaged))
    }

    /// The usable versions of the member's datasets, and the files that they name.
    async fn versions(&self) -> Result<Vec<(VersionName, Hash)>, ServiceError> {
        let member = self.member().clone();
        read(&self.chain, move |view| {
            let state = view.state();
            let (mut all, mut last) = (Vec::new(), None);
            loop {
                let page = list_datasets(state, Some(&member), last.as_ref(), PAGE).map_err(state_unusable)?;
                let Some(newest) = page.last().map(|dataset| dataset.name.clone()) else { return Ok(all) };
                last = Some(newest);
                for dataset in page.into_iter().filter(|dataset| dataset.state == VersionState::Active) {
                    let mut after = 0;
                    loop {
                        let page = list_versions(state, &dataset.name, after, PAGE).map_err(state_unusable)?;
                        let Some(newest) = page.last().map(|version| version.number) else { break };
                        after = newest;
                        let usable = page.into_iter().filter(|version| version.state == VersionState::Active);
                        all.extend(usable.map(|version| {
                            let name = VersionName { dataset: dataset.name.clone(), version: version.number };
                            (name, version.content.ciphertext)
                        }));
                    }
                }
            }
        })
        .await
    }
}
