//! Transactions that the node signs itself: answers to jobs, results, reports of tampering.

use std::sync::Arc;
use std::time::{Duration, Instant};

use galen_types::api::{Finality, TransactionStatus};
use galen_types::{Call, Encoding, Hash, NodeName, SecretKey, Signer, Timestamp, TransactionBody};

use super::service::Chain;
use crate::http::services::{ChainService, ErrorKind, ServiceError};

/// How long a transaction of the node stays valid, milliseconds: time for an election in between.
const VALIDITY_MS: u64 = 60_000;

/// How long to wait before the same bytes are sent again.
const RETRY: Duration = Duration::from_millis(200);

/// Signs and submits as the node.
#[derive(Clone)]
pub struct NodeSigner {
    node: NodeName,
    key: SecretKey,
    chain: Arc<Chain>,
}

impl NodeSigner {
    /// A signer for the node of a chain.
    pub fn new(node: NodeName, key: SecretKey, chain: Arc<Chain>) -> Self {
        Self { node, key, chain }
    }

    /// Submits a call and waits until it has come as far as `wait`. While it is valid the same bytes are sent again when
    /// the node could not take them.
    ///
    /// # Errors
    /// When it is void, or its outcome stays unknown.
    pub async fn submit(&self, call: Call, wait: Finality) -> Result<TransactionStatus, ServiceError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| ServiceError::internal(&error))?;
        let chain: Hash = *self.chain.genesis_hash();
        let valid_until = Timestamp::now().plus_ms(VALIDITY_MS);
        let body = TransactionBody { chain, signer: Signer::Node(self.node.clone()), salt, valid_until, call };
        let bytes = body.sign(&self.key).encode();
        let deadline = Instant::now() + Duration::from_millis(VALIDITY_MS);
        loop {
            match self.chain.submit(bytes.clone(), wait, deadline).await {
                Err(error)
                    if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TooMany)
                        && Instant::now() + RETRY < deadline
                        && error.code != "node-stopping" =>
                {
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }
}
