//! Checking a home before the start: what would fail, and what to do about it. Nothing is changed; ports are taken for
//! moments.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use futures::future::join_all;
use galen_chain::LedgerState;
use galen_chain::recovery::HeldRecoveries;
use galen_keys::KeyPair;
use galen_ledger::Ledger;
use galen_p2p::{DialledPort, Multiaddr, PROTOCOL_VERSION, ProbeOrigin, probe};
use galen_types::api::{DialBack, JoinState, JoinStatus};
use galen_types::genesis::GENESIS_BYTES_MAX;
use galen_types::member::{Node, NodeAddress, NodeRole, Standing};
use galen_types::{Genesis, Hash, NodeName, Timestamp};
use serde::Serialize;

use super::bootstrap::Bootstrap;
use super::fetch::Fetcher;
use super::held;
use super::join::{self, JoinFile};
use super::own_key;
use crate::config::{NodeConfig, read_text};
use crate::home::NodeHome;

/// How long a peer may take to answer.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);
/// Most bytes of an answer about reachability.
const DIAL_BACK_BYTES_MAX: usize = 16 << 10;
/// How far this node's clock may differ from others', milliseconds: voters refuse batches from 30 s in the future, and
/// transactions are signed for a minute.
const CLOCK_DIFFERENCE_MS_MAX: u64 = 5_000;

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

/// What is known of the chain before the node runs.
struct Known {
    /// Nodes to talk to.
    nodes: Vec<Node>,
    /// This node's record.
    own: Option<Node>,
    /// Where that is from.
    source: &'static str,
    /// Whether the chain may not know this node yet.
    pending: bool,
    lineage: Hash,
}

/// Checks a home: configuration, invitation, genesis, key, ports both ways, disk, clock, versions, and whether peers can be
/// reached and would let this node in.
pub async fn check(home: &NodeHome) -> Vec<CheckItem> {
    let mut items = Vec::new();
    let config = match NodeConfig::load(home) {
        Ok(config) => {
            let detail = format!("{} is for {}", home.config().display(), config.node);
            items.push(CheckItem::new("configuration", Ok(detail)));
            config
        }
        Err(error) => {
            items.push(CheckItem::new("configuration", Err(error.to_string())));
            return items;
        }
    };
    let mut clocks: Vec<(String, i64)> = Vec::new();
    let joining = invitation(home, &config.node, &mut items, &mut clocks).await;
    let genesis = match genesis(home, joining.as_ref()) {
        Ok((genesis, detail)) => {
            items.push(CheckItem::new("genesis", Ok(detail)));
            Some(genesis)
        }
        Err(problem) => {
            items.push(CheckItem::new("genesis", Err(problem)));
            None
        }
    };
    let known = genesis.as_ref().map(|genesis| known(home, &config.node, genesis, joining.as_ref()));
    let keys = keys(home, &config);
    items.push(CheckItem::new("key", key(&config.node, &keys, known.as_ref())));
    items.push(CheckItem::new("HTTP port", free(config.http.listen)));
    let files = socket_of(&config.network.listen_files);
    items.push(CheckItem::new("files port", files.and_then(free)));
    items.push(CheckItem::new("peers port", peers_port(&config, &keys, joining.as_ref()).await));
    items.push(CheckItem::new("disk", crate::runtime::free_space(home.root())));
    if let (Some(genesis), Some(known), Ok(keys)) = (&genesis, &known, &keys) {
        peers(&config, genesis, known, keys, &mut items, &mut clocks).await;
    }
    if !clocks.is_empty() {
        items.push(CheckItem::new("clock", clock(&mut clocks)));
    }
    items
}

/// What the inviting node says.
struct Joining {
    invited: Hash,
    fetcher: Fetcher,
    genesis: Option<Genesis>,
    status: Option<JoinStatus>,
}

