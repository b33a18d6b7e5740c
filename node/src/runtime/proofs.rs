//! Offline proofs from the running node's ledger. What is asked for is proven once it is certified, which is milliseconds
//! after it was applied; a client waits that long.

use std::sync::Arc;
use std::time::Instant;

use galen_ledger::snapshot;
use galen_ledger::{Ledger, ProveError, ProvenState};
use galen_types::{Proof, Provable};
use tokio::time::timeout_at;

use super::service::Chain;
use crate::http::services::{ErrorKind, ServiceError};
use crate::proving::{ProofQuestion, state_of};

impl Chain {
    /// Proves what is asked for, once it is certified.
    pub(super) async fn proof(&self, question: ProofQuestion, deadline: Instant) -> Result<Vec<u8>, ServiceError> {
        let proof = match question {
            ProofQuestion::Transaction(id) => {
                self.once_certified(deadline, move |chain| chain.ledger.view()?.prove_transaction(&chain.genesis, &id))
                    .await
            }
            ProofQuestion::Evidence { height, voter } => {
                self.once_certified(deadline, move |chain| {
                    chain.ledger.view()?.prove_evidence(&chain.genesis, height, &voter)
                })
                .await
            }
            ProofQuestion::State { names, height } => match self.state(names, height).await {
                Ok(ProvenState { subject, header }) => {
                    self.once_certified(deadline, move |chain| {
                        chain.ledger.view()?.certified_proof(&chain.genesis, subject.clone(), &header)
                    })
                    .await
                }
                Err(error) => Err(error),
            },
        };
        Ok(proof.map_err(refused)?.to_file())
    }

    async fn state(&self, names: Vec<Provable>, height: Option<u64>) -> Result<ProvenState, ProveError> {
        let (ledger, asked) = (Arc::clone(&self.ledger), names.clone());
        match blocking(move || state_of(&ledger, &asked, height)).await {
            Err(ProveError::StateNotHeld { asked, newest, .. }) => self.past_state(names, asked, newest).await,
            answer => answer,
        }
    }

    /// The state after an earlier height, from the snapshot of it where one is kept.
    async fn past_state(&self, names: Vec<Provable>, asked: u64, newest: u64) -> Result<ProvenState, ProveError> {
        let _turn = self.past.lock().await;
        let (ledger, folder) = (Arc::clone(&self.ledger), self.snapshots.clone());
        blocking(move || {
            let kept = snapshot::list(&folder).unwrap_or_default();
            let proven = match kept.contains(&asked) {
                true => state_of(&Ledger::open_read_only(&snapshot::database(&folder, asked))?, &names, Some(asked))?,
                false => return Err(ProveError::StateNotHeld { asked, newest, kept }),
            };
            // A snapshot of another branch than the one that the chain went on with proves nothing.
            let held = ledger.view()?.header_hash(asked)?;
            if held == Some(proven.header.hash()) {
                Ok(proven)
            } else {
                Err(ProveError::StateNotHeld { asked, newest, kept })
            }
        })
        .await
    }

    async fn once_certified(
        &self,
        deadline: Instant,
        prove: impl Fn(&Parts) -> Result<Proof, ProveError> + Send + Sync + 'static,
    ) -> Result<Proof, ProveError> {
        let parts = Parts { ledger: Arc::clone(&self.ledger), genesis: Arc::clone(&self.genesis) };
        let prove = Arc::new(prove);
        let mut progress = self.progress.clone();
        loop {
            let (parts, prove) = (parts.clone(), Arc::clone(&prove));
            let waited_for = match blocking(move || prove(&parts)).await {
                Err(ProveError::NotCertified { height, certified }) => {
                    // A certificate of a later epoch may be waited for too.
                    height.max(certified.saturating_add(1))
                }
                answer => return answer,
            };
            let certified = progress.wait_for(|progress| progress.certified_height >= waited_for);
            if !matches!(timeout_at(deadline.into(), certified).await, Ok(Ok(_))) {
                let certified = self.ledger.certified_height();
                return Err(ProveError::NotCertified { height: waited_for, certified });
            }
        }
    }
}

/// What a proof is made from.
#[derive(Clone)]
struct Parts {
    ledger: Arc<galen_ledger::Ledger>,
    genesis: Arc<galen_types::Genesis>,
}

/// Reads the ledger on a thread that may block.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ProveError> + Send + 'static,
) -> Result<T, ProveError> {
    let stopped = |error: tokio::task::JoinError| galen_ledger::LedgerError::Stopped(error.to_string());
    tokio::task::spawn_blocking(read).await.map_err(stopped)?
}

fn refused(error: ProveError) -> ServiceError {
    let kind = match &error {
        ProveError::TransactionUnknown(_) | ProveError::NoEvidence { .. } => ErrorKind::NotFound,
        ProveError::Absent(_) | ProveError::StateNotHeld { .. } | ProveError::HandoverAbsent { .. } => ErrorKind::Gone,
        ProveError::NotCertified { .. } | ProveError::NoBlock => ErrorKind::Conflict,
        ProveError::Ledger(error) => return ServiceError::internal(error),
    };
    ServiceError::new(kind, error.code(), error.to_string())
}
