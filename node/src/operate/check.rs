//! Checking a home before the start: what would fail, and what to do about it. Nothing is changed.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use galen_keys::{Keystore, PasswordSource};
use galen_types::genesis::GENESIS_BYTES_MAX;
use galen_types::member::NodeAddress;
use galen_types::{Genesis, Signer};
use serde::Serialize;

use crate::config::{NodeConfig, read_text};
use crate::home::NodeHome;

/// How long a peer may take to answer a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckItem {
    /// What.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is, or what to do.
    pub detail: String,
}

impl CheckItem {
    fn new(name: impl Into<String>, outcome: Result<String, String>) -> Self {
        let (ok, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        Self { name: name.into(), ok, detail }
    }
}

/// Checks a home: configuration, genesis, key, ports, disk, and whether peers can be reached.
pub fn check(home: &NodeHome) -> Vec<CheckItem> {
    let mut items = Vec::new();
    let config = match NodeConfig::load(home) {
        Ok(config) => {
            items.push(CheckItem::new(
                "configuration",
                Ok(format!("{} is for {}", home.config().display(), config.node)),
            ));
            config
        }
        Err(error) => {
            items.push(CheckItem::new("configuration", Err(error.to_string())));
            return items;
        }
    };
    let genesis = read_text(home.genesis(), GENESIS_BYTES_MAX as u64)
        .map_err(|error| error.to_string())
        .and_then(|text| Genesis::from_toml(&text).map_err(|error| error.to_string()));
    match &genesis {
        Ok(genesis) => {
            items.push(CheckItem::new("genesis", Ok(format!("chain {}, hash {}", genesis.chain, genesis.hash()))))
        }
        Err(error) => items.push(CheckItem::new("genesis", Err(error.clone()))),
    }
    items.push(CheckItem::new("key", key(home, &config, genesis.as_ref().ok())));
    let addresses =
        [("peers port", socket_of(&config.network.listen)), ("files port", socket_of(&config.network.listen_files))];
    items.push(CheckItem::new("HTTP port", free(config.http.listen)));
    for (name, address) in addresses {
        items.push(CheckItem::new(name, address.and_then(free)));
    }
    items.push(CheckItem::new("disk", disk(home)));
    if let Ok(genesis) = &genesis {
        for node in genesis.nodes().into_iter().filter(|node| node.name != config.node) {
            let reached = socket_of(&node.address).and_then(|address| {
                std::net::TcpStream::connect_timeout(&address, CONNECT_PATIENCE)
                    .map(|_| format!("{address} answers"))
                    .map_err(|error| format!("{address}: {error}; is it up, and does a firewall let you through?"))
            });
            items.push(CheckItem::new(format!("peer {}", node.name), reached));
        }
    }
    items
}

fn key(home: &NodeHome, config: &NodeConfig, genesis: Option<&Genesis>) -> Result<String, String> {
    let source = match (&config.key.password_file, &config.key.password_env) {
        (Some(file), None) => PasswordSource::File(file.clone()),
        (None, Some(variable)) => PasswordSource::Environment(variable.clone()),
        _ => return Err("set one of `key.password_file` and `key.password_env` in node.toml".to_owned()),
    };
    let text = |error: galen_keys::KeyError| error.to_string();
    let password = source.read("").map_err(text)?;
    let store = Keystore::open(home.keys()).map_err(text)?;
    let keys = store.load(&Signer::Node(config.node.clone()), &password).map_err(text)?;
    let Some(genesis) = genesis else { return Ok(format!("{}", keys.public_key())) };
    match genesis.nodes().iter().find(|node| node.name == config.node) {
        Some(node) if node.key == keys.public_key() => Ok("it is the one that the genesis registers".to_owned()),
        Some(node) => Err(format!("the genesis registers {}, the key file holds {}", node.key, keys.public_key())),
        None => Err(format!("the genesis registers no node {}", config.node)),
    }
}

/// The socket of a multiaddress of the form `/ip4|ip6|dns*/HOST/tcp/PORT`.
fn socket_of(address: &NodeAddress) -> Result<SocketAddr, String> {
    let parts: Vec<&str> = address.as_str().split('/').collect();
    match parts.as_slice() {
        ["", _, host, "tcp", port, ..] => {
            let port: u16 = port.parse().map_err(|_| format!("`{address}` has no port"))?;
            let mut found = (*host, port).to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
            found.next().ok_or_else(|| format!("{address}: the host has no address"))
        }
        _ => Err(format!("`{address}` is not an address like /ip4/127.0.0.1/tcp/7100")),
    }
}

fn free(address: SocketAddr) -> Result<String, String> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) => {
            Err(format!("{address}: {error}; choose another, or end what holds it (the node itself may run)"))
        }
    }
}

fn disk(home: &NodeHome) -> Result<String, String> {
    crate::runtime::free_space(home.root())
}
