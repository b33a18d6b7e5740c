//! Rotating a node's key in two steps: the new key is written beside the old one, then the chain is told. The node goes on
//! with the old key until the chain names the new one, and then takes that; whichever step is the last that was done, a
//! key that fits lies in the home.

use std::path::PathBuf;

use clap::Args;
use galen_client::Wait;
use galen_node::config::NodeConfig;
use galen_node::home::NodeHome;
use galen_node::operate::{lay_next_key, note_registered_key};
use galen_types::Call;
use serde_json::json;

use crate::arguments::Global;
use crate::ask::confirm;
use crate::error::CliError;
use crate::output::Output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The node's home
    #[arg(long, value_name = "DIR", env = "GALEN_NODE_HOME", hide_env_values = true)]
    home: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(rotate: Rotate, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    let home = NodeHome::new(rotate.home);
    let config = NodeConfig::load(&home).map_err(|error| CliError::operate(error.code(), &error))?;
    let node = &config.node;
    confirm(&format!("replace the key of {node}?"), rotate.yes)?;
    // Done again after an interruption, it goes on with the key that was made.
    let key = lay_next_key(&home, &config)?;
    let mut transaction = None;
    if client.node(node).await?.node.key != key {
        let call = Call::RotateNodeKey { node: node.clone(), key };
        transaction = Some(client.apply(call, Wait::Certified).await?.id);
    }
    // From that block on peers refuse the old key: the node is told, as it may not have come to the block.
    note_registered_key(&home, &key).map_err(|error| CliError::operate(error.code(), &error))?;
    let fingerprint = key.fingerprint();
    output
        .document(&json!({ "node": node, "key": key, "fingerprint": fingerprint, "transaction": transaction }), || {
            format!("{node} has the key {fingerprint} on the chain; the running node takes it by itself")
        })
}
