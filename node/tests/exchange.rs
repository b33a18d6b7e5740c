//! Four hospitals and an aggregator, each a real node with its own folder and ports, in one process: a file is published,
//! computed over, downloaded, tampered with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use galen_aggregate::ResultDocument;
use galen_client::{Client, ClientConfig, ClientError, Publication, Wait, silent};
use galen_keys::{KdfProfile, KeyPair, Keystore, Password};
use galen_node::config::{KeySection, NetworkSection, NodeConfig, OrderingSection};
use galen_node::home::NodeHome;
use galen_node::http::HttpSettings;
use galen_node::runtime::Node;
use galen_node::telemetry::LogSettings;
use galen_types::access::{Effect, Rule, Scope};
use galen_types::api::Card;
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::hash::Context;
use galen_types::job::{JobFailure, JobSpecification};
use galen_types::member::{NewAccount, NodeAddress, NodeRole, Role};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Filter, Purpose, Statistic};
use galen_types::{Call, DatasetName, Genesis, Hash, Parameters, Signer, Timestamp};

const MEMBERS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];
const PASSWORD: &str = "a password of the tests";
const PATIENCE: Duration = Duration::from_secs(90);

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn keys_of(signer: &str) -> KeyPair {
    KeyPair::from_seed(&Hash::of(Context::Commitment, signer.as_bytes()).0)
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn address(port: u16) -> NodeAddress {
    NodeAddress::parse(&format!("/ip4/127.0.0.1/tcp/{port}")).unwrap()
}

fn genesis(ports: &[u16]) -> Genesis {
    let founder = |member: &str, port: u16| {
        let account = |account: &str, role| {
            let keys = keys_of(&format!("{account}@{member}"));
            let (key, encryption_key) = (keys.public_key(), keys.encryption_key());
            NewAccount { account: name(account), key, encryption_key, roles: vec![role] }
        };
        Founder {
            name: name(member),
            accounts: vec![
                account("admin", Role::Admin),
                account("owner", Role::Owner),
                account("researcher", Role::Researcher),
            ],
            nodes: vec![founding_node("node-1", member, NodeRole::Voter, port)],
        }
    };
    let mut members: Vec<_> = MEMBERS.iter().zip(ports).map(|(member, port)| founder(member, *port)).collect();
    members[0].nodes.push(founding_node("aggregator", "harlem", NodeRole::Aggregator, ports[MEMBERS.len()]));
    let genesis = Genesis {
        chain: name("opt"),
        founded: Timestamp::now(),
        rules_version: 1,
        state_bucket_bits: 8,
        parameters: Parameters::default(),
        members,
    };
    genesis.check().unwrap();
    genesis
}

fn founding_node(node: &str, member: &str, role: NodeRole, port: u16) -> FoundingNode {
    let key = keys_of(&format!("{node}.{member}")).public_key();
    FoundingNode { node: name(node), key, role, address: address(port) }
}

fn make_home(folder: &Path, genesis: &Genesis, node: &str, port: u16, files_port: u16) -> NodeHome {
    let home = NodeHome::new(folder.join(node));
    std::fs::create_dir_all(home.root()).unwrap();
    let password_file = home.root().join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let password = Password::new(PASSWORD.to_owned()).unwrap();
    let store = Keystore::open(home.keys()).unwrap();
    store.insert(&name::<Signer>(node), &keys_of(node), &password, KdfProfile::Testnet).unwrap();
    let config = NodeConfig {
        node: name(node),
        http: HttpSettings { listen: name("127.0.0.1:0"), tls: None },
        network: NetworkSection { listen: address(port), listen_files: address(files_port) },
        key: KeySection { password_file: Some("password".into()), password_env: None },
        ordering: OrderingSection::default(),
        log: LogSettings::default(),
    };
    std::fs::write(home.config(), config.to_toml().unwrap()).unwrap();
    std::fs::write(home.genesis(), genesis.to_toml().unwrap()).unwrap();
    home
}

/// The running consortium.
struct Consortium {
    folder: tempfile::TempDir,
    nodes: Vec<(String, NodeHome, Node)>,
    stopped: Vec<(String, NodeHome)>,
}

impl Consortium {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(2 * (MEMBERS.len() + 1));
        let (control, bulk) = ports.split_at(MEMBERS.len() + 1);
        let genesis = genesis(control);
        let mut names: Vec<String> = MEMBERS.iter().map(|member| format!("node-1.{member}")).collect();
        names.push("aggregator.harlem".to_owned());
        let mut nodes = Vec::new();
        for ((node, port), files_port) in names.into_iter().zip(control).zip(bulk) {
            let home = make_home(folder.path(), &genesis, &node, *port, *files_port);
            let running = Node::start(&home).await.unwrap();
            nodes.push((node, home, running));
        }
        let consortium = Self { folder, nodes, stopped: Vec::new() };
        for (node, _, _) in &consortium.nodes {
            consortium.ready(node).await;
        }
        consortium
    }

    async fn ready(&self, node: &str) {
        let client = Client::new(ClientConfig::new(self.url(node))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = client.ready().await {
            assert!(Instant::now() < deadline, "{node} is not ready: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn url(&self, node: &str) -> String {
        let (_, _, running) = self.nodes.iter().find(|(found, _, _)| found == node).unwrap();
        format!("http://{}", running.http_address())
    }

    /// An account at its own member's node.
    fn client(&self, account: &str) -> Client {
        let member = account.split_once('@').unwrap().1;
        let config = ClientConfig::new(self.url(&format!("node-1.{member}")));
        Client::new(config.with_account(name(account), keys_of(account))).unwrap()
    }

    fn home(&self, node: &str) -> &NodeHome {
        &self.nodes.iter().find(|(found, _, _)| found == node).unwrap().1
    }

    async fn restart(&mut self, node: &str) {
        self.stop_node(node).await;
        self.start_node(node).await;
    }

    async fn stop_node(&mut self, node: &str) {
        let place = self.nodes.iter().position(|(found, _, _)| found == node).unwrap();
        let (name, home, running) = self.nodes.remove(place);
        assert_eq!(running.stop().await, None);
        self.stopped.push((name, home));
    }

    async fn start_node(&mut self, node: &str) {
        let place = self.stopped.iter().position(|(found, _)| found == node).unwrap();
        let (name, home) = self.stopped.remove(place);
        let running = Node::start(&home).await.unwrap();
        self.nodes.push((name, home, running));
        self.ready(node).await;
    }

    async fn stop(self) {
        for (node, _, running) in self.nodes {
            assert_eq!(running.stop().await, None, "{node}");
        }
    }
}

/// A site's table: 60 rows, no two sites alike.
fn table(site: usize) -> String {
    let mut text = "Age,Group,Weight\n".to_owned();
    for row in 0..60 {
        let group = if row % 2 == 0 { "T" } else { "C" };
        text.push_str(&format!("{},{group},{}\n", 18 + row, 50 + (row * 7 + site * 13) % 40));
    }
    text
}

/// The weights of everyone of an age, by group, over some sites.
fn weights(sites: &[usize], age_min: usize, group: &str) -> Vec<f64> {
    let mut found = Vec::new();
    for site in sites {
        for line in table(*site).lines().skip(1) {
            let values: Vec<&str> = line.split(',').collect();
            if values[0].parse::<usize>().unwrap() >= age_min && values[1] == group {
                found.push(values[2].parse().unwrap());
            }
        }
    }
    found
}

fn rule(effect: Effect, actions: &[Action]) -> Rule {
    Rule {
        name: name("researchers"),
        effect,
        members: Vec::new(),
        accounts: Vec::new(),
        roles: vec![Role::Researcher],
        actions: actions.to_vec(),
        purposes: vec![Purpose::HealthcareResearch],
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: None,
    }
}

fn dataset(member: &str) -> DatasetName {
    name(&format!("{member}/opt"))
}

async fn publish(consortium: &Consortium, site: usize, member: &str) {
    let owner = consortium.client(&format!("owner@{member}"));
    let path = consortium.folder.path().join(format!("{member}.csv"));
    std::fs::write(&path, table(site)).unwrap();
    let publication = Publication {
        dataset: dataset(member),
        previous: None,
        data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
        card: Some(Card { title: format!("Trial of {member}"), ..Card::default() }),
        discoverable: true,
        temporary_folder: Some(consortium.folder.path().to_owned()),
    };
    let published = owner.publish_file(&path, publication, &silent()).await.unwrap();
    assert_eq!((published.content.rows, published.content.columns.len()), (60, 3));
    set_contract(&owner, member, 1, rule(Effect::Permit, &[Action::Discover, Action::Compute, Action::Download])).await;
}

async fn set_contract(owner: &Client, member: &str, previous: u32, rule: Rule) {
    let call = Call::SetContract { scope: Scope::Dataset(dataset(member)), previous, rules: vec![rule] };
    owner.apply(call, Wait::Committed).await.unwrap();
}

fn specification(members: &[&str]) -> JobSpecification {
    JobSpecification {
        datasets: members.iter().map(|member| dataset(member)).collect(),
        statistics: vec![Statistic::Count, Statistic::Mean],
        columns: vec![name("Weight")],
        by: Some(name("Group")),
        filter_columns: Vec::new(),
        filter: None,
        purpose: Purpose::HealthcareResearch,
        data_use: Vec::new(),
    }
}

fn document(bytes: &[u8]) -> ResultDocument {
    ResultDocument::from_json(bytes).unwrap()
}

#[track_caller]
fn assert_pooled(document: &ResultDocument, sites: &[usize], age_min: usize) {
    let groups = &document.table.columns[0].groups;
    for (group, label) in groups.iter().zip(["C", "T"]) {
        let expected = weights(sites, age_min, label);
        assert_eq!((group.level.as_deref(), group.count), (Some(label), Some(expected.len() as u64)));
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        assert!((group.mean.unwrap() - mean).abs() < 1e-9, "{:?} instead of {mean}", group.mean);
    }
    assert_eq!(groups.len(), 2);
}

/// Waits until a card of another member's dataset is at hand, which takes its owner's node being connected.
async fn card_title(client: &Client, member: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(card) = client.dataset(&dataset(member)).await.unwrap().card {
            return card.title;
        }
        assert!(Instant::now() < deadline, "no card of {member} came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_compute_and_detect_tampering() {
    let mut consortium = Consortium::start().await;
    for (site, member) in MEMBERS.into_iter().enumerate() {
        publish(&consortium, site, member).await;
    }
    let researcher = consortium.client("researcher@kentucky");
    assert_eq!(card_title(&researcher, "harlem").await, "Trial of harlem");

    // Computed over all four, under a filter.
    let filter: Filter = name("Age >= 30");
    let result = researcher.run_job(specification(&MEMBERS), Some(&filter), PATIENCE, &silent()).await.unwrap();
    let found = document(&result.document);
    assert!(found.filtered);
    assert_eq!((found.versions.len(), found.table.refused.len()), (4, 0));
    assert_pooled(&found, &[0, 1, 2, 3], 30);
    let again = researcher.job_result(result.job.job.id).await.unwrap();
    assert_eq!(again.document, result.document);
    // Nobody else's.
    let other = consortium.client("researcher@hennepin").job_result(result.job.job.id).await;
    assert!(matches!(other, Err(ClientError::Denied { .. } | ClientError::Problem(_))), "{other:?}");

    // While a job waits for an aggregator, one site's permission is taken back and the submitter's node restarts.
    consortium.stop_node("aggregator.harlem").await;
    let job = researcher.submit_job(specification(&MEMBERS), Some(&filter)).await.unwrap();
    let hennepin = consortium.client("owner@hennepin");
    set_contract(&hennepin, "hennepin", 2, rule(Effect::Deny, &[Action::Compute])).await;
    consortium.restart("node-1.kentucky").await;
    let researcher = consortium.client("researcher@kentucky");
    consortium.start_node("aggregator.harlem").await;
    researcher.wait_for_job(job, PATIENCE, &silent()).await.unwrap();
    let late = document(&researcher.job_result(job).await.unwrap().document);
    assert_pooled(&late, &[0, 2, 3], 30);
    assert_eq!(late.table.refused[0].dataset, dataset("hennepin"));
    assert_eq!(late.table.refused[0].rule.as_str(), "job-permission-lost");
    let again = rule(Effect::Permit, &[Action::Discover, Action::Compute, Action::Download]);
    set_contract(&hennepin, "hennepin", 3, again).await;

    // Downloaded through the own node from the owner's.
    let version = name("harlem/opt@1");
    let target = consortium.folder.path().join("downloaded.csv");
    researcher.download(&version, Purpose::HealthcareResearch, &target, &silent()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), table(0));
    // And by its own member from its own node.
    let owner = consortium.client("owner@harlem");
    owner.download(&version, Purpose::HealthcareResearch, &target, &silent()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), table(0));

    // A changed byte at one site.
    let detail = owner.dataset(&dataset("harlem")).await.unwrap();
    let ciphertext = detail.versions[0].content.ciphertext;
    let object = consortium.home("node-1.harlem").files().join("objects").join(ciphertext.to_string());
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    // Found by a job without anybody asking: that site is left out and the chain says why.
    let result = researcher.run_job(specification(&MEMBERS), None, PATIENCE, &silent()).await.unwrap();
    let found = document(&result.document);
    assert_pooled(&found, &[1, 2, 3], 0);
    assert_eq!(found.table.refused.len(), 1);
    assert_eq!(found.table.refused[0].rule.as_str(), "integrity-failure");
    let detail = owner.dataset(&dataset("harlem")).await.unwrap();
    assert!(detail.versions[0].tampering_reported.is_some());
    let verified = owner.verify_dataset(&dataset("harlem")).await.unwrap();
    assert!(!verified.parts[0].intact);
    assert_eq!(verified.parts[0].finding.as_deref(), Some("differs at or after byte 0"));
    assert!(researcher.download(&version, Purpose::HealthcareResearch, &target, &silent()).await.is_err());

    // Three members are needed, and one of these three refuses.
    let three = specification(&["harlem", "hennepin", "kentucky"]);
    match researcher.run_job(three, None, PATIENCE, &silent()).await {
        Err(ClientError::JobFailed { failure, sites, .. }) => {
            assert_eq!(failure, Some(JobFailure::TooFewSites));
            assert_eq!(sites[0].refused.as_ref().map(|rule| rule.as_str()), Some("integrity-failure"));
            assert!(sites[1].refused.is_none());
        }
        other => panic!("{other:?}"),
    }

    // A result outlives the aggregator's process, and so does its work.
    consortium.restart("aggregator.harlem").await;
    let kept = researcher.job_result(result.job.job.id).await.unwrap();
    assert_eq!(kept.document, result.document);
    let rest = specification(&["hennepin", "kentucky", "mississippi"]);
    let result = researcher.run_job(rest, None, PATIENCE, &silent()).await.unwrap();
    assert_pooled(&document(&result.document), &[1, 2, 3], 0);
    consortium.stop().await;
}
