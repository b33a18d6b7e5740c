//! Server-sent events.

use std::time::Duration;

use galen_types::Call;
use galen_types::api::StreamEvent;
use galen_types::member::Role;
use galen_types::vocabulary::ReasonCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::get;
use super::world::{Served, content, name};
use crate::http::limits::STREAMS_PER_ACCOUNT_MAX;
use crate::http::routes;

struct Listener {
    stream: TcpStream,
    text: String,
}

impl Listener {
    /// Opens a stream and reads the first comment, so that what happens from now on is seen.
    async fn open(served: &Served, account: &str, target: &str) -> Self {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(&get(target).signed(served, account).bytes()).await.unwrap();
        let mut listener = Self { stream, text: String::new() };
        listener.until(": keep-alive").await;
        listener
    }

    /// Reads until a text has come.
    async fn until(&mut self, text: &str) {
        let reading = async {
            while !self.text.contains(text) {
                assert!(self.read().await, "the stream ended without `{text}`: {}", self.text);
            }
        };
        timeout(Duration::from_secs(60), reading).await.expect("in time");
    }

    async fn read(&mut self) -> bool {
        let mut bytes = vec![0; 4096];
        let count = self.stream.read(&mut bytes).await.unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }

    async fn until_end(&mut self) {
        let reading = async { while self.read().await {} };
        timeout(Duration::from_secs(60), reading).await.expect("in time");
    }
}

/// The stream that the table's other test leaves out, since it does not end.
#[tokio::test]
async fn each_role_listens_where_the_table_says() {
    let served = Served::new().await;
    let route = routes::all().into_iter().find(|route| route.path == "/v1/events").unwrap();
    let accounts = [
        ("admin@harlem", Role::Admin),
        ("owner@harlem", Role::Owner),
        ("researcher@harlem", Role::Researcher),
        ("auditor@harlem", Role::Auditor),
    ];
    for (account, role) in accounts {
        let roles = route.access.roles();
        if roles.is_empty() || roles.contains(&role) {
            Listener::open(&served, account, "/v1/events").await;
        } else {
            let answer = get("/v1/events").signed(&served, account).send(&served).await;
            assert_eq!((answer.status, answer.code()), (403, "role-missing".to_owned()), "{account}");
        }
    }
}

fn publish(dataset: &str) -> Call {
    let file = bytes::Bytes::from(dataset.to_owned());
    Call::PublishDataset { dataset: name(dataset), content: content(&file), discoverable: false }
}

#[tokio::test]
async fn a_reader_sees_blocks_and_its_own_members_receipts() {
    let served = Served::new().await;
    let mut own = Listener::open(&served, "researcher@harlem", "/v1/events").await;
    let mut other = Listener::open(&served, "researcher@kentucky", "/v1/events?kinds=block,receipt").await;
    served.world.done("owner@harlem", publish("opt"));
    served.world.publish_event(StreamEvent::Certified { height: 77 });
    own.until("event: certified\ndata: {\"event\":\"certified\",\"height\":77}\n\n").await;
    assert!(own.text.contains("event: block\ndata: "), "{}", own.text);
    assert!(own.text.contains("event: receipt\ndata: "), "{}", own.text);
    served.world.done("owner@kentucky", publish("opt"));
    other.until("owner@kentucky").await;
    assert_eq!(other.text.matches("event: block").count(), 2);
    assert!(!other.text.contains("owner@harlem"), "{}", other.text);
    assert!(!other.text.contains("event: certified"), "{}", other.text);
}

#[tokio::test]
async fn a_reader_that_lags_is_told_and_ended() {
    let served = Served::new().await;
    let mut listener = Listener::open(&served, "researcher@harlem", "/v1/events").await;
    // More at once than the broadcast holds, before the stream's task can run.
    for height in 0..100 {
        served.world.publish_event(StreamEvent::Certified { height });
    }
    listener.until_end().await;
    assert!(listener.text.contains("event: lagged\ndata: {\"missed\":"), "{}", listener.text);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_kept_alive_until_its_account_is_suspended() {
    let served = Served::new().await;
    let mut listener = Listener::open(&served, "researcher@harlem", "/v1/events?kinds=certified").await;
    listener.text.clear();
    listener.until(": keep-alive").await;
    let account = name("researcher@harlem");
    served.world.done("admin@harlem", Call::SuspendAccount { account, reason: ReasonCode::Administrative });
    listener.until_end().await;
}

#[tokio::test]
async fn streams_of_an_account_are_limited_and_end_with_the_node() {
    let mut served = Served::new().await;
    let mut listeners = Vec::new();
    for _ in 0..STREAMS_PER_ACCOUNT_MAX {
        listeners.push(Listener::open(&served, "researcher@harlem", "/v1/events").await);
    }
    let answer = get("/v1/events").signed(&served, "researcher@harlem").send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "too-many-at-once"));
    let answer = get("/v1/events?kinds=all").signed(&served, "researcher@harlem").send(&served).await;
    assert_eq!(answer.code(), "parameter-invalid");
    served.shutdown.cancel();
    for listener in &mut listeners {
        listener.until_end().await;
    }
    timeout(Duration::from_secs(20), &mut served.server).await.expect("the server ends").unwrap();
}
