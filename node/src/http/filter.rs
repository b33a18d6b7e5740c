//! The one warp filter: takes each request apart, finds its route, lets in who may, runs the handler, and gives every
//! answer the same finish. Routes are matched by the table rather than by a chain of `or`s, because the table also makes
//! the OpenAPI document, and because a wrong method and a wrong path must be told apart.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::{Hash, Timestamp};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use tracing::Instrument;
use warp::{Buf, Filter, Rejection, Reply};

use super::app::{App, Call, read_now};
use super::auth::Claim;
use super::body::{BodyRule, Incoming, RequestBody, check_head, read_whole, upload};
use super::consistency::{ReadHeight, confirmed_by};
use super::limits::{TARGET_BYTES_MAX, UPLOAD_BYTES_MAX};
use super::query::Query;
use super::refusal::Refusal;
use super::respond::{Response, finish, refused};
use super::route::{Access, Handler, Route};
use super::server::Arrival;

/// Everything that is served.
pub(crate) fn all(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    warp::any()
        .map(move || Arc::clone(&app))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arrival>())
        .and(warp::body::stream())
        .then(|app: Arc<App>, method: Method, headers: HeaderMap, arrival: Arrival, body| {
            let parts = TryStreamExt::map_ok(body, whole_part).boxed();
            serve(app, method, headers, arrival, parts)
        })
        .recover(async |rejection: Rejection| {
            tracing::error!(?rejection, "a request was rejected before it was read");
            Ok::<Response, Infallible>(refused(&Refusal::Internal))
        })
}

fn whole_part(mut part: impl Buf) -> bytes::Bytes {
    part.copy_to_bytes(part.remaining())
}

/// The route's name in metrics and spans where there is no route.
const NO_ROUTE: &str = "none";

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

pub(super) async fn serve(
    app: Arc<App>,
    method: Method,
    headers: HeaderMap,
    arrival: Arrival,
    body: Incoming,
) -> Response {
    let started = Instant::now();
    let request_id = app.next_request_id();
    let target = arrival.target.as_ref().map_or("/", |target| target.as_str());
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let matched = if target.len() > TARGET_BYTES_MAX {
        Err(Refusal::TargetTooLong { bytes: target.len(), limit: TARGET_BYTES_MAX })
    } else {
        app.table.find(&method, path)
    };
    let route_path = matched.as_ref().map_or(NO_ROUTE, |matched| matched.route.path);
    let read_height = Arc::new(ReadHeight::default());
    let span = tracing::info_span!("request", id = %request_id, method = %method, route = route_path);
    let outcome = match matched {
        Ok(matched) => {
            let request = Request {
                app: &app,
                route: matched.route,
                parameters: matched.parameters,
                target,
                headers,
                address: arrival.address,
                read_height: Arc::clone(&read_height),
            };
            request.run(body).instrument(span.clone()).await
        }
        Err(refusal) => Err(refusal),
    };
    let mut response = outcome.unwrap_or_else(|refusal| {
        app.metrics.refused(refusal.code());
        span.in_scope(|| tracing::debug!(code = refusal.code(), %refusal, "refused"));
        refused(&refusal)
    });
    let elapsed = started.elapsed().as_secs_f64();
    app.metrics.answered(route_path, method_name(&method), response.status().as_u16(), elapsed);
    finish(&mut response, &request_id, read_height.get(), app.secure);
    response
}

/// A request on its way to its handler.
struct Request<'request> {
    app: &'request Arc<App>,
    route: &'request Route,
    parameters: Vec<String>,
    target: &'request str,
    headers: HeaderMap,
    address: IpAddr,
    read_height: Arc<ReadHeight>,
}

