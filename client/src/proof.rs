//! Offline proofs. They are checked by `galen-verifier`, or by whoever gets them; this crate only fetches them.

use bytes::Bytes;
use galen_types::api::Evidence;
use galen_types::proof::PROOF_BYTES_MAX;
use galen_types::{NodeName, Provable, TransactionId};

use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Outgoing, Signing};

#[expect(clippy::missing_errors_doc, reason = "all fail alike: see ClientError")]
impl Client {
    /// The file of a proof that a transaction and its receipt stand in a certified block.
    pub async fn transaction_proof(&self, id: &TransactionId) -> Result<Bytes, ClientError> {
        self.proof(&["v1", "proofs", "transactions", &id.to_string()], &[]).await
    }

    /// The file of a proof of what the newest certified state says of at most 32 records; of that after `height`, if one
    /// is given, which must be the newest or one of which the node keeps a snapshot.
    pub async fn state_proof(&self, names: &[Provable], height: Option<u64>) -> Result<Bytes, ClientError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let query = [("names", Some(names.join(","))), ("height", height.map(|height| height.to_string()))];
        self.proof(&["v1", "proofs", "state"], &query).await
    }

    /// Evidence against voters, from a height upwards; at most 1,000.
    pub async fn evidence(&self, from: u64) -> Result<Vec<Evidence>, ClientError> {
        self.get(Signing::Required, &["v1", "evidence"], &[("from", Some(from.to_string()))]).await
    }

    /// The file of a proof that a voter signed another header than the certified one at a height.
    pub async fn evidence_proof(&self, height: u64, voter: &NodeName) -> Result<Bytes, ClientError> {
        self.proof(&["v1", "evidence", &height.to_string(), &voter.to_string()], &[]).await
    }

    async fn proof(&self, segments: &[&str], query: &[(&str, Option<String>)]) -> Result<Bytes, ClientError> {
        let query: Vec<_> = query.iter().cloned().chain(self.consistency_query()).collect();
        let mut outgoing = Outgoing::get(self.url(segments, &query), Signing::Required);
        outgoing.timeout = Some(self.timeouts().request);
        let response = self.exchange(outgoing).await.map_err(|failure| failure.error)?;
        self.read_all(response, PROOF_BYTES_MAX).await.map_err(|failure| failure.error)
    }
}
