//! Giving files out, against the certified receipt of a `Download`.

use std::sync::Arc;

use futures::StreamExt;
use galen_types::api::DownloadTicket;
use galen_types::{Call as ChainCall, TransactionId};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::released::certified_call;
use crate::http::app::Call;
use crate::http::refusal::Refusal;
use crate::http::respond::{OCTETS, Response, json, streamed};
use crate::http::route::{Handler, Route};
use crate::http::services::{ByteRange, FileContent};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/downloads/{transaction}",
            "What a certified Download receipt of the account releases, with the file key wrapped to it",
            Handler::Act(|call, _| Box::pin(ticket(call))),
        )
        .gives::<DownloadTicket>(),
        Route::get(
            "/v1/downloads/{transaction}/content",
            "The ciphertext that a certified Download receipt of the account releases; one range is supported",
            Handler::Act(|call, _| Box::pin(content(call))),
        )
        .gives_octets(),
    ]
}

/// The transaction of the path, found to release a file to the account.
async fn released(call: &Arc<Call>) -> Result<TransactionId, Refusal> {
    call.read(|call, view| {
        let id: TransactionId = call.path(0, "transaction")?;
        match certified_call(call, view, &id, "download")? {
            ChainCall::Download { .. } => Ok(id),
            _ => Err(Refusal::NotFound("download")),
        }
    })
    .await
}

async fn ticket(call: Arc<Call>) -> Result<Response, Refusal> {
    let id = released(&call).await?;
    let account = call.account()?.clone();
    json(&call.app.services.files.download_ticket(id, account).await?)
}

/// `bytes=0-99`, `bytes=100-` or `bytes=-100`; several ranges at once are answered with the whole file, as RFC 9110
/// allows.
fn range_of(headers: &HeaderMap) -> Result<Option<ByteRange>, Refusal> {
    let Some(value) = headers.get(RANGE) else { return Ok(None) };
    let invalid = || Refusal::RangeInvalid { bytes: 0 };
    let text = value.to_str().map_err(|_| invalid())?;
    let Some(ranges) = text.strip_prefix("bytes=") else { return Ok(None) };
    if ranges.contains(',') {
        return Ok(None);
    }
    let (first, last) = ranges.split_once('-').ok_or_else(invalid)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| invalid());
    Ok(Some(match (first, last) {
        ("", count) => ByteRange::Last(number(count)?),
        (first, "") => ByteRange::From(number(first)?, None),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(invalid());
            }
            ByteRange::From(first, Some(last))
        }
    }))
}

async fn content(call: Arc<Call>) -> Result<Response, Refusal> {
    let range = range_of(&call.headers)?;
    let permit =
        Arc::clone(&call.app.downloads).try_acquire_owned().map_err(|_| Refusal::TooManyAtOnce("downloads"))?;
    let id = released(&call).await?;
    let account = call.account()?.clone();
    let FileContent { bytes, range: given, stream } =
        call.app.services.files.download_content(id, account, range).await?;
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    // The place among the downloads is held as long as the stream lives.
    let stream = stream.inspect(move |_| {
        let _held = &permit;
    });
    let mut response = streamed(status, OCTETS, stream.boxed());
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(given.end.saturating_sub(given.start)));
    if range.is_some() {
        let text = format!("bytes {}-{}/{bytes}", given.start, given.end.saturating_sub(1));
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(CONTENT_RANGE, value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<Option<ByteRange>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(text).unwrap());
        range_of(&headers).map_err(|refusal| refusal.code())
    }

    #[test]
    fn one_range_is_read_and_nonsense_refused() {
        assert_eq!(range("bytes=0-99"), Ok(Some(ByteRange::From(0, Some(99)))));
        assert_eq!(range("bytes=5-"), Ok(Some(ByteRange::From(5, None))));
        assert_eq!(range("bytes=-5"), Ok(Some(ByteRange::Last(5))));
        assert_eq!(range("bytes=0-1,4-5"), Ok(None));
        assert_eq!(range("rows=0-1"), Ok(None));
        for text in ["bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "bytes=1"] {
            assert_eq!(range(text), Err("range-invalid"), "{text}");
        }
    }

    #[test]
    fn a_range_lies_within_the_file() {
        assert_eq!(ByteRange::From(2, Some(4)).within(10), Some(2..5));
        assert_eq!(ByteRange::From(2, Some(u64::MAX)).within(10), Some(2..10));
        assert_eq!(ByteRange::From(10, None).within(10), None);
        assert_eq!(ByteRange::Last(3).within(10), Some(7..10));
        assert_eq!(ByteRange::Last(30).within(10), Some(0..10));
        assert_eq!(ByteRange::Last(0).within(10), None);
    }
}
