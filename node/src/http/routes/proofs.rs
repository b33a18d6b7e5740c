//! Offline proofs: files that anybody can check without a node.
//!
//! Auditors and administrators may have any. Others may have proofs of transactions that they see, and of records that are
//! there and that they see: a proof of the state also holds hashes of other keys and values beside its own, and whoever
//! could choose keys freely could feel for names that are not for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use galen_contracts::query::{get_grant, get_job, get_request};
use galen_types::access::Scope;
use galen_types::proof::PROOF_KEYS_MAX;
use galen_types::{Encoding, Provable, SignedTransaction, TransactionBody, TransactionId};
use http::StatusCode;

use super::viewer;
use crate::http::app::Call;
use crate::http::limits::{TRANSACTION_BODY_BYTES_MAX, WAIT_MS_DEFAULT};
use crate::http::query::Parameter;
use crate::http::refusal::Refusal;
use crate::http::respond::{OCTETS, Response, bytes};
use crate::http::route::{Handler, Route};
use crate::http::services::{ChainView, ServiceError};
use crate::http::visibility::{Viewer, oversees};
use crate::proving::{ProofQuestion, key_of};

const NAMES: Parameter = Parameter::needed(
    "names",
    "What to prove, 1 to 32 names with commas between: `parameters`, `member:harlem`, `grants:alice@harlem:kentucky/opt`, ...",
);
const HEIGHT: Parameter =
    Parameter::new("height", "The state after this height: the newest, or one of which there is a snapshot");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/proofs/transactions/{id}",
            "An offline proof that a transaction and its receipt stand in a certified block",
            Handler::Act(|call, _| Box::pin(transaction(call))),
        )
        .consistent()
        .gives_octets(),
        Route::get(
            "/v1/proofs/state",
            "An offline proof of what the newest certified state, or one of which there is a snapshot, says of records, or that it has none",
            Handler::Act(|call, _| Box::pin(state(call))),
        )
        .consistent()
        .query(&[NAMES, HEIGHT])
        .gives_octets(),
    ]
}

/// How long a certificate is waited for.
pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_millis(WAIT_MS_DEFAULT)
}

async fn answer(call: &Call, question: ProofQuestion) -> Result<Response, Refusal> {
    Ok(bytes(StatusCode::OK, OCTETS, call.chain().prove(question, deadline()).await?))
}

async fn transaction(call: Arc<Call>) -> Result<Response, Refusal> {
    let id: TransactionId = call.path(0, "id")?;
    // One that the view does not hold is the ledger's to explain: unknown, pruned, or before a snapshot.
    let seen = call.read(move |call, view| sees_transaction(call, view, &id)).await?;
    if seen { answer(&call, ProofQuestion::Transaction(id)).await } else { Err(Refusal::NotFound("transaction")) }
}

fn sees_transaction(call: &Call, view: &dyn ChainView, id: &TransactionId) -> Result<bool, Refusal> {
    let Some(stored) = view.transaction(id)? else { return Ok(true) };
    let body = SignedTransaction::decode(&stored.bytes, TRANSACTION_BODY_BYTES_MAX)
        .and_then(|signed| TransactionBody::decode(&signed.body, TRANSACTION_BODY_BYTES_MAX))
        .map_err(|error| Refusal::Service(ServiceError::internal(&error)))?;
    Ok(viewer(call, view)?.sees_transaction(&body.signer, Some(&stored.receipt))?)
}

async fn state(call: Arc<Call>) -> Result<Response, Refusal> {
    let invalid = |problem: String| Refusal::ParameterInvalid { name: "names", problem };
    let text: String = call.query.need("names")?;
    let height = call.query.get("height")?;
    let names: Result<Vec<Provable>, _> = text.split(',').map(str::parse).collect();
    let names = names.map_err(|error: galen_types::provable::ProvableParseError| invalid(error.to_string()))?;
    if names.len() > PROOF_KEYS_MAX {
        return Err(invalid(format!("give at most {PROOF_KEYS_MAX} names")));
    }
    let asked = names.clone();
    let seen = call.read(move |call, view| {
        let viewer = viewer(call, view)?;
        asked.iter().try_fold(true, |all, name| Ok(all && may_prove(&viewer, name)?))
    });
    if seen.await? {
        answer(&call, ProofQuestion::State { names, height }).await
    } else {
        Err(Refusal::NotFound("record"))
    }
}

fn may_prove(viewer: &Viewer<'_>, name: &Provable) -> Result<bool, Refusal> {
    let Viewer { state, account, .. } = viewer;
    if oversees(account) {
        return Ok(true);
    }
    if state.get(&key_of(name))?.is_none() {
        return Ok(false);
    }
    let member = &account.name.member;
    Ok(match name {
        Provable::Parameters
        | Provable::Voters
        | Provable::MembersActive
        | Provable::LastRecovery
        | Provable::Schedule
        | Provable::Applications
        | Provable::Member(_)
        | Provable::MemberLeft(_)
        | Provable::Account(_)
        | Provable::Node(_)
        | Provable::Proposal(_) => true,
        Provable::Dataset(dataset) => viewer.sees_dataset(dataset)?,
        Provable::Version(version) => viewer.sees_dataset(&version.dataset)?,
        Provable::Contract(scope) | Provable::ReplacedContract(scope, _) => match scope {
            Scope::Dataset(dataset) => viewer.sees_dataset(dataset)?,
            Scope::Member(member) => viewer.sees_member_contract(member),
        },
        Provable::Request(id) => get_request(*state, *id)?.is_some_and(|request| viewer.sees_request(&request)),
        Provable::Grant(id) => get_grant(*state, *id)?.is_some_and(|grant| viewer.sees_grant(&grant)),
        Provable::Grants(grantee, dataset) => grantee == &account.name || &dataset.member == member,
        Provable::Job(id) => get_job(*state, *id)?.is_some_and(|job| viewer.sees_job(&job)),
        Provable::SigningKey(_) | Provable::Live(..) | Provable::Key(_) => false,
    })
}
