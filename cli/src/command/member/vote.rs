//! Casting a ballot: what is voted on is shown before.

use clap::Args;
use galen_client::{Client, Wait};
use galen_types::Call;
use galen_types::proposal::{Ballot, Proposal, ProposalState, ProposedChange};
use galen_types::vocabulary::ReasonCode;

use super::show;
use crate::ask::confirm;
use crate::command::recorded;
use crate::error::CliError;
use crate::identifier::IdentifierPrefix;
use crate::output::Output;
use crate::table::time;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["approve", "reject", "ballot"]))]
pub(crate) struct Vote {
    /// The proposal's id or the id's first digits
    id: IdentifierPrefix,
    /// approve or reject; the same as --approve and --reject
    #[arg(hide = true)]
    ballot: Option<Ballot>,
    /// Vote for it
    #[arg(long)]
    approve: bool,
    /// Vote against it
    #[arg(long)]
    reject: bool,
    /// Why, as a code
    #[arg(long)]
    reason: Option<ReasonCode>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(vote: Vote, client: &Client, output: Output) -> Result<(), CliError> {
    let ballot = match vote.ballot {
        Some(ballot) => ballot,
        None if vote.approve => Ballot::Approve,
        None => Ballot::Reject,
    };
    let proposal = client.proposal(&vote.id).await?;
    let id = proposal.id;
    if let ProposedChange::AdmitMember { .. } = &proposal.change {
        let application = client.application(id).await?;
        // Contacts are for administrators, as ballots are; without them the vote is still possible.
        let contacts = match client.application_contacts(id).await {
            Ok(found) if found.contacts.trim().is_empty() => "none were given".to_owned(),
            Ok(found) => found.contacts,
            Err(error) => format!("not to be had now: {error}"),
        };
        output.note(show::application(&application, Some(&contacts)).trim_end());
        output
            .note("compare the fingerprints with what the institution tells you on another way, by telephone for one");
    } else {
        output.note(show::human(&proposal, Some(&client.parameters().await?)).trim_end());
    }
    confirm(&format!("cast the ballot `{ballot}`?"), vote.yes)?;
    let status = client.apply(Call::Vote { proposal: id, ballot, reason: vote.reason }, Wait::Committed).await?;
    let now = client.proposal(id).await?;
    recorded(output, &status, &format!("ballot `{ballot}` cast on proposal {id}: {}", standing(&now)))
}

/// Where a proposal stands after a ballot.
fn standing(proposal: &Proposal) -> String {
    let approvals = proposal.ballots.iter().filter(|cast| cast.ballot == Ballot::Approve).count();
    let rejections = proposal.ballots.len() - approvals;
    let ballots = format!("{approvals} for, {rejections} against");
    match (proposal.state, show::in_force(proposal)) {
        (ProposalState::Open, _) => format!("{ballots}; it is open until {}", time(proposal.closes)),
        (ProposalState::Scheduled, Some(from)) => format!("{ballots}; it passed and is in force {from}"),
        (ProposalState::Passed, _) => format!("{ballots}; it passed: {}", show::change_text(&proposal.change)),
        (state, _) => format!("{ballots}; it is {state}"),
    }
}

#[cfg(test)]
mod tests {
    use galen_types::proposal::{CastBallot, Effective};
    use galen_types::{Hash, ProposalId, Timestamp};

    use super::*;

    #[test]
    fn a_ballot_says_where_the_proposal_stands() {
        let cast = |member: &str, ballot| CastBallot {
            member: member.parse().unwrap(),
            ballot,
            by: format!("admin@{member}").parse().unwrap(),
            reason: None,
        };
        let mut proposal = Proposal {
            id: ProposalId(Hash::ZERO),
            proposer: "admin@harlem".parse().unwrap(),
            change: ProposedChange::RestoreMember { member: "ohio".parse().unwrap() },
            made: Timestamp(0),
            closes: Timestamp(1_000),
            state: ProposalState::Open,
            effective: None,
            ballots: vec![cast("harlem", Ballot::Approve), cast("kentucky", Ballot::Reject)],
        };
        assert_eq!(standing(&proposal), "1 for, 1 against; it is open until 1970-01-01 00:00:01");
        proposal.state = ProposalState::Scheduled;
        proposal.effective = Some(Effective::Height(52));
        assert_eq!(standing(&proposal), "1 for, 1 against; it passed and is in force from height 52 on");
        proposal.state = ProposalState::Passed;
        assert_eq!(standing(&proposal), "1 for, 1 against; it passed: restore ohio");
        proposal.state = ProposalState::Objected;
        assert_eq!(standing(&proposal), "1 for, 1 against; it is objected");
        assert_eq!(show::in_force(&proposal), None, "what was objected to never comes into force");
    }
}
