//! Golden files pin what is stored and signed: a change of format shows here first. When a change is meant, raise the
//! version of the format or rules that it belongs to, then write the files anew:
//!
//! ```text
//! GALEN_GOLDEN_WRITE=1 cargo test -p galen-types --test golden
//! ```
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

mod common;

use std::fmt::Write as _;

use common::examples;
use galen_types::certificate::HeaderSignature;
use galen_types::hash::Context;
use galen_types::merkle::{self, MountainRange};
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::{Batch, Block, Encoding, Hash};
use serde_json::{Value, json};

/// Compares a document with its file, or writes the file when asked to.
fn assert_golden(name: &str, document: &Value) {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut text = serde_json::to_string_pretty(document).expect("JSON");
    text.push('\n');
    if std::env::var_os("GALEN_GOLDEN_WRITE").is_some() {
        std::fs::write(&path, &text).expect("the golden file is written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    assert!(
        golden == text,
        "the format of `{name}` changed: what is stored or signed is no longer readable. If that is meant, run\n  \
         GALEN_GOLDEN_WRITE=1 cargo test -p galen-types --test golden\n{}",
        differences(&golden, &text)
    );
}

fn differences(golden: &str, text: &str) -> String {
    golden.lines().zip(text.lines()).filter(|(old, new)| old != new).take(5).fold(
        String::new(),
        |mut all, (old, new)| {
            writeln!(all, "- {old}\n+ {new}").expect("memory");
            all
        },
    )
}

#[test]
fn transactions_of_every_kind() {
    let key = examples::secret(examples::ACCOUNT_SEED);
    let mut document = serde_json::Map::new();
    let mut tags = Vec::new();
    for (name, call) in examples::calls() {
        let tag = examples::tag(&call);
        assert_eq!(call.encode()[0], tag, "{name}");
        tags.push(tag);
        let body = examples::body(call);
        let signed = body.sign(&key);
        let entry = json!({ "json": body, "id": signed.id(), "signed_bytes": hex::encode(signed.encode()) });
        document.insert(name.to_owned(), entry);
    }
    let every: Vec<u8> = (1..=23).chain(40..=48).chain(60..=64).collect();
    assert_eq!(tags, every);
    assert_golden("transactions", &Value::Object(document));
}

#[test]
fn proposals_applications_and_recoveries() {
    let mut changes = serde_json::Map::new();
    for (tag, (name, change)) in (1..).zip(examples::changes()) {
        assert_eq!(change.encode()[0], tag, "{name}");
        changes.insert(name.to_owned(), json!({ "json": change, "bytes": hex::encode(change.encode()) }));
    }
    let (application, recovery) = (examples::application(), examples::recovery());
    application.verify().expect("the example holds");
    let key = examples::secret(51).public_key();
    recovery.signatures[0].verify(&recovery.recovery, &key).expect("the example holds");
    let document = json!({
        "application": { "hash": application.application.hash(), "bytes": hex::encode(application.encode()) },
        "changes": changes,
        "recovery": { "hash": recovery.recovery.hash(), "bytes": hex::encode(recovery.encode()) },
    });
    assert_golden("proposals", &document);
}

#[test]
fn blocks_certificates_receipts_and_genesis() {
    let header = examples::header();
    let certificate = examples::certificate(&header);
    let (genesis, voters, receipt) = (examples::genesis(), examples::voters(), examples::receipt());
    let (name, seed) = examples::VOTERS[0];
    let signature = HeaderSignature::sign(
        &header.genesis,
        &voters.hash(),
        7,
        header.hash(),
        common::text(name),
        &examples::secret(seed),
    );
    let block = Block { header: header.clone(), transactions: vec![b"first".to_vec(), Vec::new()] };
    let batch =
        Batch { proposed: header.time, proposer: header.proposer.clone(), transactions: block.transactions.clone() };
    let document = json!({
        "batch": hex::encode(batch.encode()),
        "block": hex::encode(block.encode()),
        "certificate": hex::encode(certificate.encode()),
        "genesis": { "hash": genesis.hash(), "toml": genesis.to_toml().expect("TOML"), "bytes": hex::encode(genesis.encode()) },
        "header": { "hash": header.hash(), "bytes": hex::encode(header.encode()) },
        "header_signature": hex::encode(signature.encode()),
        "receipt": { "hash": receipt.hash(), "json": receipt, "bytes": hex::encode(receipt.encode()) },
        "voter_set": { "hash": voters.hash(), "bytes": hex::encode(voters.encode()) },
    });
    assert_golden("blocks", &document);
    certificate.verify(&header.genesis, &voters).expect("the example holds");
}

#[test]
fn hashes_roots_and_signed_requests() {
    let contents: Vec<Vec<u8>> = (0..7).map(|length| vec![0xab; length]).collect();
    let root = |count: usize| merkle::root(contents[..count].iter().map(Vec::as_slice));
    let mut range = MountainRange::default();
    (1..=7).for_each(|byte| range.append(examples::hash(byte)));
    let parts = SignedParts {
        genesis: &examples::hash(20),
        node: &common::text("node-1.harlem"),
        method: "POST",
        path: "/v1/jobs?wait=1",
        body: &Hash(*blake3::hash(b"{}").as_bytes()),
    };
    let request = RequestSignature::sign(
        &parts,
        common::text("alice@harlem"),
        common::text("2026-11-21T10:00:00.000Z"),
        [7; 16],
        &examples::secret(examples::ACCOUNT_SEED),
    );
    let contexts: serde_json::Map<String, Value> =
        CONTEXTS.iter().map(|context| (context.text().to_owned(), json!(Hash::of(*context, b"content")))).collect();
    assert_eq!(contexts.len(), CONTEXTS.len(), "two contexts have one text");
    let document = json!({
        "authorization_header": request.to_string(),
        "commitment": Hash::commitment(&[1; 32], b"content"),
        "contexts": contexts,
        "list_roots": (0..=7).map(root).collect::<Vec<_>>(),
        "mountain_range_of_7": range.root(),
    });
    assert_golden("hashes", &document);
}

const CONTEXTS: [Context; 24] = [
    Context::TransactionId,
    Context::BlockHeader,
    Context::HeaderSignature,
    Context::Genesis,
    Context::VoterSet,
    Context::MerkleLeaf,
    Context::MerkleNode,
    Context::HistoryPeaks,
    Context::Receipt,
    Context::WriteSet,
    Context::StateKey,
    Context::StateValue,
    Context::StateBucket,
    Context::StateNode,
    Context::HttpRequest,
    Context::Commitment,
    Context::JobResult,
    Context::JobSummary,
    Context::Proposal,
    Context::Application,
    Context::Recovery,
    Context::SnapshotPart,
    Context::Fingerprint,
    Context::ProofFile,
];

/// Tags of the vocabularies are stored too: a word keeps its tag for ever.
#[test]
fn words_and_their_tags() {
    macro_rules! words {
        ($($path:path),+) => {{
            let mut document = serde_json::Map::new();
            $(
                let words: serde_json::Map<String, Value> = <$path>::ALL
                    .iter()
                    .map(|word| (word.as_str().to_owned(), json!(word.encode()[0])))
                    .collect();
                assert_eq!(words.len(), <$path>::ALL.len());
                document.insert(stringify!($path).rsplit("::").next().expect("a name").trim().to_owned(), Value::Object(words));
            )+
            Value::Object(document)
        }};
    }
    let document = words!(
        galen_types::access::Effect,
        galen_types::access::RequestState,
        galen_types::application::Offer,
        galen_types::dataset::ColumnKind,
        galen_types::dataset::FileFormat,
        galen_types::dataset::VersionState,
        galen_types::job::JobFailure,
        galen_types::job::JobState,
        galen_types::member::NodeRole,
        galen_types::member::Role,
        galen_types::member::Standing,
        galen_types::proposal::Ballot,
        galen_types::proposal::ProposalState,
        galen_types::receipt::Operation,
        galen_types::vocabulary::Action,
        galen_types::vocabulary::Comparison,
        galen_types::vocabulary::DataUseTerm,
        galen_types::vocabulary::Purpose,
        galen_types::vocabulary::ReasonCode,
        galen_types::vocabulary::Statistic
    );
    assert_golden("words", &document);
}
