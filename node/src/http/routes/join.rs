//! What an institution that wants to join reaches without an account: applying, asking where the application stands, and
//! having its node dialled. Everything here is bounded by the address of whoever asks and for all together.

use std::sync::Arc;

use galen_contracts::query::{
    get_member, get_node, get_parameters, get_proposal, list_applications_open, list_nodes, proposal_state_at,
};
use galen_contracts::{StateRead, Verdict, keys};
use galen_types::api::{
    Admission, ApplicationReceived, ApplicationSubmission, BallotCount, BootstrapPeer, CONTACTS_BYTES_MAX, DialBack,
    JoinState, JoinStatus, Withdrawal,
};
use galen_types::application::Application;
use galen_types::member::Standing;
use galen_types::proposal::{Ballot, Proposal, ProposalState, ProposedChange};
use galen_types::{Encoding, Hash, NodeName, Outcome, ProposalId, Signer, Timestamp};
use http::StatusCode;

use super::block_time;
use crate::http::app::Call;
use crate::http::body::RequestBody;
use crate::http::limits::{APPLICATION_BODY_BYTES_MAX, BOOTSTRAP_PEERS_MAX, BOOTSTRAP_TOLD_MS};
use crate::http::refusal::Refusal;
use crate::http::rehearsal::rehearse_own;
use crate::http::respond::{Response, json, json_with};
use crate::http::route::{Access, Handler, Route};
use crate::http::services::{ChainView, ErrorKind, ServiceError};

/// Said of every address at which the applied node was not found, whatever is there.
const NOT_REACHED: &str = "no node with the key of the application answers there; private, loopback and link-local \
                           addresses are not dialled unless this node listens on such, or its configuration permits it \
                           (joining.dial_private)";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/applications",
            "Applies for membership; this node brings the application before the members and keeps the contacts",
            Handler::Act(|call, body| Box::pin(apply(call, body))),
        )
        .access(Access::Open)
        .takes_at_most::<ApplicationSubmission>(APPLICATION_BODY_BYTES_MAX)
        .creates::<ApplicationReceived>(),
        Route::get(
            "/v1/join/{proposal}",
            "Where an application stands; what an admitted node starts with",
            Handler::Read(status),
        )
        .access(Access::Open)
        .gives::<JoinStatus>(),
        Route::post(
            "/v1/join/{proposal}/withdraw",
            "Takes an open application back, by the signature of the administrator whom it names",
            Handler::Act(|call, body| Box::pin(withdraw(call, body))),
        )
        .access(Access::Open)
        .takes::<Withdrawal>()
        .gives::<JoinStatus>(),
        Route::post(
            "/v1/join/{proposal}/dial-back",
            "Whether this node reaches the address in an application",
            Handler::Act(|call, _| Box::pin(dial_back(call))),
        )
        .access(Access::Open)
        .gives::<DialBack>(),
    ]
}

async fn apply(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    call.app.applications.take(call.address, "applications")?;
    let ApplicationSubmission { application, contacts, salt, invitation } = body.json()?;
    drop(body);
    let own = *call.chain().genesis_hash();
    let asked = &application.application;
    if asked.genesis != own {
        return Err(Refusal::ApplicationForAnotherChain { given: asked.genesis.to_string(), own: own.to_string() });
    }
    if contacts.len() > CONTACTS_BYTES_MAX {
        return Err(Refusal::ContactsTooLong { bytes: contacts.len(), limit: CONTACTS_BYTES_MAX });
    }
    if Hash::commitment(&salt, contacts.as_bytes()) != asked.contacts {
        return Err(Refusal::ContactsDiffer);
    }
    application.verify().map_err(|_| Refusal::ApplicationBadSignature)?;
    // Sent again, whether or not the applicant got the answer: it is the same application.
    let asked = Arc::new(asked.clone());
    let again = Arc::clone(&asked);
    if let Some(proposal) = call.read(move |call, view| received_before(call, view, &again)).await? {
        return received(&proposal);
    }
    if !call.app.services.membership.is_invited(invitation) {
        return Err(Refusal::NotInvited);
    }
    // A stranger's mistakes are not recorded on the chain in this node's name.
    let rehearsed = galen_types::Call::Apply { application: Box::new(application.clone()) };
    call.read(move |call, view| match rehearse_own(call.chain(), view, rehearsed)? {
        Verdict::Recorded(recorded) => match recorded.outcome {
            Outcome::Applied => Ok(()),
            Outcome::Refused { rule, explanation } => {
                Err(Refusal::ApplicationRefused { rule: rule.to_string(), explanation })
            }
        },
        Verdict::Void(reason) => Err(Refusal::Service(ServiceError::new(
            ErrorKind::Unavailable,
            reason.code(),
            format!("this node cannot bring applications now: {reason}"),
        ))),
    })
    .await?;
    let status = call.app.services.membership.apply(application, contacts, salt).await?;
    if let Some(Outcome::Refused { rule, explanation }) = status.receipt.as_ref().map(|receipt| &receipt.outcome) {
        let (rule, explanation) = (rule.to_string(), explanation.clone());
        // Two of the same may have been on their way at once.
        if let Some(proposal) = call.read(move |call, view| received_before(call, view, &asked)).await? {
            return received(&proposal);
        }
        return Err(Refusal::ApplicationRefused { rule, explanation });
    }
    let id = ProposalId(status.id.0);
    let proposal = call.read(move |_, view| Ok(get_proposal(view.state(), id)?)).await?;
    let proposal = proposal.ok_or(Refusal::NotFound("proposal"))?;
    received(&proposal)
}

