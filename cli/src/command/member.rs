//! `galen member`: the institutions of the consortium, and what they vote on.

use std::path::PathBuf;

use clap::Subcommand;
use galen_client::{Wait, collect_pages};
use galen_types::proposal::{Ballot, Proposal, ProposalState, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, MemberName, Parameters};

use crate::arguments::Global;
use crate::command::recorded;
use crate::error::CliError;
use crate::identifier::IdentifierPrefix;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields, or_dash, short, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the members
    List,
    /// Show a member and its nodes
    Show {
        /// Which
        member: MemberName,
    },
    /// Propose a change that the members vote on
    #[command(subcommand)]
    Propose(Change),
    /// List the proposals
    Proposals,
    /// Show a proposal with its ballots
    Proposal {
        /// Its id or the id's first digits
        id: IdentifierPrefix,
    },
    /// Cast your member's ballot
    Vote {
        /// The proposal's id or the id's first digits
        id: IdentifierPrefix,
        /// approve or reject
        ballot: Ballot,
        /// Why, as a code
        #[arg(long)]
        reason: Option<ReasonCode>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Suspend a member: its accounts' signatures are no longer accepted
    Suspend {
        /// Which
        member: MemberName,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
    /// Restore a suspended member
    Restore {
        /// Which
        member: MemberName,
    },
    /// Replace the chain's parameters
    Parameters {
        /// TOML file of parameters; what it leaves out keeps its value
        file: PathBuf,
    },
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    match command {
        Command::List => {
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
        Command::Show { member } => {
            let member = client.member(&member).await?;
            let mut nodes = collect_pages(usize::MAX, |paging| client.nodes(paging)).await?;
            nodes.retain(|node| node.name.member == member.name);
            output.document(&serde_json::json!({ "member": member, "nodes": nodes }), || {
                let mut table = Table::new(&["node", "role", "address"]);
                for node in &nodes {
                    table.row([node.name.to_string(), node.role.to_string(), node.address.to_string()]);
                }
                let text = fields(&[
                    ("member", Some(member.name.to_string())),
                    ("standing", Some(member.standing.to_string())),
                ]);
                format!("{text}\n{}", table.render())
            })
        }
        Command::Propose(change) => {
            let change = match change {
                Change::Suspend { member, reason } => ProposedChange::SuspendMember { member, reason },
                Change::Restore { member } => ProposedChange::RestoreMember { member },
                Change::Parameters { file } => {
                    ProposedChange::SetParameters { parameters: changed_parameters(client.parameters().await?, &file)? }
                }
            };
            let status = client.apply(Call::Propose(change), Wait::Committed).await?;
            let next = format!(
                "proposal {}\nyour own member's ballot is not cast yet: `galen member vote {} approve`",
                status.id,
                short(&status.id)
            );
            recorded(output, &status, &next)
        }
        Command::Proposals => {
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
        Command::Proposal { id } => {
            let proposal = client.proposal(&id).await?;
            output.document(&proposal, || human(&proposal))
        }
        Command::Vote { id, ballot, reason } => {
            let proposal = client.proposal(&id).await?.id;
            let status = client.apply(Call::Vote { proposal, ballot, reason }, Wait::Committed).await?;
            recorded(output, &status, &format!("ballot `{ballot}` cast on proposal {proposal}"))
        }
    }
}

/// The parameters in force, with those that a file gives in their place.
fn changed_parameters(in_force: Parameters, file: &std::path::Path) -> Result<Parameters, CliError> {
    let wrong = |error: String| CliError::failed(format!("{}: {}", file.display(), error.trim_end()));
    let text = std::fs::read_to_string(file).map_err(|error| CliError::file(file, &error))?;
    let given: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut merged = toml::Table::try_from(in_force).map_err(|error| wrong(error.to_string()))?;
    merge(&mut merged, given);
    let parameters: Parameters = merged.try_into().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    parameters.check().map_err(|error| wrong(error.to_string()))?;
    Ok(parameters)
}

fn merge(target: &mut toml::Table, given: toml::Table) {
    for (key, value) in given {
        match (target.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(given)) => merge(inner, given),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}

fn change_text(change: &ProposedChange) -> String {
    match change {
        ProposedChange::SuspendMember { member, reason } => format!("suspend {member} ({reason})"),
        ProposedChange::RestoreMember { member } => format!("restore {member}"),
        ProposedChange::SetParameters { .. } => "set parameters".to_owned(),
    }
}

fn human(proposal: &Proposal) -> String {
    let closes = (proposal.state == ProposalState::Open).then(|| time(proposal.closes));
    let mut text = fields(&[
        ("proposal", Some(proposal.id.to_string())),
        ("change", Some(change_text(&proposal.change))),
        ("state", Some(proposal.state.to_string())),
        ("by", Some(proposal.proposer.to_string())),
        ("made", Some(time(proposal.made))),
        ("closes", closes),
    ]);
    if let ProposedChange::SetParameters { parameters } = &proposal.change {
        text.push_str(&format!("\n{}", toml::to_string_pretty(parameters).unwrap_or_default()));
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
    fn a_parameters_file_changes_what_it_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parameters.toml");
        let mut in_force = Parameters { requests_open_max: 7, ..Parameters::default() };
        in_force.disclosure.cell_min = 6;
        std::fs::write(&file, "vote_threshold_percent = 60\n[disclosure]\nrows_min = 20\n").unwrap();
        let changed = changed_parameters(in_force.clone(), &file).unwrap();
        assert_eq!((changed.vote_threshold_percent, changed.disclosure.rows_min), (60, 20));
        assert_eq!((changed.requests_open_max, changed.disclosure.cell_min), (7, 6));
        std::fs::write(&file, "vote_treshold_percent = 60\n").unwrap();
        assert!(changed_parameters(in_force.clone(), &file).is_err(), "unknown names are refused");
        std::fs::write(&file, "vote_threshold_percent = 100\n").unwrap();
        assert!(changed_parameters(in_force, &file).is_err(), "bounds hold");
    }
}
