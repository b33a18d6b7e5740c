//! What the runtime counts, for Prometheus. The HTTP face counts its own.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use galen_chain::orderer::MembershipProgress;
use galen_p2p::NetworkHandle;
use galen_types::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::registered::Registered;
use crate::http::services::Participation;

/// Counters, gauges and histograms of the runtime.
pub(super) struct RuntimeMetrics {
    /// Blocks applied.
    pub(super) height: Gauge,
    /// Certified height.
    pub(super) certified_height: Gauge,
    /// Recorded transactions.
    pub(super) transactions: Counter,
    /// Transactions left out of blocks.
    pub(super) transactions_void: Counter,
    /// Waiting transactions.
    pub(super) mempool_transactions: Gauge,
    /// Seconds to execute and write a block.
    pub(super) block_execution_seconds: Histogram,
    /// Seconds to write and sync the ordering log once.
    pub(super) log_sync_seconds: Histogram,
    /// Raft term.
    pub(super) ordering_term: Gauge,
    /// 1 on the leader.
    pub(super) is_leader: Gauge,
    /// Frames from peers refused by the firewall.
    pub(super) frames_refused: Counter,
    /// Frames to peers dropped.
    pub(super) frames_dropped: Counter,
    /// Blocks applied by pulling.
    pub(super) blocks_pulled: Counter,
    /// Header signatures kept as evidence or refused.
    pub(super) signatures_refused: Counter,
    /// Signatures over other headers than the certified ones.
    pub(super) evidence: Gauge,
    /// Connected peers.
    pub(super) peers: Gauge,
    /// Epoch of the voter set.
    pub(super) epoch: Gauge,
    /// Voters.
    pub(super) voters: Gauge,
    /// This node's number in ordering.
    pub(super) raft_id: Gauge,
    /// 1 where this node's disk may not order.
    pub(super) stale: Gauge,
    /// 1 while two sets of voters hold at once.
    pub(super) membership_joint: Gauge,
    /// Seconds for which ordering's members have differed from the chain's.
    pub(super) membership_pending: Gauge<f64, AtomicU64>,
    /// Snapshots taken.
    pub(super) snapshots_taken: Counter,
    /// Parts of snapshots given to peers.
    pub(super) snapshot_parts_served: Counter,
    /// Snapshots installed.
    pub(super) snapshots_installed: Counter,
    /// How long taking a snapshot held the next block up.
    pub(super) snapshot_pause_seconds: Histogram,
    /// Lowest height held whole.
    pub(super) history_from: Gauge,
    /// Blocks whose bodies were deleted.
    pub(super) blocks_pruned: Counter,
    /// Bytes that the scrub read.
    pub(super) scrub_bytes: Counter,
    /// What the scrub found wrong.
    pub(super) scrub_findings: Counter,
    /// When everything had been read last.
    pub(super) scrub_completed: Gauge,
    /// 1 while the ledger is being repaired.
    pub(super) damaged: Gauge,
    /// Stored files that the last pass found wrong.
    pub(super) files_damaged: Gauge,
}

