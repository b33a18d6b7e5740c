//! Requests of clients: method, target, headers and body into the table of routes, over a consortium in memory.
//!
//! An input is a text: the signer (empty: nobody), the request's line, headers, an empty line, and the body.

use galen_node::http::fuzzing::{Ask, Face};
use galen_types::Call;
use galen_types::member::{EncryptionKey, NewAccount, Role};

use crate::hold;
use crate::mutation::mutate;
use crate::random::Random;
use crate::shared::consortium::{name, secret_key};
use crate::target::{Limits, Target, Trace};

/// Requests after which the consortium is made anew: transactions that were taken make it grow.
const REQUESTS_MAX: u32 = 2_000;

const WORDS: &[&str] = &[
    "?",
    "&",
    "=",
    "%00",
    "%2f",
    "%",
    "+",
    "/",
    "..",
    "limit=1000",
    "limit=0",
    "start_after=",
    "wait=certified",
    "height=",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e308",
    "18446744073709551615",
    "\\u0000",
    "harlem",
    "harlem/opt",
    "owner@harlem",
    "node-1.harlem",
    "admin@harlem",
    "suspended@harlem",
    "GET ",
    "POST ",
    "PUT ",
    "content-type: application/json\n",
    "range: bytes=0-0\n",
    "range: bytes=-1\n",
    "authorization: Galen account=",
    "/v1/events",
    "/v1/jobs",
    "/v1/datasets",
    "/v1/transactions",
    "/v1/blocks",
    "/v1/accounts",
    "/v1/members",
];

/// HTTP bodies and queries.
pub struct Http {
    face: Face,
    requests: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self { face: Face::new().expect("the face is made"), requests: 0 }
    }
}

fn write(ask: &Ask) -> Vec<u8> {
    let mut text = format!("{}\n{} {}\n", ask.account, ask.method, ask.target);
    for (name, value) in &ask.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push('\n');
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&ask.body);
    bytes
}

fn read(input: &[u8]) -> Option<Ask> {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?.to_owned();
        rest = &rest[end + 1..];
        Some(line)
    };
    let account = line()?;
    let request = line()?;
    let (method, target) = request.split_once(' ')?;
    let mut headers = Vec::new();
    loop {
        match line()? {
            empty if empty.is_empty() => break,
            header => headers.extend(header.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))),
        }
    }
    Some(Ask { account, method: method.to_owned(), target: target.to_owned(), headers, body: rest.to_vec() })
}

impl Target for Http {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut asks = self.face.examples();
        let account = NewAccount {
            account: name("bob"),
            key: secret_key("bob@harlem").public_key(),
            encryption_key: EncryptionKey([3; 32]),
            roles: vec![Role::Researcher],
        };
        let transaction = self.face.transaction("admin@harlem", Call::AddAccount(account));
        for ask in asks
            .iter_mut()
            .filter(|ask| ask.target.starts_with("/v1/transactions?") || ask.target == "/v1/transactions")
        {
            if ask.method == "POST" {
                ask.body.clone_from(&transaction);
            }
        }
        asks.iter().map(write).collect()
    }

    fn reshape(&mut self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let (mut ask, other) = (read(input)?, read(other)?);
        let changed = |text: &str, random: &mut Random| {
            let mut bytes = text.as_bytes().to_vec();
            mutate(&mut bytes, other.target.as_bytes(), WORDS, 600, random);
            String::from_utf8_lossy(&bytes).replace(['\n', ' '], "")
        };
        match random.below(8) {
            0 => ask.account = other.account,
            1 => ask.method = other.method,
            2 | 3 => ask.target = changed(&ask.target, random),
            4 => {
                // Another query on the same path.
                let path = ask.target.split('?').next()?.to_owned();
                ask.target = format!("{path}?{}", other.target.split_once('?').map_or("limit=1", |(_, query)| query));
            }
            5 => ask.body = other.body,
            6 => {
                let value = changed("bytes=0-5", random);
                ask.headers.push(("range".to_owned(), value));
            }
            _ => mutate(&mut ask.body, &other.body, WORDS, 4096, random),
        }
        Some(write(&ask))
    }

    fn renew(&mut self) {
        if self.requests >= REQUESTS_MAX {
            *self = Self::default();
        }
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some(ask) = read(input) else { return Ok(()) };
        let Some(told) = self.face.ask(&ask) else {
            trace.reach("unwritten");
            return Ok(());
        };
        let path = ask.target.split('?').next().unwrap_or_default();
        let open = self.face.is_open(&ask.method, &ask.target);
        trace.reach((told.status, open, path.split('/').nth(2).unwrap_or_default()));
        hold!(
            told.status < 500,
            "{} {}: {} {}",
            ask.method,
            ask.target,
            told.status,
            String::from_utf8_lossy(&told.body)
        );
        if told.status < 400 {
            trace.accept();
            hold!(open.is_some(), "a path that is no route answers {}", told.status);
            let signed = !ask.account.is_empty() || ask.headers.iter().any(|(name, _)| name == "authorization");
            hold!(open == Some(true) || signed, "a stranger is let in at {} {}", ask.method, ask.target);
            hold!(!ask.account.starts_with("suspended@") || open == Some(true), "a suspended account is let in");
            if told.content_type == "application/json" {
                let read: Result<serde_json::Value, _> = serde_json::from_slice(&told.body);
                hold!(read.is_ok(), "an answer is no JSON: {}", String::from_utf8_lossy(&told.body));
            }
        } else {
            hold!(told.content_type == "application/problem+json", "a refusal is no problem document: {told:?}");
            let problem: serde_json::Value =
                serde_json::from_slice(&told.body).map_err(|error| format!("a refusal is no JSON: {error}"))?;
            hold!(problem["status"] == told.status, "a refusal's document says another status");
            let code = problem["code"].as_str().ok_or("a refusal has no code")?;
            trace.reach(code);
        }
        self.requests += 1;
        Ok(())
    }

    fn accepts_seeds(&self) -> bool {
        false
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn limits(&self) -> Limits {
        // The consortium's copy of its state is the tests' own way, not the node's.
        Limits { memory_bytes: 8 << 20, memory_bytes_per_byte: 64, input_bytes_max: 8 << 10, ..Limits::default() }
    }
}
