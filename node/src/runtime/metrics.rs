//! What the runtime counts, for Prometheus. The HTTP face counts its own.

use galen_p2p::NetworkHandle;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

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
    /// Connected peers.
    pub(super) peers: Gauge,
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
            peers: Gauge::default(),
        };
        let gauges = [
            ("chain_height_blocks", "Height of the last block applied here", &metrics.height),
            ("chain_certified_height_blocks", "Height up to which all is certified", &metrics.certified_height),
            (
                "mempool_transactions",
                "Transactions that wait for a block here, those sent to the leader included",
                &metrics.mempool_transactions,
            ),
            ("ordering_term", "Raft term as seen here", &metrics.ordering_term),
            ("ordering_leader", "1 where this node leads, else 0", &metrics.is_leader),
            ("network_peers", "Peers that are connected and passed the handshake", &metrics.peers),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
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
