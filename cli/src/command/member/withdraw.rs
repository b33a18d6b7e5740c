//! `galen member withdraw`: an institution takes its application back, while the members have not decided.

use std::path::PathBuf;

use clap::Args;
use galen_client::{Client, ClientConfig};
use galen_node::home::NodeHome;
use galen_node::operate::join::JoinFile;

use crate::arguments::Global;
use crate::ask::confirm;
use crate::error::CliError;
use crate::output::Output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// The home that the application was made with
    #[arg(long, value_name = "DIR", env = "GALEN_NODE_HOME", hide_env_values = true)]
    home: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(arguments: Withdraw, global: &Global, output: Output) -> Result<(), CliError> {
    let home = NodeHome::new(arguments.home);
    let join = JoinFile::load(&home).map_err(|error| CliError::operate(error.code(), &error))?;
    let applied = join.and_then(|join| Some((join.application?, join)));
    let Some((proposal, join)) = applied else {
        return Err(CliError::failed(format!("no application was sent from {}", home.root().display()))
            .or_hint("give the home that `galen member apply` was given"));
    };
    let invitation = join.invitation().map_err(|error| CliError::operate(error.code(), &error))?;
    let (account, keys) = session::keys(global)?;
    let mut config = ClientConfig::new(&invitation.url);
    config.genesis = Some(invitation.genesis);
    config.plain_http_allowed = join.plain_http_allowed;
    config.ca_file.clone_from(&join.trust_roots);
    let client = Client::new(config)?;
    confirm(&format!("{account} takes back the application of {}?", join.node.member), arguments.yes)?;
    let status = client.withdraw_application(proposal, &keys.signing).await?;
    output.document(&status, || {
        format!(
            "the application {} of {} is {}; stop its node. To apply again, type `galen member apply` as before\n",
            status.proposal, status.member, status.state
        )
    })
}
