//! `galen node`: prepare a node's home, check it, run it, ask a running one.

mod operate;

use clap::Subcommand;
use galen_client::Client;
use galen_types::api::{ChainStatus, PeerStatus};
use serde::Serialize;

use crate::arguments::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields, joined, or_dash, short, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prepare a node's home: its key, its configuration
    Init(operate::Init),
    /// Run the node of a home until it is told to stop
    Run(operate::Home),
    /// Check a home before the start: what would fail, and what to do about it
    Check(operate::Home),
    /// Ask the node how it is and how far its chain has come
    Status,
}

/// What the node says of itself, and of its peers where the account may know.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    chain: ChainStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peer_list: Vec<PeerStatus>,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    match command {
        Command::Init(init) => operate::init(init, global, output),
        Command::Run(home) => operate::run(home).await,
        Command::Check(home) => operate::check(home, output),
        Command::Status => {
            let client = session::client_if_account(global)?;
            let chain = client.chain().await?;
            let status = Status { peer_list: peers(&client).await?, chain };
            output.document(&status, || human(&status))
        }
    }
}

async fn peers(client: &Client) -> Result<Vec<PeerStatus>, CliError> {
    if client.account_name().is_none() { Ok(Vec::new()) } else { Ok(client.peers().await?) }
}

fn human(status: &Status) -> String {
    let chain = &status.chain;
    let ready = if chain.ready { "yes" } else { "no: it takes no transactions now" };
    let mut text = fields(&[
        ("node", Some(format!("{} ({}), version {}", chain.node, chain.role, chain.version))),
        ("ready", Some(ready.to_owned())),
        ("chain", Some(format!("{}, genesis {}", chain.chain, chain.genesis))),
        ("height", Some(format!("{} at {}, header {}", chain.height, time(chain.time), short(&chain.header)))),
        ("certified", Some(format!("up to {}", chain.certified_height))),
        ("leader", Some(or_dash(chain.leader.as_ref()))),
        (
            "voters",
            Some(format!(
                "{} (epoch {}, {} signatures certify, {} liars tolerated)",
                joined(&chain.voters),
                chain.epoch,
                chain.quorum,
                chain.faults_tolerated
            )),
        ),
        ("peers", Some(format!("{} connected", chain.peers))),
    ]);
    if !status.peer_list.is_empty() {
        let mut table = Table::new(&["peer", "role", "connected", ">round trip"]);
        for peer in &status.peer_list {
            let connected = match (peer.connected, peer.connected_since) {
                (true, Some(since)) => format!("since {}", time(since)),
                (true, None) => "yes".to_owned(),
                (false, _) => "no".to_owned(),
            };
            let round_trip = or_dash(peer.round_trip_us.map(|microseconds| format!("{microseconds} us")));
            table.row([peer.node.to_string(), peer.role.to_string(), connected, round_trip]);
        }
        text = format!("{text}\n{}", table.render());
    }
    text
}
