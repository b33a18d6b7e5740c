//! Members, applications and proposals for people.

use std::collections::BTreeSet;

use galen_client::{Client, collect_pages};
use galen_types::api::ApplicationSummary;
use galen_types::proposal::{Effective, Proposal, ProposalState, ProposedChange};
use galen_types::{MemberName, Parameters};
use serde::Serialize;

use crate::error::CliError;
use crate::output::Output;
use crate::table::{Table, fields, joined, or_dash, short, time};

pub(super) async fn members(client: &Client, output: Output) -> Result<(), CliError> {
    let members = collect_pages(usize::MAX, |paging| client.members(paging)).await?;
    output.list(&members, "there are no members", |members| {
        let mut table = Table::new(&["member", "standing", ">admitted at"]);
        for member in members {
            let admitted = match member.admitted_height {
                0 => "founder".to_owned(),
                height => height.to_string(),
            };
            table.row([member.name.to_string(), member.standing.to_string(), admitted]);
        }
        table
    })
}

pub(super) async fn member(client: &Client, name: &MemberName, output: Output) -> Result<(), CliError> {
    let member = client.member(name).await?;
    let nodes = collect_pages(usize::MAX, |paging| client.nodes(Some(name), paging)).await?;
    output.document(&serde_json::json!({ "member": member, "nodes": nodes }), || {
        let mut table = Table::new(&["node", "role", "standing", "address", ">evidence"]);
        for detail in &nodes {
            let node = &detail.node;
            table.row([
                node.name.to_string(),
                node.role.to_string(),
                node.standing.to_string(),
                node.address.to_string(),
                detail.evidence.to_string(),
            ]);
        }
        let text =
            fields(&[("member", Some(member.name.to_string())), ("standing", Some(member.standing.to_string()))]);
        format!("{text}\n{}", table.render())
    })
}

/// An application with the contacts where they were asked for.
#[derive(Serialize)]
struct Pending {
    #[serde(flatten)]
    application: ApplicationSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<String>,
}

pub(super) async fn pending(client: &Client, with_contacts: bool, output: Output) -> Result<(), CliError> {
    let applications =
        collect_pages(usize::MAX, |paging| client.applications(Some(ProposalState::Open), paging)).await?;
    let mut items = Vec::new();
    for application in applications {
        let contacts = if with_contacts {
            match client.application_contacts(application.proposal).await {
                Ok(found) => Some(found.contacts),
                Err(error) => {
                    output.note(&format!("the contacts of {} are not to be had now: {error}", application.member));
                    None
                }
            }
        } else {
            None
        };
        items.push(Pending { application, contacts });
    }
    output.list(&items, "no institution applies", |items| {
        let mut table = Table::new(&[
            "proposal",
            "member",
            "node address",
            "role",
            "offers",
            "approvals",
            "sponsor",
            "fingerprint",
            "closes",
            "contacts",
        ]);
        for Pending { application, contacts } in items {
            table.row([
                short(&application.proposal),
                application.member.to_string(),
                application.address.to_string(),
                application.role.to_string(),
                joined(&application.offers),
                format!("{} of {}", application.count.approvals, application.count.approvals_needed),
                application.sponsor.to_string(),
                application.administrator_fingerprint.clone(),
                time(application.closes),
                or_dash(contacts.as_deref().map(|text| text.replace('\n', " "))),
            ]);
        }
        table
    })
}

/// An application before a ballot is cast on it.
pub(super) fn application(application: &ApplicationSummary, contacts: Option<&str>) -> String {
    let count = &application.count;
    fields(&[
        ("application", Some(application.proposal.to_string())),
        ("institution", Some(application.member.to_string())),
        (
            "administrator",
            Some(format!("{}, key {}", application.administrator, application.administrator_fingerprint)),
        ),
        ("node", Some(format!("{} ({}), key {}", application.node, application.role, application.node_fingerprint))),
        ("address", Some(application.address.to_string())),
        ("offers", Some(joined(&application.offers))),
        ("contacts", contacts.map(str::to_owned)),
        ("sponsor", Some(application.sponsor.to_string())),
        (
            "approvals",
            Some(format!(
                "{} of the {} needed; {} rejections",
                count.approvals, count.approvals_needed, count.rejections
            )),
        ),
        ("closes", Some(time(application.closes))),
    ])
}

pub(super) async fn proposals(client: &Client, output: Output) -> Result<(), CliError> {
    let proposals = collect_pages(usize::MAX, |paging| client.proposals(paging)).await?;
    output.list(&proposals, "there are no proposals", |proposals| {
        let mut table = Table::new(&["proposal", "state", "change", "by", "made", ">ballots"]);
        for proposal in proposals {
            table.row([
                short(&proposal.id),
                proposal.state.to_string(),
                change_text(&proposal.change),
                proposal.proposer.to_string(),
                time(proposal.made),
                proposal.ballots.len().to_string(),
            ]);
        }
        table
    })
}

