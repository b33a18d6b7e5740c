//! Who takes part in a testnet, on which ports, with which keys. Everything follows from the options and the seed, so
//! that the same options make the same testnet again.

use std::net::Ipv4Addr;

use galen_keys::KeyPair;
use galen_node::config::OrderingSection;
use galen_types::genesis::{Founder, FoundingNode, RULES_VERSION};
use galen_types::member::{NewAccount, NodeAddress, NodeRole, Role};
use galen_types::{AccountName, Genesis, NodeName, Parameters, Signer, Slug, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::TestnetError;
use crate::isolation;

/// The members of the testnet that ships with data.
pub const MEMBERS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];

/// The first port when none is given.
pub const PORT_BASE: u16 = 7200;

/// The member whose machine runs the aggregator is the first; its node is called so.
const AGGREGATOR: &str = "aggregator";

/// Accounts of each member: the part of their name before `@`, and what they may do.
const ACCOUNTS: [(&str, Role); 4] =
    [("admin", Role::Admin), ("owner", Role::Owner), ("researcher", Role::Researcher), ("auditor", Role::Auditor)];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// The members' names; one voter each.
    pub members: Vec<String>,
    /// How many of the members run a voter; all when `None`.
    pub voters: Option<usize>,
    /// The first of the ports.
    pub port_base: u16,
    /// Decides all keys; drawn when `None`.
    pub seed: Option<u64>,
    /// Entries after which ordering logs are cut.
    pub compact_entries: Option<usize>,
    /// Further accounts of the first member with the role owner, for load: `load-0`, `load-1`, ...
    pub load_accounts: usize,
    /// The chain's parameters; the usual ones when `None`.
    pub parameters: Option<Parameters>,
    /// Whether each node is registered at a port of its own for relays, instead of at the port on which it listens.
    pub relays: bool,
    /// Whether each node runs in a network namespace of its own (needs root).
    pub isolated: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            members: MEMBERS.map(str::to_owned).to_vec(),
            voters: None,
            port_base: PORT_BASE,
            seed: None,
            compact_entries: None,
            load_accounts: 0,
            parameters: None,
            relays: false,
            isolated: false,
        }
    }
}

/// A testnet as planned; stored in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// When it was made: the founding time.
    pub founded: Timestamp,
    /// Decides all keys.
    pub seed: u64,
    /// Entries after which ordering logs are cut.
    pub compact_entries: usize,
    /// Further owner accounts of the first member.
    #[serde(default)]
    pub load_accounts: usize,
    /// The founding members, in the order of their ports.
    pub members: Vec<Slug>,
    /// Members that were admitted since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Slug>,
    /// Members that left or were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Slug>,
    /// The chain's parameters where they are not the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// The nodes, in the order of their ports.
    pub nodes: Vec<PlannedNode>,
}

/// A node and its ports on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedNode {
    /// Its name.
    pub name: NodeName,
    /// What it does.
    pub role: NodeRole,
    /// HTTP.
    pub http_port: u16,
    /// The network between nodes.
    pub network_port: u16,
    /// Files between nodes.
    pub files_port: u16,
    /// Where peers reach it when it is not `network_port` itself: a relay's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_port: Option<u16>,
    /// Its address in its network namespace, where it has one; HTTP is on 127.0.0.1 nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_isolated: Option<Ipv4Addr>,
    /// Whether it is registered by the chain and not by the genesis.
    #[serde(default, skip_serializing_if = "is_false")]
    pub joined: bool,
    /// Whether it left for good: its home stays, its process is not started any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

impl PlannedNode {
    /// Whether it orders and certifies.
    pub fn is_voter(&self) -> bool {
        self.role == NodeRole::Voter
    }

    /// Every port on 127.0.0.1 that it takes, its relay's too.
    pub(crate) fn ports(&self) -> Vec<u16> {
        [self.http_port, self.network_port, self.files_port].into_iter().chain(self.relay_port).collect()
    }

