//! What people see of a testnet.

use std::path::Path;

use galen_testnet::demo::Step;
use galen_testnet::{AccountEntry, NodeEntry, NodeStatus};

use crate::table::{Table, joined, or_dash};

/// How every node is.
pub(super) fn statuses(statuses: &[NodeStatus]) -> Table {
    let mut table =
        Table::new(&["node", "role", "address", ">process", ">height", ">certified", "leader", ">peers", "ready"]);
    for status in statuses {
        let chain = status.chain.as_ref();
        let ready = match (status.pid, chain) {
            (None, _) => "does not run",
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
            or_dash(chain.and_then(|chain| chain.leader.as_ref())),
            or_dash(chain.map(|chain| chain.peers)),
            ready.to_owned(),
        ]);
    }
    table
}

/// A step of the main job.
pub(super) fn step(number: usize, step: &Step) -> String {
    let mut text = format!("{number}. {}\n   {}\n", step.title, step.done);
    for line in &step.came {
        text.push_str(&format!("     {line}\n"));
    }
    for command in &step.by_hand {
        text.push_str(&format!("   $ {command}\n"));
    }
    text
}

/// Addresses and accounts.
pub(super) fn running(nodes: &[NodeEntry], accounts: &[AccountEntry]) -> String {
    let mut table = Table::new(&["node", "role", "address"]);
    for node in nodes {
        table.row([node.node.to_string(), node.role.to_string(), node.url.clone()]);
    }
    let mut people = Table::new(&["account and context", "roles", "node"]);
    for account in accounts {
        people.row([account.account.to_string(), joined(&account.roles), account.url.clone()]);
    }
    format!("{}\n\n{}", table.render(), people.render())
}

/// What to type next.
pub(super) fn next_steps(dir: &Path, accounts: &[AccountEntry]) -> String {
    let named = |start: &str, place: usize| {
        let mut found = accounts.iter().map(|entry| entry.account.to_string()).filter(|name| name.starts_with(start));
        found.nth(place).unwrap_or_default()
    };
    let (owner, researcher, auditor) = (named("owner@", 0), named("researcher@", 1), named("auditor@", 0));
    let dir = dir.display();
    format!(
        "\nThe testnet runs. What to type next:\n\n\
         \x20   galen --context {owner} data add FILE.csv --name NAME --title TITLE --duo GRU\n\
         \x20   galen --context {researcher} data list\n\
         \x20   galen --context {auditor} audit\n\
         \x20   galen testnet status --dir {dir}\n\
         \x20   galen testnet down --dir {dir}      (stops it; `galen testnet up --dir {dir}` resumes)"
    )
}
