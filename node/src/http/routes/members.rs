//! Members, accounts, nodes, proposals: seen by every account.

use galen_contracts::keys;
use galen_contracts::query::{
    get_account, get_member, get_node, get_voter_set, list_accounts, list_members, list_nodes, list_proposals,
    proposal_state_at,
};
use galen_types::api::{Evidence, NodeDetail, Page};
use galen_types::certificate::VoterSet;
use galen_types::member::{Account, Member, Node, Standing};
use galen_types::proposal::Proposal;
use galen_types::{AccountName, Hash, MemberName, NodeName, ProposalId};

use super::block_time;
use crate::http::app::Call;
use crate::http::limits::EVIDENCE_ITEMS_MAX;
use crate::http::pages::{gather, resolve};
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, json};
use crate::http::route::{Handler, Route};
use crate::http::services::ChainView;

const MEMBER: Parameter = Parameter::new("member", "Only this member's");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/members", "Members by name", Handler::Read(members)).paged().gives_page::<Member>(),
        Route::get("/v1/members/{member}", "A member", Handler::Read(member)).gives::<Member>(),
        Route::get("/v1/accounts", "Accounts by member and name", Handler::Read(accounts))
            .query(&[MEMBER])
            .paged()
            .gives_page::<Account>(),
        Route::get("/v1/accounts/{account}", "An account", Handler::Read(account)).gives::<Account>(),
        Route::get("/v1/nodes", "Nodes by member and name", Handler::Read(nodes))
            .query(&[MEMBER])
            .paged()
            .gives_page::<NodeDetail>(),
        Route::get("/v1/nodes/{node}", "A node", Handler::Read(node)).gives::<NodeDetail>(),
        Route::get("/v1/proposals", "Proposals in the order made", Handler::Read(proposals))
            .paged()
            .gives_page::<Proposal>(),
        Route::get(
            "/v1/proposals/{id}",
            "A proposal, by its id or its first 8 digits or more",
            Handler::Read(proposal),
        )
        .gives::<Proposal>(),
    ]
}

fn members(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after, limit| Ok(list_members(view.state(), after, limit)?),
        |member: &Member| -> MemberName { member.name.clone() },
        |_| Ok(true),
    )?;
    json(&page)
}

fn member(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let name = call.path(0, "member")?;
    json(&get_member(view.state(), &name)?.ok_or(Refusal::NotFound("member"))?)
}

fn accounts(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let member: Option<MemberName> = call.query.get("member")?;
    let page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after, limit| Ok(list_accounts(view.state(), member.as_ref(), after, limit)?),
        |account: &Account| -> AccountName { account.name.clone() },
        |_| Ok(true),
    )?;
    json(&page)
}

fn account(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let name = call.path(0, "account")?;
    json(&get_account(view.state(), &name)?.ok_or(Refusal::NotFound("account"))?)
}

fn nodes(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let member: Option<MemberName> = call.query.get("member")?;
    let page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after, limit| Ok(list_nodes(view.state(), member.as_ref(), after, limit)?),
        |node: &Node| -> NodeName { node.name.clone() },
        |_| Ok(true),
    )?;
    let voters = get_voter_set(view.state())?;
    let evidence = view.evidence(1, EVIDENCE_ITEMS_MAX)?;
    let items: Result<_, Refusal> = page.items.into_iter().map(|node| detail(view, node, &voters, &evidence)).collect();
    json(&Page { height: page.height, items: items?, next: page.next })
}

fn node(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let node = get_node(view.state(), &call.path(0, "node")?)?.ok_or(Refusal::NotFound("node"))?;
    json(&detail(view, node, &get_voter_set(view.state())?, &view.evidence(1, EVIDENCE_ITEMS_MAX)?)?)
}

/// A node as it takes part: one of a suspended member, or of one that left, is no more active than its member.
fn detail(
    view: &dyn ChainView,
    mut node: Node,
    voters: &VoterSet,
    evidence: &[Evidence],
) -> Result<NodeDetail, Refusal> {
    if node.standing == Standing::Active
        && let Some(member) = get_member(view.state(), &node.name.member)?
    {
        node.standing = member.standing;
    }
    let in_voter_set = voters.key_of(&node.name) == Some(&node.key);
    let evidence = evidence.iter().filter(|found| found.voter == node.name).count();
    Ok(NodeDetail { in_voter_set, fingerprint: node.key.fingerprint(), evidence, node })
}

fn proposals(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    let now = block_time(call, view)?;
    let mut page = gather(
        view.height(),
        call.query.get("start_after")?,
        call.query.limit()?,
        |after: Option<&ProposalId>, limit| Ok(list_proposals(view.state(), after.copied(), limit)?),
        |proposal: &Proposal| proposal.id,
        |_| Ok(true),
    )?;
    for proposal in &mut page.items {
        proposal.state = proposal_state_at(proposal, now);
    }
    json(&page)
}

fn proposal(call: &Call, view: &dyn ChainView) -> Result<Response, Refusal> {
    json(&named_proposal(call, view)?)
}

/// The proposal that the path names, as it stands now.
pub(super) fn named_proposal(call: &Call, view: &dyn ChainView) -> Result<Proposal, Refusal> {
    let any = keys::proposal(ProposalId(Hash::ZERO));
    let mut proposal: Proposal = resolve(
        view.state(),
        any.as_bytes(),
        "proposal",
        call.parameter(0),
        |proposal: &Proposal| proposal.id.0,
        |_| true,
    )?;
    proposal.state = proposal_state_at(&proposal, block_time(call, view)?);
    Ok(proposal)
}