    /// Where peers reach it.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when the port makes no address.
    pub fn address(&self) -> Result<NodeAddress, TestnetError> {
        self.address_at(self.relay_port.unwrap_or(self.network_port))
    }

    /// One of its ports, as an address of the network between nodes.
    pub(crate) fn address_at(&self, port: u16) -> Result<NodeAddress, TestnetError> {
        let host = self.address_isolated.unwrap_or(Ipv4Addr::LOCALHOST);
        NodeAddress::parse(&format!("/ip4/{host}/tcp/{port}")).map_err(|error| TestnetError::Plan(error.to_string()))
    }
}

impl Plan {
    /// Plans a testnet.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when names, numbers or ports do not go.
    pub fn new(options: &PlanOptions) -> Result<Self, TestnetError> {
        let problem = |text: String| TestnetError::Plan(text);
        let members: Vec<Slug> = options
            .members
            .iter()
            .map(|name| Slug::parse(name.trim()).map_err(|error| problem(error.to_string())))
            .collect::<Result<_, _>>()?;
        let unique: std::collections::BTreeSet<_> = members.iter().collect();
        if members.is_empty() || members.len() > 20 || unique.len() != members.len() {
            return Err(problem("give 1 to 20 members, each once, like --members harlem,hennepin".to_owned()));
        }
        let voters = options.voters.unwrap_or(members.len());
        if voters == 0 || voters > members.len() {
            return Err(problem(format!("--nodes must be 1 to {}: one voter a member", members.len())));
        }
        let ports_of_node = if options.relays { 4 } else { 3 };
        let spare = u16::try_from(ports_of_node * (members.len() + 1)).unwrap_or(u16::MAX);
        if options.port_base < 1024 || options.port_base.checked_add(spare).is_none() {
            return Err(problem(format!("--port must be 1024 to {}", u16::MAX - spare)));
        }
        let seed = match options.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| TestnetError::Random(error.to_string()))? >> 12,
        };
        let mut names: Vec<(NodeName, NodeRole)> = Vec::new();
        for (place, member) in members.iter().enumerate() {
            let role = if place < voters { NodeRole::Voter } else { NodeRole::Observer };
            names.push((NodeName { node: slug("node-1")?, member: member.clone() }, role));
        }
        names.push((NodeName { node: slug(AGGREGATOR)?, member: members[0].clone() }, NodeRole::Aggregator));
        let count = u16::try_from(names.len()).unwrap_or(u16::MAX);
        if options.relays && options.isolated {
            return Err(problem("a testnet has relays or is isolated, not both".to_owned()));
        }
        let nodes = (options.port_base..)
            .zip(names.into_iter().enumerate())
            .map(|(port, (place, (name, role)))| PlannedNode {
                name,
                role,
                http_port: port,
                network_port: port + count,
                files_port: port + 2 * count,
                relay_port: options.relays.then_some(port + 3 * count),
                address_isolated: if options.isolated { isolation::address_of(place) } else { None },
                joined: false,
                left: false,
            })
            .collect();
        let compact_entries = options.compact_entries.unwrap_or(OrderingSection::default().compact_entries);
        let load_accounts = options.load_accounts;
        Ok(Self {
            founded: Timestamp::now(),
            seed,
            compact_entries,
            load_accounts,
            members,
            joined: Vec::new(),
            left: Vec::new(),
            parameters: options.parameters.clone(),
            nodes,
        })
    }

    /// The nodes that take part: neither those that left, nor those of institutions that are not admitted yet.
    pub fn present(&self) -> impl Iterator<Item = &PlannedNode> {
        self.nodes.iter().filter(|node| !node.left && self.present_members().any(|member| member == &node.name.member))
    }

    /// The members that take part, founders first.
    pub fn present_members(&self) -> impl Iterator<Item = &Slug> {
        self.members.iter().chain(&self.joined).filter(|member| !self.left.contains(member))
    }

    /// Plans a node of a member at the next ports that nobody holds.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when the name is no name or taken, or no ports are left.
    pub(crate) fn plan_node(&mut self, name: NodeName, role: NodeRole) -> Result<&PlannedNode, TestnetError> {
        if self.is_isolated() {
            return Err(TestnetError::Plan(
                "nobody joins an isolated testnet: a newcomer asks members over HTTP, which does not pass between its \
                 namespaces; make a testnet without --isolated for that"
                    .to_owned(),
            ));
        }
        if self.nodes.iter().any(|node| node.name == name) {
            return Err(TestnetError::Plan(format!(
                "there is, or was, a node {name} in this testnet; choose another name"
            )));
        }
        let highest = self.nodes.iter().flat_map(PlannedNode::ports).max().unwrap_or(PORT_BASE);
        let relayed = self.nodes.iter().any(|node| node.relay_port.is_some());
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let mut ports = (highest.saturating_add(1)..u16::MAX).filter(free);
        let mut next = || ports.next().ok_or_else(|| TestnetError::Plan("no ports are free any more".to_owned()));
        let node = PlannedNode {
            name,
            role,
            http_port: next()?,
            network_port: next()?,
            files_port: next()?,
            relay_port: if relayed { Some(next()?) } else { None },
            address_isolated: None,
            joined: true,
            left: false,
        };
        self.nodes.push(node);
        let last = self.nodes.len() - 1;
        Ok(&self.nodes[last])
    }

    /// Roles of the accounts that every member of a testnet has: the part of the name before `@`, and what it may do.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when a built-in name is no name.
    pub(crate) fn accounts_of(member: &Slug) -> Result<Vec<(AccountName, Role)>, TestnetError> {
        let account = |(account, role)| Ok((AccountName { account: slug(account)?, member: member.clone() }, role));
        ACCOUNTS.into_iter().map(account).collect()
    }

    /// Sets testnets on one machine apart: names of what the kernel holds for one begin with it.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("galen 2026 testnet id v1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&self.founded.0.to_le_bytes());
        hasher.finalize().to_hex()[..8].to_owned()
    }

    /// Whether each node runs in a network namespace of its own.
    pub fn is_isolated(&self) -> bool {
        self.nodes.iter().any(|node| node.address_isolated.is_some())
    }

    /// The options that make the same members, voters and ports.
    pub fn options(&self) -> PlanOptions {
        let founding = || self.nodes.iter().filter(|node| !node.joined);
        PlanOptions {
            members: self.members.iter().map(ToString::to_string).collect(),
            voters: Some(founding().filter(|node| node.role == NodeRole::Voter).count()),
            port_base: founding().next().map_or(PORT_BASE, |node| node.http_port),
            isolated: self.is_isolated(),
            ..PlanOptions::default()
        }
    }

    /// Whether it is what the options ask for; what they leave open fits.
    pub fn fits(&self, options: &PlanOptions) -> bool {
        let founding = self.nodes.iter().filter(|node| !node.joined);
        let voters = founding.filter(|node| node.role == NodeRole::Voter).count();
        let first = self.nodes.first().map(|node| node.http_port);
        self.members.iter().map(Slug::as_str).eq(options.members.iter().map(String::as_str))
            && options.voters.unwrap_or(self.members.len()) == voters
            && first == Some(options.port_base)
            && options.isolated == self.is_isolated()
            && options.seed.is_none_or(|seed| seed == self.seed)
            && options.compact_entries.is_none_or(|entries| entries == self.compact_entries)
            && options.load_accounts <= self.load_accounts
            && options.parameters.as_ref().is_none_or(|parameters| Some(parameters) == self.parameters.as_ref())
    }

    /// The keys of an account or node.
    pub fn keys_of(&self, name: &Signer) -> KeyPair {
        let mut hasher = blake3::Hasher::new_derive_key("galen 2026 testnet keys v1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&self.founded.0.to_le_bytes());
        hasher.update(name.to_string().as_bytes());
        KeyPair::from_seed(hasher.finalize().as_bytes())
    }

    /// Every account of the members that take part, with its roles, member by member.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when a built-in name is no name.
    pub fn accounts(&self) -> Result<Vec<(AccountName, Vec<Role>)>, TestnetError> {
        let members: Vec<&Slug> = self.present_members().collect();
        self.accounts_of_members(&members)
    }

    fn accounts_of_members(&self, members: &[&Slug]) -> Result<Vec<(AccountName, Vec<Role>)>, TestnetError> {
        let mut accounts = Vec::new();
        for member in members.iter().copied() {
            accounts.extend(Self::accounts_of(member)?.into_iter().map(|(account, role)| (account, vec![role])));
            if self.members.first() == Some(member) {
                for number in 0..self.load_accounts {
                    let account = slug(&format!("load-{number}"))?;
                    accounts.push((AccountName { account, member: member.clone() }, vec![Role::Owner]));
                }
            }
        }
        Ok(accounts)
    }

    /// The founding document.
    ///
    /// # Errors
    /// [`TestnetError`] when it cannot found a consortium.
    pub fn genesis(&self) -> Result<Genesis, TestnetError> {
        let mut members: Vec<Founder> = self
            .members
            .iter()
            .map(|member| Founder { name: member.clone(), accounts: Vec::new(), nodes: Vec::new() })
            .collect();
        let founders: Vec<&Slug> = self.members.iter().collect();
        for (name, roles) in self.accounts_of_members(&founders)? {
            let keys = self.keys_of(&Signer::Account(name.clone()));
            let account = NewAccount {
                account: name.account,
                key: keys.public_key(),
                encryption_key: keys.encryption_key(),
                roles,
            };
            if let Some(founder) = members.iter_mut().find(|founder| founder.name == name.member) {
                founder.accounts.push(account);
            }
        }
        for node in self.nodes.iter().filter(|node| !node.joined) {
            let founding = FoundingNode {
                node: node.name.node.clone(),
                key: self.keys_of(&Signer::Node(node.name.clone())).public_key(),
                role: node.role,
                address: node.address()?,
            };
            if let Some(founder) = members.iter_mut().find(|founder| founder.name == node.name.member) {
                founder.nodes.push(founding);
            }
        }
        let genesis = Genesis {
            chain: slug("testnet")?,
            founded: self.founded,
            rules_version: RULES_VERSION,
            state_bucket_bits: 20,
            parameters: self.parameters.clone().unwrap_or_default(),
            members,
        };
        genesis.check()?;
        Ok(genesis)
    }
}

