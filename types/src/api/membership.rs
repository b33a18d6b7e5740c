use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::application::{InvitationToken, Offer, SignedApplication};
use crate::hash::Hash;
use crate::identifier::ProposalId;
use crate::member::{Member, Node, NodeAddress, NodeRole};
use crate::name::{AccountName, MemberName, NodeName};
use crate::proposal::{CastBallot, ProposalState};
use crate::signature::{PublicKey, Signature};
use crate::time::Timestamp;
use crate::vocabulary::text_enum;

/// Most bytes of an applicant's contacts.
pub const CONTACTS_BYTES_MAX: usize = 2 << 10;

/// `POST /v1/applications`: an institution's application, and its contacts, which the node that takes it keeps off-chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSubmission {
    /// Signed by the applicant's administrator and node.
    pub application: SignedApplication,
    /// Whom to ask about it; at most 2,048 bytes. The application holds the salted commitment to this text.
    pub contacts: String,
    /// The commitment's salt, 64 hexadecimal digits.
    #[serde(with = "hex::serde")]
    #[schema(value_type = String)]
    pub salt: [u8; 32],
    /// The token of the invitation; needed where the node takes applications of those only whom its member invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<InvitationToken>,
}

/// `POST /v1/join/{proposal}/withdraw`: the applicant takes its application back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// By the key of the administrator whom the application names, over the proposal's id.
    pub signature: Signature,
}

/// The answer to an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationReceived {
    /// The proposal that the members vote on; `GET /v1/join/{id}` tells the applicant where it stands.
    pub proposal: ProposalId,
    /// The member's node that brought it before the members.
    pub sponsor: NodeName,
    /// Block time after which no ballot is taken.
    pub closes: Timestamp,
}

text_enum! {
    /// Where an application stands.
    pub enum JoinState {
        /// The members vote.
        Pending = 1 "pending",
        /// The institution is a member.
        Admitted = 2 "admitted",
        /// The members rejected it.
        Rejected = 3 "rejected",
        /// Not enough ballots were cast in time.
        Expired = 4 "expired",
        /// The institution took it back.
        Withdrawn = 5 "withdrawn",
    }
}

/// How the members voted so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BallotCount {
    /// Approvals.
    pub approvals: usize,
    /// Rejections.
    pub rejections: usize,
    /// Approvals with which it passes.
    pub approvals_needed: usize,
    /// Members that may vote.
    pub members: usize,
    /// The member whose ballot alone decides, where the chain's parameters name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managing_agency: Option<MemberName>,
}

/// `GET /v1/join/{id}`: what an applicant is told. Open to everyone who knows the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinStatus {
    /// The proposal.
    pub proposal: ProposalId,
    /// Where it stands.
    pub state: JoinState,
    /// The applicant.
    pub member: MemberName,
    /// Its first node.
    pub node: NodeName,
    /// How the members voted.
    pub ballots: BallotCount,
    /// Block time after which no ballot is taken.
    pub closes: Timestamp,
    /// Once admitted: what the first node starts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Admission>,
    /// The height of the state it was read from.
    pub height: u64,
    /// The answering node's clock, to compare one's own with.
    pub node_time: Timestamp,
    /// The answering node's software.
    pub version: String,
}

/// What a node that was admitted starts with. It believes none of it: the chain that it fetches must lead from the genesis
/// to these records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Admission {
    /// The member as registered.
    pub member: Member,
    /// The node as registered.
    pub node: Node,
    /// Where to connect first: the nodes of the active members, the new one left out.
    pub peers: Vec<BootstrapPeer>,
}

/// A node to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BootstrapPeer {
    /// Its name.
    pub name: NodeName,
    /// Its network identity.
    pub key: PublicKey,
    /// Where it is reached.
    pub address: NodeAddress,
    /// What it does.
    pub role: NodeRole,
}

/// `POST /v1/join/{id}/dial-back`: whether the answering node reaches the address in the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DialBack {
    /// The address of the application.
    pub address: NodeAddress,
    /// Whether a node that holds the application's key answers there.
    pub reached: bool,
    /// How it is, and what to do. The same for every no.
    pub detail: String,
}

/// `GET /v1/invitation`: what is handed to an institution that wants to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationText {
    /// The whole, e.g. `https://galen.harlem.example#<64 hexadecimal digits>`.
    pub invitation: String,
    /// Where the institution applies.
    pub url: String,
    /// Names the chain.
    pub genesis: Hash,
    /// The hash of the last recovery that the chain went on by; all zeros where there was none.
    pub lineage: Hash,
}

/// An application as the members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationSummary {
    /// The proposal.
    pub proposal: ProposalId,
    /// Where it stands.
    pub state: ProposalState,
    /// The applicant.
    pub member: MemberName,
    /// Its first administrator.
    pub administrator: AccountName,
    /// The administrator's key, and a short form to compare with what the applicant says on another way.
    pub administrator_key: PublicKey,
    /// See `administrator_key`.
    pub administrator_fingerprint: String,
    /// Its first node.
    pub node: NodeName,
    /// What the node shall do.
    pub role: NodeRole,
    /// Where peers reach it.
    pub address: NodeAddress,
    /// The node's key.
    pub node_key: PublicKey,
    /// Its short form.
    pub node_fingerprint: String,
    /// What the applicant offers.
    pub offers: Vec<Offer>,
    /// The member's node that brought the application, and keeps its contacts.
    pub sponsor: NodeName,
    /// Block time at which it was brought.
    pub made: Timestamp,
    /// Block time after which no ballot is taken.
    pub closes: Timestamp,
    /// Ballots in the order cast.
    pub ballots: Vec<CastBallot>,
    /// They, counted.
    pub count: BallotCount,
}

/// `GET /v1/applications/{id}/contacts`: whom to ask about an application; checked against the chain's commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationContacts {
    /// The proposal.
    pub proposal: ProposalId,
    /// The applicant's words.
    pub contacts: String,
}
