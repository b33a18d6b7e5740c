//! Request bodies: bounded in bytes and time, whether their length is announced or they come in chunks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::limits::{BODY_TIMEOUT, JSON_BODY_BYTES_MAX, UPLOAD_PROGRESS_BYTES, UPLOAD_PROGRESS_TIMEOUT};
use super::refusal::Refusal;
use super::services::ByteStream;

/// A body as it comes from the connection.
pub(crate) type Incoming = BoxStream<'static, Result<Bytes, warp::Error>>;

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// Nothing.
    None,
    /// Octets, read into memory.
    Octets {
        /// At most so many bytes.
        limit: usize,
    },
    /// JSON, read into memory.
    Json {
        /// At most so many bytes.
        limit: usize,
    },
    /// Octets of the announced length, as they come.
    Upload,
}

/// A body as a handler gets it.
pub(crate) enum RequestBody {
    /// Read into memory.
    Whole(WholeBody),
    /// As it comes.
    Upload(ByteStream),
}

/// A body read into memory, with its share of the memory for bodies.
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl RequestBody {
    /// The bytes; none of an upload.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(whole) => &whole.bytes,
            Self::Upload(_) => &[],
        }
    }

    /// The JSON document. serde_json nests at most 128 deep and no type here nests at will.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(self.bytes()).map_err(|error| Refusal::JsonMalformed(error.to_string()))
    }
}

/// Bytes of each body that do not count against the memory for bodies: small requests are never refused because others
/// send large ones.
const BYTES_FREE: usize = JSON_BODY_BYTES_MAX;

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Checks what the head says of the body.
pub(crate) fn check_head(rule: BodyRule, headers: &HeaderMap) -> Result<(), Refusal> {
    let (limit, expected) = match rule {
        BodyRule::None => (0, None),
        BodyRule::Octets { limit } => (limit, Some(super::respond::OCTETS)),
        BodyRule::Json { limit } => (limit, Some(super::respond::JSON)),
        BodyRule::Upload => (usize::MAX, Some(super::respond::OCTETS)),
    };
    if announced(headers).is_some_and(|length| length > limit as u64) {
        return Err(Refusal::BodyTooLarge { limit: limit as u64 });
    }
    let Some(expected) = expected else { return Ok(()) };
    let given = match headers.get(CONTENT_TYPE) {
        Some(value) => value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim(),
        None if matches!(rule, BodyRule::Json { .. }) => "",
        None => return Ok(()),
    };
    if given.eq_ignore_ascii_case(expected) { Ok(()) } else { Err(Refusal::ContentType(expected)) }
}

/// Reads a body into memory. Counts what comes: an announced length is not believed, and chunks are bounded as well.
pub(crate) async fn read_whole(
    mut incoming: Incoming,
    limit: usize,
    memory: &Arc<Semaphore>,
) -> Result<WholeBody, Refusal> {
    let deadline = Instant::now() + BODY_TIMEOUT;
    let mut next = async || timeout_at(deadline, incoming.next()).await.map_err(|_| Refusal::BodySlow);
    let too_large = || Refusal::BodyTooLarge { limit: limit as u64 };
    let first = match next().await? {
        None => Bytes::new(),
        Some(chunk) => chunk.map_err(|_| Refusal::BodyBroken)?,
    };
    if first.len() > limit {
        return Err(too_large());
    }
    let mut share: Option<OwnedSemaphorePermit> = None;
    let mut gathered = BytesMut::new();
    while let Some(chunk) = next().await? {
        let chunk = chunk.map_err(|_| Refusal::BodyBroken)?;
        if gathered.is_empty() {
            gathered.extend_from_slice(&first);
        }
        let length = gathered.len() + chunk.len();
        if length > limit {
            return Err(too_large());
        }
        let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = length.saturating_sub(BYTES_FREE + held);
        if more > 0 {
            let count = u32::try_from(more).unwrap_or(u32::MAX);
            let permit =
                Arc::clone(memory).try_acquire_many_owned(count).map_err(|_| Refusal::TooManyAtOnce("large bodies"))?;
            match &mut share {
                Some(share) => share.merge(permit),
                None => share = Some(permit),
            }
        }
        gathered.extend_from_slice(&chunk);
    }
    let bytes = if gathered.is_empty() { first } else { gathered.freeze() };
    Ok(WholeBody { bytes, _share: share })
}

