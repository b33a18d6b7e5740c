//! What is proposed here: changes that have no verb of their own. `member suspend`, `restore` and `remove`, `node promote`,
//! `demote` and `remove`, and `parameters propose` propose the others.

use clap::Subcommand;
use galen_client::Client;
use galen_types::AccountName;
use galen_types::proposal::ProposedChange;

use super::propose;
use crate::arguments::Global;
use crate::command::account::Keys;
use crate::error::CliError;
use crate::output::Output;
use crate::session;

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Give a member that lost its last administrator's key a new one, after a delay in which it can object
    ResetAdministrator {
        /// The administrator's account
        account: AccountName,
        #[command(flatten)]
        keys: Keys,
    },
}

pub(super) async fn run(change: Change, client: &Client, global: &Global, output: Output) -> Result<(), CliError> {
    let Change::ResetAdministrator { account, keys } = change;
    let context = session::context(global)?;
    let folder = session::keystore_folder(global, context.as_ref())?;
    let (key, encryption_key) = keys.read(&account, folder)?;
    output.note(&format!(
        "the new key's fingerprint is {}: compare it with what {} says",
        key.fingerprint(),
        account.member
    ));
    propose(client, ProposedChange::ResetAdministrator { account, key, encryption_key }, output).await
}
