//! `galen member`: the institutions of the consortium, how they come and go, and what they vote on.

mod apply;
mod change;
mod show;
mod vote;
mod withdraw;

use clap::Subcommand;
use galen_client::{Client, ClientError, Wait};
use galen_types::proposal::ProposedChange;
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, Call, MemberName};

use crate::arguments::Global;
use crate::ask::{confirm, confirm_by_name};
use crate::command::recorded;
use crate::error::CliError;
use crate::identifier::IdentifierPrefix;
use crate::output::Output;
use crate::session;
use crate::table::short;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the members, or the institutions that want to become one
    List {
        /// List the applications that are open, with what they ask for
        #[arg(long)]
        pending: bool,
        /// With --pending: whom to ask about each; for administrators
        #[arg(long, requires = "pending")]
        contacts: bool,
    },
    /// Show a member and its nodes
    Show {
        /// Which
        member: MemberName,
    },
    /// Print the invitation that an institution applies with
    Invite,
    /// Apply for membership: makes account key, node key and node home, and submits the signed application
    Apply(Box<apply::Apply>),
    /// Take your institution's application back, while the members have not decided
    Withdraw(withdraw::Withdraw),
    /// Propose what no other verb proposes
    #[command(subcommand)]
    Propose(change::Change),
    /// List the proposals
    Proposals,
    /// Show a proposal with its ballots
    Proposal {
        /// Its id or the id's first digits
        id: IdentifierPrefix,
    },
    /// Cast your member's ballot
    Vote(vote::Vote),
    /// Propose to suspend a member: its signatures are no longer accepted
    Suspend {
        /// Which
        member: MemberName,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
    /// Propose to restore a suspended member
    Restore {
        /// Which
        member: MemberName,
    },
    /// Propose to remove a member for good: grants end, datasets are withdrawn, nodes cut off
    Remove {
        /// Which
        member: MemberName,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take your own member out of the consortium for good
    Leave {
        /// Why, as a code
        #[arg(long, default_value = "administrative")]
        reason: ReasonCode,
        /// Do not have the member's name typed
        #[arg(long)]
        yes: bool,
    },
    /// Object to the reset of an administrator's key of your member, before it comes into force
    Object {
        /// The proposal's id or the id's first digits
        id: IdentifierPrefix,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let command = match command {
        Command::Apply(arguments) => return apply::run(*arguments, global, output).await,
        Command::Withdraw(arguments) => return withdraw::run(arguments, global, output).await,
        command => command,
    };
    let (client, own) = session::client(global)?;
    match command {
        Command::Apply(_) | Command::Withdraw(_) => Ok(()),
        Command::List { pending: false, .. } => show::members(&client, output).await,
        Command::List { pending: true, contacts } => show::pending(&client, contacts, output).await,
        Command::Show { member } => show::member(&client, &member, output).await,
        Command::Invite => invite(&client, output).await,
        Command::Propose(change) => change::run(change, &client, global, output).await,
        Command::Proposals => show::proposals(&client, output).await,
        Command::Proposal { id } => {
            let proposal = client.proposal(&id).await?;
            let parameters = client.parameters().await?;
            output.document(&proposal, || show::human(&proposal, Some(&parameters)))
        }
        Command::Vote(arguments) => vote::run(arguments, &client, output).await,
        Command::Suspend { member, reason } => {
            propose(&client, ProposedChange::SuspendMember { member, reason }, output).await
        }
        Command::Restore { member } => propose(&client, ProposedChange::RestoreMember { member }, output).await,
        Command::Remove { member, reason, yes } => {
            confirm(&format!("propose to remove {member} for good?"), yes)?;
            propose(&client, ProposedChange::RemoveMember { member, reason }, output).await
        }
        Command::Leave { reason, yes } => leave(&client, &own, reason, yes, output).await,
        Command::Object { id, yes } => object(&client, &id, yes, output).await,
    }
}

async fn invite(client: &Client, output: Output) -> Result<(), CliError> {
    let invitation = client.invitation().await?;
    output.document(&invitation, || invitation.invitation.clone())?;
    output.note(&format!(
        "hand it to the institution; it types:\n  galen member apply '{}' --name NAME --address /ip4/ADDRESS/tcp/7201 \
         --home DIR --password-file FILE",
        invitation.invitation
    ));
    Ok(())
}

/// Submits a proposal, and says how to vote on it.
pub(crate) async fn propose(client: &Client, change: ProposedChange, output: Output) -> Result<(), CliError> {
    let text = show::change_text(&change);
    let status = client.apply(Call::Propose(change), Wait::Committed).await?;
    let id = short(&status.id);
    let next = format!(
        "proposal {}: {text}\nyour own member's ballot is not cast yet: `galen member vote {id} --approve`",
        status.id
    );
    recorded(output, &status, &next)
}

async fn leave(
    client: &Client,
    own: &AccountName,
    reason: ReasonCode,
    yes: bool,
    output: Output,
) -> Result<(), CliError> {
    let member = &own.member;
    let what = format!(
        "{member} leaves the consortium: its grants end, its datasets are withdrawn, its nodes are cut off, its history \
         stays"
    );
    confirm_by_name(&what, member.as_str(), yes, "--yes")?;
    let status = client.apply(Call::Leave { reason }, Wait::Committed).await.inspect_err(|error| {
        if matches!(error, ClientError::OutcomeUnknown { .. }) {
            output.note(&format!(
                "the block in which {member} leaves cuts its nodes off, so they may never see it: ask an administrator of \
                 another member what `galen member show {member}` says there"
            ));
        }
    })?;
    recorded(
        output,
        &status,
        &format!(
            "{member} left the consortium; stop its nodes, and keep their homes for as long as records must be kept"
        ),
    )
}

async fn object(client: &Client, id: &IdentifierPrefix, yes: bool, output: Output) -> Result<(), CliError> {
    let proposal = client.proposal(id).await?;
    output.note(show::human(&proposal, None).trim_end());
    confirm("object to it?", yes)?;
    let status = client.apply(Call::ObjectToReset { proposal: proposal.id }, Wait::Committed).await?;
    recorded(output, &status, &format!("objected: proposal {} does not come into force", proposal.id))
}
