//! What the HTTP face counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// By either side, between requests or after the last one.
    Done,
    /// No request came for too long.
    IdleTooLong,
    /// A request's head took too long.
    HeadSlow,
    /// A request's head was no HTTP/1.1, or too large.
    HeadMalformed,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// The TLS handshake took too long.
    HandshakeSlow,
    /// Broken, or the client did not take its answer.
    Broken,
    /// Closed to make room for a newcomer.
    Evicted,
    /// Cut off at shutdown.
    Shutdown,
}

impl ConnectionEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::IdleTooLong => "idle-too-long",
            Self::HeadSlow => "head-slow",
            Self::HeadMalformed => "head-malformed",
            Self::HandshakeFailed => "handshake-failed",
            Self::HandshakeSlow => "handshake-slow",
            Self::Broken => "broken",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    end: &'static str,
}

/// Upper bounds of the latency histogram's buckets, seconds: from a cached read to the longest wait.
const LATENCY_BUCKETS_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The metrics of the HTTP face; clones count together.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    refusals: Family<CodeLabels, Counter>,
    connections_open: Gauge,
    connections: Counter,
    connections_refused: Counter,
    connection_ends: Family<EndLabels, Counter>,
    accept_failures: Counter,
    streams_open: Gauge,
    streams_lagged: Counter,
}

impl HttpMetrics {
    /// Registers all under the prefix `http`.
    pub fn new(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS_S);
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(histogram),
            refusals: Family::default(),
            connections_open: Gauge::default(),
            connections: Counter::default(),
            connections_refused: Counter::default(),
            connection_ends: Family::default(),
            accept_failures: Counter::default(),
            streams_open: Gauge::default(),
            streams_lagged: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("http");
        registry.register(
            "requests",
            "Requests answered, by route and class of status; heads that were no HTTP are counted as connection ends",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's complete head to its answer's head; includes waiting for a receipt, not the sending of the answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "refusals",
            "Requests answered with a problem document, by its code",
            metrics.refusals.clone(),
        );
        registry.register(
            "connections_open",
            "Connections that are open now, those in a TLS handshake included",
            metrics.connections_open.clone(),
        );
        registry.register(
            "connections",
            "Connections accepted; those refused for want of room are not counted",
            metrics.connections.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections refused because all places were taken by busy ones",
            metrics.connections_refused.clone(),
        );
        registry.register(
            "connection_ends",
            "Accepted connections that have ended, by how",
            metrics.connection_ends.clone(),
        );
        registry.register(
            "accept_failures",
            "Failures of the operating system to give a connection, e.g. for want of file descriptors",
            metrics.accept_failures.clone(),
        );
        registry.register(
            "event_streams_open",
            "Server-sent event streams that are open now",
            metrics.streams_open.clone(),
        );
        registry.register(
            "event_streams_lagged",
            "Server-sent event streams ended because the client was too slow",
            metrics.streams_lagged.clone(),
        );
        metrics
    }

    pub(crate) fn answered(&self, route: &'static str, method: &'static str, status: u16, seconds: f64) {
        let class = match status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&RequestLabels { route, method, class }).inc();
        self.duration.get_or_create(&RouteLabels { route, method }).observe(seconds);
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&CodeLabels { code }).inc();
    }

    pub(crate) fn connection_opened(&self) {
        self.connections.inc();
        self.connections_open.inc();
    }

    pub(crate) fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    pub(crate) fn connection_ended(&self, end: ConnectionEnd) {
        self.connections_open.dec();
        self.connection_ends.get_or_create(&EndLabels { end: end.label() }).inc();
    }

    pub(crate) fn accept_failed(&self) {
        self.accept_failures.inc();
    }

    pub(crate) fn stream_opened(&self) {
        self.streams_open.inc();
    }

    pub(crate) fn stream_ended(&self) {
        self.streams_open.dec();
    }

    pub(crate) fn stream_lagged(&self) {
        self.streams_lagged.inc();
    }
}
