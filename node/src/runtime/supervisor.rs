//! A node as its operator sees it: one thing that runs, although it starts itself anew within its process whenever the
//! chain gives it another part.

use std::net::SocketAddr;
use std::sync::{PoisonError, Weak};
use std::time::{Duration, Instant};

use galen_consensus::LogEnd;
use galen_ledger::{Ledger, LedgerError, SnapshotError};
use galen_types::genesis::GENESIS_BYTES_MAX;
use galen_types::{Genesis, NodeName};
use tokio::task::JoinHandle;

use super::damage::{DamageNotes, FoundBy};
use super::fatal::{Fatal, Restart, Shutdown};
use super::limits;
use super::part::PartNotes;
use super::repair::RepairError;
use super::start::{Running, StartError};
use crate::config::{NodeConfig, read_text};
use crate::home::NodeHome;
use crate::http::HttpSocket;
use crate::operate::join;

/// What holds for one start only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The operator stands for it that the disk was neither restored nor copied: a voter orders then with a majority of
    /// the voters, though too few of them are there to know what it promised.
    pub trusts_disk: bool,
    /// Where the socket for HTTP comes from.
    pub http_socket: HttpSocket,
}

/// A running node.
pub struct Node {
    name: NodeName,
    http_address: SocketAddr,
    shutdown: Shutdown,
    supervisor: JoinHandle<()>,
}

impl Node {
    /// Starts a node from its home, as threads and as tasks of the current runtime. A node that joins first waits until
    /// its institution is admitted.
    ///
    /// # Errors
    /// [`StartError`] saying what to mend; nothing runs then.
    pub async fn start(home: &NodeHome) -> Result<Self, StartError> {
        Self::start_with(home, RunOptions::default()).await
    }

    /// Starts a node as [`start`](Self::start) does, with options of this start alone.
    ///
    /// # Errors
    /// [`StartError`] saying what to mend; nothing runs then.
    pub async fn start_with(home: &NodeHome, options: RunOptions) -> Result<Self, StartError> {
        let mut config = NodeConfig::load(home)?;
        config.ordering.trusts_disk = options.trusts_disk;
        join::prepare(home, &config.node).await?;
        let running = Running::start(home, config.clone(), options.http_socket).await?;
        let name = config.node.clone();
        // The same port also when the system chose it.
        config.http.listen = running.http_address;
        let http_address = running.http_address;
        let shutdown = Shutdown::default();
        let supervisor = tokio::spawn(supervise(home.clone(), config, options, running, shutdown.clone()));
        Ok(Self { name, http_address, shutdown, supervisor })
    }

    /// This node.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Where it serves HTTP.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Waits until the node stops by itself because of a fault.
    pub async fn failed(&self) -> Option<Fatal> {
        self.shutdown.stopping().await;
        self.shutdown.cause()
    }

    /// Stops the node and waits for its threads; the fault, if one had stopped it.
    pub async fn stop(self) -> Option<Fatal> {
        self.shutdown.stop();
        if self.supervisor.await.is_err() {
            self.shutdown.fail("internal-error", "the node's supervisor panicked; the lines above say where");
        }
        self.shutdown.cause()
    }
}

/// Starts the node anew whenever it asks for it, until it is told to stop or fails.
async fn supervise(home: NodeHome, config: NodeConfig, options: RunOptions, mut running: Running, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.stopping() => running.hand_over().await,
            () = running.shutdown.stopping() => {}
        }
        let inner = running.shutdown.clone();
        let ledger = running.ledger.clone();
        let has_stopped = running.stop().await;
        if let Some(Fatal { code, message }) = inner.cause() {
            return shutdown.fail(code, message);
        }
        if shutdown.is_stopping() {
            return;
        }
        let Some(why) = inner.restart_wanted() else { return shutdown.stop() };
        let started = if has_stopped {
            start_anew(&home, &config, options, why, ledger).await
        } else {
            Err(StartError::NotClosed)
        };
        running = match started {
            Ok(running) => running,
            Err(error) => return shutdown.fail(error.code(), &error),
        };
    }
}

