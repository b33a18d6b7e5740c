//! Each hospital publishes its file at its own node; a researcher elsewhere finds them.

use std::path::PathBuf;

use galen_client::{ClientError, Publication, Wait, collect_pages, silent};
use galen_types::api::{Card, DatasetSearch};
use galen_types::dataset::VersionContent;
use galen_types::vocabulary::{DataUse, DataUseTerm};
use galen_types::{Hash, VersionName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cast::{Cast, Hospital, ensure, short, wrong};
use super::step::Step;
use super::{DATASET, table};
use crate::error::TestnetError;

const PUBLISH: &str = "publish";
const SEARCH: &str = "search";

/// What was published of a hospital's file, kept beside the file: ciphertexts differ each time, so the chain cannot say
/// whether a file is the one published before.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PublishedNote {
    /// BLAKE3 of the file.
    file: Hash,
    /// The ciphertext that was published.
    ciphertext: Hash,
}

/// What became of a hospital's file.
#[derive(Serialize)]
struct PublishedFile {
    version: VersionName,
    owner: galen_types::AccountName,
    rows: u64,
    columns: usize,
    ciphertext: Hash,
    /// `published`, `updated` or `unchanged`.
    what: &'static str,
}

pub(super) async fn publish(cast: &Cast) -> Result<Step, TestnetError> {
    let mut published = Vec::new();
    for hospital in &cast.hospitals {
        published.push(publish_one(cast, hospital).await?);
    }
    let heading = ["dataset", "by", "rows", "columns", "stored file", ""].map(str::to_owned).to_vec();
    let rows = published.iter().map(|file| {
        let numbers = [file.rows.to_string(), file.columns.to_string()];
        let [rows, columns] = numbers;
        let version = file.version.to_string();
        vec![version, file.owner.to_string(), rows, columns, short(&file.ciphertext), file.what.to_owned()]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let hospital = cast.downloaded();
    Ok(Step {
        step: PUBLISH,
        title: "Four hospitals publish",
        done: "Each hospital's owner encrypts its file, stores it at its own node and publishes it; no row leaves the node."
            .to_owned(),
        came: table::render(&rows, usize::MAX),
        by_hand: vec![format!(
            "galen --context {} data add {} --name {DATASET} --title 'OPT trial' --duo GRU --duo IRB",
            hospital.owner,
            hospital.path.display()
        )],
        facts: json!({ "datasets": published }),
    })
}

async fn publish_one(cast: &Cast, hospital: &Hospital) -> Result<PublishedFile, TestnetError> {
    let name = &hospital.dataset;
    let file = Hash(*blake3::hash(&hospital.file.bytes).as_bytes());
    let latest = match hospital.client.dataset(name).await {
        Ok(detail) => detail.versions.into_iter().next_back(),
        Err(ClientError::Problem(problem)) if problem.status == 404 => None,
        Err(error) => return Err(error.into()),
    };
    let note = note_path(cast, hospital);
    if let Some(latest) = &latest
        && read_note(&note) == Some(PublishedNote { file, ciphertext: latest.content.ciphertext })
    {
        let version = VersionName { dataset: name.clone(), version: latest.number };
        return Ok(entry(hospital, version, &latest.content, "unchanged"));
    }
    let member = &hospital.file.member;
    let publication = Publication {
        dataset: name.clone(),
        previous: latest.as_ref().map(|latest| latest.number),
        data_use: [DataUseTerm::GeneralResearchUse, DataUseTerm::EthicsApprovalRequired]
            .map(|term| DataUse { term, parameter: None })
            .to_vec(),
        card: Some(Card {
            title: format!("Obstetrics and Periodontal Therapy trial, {member}"),
            description:
                "One row a participant: baseline, periodontal measures at three visits, outcome of the pregnancy."
                    .to_owned(),
            contact: format!("research-office@{member}.example"),
        }),
        discoverable: true,
        temporary_folder: Some(cast.folder.clone()),
    };
    let published = hospital.client.publish_file(&hospital.path, publication, &silent()).await?;
    let status = hospital.client.transaction_when(
        &published.transaction.id,
        Wait::Certified,
        std::time::Duration::from_secs(20),
    );
    cast.settle(PUBLISH, &status.await?).await?;
    let note_text = serde_json::to_string(&PublishedNote { file, ciphertext: published.content.ciphertext })
        .map_err(|error| wrong(PUBLISH, error.to_string()))?;
    std::fs::write(&note, note_text).map_err(|error| TestnetError::file(&note, error))?;
    let what = if latest.is_some() { "updated" } else { "published" };
    Ok(entry(hospital, published.version, &published.content, what))
}

fn entry(hospital: &Hospital, version: VersionName, content: &VersionContent, what: &'static str) -> PublishedFile {
    let (rows, columns, ciphertext) = (content.rows, content.columns.len(), content.ciphertext);
    PublishedFile { version, owner: hospital.owner.clone(), rows, columns, ciphertext, what }
}

fn note_path(cast: &Cast, hospital: &Hospital) -> PathBuf {
    cast.folder.join(format!("{}.published.json", hospital.file.member))
}

/// A note that cannot be read is none: the file is then published anew.
fn read_note(path: &std::path::Path) -> Option<PublishedNote> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

pub(super) async fn search(cast: &Cast) -> Result<Step, TestnetError> {
    let fetch = |paging: galen_client::Paging| {
        cast.client.datasets(DatasetSearch {
            column: Some("Birthweight".to_owned()),
            data_use: Some("GRU".to_owned()),
            start_after: paging.start_after,
            limit: paging.limit,
            ..DatasetSearch::default()
        })
    };
    let found = collect_pages(1_000, fetch).await?;
    for hospital in &cast.hospitals {
        let is_there = found.iter().any(|summary| summary.dataset.name == hospital.dataset);
        ensure(SEARCH, is_there, || format!("{} is not among the datasets found", hospital.dataset))?;
    }
    let heading = ["dataset", "rows", "terms", "title"].map(str::to_owned).to_vec();
    let rows = found.iter().map(|summary| {
        let content = &summary.version.content;
        let terms: Vec<_> = content.data_use.iter().map(|use_| use_.term.to_string()).collect();
        let title = summary.card.as_ref().map_or_else(|| "-".to_owned(), |card| card.title.clone());
        vec![summary.dataset.name.to_string(), content.rows.to_string(), terms.join(", "), title]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    Ok(Step {
        step: SEARCH,
        title: "A researcher searches",
        done: format!("{} looks for datasets with the column Birthweight and general research use.", cast.researcher),
        came: table::render(&rows, usize::MAX),
        by_hand: vec![format!("galen --context {} data list --column Birthweight --duo GRU", cast.researcher)],
        facts: json!({ "researcher": cast.researcher, "datasets": found }),
    })
}