impl Request<'_> {
    async fn run(self, body: Incoming) -> Result<Response, Refusal> {
        let text = self.target.split_once('?').map_or("", |(_, query)| query);
        let query = Query::parse(text, &self.route.query)?;
        check_head(self.route.body, &self.headers)?;
        if let Some(deadline) = confirmed_by(&query)? {
            // Before anything is looked up: who asks, and whether they may, is part of what must not be stale.
            self.confirm(deadline).await?;
        }
        let (claim, proven_at) = match self.claim() {
            Ok(claim) => claim,
            Err(refusal) => return Err(self.not_let_in(refusal)),
        };
        let (body, hash) = self.take_body(&query, body, claim.is_some()).await?;
        let account = match claim {
            None => None,
            Some(claim) => match self.app.gate.prove(claim, &self.signed_parts(&hash), Timestamp::now()) {
                Ok(account) => Some(account),
                Err(refusal) => return Err(self.not_let_in(refusal)),
            },
        };
        if let Some(account) = &account {
            self.route.access.check(account, self.app.services.chain.node())?;
        }
        let handler = self.route.handler;
        let call = Arc::new(Call {
            app: Arc::clone(self.app),
            parameters: self.parameters,
            query,
            headers: self.headers,
            address: self.address,
            account,
            proven_at,
            access: self.route.access,
            read_height: self.read_height,
        });
        match handler {
            Handler::Read(reader) => call.read(reader).await,
            Handler::Act(act) => act(call, body).await,
        }
    }

    /// Counts what a stranger who guesses would do.
    fn not_let_in(&self, refusal: Refusal) -> Refusal {
        if matches!(refusal, Refusal::AuthenticationFailed | Refusal::RequestReplayed) {
            self.app.gate.failed(self.address);
        }
        refusal
    }

    fn signed_parts<'parts>(&'parts self, body: &'parts Hash) -> SignedParts<'parts> {
        SignedParts {
            genesis: self.app.services.chain.genesis_hash(),
            node: self.app.services.chain.node(),
            method: self.route.method.as_str(),
            path: self.target,
            body,
        }
    }

    /// What the request says of who asks, where that is wanted; its time is judged.
    fn signature(&self) -> Result<Option<RequestSignature>, Refusal> {
        let wanted = match self.route.access {
            Access::Open => false,
            Access::Optional => self.headers.contains_key(AUTHORIZATION),
            Access::Account | Access::Roles(_) | Access::Operator => true,
        };
        if !wanted {
            return Ok(None);
        }
        self.app.gate.check_address(self.address)?;
        self.app.gate.read_header(&self.headers, Timestamp::now()).map(Some)
    }

    /// Who asks as the node's newest view knows them, and that view's height.
    fn claim(&self) -> Result<(Option<Claim>, u64), Refusal> {
        let Some(signature) = self.signature()? else { return Ok((None, 0)) };
        read_now(&*self.app.services.chain, |view| {
            Ok((Some(self.app.gate.claim(view.state(), signature)?), view.height()))
        })
    }

    /// Waits until whatever is read afterwards is not stale. Reads have no body.
    async fn confirm(&self, deadline: Instant) -> Result<(), Refusal> {
        let is_account = match self.signature()? {
            None => false,
            Some(signature) => {
                let nothing = Hash(*blake3::hash(&[]).as_bytes());
                let parts = self.signed_parts(&nothing);
                read_now(&*self.app.services.chain, |view| self.app.gate.vouches(view.state(), &signature, &parts))?
            }
        };
        let places = if is_account { &self.app.confirmations } else { &self.app.confirmations_open };
        let _place = places.try_acquire().map_err(|_| Refusal::TooManyAtOnce("linearizable reads"))?;
        Ok(self.app.services.chain.confirm(deadline).await?)
    }

    /// The body, and the hash that is signed for it. An upload is signed by the hash that its query names; the store
    /// compares while it comes.
    async fn take_body(&self, query: &Query, body: Incoming, signed: bool) -> Result<(RequestBody, Hash), Refusal> {
        let limit = match self.route.body {
            BodyRule::Upload => {
                let (hash, bytes) = (query.need::<Hash>("ciphertext")?, query.need::<u64>("bytes")?);
                if bytes > UPLOAD_BYTES_MAX {
                    return Err(Refusal::BodyTooLarge { limit: UPLOAD_BYTES_MAX });
                }
                return Ok((RequestBody::Upload(upload(body, bytes)), hash));
            }
            BodyRule::None => 0,
            BodyRule::Json { limit } | BodyRule::Octets { limit } => limit,
        };
        let whole = read_whole(body, limit, &self.app.memory).await?;
        let hash = if signed { Hash(*blake3::hash(&whole.bytes).as_bytes()) } else { Hash::ZERO };
        Ok((RequestBody::Whole(whole), hash))
    }
}