async fn invitation(
    home: &NodeHome,
    node: &NodeName,
    items: &mut Vec<CheckItem>,
    clocks: &mut Vec<(String, i64)>,
) -> Option<Joining> {
    let join = match JoinFile::load(home) {
        Ok(join) => join?,
        Err(error) => {
            items.push(CheckItem::new("invitation", Err(error.to_string())));
            return None;
        }
    };
    let prepared = join.invitation().map_err(|error| error.to_string()).and_then(|invitation| {
        let fetcher = join.fetcher().map_err(|error| error.to_string())?;
        if join.node == *node {
            Ok((invitation, fetcher))
        } else {
            Err(format!("join.toml is for {}, node.toml for {node}: correct one of them", join.node))
        }
    });
    let (invitation, fetcher) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => {
            items.push(CheckItem::new("invitation", Err(problem)));
            return None;
        }
    };
    let fetched = join::fetch_genesis(&fetcher, &invitation).await;
    let detail = fetched.as_ref().map(|_| format!("{} gives the genesis that the invitation names", invitation.url));
    items.push(CheckItem::new("invitation", detail.map_err(ToString::to_string)));
    let mut status = None;
    if join.application.is_none() && join.submission.is_some() {
        let detail = "whether it was received is not known; send it again: galen member apply, or start the node";
        items.push(CheckItem::new("application", Err(detail.to_owned())));
    }
    if let Some(application) = join.application {
        let asked = join.status(&fetcher, application).await;
        let outcome = match &asked {
            Ok(told) => match told.state {
                JoinState::Admitted => Ok(format!("{} is a member; start the node: galen node run", told.member)),
                JoinState::Pending => Ok(format!(
                    "the members vote: {} of {} approvals; the node may be started already, it waits",
                    told.ballots.approvals, told.ballots.approvals_needed
                )),
                state => Err(format!("it was {state}; apply again (galen member apply)")),
            },
            Err(error) => Err(error.to_string()),
        };
        items.push(CheckItem::new("application", outcome));
        status = asked.ok();
    }
    if let Some(told) = &status {
        let difference = signed(told.node_time.0) - signed(Timestamp::now().0);
        clocks.push((invitation.url.clone(), difference));
        items.push(CheckItem::new("version", version(&invitation.url, &told.version)));
    }
    Some(Joining { invited: invitation.genesis, fetcher, genesis: fetched.ok(), status })
}

fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

fn version(of: &str, theirs: &str) -> Result<String, String> {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        Ok(format!("{of} runs {theirs}, like this node"))
    } else {
        Err(format!("{of} runs {theirs}, this node {ours}: install the release that the consortium runs"))
    }
}

fn genesis(home: &NodeHome, joining: Option<&Joining>) -> Result<(Genesis, String), String> {
    if home.genesis().exists() {
        let text = read_text(home.genesis(), GENESIS_BYTES_MAX as u64).map_err(|error| error.to_string())?;
        let genesis = Genesis::from_toml(&text).map_err(|error| error.to_string())?;
        let hash = genesis.hash();
        if let Some(joining) = joining.filter(|joining| joining.invited != hash) {
            return Err(format!(
                "genesis.toml has hash {hash}, the invitation names {}: remove the file or use another home",
                joining.invited
            ));
        }
        let detail = format!("chain {}, hash {hash}", genesis.chain);
        return Ok((genesis, detail));
    }
    match joining {
        Some(Joining { genesis: Some(genesis), .. }) => {
            let detail = format!("chain {}, hash {}; `galen node run` writes it", genesis.chain, genesis.hash());
            Ok((genesis.clone(), detail))
        }
        Some(_) => Err("the inviting node did not give it: see `invitation`".to_owned()),
        None => Err(format!(
            "there is no {}: copy the consortium's there, or apply with an invitation (galen member apply)",
            home.genesis().display()
        )),
    }
}

/// What the home's ledger says, else the peers that it was given, else the genesis.
fn known(home: &NodeHome, node: &NodeName, genesis: &Genesis, joining: Option<&Joining>) -> Known {
    let held = held::load(home, &genesis.hash()).unwrap_or_default();
    if let Some(known) = of_ledger(home, node, &held) {
        return known;
    }
    let lineage = held.lineage_from(Hash::ZERO);
    let status = joining.and_then(|joining| joining.status.as_ref());
    if let Some(admitted) = status.and_then(|status| status.admitted.clone()) {
        let nodes = Bootstrap::new(0, admitted.peers).nodes;
        return Known { nodes, own: Some(admitted.node), source: "the members", pending: false, lineage };
    }
    if let Ok(Some(bootstrap)) = Bootstrap::load(home) {
        return Known { nodes: bootstrap.nodes, own: None, source: "peers.toml", pending: true, lineage };
    }
    let nodes = genesis.nodes();
    let own = nodes.iter().find(|found| found.name == *node).cloned();
    let pending = own.is_none() && joining.is_some();
    Known { nodes, own, source: "the genesis", pending, lineage }
}