/// An upload that ends in an error when it brings more or less than announced, or hardly anything for long.
pub(crate) fn upload(incoming: Incoming, bytes: u64) -> ByteStream {
    bounded_upload(incoming, bytes, UPLOAD_PROGRESS_TIMEOUT)
}

struct Upload {
    incoming: Incoming,
    left: u64,
    /// Until when [`UPLOAD_PROGRESS_BYTES`] must have come, and how many are still missing.
    deadline: Instant,
    due: u64,
    patience: Duration,
}

fn bounded_upload(incoming: Incoming, bytes: u64, patience: Duration) -> ByteStream {
    let upload =
        Upload { incoming, left: bytes, deadline: Instant::now() + patience, due: UPLOAD_PROGRESS_BYTES, patience };
    futures::stream::try_unfold(upload, |mut upload| async move {
        let error = |kind, text| Err(std::io::Error::new(kind, text));
        match timeout_at(upload.deadline, upload.incoming.next()).await {
            Err(_) => error(std::io::ErrorKind::TimedOut, "the upload is too slow"),
            Ok(Some(Err(_))) => error(std::io::ErrorKind::ConnectionAborted, "the upload broke off"),
            Ok(None) if upload.left == 0 => Ok(None),
            Ok(None) => error(std::io::ErrorKind::UnexpectedEof, "the upload ended before the bytes announced"),
            Ok(Some(Ok(chunk))) => {
                let length = chunk.len() as u64;
                let Some(left) = upload.left.checked_sub(length) else {
                    return error(std::io::ErrorKind::InvalidData, "the upload brings more than the bytes announced");
                };
                upload.left = left;
                upload.due = upload.due.saturating_sub(length);
                if upload.due == 0 {
                    upload.due = UPLOAD_PROGRESS_BYTES;
                    upload.deadline = Instant::now() + upload.patience;
                }
                Ok(Some((chunk, upload)))
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(sizes: &[usize]) -> Incoming {
        let parts: Vec<_> = sizes.iter().map(|size| Ok(Bytes::from(vec![7; *size]))).collect();
        futures::stream::iter(parts).boxed()
    }

    async fn read(sizes: &[usize], limit: usize, memory: usize) -> Result<usize, &'static str> {
        let memory = Arc::new(Semaphore::new(memory));
        let result = read_whole(chunks(sizes), limit, &memory).await;
        result.map(|whole| whole.bytes.len()).map_err(|refusal| refusal.code())
    }

    #[tokio::test]
    async fn a_body_is_bounded_however_it_comes() {
        assert_eq!(read(&[], 10, 0).await, Ok(0));
        assert_eq!(read(&[10], 10, 0).await, Ok(10));
        assert_eq!(read(&[4, 6], 10, 0).await, Ok(10));
        assert_eq!(read(&[11], 10, 0).await, Err("body-too-large"));
        assert_eq!(read(&[4, 6, 1], 10, 0).await, Err("body-too-large"));
    }

    #[tokio::test]
    async fn large_bodies_share_a_bounded_memory_and_small_ones_do_not_need_it() {
        let sizes = [BYTES_FREE, 1000];
        assert_eq!(read(&sizes, 1 << 20, 1000).await, Ok(BYTES_FREE + 1000));
        assert_eq!(read(&sizes, 1 << 20, 999).await, Err("too-many-at-once"));
        assert_eq!(read(&[100, BYTES_FREE - 100], 1 << 20, 0).await, Ok(BYTES_FREE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_refused() {
        let memory = Arc::new(Semaphore::new(0));
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        let error = read_whole(drip.boxed(), 1 << 20, &memory).await.err().unwrap();
        assert_eq!(error.code(), "body-slow");
    }

    async fn end_of(incoming: Incoming, bytes: u64) -> Result<u64, std::io::ErrorKind> {
        let mut stream = bounded_upload(incoming, bytes, Duration::from_secs(30));
        let mut total = 0;
        while let Some(chunk) = stream.next().await {
            total += chunk.map_err(|error| error.kind())?.len() as u64;
        }
        Ok(total)
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_brings_what_was_announced_or_fails() {
        use std::io::ErrorKind;
        assert_eq!(end_of(chunks(&[5, 5]), 10).await, Ok(10));
        assert_eq!(end_of(chunks(&[5]), 10).await, Err(ErrorKind::UnexpectedEof));
        assert_eq!(end_of(chunks(&[5, 6]), 10).await, Err(ErrorKind::InvalidData));
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        assert_eq!(end_of(drip.boxed(), 1 << 20).await, Err(ErrorKind::TimedOut));
    }
}
