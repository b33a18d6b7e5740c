//! Clients that write and read at once, each at any node, and write down what they asked and were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use galen_client::{Client, ClientConfig, ClientError, Timeouts, Wait};
use galen_histories::{Action, History, Operation, Outcome, Place, Random, Value};
use galen_types::access::{Effect, Rule, Scope};
use galen_types::api::Consistency;
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::vocabulary::{DataUse, DataUseTerm};
use galen_types::{AccountName, Call, ColumnName, DatasetName, Hash, Signer, Slug};
use tokio::task::JoinSet;

use crate::error::TestnetError;
use crate::network::{Testnet, entry_of};
use crate::plan::{PlannedNode, slug};

/// How long clients wait: shorter than faults last, so that they meet both sides of one.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    request: Duration::from_secs(3),
    read_idle: Duration::from_secs(10),
    validity: Duration::from_secs(5),
    unreachable: Duration::from_secs(1),
};
/// A client's longest pause between two operations, milliseconds.
const PAUSE_MS_MAX: u64 = 40;

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub struct RecordOptions {
    /// Clients at a time.
    pub clients: u32,
    /// Records that they write and read.
    pub records: u32,
    /// Decides what each client does; not when.
    pub seed: u64,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { clients: 8, records: 12, seed: 1 }
    }
}

/// A recording that is under way.
pub struct Recorder {
    testnet: Testnet,
    accounts: Vec<AccountName>,
    /// The chain's height before the first operation.
    from: u64,
    records: Vec<DatasetName>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Operation>>,
}

impl Recorder {
    /// Makes the records, and starts the clients.
    ///
    /// # Errors
    /// [`TestnetError`] when a record cannot be made.
    pub async fn start(testnet: &Testnet, options: &RecordOptions) -> Result<Self, TestnetError> {
        let accounts = owners(testnet)?;
        let founder = testnet.client_as(&accounts[0])?;
        let from = founder.chain().await?.height;
        let mut records = Vec::new();
        for number in 0..options.records {
            let dataset = slug(&format!("record-{from}-{number}"))?;
            // Not discoverable: else it begins with a contract that nobody here wrote.
            let call = Call::PublishDataset { dataset: dataset.clone(), content: content()?, discoverable: false };
            founder.apply(call, Wait::Committed).await?;
            records.push(DatasetName { member: accounts[0].member.clone(), dataset });
        }
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for (number, account) in (0..options.clients).zip(accounts.iter().cycle()) {
            let mut nodes = Vec::new();
            for node in testnet.plan().present() {
                let client = |consistency| client(testnet, node, account, consistency);
                let (local, confirmed) = (client(Consistency::Local)?, client(Consistency::Linearizable)?);
                nodes.push(Asked { name: node.name.to_string(), local, confirmed });
            }
            let script = Script {
                number,
                random: Random(options.seed ^ (u64::from(number) << 32)),
                nodes,
                known: records.iter().map(|record| (record.clone(), 0)).collect(),
                began,
                written: 0,
                operations: Vec::new(),
            };
            clients.spawn(script.run(Arc::clone(&stop), Arc::clone(&answered)));
        }
        Ok(Self { testnet: testnet.clone(), accounts, from, records, stop, answered, clients })
    }

    /// Operations that were answered so far, with what was asked.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the clients and reads the chain. Every node must run again.
    ///
    /// # Errors
    /// [`TestnetError`] when a node does not answer.
    pub async fn stop(self) -> Result<History, TestnetError> {
        self.stop.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for operations in self.clients.join_all().await {
            history.operations.extend(operations);
        }
        super::chain::complete(&mut history, &self.testnet, &self.accounts, self.from, &self.records).await?;
        Ok(history)
    }
}

/// Accounts that may write contracts of the first member.
fn owners(testnet: &Testnet) -> Result<Vec<AccountName>, TestnetError> {
    let first = testnet.plan().present_members().next().cloned();
    let accounts = testnet.plan().accounts()?.into_iter();
    let owners: Vec<_> = accounts
        .filter(|(account, roles)| {
            Some(&account.member) == first.as_ref() && roles.contains(&galen_types::member::Role::Owner)
        })
        .map(|(account, _)| account)
        .collect();
    if owners.is_empty() { Err(TestnetError::Plan("the testnet has no owner account".to_owned())) } else { Ok(owners) }
}

fn client(
    testnet: &Testnet,
    node: &PlannedNode,
    account: &AccountName,
    consistency: Consistency,
) -> Result<Client, TestnetError> {
    let keys = testnet.plan().keys_of(&Signer::Account(account.clone()));
    let mut config = ClientConfig::new(entry_of(node).url).with_account(account.clone(), keys);
    config.genesis = Some(testnet.genesis_hash());
    config.timeouts = TIMEOUTS;
    config.consistency = consistency;
    Ok(Client::new(config)?)
}

