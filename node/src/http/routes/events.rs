//! Server-sent events: blocks, certification, receipts of the reader's member, jobs that the reader may see.
//!
//! Events come from a bounded broadcast. A client that reads too slowly falls behind it; it is told how many events it
//! missed and its stream ends, so that it neither holds memory here nor believes to have seen all.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use galen_contracts::query::get_job;
use galen_types::JobId;
use galen_types::api::{StreamEvent, TransactionStatus};
use http::StatusCode;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::viewer;
use crate::http::app::{Call, read_now};
use crate::http::auth::account_and_standing;
use crate::http::limits::STREAM_KEEP_ALIVE;
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{Response, streamed};
use crate::http::route::{Handler, Route};
use crate::http::stream_places::StreamPlace;

const EVENT_STREAM: &str = "text/event-stream";
const KINDS: Parameter =
    Parameter::new("kinds", "Which events, separated by commas: block, certified, receipt, job; all if not said");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/events",
            "Server-sent events from now on: blocks, certification, receipts of the account's member, jobs; `lagged` ends a stream that is read too slowly",
            Handler::Act(|call, _| Box::pin(async move { open(call) })),
        )
        .query(&[KINDS])
        .gives_other(EVENT_STREAM),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Block,
    Certified,
    Receipt,
    Job,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Block, Self::Certified, Self::Receipt, Self::Job];

    fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Certified => "certified",
            Self::Receipt => "receipt",
            Self::Job => "job",
        }
    }

    fn of(event: &StreamEvent) -> Self {
        match event {
            StreamEvent::Block(_) => Self::Block,
            StreamEvent::Certified { .. } => Self::Certified,
            StreamEvent::Receipt(_) => Self::Receipt,
            StreamEvent::Job { .. } => Self::Job,
        }
    }
}

fn kinds(text: Option<&str>) -> Result<BTreeSet<Kind>, Refusal> {
    let Some(text) = text else { return Ok(Kind::ALL.into()) };
    text.split(',').map(|word| Kind::ALL.into_iter().find(|kind| kind.word() == word)).collect::<Option<_>>().ok_or(
        Refusal::ParameterInvalid {
            name: "kinds",
            problem: "it must be some of block, certified, receipt, job, separated by commas".to_owned(),
        },
    )
}

/// One client's stream.
struct Events {
    call: Arc<Call>,
    kinds: BTreeSet<Kind>,
    receiver: Receiver<Arc<StreamEvent>>,
    keep_alive: Interval,
    ended: bool,
    _place: StreamPlace,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.call.app.metrics.stream_ended();
    }
}

fn open(call: Arc<Call>) -> Result<Response, Refusal> {
    let kinds = kinds(call.query.text("kinds"))?;
    let place = call.app.streams.take(&call.account()?.name).ok_or(Refusal::TooManyAtOnce("event streams"))?;
    call.app.metrics.stream_opened();
    let mut keep_alive = interval(STREAM_KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let receiver = call.chain().subscribe();
    let events = Events { call, kinds, receiver, keep_alive, ended: false, _place: place };
    let stream = futures::stream::unfold(events, |mut events| async move {
        let text = events.next().await?;
        Some((Ok(Bytes::from(text)), events))
    });
    Ok(streamed(StatusCode::OK, EVENT_STREAM, stream.boxed()))
}

/// What the client is sent next.
enum Next {
    Text(String),
    Skip,
    End,
}

impl Events {
    /// The next text to send; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        loop {
            let shutdown = self.call.app.shutdown.clone();
            let next = tokio::select! {
                received = self.receiver.recv() => self.received(received).await,
                _ = self.keep_alive.tick() => self.kept_alive().await,
                () = shutdown.cancelled() => Next::End,
            };
            match next {
                Next::Text(text) => return Some(text),
                Next::Skip => {}
                Next::End => return None,
            }
        }
    }

    async fn received(&mut self, received: Result<Arc<StreamEvent>, RecvError>) -> Next {
        match received {
            Ok(event) => match self.shown(&event).await {
                Ok(Some(text)) => Next::Text(text),
                Ok(None) => Next::Skip,
                Err(refusal) => {
                    tracing::warn!(%refusal, "an event stream ends");
                    Next::End
                }
            },
            Err(RecvError::Lagged(missed)) => {
                self.call.app.metrics.stream_lagged();
                self.ended = true;
                Next::Text(format!("event: lagged\ndata: {{\"missed\":{missed}}}\n\n"))
            }
            Err(RecvError::Closed) => Next::End,
        }
    }

    /// A comment, unless the account no longer takes part.
    async fn kept_alive(&self) -> Next {
        let active = self
            .call
            .read(|call, view| {
                let standing = account_and_standing(view.state(), &call.account()?.name)?;
                Ok(standing.is_some_and(|(_, active)| active))
            })
            .await;
        match active {
            Ok(true) => Next::Text(": keep-alive\n\n".to_owned()),
            _ => Next::End,
        }
    }

    /// An event as text, if the client wants it and may see it.
    async fn shown(&self, event: &StreamEvent) -> Result<Option<String>, Refusal> {
        let kind = Kind::of(event);
        if !self.kinds.contains(&kind) {
            return Ok(None);
        }
        let seen = match event {
            StreamEvent::Block(_) | StreamEvent::Certified { .. } => true,
            StreamEvent::Receipt(status) => self.is_own(status)?,
            StreamEvent::Job { job, .. } => self.sees_job(*job)?,
        };
        if !seen {
            return Ok(None);
        }
        let document = serde_json::to_string(event).map_err(|_| Refusal::Internal)?;
        Ok(Some(format!("event: {}\ndata: {document}\n\n", kind.word())))
    }

    fn is_own(&self, status: &TransactionStatus) -> Result<bool, Refusal> {
        let member = &self.call.account()?.name.member;
        Ok(status.body.as_ref().is_some_and(|body| body.signer.member() == member))
    }

    /// One read of one record: not worth a thread of its own.
    fn sees_job(&self, id: JobId) -> Result<bool, Refusal> {
        read_now(self.call.chain(), |view| {
            let viewer = viewer(&self.call, view)?;
            Ok(get_job(view.state(), id)?.is_some_and(|job| viewer.sees_job(&job)))
        })
    }
}
