//! What a proof shows, as JSON with the field names of the HTTP API.

use galen_types::{Hash, Timestamp};
use galen_verifier::{Fact, Value, Verdict, to_hex};
use serde_json::json;

/// What a proof shows.
pub(crate) fn told(verdict: &Verdict) -> serde_json::Value {
    let (block, certificate) = (&verdict.block, &verdict.certificate);
    let recoveries: Vec<Hash> = verdict.recoveries.iter().map(|hash| Hash(*hash)).collect();
    json!({
        "chain": verdict.chain,
        "genesis": Hash(verdict.genesis),
        "block": {
            "height": block.height, "hash": Hash(block.hash), "time": Timestamp(block.time_ms), "epoch": block.epoch,
            "proposer": block.proposer,
        },
        "certificate": {
            "height": certificate.height, "epoch": certificate.epoch, "signers": certificate.signers,
            "voters": certificate.voters, "quorum": certificate.quorum,
            "faults_tolerated": certificate.faults_tolerated,
        },
        "handovers": verdict.handovers,
        "recoveries": recoveries,
        "facts": verdict.facts.iter().map(fact).collect::<Vec<_>>(),
    })
}

fn fact(fact: &Fact) -> serde_json::Value {
    let known = |value: &Option<Value>| value.as_ref().map(json_of);
    match fact {
        Fact::Recorded { transaction, body, receipt, receipt_bytes, bytes } => json!({
            "fact": "recorded", "transaction": Hash(*transaction), "body": known(body), "receipt": known(receipt),
            "transaction_bytes": to_hex(bytes), "receipt_bytes": to_hex(receipt_bytes),
        }),
        Fact::Present { key, name, bytes, value } => json!({
            "fact": "present", "name": name, "value": known(value), "key": to_hex(key), "bytes": to_hex(bytes),
        }),
        Fact::Absent { key, name, meaning } => json!({
            "fact": "absent", "name": name, "meaning": meaning, "key": to_hex(key),
        }),
        Fact::Deviated { voter, header, both } => json!({
            "fact": "deviated", "voter": voter, "signed": Hash(*header), "both": both,
        }),
    }
}

fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Truth(truth) => json!(truth),
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Record(parts) => parts.iter().map(|(name, value)| (name.clone(), json_of(value))).collect(),
    }
}
