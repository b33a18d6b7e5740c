//! Files that people write or pass on: the founding document, node.toml, join.toml, recovery.toml, peers.toml, an
//! invitation; and texts with grammars of their own (names, filters, addresses).

use std::fmt::{Debug, Display};
use std::str::FromStr;

use galen_node::config::NodeConfig;
use galen_node::home::NodeHome;
use galen_node::operate::Bootstrap;
use galen_node::operate::join::JoinFile;
use galen_node::operate::recovery::{DraftedFrom, RecoveryFile};
use galen_types::application::Invitation;
use galen_types::genesis::Genesis;
use galen_types::member::NodeAddress;
use galen_types::recovery::SignedRecovery;
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::vocabulary::Filter;
use galen_types::{
    AccountName, Call, DecodedTransaction, Encoding as _, Hash, PublicKey, Signature, Timestamp, VersionName,
};

use crate::chain::{Chain, folder};
use crate::hold;
use crate::shared::consortium::{name, secret_key};
use crate::target::{Limits, Target, Trace};

const WORDS: &[&str] = &[
    "\n",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "#",
    ",",
    ".",
    "true",
    "0",
    "-1",
    "1e9",
    "inf",
    "nan",
    "9223372036854775807",
    "0x10",
    "[members]",
    "[parameters]",
    "[[members]]",
    "[key]",
    "[http]",
    "[http.tls]",
    "listen = \"0.0.0.0:1\"",
    "tick_ms = 0",
    "voters = []",
    "2026-11-21T09:00:00Z",
    "and",
    "or",
    "not",
    "(",
    ")",
    ">=",
    "in",
    "missing",
    "ed25519:",
    "x25519:",
    "harlem",
    "\\u0000",
    "é",
    "/ip4/127.0.0.1/tcp/7101",
    "https://",
    "galen:",
];

/// What the first byte of an input says that the rest is.
mod kind {
    pub(super) const GENESIS: u8 = 0;
    pub(super) const NODE: u8 = 1;
    pub(super) const JOIN: u8 = 2;
    pub(super) const RECOVERY: u8 = 3;
    pub(super) const INVITATION: u8 = 4;
    pub(super) const FILTER: u8 = 5;
    pub(super) const REQUEST_SIGNATURE: u8 = 6;
    pub(super) const PEERS: u8 = 7;
    pub(super) const ADDRESS: u8 = 8;
    pub(super) const NAME: u8 = 9;
    pub(super) const PUBLIC_KEY: u8 = 10;
    pub(super) const SIGNATURE: u8 = 11;
    pub(super) const TIME: u8 = 12;
}

/// Genesis and configuration.
pub struct Configuration {
    home: NodeHome,
    _folder: tempfile::TempDir,
}

impl Default for Configuration {
    fn default() -> Self {
        let folder = folder();
        Self { home: NodeHome::new(folder.path()), _folder: folder }
    }
}

const NODE_TOML: &str = r#"node = "node-1.harlem"

[http]
listen = "127.0.0.1:7200"

[network]
listen = "/ip4/127.0.0.1/tcp/7101"
listen_files = "/ip4/127.0.0.1/tcp/7102"

[key]
password_file = "password"

[ordering]
tick_ms = 50

[ledger]
history = "none"
keep_bodies_blocks = 5000

[sync]
snapshot_lag_blocks = 2000
"#;

const PEERS_TOML: &str = r#"height = 7

[[peers]]
name = "node-1.harlem"
key = "KEY"
address = "/ip4/127.0.0.1/tcp/7101"
role = "voter"
"#;

fn input(kind: u8, text: &str) -> Vec<u8> {
    let mut input = vec![kind];
    input.extend_from_slice(text.as_bytes());
    input
}

/// A text of a value: what is read and written reads the same again.
fn reread<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str, trace: &mut Trace) -> Result<(), String> {
    match text.parse::<T>() {
        Ok(value) => {
            trace.accept();
            let written = value.to_string();
            let again: Result<T, String> = written.parse::<T>().map_err(|error| error.to_string());
            hold!(again.as_ref() == Ok(&value), "`{written}`, written from `{text}`, reads as {again:?}");
            let twice = again.map(|value| value.to_string());
            hold!(twice.as_ref() == Ok(&written), "a text changes each time it is written: {written} {twice:?}");
        }
        Err(error) => trace.reach(error.to_string().len() / 8),
    }
    Ok(())
}

