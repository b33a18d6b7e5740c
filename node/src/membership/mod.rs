//! Applications for membership that this node took: it brings them before the members, and keeps the applicants'
//! contacts, which are nobody's business but the administrators' who vote.
//!
//! - `contacts`: the texts on the disk, under `membership/`, named by their commitments. Deleted once the application is
//!   decided or its time is over.
//! - `invitations`: what shows that an applicant was invited.
//! - `protocol`: what nodes ask each other.

mod contacts;
mod invitations;
pub(crate) mod protocol;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use galen_contracts::query::{get_proposal, list_applications_open};
use galen_p2p::{NetworkHandle, Refusal, RequestError, Responder};
use galen_types::api::{Finality, TransactionStatus};
use galen_types::application::{InvitationToken, SignedApplication};
use galen_types::proposal::ProposedChange;
use galen_types::{Call, Encoding, Hash, NodeName, ProposalId, Signature, Timestamp};

pub(crate) use self::contacts::ContactsOpening;
use self::contacts::ContactsStore;
use self::invitations::Invitations;
use self::protocol::{ANSWER_BYTES_MAX, ContactsRequest, REQUEST_BYTES_MAX};
use crate::files::documents::FolderError;
use crate::files::error::{refusal, state_unusable};
use crate::files::reading::{blocking, read};
use crate::home::NodeHome;
use crate::http::services::{ErrorKind, MembershipService, ServiceError};
use crate::runtime::{Chain, NodeSigner, kinds};

/// How long another node may take to give contacts.
const CONTACTS_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks for contacts of applications that are over.
const TIDY_PERIOD: Duration = Duration::from_secs(600);
/// Younger contacts are left alone: their application may be on its way to the chain.
const UNDECIDED_FOR: Duration = Duration::from_secs(1_800);

/// The applications of a node.
pub struct Membership {
    contacts: Arc<ContactsStore>,
    /// None where everybody may apply.
    invitations: Option<Invitations>,
    chain: Arc<Chain>,
    network: NetworkHandle,
    signer: NodeSigner,
}

fn unknown() -> ServiceError {
    ServiceError::new(
        ErrorKind::NotFound,
        "contacts-unknown",
        "the node that took the application has no contacts of it any more",
    )
}

impl Membership {
    /// Opens what the home keeps. `is_open` says that everybody may apply, not only who was invited.
    ///
    /// # Errors
    /// [`FolderError`] when the folder cannot be used.
    pub fn open(
        home: &NodeHome,
        chain: Arc<Chain>,
        network: NetworkHandle,
        signer: NodeSigner,
        is_open: bool,
    ) -> Result<Arc<Self>, FolderError> {
        let contacts = Arc::new(ContactsStore::open(home.membership())?);
        let invitations = if is_open {
            None
        } else {
            let failed = |cause| FolderError { path: home.membership(), cause };
            Some(Invitations::open(contacts.documents()).map_err(failed)?)
        };
        Ok(Arc::new(Self { contacts, invitations, chain, network, signer }))
    }