async fn start_anew(
    home: &NodeHome,
    config: &NodeConfig,
    options: RunOptions,
    why: Restart,
    ledger: Weak<Ledger>,
) -> Result<Running, StartError> {
    // Answers that are still on their way to clients and peers hold it.
    let deadline = Instant::now() + limits::CLOSE_PATIENCE;
    while ledger.strong_count() > 0 {
        if Instant::now() >= deadline {
            return Err(StartError::NotClosed);
        }
        tokio::time::sleep(limits::CLOSE_PERIOD).await;
    }
    match why {
        Restart::Part(_) => {}
        Restart::Stale { raft_id, log_end, why } => {
            tracing::error!(
                code = "ordering-stale",
                raft_id,
                "this node may not order any more under its number: {why}"
            );
            give_up(home, raft_id, log_end, deadline).await?;
        }
        Restart::Retired { raft_id, log_end, .. } => give_up(home, raft_id, log_end, deadline).await?,
        // The start does what the note says.
        Restart::Damaged(_) => {}
        Restart::Contradicted(fatal) => check_contradicted(home, fatal).await?,
        Restart::Snapshot(built) => {
            let built = built.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(built) = built {
                let height = built.height();
                let place = tokio::task::spawn_blocking(move || {
                    loop {
                        match built.put_in_place(&mut |_| {}) {
                            // The last who held the ledger may be about to close it.
                            Err(SnapshotError::Ledger(LedgerError::Locked { .. })) if Instant::now() < deadline => {
                                std::thread::sleep(limits::CLOSE_PERIOD);
                            }
                            outcome => return outcome,
                        }
                    }
                });
                match place.await.map_err(|error| StartError::System(error.to_string()))? {
                    Ok(()) => tracing::info!(height, "the ledger from the snapshot is in place"),
                    // Ordering went on while it was fetched. What was built is removed at the start.
                    Err(error @ SnapshotError::NotAhead { .. }) => {
                        tracing::info!(height, %error, "the ledger has overtaken the snapshot and stays");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    // The ports that were this node's a moment ago may take a moment to be free again.
    let deadline = Instant::now() + limits::PORTS_PATIENCE;
    loop {
        match Running::start(home, config.clone(), options.http_socket).await {
            Err(
                error @ (StartError::Network(_) | StartError::Http(_) | StartError::Ledger(LedgerError::Locked { .. })),
            ) if Instant::now() < deadline => {
                tracing::warn!(code = error.code(), %error, "the node cannot start anew yet and tries again");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            outcome => return outcome,
        }
    }
}

/// A quorum certified another header than this node computed. Where its own stored bytes are to blame, they are repaired;
/// else the node stops, with its ledger as evidence.
async fn check_contradicted(home: &NodeHome, fatal: Fatal) -> Result<(), StartError> {
    tracing::error!(code = fatal.code, "{fatal}; its ledger is checked");
    let home = home.clone();
    let checking = tokio::task::spawn_blocking(move || {
        let text = read_text(home.genesis(), GENESIS_BYTES_MAX as u64)?;
        let genesis = Genesis::from_toml(&text)?;
        let damage = match galen_chain::verify::verify_folder(&home.ledger(), &genesis, None, &mut |_| {}) {
            Ok(report) => report.findings.into_iter().next().map(|found| LedgerError::Damaged {
                column: found.column,
                place: found.place,
                problem: found.problem.to_string(),
            }),
            Err(error) if error.is_damage() => Some(error),
            Err(error) => return Err(error.into()),
        };
        let Some(damage) = damage else { return Err(StartError::Contradicted(fatal)) };
        tracing::error!(code = damage.code(), %damage, "its own stored bytes are to blame");
        DamageNotes::new(&home).note_ledger(FoundBy::Contradiction, &damage, 0).map_err(RepairError::from)?;
        Ok(())
    });
    checking.await.map_err(|error| StartError::System(error.to_string()))?
}

/// Gives a number in ordering up for good. The last who held the ledger may be about to close it.
async fn give_up(home: &NodeHome, raft_id: u64, log_end: LogEnd, deadline: Instant) -> Result<(), StartError> {
    loop {
        match Ledger::open_existing(&home.ledger()) {
            Ok(ledger) => return Ok(PartNotes::new(home).abandon(raft_id, log_end, &ledger)?),
            Err(LedgerError::Locked { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(limits::CLOSE_PERIOD).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
