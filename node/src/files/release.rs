//! What a certified `Download` releases. Judged by the node that gives something out, on its own ledger.
//!
//! A receipt is good for [`RELEASE_MS`] after its block, so that a broken transfer can be taken up again without using up
//! the grant anew; it is no key for good. Within that time, what was taken back since holds: a grant revoked, a version
//! withdrawn, a rule that denies, an account suspended. Uses and expiry were judged when the call was recorded.

use galen_contracts::access::authorise;
use galen_contracts::query::{get_account, get_contract, get_dataset, get_grant, get_version};
use galen_contracts::{Failure, StateRead};
use galen_types::access::{AccessTerms, Basis, Decision, Effect};
use galen_types::dataset::{VersionContent, VersionState};
use galen_types::member::EncryptionKey;
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{AccountName, Call, Timestamp, TransactionId, VersionName};

use super::error::state_unusable;
use super::reading::{CertifiedCall, block_time, certified_call};
use crate::http::services::{ChainView, ErrorKind, ServiceError};

/// How long a receipt releases its file, milliseconds.
pub(crate) const RELEASE_MS: u64 = 24 * 3_600_000;

/// What is given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// To whom.
    pub(crate) account: AccountName,
    /// The file key is wrapped to it.
    pub(crate) encryption_key: EncryptionKey,
    /// Which version.
    pub(crate) version: VersionName,
    /// What the chain says of it.
    pub(crate) content: VersionContent,
    /// What permitted it.
    pub(crate) decision: Decision,
}

/// What a transaction releases. `clock` is this node's: on a quiet chain block time stands still.
pub(crate) fn release_of(view: &dyn ChainView, id: &TransactionId, clock: Timestamp) -> Result<Release, ServiceError> {
    let CertifiedCall { account, call, receipt, time } = certified_call(view, id)?;
    let Call::Download { version, purpose } = call else {
        return Err(ServiceError::new(ErrorKind::NotFound, "receipt-unknown", format!("{id} is no download")));
    };
    let now = block_time(view)?;
    if now.max(clock) > time.plus_ms(RELEASE_MS) {
        let detail = format!("the download was recorded at {time}; its receipt releases the file for 24 hours");
        return Err(ServiceError::new(ErrorKind::Gone, "download-expired", detail).with_hint("record another download"));
    }
    let decided = receipt.events.into_iter().find(|event| event.operation == Operation::Download);
    let Some(decision) = decided.and_then(|event| event.decision) else {
        return Err(ServiceError::internal(&format!("the receipt of download {id} names no decision")));
    };
    let state = view.state();
    check_permitted(state, now, &account, &version, purpose, &decision)?;
    let registered = get_account(state, &account).map_err(state_unusable)?;
    let content = get_version(state, &version.dataset, version.version).map_err(state_unusable)?;
    let (Some(registered), Some(content)) = (registered, content) else {
        return Err(ServiceError::internal(&format!("what download {id} names is not in the state")));
    };
    let (encryption_key, content) = (registered.encryption_key, content.content);
    Ok(Release { account, encryption_key, version, content, decision })
}

/// That nothing was taken back since.
fn check_permitted(
    state: &dyn StateRead,
    now: Timestamp,
    account: &AccountName,
    version: &VersionName,
    purpose: Purpose,
    given: &Decision,
) -> Result<(), ServiceError> {
    let lost = |cause: &str| {
        let detail = format!("{version} may no longer be downloaded: {cause}");
        Err(ServiceError::new(ErrorKind::Forbidden, "download-permission-lost", detail))
    };
    let dataset = get_dataset(state, &version.dataset).map_err(state_unusable)?;
    let recorded = get_version(state, &version.dataset, version.version).map_err(state_unusable)?;
    let active = |state: VersionState| state == VersionState::Active;
    if !dataset.is_some_and(|dataset| active(dataset.state)) || !recorded.is_some_and(|version| active(version.state)) {
        return lost("it is withdrawn");
    }
    let terms = AccessTerms {
        action: Action::Download,
        purpose,
        columns: Vec::new(),
        statistics: Vec::new(),
        data_use: Vec::new(),
    };
    let decision = match authorise(state, now, account, &version.dataset, &terms) {
        Ok(authorisation) => authorisation.decision,
        Err(Failure::Refused(refusal)) => return lost(&refusal.to_string()),
        Err(Failure::State(error)) => return Err(state_unusable(error)),
    };
    match (&decision.basis, &given.basis) {
        (Basis::Rule { .. }, _) if decision.effect == Effect::Deny => lost("a rule denies it now"),
        (Basis::NothingPermits, Basis::OwnData) => lost("it is no longer the account's own"),
        (_, Basis::Grant { grant }) => match get_grant(state, *grant).map_err(state_unusable)? {
            Some(grant) if grant.revoked.is_none() => Ok(()),
            _ => lost("its grant is revoked"),
        },
        (Basis::NothingPermits, Basis::Rule { scope, contract_version, .. }) => {
            let current = get_contract(state, scope).map_err(state_unusable)?.map(|contract| contract.version);
            // Under the same contract only uses or the period are over, which were judged when it was recorded.
            if current == Some(*contract_version) { Ok(()) } else { lost("no rule permits it any more") }
        }
        _ => Ok(()),
    }
}