impl Configuration {
    fn genesis(&self, text: &str, trace: &mut Trace) -> Result<(), String> {
        match Genesis::from_toml(text) {
            Ok(genesis) => {
                trace.accept();
                let bytes = genesis.encode();
                let read = Genesis::decode(&bytes, bytes.len()).map_err(|error| error.to_string())?;
                hold!(read == genesis, "a founding document is read as another from its encoding");
                let written =
                    genesis.to_toml().map_err(|error| format!("a founding document is not written: {error}"))?;
                let again =
                    Genesis::from_toml(&written).map_err(|error| format!("what was written is refused: {error}"))?;
                hold!(again.hash() == genesis.hash(), "a founding document changes its hash when written");
                let voters = genesis.voter_set();
                trace.reach(voters.voters.len());
                hold!(!voters.voters.is_empty(), "a chain without voters is accepted");
                hold!(!galen_contracts::genesis_writes(&genesis).is_empty(), "a chain without a state is accepted");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn node(&self, text: &str, trace: &mut Trace) -> Result<(), String> {
        std::fs::write(self.home.config(), text).map_err(|error| error.to_string())?;
        match NodeConfig::load(&self.home) {
            Ok(config) => {
                trace.accept();
                let written = config.to_toml().map_err(|error| format!("a configuration is not written: {error}"))?;
                std::fs::write(self.home.config(), &written).map_err(|error| error.to_string())?;
                let again =
                    NodeConfig::load(&self.home).map_err(|error| format!("what was written is refused: {error}"))?;
                let twice = again.to_toml().map_err(|error| error.to_string())?;
                hold!(twice == written, "a configuration changes when written: {written} {twice}");
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn join(&self, text: &str, trace: &mut Trace) -> Result<(), String> {
        std::fs::write(self.home.join(), text).map_err(|error| error.to_string())?;
        match JoinFile::load(&self.home) {
            Ok(Some(file)) => {
                if let Err(error) = file.invitation() {
                    trace.reach(error.code());
                    return Ok(());
                }
                trace.accept();
                trace.reach((file.application.is_some(), file.trust_roots.is_some()));
            }
            Ok(None) => return Err("a file that is there is not read".to_owned()),
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn recovery(&self, text: &str, trace: &mut Trace) -> Result<(), String> {
        let path = self.home.root().join("recovery.toml");
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        match RecoveryFile::load(&path) {
            Ok(file) => {
                trace.accept();
                trace.reach((file.missing().len(), file.transaction_bytes().is_ok(), file.signatures.len()));
                match RecoveryFile::merge(vec![file.clone(), file.clone()]) {
                    Ok(merged) => hold!(merged.recovery == file.recovery, "merging changes a recovery"),
                    Err(error) => trace.reach(error.code()),
                }
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }

    fn peers(&self, text: &str, trace: &mut Trace) -> Result<(), String> {
        std::fs::write(self.home.peers(), text).map_err(|error| error.to_string())?;
        match Bootstrap::load(&self.home) {
            Ok(peers) => {
                hold!(peers.is_some(), "a file that is there is not read");
                trace.accept();
            }
            Err(error) => trace.reach(error.code()),
        }
        Ok(())
    }
}

/// The file of the chain's recovery.
fn recovery_toml(chain: &Chain) -> String {
    let bytes = chain.recovery.clone();
    let length = bytes.len();
    let decoded = DecodedTransaction::decode(bytes, length).expect("it is a transaction");
    let Call::Recover { recovery } = decoded.body.call else { panic!("it is a recovery") };
    let SignedRecovery { recovery, signatures } = *recovery;
    let transaction = Some(hex::encode(&chain.recovery));
    let file = RecoveryFile { transaction, log_end: DraftedFrom::default(), recovery, signatures };
    toml::to_string_pretty(&file).expect("a recovery has a text")
}

impl Target for Configuration {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let chain = Chain::get();
        let key = secret_key("node-1.harlem");
        let invitation = format!("https://node.harlem.example:7200#{}", chain.hash());
        let join = |invitation: &str| format!("invitation = \"{invitation}\"\nnode = \"node-1.mayo\"\n");
        let signature = key.sign(&Hash([1; 32]));
        let parts = SignedParts {
            genesis: &chain.hash(),
            node: &name("node-1.harlem"),
            method: "GET",
            path: "/v1/jobs?limit=10",
            body: &Hash([2; 32]),
        };
        let time: Timestamp = name("2026-11-21T10:00:00.000Z");
        let request = RequestSignature::sign(&parts, name("owner@harlem"), time, [5; 16], &key);
        let invitation = match invitation.parse::<Invitation>() {
            Ok(read) => read.to_string(),
            Err(error) => panic!("{error}"),
        };
        vec![
            input(kind::GENESIS, &chain.genesis.to_toml().expect("a genesis has a text")),
            input(kind::NODE, NODE_TOML),
            input(kind::JOIN, &join(&invitation)),
            input(kind::RECOVERY, &recovery_toml(chain)),
            input(kind::INVITATION, &invitation),
            input(kind::FILTER, "Age >= 18 and Group = 'T'"),
            input(kind::FILTER, "BMI < 30.5"),
            input(kind::REQUEST_SIGNATURE, &request.to_string()),
            input(kind::PEERS, &PEERS_TOML.replace("KEY", &key.public_key().to_string())),
            input(kind::ADDRESS, "/dns4/node.harlem.example/tcp/7101"),
            input(kind::NAME, "harlem/opt@3"),
            input(kind::PUBLIC_KEY, &key.public_key().to_string()),
            input(kind::SIGNATURE, &signature.to_string()),
            input(kind::TIME, "2026-11-21T10:00:00.123Z"),
        ]
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        let Some((kind, bytes)) = input.split_first() else { return Ok(()) };
        trace.reach(kind);
        let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
        match *kind {
            kind::GENESIS => self.genesis(text, trace),
            kind::NODE => self.node(text, trace),
            kind::JOIN => self.join(text, trace),
            kind::RECOVERY => self.recovery(text, trace),
            kind::INVITATION => reread::<Invitation>(text, trace),
            kind::FILTER => reread::<Filter>(text, trace),
            kind::REQUEST_SIGNATURE => reread::<RequestSignature>(text, trace),
            kind::PEERS => self.peers(text, trace),
            kind::ADDRESS => {
                trace.reach(galen_p2p::parse_address(text).is_ok());
                reread::<NodeAddress>(text, trace)
            }
            kind::NAME => reread::<VersionName>(text, trace).and_then(|()| reread::<AccountName>(text, trace)),
            kind::PUBLIC_KEY => reread::<PublicKey>(text, trace),
            kind::SIGNATURE => reread::<Signature>(text, trace),
            kind::TIME => reread::<Timestamp>(text, trace),
            _ => Ok(()),
        }
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 1 << 20, memory_bytes_per_byte: 400, ..Limits::default() }
    }
}