/// Taken back already, it is answered as if it were now: the answer may have been lost.
async fn withdraw(call: Arc<Call>, body: RequestBody) -> Result<Response, Refusal> {
    call.app.applications.take(call.address, "applications")?;
    let Withdrawal { signature } = body.json()?;
    drop(body);
    let id: ProposalId = call.path(0, "proposal")?;
    let checked = call.read(move |call, view| {
        let (proposal, application) = application_of(view, id)?;
        // A stranger's mistakes are not recorded on the chain in this node's name.
        application.verify_withdrawal(id, &signature).map_err(|_| Refusal::WithdrawalBadSignature)?;
        match proposal_state_at(&proposal, block_time(call, view)?) {
            ProposalState::Open => Ok(true),
            ProposalState::Withdrawn => Ok(false),
            state => Err(Refusal::ApplicationDecided { state: state.to_string() }),
        }
    });
    if checked.await? {
        let withdrawn = call.app.services.membership.withdraw(id, signature).await?;
        if let Some(Outcome::Refused { rule, explanation }) = withdrawn.receipt.map(|receipt| receipt.outcome) {
            return Err(Refusal::ApplicationRefused { rule: rule.to_string(), explanation });
        }
    }
    call.read(move |call, view| join_status(call, view, id)).await.and_then(|status| json(&status))
}

fn received(proposal: &Proposal) -> Result<Response, Refusal> {
    let Signer::Node(sponsor) = proposal.proposer.clone() else { return Err(Refusal::NotFound("application")) };
    json_with(StatusCode::CREATED, &ApplicationReceived { proposal: proposal.id, sponsor, closes: proposal.closes })
}

/// The proposal that a signed application was brought as: the same one, whatever became of it, or another one of the same
/// member with the same keys that is open.
fn received_before(call: &Call, view: &dyn ChainView, asked: &Application) -> Result<Option<Proposal>, Refusal> {
    let state = view.state();
    if let Some(bytes) = state.get(keys::application_brought(&asked.hash()).as_bytes())? {
        let id = ProposalId::decode(&bytes, 32).map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
        return Ok(get_proposal(state, id)?);
    }
    let open = list_applications_open(state, block_time(call, view)?)?;
    Ok(open.into_iter().find(|proposal| match &proposal.change {
        ProposedChange::AdmitMember { application } => {
            let other = &application.application;
            other.member == asked.member
                && other.administrator.key == asked.administrator.key
                && other.node.key == asked.node.key
        }
        _ => false,
    }))
}

/// The proposal to admit an institution, and what it asks for; other proposals are nobody's to see here.
fn application_of(view: &dyn ChainView, id: ProposalId) -> Result<(Proposal, Application), Refusal> {
    let proposal = get_proposal(view.state(), id)?.ok_or(Refusal::NotFound("application"))?;
    match &proposal.change {
        ProposedChange::AdmitMember { application } => {
            let application = application.application.clone();
            Ok((proposal, application))
        }
        _ => Err(Refusal::NotFound("application")),
    }
}

fn status(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    call.app.joins.take(call.address, "questions about applications")?;
    json(&join_status(call, view, call.path(0, "proposal")?)?)
}

