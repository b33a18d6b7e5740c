//! Starting a node on what is left of its home, and comparing it with what it had acknowledged.

use std::process::{Child, Command};

use galen_bench::acknowledged::Acknowledged;
use galen_client::ClientError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::error::{Fault, LifeError};
use super::stage::Stage;
use super::workload::{LOOK, Load, PATIENCE, Receipts};

/// What came of a start.
pub enum Outcome {
    /// It refused, or does not go on with what it found, and said why.
    Refused {
        /// The reason's stable name.
        code: String,
    },
    /// It can be used.
    Runs(Running),
}

/// A node's process, killed when dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the node and waits until it can be used or has refused with a reason.
///
/// # Errors
/// [`Fault`] within, when it panics, hangs, or ends without a reason.
pub async fn attempt(stage: &Stage) -> Result<Result<Outcome, Fault>, LifeError> {
    drop(stage.fresh_log()?);
    let mut running = Running(stage.start()?);
    let anyone = stage.anyone()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = running.0.try_wait().map_err(LifeError::file(stage.program()))? {
            return Ok(cause(&stage.said(), status).map(|code| Outcome::Refused { code }));
        }
        let ready = anyone.ready().await.is_ok();
        // Of nobody else it can be repaired: it goes on without a vote, and its operator decides.
        if !stage.has_others()
            && let Some(code) = stage.damage()
        {
            return Ok(Ok(Outcome::Refused { code }));
        }
        if ready {
            return Ok(Ok(Outcome::Runs(running)));
        }
        if Instant::now() > deadline {
            return Ok(Err(Fault::Hangs(format!("not ready: {}", stage.said()))));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The named cause with which a process ended.
///
/// # Errors
/// [`Fault`] when there is none, or it panicked.
pub(crate) fn cause(said: &str, status: std::process::ExitStatus) -> Result<String, Fault> {
    if said.contains("panicked") {
        return Err(Fault::Panicked(said.to_owned()));
    }
    let document = said.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let code = document.as_ref().and_then(|document| document.get("code")).and_then(|code| code.as_str());
    match code {
        Some(code) if status.code().is_some_and(|code| code != 0) => Ok(code.to_owned()),
        _ => Err(Fault::NoCause { status: status.to_string(), said: said.to_owned() }),
    }
}

/// Starts the node, compares it with what it acknowledged, has it do something new, stops it and verifies its ledger.
///
/// # Errors
/// [`Fault`] within, when it broke a promise.
pub async fn reopen(stage: &Stage, receipts: &Receipts) -> Result<Result<(), Fault>, LifeError> {
    match attempt(stage).await? {
        Ok(Outcome::Runs(running)) => compare(stage, running, receipts).await,
        Ok(Outcome::Refused { .. }) => Ok(Err(Fault::DoesNotStart(stage.said()))),
        Err(fault) => Ok(Err(fault)),
    }
}

/// The same with a node that runs.
pub(crate) async fn compare(
    stage: &Stage,
    running: Running,
    receipts: &Receipts,
) -> Result<Result<(), Fault>, LifeError> {
    let found = look(stage, receipts).await?;
    if found.is_err() {
        return Ok(found);
    }
    if let Err(fault) = stop(stage, running).await? {
        return Ok(Err(fault));
    }
    verify(stage)
}

/// Compares a running node with what it acknowledged, and has it do something new.
async fn look(stage: &Stage, receipts: &Receipts) -> Result<Result<(), Fault>, LifeError> {
    // What it held in its ordering log alone it may execute a moment after it says that it is ready, or fetch from the
    // others: that an answer has all that was acknowledged is promised of linearizable reads.
    let anyone = stage.anyone_linearizably()?;
    let deadline = Instant::now() + PATIENCE;
    for (_, one) in &receipts.transactions {
        let Acknowledged { id, height, index } = *one;
        let lost = |now| Ok(Err(Fault::Lost { id, height, index, now }));
        loop {
            match anyone.transaction(&id).await {
                Ok(status) if (status.height, status.index) == (Some(height), Some(index)) => break,
                Ok(status) => return lost(format!("{:?}, {:?}", status.height, status.index)),
                Err(error) if is_absent(&error) || Instant::now() > deadline => return lost(error.to_string()),
                // Nobody leads yet.
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }
    let mut load = Load::new(stage)?;
    for (_, dataset) in &receipts.files {
        let now = match load.owner.verify_dataset(dataset).await {
            Ok(verification) if verification.parts.iter().all(|part| part.intact) => continue,
            Ok(verification) => format!("{:?}", verification.parts),
            Err(error) => error.to_string(),
        };
        return Ok(Err(Fault::FileLost { dataset: dataset.to_string(), now }));
    }
    Ok(match load.next().await? {
        Ok(status) if status.height.is_some() => Ok(()),
        Ok(status) => Err(Fault::Stuck(format!("{status:?}"))),
        Err(error) => Err(Fault::Stuck(format!("{error}; {}", stage.said()))),
    })
}

fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.status == 404)
}

/// Asks a node to stop and waits until it has.
async fn stop(stage: &Stage, mut running: Running) -> Result<Result<(), Fault>, LifeError> {
    let pid = Pid::from_raw(i32::try_from(running.0.id()).unwrap_or(i32::MAX));
    let _ = kill(pid, Signal::SIGTERM);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match running.0.try_wait().map_err(LifeError::file(stage.program()))? {
            Some(status) if status.success() => return Ok(Ok(())),
            Some(status) => return Ok(Err(Fault::NoCause { status: status.to_string(), said: stage.said() })),
            None if Instant::now() > deadline => {
                return Ok(Err(Fault::Hangs(format!("told to stop: {}", stage.said()))));
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Has the stopped node's ledger verified.
fn verify(stage: &Stage) -> Result<Result<(), Fault>, LifeError> {
    let mut command = Command::new(stage.program());
    command.args(["ledger", "verify"]).arg(stage.home()).env("TMPDIR", stage.scratch());
    let run = command.output().map_err(LifeError::file(stage.program()))?;
    if run.status.success() {
        return Ok(Ok(()));
    }
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    Ok(Err(Fault::Unsound(said)))
}