/// A change in a few words.
pub(super) fn change_text(change: &ProposedChange) -> String {
    match change {
        ProposedChange::SuspendMember { member, reason } => format!("suspend {member} ({reason})"),
        ProposedChange::RestoreMember { member } => format!("restore {member}"),
        ProposedChange::SetParameters { effective_height: 0, .. } => "set parameters".to_owned(),
        ProposedChange::SetParameters { effective_height, .. } => {
            format!("set parameters from height {effective_height} on")
        }
        ProposedChange::AdmitMember { application } => {
            let asked = &application.application;
            format!("admit {}, key {}", asked.member, asked.administrator.key.fingerprint())
        }
        ProposedChange::RemoveMember { member, reason } => format!("remove {member} for good ({reason})"),
        ProposedChange::SetNodeRole { node, role } => format!("make {node} {role}"),
        ProposedChange::RemoveNode { node, reason } => format!("remove node {node} ({reason})"),
        ProposedChange::ResetAdministrator { account, key, .. } => {
            format!("reset the key of {account} to {}", key.fingerprint())
        }
    }
}

/// From when on a proposal is in force; nothing where it never comes to that.
pub(super) fn in_force(proposal: &Proposal) -> Option<String> {
    let comes = matches!(proposal.state, ProposalState::Scheduled | ProposalState::Passed);
    proposal.effective.filter(|_| comes).map(|effective| match effective {
        Effective::Height(height) => format!("from height {height} on"),
        Effective::Time(at) => format!("from {} on", time(at)),
    })
}

/// What proposed parameters change in those in force, one a line.
fn differences(in_force: &Parameters, proposed: &Parameters) -> String {
    let table = |parameters: &Parameters| toml::Table::try_from(parameters).unwrap_or_default();
    let mut lines = String::new();
    compare("", &table(in_force), &table(proposed), &mut lines);
    if lines.is_empty() { "it changes no parameter that is in force now\n".to_owned() } else { lines }
}

fn compare(prefix: &str, now: &toml::Table, then: &toml::Table, lines: &mut String) {
    let keys: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    for key in keys {
        match (now.get(key), then.get(key)) {
            (Some(toml::Value::Table(now)), Some(toml::Value::Table(then))) => {
                compare(&format!("{prefix}{key}."), now, then, lines);
            }
            (before, after) if before != after => {
                let text = |value: Option<&toml::Value>| value.map_or("-".to_owned(), ToString::to_string);
                lines.push_str(&format!("{prefix}{key}: {} now, {} then\n", text(before), text(after)));
            }
            _ => {}
        }
    }
}

/// A proposal with its ballots; with the parameters in force, what it would change in them.
pub(super) fn human(proposal: &Proposal, parameters_in_force: Option<&Parameters>) -> String {
    let closes = (proposal.state == ProposalState::Open).then(|| time(proposal.closes));
    let effective = in_force(proposal);
    let mut text = fields(&[
        ("proposal", Some(proposal.id.to_string())),
        ("change", Some(change_text(&proposal.change))),
        ("state", Some(proposal.state.to_string())),
        ("in force", effective),
        ("by", Some(proposal.proposer.to_string())),
        ("made", Some(time(proposal.made))),
        ("closes", closes),
    ]);
    if let ProposedChange::SetParameters { parameters, .. } = &proposal.change {
        let waits = matches!(proposal.state, ProposalState::Open | ProposalState::Scheduled);
        let text_of = match parameters_in_force.filter(|_| waits) {
            Some(now) => differences(now, parameters),
            None => toml::to_string_pretty(parameters).unwrap_or_default(),
        };
        text.push_str(&format!("\n{text_of}"));
    }
    if !proposal.ballots.is_empty() {
        let mut table = Table::new(&["member", "ballot", "by", "reason"]);
        for ballot in &proposal.ballots {
            let reason = or_dash(ballot.reason);
            table.row([ballot.member.to_string(), ballot.ballot.to_string(), ballot.by.to_string(), reason]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposed_parameters_are_shown_by_what_they_change() {
        let now = Parameters::default();
        let mut then = now.clone();
        assert_eq!(differences(&now, &then), "it changes no parameter that is in force now\n");
        then.voters_per_member_max = 2;
        then.disclosure.rows_min = 20;
        then.managing_agency = Some("harlem".parse().unwrap());
        let expected = "disclosure.rows_min: 10 now, 20 then\nmanaging_agency: - now, \"harlem\" then\n\
                        voters_per_member_max: 1 now, 2 then\n";
        assert_eq!(differences(&now, &then), expected);
    }
}
