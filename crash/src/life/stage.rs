//! A consortium in a temporary folder, whose first node is the one that everything happens to. Its home is kept as it was
//! before each chapter of its life, to be put back for every point that is tried.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use galen_client::{Client, ClientConfig};
use galen_testnet::plan::PlanOptions;
use galen_testnet::{Testnet, TestnetError};
use galen_types::AccountName;
use galen_types::api::Consistency;
use tempfile::TempDir;

use super::error::LifeError;
use super::workload::{Chapter, Receipts};
use crate::trace::{Launch, Strike};

/// Members of the consortium, as many as there are voters.
const MEMBERS: [&str; 3] = ["harlem", "hennepin", "kentucky"];
/// Entries after which ordering logs are cut: the least that a configuration may say.
const COMPACT_ENTRIES: usize = 10;
/// How long a transaction is offered.
const VALIDITY: Duration = Duration::from_secs(20);

/// Where the next consortium looks for ports.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A consortium and the program that is its nodes.
pub struct Stage {
    program: PathBuf,
    folder: TempDir,
    testnet: Testnet,
    /// The other voters' processes.
    others: Vec<Child>,
}

impl Stage {
    /// Founds a consortium of one to three voters. The other voters run from now on.
    ///
    /// # Errors
    /// [`LifeError`] when it cannot be made.
    pub fn found(program: &Path, voters: usize) -> Result<Self, LifeError> {
        let folder = tempfile::tempdir().map_err(LifeError::file(Path::new("the temporary folder")))?;
        let members = MEMBERS[..voters.clamp(1, MEMBERS.len())].iter().map(|name| (*name).to_owned()).collect();
        let mut options = PlanOptions { members, compact_entries: Some(COMPACT_ENTRIES), ..PlanOptions::default() };
        // Below the range that the system gives to outgoing connections; programs that run at the same time begin apart.
        let start = 10_000 + u16::try_from(std::process::id() % 500).unwrap_or(0) * 40;
        let testnet = loop {
            options.port_base = start + NEXT_PORT.fetch_add(16, Ordering::Relaxed) % 2_000;
            match Testnet::make(folder.path().join("net"), &options, &|_, _| {}) {
                Ok(testnet) => break testnet,
                Err(TestnetError::PortTaken(_)) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let mut stage = Self { program: program.to_path_buf(), folder, testnet, others: Vec::new() };
        for place in 1..voters {
            let home = stage.home_of(place);
            stage.others.push(stage.run(&home, &stage.folder.path().join(format!("other-{place}.log")))?);
        }
        stage.keep(Chapter::Begin, &Receipts::default())?;
        Ok(stage)
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A folder beside the consortium's.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The node's home.
    pub fn home(&self) -> PathBuf {
        self.home_of(0)
    }

    fn home_of(&self, place: usize) -> PathBuf {
        self.testnet.folder().home(&self.testnet.plan().nodes[place].name).root().to_path_buf()
    }

    /// The node's log: of every process that ran since it was emptied.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("node.log")
    }

    /// The end of the node's log.
    pub(super) fn said(&self) -> String {
        galen_testnet::process::tail(&self.log(), 12)
    }

    /// What the node that was started last found damaged in its home, by its stable name. It starts nevertheless, to fetch
    /// what is damaged from others; the only voter has nobody to ask, and says so.
    pub(super) fn damage(&self) -> Option<String> {
        let log = std::fs::read_to_string(self.log()).ok()?;
        let line = log.lines().find(|line| line.contains("what this node stores is damaged"))?;
        let (_, rest) = line.split_once("code=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    }

    /// A client of an account at the node.
    pub(super) fn client(&self, account: &str) -> Result<Client, LifeError> {
        let account: AccountName =
            account.parse().map_err(|_| TestnetError::Plan(format!("`{account}` is no account")))?;
        let keys = self.testnet.plan().keys_of(&galen_types::Signer::Account(account.clone()));
        Ok(Client::new(self.config().with_account(account, keys))?)
    }

    /// A client without an account.
    pub(super) fn anyone(&self) -> Result<Client, LifeError> {
        Ok(Client::new(self.config())?)
    }

    /// The same, whose answers have all that was acknowledged before it asked.
    pub(super) fn anyone_linearizably(&self) -> Result<Client, LifeError> {
        let mut config = self.config();
        config.consistency = Consistency::Linearizable;
        Ok(Client::new(config)?)
    }

    fn config(&self) -> ClientConfig {
        let port = self.testnet.plan().nodes[0].http_port;
        let mut config = ClientConfig::new(format!("http://127.0.0.1:{port}"));
        config.genesis = Some(self.testnet.genesis_hash());
        config.timeouts.validity = VALIDITY;
        config.timeouts.request = VALIDITY;
        config.timeouts.unreachable = Duration::from_secs(1);
        config
    }

    /// Empties the node's log.
    pub(super) fn fresh_log(&self) -> Result<File, LifeError> {
        File::create(self.log()).map_err(LifeError::file(&self.log()))
    }

    /// How the node is started under the tracer.
    pub(super) fn launch(&self, strike: Option<Strike>, lying_syncs: Option<String>) -> Result<Launch, LifeError> {
        Ok(Launch {
            program: self.program.clone(),
            arguments: ["--json", "node", "run", "--home"]
                .map(Into::into)
                .into_iter()
                .chain([self.home().into()])
                .collect(),
            environment: Vec::new(),
            output: self.fresh_log()?,
            strike,
            lying_syncs,
        })
    }

    /// Starts the node without the tracer.
    pub(super) fn start(&self) -> Result<Child, LifeError> {
        self.run(&self.home(), &self.log())
    }

    fn run(&self, home: &Path, log: &Path) -> Result<Child, LifeError> {
        let output = File::options().create(true).append(true).open(log).map_err(LifeError::file(log))?;
        let mut command = Command::new(&self.program);
        command.args(["--json", "node", "run", "--home"]).arg(home).stdin(Stdio::null());
        command.stdout(output.try_clone().map_err(LifeError::file(log))?).stderr(output);
        command.spawn().map_err(LifeError::file(&self.program))
    }

    /// Keeps the home as it is, and what was acknowledged so far, for the beginning of a chapter.
    ///
    /// # Errors
    /// [`LifeError::File`].
    pub fn keep(&self, chapter: Chapter, receipts: &Receipts) -> Result<(), LifeError> {
        let kept = self.kept(chapter);
        remove(&kept)?;
        copy_folder(&self.home(), &kept)?;
        self.remember(receipts)?;
        receipts.write(&self.folder.path().join(format!("{chapter}.receipts")))
    }

    /// Puts the home back as it was at the beginning of a chapter; what had been acknowledged then. Where others vote too the
    /// home stays as it is, for a disk that was set back would be refused, and what was acknowledged is what is remembered.
    ///
    /// # Errors
    /// [`LifeError::File`].
    pub fn put_back(&self, chapter: Chapter) -> Result<Receipts, LifeError> {
        if !self.others.is_empty() && self.remembered().is_file() {
            return Receipts::read(&self.remembered());
        }
        remove(&self.home())?;
        copy_folder(&self.kept(chapter), &self.home())?;
        Receipts::read(&self.folder.path().join(format!("{chapter}.receipts")))
    }

    /// Remembers what was acknowledged, where homes are not put back.
    ///
    /// # Errors
    /// [`LifeError::File`].
    pub fn remember(&self, receipts: &Receipts) -> Result<(), LifeError> {
        if self.others.is_empty() { Ok(()) } else { receipts.write(&self.remembered()) }
    }

    fn remembered(&self) -> PathBuf {
        self.folder.path().join("remembered.receipts")
    }

    /// Whether others vote too.
    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    fn kept(&self, chapter: Chapter) -> PathBuf {
        self.folder.path().join(format!("{chapter}.home"))
    }

    /// Makes the home a copy of another folder.
    ///
    /// # Errors
    /// [`LifeError::File`].
    pub fn put(&self, image: &crate::disk::Image) -> Result<(), LifeError> {
        remove(&self.home())?;
        image.write_to(&self.home()).map_err(LifeError::file(&self.home()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for other in &mut self.others {
            let _ = other.kill();
            let _ = other.wait();
        }
    }
}

pub(crate) fn remove(folder: &Path) -> Result<(), LifeError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LifeError::file(folder)(error)),
        _ => Ok(()),
    }
}

/// Copies a folder with everything in it, permissions too.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), LifeError> {
    std::fs::create_dir_all(to).map_err(LifeError::file(to))?;
    for entry in std::fs::read_dir(from).map_err(LifeError::file(from))? {
        let path = entry.map_err(LifeError::file(from))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(LifeError::file(&path))?;
        }
    }
    let permissions = from.metadata().map_err(LifeError::file(from))?.permissions();
    std::fs::set_permissions(to, permissions).map_err(LifeError::file(to))
}
