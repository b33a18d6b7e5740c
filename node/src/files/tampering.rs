//! Telling the chain that stored bytes are not those it names: once for each version and finding while the node runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use galen_types::api::Finality;
use galen_types::{Call, VersionName};

use crate::runtime::NodeSigner;
use crate::runtime::fatal::Shutdown;

/// Reports findings.
#[derive(Clone)]
pub(crate) struct TamperingReports {
    signer: NodeSigner,
    shutdown: Shutdown,
    reported: Arc<Mutex<HashMap<VersionName, String>>>,
}

impl TamperingReports {
    pub(crate) fn new(signer: NodeSigner, shutdown: Shutdown) -> Self {
        Self { signer, shutdown, reported: Arc::default() }
    }

    /// Records a finding on the chain, unless it was recorded already. A failure to record it is logged, and the finding
    /// is recorded when it is met again.
    pub(crate) async fn report(&self, version: &VersionName, finding: &str) {
        tracing::error!(%version, finding, "a stored file is not the one that the chain names");
        let before = self.lock().insert(version.clone(), finding.to_owned());
        if before.as_deref() == Some(finding) {
            return;
        }
        let call = Call::ReportTampering { version: version.clone() };
        let problem = match self.signer.submit(call, Finality::Committed).await {
            Ok(status) => match status.receipt {
                Some(receipt) if receipt.is_applied() => return,
                receipt => format!("{:?}", receipt.map(|receipt| receipt.outcome)),
            },
            Err(error) => error.to_string(),
        };
        tracing::error!(%version, problem, "the finding could not be recorded on the chain");
        self.lock().remove(version);
    }

    /// Reports without making whoever met the finding wait.
    pub(crate) fn report_soon(&self, version: VersionName, finding: String) {
        let reports = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = reports.shutdown.stopping() => {}
                () = reports.report(&version, &finding) => {}
            }
        });
    }

    /// A version was found to be whole: what is found next is news.
    pub(crate) fn intact(&self, version: &VersionName) {
        self.lock().remove(version);
    }

    /// Whether a version was found wrong last.
    pub(crate) fn is_reported(&self, version: &VersionName) -> bool {
        self.lock().contains_key(version)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<VersionName, String>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