    /// Deletes contacts of applications that were decided or have expired, until the node stops.
    pub async fn tidy(self: Arc<Self>) {
        let mut looks = tokio::time::interval(TIDY_PERIOD);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.chain.shutdown.stopping() => return,
                _ = looks.tick() => {}
            }
            // A node that is behind does not know yet what was applied for.
            if !self.chain.is_caught_up() {
                continue;
            }
            match self.forget_decided(UNDECIDED_FOR).await {
                Ok(0) => {}
                Ok(forgotten) => tracing::info!(forgotten, "contacts of decided applications were deleted"),
                Err(error) => tracing::warn!(%error, "contacts of decided applications could not be deleted"),
            }
        }
    }

    async fn forget_decided(&self, age: Duration) -> Result<usize, ServiceError> {
        let store = Arc::clone(&self.contacts);
        read(&self.chain, move |view| {
            let open = list_applications_open(view.state(), Timestamp::now()).map_err(state_unusable)?;
            let kept = open.into_iter().filter_map(|proposal| match proposal.change {
                ProposedChange::AdmitMember { application } => Some(application.application.contacts),
                _ => None,
            });
            store.tidy(&kept.collect(), age)
        })
        .await
    }

    async fn bring(
        &self,
        application: SignedApplication,
        opening: ContactsOpening,
    ) -> Result<TransactionStatus, ServiceError> {
        let store = Arc::clone(&self.contacts);
        // Kept first: an application on the chain whose contacts are lost could not be decided.
        let (commitment, new) = blocking(move || store.keep(&opening)).await?;
        let call = Call::Apply { application: Box::new(application) };
        let status = self.signer.submit(call, Finality::Committed).await;
        let refused = match &status {
            Ok(status) => status.receipt.as_ref().is_some_and(|receipt| !receipt.is_applied()),
            Err(error) => error.kind != ErrorKind::TimedOut,
        };
        // The same application sent twice is refused the second time; the first still needs its contacts.
        if refused && new {
            let store = Arc::clone(&self.contacts);
            blocking(move || store.forget(&commitment)).await?;
        }
        status
    }

    async fn find(
        &self,
        proposal: ProposalId,
        sponsor: NodeName,
        commitment: Hash,
    ) -> Result<ContactsOpening, ServiceError> {
        let opening = if sponsor == self.chain.node {
            let store = Arc::clone(&self.contacts);
            blocking(move || store.get(&commitment)).await?
        } else {
            Some(self.ask(proposal, &sponsor).await?)
        };
        // The other node may have lied, and the disk may have changed it.
        opening.filter(|opening| opening.commitment() == commitment).ok_or_else(unknown)
    }

    async fn ask(&self, proposal: ProposalId, sponsor: &NodeName) -> Result<ContactsOpening, ServiceError> {
        let request = Bytes::from(ContactsRequest { proposal }.encode());
        let answer = self.network.request(sponsor, kinds::CONTACTS, request, CONTACTS_WITHIN).await;
        let answer = answer.map_err(|error| match error {
            RequestError::Refused(refusal) if refusal.code() == "contacts-unknown" => unknown(),
            error => ServiceError::new(
                ErrorKind::PeerFailed,
                "contacts-unreachable",
                format!("the contacts lie at {sponsor}, which does not give them now: {error}"),
            )
            .with_hint(format!("ask again when {sponsor} is connected, or ask its member")),
        })?;
        ContactsOpening::decode(&answer, ANSWER_BYTES_MAX).map_err(|error| {
            ServiceError::new(
                ErrorKind::PeerFailed,
                "contacts-malformed",
                format!("{sponsor} gave what is no contacts: {error}"),
            )
        })
    }

    /// Answers a peer's request of kind [`kinds::CONTACTS`]. Every registered node may ask: it gives them to the
    /// administrators of its member only, as this node does.
    pub async fn answer(&self, from: NodeName, bytes: Bytes, reply: Responder) {
        tokio::select! {
            () = self.chain.shutdown.stopping() => {}
            answer = self.give(&bytes) => match answer {
                Ok(bytes) => reply.answer(bytes),
                Err(refusal) => {
                    tracing::debug!(%from, %refusal, "contacts are not given out");
                    reply.refuse(refusal);
                }
            }
        }
    }

    async fn give(&self, bytes: &[u8]) -> Result<Bytes, Refusal> {
        let request = ContactsRequest::decode(bytes, REQUEST_BYTES_MAX)
            .map_err(|error| Refusal::new("request-malformed", error))?;
        let store = Arc::clone(&self.contacts);
        let opening = read(&self.chain, move |view| {
            let proposal = get_proposal(view.state(), request.proposal).map_err(state_unusable)?;
            match proposal.map(|proposal| proposal.change) {
                Some(ProposedChange::AdmitMember { application }) => store.get(&application.application.contacts),
                _ => Ok(None),
            }
        });
        let opening = opening.await.and_then(|opening| opening.ok_or_else(unknown));
        Ok(opening.map_err(|error| refusal(&error))?.encode().into())
    }
}

impl MembershipService for Membership {
    fn apply(
        &self,
        application: SignedApplication,
        contacts: String,
        salt: [u8; 32],
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>> {
        Box::pin(self.bring(application, ContactsOpening { salt, text: contacts }))
    }

    fn withdraw(
        &self,
        proposal: ProposalId,
        signature: Signature,
    ) -> BoxFuture<'_, Result<TransactionStatus, ServiceError>> {
        Box::pin(self.signer.submit(Call::WithdrawApplication { proposal, signature }, Finality::Committed))
    }

    fn invite(&self) -> Option<InvitationToken> {
        self.invitations.as_ref().map(|invitations| invitations.make(Timestamp::now()))
    }

    fn is_invited(&self, token: Option<InvitationToken>) -> bool {
        match (&self.invitations, token) {
            (None, _) => true,
            (Some(invitations), Some(token)) => invitations.admits(&token, Timestamp::now()),
            (Some(_), None) => false,
        }
    }

    fn contacts(
        &self,
        proposal: ProposalId,
        sponsor: NodeName,
        commitment: Hash,
    ) -> BoxFuture<'_, Result<String, ServiceError>> {
        Box::pin(async move { Ok(self.find(proposal, sponsor, commitment).await?.text) })
    }
}
