//! A member's nodes on the chain: adding, moving, removing, changing what they do.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use galen_client::{Client, Wait, collect_pages};
use galen_types::member::{NewNode, NodeAddress, NodeRole};
use galen_types::name::NameError;
use galen_types::proposal::ProposedChange;
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, Call, MemberName, NodeName, Slug};
use serde_json::json;

use super::home::{NewHome, announce};
use crate::arguments::Global;
use crate::ask::{confirm, confirm_by_name};
use crate::command::{member, recorded};
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields, short};

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only of this member
    #[arg(long)]
    member: Option<MemberName>,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name, e.g. node-2 or node-2.harlem
    name: NodeArgument,
    #[command(flatten)]
    home: NewHome,
    /// What it is to do: it begins as an observer; for more, a proposal is made
    #[arg(long, default_value = "observer")]
    role: NodeRole,
    /// File that is to hold the node key's password [default: that of the account]
    #[arg(long, value_name = "FILE")]
    node_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Replace {
    /// Which, e.g. node-1 or node-1.harlem
    name: NodeArgument,
    #[command(flatten)]
    home: NewHome,
    /// File that is to hold the node key's password [default: that of the account]
    #[arg(long, value_name = "FILE")]
    node_password_file: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// A node as people name it: whole, or without the member where it is the own one.
#[derive(Debug, Clone)]
pub(crate) enum NodeArgument {
    Whole(NodeName),
    Own(Slug),
}

impl FromStr for NodeArgument {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('.') { Ok(Self::Whole(text.parse()?)) } else { Ok(Self::Own(Slug::parse(text)?)) }
    }
}

impl NodeArgument {
    fn of(self, own: &AccountName) -> NodeName {
        match self {
            Self::Whole(node) => node,
            Self::Own(node) => NodeName { node, member: own.member.clone() },
        }
    }
}

/// A node of the administrator's own member.
fn own_node(node: NodeArgument, own: &AccountName) -> Result<NodeName, CliError> {
    let node = node.of(own);
    if node.member == own.member {
        Ok(node)
    } else {
        Err(CliError::usage(format!("{own} registers nodes of {} only", own.member)))
    }
}

fn password_file(given: Option<PathBuf>, global: &Global) -> Result<PathBuf, CliError> {
    let context = session::context(global)?;
    let file = given.or_else(|| global.password_file.clone()).or_else(|| context?.password_file);
    let file = file.ok_or_else(|| {
        CliError::usage("a node starts without a person: its key's password must lie in a file")
            .or_hint("give the file with --node-password-file FILE; only its owner may read it")
    })?;
    std::path::absolute(&file).map_err(|error| CliError::file(&file, &error))
}

pub(super) async fn list(list: List, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    let nodes = collect_pages(usize::MAX, |paging| client.nodes(list.member.as_ref(), paging)).await?;
    output.list(&nodes, "there are no nodes", |nodes| {
        let mut table = Table::new(&["node", "role", "votes", "standing", ">number", "address", "fingerprint"]);
        for detail in nodes {
            let node = &detail.node;
            table.row([
                node.name.to_string(),
                node.role.to_string(),
                if detail.in_voter_set { "yes" } else { "no" }.to_owned(),
                node.standing.to_string(),
                if node.raft_id == 0 { "-".to_owned() } else { node.raft_id.to_string() },
                node.address.to_string(),
                detail.fingerprint.clone(),
            ]);
        }
        table
    })
}

pub(super) async fn add(add: Add, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let node = own_node(add.name, &own)?;
    let made = add.home.make(&node, password_file(add.node_password_file, global)?)?;
    let (home, keys) = (&made.home, &made.keys);
    announce(&client, session::context(global)?.as_ref(), home, &node).await?;
    let call = Call::AddNode(NewNode {
        node: node.node.clone(),
        key: keys.public_key(),
        role: NodeRole::Observer,
        address: add.home.address.clone(),
    });
    let status = client.apply(call, Wait::Committed).await.inspect_err(|error| made.undo_if_refused(error))?;
    // A proposal that is refused leaves the node registered as an observer: that is told before the refusal.
    let proposed = match add.role {
        NodeRole::Observer => Ok(None),
        role => {
            let change = ProposedChange::SetNodeRole { node: node.clone(), role };
            client.apply(Call::Propose(change), Wait::Committed).await.map(|status| Some(status.id))
        }
    };
    let proposal = proposed.as_ref().ok().copied().flatten();
    let (folder, fingerprint) = (home.root().display().to_string(), keys.public_key().fingerprint());
    let document = json!({
        "node": node, "fingerprint": fingerprint, "home": folder, "transaction": status.id, "proposal": proposal,
    });
    output.document(&document, || {
        let text = fields(&[
            ("node", Some(format!("{node}, key {fingerprint}"))),
            ("home", Some(folder.clone())),
            ("proposal", proposal.map(|id| format!("{id}: make it {}", add.role))),
        ]);
        let vote = proposal.map_or(String::new(), |id| {
            format!("\nthe members vote; your own ballot: `galen member vote {} --approve`", short(&id))
        });
        format!("{text}\nnext, type:\n  galen node check --home {folder}\n  galen node run --home {folder}{vote}")
    })?;
    proposed.map(drop).map_err(CliError::from)
}

