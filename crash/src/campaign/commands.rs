//! Commands that write files: interrupted anywhere, the same command completes what it began or says that all is there; and
//! what a command said it had done is there after a loss of power.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Report, Selection};
use crate::disk::{Image, Loss, Recording};
use crate::life::{Chapter, Fault, LifeError, Stage, remove};
use crate::trace::{Ended, Launch, Strike, Traced};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command that writes files under one folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// `galen key new`
    KeyNew,
    /// `galen node init`
    NodeInit,
    /// `galen genesis new`
    GenesisNew,
    /// `galen context add`
    ContextAdd,
    /// `galen ledger backup`
    Backup,
    /// `galen ledger restore`
    Restore,
}

impl Writing {
    const ALL: [Self; 6] =
        [Self::KeyNew, Self::NodeInit, Self::GenesisNew, Self::ContextAdd, Self::Backup, Self::Restore];

    fn name(self) -> &'static str {
        match self {
            Self::KeyNew => "key new",
            Self::NodeInit => "node init",
            Self::GenesisNew => "genesis new",
            Self::ContextAdd => "context add",
            Self::Backup => "ledger backup",
            Self::Restore => "ledger restore",
        }
    }
}

/// Where commands are tried.
struct Bench<'stage> {
    stage: &'stage Stage,
    /// The folder that they write to.
    root: PathBuf,
    /// A backup to restore.
    backup: PathBuf,
}

/// Interrupts commands at their calls, and loses power then and after their ends.
///
/// # Errors
/// [`LifeError`] when a point cannot be tried.
pub async fn interrupt_commands(stage: &Stage, selection: Selection, report: &mut Report) -> Result<(), LifeError> {
    stage.put_back(Chapter::After)?;
    let bench = Bench::new(stage)?;
    for writing in Writing::ALL {
        let (recording, ended) = bench.trace(writing, None)?;
        // It said that it was done: nothing of it is lost.
        Image::after(&recording, usize::MAX, Loss::All, 0)
            .write_to(&bench.emptied()?)
            .map_err(LifeError::file(&bench.root))?;
        report.add("command", &format!("{} done, loses all", writing.name()), bench.is_done(writing)?);
        for place in selection.of(&ended.calls) {
            let at = place + 1;
            let seed = selection.seed(at);
            let (recording, ended) = bench.trace(writing, Some(Strike::kill(at)))?;
            let struck = ended.struck.map_or_else(|| "after its end".to_owned(), |struck| struck.to_string());
            let loss = Loss::ALL[usize::try_from(seed % 7).unwrap_or(0)];
            for (image, what) in [
                (Image::at(&recording, usize::MAX), "killed".to_owned()),
                (Image::after(&recording, usize::MAX, loss, seed), format!("killed, loses {loss}")),
            ] {
                image.write_to(&bench.emptied()?).map_err(LifeError::file(&bench.root))?;
                let point = format!("{} {at} ({struck}) {what}", writing.name());
                report.add("command", &point, bench.completes(writing)?);
            }
        }
    }
    Ok(())
}