fn of_ledger(home: &NodeHome, node: &NodeName, held: &HeldRecoveries) -> Option<Known> {
    let ledger = Ledger::open_read_only(&home.ledger()).ok()?;
    if !ledger.is_initialised().ok()? {
        return None;
    }
    let state = LedgerState(ledger.view().ok()?);
    let nodes = galen_contracts::query::list_nodes(&state, None, None, 10_000).ok()?;
    let own = nodes.iter().find(|found| found.name == *node).cloned();
    let lineage = held.lineage_from(galen_chain::recovery::lineage(&state).ok()?);
    let pending = own.is_none();
    Some(Known { nodes, own, source: "its ledger", pending, lineage })
}

fn keys(home: &NodeHome, config: &NodeConfig) -> Result<KeyPair, String> {
    own_key::open(home, config).map_err(|error| error.to_string())
}

fn key(node: &NodeName, keys: &Result<KeyPair, String>, known: Option<&Known>) -> Result<String, String> {
    let public = keys.as_ref().map_err(Clone::clone)?.public_key();
    let fingerprint = public.fingerprint();
    let Some(known) = known else { return Ok(format!("it opens; fingerprint {fingerprint}")) };
    match &known.own {
        Some(own) if own.key != public => Err(format!(
            "{} registers the key with fingerprint {}, the key file holds {fingerprint}: put the right key file into the \
             home, or have the key replaced (galen node rotate-key)",
            known.source,
            own.key.fingerprint()
        )),
        Some(own) if own.standing != Standing::Active => Err(format!(
            "{} says that this node is {}: peers refuse it; its member's administrator can register another",
            known.source, own.standing
        )),
        Some(_) => Ok(format!("it is the one that {} registers; fingerprint {fingerprint}", known.source)),
        None if known.pending => Ok(format!("it opens; fingerprint {fingerprint}, to be compared by those who vote")),
        None => Err(format!("{} registers no node {node}: correct `node` in node.toml, or join", known.source)),
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

fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .map_err(|error| format!("{address}: {error}; choose another, or end what holds it (the node itself may run)"))
}

fn free(address: SocketAddr) -> Result<String, String> {
    bind(address).map(|_| format!("{address} is free"))
}

/// Whether the port is free, and for an applicant whether the inviting node reaches it from outside.
async fn peers_port(
    config: &NodeConfig,
    keys: &Result<KeyPair, String>,
    joining: Option<&Joining>,
) -> Result<String, String> {
    let address = socket_of(&config.network.listen)?;
    let listener = bind(address)?;
    let Some(Joining { fetcher, status: Some(status), .. }) = joining else { return Ok(format!("{address} is free")) };
    drop(listener);
    let Ok(keys) = keys else { return Ok(format!("{address} is free")) };
    let listen: Multiaddr = config.network.listen.as_str().parse().map_err(|error| format!("{address}: {error}"))?;
    // The one that dials goes by the key in the application.
    let port = DialledPort::open(&listen, &keys.signing.seed()).await?;
    let question = format!("/v1/join/{}/dial-back", status.proposal);
    let asked: Result<DialBack, _> = port.serve_until(fetcher.post_json(&question, DIAL_BACK_BYTES_MAX)).await;
    match asked {
        Ok(told) if told.reached => Ok(format!("{address} is free, and {} is reached from outside", told.address)),
        Ok(told) => Err(format!(
            "{address} is free, but {} is not reached from outside: {}; open the port in the firewall, forward it to this \
             machine, or correct the address",
            told.address, told.detail
        )),
        Err(error) => Err(format!("{address} is free; whether it is reached from outside is not known: {error}")),
    }
}

async fn peers(
    config: &NodeConfig,
    genesis: &Genesis,
    known: &Known,
    keys: &KeyPair,
    items: &mut Vec<CheckItem>,
    clocks: &mut Vec<(String, i64)>,
) {
    let role = known.own.as_ref().map_or(NodeRole::Observer, |own| own.role);
    let others = known.nodes.iter().filter(|node| node.name != config.node && node.standing == Standing::Active);
    let looks = others.map(|node| async move {
        let origin = ProbeOrigin {
            node_key: keys.signing.seed(),
            genesis: genesis.hash(),
            chain: genesis.chain.to_string(),
            node: config.node.clone(),
            role,
            lineage: known.lineage,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let address: Result<Multiaddr, _> = node.address.as_str().parse();
        let report = match address {
            Ok(address) => {
                let report = probe(&address, Some(*node.key.as_bytes()), origin, PROBE_PATIENCE).await;
                report.map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("{}: {error}", node.address)),
        };
        (node, report)
    });
    for (node, report) in join_all(looks).await {
        let outcome = report.and_then(|report| {
            if let Some(them) = &report.node {
                clocks.push((node.name.to_string(), them.clock_difference_ms));
            }
            let answers = format!("{} answers", node.address);
            match report.refusal {
                None => match &report.node {
                    Some(them) => version(&format!("{answers} and lets this node in; it"), &them.software_version),
                    None => Ok(answers),
                },
                Some(refusal) if refusal.code() == "not-registered" && known.pending => {
                    Ok(format!("{answers}; it lets this node in once the chain knows it"))
                }
                Some(refusal) if refusal.code() == "protocol-version" => Err(format!(
                    "{answers} with protocol {}, this node speaks {PROTOCOL_VERSION}: install the release that the \
                     consortium runs",
                    report.protocol
                )),
                Some(refusal) => Err(format!("{answers} and refuses this node: {refusal}")),
            }
        });
        items.push(CheckItem::new(format!("peer {}", node.name), outcome));
    }
}

/// The middle of what the others' clocks say: one wrong clock among them does not count.
fn clock(clocks: &mut [(String, i64)]) -> Result<String, String> {
    clocks.sort_by_key(|(_, difference)| *difference);
    // Of two in the middle the one that blames this machine less.
    let middle = clocks.get(clocks.len().saturating_sub(1) / 2..=clocks.len() / 2).unwrap_or_default();
    let Some((_, difference)) = middle.iter().min_by_key(|(_, difference)| difference.unsigned_abs()) else {
        return Err("no other node says what its clock says".to_owned());
    };
    let behind = if *difference >= 0 { "behind" } else { "ahead of" };
    let amount = difference.unsigned_abs();
    let detail = format!("this machine's clock is {amount} ms {behind} the others'");
    if amount <= CLOCK_DIFFERENCE_MS_MAX { Ok(detail) } else { Err(format!("{detail}: set it, and keep it set (NTP)")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(differences: &[i64]) -> Result<String, String> {
        let mut clocks: Vec<_> = differences.iter().map(|difference| (String::from("a node"), *difference)).collect();
        clock(&mut clocks)
    }

    #[test]
    fn a_wrong_clock_is_told_with_its_amount_and_direction() {
        let behind = judged(&[61_000, 60_000, 60_500]).unwrap_err();
        assert!(behind.contains("60500 ms behind") && behind.contains("NTP"), "{behind}");
        let ahead = judged(&[-7_000]).unwrap_err();
        assert!(ahead.contains("7000 ms ahead of"), "{ahead}");
        assert!(judged(&[]).is_err(), "nobody said anything");
    }

    #[test]
    fn one_wrong_clock_among_the_others_blames_nobody_here() {
        for (others, said) in [
            (vec![86_400_000, 12, -30], "12 ms behind"),
            (vec![-86_400_000, 12, -30], "30 ms ahead of"),
            (vec![86_400_000, 12], "12 ms behind"),
            (vec![-86_400_000, -30], "30 ms ahead of"),
        ] {
            let found = judged(&others).unwrap();
            assert!(found.contains(said), "{others:?}: {found}");
        }
        assert!(judged(&[CLOCK_DIFFERENCE_MS_MAX as i64]).is_ok());
        assert!(judged(&[CLOCK_DIFFERENCE_MS_MAX as i64 + 1]).is_err());
    }

    #[test]
    fn another_version_is_told_with_both_numbers() {
        let ours = env!("CARGO_PKG_VERSION");
        assert!(version("it", ours).unwrap().contains(ours));
        let said = version("it", "0.0.1-other").unwrap_err();
        assert!(said.contains("0.0.1-other") && said.contains(ours) && said.contains("install"), "{said}");
    }
}
