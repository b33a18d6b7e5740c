//! The node's event stream: server-sent events (WHATWG HTML, section 9.2) read line by line.

use bytes::BytesMut;
use futures::Stream;
use futures::stream;
use galen_types::api::StreamEvent;
use galen_types::vocabulary::UnknownWord;

use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Outgoing, Signing};

/// Most bytes of one event: a receipt of the largest job fits.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// A kind of event to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A block was applied.
    Block,
    /// More of the chain is certified.
    Certified,
    /// A transaction of the reader's member got its receipt.
    Receipt,
    /// A job of the reader's member changed.
    Job,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Block, Self::Certified, Self::Receipt, Self::Job];

    /// Its word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Certified => "certified",
            Self::Receipt => "receipt",
            Self::Job => "job",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for EventKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownWord {
            text: text.chars().take(80).collect(),
            words: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

impl Client {
    /// What happens from now on, until the connection ends. A stream that breaks ends with an error; events in between
    /// are not repeated, so read the state again after connecting anew.
    ///
    /// # Errors
    /// When the node refuses or cannot be reached; later, per item.
    pub async fn events(
        &self,
        kinds: &[EventKind],
    ) -> Result<impl Stream<Item = Result<StreamEvent, ClientError>> + Send + use<>, ClientError> {
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        let url = self.url(&["v1", "events"], &[("kinds", Some(kinds.join(",")))]);
        let response = self.exchange(Outgoing::get(url, Signing::Required)).await.map_err(|failure| failure.error)?;
        let reading = Reading { client: self.clone(), response, parser: EventParser::default(), ended: false };
        Ok(stream::unfold(reading, Reading::next))
    }
}

/// An event, or the node's last word to a reader that was too slow.
fn parse(data: &str) -> Result<StreamEvent, ClientError> {
    #[derive(serde::Deserialize)]
    struct Lagged {
        missed: u64,
    }
    serde_json::from_str(data).map_err(|error| match serde_json::from_str(data) {
        Ok(Lagged { missed }) => ClientError::EventsMissed { missed },
        Err(_) => ClientError::Answer(error.to_string()),
    })
}

struct Reading {
    client: Client,
    response: reqwest::Response,
    parser: EventParser,
    ended: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<StreamEvent, ClientError>, Self)> {
        if self.ended {
            return None;
        }
        let item = loop {
            match self.parser.next_event() {
                Ok(Some(data)) => break parse(&data),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.parser.push(&chunk),
                Ok(None) => return None,
                Err(error) => break Err(self.client.unreachable(&error)),
            }
        };
        self.ended = item.is_err();
        Some((item, self))
    }
}

/// Collects the `data` lines of events; names, ids and comments say nothing here, since the data names its kind.
#[derive(Debug, Default)]
struct EventParser {
    buffer: BytesMut,
    /// Bytes at the buffer's start that hold no line break.
    scanned: usize,
    data: String,
    has_data: bool,
}

impl EventParser {
    fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole event's data, if it has come.
    fn next_event(&mut self) -> Result<Option<String>, ClientError> {
        while let Some(offset) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.scanned + offset + 1);
            self.scanned = 0;
            let line = line.strip_suffix(b"\r\n").unwrap_or(&line[..line.len() - 1]);
            if line.is_empty() && self.has_data {
                self.has_data = false;
                return Ok(Some(std::mem::take(&mut self.data)));
            }
            if let Some(data) = line.strip_prefix(b"data:") {
                let data = data.strip_prefix(b" ").unwrap_or(data);
                let text = std::str::from_utf8(data).map_err(|error| ClientError::Answer(error.to_string()))?;
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(text);
                self.has_data = true;
            }
        }
        self.scanned = self.buffer.len();
        if self.buffer.len() + self.data.len() > EVENT_BYTES_MAX {
            return Err(ClientError::Answer(format!("an event is longer than {EVENT_BYTES_MAX} bytes")));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = b": hello\n\nevent: block\ndata: one\n\ndata:two\r\ndata: three\r\n\r\nid: 1\n\n";
        for size in 1..text.len() {
            let mut parser = EventParser::default();
            let mut events = Vec::new();
            for chunk in text.chunks(size) {
                parser.push(chunk);
                while let Some(event) = parser.next_event().unwrap() {
                    events.push(event);
                }
            }
            assert_eq!(events, ["one", "two\nthree"], "chunks of {size}");
        }
    }

    #[test]
    fn a_reader_that_was_too_slow_is_told_so() {
        assert!(matches!(parse("{\"missed\":12}"), Err(ClientError::EventsMissed { missed: 12 })));
        assert!(matches!(parse("{}"), Err(ClientError::Answer(_))));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = EventParser::default();
        parser.push(&vec![b'x'; EVENT_BYTES_MAX + 1]);
        assert_eq!(parser.next_event().unwrap_err().code(), "client-answer-unreadable");
    }
}
