//! The file itself: denied without a grant, given with one, decrypted at the researcher's side.

use galen_client::{ClientError, Wait, silent};
use galen_types::access::{AccessTerms, Basis};
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{Call, VersionName};
use serde_json::json;

use super::access::{affirmed, approve_with, file};
use super::cast::{Cast, ensure, short, wrong};
use super::step::Step;
use crate::error::TestnetError;

const DENIED: &str = "download-denied";
const GRANTED: &str = "download";

/// The rule that denies what nothing permits.
const RULE: &str = "nothing-permits";

pub(super) async fn denied(cast: &Cast) -> Result<Step, TestnetError> {
    let version = newest(cast).await?;
    let call = Call::Download { version: version.clone(), purpose: Purpose::HealthcareResearch };
    let (id, rule, explanation) = match cast.client.apply(call, Wait::Certified).await {
        Err(ClientError::Denied { id, rule, explanation }) => (id, rule, explanation),
        Err(error) => return Err(error.into()),
        Ok(status) => return Err(wrong(DENIED, format!("{version} was given out without a grant, by {}", status.id))),
    };
    ensure(DENIED, rule.as_str() == RULE, || format!("denied by `{rule}` instead of `{RULE}`"))?;
    let nothing = cast.client.download_ticket(&id).await;
    ensure(DENIED, nothing.is_err(), || "a refused receipt released the file's key".to_owned())?;
    Ok(Step {
        step: DENIED,
        title: "The file itself is denied",
        done: format!("{} asks for the file of {version}; its grant is for `compute` only.", cast.researcher),
        came: vec![
            format!("denied by rule `{rule}`: {explanation}"),
            format!("the denial is on record: {}", short(&id)),
        ],
        by_hand: vec![format!("galen --context {} data get {} --out opt.csv", cast.researcher, version.dataset)],
        facts: json!({ "version": version, "transaction": id, "rule": rule, "explanation": explanation }),
    })
}

pub(super) async fn granted(cast: &Cast) -> Result<Step, TestnetError> {
    let version = newest(cast).await?;
    let hospital = cast.downloaded();
    let terms = AccessTerms {
        action: Action::Download,
        purpose: Purpose::HealthcareResearch,
        columns: Vec::new(),
        statistics: Vec::new(),
        data_use: affirmed(),
    };
    let filed = file(cast, hospital, terms).await?;
    let request = filed.request;
    let grant = approve_with(cast, hospital, filed, Some(1)).await?;
    let target = cast.folder.join(format!("downloaded-{}.csv", hospital.file.member));
    let downloaded = cast.client.download(&version, Purpose::HealthcareResearch, &target, &silent()).await?;
    ensure(GRANTED, downloaded.decision.basis == Basis::Grant { grant }, || {
        format!("permitted by {} instead of grant {grant}", downloaded.decision.basis)
    })?;
    let bytes = std::fs::read(&target).map_err(|error| TestnetError::file(&target, error))?;
    ensure(GRANTED, bytes == *hospital.file.bytes, || "the file differs from what the hospital published".to_owned())?;
    Ok(Step {
        step: GRANTED,
        title: "A grantee downloads",
        done: format!(
            "{} asks for `download`, {} approves for one use; the ciphertext comes from {}'s node and is decrypted here.",
            cast.researcher, hospital.owner, hospital.file.member
        ),
        came: vec![
            format!("{} bytes, equal to the hospital's file: {}", bytes.len(), target.display()),
            format!("permitted by {}, on record: {}", downloaded.decision.basis, short(&downloaded.transaction)),
        ],
        by_hand: vec![
            format!(
                "galen --context {} access request {} --action download --purpose HRESCH",
                cast.researcher, hospital.dataset
            ),
            format!("galen --context {} access approve REQUEST --uses 1", hospital.owner),
            format!("galen --context {} data get {} --out opt.csv", cast.researcher, hospital.dataset),
        ],
        facts: json!({ "request": request, "grant": grant, "download": downloaded, "bytes_equal": true, "file": target }),
    })
}

/// The newest version of the dataset that is downloaded.
async fn newest(cast: &Cast) -> Result<VersionName, TestnetError> {
    let dataset = cast.downloaded().dataset.clone();
    let detail = cast.client.dataset(&dataset).await?;
    Ok(VersionName { dataset, version: detail.dataset.latest })
}
