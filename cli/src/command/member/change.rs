//! What can be proposed.

use std::path::PathBuf;

use clap::Subcommand;
use galen_client::Client;
use galen_types::member::NodeRole;
use galen_types::proposal::ProposedChange;
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, MemberName, NodeName};

use super::propose;
use crate::arguments::Global;
use crate::command::account::Keys;
use crate::command::parameters;
use crate::error::CliError;
use crate::output::Output;
use crate::session;

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
    /// Remove a member for good
    Remove {
        /// Which
        member: MemberName,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
    /// Replace the chain's parameters
    Parameters {
        /// TOML file of parameters; what it leaves out keeps its value
        file: PathBuf,
        /// The height from which they hold [default: at once]
        #[arg(long = "at", value_name = "HEIGHT", default_value_t = 0, hide_default_value = true)]
        height: u64,
    },
    /// Give a node another role
    NodeRole {
        /// Which
        node: NodeName,
        /// voter, observer or aggregator
        role: NodeRole,
    },
    /// Remove a node of another member for good
    RemoveNode {
        /// Which
        node: NodeName,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
    /// Give a member that lost its last administrator's key a new one, after a delay in which it can object
    ResetAdministrator {
        /// The administrator's account
        account: AccountName,
        #[command(flatten)]
        keys: Keys,
    },
}

pub(super) async fn run(change: Change, client: &Client, global: &Global, output: Output) -> Result<(), CliError> {
    let change = match change {
        Change::Suspend { member, reason } => ProposedChange::SuspendMember { member, reason },
        Change::Restore { member } => ProposedChange::RestoreMember { member },
        Change::Remove { member, reason } => ProposedChange::RemoveMember { member, reason },
        Change::Parameters { file, height } => return parameters::propose(client, &file, height, output).await,
        Change::NodeRole { node, role } => ProposedChange::SetNodeRole { node, role },
        Change::RemoveNode { node, reason } => ProposedChange::RemoveNode { node, reason },
        Change::ResetAdministrator { account, keys } => {
            let context = session::context(global)?;
            let folder = session::keystore_folder(global, context.as_ref())?;
            let (key, encryption_key) = keys.read(&account, folder)?;
            output.note(&format!(
                "the new key's fingerprint is {}: compare it with what {} says",
                key.fingerprint(),
                account.member
            ));
            ProposedChange::ResetAdministrator { account, key, encryption_key }
        }
    };
    propose(client, change, output).await
}
