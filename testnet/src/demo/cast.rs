//! Who takes part in the main job: an owner at each hospital, a researcher at the last, an auditor at the first.

use std::path::PathBuf;
use std::time::Duration;

use galen_client::Client;
use galen_types::api::TransactionStatus;
use galen_types::{AccountName, DatasetName, Slug};
use tokio::time::Instant;

use super::DATASET;
use super::files::SiteFile;
use crate::error::TestnetError;
use crate::network::Testnet;

/// How long other nodes may take to come as far as the one that answered.
const SETTLE_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether they did.
const SETTLE_LOOK: Duration = Duration::from_millis(20);

/// A hospital: its file, and its owner at its own node.
pub(super) struct Hospital {
    pub(super) file: SiteFile,
    pub(super) path: PathBuf,
    pub(super) dataset: DatasetName,
    pub(super) owner: AccountName,
    pub(super) client: Client,
}

/// Everybody, and where their files lie.
pub(super) struct Cast {
    pub(super) testnet: Testnet,
    pub(super) folder: PathBuf,
    pub(super) hospitals: Vec<Hospital>,
    pub(super) researcher: AccountName,
    pub(super) client: Client,
    pub(super) auditor: AccountName,
    pub(super) auditor_client: Client,
}

impl Cast {
    pub(super) fn new(testnet: &Testnet, files: Vec<SiteFile>) -> Result<Self, TestnetError> {
        let folder = testnet.folder().demo();
        std::fs::create_dir_all(&folder).map_err(|error| TestnetError::file(&folder, error))?;
        let slug = |text: &str| Slug::parse(text).map_err(|error| TestnetError::Plan(error.to_string()));
        let of = |account: &str, member: &Slug| {
            Ok::<_, TestnetError>(AccountName { account: slug(account)?, member: member.clone() })
        };
        let (Some(first), Some(last), true) = (files.first(), files.last(), files.len() >= 4) else {
            return Err(TestnetError::Plan("the main job needs the files of four hospitals or more".to_owned()));
        };
        if let Some(file) = files.iter().find(|file| !testnet.plan().members.contains(&file.member)) {
            return Err(TestnetError::Plan(format!(
                "the main job is about hospital `{}`, which is no member of this testnet; run it on one with the default members",
                file.member
            )));
        }
        let (researcher, auditor) = (of("researcher", &last.member)?, of("auditor", &first.member)?);
        let (client, auditor_client) = (testnet.client_as(&researcher)?, testnet.client_as(&auditor)?);
        let mut hospitals = Vec::new();
        for file in files {
            let path = file.path(&folder);
            std::fs::write(&path, &file.bytes).map_err(|error| TestnetError::file(&path, error))?;
            let owner = of("owner", &file.member)?;
            let client = testnet.client_as(&owner)?;
            let dataset = DatasetName { member: file.member.clone(), dataset: slug(DATASET)? };
            hospitals.push(Hospital { file, path, dataset, owner, client });
        }
        Ok(Self { testnet: testnet.clone(), folder, hospitals, researcher, client, auditor, auditor_client })
    }

    /// The hospital whose file is downloaded: the first.
    pub(super) fn downloaded(&self) -> &Hospital {
        &self.hospitals[0]
    }

    /// The hospital whose stored file is changed: the second.
    pub(super) fn tampered(&self) -> &Hospital {
        &self.hospitals[1]
    }

    /// The hospital that rejects at first: the third.
    pub(super) fn rejecting(&self) -> &Hospital {
        &self.hospitals[2]
    }

    /// The greatest height that any hospital's node has applied.
    pub(super) async fn height(&self) -> Result<u64, TestnetError> {
        let mut height = 0;
        for hospital in &self.hospitals {
            height = height.max(hospital.client.chain().await?.height);
        }
        Ok(height)
    }

    /// Waits until every hospital's node has applied the transaction's block: reads that follow see it anywhere.
    pub(super) async fn settle(&self, step: &'static str, status: &TransactionStatus) -> Result<(), TestnetError> {
        let height = status.height.unwrap_or(0);
        let deadline = Instant::now() + SETTLE_PATIENCE;
        for hospital in &self.hospitals {
            loop {
                let reached = hospital.client.chain().await?.height;
                if reached >= height {
                    break;
                }
                if Instant::now() >= deadline {
                    let seconds = SETTLE_PATIENCE.as_secs();
                    let member = &hospital.file.member;
                    return Err(wrong(
                        step,
                        format!("{member}'s node is at height {reached} of {height} after {seconds} s"),
                    ));
                }
                tokio::time::sleep(SETTLE_LOOK).await;
            }
        }
        Ok(())
    }
}

/// Something did not come out as it must.
pub(super) fn wrong(step: &'static str, problem: impl Into<String>) -> TestnetError {
    TestnetError::Demo { step, problem: problem.into() }
}

/// That something came out as it must.
pub(super) fn ensure(step: &'static str, holds: bool, problem: impl FnOnce() -> String) -> Result<(), TestnetError> {
    if holds { Ok(()) } else { Err(wrong(step, problem())) }
}

/// The first digits of an id.
pub(super) fn short(id: &impl std::fmt::Display) -> String {
    id.to_string().chars().take(12).collect()
}
