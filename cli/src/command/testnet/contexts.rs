//! A context for each account of the testnet, named like the account, so that `galen --context owner@harlem data list`
//! works at once.

use galen_testnet::Testnet;

use crate::contexts::{self, Context, Contexts};
use crate::error::CliError;
use crate::output::Output;

/// Adds a context for each account. A context of the same name that is not a testnet's is kept.
pub(super) fn add(testnet: &Testnet, output: Output) -> Result<(), CliError> {
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    for account in testnet.accounts()? {
        let name = account.account.to_string();
        if contexts.contexts.get(&name).is_some_and(|there| !is_of_a_testnet(there)) {
            output.note(&format!("context `{name}` is there already and is kept; it does not speak to this testnet"));
            continue;
        }
        let context = Context {
            node: account.url,
            account: Some(account.account),
            keystore: Some(account.keystore),
            password_file: Some(account.password_file),
            password_env: None,
            ca_file: None,
            plain_http_allowed: false,
            genesis: Some(testnet.genesis_hash()),
        };
        contexts.current.get_or_insert_with(|| name.clone());
        contexts.contexts.insert(name, context);
    }
    contexts.write(&path)
}

/// Removes the contexts of the testnet's accounts.
pub(super) fn remove(testnet: &Testnet) -> Result<(), CliError> {
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    let genesis = Some(testnet.genesis_hash());
    contexts.contexts.retain(|_, context| context.genesis != genesis);
    if contexts.current.as_ref().is_some_and(|current| !contexts.contexts.contains_key(current)) {
        contexts.current = None;
    }
    contexts.write(&path)
}

/// Whether a context speaks, over plain http, to a node on this machine, with keys that a testnet's password file opens.
fn is_of_a_testnet(context: &Context) -> bool {
    let beside = |path: &std::path::Path| path.parent().map(|folder| folder.join("password"));
    context.node.starts_with("http://127.0.0.1:")
        && context.password_file.is_some()
        && context.password_file == context.keystore.as_deref().and_then(beside)
}