pub(crate) fn slug(text: &str) -> Result<Slug, TestnetError> {
    Slug::parse(text).map_err(|error| TestnetError::Plan(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PlanOptions {
        PlanOptions { seed: Some(7), ..PlanOptions::default() }
    }

    #[test]
    fn four_voters_and_an_aggregator_found_a_consortium_on_fifteen_ports() {
        let plan = Plan::new(&options()).unwrap();
        let mut ports: Vec<u16> =
            plan.nodes.iter().flat_map(|node| [node.http_port, node.network_port, node.files_port]).collect();
        ports.sort_unstable();
        assert_eq!(ports, (PORT_BASE..PORT_BASE + 15).collect::<Vec<_>>());
        let genesis = plan.genesis().unwrap();
        assert_eq!(genesis.voter_set().voters.len(), 4);
        assert_eq!(plan.nodes.last().unwrap().name.to_string(), "aggregator.harlem");
    }

    #[test]
    fn a_plan_that_is_read_back_has_the_same_keys_and_fits_its_options() {
        let plan = Plan::new(&options()).unwrap();
        let back: Plan = toml::from_str(&toml::to_string_pretty(&plan).unwrap()).unwrap();
        assert_eq!(back, plan);
        let name = Signer::Node(plan.nodes[0].name.clone());
        assert_eq!(back.keys_of(&name).public_key(), plan.keys_of(&name).public_key());
        assert!(back.fits(&options()) && back.fits(&PlanOptions::default()), "a seed that is not asked for fits");
        assert!(!back.fits(&PlanOptions { seed: Some(8), ..options() }));
        assert!(!back.fits(&PlanOptions { voters: Some(3), ..options() }));
        assert!(!back.fits(&PlanOptions { port_base: 8_000, ..options() }));
    }

    #[test]
    fn who_joins_later_changes_neither_the_genesis_nor_what_fits() {
        let mut plan = Plan::new(&options()).unwrap();
        let genesis = plan.genesis().unwrap();
        let name: NodeName = "node-1.riverside".parse().unwrap();
        let node = plan.plan_node(name.clone(), NodeRole::Voter).unwrap().clone();
        assert!(node.joined && node.http_port > plan.nodes[4].files_port);
        plan.joined.push(name.member.clone());
        assert!(plan.plan_node(name.clone(), NodeRole::Voter).is_err(), "a name is used once");
        let back: Plan = toml::from_str(&toml::to_string_pretty(&plan).unwrap()).unwrap();
        assert_eq!(back, plan);
        assert_eq!(plan.genesis().unwrap(), genesis);
        assert!(plan.fits(&options()) && plan.fits(&plan.options()));
        assert_eq!((plan.present_members().count(), plan.accounts().unwrap().len()), (5, 20));
        plan.left.push(name.member.clone());
        plan.nodes[5].left = true;
        assert_eq!((plan.present().count(), plan.present_members().count()), (5, 4));
    }

    #[test]
    fn nodes_behind_relays_are_registered_at_the_relays_ports() {
        let plan = Plan::new(&PlanOptions { relays: true, ..options() }).unwrap();
        let addresses: Vec<_> = plan.genesis().unwrap().nodes().iter().map(|node| node.address.to_string()).collect();
        let relay = plan.nodes[0].relay_port.unwrap();
        assert_eq!(addresses[0], format!("/ip4/127.0.0.1/tcp/{relay}"));
        assert_eq!(relay, PORT_BASE + 15);
    }

    #[test]
    fn isolated_nodes_are_registered_at_addresses_of_their_own_and_take_no_newcomers() {
        let isolated = PlanOptions { isolated: true, ..options() };
        let mut plan = Plan::new(&isolated).unwrap();
        let registered = plan.genesis().unwrap().nodes();
        for (place, planned) in plan.nodes.iter().enumerate() {
            let node = registered.iter().find(|node| node.name == planned.name).unwrap();
            assert_eq!(node.address.to_string(), format!("/ip4/10.210.0.{}/tcp/{}", place + 1, planned.network_port));
        }
        assert!(plan.fits(&isolated) && plan.fits(&plan.options()) && !plan.fits(&options()));
        let back: Plan = toml::from_str(&toml::to_string_pretty(&plan).unwrap()).unwrap();
        assert_eq!(back, plan);
        let refused = plan.plan_node("node-1.riverside".parse().unwrap(), NodeRole::Voter).unwrap_err();
        assert!(refused.to_string().contains("--isolated"), "{refused}");
        assert!(Plan::new(&PlanOptions { relays: true, ..isolated }).is_err());
    }

    #[test]
    fn members_that_do_not_vote_observe() {
        let plan = Plan::new(&PlanOptions { voters: Some(3), ..options() }).unwrap();
        let roles: Vec<_> = plan.nodes.iter().map(|node| node.role).collect();
        use NodeRole::{Aggregator, Observer, Voter};
        assert_eq!(roles, [Voter, Voter, Voter, Observer, Aggregator]);
    }

    #[test]
    fn what_cannot_be_planned_is_said() {
        let problem = |options: PlanOptions| Plan::new(&options).unwrap_err().to_string();
        let of =
            |members: &[&str]| PlanOptions { members: members.iter().map(|&name| name.into()).collect(), ..options() };
        assert!(problem(of(&["a", "a"])).contains("each once"));
        assert!(problem(of(&[])).contains("1 to 20 members"));
        assert!(problem(of(&["A b"])).contains("A b"));
        assert!(problem(PlanOptions { voters: Some(5), ..options() }).contains("1 to 4"));
        assert!(problem(PlanOptions { port_base: 80, ..options() }).contains("--port"));
        assert!(problem(PlanOptions { port_base: 65_530, ..options() }).contains("--port"));
    }
}
