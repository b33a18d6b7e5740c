//! One connection from its TLS handshake to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::guarded_io::GuardedIo;
use super::slots::Slot;
use super::state::ConnectionState;
use crate::http::app::App;
use crate::http::filter;
use crate::http::limits::{
    HEAD_BUFFER_BYTES, HEADER_TIMEOUT, HEADERS_MAX, LINGER_BYTES_MAX, LINGER_TIMEOUT, SHUTDOWN_GRACE,
    TLS_HANDSHAKE_TIMEOUT,
};
use crate::http::metrics::ConnectionEnd;
use crate::http::refusal::Refusal;
use crate::http::respond::bare_response;

/// What warp's filters do not tell of a request: who is at the other end, and the target exactly as sent, which is signed.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) address: IpAddr,
    pub(crate) target: Option<PathAndQuery>,
}

/// Runs a connection to its end.
pub(super) async fn run(
    stream: TcpStream,
    address: IpAddr,
    tls: Option<TlsAcceptor>,
    app: Arc<App>,
    slot: Slot,
    shutdown: CancellationToken,
) {
    let evicted = slot.state.evicted.clone();
    let metrics = app.metrics.clone();
    let conversation = async {
        match tls {
            None => converse(stream, address, app, Arc::clone(&slot.state), shutdown).await,
            Some(acceptor) => match timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, address, app, Arc::clone(&slot.state), shutdown).await,
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "a TLS handshake failed");
                    ConnectionEnd::HandshakeFailed
                }
                Err(_) => ConnectionEnd::HandshakeSlow,
            },
        }
    };
    let end = tokio::select! {
        end = conversation => end,
        () = evicted.cancelled() => ConnectionEnd::Evicted,
    };
    metrics.connection_ended(end);
}

async fn converse<T>(
    stream: T,
    address: IpAddr,
    app: Arc<App>,
    state: Arc<ConnectionState>,
    shutdown: CancellationToken,
) -> ConnectionEnd
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(GuardedIo::new(stream, Arc::clone(&state)));
    let handler = warp::service(filter::all(app));
    let service_state = Arc::clone(&state);
    let service = service_fn(move |mut request: Request<Incoming>| {
        service_state.request_began();
        let target = request.uri().path_and_query().cloned();
        request.extensions_mut().insert(Arrival { address, target });
        let answer = handler.clone().call(request);
        let state = Arc::clone(&service_state);
        let answered: BoxFuture<'static, Result<Response<_>, Infallible>> =
            Box::pin(async move { answer.await.map(|response| response.map(|body| Tracked { body, state })) });
        answered
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(io, service);
    let served = tokio::select! {
        served = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(served),
        () = shutdown.cancelled() => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            match timeout(SHUTDOWN_GRACE, poll_fn(|context| connection.poll_without_shutdown(context))).await {
                Ok(served) => served,
                Err(_) => return ConnectionEnd::Shutdown,
            }
        }
    };
    let mut io = connection.into_parts().io.into_inner();
    let end = match served {
        Ok(()) => ConnectionEnd::Done,
        Err(error) if error.is_timeout() && state.head_began() => {
            let answer = bare_response(&Refusal::HeadSlow(HEADER_TIMEOUT));
            // The peer may be gone already; there is nobody else to tell.
            let _ = timeout(LINGER_TIMEOUT, io.write_all(&answer)).await;
            ConnectionEnd::HeadSlow
        }
        Err(error) if error.is_timeout() => ConnectionEnd::IdleTooLong,
        Err(error) if error.is_parse() => ConnectionEnd::HeadMalformed,
        Err(error) => {
            tracing::debug!(%address, %error, "a connection broke");
            ConnectionEnd::Broken
        }
    };
    linger(io).await;
    end
}

/// Closes the sending side, then reads for a short while what the client still sends: closing with unread bytes would
/// reset the connection and could destroy the answer before the client has read it.
async fn linger<T: AsyncRead + AsyncWrite + Unpin>(mut io: T) {
    let drained = async {
        io.shutdown().await?;
        let mut left = LINGER_BYTES_MAX;
        let mut buffer = vec![0; 4096];
        while left > 0 {
            let count = io.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            left = left.saturating_sub(count);
        }
        io::Result::Ok(())
    };
    // Time out or broken: either way the connection is at its end.
    let _ = timeout(LINGER_TIMEOUT, drained).await;
}

/// An answer's body that tells the connection when it is at its end.
struct Tracked<B> {
    body: B,
    state: Arc<ConnectionState>,
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        self.state.answer_ended();
    }
}
