//! The command line as people type it: a settings folder of its own, `galen` on the path, variables.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::{Cluster, program};

/// A shell of somebody who administers every member of a testnet.
pub(crate) struct Shell {
    settings: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Shell {
    /// A shell with a context for each account of a testnet that runs.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let shell = Self::without_contexts(cluster);
        shell.contexts(cluster);
        shell
    }

    /// A shell beside a testnet that need not run, which knows nothing of it.
    pub(crate) fn without_contexts(cluster: &Cluster) -> Self {
        let folder = cluster.scratch().join("shell");
        std::fs::create_dir_all(&folder).unwrap();
        Self { settings: cluster.scratch().join("settings"), folder, variables: Vec::new() }
    }

    /// Writes the contexts anew.
    pub(crate) fn contexts(&self, cluster: &Cluster) {
        self.run(&format!("galen testnet up --dir '{}'", cluster.testnet.folder().root().display()));
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_string()));
    }

    /// Runs a script that must succeed; what it printed.
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.output(script);
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n--- exit {:?}\n{said}\n{error}", output.status.code());
        said.into_owned()
    }

    /// Runs a script that may fail.
    pub(crate) fn succeeds(&self, script: &str) -> bool {
        self.output(script).status.success()
    }

    /// Runs a script that must fail; its exit code and what it said on the error stream.
    pub(crate) fn fails(&self, script: &str) -> (i32, String) {
        let output = self.output(script);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{script}\n--- succeeded:\n{}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap_or(-1), error)
    }

    /// Approves, for members, the proposal that a command printed; asks the node that recorded it, for others may not have
    /// it yet.
    pub(crate) fn approve(&self, printed: &str, node: &str, members: &[&str]) -> String {
        let id =
            printed.split_once("proposal ").and_then(|(_, rest)| rest.get(..64)).unwrap_or_else(|| panic!("{printed}"));
        for member in members {
            self.run(&format!("galen --context admin@{member} --node {node} member vote {id} --approve --yes"));
        }
        id.to_owned()
    }

    /// Writes a file into the folder where scripts run.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    fn output(&self, script: &str) -> Output {
        let program = program();
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
        let run = || {
            Command::new("bash")
                .args(["-euo", "pipefail", "-c", script])
                .current_dir(&self.folder)
                .env("GALEN_HOME", &self.settings)
                .env("PATH", path)
                .envs(self.variables.iter().map(|(name, value)| (name, value)))
                .output()
                .unwrap()
        };
        tokio::task::block_in_place(run)
    }
}
