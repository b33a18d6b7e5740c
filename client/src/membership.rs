//! The way into a consortium, and what administrators ask of their member's node.

use std::fmt::Display;
use std::time::Duration;

use galen_types::ProposalId;
use galen_types::api::{
    ApplicationContacts, ApplicationReceived, ApplicationSubmission, ApplicationSummary, BackupMade, DialBack,
    InvitationText, JoinStatus, LeaderTransfer, LeaderTransferOrder, Page, SnapshotMade, Withdrawal,
};
use galen_types::application::sign_withdrawal;
use galen_types::proposal::ProposalState;
use galen_types::{Genesis, NodeName, SecretKey};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::ClientError;
use crate::page::Paging;
use crate::transport::{Content, Outgoing, Signing, json_bytes};

/// How long a backup or snapshot may take: it reads the whole ledger.
const COPY_PATIENCE: Duration = Duration::from_secs(3_600);

type Answer<T> = Result<T, ClientError>;

#[expect(clippy::missing_errors_doc, reason = "all fail alike: see ClientError")]
impl Client {
    /// Applies for membership at this node. Needs no account.
    pub async fn send_application(&self, submission: &ApplicationSubmission) -> Answer<ApplicationReceived> {
        let content = Content::Json(json_bytes(submission)?);
        self.post(Signing::Open, &["v1", "applications"], content, Some(2 * self.timeouts().request)).await
    }

    /// Where an application stands, and once it is admitted what its node starts with. Needs no account.
    pub async fn join_status(&self, proposal: ProposalId) -> Answer<JoinStatus> {
        self.get(Signing::Open, &["v1", "join", &proposal.to_string()], &[]).await
    }

    /// Takes an application back, signed by the administrator whom it names. Needs no account.
    pub async fn withdraw_application(&self, proposal: ProposalId, administrator: &SecretKey) -> Answer<JoinStatus> {
        let withdrawal = Withdrawal { signature: sign_withdrawal(proposal, administrator) };
        let segments = ["v1", "join", &proposal.to_string(), "withdraw"];
        let content = Content::Json(json_bytes(&withdrawal)?);
        self.post(Signing::Open, &segments, content, Some(2 * self.timeouts().request)).await
    }

    /// Has the node dial the address in an application. Needs no account.
    pub async fn dial_back(&self, proposal: ProposalId) -> Answer<DialBack> {
        let segments = ["v1", "join", &proposal.to_string(), "dial-back"];
        self.post(Signing::Open, &segments, Content::Empty, Some(self.timeouts().request)).await
    }

    /// The founding document, checked against the hash that the client is configured with.
    ///
    /// # Errors
    /// [`ClientError::Integrity`] when it is another chain's.
    pub async fn checked_genesis(&self) -> Answer<Genesis> {
        let expected = self.genesis_hash().await?;
        let genesis = self.genesis().await?;
        let hash = genesis.hash();
        if hash == expected {
            Ok(genesis)
        } else {
            Err(ClientError::Integrity(format!("the node gave the founding document {hash}, not {expected}")))
        }
    }

    /// What is handed to an institution that wants to apply at this node.
    pub async fn invitation(&self) -> Answer<InvitationText> {
        self.get(Signing::Required, &["v1", "invitation"], &[]).await
    }

    /// Applications for membership in a state, or in any.
    pub async fn applications(&self, state: Option<ProposalState>, paging: Paging) -> Answer<Page<ApplicationSummary>> {
        let state = state.map_or("any", ProposalState::as_str).to_owned();
        let [start_after, limit] = paging.query();
        self.get(Signing::Required, &["v1", "applications"], &[("state", Some(state)), start_after, limit]).await
    }

    /// One application.
    pub async fn application(&self, id: impl Display) -> Answer<ApplicationSummary> {
        self.get(Signing::Required, &["v1", "applications", &id.to_string()], &[]).await
    }

    /// Whom to ask about an application; for administrators.
    pub async fn application_contacts(&self, id: impl Display) -> Answer<ApplicationContacts> {
        self.get_here(Signing::Required, &["v1", "applications", &id.to_string(), "contacts"], &[]).await
    }

    /// Has the node, which must lead, hand leadership to a voter, or to the one that is caught up the furthest.
    pub async fn transfer_leadership(&self, to: Option<NodeName>) -> Answer<LeaderTransfer> {
        let content = Content::Json(json_bytes(&LeaderTransferOrder { to })?);
        let segments = ["v1", "node", "leader-transfer"];
        self.post(Signing::Required, &segments, content, Some(self.timeouts().request)).await
    }

    /// Has the node write a backup into a folder on its machine.
    pub async fn backup(&self) -> Answer<BackupMade> {
        self.post(Signing::Required, &["v1", "node", "backup"], Content::Empty, Some(COPY_PATIENCE)).await
    }

    /// Has the node take a snapshot of its ledger.
    pub async fn snapshot(&self) -> Answer<SnapshotMade> {
        self.post(Signing::Required, &["v1", "node", "snapshot"], Content::Empty, Some(COPY_PATIENCE)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        signing: Signing,
        segments: &[&str],
        content: Content,
        timeout: Option<Duration>,
    ) -> Answer<T> {
        let mut outgoing = Outgoing::new(Method::POST, self.url(segments, &[]), signing, content);
        outgoing.timeout = timeout;
        self.exchange_json(outgoing).await.map_err(|failure| failure.error)
    }
}
