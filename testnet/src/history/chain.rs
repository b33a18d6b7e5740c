//! What the chain holds of a recording.

use std::collections::HashMap;

use galen_client::Client;
use galen_histories::{Action, Entry, History, Place};
use galen_types::access::Scope;
use galen_types::{AccountName, Call, DatasetName, TransactionId, receipt::Operation};
use tokio::task::JoinSet;

use crate::error::TestnetError;
use crate::network::Testnet;

/// Blocks are read by so many at a time, each as an account of its own as far as there are some: a node answers an account
/// only so often.
const READERS: u64 = 6;

/// Adds the writes to some records that the chain holds above a height.
pub(super) async fn complete(
    history: &mut History,
    testnet: &Testnet,
    accounts: &[AccountName],
    from: u64,
    records: &[DatasetName],
) -> Result<(), TestnetError> {
    let clients: Vec<Client> =
        accounts.iter().map(|account| testnet.client_as(account)).collect::<Result<_, TestnetError>>()?;
    let Some(client) = clients.first() else { return Ok(()) };
    history.tip = client.chain().await?.height;
    let mut readers = JoinSet::new();
    for (number, client) in (0..READERS).zip(clients.iter().cycle()) {
        let (client, records, tip) = (client.clone(), records.to_vec(), history.tip);
        readers.spawn(async move {
            let mut writes = Vec::new();
            let mut height = from + 1 + number;
            while height <= tip {
                writes.extend(of_block(&client, height, &records).await?);
                height += READERS;
            }
            Ok::<_, TestnetError>(writes)
        });
    }
    // An id is the hash of what was signed: who sent it knows what it says.
    let sent: HashMap<String, (u32, String)> = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.action {
            Action::Write { id, expected, text } => Some((id.clone(), (*expected, text.clone()))),
            Action::Read | Action::ReadLocal => None,
        })
        .collect();
    for read in readers.join_all().await {
        for write in read? {
            let id = write.id.to_string();
            let (expected, text) = match sent.get(&id) {
                Some(known) => known.clone(),
                None => body(client, &write.id).await?,
            };
            let Write { place, key, applied, .. } = write;
            history.chain.push(Entry { place, id, key, expected, text, applied });
        }
    }
    history.chain.sort_by_key(|entry| entry.place);
    Ok(())
}

/// A write, without its content.
struct Write {
    place: Place,
    id: TransactionId,
    key: String,
    applied: bool,
}

async fn of_block(client: &Client, height: u64, records: &[DatasetName]) -> Result<Vec<Write>, TestnetError> {
    let block = loop {
        match client.block(height).await {
            Err(galen_client::ClientError::Problem(problem)) if problem.status == 429 => {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            other => break other?,
        }
    };
    let mut writes = Vec::new();
    for (index, receipt) in (0u32..).zip(&block.receipts) {
        let dataset = receipt
            .events
            .iter()
            .filter(|event| event.operation == Operation::SetContract)
            .find_map(|event| event.dataset.as_ref().filter(|dataset| records.contains(dataset)));
        if let Some(dataset) = dataset {
            let place = Place { height, index };
            let (id, applied) = (receipt.transaction, receipt.is_applied());
            writes.push(Write { place, id, key: dataset.to_string(), applied });
        }
    }
    Ok(writes)
}

/// What a write that nobody here sent says.
async fn body(client: &Client, id: &TransactionId) -> Result<(u32, String), TestnetError> {
    let status = client.transaction(id).await?;
    Ok(match status.body.map(|body| body.call) {
        Some(Call::SetContract { scope: Scope::Dataset(_), previous, rules }) => {
            (previous, rules.first().map(|rule| rule.name.to_string()).unwrap_or_default())
        }
        _ => (0, String::new()),
    })
}
