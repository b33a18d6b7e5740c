//! From flags and contexts to a client.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use galen_client::{Client, ClientConfig};
use galen_keys::{KeyPair, Keystore, PasswordSource};
use galen_types::{AccountName, DatasetName, Signer, Slug};

use crate::arguments::Global;
use crate::contexts::{self, Context, Contexts};
use crate::error::CliError;

/// The account of the context or the flags, if there is one.
pub(crate) fn account_if_any(global: &Global) -> Result<Option<AccountName>, CliError> {
    let context = context(global)?;
    Ok(global.account.clone().or_else(|| context.and_then(|context| context.account)))
}

/// The account of the context or the flags with its keys; for what is signed without asking a node.
pub(crate) fn keys(global: &Global) -> Result<(AccountName, KeyPair), CliError> {
    let context = context(global)?;
    let account = account(global, context.as_ref())?;
    let keys = load_keys(global, context.as_ref(), &account)?;
    Ok((account, keys))
}

/// How long a node may be silent over an answer that takes long.
const LONG: Duration = Duration::from_secs(3_600);

/// The context that the flags name, or the current one; none where there is none.
pub(crate) fn context(global: &Global) -> Result<Option<Context>, CliError> {
    if global.context.is_none() && global.node.is_some() && contexts::home().is_err() {
        return Ok(None);
    }
    let contexts = Contexts::read(&contexts::file_in(&contexts::home()?))?;
    match global.context.as_ref().or(contexts.current.as_ref()) {
        Some(name) => contexts.get(name).cloned().map(Some),
        None => Ok(None),
    }
}

/// The folder of key files in use.
pub(crate) fn keystore_folder(global: &Global, context: Option<&Context>) -> Result<PathBuf, CliError> {
    let given = global.keystore.clone().or_else(|| context.and_then(|context| context.keystore.clone()));
    given.map_or_else(|| contexts::home().map(|home| contexts::keystore_in(&home)), Ok)
}

/// Where the password of keys comes from.
pub(crate) fn password_source(global: &Global, context: Option<&Context>) -> PasswordSource {
    match (&global.password_file, context) {
        (Some(file), _) => PasswordSource::File(file.clone()),
        (None, Some(context)) => context.password_source(),
        (None, None) => PasswordSource::Prompt,
    }
}

/// A client that speaks for no account.
pub(crate) fn open_client(global: &Global) -> Result<Client, CliError> {
    Ok(Client::new(config(global, context(global)?.as_ref())?)?)
}

/// A client that speaks for the account of the context or the flags.
pub(crate) fn client(global: &Global) -> Result<(Client, AccountName), CliError> {
    client_with(global, |_| {})
}

/// As [`client`], for answers that take long: backups read the whole ledger.
pub(crate) fn patient_client(global: &Global) -> Result<(Client, AccountName), CliError> {
    client_with(global, |config| config.timeouts.read_idle = LONG)
}

fn client_with(global: &Global, configure: impl FnOnce(&mut ClientConfig)) -> Result<(Client, AccountName), CliError> {
    let context = context(global)?;
    let mut config = config(global, context.as_ref())?;
    configure(&mut config);
    let account = account(global, context.as_ref())?;
    let keys = load_keys(global, context.as_ref(), &account)?;
    Ok((Client::new(config.with_account(account.clone(), keys))?, account))
}

/// A client that speaks for an account if there is one.
pub(crate) fn client_if_account(global: &Global) -> Result<Client, CliError> {
    let context = context(global)?;
    let has_account = global.account.is_some() || context.is_some_and(|context| context.account.is_some());
    if has_account { client(global).map(|(client, _)| client) } else { open_client(global) }
}

fn config(global: &Global, context: Option<&Context>) -> Result<ClientConfig, CliError> {
    let node = global.node.clone().or_else(|| context.map(|context| context.node.clone()));
    let mut config = ClientConfig::new(node.ok_or_else(|| {
        CliError::usage("no node is chosen").or_hint(
            "`galen context add NAME --node URL --account ACCOUNT` and `galen context use NAME`, or --node URL",
        )
    })?);
    config.notice = (!global.quiet).then_some(notice);
    config.consistency = global.consistency.unwrap_or_default();
    if let Some(context) = context {
        config.ca_file.clone_from(&context.ca_file);
        config.plain_http_allowed = context.plain_http_allowed;
        config.genesis = context.genesis;
    }
    Ok(config)
}

/// To stderr, like every note.
fn notice(text: &str) {
    // Nothing can be said about a stderr that cannot be written.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn account(global: &Global, context: Option<&Context>) -> Result<AccountName, CliError> {
    let given = global.account.clone().or_else(|| context.and_then(|context| context.account.clone()));
    given.ok_or_else(|| {
        CliError::usage("no account is chosen")
            .or_hint("say which with --as ACCOUNT, or `galen context add NAME --node URL --account ACCOUNT`")
    })
}

fn load_keys(global: &Global, context: Option<&Context>, account: &AccountName) -> Result<KeyPair, CliError> {
    let keystore = Keystore::open(keystore_folder(global, context)?)?;
    let name = Signer::Account(account.clone());
    // A missing key is said before a password is asked for.
    keystore.public_keys(&name)?;
    let password = password_source(global, context).read(&format!("Password of {account}: "))?;
    Ok(keystore.load(&name, &password)?)
}

/// A dataset as people type it: `harlem/opt`, or `opt` for one of their own member.
pub(crate) fn own_dataset(text: &str, account: &AccountName) -> Result<DatasetName, CliError> {
    let wrong = |error: galen_types::name::NameError| CliError::usage(error.to_string());
    if text.contains('/') {
        text.parse().map_err(wrong)
    } else {
        Ok(DatasetName { member: account.member.clone(), dataset: Slug::parse(text).map_err(wrong)? })
    }
}