/// What is said of a file that nobody has: only contracts are of interest.
fn content() -> Result<VersionContent, TestnetError> {
    let name = ColumnName::parse("Age").map_err(|error| TestnetError::Plan(error.to_string()))?;
    let hash = |what: &str| Hash(*blake3::hash(what.as_bytes()).as_bytes());
    Ok(VersionContent {
        commitment: hash("commitment"),
        ciphertext: hash("ciphertext"),
        ciphertext_sha256: hash("sha256"),
        ciphertext_bytes: 2_000,
        plaintext_bytes: 1_000,
        format: FileFormat::Csv,
        rows: 10,
        columns: vec![Column { name, kind: ColumnKind::Number }],
        data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
        card: None,
    })
}

/// A rule that permits nothing to anybody; its name is what is written.
fn rule(name: Slug) -> Rule {
    Rule {
        name,
        effect: Effect::Deny,
        members: Vec::new(),
        accounts: Vec::new(),
        roles: Vec::new(),
        actions: Vec::new(),
        purposes: Vec::new(),
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: None,
    }
}

/// A node, and the clients that ask it.
struct Asked {
    name: String,
    local: Client,
    confirmed: Client,
}

/// One client and what it has written down.
struct Script {
    number: u32,
    random: Random,
    nodes: Vec<Asked>,
    /// The version of each record that it knows of.
    known: Vec<(DatasetName, u32)>,
    began: Instant,
    written: u32,
    operations: Vec<Operation>,
}

impl Script {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    async fn run(mut self, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> Vec<Operation> {
        while !stop.load(Ordering::Relaxed) {
            let before = self.operations.len();
            let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0);
            let record = usize::try_from(self.random.below(self.known.len() as u64)).unwrap_or(0);
            match self.random.below(10) {
                0..3 => self.write(node, record).await,
                3..8 => self.read(node, record, Action::Read).await,
                _ => self.read(node, record, Action::ReadLocal).await,
            }
            let last = self.operations.get(before).map(|operation| &operation.outcome);
            if last.is_some_and(|outcome| !matches!(outcome, Outcome::Refused | Outcome::Unknown)) {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(self.random.below(PAUSE_MS_MAX))).await;
        }
        self.operations
    }

    fn wrote_down(&mut self, node: usize, record: usize, invoked_ns: u64, action: Action, outcome: Outcome) {
        let returned_ns = self.now_ns();
        let (node, key) = (self.nodes[node].name.clone(), self.known[record].0.to_string());
        let client = self.number;
        self.operations.push(Operation { client, node, key, invoked_ns, returned_ns, action, outcome });
    }

    async fn write(&mut self, node: usize, record: usize) {
        let (dataset, expected) = self.known[record].clone();
        self.written += 1;
        let text = format!("w-{}-{}", self.number, self.written);
        let Ok(name) = Slug::parse(&text) else { return };
        let call = Call::SetContract { scope: Scope::Dataset(dataset), previous: expected, rules: vec![rule(name)] };
        // A node that was never reached cannot be signed for: nothing is sent.
        let Ok(prepared) = self.nodes[node].local.prepare(call).await else { return };
        let invoked_ns = self.now_ns();
        let outcome = match self.nodes[node].local.send(&prepared, Wait::Committed).await {
            Ok(status) => match (status.height, status.index, status.receipt) {
                (Some(height), Some(index), Some(receipt)) => {
                    Outcome::Acknowledged { place: Place { height, index }, applied: receipt.is_applied() }
                }
                _ => Outcome::Unknown,
            },
            // The client says so only when it is certain that no node has taken it.
            Err(ClientError::Unreachable { .. } | ClientError::Problem(_)) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        let action = Action::Write { id: prepared.id.to_string(), expected, text };
        self.wrote_down(node, record, invoked_ns, action, outcome.clone());
        match outcome {
            Outcome::Acknowledged { applied: true, .. } => self.known[record].1 = expected + 1,
            // Whoever was first, a read tells.
            Outcome::Acknowledged { .. } | Outcome::Unknown => self.read(node, record, Action::ReadLocal).await,
            Outcome::Refused | Outcome::Found { .. } => {}
        }
    }

    async fn read(&mut self, node: usize, record: usize, action: Action) {
        let dataset = self.known[record].0.clone();
        let asked = &self.nodes[node];
        let client = if action == Action::Read { &asked.confirmed } else { &asked.local };
        let invoked_ns = self.now_ns();
        let outcome = match client.contracts(&dataset).await {
            Ok(set) => {
                let value = set.dataset.map(|contract| Value {
                    version: contract.version,
                    text: contract.rules.first().map(|rule| rule.name.to_string()).unwrap_or_default(),
                });
                self.known[record].1 = value.as_ref().map_or(0, |value| value.version).max(self.known[record].1);
                Outcome::Found { height: set.height, value }
            }
            Err(_) => Outcome::Refused,
        };
        self.wrote_down(node, record, invoked_ns, action, outcome);
    }
}
