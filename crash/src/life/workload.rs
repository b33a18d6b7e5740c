//! What the node does while it is watched, chapter by chapter, and what it acknowledges.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use galen_bench::acknowledged::Acknowledged;
use galen_bench::workload::Calls;
use galen_bench::{BenchError, Workload};
use galen_client::{Client, ClientError, Publication, Wait, silent};
use galen_types::api::TransactionStatus;
use galen_types::vocabulary::{DataUse, DataUseTerm};
use galen_types::{Call, DatasetName, Slug};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::error::{Fault, LifeError};
use super::stage::Stage;
use crate::disk::Recording;
use crate::trace::{Ended, Strike, Traced};

/// How long a step may take on a loaded machine before the node counts as hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// A part of a node's life, from a start to a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chapter {
    /// The first start: ledger and log are made; a few transactions and a file.
    Begin,
    /// A start on what is there: enough transactions that the ordering log is cut, a snapshot, a backup, and more.
    Life,
    /// After all of it.
    After,
}

impl Chapter {
    /// Those in which something happens.
    pub const PLAYED: [Self; 2] = [Self::Begin, Self::Life];

    /// The one that follows.
    pub fn next(self) -> Self {
        match self {
            Self::Begin => Self::Life,
            Self::Life | Self::After => Self::After,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Life => "life",
            Self::After => "after",
        }
    }
}

impl std::fmt::Display for Chapter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a node acknowledged, and at which moment of the recording that was known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Receipts {
    /// Transactions.
    pub transactions: Vec<(usize, Acknowledged)>,
    /// Datasets whose files the node took.
    pub files: Vec<(usize, DatasetName)>,
}

impl Receipts {
    /// What was acknowledged by a moment.
    pub fn by(&self, moment: usize) -> Self {
        Self {
            transactions: self.transactions.iter().filter(|(at, _)| *at <= moment).copied().collect(),
            files: self.files.iter().filter(|(at, _)| *at <= moment).cloned().collect(),
        }
    }

    /// Everything, known from the beginning of a recording.
    #[must_use]
    pub fn from_the_start(self) -> Self {
        Self {
            transactions: self.transactions.into_iter().map(|(_, one)| (0, one)).collect(),
            files: self.files.into_iter().map(|(_, one)| (0, one)).collect(),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), LifeError> {
        let text = serde_json::to_string(self).map_err(|error| LifeError::file(path)(error.into()))?;
        std::fs::write(path, text).map_err(LifeError::file(path))
    }

    pub(super) fn read(path: &Path) -> Result<Self, LifeError> {
        let text = std::fs::read_to_string(path).map_err(LifeError::file(path))?;
        Ok(serde_json::from_str::<Self>(&text).map_err(|error| LifeError::file(path)(error.into()))?.from_the_start())
    }
}

/// A chapter as it was played.
#[derive(Debug)]
pub struct Played {
    /// What happened to the home's files.
    pub recording: Recording,
    /// What was acknowledged, before this chapter too.
    pub receipts: Receipts,
    /// How the process ended.
    pub ended: Ended,
    /// The end of its log.
    pub said: String,
}

/// Plays a chapter from its beginning under the tracer, until the node stops or is stopped.
///
/// # Errors
/// [`Fault`] within, when the node hangs.
pub async fn play(
    stage: &Stage,
    chapter: Chapter,
    strike: Option<Strike>,
    lying_syncs: Option<String>,
) -> Result<Result<Played, Fault>, LifeError> {
    let receipts = stage.put_back(chapter)?;
    let recording = Recording::begin(&stage.home()).map_err(LifeError::file(&stage.home()))?;
    let recording = Arc::new(Mutex::new(recording));
    let mut traced = Traced::start(stage.launch(strike, lying_syncs)?, Arc::clone(&recording))?;
    let receipts = Arc::new(Mutex::new(receipts));
    let script = Script { stage, chapter, recording: Arc::clone(&recording), receipts: Arc::clone(&receipts) };
    let mut told = None;
    let ended = {
        let mut script = std::pin::pin!(script.run());
        loop {
            if let Some(ended) = traced.wait(Duration::ZERO) {
                break ended?;
            }
            match told {
                None => match tokio::time::timeout(LOOK, &mut script).await {
                    Err(_) => {}
                    Ok(Ok(())) => {
                        traced.signal(Signal::SIGTERM);
                        told = Some(Instant::now());
                    }
                    Ok(Err(ScriptError::Fault(fault))) => return Ok(Err(fault)),
                    Ok(Err(ScriptError::Life(error))) => return Err(error),
                },
                Some(since) if since.elapsed() > PATIENCE => {
                    return Ok(Err(Fault::Hangs(format!("told to stop: {}", stage.said()))));
                }
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        }
    };
    let recording = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let receipts = receipts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Ok(Played { recording, receipts, ended, said: stage.said() }))
}

enum ScriptError {
    Fault(Fault),
    Life(LifeError),
}

impl<E: Into<LifeError>> From<E> for ScriptError {
    fn from(error: E) -> Self {
        Self::Life(error.into())
    }
}

/// What clients ask of the node in a chapter. The node may die at any time, and its disk may fail: what it does not
/// acknowledge is not counted, and the script goes on.
struct Script<'stage> {
    stage: &'stage Stage,
    chapter: Chapter,
    recording: Arc<Mutex<Recording>>,
    receipts: Arc<Mutex<Receipts>>,
}