impl RuntimeMetrics {
    /// Makes and registers them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Self {
            height: Gauge::default(),
            certified_height: Gauge::default(),
            transactions: Counter::default(),
            transactions_void: Counter::default(),
            mempool_transactions: Gauge::default(),
            block_execution_seconds: seconds(),
            log_sync_seconds: seconds(),
            ordering_term: Gauge::default(),
            is_leader: Gauge::default(),
            frames_refused: Counter::default(),
            frames_dropped: Counter::default(),
            blocks_pulled: Counter::default(),
            signatures_refused: Counter::default(),
            evidence: Gauge::default(),
            peers: Gauge::default(),
            epoch: Gauge::default(),
            voters: Gauge::default(),
            raft_id: Gauge::default(),
            stale: Gauge::default(),
            membership_joint: Gauge::default(),
            membership_pending: Gauge::default(),
            snapshots_taken: Counter::default(),
            snapshot_parts_served: Counter::default(),
            snapshots_installed: Counter::default(),
            snapshot_pause_seconds: seconds(),
            history_from: Gauge::default(),
            blocks_pruned: Counter::default(),
            scrub_bytes: Counter::default(),
            scrub_findings: Counter::default(),
            scrub_completed: Gauge::default(),
            damaged: Gauge::default(),
            files_damaged: Gauge::default(),
        };
        let gauges = [
            ("epoch", "Epoch of the voter set: counts its changes", &metrics.epoch),
            ("voters", "Nodes in the voter set", &metrics.voters),
            ("raft_id", "This node's number in ordering, 0 for none", &metrics.raft_id),
            (
                "stale",
                "1 where this node's disk is new, old or lost its ordering log, so that it may not order under its number",
                &metrics.stale,
            ),
            (
                "scrub_completed_timestamp_seconds",
                "When the scrub had read everything last, 0 for never",
                &metrics.scrub_completed,
            ),
            ("ledger_damaged", "1 while a damaged ledger is fetched anew from peers", &metrics.damaged),
            (
                "files_damaged",
                "Stored files that the scrub's last pass found changed or missing",
                &metrics.files_damaged,
            ),
            ("membership_joint", "1 while two sets of voters hold at once in ordering", &metrics.membership_joint),
            (
                "ledger_history_from_blocks",
                "Lowest height whose block is held whole here, 1 for the whole history",
                &metrics.history_from,
            ),
            ("chain_height_blocks", "Height of the last block applied here", &metrics.height),
            ("chain_certified_height_blocks", "Height up to which all is certified", &metrics.certified_height),
            (
                "mempool_transactions",
                "Transactions that wait for a block here, those sent to the leader included",
                &metrics.mempool_transactions,
            ),
            ("ordering_term", "Raft term as seen here", &metrics.ordering_term),
            ("ordering_leader", "1 where this node leads, else 0", &metrics.is_leader),
            (
                "chain_evidence",
                "Signatures of voters over other headers than the certified ones; `galen ledger evidence` shows them",
                &metrics.evidence,
            ),
            ("network_peers", "Peers that are connected and passed the handshake", &metrics.peers),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit(
            "membership_change_pending",
            "For how long ordering's members have differed from the voters on the chain; 0 when they do not",
            Unit::Seconds,
            metrics.membership_pending.clone(),
        );
        registry.register_with_unit(
            "snapshot_pause",
            "For how long taking a snapshot held the next block up",
            Unit::Seconds,
            metrics.snapshot_pause_seconds.clone(),
        );
        let counters = [
            ("snapshots_taken", "Snapshots of the ledger taken for peers or by order", &metrics.snapshots_taken),
            ("snapshot_parts_served", "Parts of snapshots given to peers", &metrics.snapshot_parts_served),
            (
                "snapshots_installed",
                "Snapshots from peers that this process put in place",
                &metrics.snapshots_installed,
            ),
            ("scrub_bytes", "Bytes of log, ledger and files that the scrub has read again", &metrics.scrub_bytes),
            ("scrub_findings", "Things that the scrub found wrong; any but zero wants a look", &metrics.scrub_findings),
            ("ledger_blocks_pruned", "Blocks whose transactions and receipts were deleted", &metrics.blocks_pruned),
            ("chain_transactions", "Transactions recorded in blocks, refused ones included", &metrics.transactions),
            (
                "chain_transactions_void",
                "Transactions left out of blocks: duplicate, expired, unknown signer, bad signature",
                &metrics.transactions_void,
            ),
            (
                "ordering_frames_refused",
                "Frames from peers that the firewall refused; lost elections and restarts cause some",
                &metrics.frames_refused,
            ),
            (
                "ordering_frames_dropped",
                "Frames to peers dropped because the peer was away or its queue full; sent again by Raft",
                &metrics.frames_dropped,
            ),
            ("chain_blocks_pulled", "Blocks applied from a peer's certified answer", &metrics.blocks_pulled),
            (
                "chain_signatures_refused",
                "Header signatures that were false or over another header; any but zero wants a look",
                &metrics.signatures_refused,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "chain_block_execution",
            "Time to execute a block and write it, without waiting",
            Unit::Seconds,
            metrics.block_execution_seconds.clone(),
        );
        registry.register_with_unit(
            "ordering_log_sync",
            "Time to write and sync the ordering log once, for all that gathered",
            Unit::Seconds,
            metrics.log_sync_seconds.clone(),
        );
        metrics
    }

    /// What the chain says about nodes.
    pub(super) fn registered(&self, registered: &Registered) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.epoch.set(number(registered.voters.epoch));
        self.voters.set(number(registered.voters.voters.len() as u64));
        self.raft_id.set(number(registered.own_active().map_or(0, |own| own.raft_id)));
    }

    /// How ordering follows the chain's voter set.
    pub(super) fn membership_change(&self, change: &MembershipProgress, tick: Duration) {
        self.membership_joint.set(i64::from(change.joint));
        let ticks = u32::try_from(change.since_ticks).unwrap_or(u32::MAX);
        self.membership_pending.set(if change.pending { tick.saturating_mul(ticks).as_secs_f64() } else { 0.0 });
    }

    /// How this node takes part.
    pub(super) fn participation(&self, participation: Participation) {
        self.stale.set(i64::from(participation == Participation::Stale));
    }

    /// When everything had been read last.
    pub(super) fn scrubbed(&self, last: Option<Timestamp>) {
        self.scrub_completed.set(last.map_or(0, |last| i64::try_from(last.0 / 1000).unwrap_or(i64::MAX)));
    }

    /// The lowest height held whole.
    pub(super) fn history_from(&self, height: u64) {
        self.history_from.set(i64::try_from(height).unwrap_or(i64::MAX));
    }
}

/// What the network counts itself, read when the metrics are asked for.
pub(super) struct NetworkCollector(pub(super) NetworkHandle);

impl std::fmt::Debug for NetworkCollector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NetworkCollector")
    }
}

impl Collector for NetworkCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in self.0.counters().entries() {
            let counter = ConstCounter::new(value);
            let name = format!("network_{name}");
            counter.encode(encoder.encode_descriptor(&name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