impl<'stage> Bench<'stage> {
    fn new(stage: &'stage Stage) -> Result<Self, LifeError> {
        let folder = stage.scratch().join("commands");
        remove(&folder)?;
        std::fs::create_dir(&folder).map_err(LifeError::file(&folder))?;
        let (root, backup) = (folder.join("root"), folder.join("backup"));
        let password = folder.join("password");
        std::fs::write(&password, "a password\n").map_err(LifeError::file(&password))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&password, private).map_err(LifeError::file(&password))?;
        let bench = Self { stage, root, backup };
        bench.run(&["ledger".into(), "backup".into(), stage.home(), bench.backup.clone()])?;
        Ok(bench)
    }

    /// The folder that commands write to, absent.
    fn emptied(&self) -> Result<PathBuf, LifeError> {
        remove(&self.root)?;
        Ok(self.root.clone())
    }

    fn arguments(&self, writing: Writing, target: &str) -> Vec<PathBuf> {
        let words = |words: &[&str]| words.iter().map(PathBuf::from).collect::<Vec<_>>();
        let target = self.root.join(target);
        let mut arguments = match writing {
            Writing::KeyNew => words(&["key", "new", "owner@harlem", "--keystore"]),
            Writing::NodeInit => words(&["node", "init", "node-9.harlem", "--home"]),
            Writing::GenesisNew => words(&["genesis", "new", "--out"]),
            Writing::ContextAdd => return words(&["context", "add", "here", "--node", "http://127.0.0.1:1"]),
            Writing::Backup => [words(&["ledger", "backup"]), vec![self.stage.home()]].concat(),
            Writing::Restore => [words(&["ledger", "restore"]), vec![self.backup.clone()]].concat(),
        };
        arguments.push(target);
        if writing == Writing::NodeInit {
            arguments.extend([PathBuf::from("--genesis"), self.stage.home().join("genesis.toml")]);
        }
        arguments
    }

    fn whole(&self, arguments: &[PathBuf]) -> Vec<std::ffi::OsString> {
        let before = [PathBuf::from("--json"), "--password-file".into(), self.root.with_file_name("password")];
        before.iter().chain(arguments).map(|word| word.clone().into_os_string()).collect()
    }

    fn environment(&self) -> Vec<(String, std::ffi::OsString)> {
        vec![("GALEN_HOME".to_owned(), self.root.join("settings").into_os_string())]
    }

    /// Runs a command in an empty folder under the tracer.
    fn trace(&self, writing: Writing, strike: Option<Strike>) -> Result<(Recording, Ended), LifeError> {
        let root = self.emptied()?;
        std::fs::create_dir(&root).map_err(LifeError::file(&root))?;
        let log = self.stage.log();
        let launch = Launch {
            program: self.stage.program().to_path_buf(),
            arguments: self.whole(&self.arguments(writing, "made")),
            environment: self.environment(),
            output: std::fs::File::create(&log).map_err(LifeError::file(&log))?,
            strike: strike.clone(),
            lying_syncs: None,
        };
        let recording = Arc::new(Mutex::new(Recording::begin(&root).map_err(LifeError::file(&root))?));
        let mut traced = Traced::start(launch, Arc::clone(&recording))?;
        let hangs = || Fault::Hangs(writing.name().to_owned());
        let ended = traced.wait(PATIENCE).ok_or_else(hangs)??;
        if strike.is_none() && !ended.status.success() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Fault::Command { command: writing.name().to_owned(), said }.into());
        }
        let recording = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((recording, ended))
    }

    fn run(&self, arguments: &[PathBuf]) -> Result<Output, LifeError> {
        let mut command = std::process::Command::new(self.stage.program());
        command.args(self.whole(arguments)).envs(self.environment()).stdin(std::process::Stdio::null());
        command.output().map_err(LifeError::file(self.stage.program()))
    }

    /// Runs the command again; it completes, or refuses where everything is there, or where a half lies in its way that it
    /// must not touch: then it completes elsewhere.
    fn completes(&self, writing: Writing) -> Result<Result<(), Fault>, LifeError> {
        let again = self.run(&self.arguments(writing, "made"))?;
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        let fault = |said: String| Fault::Command { command: writing.name().to_owned(), said };
        if said.contains("panicked") {
            return Ok(Err(Fault::Panicked(said)));
        }
        if said.contains("\"backup-not-empty\"") {
            let elsewhere = self.run(&self.arguments(writing, "elsewhere"))?;
            let said = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
            return Ok(if elsewhere.status.success() { Ok(()) } else { Err(fault(said)) });
        }
        Ok(match self.is_done(writing)? {
            Err(Fault::Command { said: missing, .. }) => Err(fault(format!("{missing}; run again it says: {said}"))),
            other => other,
        })
    }

    /// Whether everything is there that the command makes.
    fn is_done(&self, writing: Writing) -> Result<Result<(), Fault>, LifeError> {
        let made = self.root.join("made");
        let words = |words: &[&str]| words.iter().map(PathBuf::from).collect::<Vec<_>>();
        let key = |name: &str, folder: &Path| {
            [words(&["key", "show", name, "--keystore"]), vec![folder.to_path_buf()]].concat()
        };
        let asked = match writing {
            Writing::KeyNew => key("owner@harlem", &made),
            Writing::NodeInit => {
                let has = |name: &str, text: &str| {
                    std::fs::read_to_string(made.join(name)).is_ok_and(|found| found.contains(text))
                };
                let genesis = std::fs::read(self.stage.home().join("genesis.toml")).unwrap_or_default();
                // The configuration's last section is the log's.
                let whole = has("node.toml", "[log]")
                    && std::fs::read(made.join("genesis.toml")).is_ok_and(|found| found == genesis);
                if !whole {
                    return Ok(Err(self.missing(writing, "node.toml or genesis.toml is not whole")));
                }
                key("node-9.harlem", &made.join("keys"))
            }
            Writing::GenesisNew => {
                let whole = self.run(&words(&["genesis", "new"]))?.stdout.len();
                let found = std::fs::read(&made).map(|bytes| bytes.len()).unwrap_or(0);
                return Ok(if found == whole {
                    Ok(())
                } else {
                    Err(self.missing(writing, &format!("{found} of {whole} bytes")))
                });
            }
            Writing::ContextAdd => words(&["context", "show", "here"]),
            Writing::Backup => {
                let restored = self.root.with_file_name("restored");
                remove(&restored)?;
                [words(&["ledger", "restore"]), vec![made, restored]].concat()
            }
            Writing::Restore => [words(&["ledger", "verify", "--no-execution"]), vec![made]].concat(),
        };
        let answer = self.run(&asked)?;
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        Ok(if answer.status.success() { Ok(()) } else { Err(self.missing(writing, &said)) })
    }

    fn missing(&self, writing: Writing, said: &str) -> Fault {
        Fault::Command { command: writing.name().to_owned(), said: said.to_owned() }
    }
}
