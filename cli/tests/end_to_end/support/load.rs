use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use galen_client::{ClientError, Wait};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::vocabulary::{DataUse, DataUseTerm};
use galen_types::{Call, ColumnName, Hash, Slug};
use tokio::task::JoinSet;

use super::{Acknowledged, Cluster, PATIENCE, eventually};

/// How long a client keeps offering a transaction.
const VALIDITY: Duration = Duration::from_secs(15);

/// Numbers publications, so that each has a name of its own.
static PUBLICATIONS: AtomicUsize = AtomicUsize::new(0);

/// Many accounts publish datasets, each as fast as its receipts come back.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Acknowledged>>,
}

impl Load {
    /// Starts one client for each of the testnet's load accounts; they ask the given nodes in turn.
    pub(crate) fn start(cluster: &Cluster, nodes: &[&str]) -> Self {
        Self::paced(cluster, nodes, Duration::ZERO)
    }

    /// The same, with a pause of each client after each receipt.
    pub(crate) fn paced(cluster: &Cluster, nodes: &[&str], pause: Duration) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for (number, node) in (0..cluster.testnet.plan().load_accounts).zip(nodes.iter().cycle()) {
            let client = cluster
                .client_with(node, &format!("load-{number}@harlem"), |config| config.timeouts.validity = VALIDITY);
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            clients.spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.apply(publication(), Wait::Committed).await {
                        Ok(status) => {
                            let (height, index) = (status.height.unwrap(), status.index.unwrap());
                            acknowledged.push(Acknowledged { id: status.id, height, index });
                            count.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(pause).await;
                        }
                        // The node is dead or has no leader: nothing was promised.
                        Err(
                            ClientError::Unreachable { .. }
                            | ClientError::OutcomeUnknown { .. }
                            | ClientError::Problem(_)
                            | ClientError::Answer(_),
                        ) => tokio::time::sleep(Duration::from_millis(50)).await,
                        Err(error) => panic!("load-{number}: {error}"),
                    }
                }
                acknowledged
            });
        }
        Self { stop, count, clients }
    }

    /// Waits until so many more transactions are acknowledged.
    pub(crate) async fn more(&self, transactions: usize) {
        let goal = self.count.load(Ordering::Relaxed) + transactions;
        let what = format!("{transactions} more transactions are acknowledged");
        eventually(&what, PATIENCE, async || (self.count.load(Ordering::Relaxed) >= goal).then_some(())).await;
    }

    /// Ends the load; everything that was acknowledged.
    pub(crate) async fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

/// The publication of a new dataset whose file nobody has: ordering and execution are what is loaded.
pub(crate) fn publication() -> Call {
    let number = PUBLICATIONS.fetch_add(1, Ordering::Relaxed);
    let hash = |what: &str| Hash(*blake3::hash(format!("{what} {number}").as_bytes()).as_bytes());
    Call::PublishDataset {
        dataset: Slug::parse(&format!("load-{number}")).unwrap(),
        content: VersionContent {
            commitment: hash("commitment"),
            ciphertext: hash("ciphertext"),
            ciphertext_sha256: hash("sha256"),
            ciphertext_bytes: 2_000,
            plaintext_bytes: 1_000,
            format: FileFormat::Csv,
            rows: 10,
            columns: vec![Column { name: ColumnName::parse("Age").unwrap(), kind: ColumnKind::Number }],
            data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
            card: None,
        },
        discoverable: true,
    }
}