impl Script<'_> {
    async fn run(&self) -> Result<(), ScriptError> {
        let deadline = Instant::now() + PATIENCE;
        let anyone = self.stage.anyone()?;
        while anyone.ready().await.is_err() {
            if Instant::now() > deadline {
                return Err(ScriptError::Fault(Fault::Hangs(format!("not ready: {}", self.stage.said()))));
            }
            tokio::time::sleep(LOOK).await;
        }
        let mut load = Load::new(self.stage)?;
        match self.chapter {
            Chapter::Begin => {
                self.transactions(&mut load, 4).await?;
                self.file(&load.owner).await?;
            }
            Chapter::Life | Chapter::After => {
                self.transactions(&mut load, 14).await?;
                let admin = self.stage.client("admin@harlem")?;
                // A full disk fails them, which the node survives.
                let _ = admin.snapshot().await;
                self.transactions(&mut load, 1).await?;
                let _ = admin.backup().await;
                self.transactions(&mut load, 2).await?;
            }
        }
        Ok(())
    }

    async fn transactions(&self, load: &mut Load, count: usize) -> Result<(), ScriptError> {
        for _ in 0..count {
            if let Ok(status) = load.next().await?
                && let Some(one) = Acknowledged::of(&status)
            {
                let moment = self.moment();
                self.receipts.lock().unwrap_or_else(PoisonError::into_inner).transactions.push((moment, one));
            }
        }
        Ok(())
    }

    async fn file(&self, owner: &Client) -> Result<(), ScriptError> {
        let path = self.stage.scratch().join("table.csv");
        let rows: String = (0..2_000).map(|row| format!("{row},{}\n", row * 7 % 90)).collect();
        std::fs::write(&path, format!("Id,Age\n{rows}")).map_err(LifeError::file(&path))?;
        let dataset = DatasetName { member: slug("harlem")?, dataset: slug("table")? };
        let publication = Publication {
            dataset: dataset.clone(),
            previous: None,
            data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
            card: None,
            discoverable: true,
            temporary_folder: Some(self.stage.scratch().to_path_buf()),
        };
        if let Ok(published) = owner.publish_file(&path, publication, &silent()).await
            && let Some(one) = Acknowledged::of(&published.transaction)
        {
            let moment = self.moment();
            let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
            receipts.transactions.push((moment, one));
            receipts.files.push((moment, dataset));
        }
        Ok(())
    }

    fn moment(&self) -> usize {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).moment()
    }
}

/// Publications by an owner and requests by a researcher, in turn. Each load's datasets have names of their own.
pub(super) struct Load {
    pub(super) owner: Client,
    researcher: Client,
    calls: Calls,
    first: Option<Call>,
}

/// Numbers the loads of this process.
static LOADS: AtomicU64 = AtomicU64::new(0);

impl Load {
    pub(super) fn new(stage: &Stage) -> Result<Self, LifeError> {
        let run = LOADS.fetch_add(1, Ordering::Relaxed);
        let of = |target, workload| Calls::new(slug("harlem")?, run, 0, target, workload);
        let nothing = DatasetName { member: slug("harlem")?, dataset: slug("none")? };
        let (target, first) = of(nothing, Workload::Publish)?.target()?;
        let mut calls = of(target, Workload::Mixed)?;
        // The first of its names is the target's.
        calls.target()?;
        Ok(Self {
            owner: stage.client("owner@harlem")?,
            researcher: stage.client("researcher@harlem")?,
            calls,
            first: Some(first),
        })
    }

    /// Submits the next call and waits for its receipt.
    pub(super) async fn next(&mut self) -> Result<Result<TransactionStatus, ClientError>, LifeError> {
        let call = match self.first.take() {
            Some(call) => call,
            None => self.calls.next_call()?,
        };
        let client = if matches!(call, Call::RequestAccess { .. }) { &self.researcher } else { &self.owner };
        Ok(client.submit(call, Wait::Committed).await)
    }
}

fn slug(text: &str) -> Result<Slug, BenchError> {
    Slug::parse(text).map_err(|error| BenchError::Options(error.to_string()))
}
