//! A testnet for people.

use std::path::Path;

use galen_testnet::demo::Step;
use galen_testnet::{AccountEntry, MembershipStep, NodeEntry, NodeStatus};

use crate::table::{Table, joined, or_dash, short};

pub(super) fn status(statuses: &[NodeStatus]) -> Table {
    let mut table =
        Table::new(&["node", "role", "address", ">process", ">height", ">certified", "header", "leader", "ready"]);
    for status in statuses {
        let chain = status.chain.as_ref();
        let ready = match (status.pid, chain) {
            (None, _) => "stopped",
            (Some(_), None) => "does not answer",
            (Some(_), Some(chain)) if chain.ready => "yes",
            (Some(_), Some(_)) => "no",
        };
        table.row([
            status.entry.node.to_string(),
            status.entry.role.to_string(),
            status.entry.url.clone(),
            or_dash(status.pid),
            or_dash(chain.map(|chain| chain.height)),
            or_dash(chain.map(|chain| chain.certified_height)),
            or_dash(chain.map(|chain| short(&chain.header))),
            or_dash(chain.and_then(|chain| chain.leader.as_ref())),
            ready.to_owned(),
        ]);
    }
    table
}

pub(super) fn step(step: &Step) -> String {
    let mut text = format!("== {}\n{}\n", step.title, step.done);
    for line in &step.came {
        text.push_str(&format!("   {line}\n"));
    }
    if !step.by_hand.is_empty() {
        text.push_str("   by hand:\n");
        for line in &step.by_hand {
            text.push_str(&format!("     {line}\n"));
        }
    }
    text
}

pub(super) fn membership(step: &MembershipStep) -> String {
    format!("{:6.2} s  {:8}  {}", step.seconds, step.step, step.done)
}

pub(super) fn up(nodes: &[NodeEntry], accounts: &[AccountEntry], contexts: &[String], dir: &Path) -> String {
    let mut table = Table::new(&["node", "role", "address"]);
    for node in nodes {
        table.row([node.node.to_string(), node.role.to_string(), node.url.clone()]);
    }
    let mut people = Table::new(&["account", "roles", "node"]);
    for account in accounts {
        people.row([account.account.to_string(), joined(&account.roles), account.url.clone()]);
    }
    let researcher = contexts.iter().find(|name| name.starts_with("researcher@")).or(contexts.first());
    let researcher = researcher.map_or("ACCOUNT", String::as_str);
    let dir = dir.display();
    format!(
        "{}\n\n{}\n\nThe testnet runs. Each account is a context of the same name. Go on with:\n\
         \x20 galen context use {researcher}\n\
         \x20 galen data list\n\
         \x20 galen node status\n\
         \x20 galen testnet status --dir {dir}\n\
         \x20 galen testnet down --dir {dir}\n",
        table.render(),
        people.render()
    )
}
