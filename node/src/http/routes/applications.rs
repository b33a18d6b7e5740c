//! What members see of applications, and the invitation that they hand out.

use std::sync::Arc;

use galen_contracts::query::{get_lineage, list_proposals, proposal_state_at};
use galen_types::api::{ApplicationContacts, ApplicationSummary, InvitationText, Page};
use galen_types::application::{Application, Invitation};
use galen_types::member::Role;
use galen_types::proposal::{Proposal, ProposalState, ProposedChange};
use galen_types::{AccountName, NodeName, ProposalId, Signer};
use http::header::HOST;

use super::block_time;
use super::join::count;
use super::members::named_proposal;
use crate::http::app::Call;
use crate::http::pages::gather;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json};
use crate::http::route::{Access, Handler, Route};
use crate::http::server::is_authority;
use crate::http::services::ChainView;

const STATE: Parameter =
    Parameter::new("state", "Only in this state: `open` (if not said), `passed`, `failed`, or `any`");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/invitation",
            "What is handed to an institution that wants to apply here",
            Handler::Read(invitation),
        )
        .gives::<InvitationText>(),
        Route::get("/v1/applications", "Applications for membership in the order made", Handler::Read(applications))
            .query(&[STATE])
            .paged()
            .gives_page::<ApplicationSummary>(),
        Route::get(
            "/v1/applications/{id}",
            "An application, by its proposal's id or its first 8 digits or more",
            Handler::Read(application),
        )
        .gives::<ApplicationSummary>(),
        Route::get(
            "/v1/applications/{id}/contacts",
            "Whom to ask about an application; from here or from the node that took it",
            Handler::Act(|call, _| Box::pin(contacts(call))),
        )
        .access(Access::Roles(&[Role::Admin]))
        .gives::<ApplicationContacts>(),
    ]
}

fn invitation(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let url = match &call.app.public_url {
        Some(url) => url.clone(),
        None => {
            let host = call.headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_authority(host));
            let scheme = if call.app.secure { "https" } else { "http" };
            format!("{scheme}://{}", host.ok_or(Refusal::AddressUnknown)?)
        }
    };
    let genesis = *call.chain().genesis_hash();
    let lineage = get_lineage(view.state())?;
    // Only those who may speak for the member invite.
    let account = call.account()?;
    let speaks = account.name.member == call.chain().node().member && account.roles.contains(&Role::Admin);
    let token = call.app.services.membership.invite().filter(|_| speaks);
    let invitation = Invitation { url: url.clone(), genesis, lineage, token }.to_string();
    json(&InvitationText { invitation, url, genesis, lineage })
}

/// What a proposal to admit an institution asks for.
fn asked_for(proposal: &Proposal) -> Option<&Application> {
    match &proposal.change {
        ProposedChange::AdmitMember { application } => Some(&application.application),
        _ => None,
    }
}

/// An application as members see it; `None` for other proposals.
fn summary(view: &dyn ChainView, proposal: &Proposal) -> Result<Option<ApplicationSummary>, Refusal> {
    let Some(asked) = asked_for(proposal) else { return Ok(None) };
    let Signer::Node(sponsor) = proposal.proposer.clone() else { return Ok(None) };
    let member = asked.member.clone();
    Ok(Some(ApplicationSummary {
        proposal: proposal.id,
        state: proposal.state,
        administrator: AccountName { account: asked.administrator.account.clone(), member: member.clone() },
        administrator_key: asked.administrator.key,
        administrator_fingerprint: asked.administrator.key.fingerprint(),
        node: NodeName { node: asked.node.node.clone(), member: member.clone() },
        role: asked.node.role,
        address: asked.node.address.clone(),
        node_key: asked.node.key,
        node_fingerprint: asked.node.key.fingerprint(),
        offers: asked.offers.clone(),
        sponsor,
        made: proposal.made,
        closes: proposal.closes,
        ballots: proposal.ballots.clone(),
        count: count(view.state(), proposal)?,
        member,
    }))
}

fn applications(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let now = block_time(call, view)?;
    let wanted = match call.query.text("state") {
        None => Some(ProposalState::Open),
        Some("any") => None,
        Some(_) => call.query.get("state")?,
    };
    let page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after: Option<&ProposalId>, limit| {
            let mut proposals = list_proposals(view.state(), after.copied(), limit)?;
            for proposal in &mut proposals {
                proposal.state = proposal_state_at(proposal, now);
            }
            Ok(proposals)
        },
        |proposal: &Proposal| proposal.id,
        |proposal| Ok(asked_for(proposal).is_some() && wanted.is_none_or(|state| proposal.state == state)),
    )?;
    let mut items = Vec::with_capacity(page.items.len());
    for proposal in &page.items {
        items.extend(summary(view, proposal)?);
    }
    json(&Page { height: page.height, items, next: page.next })
}

fn application(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let proposal = named_proposal(call, view)?;
    json(&summary(view, &proposal)?.ok_or(Refusal::NotFound("application"))?)
}

async fn contacts(call: Arc<Call>) -> Result<Response, Refusal> {
    let (proposal, sponsor, commitment) = call
        .read(|call, view| {
            let proposal = named_proposal(call, view)?;
            match (asked_for(&proposal), &proposal.proposer) {
                (Some(asked), Signer::Node(sponsor)) => Ok((proposal.id, sponsor.clone(), asked.contacts)),
                _ => Err(Refusal::NotFound("application")),
            }
        })
        .await?;
    let contacts = call.app.services.membership.contacts(proposal, sponsor, commitment).await?;
    json(&ApplicationContacts { proposal, contacts })
}