pub(super) async fn replace(replace: Replace, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let node = own_node(replace.name, &own)?;
    let registered = client.node(&node).await?;
    confirm(
        &format!("{node} moves to {}: its old machine is cut off at once. Go on?", replace.home.address),
        replace.yes,
    )?;
    let made = replace.home.make(&node, password_file(replace.node_password_file, global)?)?;
    let (home, keys) = (&made.home, &made.keys);
    announce(&client, session::context(global)?.as_ref(), home, &node).await?;
    let address = replace.home.address.clone();
    if registered.node.address != address {
        let call = Call::SetNodeAddress { node: node.clone(), address };
        client.apply(call, Wait::Committed).await?;
    }
    let mut transaction = None;
    // Done again after an interruption, the key may be registered already.
    if registered.node.key != keys.public_key() {
        let call = Call::RotateNodeKey { node: node.clone(), key: keys.public_key() };
        transaction = Some(client.apply(call, Wait::Committed).await?.id);
    }
    let (folder, fingerprint) = (home.root().display().to_string(), keys.public_key().fingerprint());
    let document = json!({ "node": node, "fingerprint": fingerprint, "home": folder, "transaction": transaction });
    output.document(&document, || {
        format!(
            "{node} has the key {fingerprint}; stop the old machine\nnext, type:\n  galen node check --home {folder}\n  \
             galen node run --home {folder}"
        )
    })
}

pub(super) async fn remove(
    node: NodeArgument,
    reason: ReasonCode,
    yes: bool,
    global: &Global,
    output: Output,
) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let node = node.of(&own);
    if node.member != own.member {
        return member::propose(&client, ProposedChange::RemoveNode { node, reason }, output).await;
    }
    confirm_by_name(&format!("{node} is taken out for good"), &node.to_string(), yes, "--yes")?;
    let status = client.apply(Call::RemoveNode { node: node.clone(), reason }, Wait::Committed).await?;
    recorded(output, &status, &format!("node {node} is removed; stop it"))
}

pub(super) async fn set_address(
    node: NodeArgument,
    address: NodeAddress,
    global: &Global,
    output: Output,
) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let node = node.of(&own);
    let done = format!("the others reach {node} at {address} from now on");
    let status = client.apply(Call::SetNodeAddress { node, address }, Wait::Committed).await?;
    recorded(output, &status, &done)
}

pub(super) async fn promote(
    node: NodeArgument,
    aggregator: bool,
    global: &Global,
    output: Output,
) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let node = node.of(&own);
    let role = if aggregator { NodeRole::Aggregator } else { NodeRole::Voter };
    member::propose(&client, ProposedChange::SetNodeRole { node, role }, output).await
}

pub(super) async fn demote(node: NodeArgument, yes: bool, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let node = node.of(&own);
    if node.member != own.member {
        let change = ProposedChange::SetNodeRole { node, role: NodeRole::Observer };
        return member::propose(&client, change, output).await;
    }
    confirm(&format!("make {node} an observer? It takes the members' votes to change that again"), yes)?;
    let status = client.apply(Call::DemoteNode { node: node.clone() }, Wait::Committed).await?;
    recorded(output, &status, &format!("node {node} is an observer now"))
}

pub(super) async fn transfer_leadership(to: Option<NodeName>, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    match client.transfer_leadership(to).await {
        Ok(transfer) => output.document(&transfer, || format!("{} leads now", transfer.leader)),
        Err(error) if error.code() == "not-leader" => Err(not_leader(&client, error).await),
        Err(error) => Err(error.into()),
    }
}

/// Says which node to ask instead.
async fn not_leader(client: &Client, error: galen_client::ClientError) -> CliError {
    match client.chain().await.ok().and_then(|chain| chain.leader) {
        Some(leader) => CliError::failed(error.to_string())
            .or_hint(format!("{leader} leads: its member's administrator can ask it, with --node URL")),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_registered_for_the_own_member_only() {
        let own = "admin@harlem".parse().unwrap();
        let named = |text: &str| own_node(text.parse().unwrap(), &own);
        assert_eq!(named("node-2").unwrap().to_string(), "node-2.harlem");
        assert_eq!(named("node-2.harlem").unwrap().to_string(), "node-2.harlem");
        assert!(named("node-2.kentucky").is_err());
        assert!("Node".parse::<NodeArgument>().is_err());
        let other: NodeArgument = "node-2.kentucky".parse().unwrap();
        assert_eq!(other.of(&own).to_string(), "node-2.kentucky");
    }
}
