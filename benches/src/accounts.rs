//! The accounts that sign the load: added by each member's administrator, with keys that follow from the testnet's seed,
//! so that a second measurement finds them.

use std::time::Duration;

use galen_client::{Client, ClientConfig, ClientError, Timeouts, Wait};
use galen_testnet::Testnet;
use galen_types::member::{NewAccount, NodeRole, Role};
use galen_types::{AccountName, Call, Signer, Slug};
use tokio::task::JoinSet;

use crate::error::BenchError;

/// Additions under way at a time.
const PARALLEL: usize = 64;

/// A client of each account, spread evenly over the members with a voter; added to the chain where they are not yet.
///
/// # Errors
/// [`BenchError`] when a node refuses an account for another reason than that it exists.
pub async fn prepare(testnet: &Testnet, count: usize, on_account: &dyn Fn(usize)) -> Result<Vec<Client>, BenchError> {
    prepare_valid(testnet, count, Timeouts::default().validity, on_account).await
}

/// The same, of clients whose transactions are valid for some time.
///
/// # Errors
/// As [`prepare`].
pub(crate) async fn prepare_valid(
    testnet: &Testnet,
    count: usize,
    validity: Duration,
    on_account: &dyn Fn(usize),
) -> Result<Vec<Client>, BenchError> {
    let voters: Vec<_> = testnet.nodes().into_iter().filter(|node| node.role == NodeRole::Voter).collect();
    let mut clients = Vec::with_capacity(count);
    let mut additions = JoinSet::new();
    for number in 0..count {
        let node = &voters[number % voters.len()];
        let member = node.node.member.clone();
        let name = AccountName { account: slug(&format!("bench-{number}"))?, member: member.clone() };
        let admin = testnet.client_as(&AccountName { account: slug("admin")?, member })?;
        let keys = testnet.plan().keys_of(&Signer::Account(name.clone()));
        let new = NewAccount {
            account: name.account.clone(),
            key: keys.public_key(),
            encryption_key: keys.encryption_key(),
            roles: vec![Role::Owner, Role::Researcher],
        };
        let mut config = ClientConfig::new(node.url.clone()).with_account(name, keys);
        config.genesis = Some(testnet.genesis_hash());
        config.timeouts = Timeouts { validity, ..Timeouts::default() };
        clients.push(Client::new(config)?);
        if additions.len() >= PARALLEL {
            finished(additions.join_next().await)?;
        }
        additions.spawn(async move { admin.apply(Call::AddAccount(new), Wait::Committed).await.map(drop) });
        on_account(number + 1);
    }
    while let Some(addition) = additions.join_next().await {
        finished(Some(addition))?;
    }
    Ok(clients)
}

fn finished(addition: Option<Result<Result<(), ClientError>, tokio::task::JoinError>>) -> Result<(), BenchError> {
    match addition {
        // A measurement before this one added it.
        Some(Ok(Err(error))) if error.code() == "account-exists" => Ok(()),
        Some(Ok(Err(error))) => Err(error.into()),
        Some(Err(error)) => Err(BenchError::Options(format!("an account could not be added: {error}"))),
        Some(Ok(Ok(()))) | None => Ok(()),
    }
}

/// A name that is built from digits and letters.
pub(crate) fn slug(text: &str) -> Result<Slug, BenchError> {
    Slug::parse(text).map_err(|error| BenchError::Options(error.to_string()))
}
