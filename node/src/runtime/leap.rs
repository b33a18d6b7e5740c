//! Catching up by snapshot, where block by block would take long: the newest snapshot of a peer, believed because the
//! handovers of voter sets lead from the genesis to those who certified it, fetched in parts that survive a crash and may
//! come from several peers. The new ledger is built beside the one in use, and put in place when the node starts anew.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use galen_chain::recovery::HeldRecoveries;
use galen_chain::snapshot::{SnapshotAnswer, SnapshotOffer, SnapshotRequest, genesis_state_root};
use galen_chain::sync::{Handover, SyncAnswer, SyncRequest};
use galen_ledger::constants::SNAPSHOT_PROOF_BYTES_MAX;
use galen_ledger::install::Incoming;
use galen_ledger::snapshot::{BaseProof, Manifest};
use galen_ledger::{Halt, Ledger, LedgerError};
use galen_p2p::NetworkHandle;
use galen_types::{Encoding, Genesis, Hash, NodeName, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::execution::Progress;
use super::fatal::{Restart, Shutdown};
use super::kinds;
use super::knowledge::height_of;
use super::limits;
use super::loaded::ledger_options;
use super::metrics::RuntimeMetrics;
use super::offers::{Candidate, Offers, Refused};
use super::room;
use crate::home::NodeHome;

/// Everything that catching up by snapshot works with.
pub(super) struct Leap {
    pub(super) network: NetworkHandle,
    pub(super) genesis: Arc<Genesis>,
    pub(super) genesis_hash: Hash,
    pub(super) recoveries: HeldRecoveries,
    pub(super) ledger: Arc<Ledger>,
    pub(super) home: NodeHome,
    pub(super) progress: watch::Receiver<Progress>,
    /// Blocks that it may lie behind before it leaps.
    pub(super) lag_blocks: u64,
    /// Counts what came and what was built of it: that a snapshot is on its way shows here, not in the height.
    pub(super) fetched: Arc<AtomicU64>,
    pub(super) metrics: Arc<RuntimeMetrics>,
    pub(super) shutdown: Shutdown,
    /// When peers were asked last how far they are.
    pub(super) asked: Option<Instant>,
    /// Until then it does not try again.
    pub(super) not_before: Option<Instant>,
}

/// What a peer's offer comes to.
enum Offered {
    /// One that would bring this node forward.
    Ahead(Box<SnapshotOffer>),
    /// One that would hardly do so.
    TooOld,
    /// It has none now.
    None,
}

/// Breaks off what is being built when nobody waits for it any more.
struct HaltsOnDrop(Halt);

impl Drop for HaltsOnDrop {
    fn drop(&mut self) {
        self.0.halt();
    }
}

/// Where a snapshot is gathered.
fn folder_of(home: &NodeHome) -> PathBuf {
    home.snapshots().join("incoming")
}

/// Removes what is left of a snapshot that the ledger has come past, or that was being removed.
pub(super) fn tidy(home: &NodeHome, height: u64) {
    if let Err(error) = Incoming::tidy(&folder_of(home), height) {
        tracing::warn!(%error, "what is left of a snapshot cannot be removed");
    }
}

impl Leap {
    fn folder(&self) -> PathBuf {
        folder_of(&self.home)
    }

    /// Where snapshots are noted down that turned out wrong.
    fn refused(&self) -> Refused {
        Refused::load(&self.home.snapshots().join("refused"))
    }

    fn height(&self) -> u64 {
        self.progress.borrow().height
    }

    fn peers(&self) -> Vec<NodeName> {
        let connected = self.network.peers().into_iter().filter(|peer| peer.connection.is_some());
        connected.map(|peer| peer.node).collect()
    }

    /// Whether this node is so far behind that it should catch up by snapshot: by what it was told, or by asking.
    pub(super) async fn is_due(&mut self, goal: u64, progress: &Progress) -> bool {
        if self.not_before.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let mut known = goal.max(progress.known_height);
        if self.asked.is_none_or(|asked| asked.elapsed() >= limits::LAG_ASKED) {
            let mut asking: FuturesUnordered<_> = self
                .peers()
                .into_iter()
                .map(|peer| {
                    let network = self.network.clone();
                    async move { height_of(&network, &peer).await }
                })
                .collect();
            // The heights are claims: a wrong one costs the question for a snapshot that nobody can certify.
            while let Some(height) = asking.next().await {
                if let Some(height) = height {
                    self.asked = Some(Instant::now());
                    known = known.max(height);
                }
            }
        }
        known.saturating_sub(progress.height) > self.lag_blocks
    }

    /// Fetches a snapshot and builds the ledger from it; `true` when the node starts anew on it.
    pub(super) async fn run(&mut self) -> bool {
        let shutdown = self.shutdown.clone();
        let outcome = tokio::select! {
            () = shutdown.stopping() => return true,
            outcome = self.fetch() => outcome,
        };
        match outcome {
            Ok(()) => true,
            Err(problem) => {
                tracing::warn!(
                    problem,
                    "this node is far behind and cannot catch up by snapshot; it goes on by blocks"
                );
                self.not_before = Some(Instant::now() + 2 * limits::OFFER_PATIENCE);
                false
            }
        }
    }

    async fn fetch(&self) -> Result<(), String> {
        let started = Instant::now();
        let mut incoming = match self.resumed() {
            Some(incoming) => incoming,
            None => self.begin().await?,
        };
        let height = incoming.manifest().header.height;
        if let Err(problem) = self.fetch_parts(&mut incoming).await {
            tracing::info!(height, problem, "the snapshot cannot be fetched to its end; a newer one is looked for");
            incoming = self.begin().await?;
            self.fetch_parts(&mut incoming).await?;
        }
        let (height, bytes) = (incoming.manifest().header.height, incoming.manifest().bytes);
        tracing::info!(height, bytes, seconds = started.elapsed().as_secs_f64(), "the snapshot is here");
        let (ledger, genesis, genesis_hash) = (self.home.ledger(), Arc::clone(&self.genesis), self.genesis_hash);
        let (mut refused, fetched) = (self.refused(), Arc::clone(&self.fetched));
        // The work on the disk goes on without whoever waits for it, unless it is told.
        let _halts = HaltsOnDrop(incoming.halt());
        let built = tokio::task::spawn_blocking(move || {
            let options = ledger_options(&genesis, genesis_hash);
            let root = genesis_state_root(&genesis).map_err(|error| error.to_string())?;
            let built = incoming.build(&ledger, &options, root, &mut |_| {
                fetched.fetch_add(1, Ordering::Relaxed);
            });
            built.map_err(|error| {
                if error.refutes_snapshot() {
                    let peers = incoming.offered_by();
                    tracing::warn!(height, ?peers, %error, "the snapshot is wrong; it and those that offered it are noted down");
                    refused.add(incoming.manifest().hash(), peers, Timestamp::now());
                    let _ = incoming.discard();
                }
                error.to_string()
            })
        });
        let built = built.await.map_err(|error| error.to_string())??;
        tracing::info!(
            height,
            seconds = started.elapsed().as_secs_f64(),
            "the ledger of the snapshot is built, its state root is the certified one"
        );
        self.metrics.snapshots_installed.inc();
        self.shutdown.restart(Restart::Snapshot(Arc::new(Mutex::new(Some(built)))));
        Ok(())
    }

    /// What a former run fetched, if it is still worth it.
    fn resumed(&self) -> Option<Incoming> {
        let incoming = Incoming::resume(&self.folder()).ok()??;
        let height = incoming.manifest().header.height;
        let wrong = self.refused().holds(&incoming.manifest().hash());
        if wrong || height <= self.height().saturating_add(self.lag_blocks / 2) {
            let _ = incoming.discard();
            return None;
        }
        let (held, missing) = (incoming.received_bytes(), incoming.missing_count());
        tracing::info!(height, bytes = held, missing, "a snapshot that was being fetched goes on");
        Some(incoming)
    }

    /// Asks peers for a snapshot until one offers a good one.
    async fn begin(&self) -> Result<Incoming, String> {
        let deadline = Instant::now() + limits::OFFER_PATIENCE;
        let mut last = "no peer is connected".to_owned();
        loop {
            let refused = self.refused();
            let peers = refused.in_order(self.peers());
            let mut too_old = 0;
            // A few at a time: who is asked and has an old snapshot takes a new one.
            for some in peers.chunks(limits::OFFERS_IN_FLIGHT) {
                let mut offers = Offers::new();
                let mut asking: FuturesUnordered<_> = some
                    .iter()
                    .cloned()
                    .map(|peer| async move {
                        let offered = self.ask_offer(&peer).await;
                        (peer, offered)
                    })
                    .collect();
                while let Some((peer, offered)) = asking.next().await {
                    match offered {
                        Ok(Offered::Ahead(offer)) => {
                            offers.add(peer, offer.manifest.hash(), offer.header().height, offer);
                        }
                        Ok(Offered::TooOld) => {
                            too_old += 1;
                            last = format!("the snapshot of {peer} is hardly newer than the own ledger");
                        }
                        Ok(Offered::None) => last = format!("{peer} has no snapshot yet"),
                        Err(problem) => {
                            tracing::warn!(%peer, problem, "a snapshot offer is refused; another peer is asked");
                            last = problem;
                        }
                    }
                }
                drop(asking);
                for Candidate { offer, peers, .. } in offers.ranked(&refused, Timestamp::now()) {
                    match self.take(&offer, &peers).await {
                        Ok(incoming) => return Ok(incoming),
                        Err(problem) => last = problem,
                    }
                }
            }
            // Nobody takes a newer one yet: to wait for it would take longer than the blocks do.
            let hopeless = !peers.is_empty() && too_old == peers.len();
            if hopeless || Instant::now() >= deadline {
                return Err(last);
            }
            sleep(limits::SYNC_PERIOD).await;
        }
    }

    async fn ask(&self, peer: &NodeName, request: SnapshotRequest) -> Result<SnapshotAnswer, String> {
        let asking = self.network.request(peer, kinds::SNAPSHOT, request.encode().into(), limits::SYNC_DEADLINE);
        let answer = asking.await.map_err(|error| error.to_string())?;
        SnapshotAnswer::from_peer(&answer).map_err(|error| error.to_string())
    }

    async fn ask_offer(&self, peer: &NodeName) -> Result<Offered, String> {
        let SnapshotAnswer::Offer(offer) = self.ask(peer, SnapshotRequest::Offer).await? else {
            return Ok(Offered::None);
        };
        if offer.header().height <= self.height().saturating_add(self.lag_blocks / 2) {
            return Ok(Offered::TooOld);
        }
        Ok(Offered::Ahead(offer))
    }

    /// Checks an offer by the handovers that one of its peers tells, and begins to gather it.
    async fn take(&self, offer: &SnapshotOffer, offered_by: &[NodeName]) -> Result<Incoming, String> {
        let (height, bytes, parts) = (offer.header().height, offer.manifest.bytes, offer.manifest.parts.len());
        room::check(&self.folder(), room::needed(&offer.manifest, bytes))?;
        let mut last = String::new();
        for peer in offered_by {
            match self.verified(peer, offer.clone()).await {
                Ok((manifest, proof)) => {
                    tracing::info!(%peer, ?offered_by, height, parts, bytes, "catches up by snapshot");
                    let begun = Incoming::begin(&self.folder(), manifest, proof).map_err(|error| error.to_string())?;
                    begun.note_offered_by(offered_by).map_err(|error| error.to_string())?;
                    return Ok(begun);
                }
                Err(problem) => {
                    tracing::warn!(%peer, problem, "a snapshot offer is refused; another peer is asked");
                    last = problem;
                }
            }
        }
        Err(last)
    }

    async fn verified(&self, peer: &NodeName, offer: SnapshotOffer) -> Result<(Manifest, BaseProof), String> {
        let handovers = self.handovers(peer, offer.header().height).await?;
        offer.verified(&self.genesis, &handovers, &self.recoveries).map_err(|error| error.to_string())
    }

    /// How every epoch up to a height handed over to the next: from the genesis on as the own ledger knows it, and from its
    /// own epoch on as the peer tells.
    async fn handovers(&self, peer: &NodeName, up_to: u64) -> Result<Vec<Handover>, String> {
        let mut all = self.own_handovers(up_to).map_err(|error| error.to_string())?;
        let mut from_epoch = all.last().map_or(0, |last| last.next.epoch);
        let mut bytes = 0;
        loop {
            let request = SyncRequest::Handovers { from_epoch }.encode();
            let asking = self.network.request(peer, kinds::SYNC, request.into(), limits::SYNC_DEADLINE);
            let answer = asking.await.map_err(|error| error.to_string())?;
            bytes += answer.len();
            if bytes > SNAPSHOT_PROOF_BYTES_MAX {
                return Err(format!("the way from the genesis to height {up_to} is longer than is followed"));
            }
            let answer = SyncAnswer::from_peer(&answer).map_err(|error| error.to_string())?;
            let SyncAnswer::Handovers { handovers } = answer else {
                return Err("the peer answered another question".to_owned());
            };
            let reached = handovers.last().map(|last| (last.next.epoch, last.last.height));
            all.extend(handovers.into_iter().filter(|handover| handover.last.height <= up_to));
            match reached {
                Some((epoch, height)) if epoch > from_epoch && height <= up_to => from_epoch = epoch,
                _ => return Ok(all),
            }
        }
    }

    /// Those that the own ledger knows.
    fn own_handovers(&self, up_to: u64) -> Result<Vec<Handover>, LedgerError> {
        let mut all: Vec<Handover> = Vec::new();
        loop {
            let from_epoch = all.last().map_or(0, |last| last.next.epoch);
            let request = SyncRequest::Handovers { from_epoch };
            let SyncAnswer::Handovers { handovers } = SyncAnswer::to_request(&request, &self.ledger)? else {
                return Ok(all);
            };
            let before = all.len();
            let known = handovers.into_iter();
            all.extend(known.filter(|known| known.last.height <= up_to && known.next.epoch > from_epoch));
            if all.len() == before {
                return Ok(all);
            }
        }
    }

    /// Fetches what is missing, several parts at once and from all peers that have the snapshot.
    async fn fetch_parts(&self, incoming: &mut Incoming) -> Result<(), String> {
        let height = incoming.manifest().header.height;
        let mut peers = self.peers();
        let mut turn = 0;
        while incoming.missing_count() > 0 {
            let missing_bytes = incoming.manifest().bytes.saturating_sub(incoming.received_bytes());
            room::check(&self.folder(), room::needed(incoming.manifest(), missing_bytes))?;
            if peers.is_empty() {
                return Err(format!("no connected peer has the snapshot of height {height} any more"));
            }
            let mut asked: FuturesUnordered<_> = incoming
                .missing(0, limits::PARTS_IN_FLIGHT)
                .into_iter()
                .map(|index| {
                    turn += 1;
                    let peer = peers[turn % peers.len()].clone();
                    async move {
                        let answer = self.ask(&peer, SnapshotRequest::Part { height, index }).await;
                        (peer, index, answer)
                    }
                })
                .collect();
            let mut unfit = Vec::new();
            while let Some((peer, index, answer)) = asked.next().await {
                let problem = match answer {
                    Ok(SnapshotAnswer::Part(bytes)) => match incoming.accept(index, &bytes) {
                        Ok(()) => {
                            self.fetched.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        Err(error) if !error.blames_peer() => return Err(error.to_string()),
                        Err(error) => {
                            tracing::warn!(%peer, part = index, %error, "a part of the snapshot is wrong; another peer is asked");
                            error.to_string()
                        }
                    },
                    Ok(_) => "it does not have that snapshot".to_owned(),
                    Err(problem) => problem,
                };
                tracing::debug!(%peer, part = index, problem, "a part did not come");
                unfit.push(peer);
            }
            drop(asked);
            peers.retain(|peer| !unfit.contains(peer));
        }
        Ok(())
    }
}
