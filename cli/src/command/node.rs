//! `galen node`: prepare a node's home, check it, run it, ask a running one; and a member's nodes on the chain.

pub(crate) mod home;
mod operate;
mod register;
mod rotate;

use clap::Subcommand;
use galen_client::Client;
use galen_types::NodeName;
use galen_types::api::{NodeOrdering, NodeStatus, NodeStorage, Participation, PeerStatus};
use galen_types::member::NodeAddress;
use galen_types::vocabulary::ReasonCode;
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
    Run(operate::Run),
    /// Check a home before the start: what would fail, and what to do about it
    Check(operate::Home),
    /// Ask the node how it is, how far its chain has come, and how it takes part
    Status,
    /// List the registered nodes
    List(register::List),
    /// Register a further node of your member: makes its home and key, and submits it
    Add(register::Add),
    /// Move a node to another machine: makes a new home and key, which take the place of the old
    Replace(register::Replace),
    /// Take a node out for good; another member's by a proposal
    Remove {
        /// Which, e.g. node-2 or node-2.harlem
        node: register::NodeArgument,
        /// Why, as a code
        #[arg(long, default_value = "administrative")]
        reason: ReasonCode,
        /// Do not have the node's name typed
        #[arg(long)]
        yes: bool,
    },
    /// Change where the other members' nodes reach a node of your member
    SetAddress {
        /// Which, e.g. node-2 or node-2.harlem
        node: register::NodeArgument,
        /// Where, e.g. /ip4/203.0.113.7/tcp/7201
        address: NodeAddress,
    },
    /// Replace the key of a node of your member; at the machine with its home
    RotateKey(rotate::Rotate),
    /// Propose to make a node a voter, or an aggregator
    Promote {
        /// Which, e.g. node-2 or node-2.harlem
        node: register::NodeArgument,
        /// Make it an aggregator instead
        #[arg(long)]
        aggregator: bool,
    },
    /// Make a node an observer; another member's by a proposal
    Demote {
        /// Which, e.g. node-2 or node-2.harlem
        node: register::NodeArgument,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Have the node, which must lead, hand leadership over
    TransferLeadership {
        /// To this voter [default: the one that is caught up the furthest]
        #[arg(long, value_name = "NODE")]
        to: Option<NodeName>,
    },
}

/// What the node says of itself, and of its peers where the account may know.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    node: NodeStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peer_list: Vec<PeerStatus>,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    match command {
        Command::Init(init) => operate::init(init, global, output),
        Command::Run(run) => operate::run(run).await,
        Command::Check(home) => operate::check(home, output).await,
        Command::Status => {
            let client = session::client_if_account(global)?;
            let node = client.node_status().await?;
            let status = Status { peer_list: peers(&client).await?, node };
            output.document(&status, || human(&status))
        }
        Command::List(list) => register::list(list, global, output).await,
        Command::Add(add) => register::add(add, global, output).await,
        Command::Replace(replace) => register::replace(replace, global, output).await,
        Command::Remove { node, reason, yes } => register::remove(node, reason, yes, global, output).await,
        Command::SetAddress { node, address } => register::set_address(node, address, global, output).await,
        Command::RotateKey(arguments) => rotate::run(arguments, global, output).await,
        Command::Promote { node, aggregator } => register::promote(node, aggregator, global, output).await,
        Command::Demote { node, yes } => register::demote(node, yes, global, output).await,
        Command::TransferLeadership { to } => register::transfer_leadership(to, global, output).await,
    }
}

async fn peers(client: &Client) -> Result<Vec<PeerStatus>, CliError> {
    if client.account_name().is_none() { Ok(Vec::new()) } else { Ok(client.peers().await?) }
}

fn human(status: &Status) -> String {
    let (chain, ordering) = (&status.node.chain, &status.node.ordering);
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
                "{} (epoch {}, {} signatures certify, tolerates {})",
                joined(&chain.voters),
                chain.epoch,
                chain.quorum,
                count(chain.faults_tolerated, "liar")
            )),
        ),
        ("ordering", Some(participation(ordering))),
        ("change", ordering.change_pending.then(|| change(ordering))),
        ("history", (ordering.history_from > 1).then(|| format!("whole from height {} on", ordering.history_from))),
        ("peers", Some(format!("{} connected", chain.peers))),
        ("storage", Some(storage(&status.node.storage))),
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

fn storage(storage: &NodeStorage) -> String {
    let read = storage
        .scrubbed
        .map_or_else(|| "not read again yet".to_owned(), |when| format!("all of it read again at {}", time(when)));
    match storage.files_damaged {
        0 => read,
        files => format!(
            "{read}; {} changed or missing: galen data verify",
            count(usize::try_from(files).unwrap_or(usize::MAX), "stored file")
        ),
    }
}

/// A number of things, with an s where it is not one.
fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

fn participation(ordering: &NodeOrdering) -> String {
    let words = match ordering.participation {
        Participation::Following => "follows, has no vote",
        Participation::Checking => "asks its peers what they know of it before it orders",
        Participation::Starting => "waits for its number in ordering",
        Participation::Learning => "catches up; its vote does not count yet",
        Participation::Voting => "orders and votes",
        Participation::Stale => "its disk is new, old or a copy: it comes back under a new number",
        Participation::Retired => "is suspended, left or removed: it gets nothing new",
        Participation::Repairing => "fetches from its peers what its disk lost; orders and signs nothing meanwhile",
    };
    let number = if ordering.raft_id == 0 { String::new() } else { format!(" (number {})", ordering.raft_id) };
    let detail = ordering.detail.as_ref().map_or(String::new(), |detail| format!("; {detail}"));
    format!("{}: {words}{number}{detail}", ordering.participation)
}

fn change(ordering: &NodeOrdering) -> String {
    let joint = if ordering.joint { ", two sets of voters hold at once" } else { "" };
    let blocked = ordering.blocked_by.as_ref().map_or(String::new(), |blocked| format!("; it waits for {blocked}"));
    format!("ordering follows the voter set for {} s now{joint}{blocked}", ordering.change_pending_seconds)
}
