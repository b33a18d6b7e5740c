//! What the network counts. The embedder reads [`NetworkCounters`] and exports them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, length: usize) {
        self.add(u64::try_from(length).unwrap_or(u64::MAX));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($(#[$outer:meta])* $live:ident, $snapshot:ident { $(#[doc = $doc:literal] $name:ident,)* }) => {
        #[derive(Debug, Default)]
        pub(crate) struct $live {
            $(pub(crate) $name: Counter,)*
        }

        $(#[$outer])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $snapshot {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl $live {
            pub(crate) fn snapshot(&self) -> $snapshot {
                $snapshot { $($name: self.$name.get(),)* }
            }
        }

        impl $snapshot {
            /// Name, what it counts, and value of each counter, for an exporter.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc.trim_ascii(), self.$name),)*]
            }
        }
    };
}

counters!(
    /// Counts since the network started. They never decrease.
    Metrics, NetworkCounters {
        /// Connections, both planes and directions, that passed Noise, admission and handshake.
        connections_established,
        /// Established connections that ended, for whatever reason.
        connections_closed,
        /// Dials that failed: unreachable, timeout, refused, wrong key.
        dials_failed,
        /// Inbound connections that failed before they were established (refusals included).
        inbound_failed,
        /// Inbound connections closed at once because too many were in set-up.
        refused_pending_full,
        /// Connections from keys that are not registered, closed after Noise.
        refused_not_registered,
        /// Handshakes refused here or by the peer because the genesis differs.
        refused_wrong_genesis,
        /// Handshakes refused here or by the peer because the chain's name differs.
        refused_wrong_chain,
        /// Handshakes refused here or by the peer because the protocol version differs.
        refused_protocol_version,
        /// Handshakes refused here or by the peer because the two ledgers hold different recoveries.
        refused_wrong_lineage,
        /// Handshakes refused for another reason: wrong name, wrong port, malformed, or the peer does not know us.
        refused_other,
        /// Connections closed because their peer left the registry.
        peers_removed,
        /// Connections closed because the peer has newer ones (above the limit per peer, or from before its restart).
        connections_superseded,
        /// Handshakes refused here or by the peer because another process with the same key is connected and answers.
        duplicate_identities,
        /// Pings without an answer; each closes its connection.
        pings_failed,
        /// Raft frames written to streams.
        raft_frames_sent,
        /// Raft frames handed to the embedder's queue.
        raft_frames_received,
        /// Bytes of raft frames written.
        raft_bytes_sent,
        /// Bytes of raft frames received.
        raft_bytes_received,
        /// Raft frames dropped: queue full, peer not connected, or stream broken twice while writing.
        raft_frames_dropped,
        /// Frames of forwarded transactions written to streams.
        transactions_frames_sent,
        /// Frames of forwarded transactions handed to the embedder's queue.
        transactions_frames_received,
        /// Frames of forwarded transactions dropped: queue full, peer not connected, or stream broken twice.
        transactions_frames_dropped,
        /// Frames larger than their protocol allows; each closed its stream.
        frames_oversize,
        /// Streams that broke or timed out (oversize frames included).
        streams_broken,
        /// Requests sent.
        requests_sent,
        /// Requests received and handed to the embedder's queue.
        requests_received,
        /// Requests from peers refused before the embedder saw them: too many at once, too large, malformed.
        requests_refused,
        /// Requests sent that failed: refused, broken, or past their deadline.
        requests_failed,
        /// Files asked of peers.
        files_opened,
        /// Files asked by peers and handed to the embedder's queue.
        files_served,
        /// File requests from peers refused before the embedder saw them.
        files_refused,
        /// Bytes of files sent.
        file_bytes_sent,
        /// Bytes of files received.
        file_bytes_received,
        /// Gossip messages published by this node.
        gossip_published,
        /// Gossip messages that could not be published: too large, queue full, nobody subscribed, duplicate.
        gossip_publish_failed,
        /// Gossip messages handed to the embedder's queue.
        gossip_received,
        /// Gossip messages rejected here: author not registered, unknown topic, too large for the topic.
        gossip_rejected,
        /// Gossip messages dropped because the queue to the embedder was full.
        gossip_dropped,
    }
);

counters!(
    /// Counts of one peer since it connected.
    PeerMetrics, PeerCounters {
        /// Raft frames written.
        raft_frames_sent,
        /// Raft frames received.
        raft_frames_received,
        /// Raft frames dropped.
        raft_frames_dropped,
        /// Frames of forwarded transactions written.
        transactions_frames_sent,
        /// Frames of forwarded transactions received.
        transactions_frames_received,
        /// Frames of forwarded transactions dropped.
        transactions_frames_dropped,
        /// Requests sent.
        requests_sent,
        /// Requests received.
        requests_received,
        /// Gossip messages received from this peer (whoever wrote them).
        gossip_received,
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_and_explain_each_counter() {
        let metrics = PeerMetrics::default();
        metrics.requests_sent.add(3);
        let entries = metrics.snapshot().entries();
        assert!(entries.contains(&("requests_sent", "Requests sent.", 3)));
    }
}