fn join_status(call: &Call, view: &dyn ChainView, id: ProposalId) -> Result<JoinStatus, Refusal> {
    let (proposal, application) = application_of(view, id)?;
    let ballots = count(view.state(), &proposal)?;
    let now = block_time(call, view)?;
    let state = join_state(&proposal, &ballots, now);
    let is_told = now <= proposal.closes.plus_ms(BOOTSTRAP_TOLD_MS);
    let node = NodeName { node: application.node.node.clone(), member: application.member.clone() };
    let admitted = match state {
        JoinState::Admitted => admission(view.state(), &application, &node, is_told)?,
        JoinState::Pending | JoinState::Rejected | JoinState::Expired | JoinState::Withdrawn => None,
    };
    Ok(JoinStatus {
        proposal: proposal.id,
        state,
        member: application.member,
        node,
        ballots,
        closes: proposal.closes,
        admitted,
        height: view.height(),
        node_time: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// How the active members voted, and how many approvals it takes.
pub(super) fn count(state: &dyn StateRead, proposal: &Proposal) -> Result<BallotCount, Refusal> {
    let parameters = get_parameters(state)?;
    let members = match state.get(keys::members_active().as_bytes())? {
        Some(bytes) => u32::decode(&bytes, 4).map_err(|error| Refusal::Service(ServiceError::internal(&error)))?,
        None => 0,
    };
    let members = usize::try_from(members).unwrap_or(usize::MAX);
    let (mut approvals, mut rejections) = (0, 0);
    for cast in &proposal.ballots {
        let member = get_member(state, &cast.member)?;
        let agency_only = parameters.managing_agency.as_ref().is_some_and(|agency| *agency != cast.member);
        if agency_only || member.is_none_or(|member| member.standing != Standing::Active) {
            continue;
        }
        match cast.ballot {
            Ballot::Approve => approvals += 1,
            Ballot::Reject => rejections += 1,
        }
    }
    let threshold = usize::try_from(parameters.vote_threshold_percent).unwrap_or(100);
    let (approvals_needed, members) = match &parameters.managing_agency {
        Some(_) => (1, 1),
        None => (members.saturating_mul(threshold) / 100 + 1, members),
    };
    let managing_agency = parameters.managing_agency;
    Ok(BallotCount { approvals, rejections, approvals_needed, members, managing_agency })
}

fn join_state(proposal: &Proposal, ballots: &BallotCount, now: Timestamp) -> JoinState {
    match proposal_state_at(proposal, now) {
        ProposalState::Open => JoinState::Pending,
        ProposalState::Passed | ProposalState::Scheduled => JoinState::Admitted,
        // Failed by ballots: even if all others approved, they would be too few.
        ProposalState::Failed if ballots.members.saturating_sub(ballots.rejections) >= ballots.approvals_needed => {
            JoinState::Expired
        }
        ProposalState::Failed | ProposalState::Objected => JoinState::Rejected,
        ProposalState::Withdrawn => JoinState::Withdrawn,
    }
}

/// What an admitted institution is told; its peers for as long as it may need them to begin: no one else is to know where
/// the members' nodes are.
fn admission(
    state: &dyn StateRead,
    application: &Application,
    node: &NodeName,
    is_told: bool,
) -> Result<Option<Admission>, Refusal> {
    let (member, record) = (get_member(state, &application.member)?, get_node(state, node)?);
    let (Some(member), Some(record)) = (member, record) else { return Ok(None) };
    let mut peers = Vec::new();
    let mut after: Option<NodeName> = None;
    if !is_told || member.standing != Standing::Active || record.standing != Standing::Active {
        return Ok(Some(Admission { member, node: record, peers }));
    }
    while peers.len() < BOOTSTRAP_PEERS_MAX {
        let page = list_nodes(state, None, after.as_ref(), BOOTSTRAP_PEERS_MAX)?;
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        for other in page.into_iter().filter(|other| other.standing == Standing::Active && other.name != *node) {
            let active =
                get_member(state, &other.name.member)?.is_some_and(|member| member.standing == Standing::Active);
            if active && peers.len() < BOOTSTRAP_PEERS_MAX {
                peers.push(BootstrapPeer {
                    name: other.name,
                    key: other.key,
                    address: other.address,
                    role: other.role,
                });
            }
        }
    }
    Ok(Some(Admission { member, node: record, peers }))
}

async fn dial_back(call: Arc<Call>) -> Result<Response, Refusal> {
    call.app.dials.take(call.address, "dials")?;
    let id: ProposalId = call.path(0, "proposal")?;
    let (address, key) = call
        .read(move |call, view| {
            let (proposal, application) = application_of(view, id)?;
            match proposal_state_at(&proposal, block_time(call, view)?) {
                ProposalState::Open | ProposalState::Passed | ProposalState::Scheduled => {}
                // Nobody is to have a node dialled by an application that is over.
                ProposalState::Failed | ProposalState::Objected | ProposalState::Withdrawn => {
                    return Err(Refusal::NotFound("application"));
                }
            }
            let name = NodeName { node: application.node.node.clone(), member: application.member.clone() };
            // Once admitted, the address may have been changed since.
            let record = match proposal.state {
                ProposalState::Passed => get_node(view.state(), &name)?,
                _ => None,
            };
            let applied = (application.node.address, application.node.key);
            Ok(record.map_or(applied, |node| (node.address, node.key)))
        })
        .await?;
    let reached = call.app.services.operator.dial_back(address.clone(), key).await?;
    let detail = if reached { "the node answers there, and holds its key" } else { NOT_REACHED };
    json(&DialBack { address, reached, detail: detail.to_owned() })
}
