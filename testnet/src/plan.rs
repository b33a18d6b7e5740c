//! Who takes part in a testnet, on which ports, with which keys. Everything follows from the options and the seed, so
//! that the same options make the same testnet again.

use galen_keys::KeyPair;
use galen_node::config::OrderingSection;
use galen_types::genesis::{Founder, FoundingNode, RULES_VERSION};
use galen_types::member::{NewAccount, NodeAddress, NodeRole, Role};
use galen_types::{AccountName, Genesis, NodeName, Parameters, Signer, Slug, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::TestnetError;

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
    /// The members, in the order of their ports.
    pub members: Vec<Slug>,
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
        let spare = u16::try_from(3 * (members.len() + 1)).unwrap_or(u16::MAX);
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
        let nodes = (options.port_base..)
            .zip(names)
            .map(|(port, (name, role))| PlannedNode {
                name,
                role,
                http_port: port,
                network_port: port + count,
                files_port: port + 2 * count,
            })
            .collect();
        let compact_entries = options.compact_entries.unwrap_or(OrderingSection::default().compact_entries);
        let load_accounts = options.load_accounts;
        Ok(Self { founded: Timestamp::now(), seed, compact_entries, load_accounts, members, nodes })
    }

    /// Whether it is what the options ask for; what they leave open fits.
    pub fn fits(&self, options: &PlanOptions) -> bool {
        let voters = self.nodes.iter().filter(|node| node.role == NodeRole::Voter).count();
        let first = self.nodes.first().map(|node| node.http_port);
        self.members.iter().map(Slug::as_str).eq(options.members.iter().map(String::as_str))
            && options.voters.unwrap_or(self.members.len()) == voters
            && first == Some(options.port_base)
            && options.seed.is_none_or(|seed| seed == self.seed)
            && options.compact_entries.is_none_or(|entries| entries == self.compact_entries)
            && options.load_accounts <= self.load_accounts
    }

    /// The keys of an account or node.
    pub fn keys_of(&self, name: &Signer) -> KeyPair {
        let mut hasher = blake3::Hasher::new_derive_key("galen 2026 testnet keys v1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&self.founded.0.to_le_bytes());
        hasher.update(name.to_string().as_bytes());
        KeyPair::from_seed(hasher.finalize().as_bytes())
    }

    /// Every account with its roles, member by member.
    ///
    /// # Errors
    /// [`TestnetError::Plan`] when a built-in name is no name.
    pub fn accounts(&self) -> Result<Vec<(AccountName, Vec<Role>)>, TestnetError> {
        let mut accounts = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            for (account, role) in ACCOUNTS {
                accounts.push((AccountName { account: slug(account)?, member: member.clone() }, vec![role]));
            }
            if place == 0 {
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
        for (name, roles) in self.accounts()? {
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
        for node in &self.nodes {
            let founding = FoundingNode {
                node: node.name.node.clone(),
                key: self.keys_of(&Signer::Node(node.name.clone())).public_key(),
                role: node.role,
                address: loopback(node.network_port)?,
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
            parameters: Parameters::default(),
            members,
        };
        genesis.check()?;
        Ok(genesis)
    }
}

/// A loopback address of the network between nodes.
pub(crate) fn loopback(port: u16) -> Result<NodeAddress, TestnetError> {
    NodeAddress::parse(&format!("/ip4/127.0.0.1/tcp/{port}")).map_err(|error| TestnetError::Plan(error.to_string()))
}

fn slug(text: &str) -> Result<Slug, TestnetError> {
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
