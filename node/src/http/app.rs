//! What all requests share, and what a handler is given of one.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use galen_types::Timestamp;
use galen_types::member::Account;
use http::HeaderMap;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::auth::{Gate, account_and_standing};
use super::consistency::ReadHeight;
use super::limits::{
    APPLICATION_BURST, APPLICATION_BURST_ALL, APPLICATIONS_PER_MINUTE, APPLICATIONS_PER_MINUTE_ALL,
    BODY_BYTES_IN_MEMORY_MAX, CONFIRMATIONS_MAX, CONFIRMATIONS_OPEN_MAX, DIAL_BURST, DIAL_BURST_ALL, DIALS_PER_MINUTE,
    DIALS_PER_MINUTE_ALL, DOWNLOADS_MAX, JOIN_BURST, JOIN_BURST_ALL, JOINS_PER_MINUTE, JOINS_PER_MINUTE_ALL,
    READ_QUEUE_TIMEOUT, READS_MAX, UPLOADS_MAX,
};
use super::metrics::HttpMetrics;
use super::public_rate::PublicRate;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Access, Table};
use super::server::Server;
use super::services::{ChainService, ChainView, ServiceError, Services};
use super::stream_places::StreamPlaces;
use super::{openapi, routes};

/// What all requests share.
pub(crate) struct App {
    pub(crate) services: Services,
    pub(crate) table: Table,
    pub(crate) gate: Gate,
    pub(crate) metrics: HttpMetrics,
    pub(crate) registry: Arc<Registry>,
    /// The OpenAPI document as served.
    pub(crate) openapi: Bytes,
    /// Bytes that large bodies may take in memory.
    pub(crate) memory: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    /// Accounts' reads that wait to be confirmed.
    pub(crate) confirmations: Semaphore,
    /// Strangers' reads that wait to be confirmed.
    pub(crate) confirmations_open: Semaphore,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) downloads: Arc<Semaphore>,
    pub(crate) streams: Arc<StreamPlaces>,
    /// Applications for membership by address.
    pub(crate) applications: PublicRate,
    /// Questions where an application stands, by address.
    pub(crate) joins: PublicRate,
    /// Dials of applicants' nodes by address.
    pub(crate) dials: PublicRate,
    /// Backups and snapshots at a time: each reads the whole ledger.
    pub(crate) copies: Arc<Semaphore>,
    /// Where others reach this node, as far as the settings say.
    pub(crate) public_url: Option<String>,
    /// Cancelled when the node stops; streams end then.
    pub(crate) shutdown: CancellationToken,
    /// Whether clients come over TLS.
    pub(crate) secure: bool,
    request_ids: RequestIds,
}

impl App {
    pub(crate) fn new(
        services: Services,
        metrics: HttpMetrics,
        registry: Arc<Registry>,
        server: &Server,
        shutdown: CancellationToken,
    ) -> Result<Self, ServiceError> {
        let table = Table::new(routes::all());
        let document = openapi::document(&table, services.chain.genesis());
        let openapi = serde_json::to_vec(&document).map_err(|error| ServiceError::internal(&error))?;
        Ok(Self {
            services,
            table,
            gate: Gate::new(server.bound()),
            metrics,
            registry,
            openapi: openapi.into(),
            memory: Arc::new(Semaphore::new(BODY_BYTES_IN_MEMORY_MAX)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            confirmations: Semaphore::new(CONFIRMATIONS_MAX),
            confirmations_open: Semaphore::new(CONFIRMATIONS_OPEN_MAX),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            streams: StreamPlaces::new(),
            applications: PublicRate::new(
                (APPLICATION_BURST, APPLICATIONS_PER_MINUTE),
                (APPLICATION_BURST_ALL, APPLICATIONS_PER_MINUTE_ALL),
            ),
            joins: PublicRate::new((JOIN_BURST, JOINS_PER_MINUTE), (JOIN_BURST_ALL, JOINS_PER_MINUTE_ALL)),
            dials: PublicRate::new((DIAL_BURST, DIALS_PER_MINUTE), (DIAL_BURST_ALL, DIALS_PER_MINUTE_ALL)),
            copies: Arc::new(Semaphore::new(1)),
            public_url: server.public_url().map(str::to_owned),
            shutdown,
            secure: server.is_secure(),
            request_ids: RequestIds::new(),
        })
    }

    pub(crate) fn next_request_id(&self) -> String {
        self.request_ids.next()
    }
}

/// Numbers requests: unique within a process, and across restarts as far as the clock moves.
struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        Self { start: Timestamp::now().0 & 0xffff_ffff, count: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}{:08x}", self.start, count & 0xffff_ffff)
    }
}

/// Reads the chain on this thread.
pub(crate) fn read_now<R>(
    chain: &dyn ChainService,
    reader: impl FnOnce(&dyn ChainView) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let view = chain.view()?;
    reader(&*view)
}

/// What a handler is given of a request; its body comes apart.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    /// The path's parameters as sent, in order.
    pub(crate) parameters: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) address: IpAddr,
    /// Who asks, proven.
    pub(crate) account: Option<Account>,
    /// The height of the view by which the account was proven.
    pub(crate) proven_at: u64,
    /// Who may ask.
    pub(crate) access: Access,
    /// The height that the answer is true of.
    pub(crate) read_height: Arc<ReadHeight>,
}

impl Call {
    /// Who asks; routes that need an account are not reached without.
    pub(crate) fn account(&self) -> Result<&Account, Refusal> {
        self.account.as_ref().ok_or(Refusal::AuthenticationMissing)
    }

    /// A parameter of the path, by its place.
    pub(crate) fn parameter(&self, place: usize) -> &str {
        self.parameters.get(place).map_or("", String::as_str)
    }

    /// A parameter of the path, read.
    pub(crate) fn path<T: FromStr<Err: std::fmt::Display>>(
        &self,
        place: usize,
        name: &'static str,
    ) -> Result<T, Refusal> {
        self.parameter(place)
            .parse()
            .map_err(|error: T::Err| Refusal::ParameterInvalid { name, problem: error.to_string() })
    }

    /// The chain.
    pub(crate) fn chain(&self) -> &dyn ChainService {
        &*self.app.services.chain
    }

    /// The same by what a view says of who asks: they may have lost the right, or the key, since they were proven.
    fn as_of(self: &Arc<Self>, view: &dyn ChainView) -> Result<Arc<Self>, Refusal> {
        let Some(known) = self.account.as_ref().filter(|_| view.height() != self.proven_at) else {
            return Ok(Arc::clone(self));
        };
        let (account, active) =
            account_and_standing(view.state(), &known.name)?.ok_or(Refusal::AuthenticationFailed)?;
        if account.key != known.key {
            return Err(Refusal::AuthenticationFailed);
        }
        if !active {
            return Err(Refusal::AccountNotActive);
        }
        self.access.check(&account, self.chain().node())?;
        Ok(Arc::new(Self { account: Some(account), proven_at: view.height(), ..Self::clone(self) }))
    }

    /// Reads the chain on a thread that may block, for who asks as the same view knows them.
    pub(crate) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        reader: impl FnOnce(&Self, &dyn ChainView) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, Refusal> {
        let permit = match timeout(READ_QUEUE_TIMEOUT, Arc::clone(&self.app.reads).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(Refusal::TooManyAtOnce("reads")),
        };
        let call = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read_now(&*call.app.services.chain, |view| {
                call.read_height.note(view.height());
                reader(&*call.as_of(view)?, view)
            })
        })
        .await
        .unwrap_or_else(|error| Err(Refusal::Service(ServiceError::internal(&error))))
    }
}
