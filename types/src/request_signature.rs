//! How an HTTP request is authenticated by account signature: the header
//! `Authorization: Galen account=alice@harlem, time=2026-11-21T10:00:00.000Z, nonce=<32 hex>, signature=ed25519:<hex>`
//! over genesis, the asked node's name, method, path with query, time, nonce and the body's hash.

use std::fmt;
use std::str::FromStr;

use crate::hash::{Context, Hash};
use crate::name::{AccountName, NodeName};
use crate::signature::{BadSignature, PublicKey, SecretKey, Signature};
use crate::time::Timestamp;

/// Furthest that a request's time may lie from the node's clock, milliseconds; nonces are remembered that long.
pub const REQUEST_TIME_WINDOW_MS: u64 = 60_000;

/// The content of the `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSignature {
    /// Who asks.
    pub account: AccountName,
    /// The client's clock.
    pub time: Timestamp,
    /// Random; a node takes each once.
    pub nonce: [u8; 16],
    /// Over all of the request.
    pub signature: Signature,
}

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'request> {
    /// The chain's genesis hash.
    pub genesis: &'request Hash,
    /// The node that is asked, so that what was signed for one node is nothing to another.
    pub node: &'request NodeName,
    /// Method in upper case.
    pub method: &'request str,
    /// Path and query as sent, e.g. `/v1/jobs?limit=10`.
    pub path: &'request str,
    /// BLAKE3 of the body (plain, without context; of the empty body too).
    pub body: &'request Hash,
}

fn signed_hash(parts: &SignedParts<'_>, account: &AccountName, time: Timestamp, nonce: &[u8; 16]) -> Hash {
    let (node, account) = (parts.node.to_string(), account.to_string());
    let mut hasher = Context::HttpRequest.hasher();
    hasher.update(parts.genesis.as_bytes());
    for text in [node.as_str(), parts.method, parts.path, account.as_str()] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&time.0.to_le_bytes());
    hasher.update(nonce);
    hasher.update(parts.body.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

impl RequestSignature {
    /// Signs a request.
    pub fn sign(
        parts: &SignedParts<'_>,
        account: AccountName,
        time: Timestamp,
        nonce: [u8; 16],
        key: &SecretKey,
    ) -> Self {
        let signature = key.sign(&signed_hash(parts, &account, time, &nonce));
        Self { account, time, nonce, signature }
    }

    /// Checks the signature; time window and nonce are the caller's to check.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify under the key.
    pub fn verify(&self, parts: &SignedParts<'_>, key: &PublicKey) -> Result<(), BadSignature> {
        key.verify(&signed_hash(parts, &self.account, self.time, &self.nonce), &self.signature)
    }
}

impl fmt::Display for RequestSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nonce = hex::encode(self.nonce);
        write!(
            formatter,
            "Galen account={}, time={}, nonce={nonce}, signature={}",
            self.account, self.time, self.signature
        )
    }
}

/// A header that does not follow the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Authorization header is malformed: {0}; see the documents for the `Galen` scheme")]
pub struct RequestSignatureError(&'static str);

impl FromStr for RequestSignature {
    type Err = RequestSignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 1024 {
            return Err(RequestSignatureError("it is longer than 1024 bytes"));
        }
        let fields = text.strip_prefix("Galen ").ok_or(RequestSignatureError("the scheme is not `Galen`"))?;
        let (mut account, mut time, mut nonce, mut signature) = (None, None, None, None);
        let mut seen = Vec::new();
        for field in fields.split(", ") {
            let (name, value) = field.split_once('=').ok_or(RequestSignatureError("a field has no value"))?;
            if seen.contains(&name) {
                return Err(RequestSignatureError("a field stands twice"));
            }
            seen.push(name);
            match name {
                "account" => account = value.parse().ok(),
                "time" => time = value.parse().ok(),
                "nonce" => {
                    let mut bytes = [0; 16];
                    nonce = hex::decode_to_slice(value, &mut bytes).ok().map(|()| bytes);
                }
                "signature" => signature = value.parse().ok(),
                _ => return Err(RequestSignatureError("a field is unknown")),
            }
        }
        Ok(Self {
            account: account.ok_or(RequestSignatureError("`account` is missing or no account name"))?,
            time: time.ok_or(RequestSignatureError("`time` is missing or no RFC 3339 time"))?,
            nonce: nonce.ok_or(RequestSignatureError("`nonce` is missing or not 32 hexadecimal digits"))?,
            signature: signature.ok_or(RequestSignatureError("`signature` is missing or malformed"))?,
        })
    }
}
