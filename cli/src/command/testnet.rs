//! `galen testnet`: a private testnet on this machine.

mod fault;
mod history;
mod show;
mod simulate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use galen_testnet::demo::{self, SiteFile};
use galen_testnet::{MembershipStep, PlanOptions, Testnet};
use galen_types::MemberName;
use galen_types::member::NodeRole;
use serde_json::json;

use crate::contexts::{self, Context, Contexts};
use crate::error::CliError;
use crate::output::Output;
use crate::progress::spinner;

/// Where a testnet lies when the command line does not say.
const DIRECTORY: &str = "galen-testnet";
/// How often a followed log is looked at.
const FOLLOW_LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a testnet, or bring it up again, and wait until it can be used
    Up(Up),
    /// Show how every node is
    Status(Place),
    /// Stop every node; the chain stays
    Down(Place),
    /// Print a node's log
    Logs {
        /// Which: its name, or its member's
        node: String,
        /// Go on printing what is added
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
    /// End a node at once, as a crash would
    Kill {
        /// Which: its name, or its member's
        node: String,
        #[command(flatten)]
        place: Place,
    },
    /// Start a node again
    Start {
        /// Which: its name, or its member's
        node: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let an institution join: it applies, every member votes, its node starts and catches up
    Add {
        /// What it calls itself
        member: MemberName,
        /// What its node shall do
        #[arg(long, value_enum, default_value = "voter")]
        role: NewcomerRole,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a member by the others' vote
    Remove {
        /// Which
        member: MemberName,
        #[command(flatten)]
        place: Place,
    },
    /// Break the network between nodes, a process or a disk, until it is healed
    #[command(subcommand)]
    Fault(fault::Command),
    /// Play faults under load, one after the other, and check what must hold; stops the nodes in the end
    Faults(fault::Play),
    /// Record what concurrent clients are told while nodes are killed and paused, and check it
    Record(history::Record),
    /// Check a recorded history: is what clients were told linearizable?
    Check {
        /// The history
        file: PathBuf,
    },
    /// Stop every node and delete the testnet
    Reset(Place),
    /// Run simulated consortiums under seeds, with faults of every kind
    Simulate(simulate::Simulate),
}

/// What a newcomer's node shall do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum NewcomerRole {
    /// Order and certify
    Voter,
    /// Follow
    Observer,
}

/// Which testnet.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The testnet's folder
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    place: Place,
    /// The members, one voter each [default: harlem,hennepin,kentucky,mississippi]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    members: Option<Vec<String>>,
    /// How many of the members run a voter [default: all]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// The first port; three for each node are taken [default: 7200]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Decides all keys, so that the same seed makes the same testnet [default: drawn]
    #[arg(long)]
    seed: Option<u64>,
    /// Entries after which the ordering logs are cut
    #[arg(long, value_name = "N", hide = true)]
    compact_entries: Option<usize>,
    /// Run each node in a network namespace of its own, so that `testnet fault` can break the network between them; needs
    /// root
    #[arg(long)]
    isolated: bool,
    /// Run the main job on the data that ships with the project
    #[arg(long)]
    demo: bool,
}

pub(crate) async fn run(command: Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Up(arguments) => up(arguments, output).await,
        Command::Status(place) => {
            let statuses = Testnet::open(place.dir)?.status().await?;
            output.list(&statuses, "the testnet has no nodes", show::status)
        }
        Command::Down(place) => {
            let stopped = Testnet::open(place.dir)?.down()?;
            output.document(&json!({ "stopped": stopped }), || format!("{stopped} nodes stopped; the chain stays"))
        }
        Command::Logs { node, follow, place } => {
            let testnet = Testnet::open(place.dir)?;
            let path = testnet.folder().log(&testnet.node(&node)?.name);
            print_log(&path, follow, output).await
        }
        Command::Kill { node, place } => {
            let testnet = Testnet::open(place.dir)?;
            let name = testnet.node(&node)?.name.clone();
            let ran = testnet.kill(&node)?;
            output.document(&json!({ "node": name, "ran": ran }), || {
                if ran { format!("node {name} was killed") } else { format!("node {name} did not run") }
            })
        }
        Command::Start { node, place } => {
            let testnet = Testnet::open(place.dir)?;
            let name = testnet.node(&node)?.name.clone();
            testnet.start(&node, &program()?).await?;
            output.document(&json!({ "node": name }), || format!("node {name} is ready"))
        }
        Command::Add { member, role, place } => add(&member, role, &place, output).await,
        Command::Remove { member, place } => remove(&member, &place, output).await,
        Command::Fault(command) => fault::run(command, output).await,
        Command::Faults(play) => fault::play(play, output).await,
        Command::Simulate(arguments) => simulate::simulate(&arguments, output),
        Command::Record(arguments) => history::record(arguments, &program()?, output).await,
        Command::Check { file } => history::check(&file, output),
        Command::Reset(place) => {
            let dir = place.dir.clone();
            let testnet = Testnet::open(place.dir)?;
            remove_contexts(&testnet)?;
            testnet.reset()?;
            output.note(&format!("the testnet in {} is deleted", dir.display()));
            Ok(())
        }
    }
}

impl Up {
    /// The testnet of the folder; made where there is none. Options that are not given are those it was made with.
    fn testnet(&self, on_key: &dyn Fn(usize, usize)) -> Result<Testnet, CliError> {
        let made = Testnet::open(&self.place.dir).ok();
        let usual = made.map_or_else(PlanOptions::default, |testnet| testnet.plan().options());
        let options = PlanOptions {
            members: self.members.clone().unwrap_or(usual.members),
            voters: self.nodes.or(usual.voters),
            port_base: self.port.unwrap_or(usual.port_base),
            seed: self.seed,
            compact_entries: self.compact_entries,
            isolated: self.isolated || usual.isolated,
            ..PlanOptions::default()
        };
        Ok(Testnet::make(&self.place.dir, &options, on_key)?)
    }
}

async fn up(arguments: Up, output: Output) -> Result<(), CliError> {
    let bar = spinner(output);
    let on_key = |done, total| bar.set_message(format!("making keys: {done} of {total}"));
    let testnet = arguments.testnet(&on_key)?;
    bar.set_message("starting nodes");
    testnet.up(&program()?, &|node| bar.println(format!("{} is ready at {}", node.node, node.url))).await?;
    bar.finish_and_clear();
    let contexts = write_contexts(&testnet, output)?;
    if arguments.demo {
        let files = SiteFile::shipped()?;
        let mut steps = Vec::new();
        let mut written = Ok(());
        demo::run(&testnet, files, &mut |step| {
            if output.is_json() {
                steps.push(step);
            } else if written.is_ok() {
                written = output.text(&show::step(&step));
            }
        })
        .await?;
        written?;
        if output.is_json() {
            return output
                .json_line(&json!({ "nodes": testnet.nodes(), "accounts": testnet.accounts()?, "steps": steps }));
        }
    }
    let accounts = testnet.accounts()?;
    output.document(&json!({ "nodes": testnet.nodes(), "accounts": accounts }), || {
        show::up(&testnet.nodes(), &accounts, &contexts, &arguments.place.dir)
    })
}

async fn add(member: &MemberName, role: NewcomerRole, place: &Place, output: Output) -> Result<(), CliError> {
    let mut testnet = Testnet::open(&place.dir)?;
    let role = match role {
        NewcomerRole::Voter => NodeRole::Voter,
        NewcomerRole::Observer => NodeRole::Observer,
    };
    let mut told = Told::new(output);
    let node = testnet.add(member.as_str(), role, &program()?, &mut |step| told.step(step)).await?;
    let (steps, seconds) = told.end()?;
    write_contexts(&testnet, output)?;
    output.document(&json!({ "node": node, "seconds": seconds, "steps": steps }), || {
        format!("{member} is a member; {node} has its place after {seconds:.1} s")
    })
}

async fn remove(member: &MemberName, place: &Place, output: Output) -> Result<(), CliError> {
    let mut testnet = Testnet::open(&place.dir)?;
    let mut told = Told::new(output);
    let nodes = testnet.remove(member.as_str(), &mut |step| told.step(step)).await?;
    let (steps, seconds) = told.end()?;
    remove_contexts_of(&testnet, member)?;
    output.document(&json!({ "nodes": nodes, "seconds": seconds, "steps": steps }), || {
        format!("{member} is no member any more, after {seconds:.1} s; its nodes are stopped, its history stays")
    })
}

/// The steps of a change, printed as they are done, or kept for one JSON document.
struct Told {
    output: Output,
    steps: Vec<MembershipStep>,
    written: Result<(), CliError>,
}

impl Told {
    fn new(output: Output) -> Self {
        Self { output, steps: Vec::new(), written: Ok(()) }
    }

    fn step(&mut self, step: MembershipStep) {
        if !self.output.is_json() && self.written.is_ok() {
            self.written = self.output.text(&show::membership(&step));
        }
        self.steps.push(step);
    }

    /// All steps, and the seconds that they took together.
    fn end(self) -> Result<(Vec<MembershipStep>, f64), CliError> {
        self.written?;
        let seconds = self.steps.iter().map(|step| step.seconds).sum();
        Ok((self.steps, seconds))
    }
}

/// A context for each account, named as the account; a researcher becomes the current one where there is none.
fn write_contexts(testnet: &Testnet, output: Output) -> Result<Vec<String>, CliError> {
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    let mut names = Vec::new();
    for entry in testnet.accounts()? {
        let name = entry.account.to_string();
        if contexts.contexts.get(&name).is_some_and(|context| !is_of_a_testnet(context)) {
            output.note(&format!("the context `{name}` is not a testnet's and stays as it is"));
            continue;
        }
        let context = Context {
            node: entry.url,
            account: Some(entry.account),
            keystore: Some(entry.keystore),
            password_file: Some(entry.password_file),
            password_env: None,
            ca_file: None,
            plain_http_allowed: false,
            genesis: Some(testnet.genesis_hash()),
        };
        contexts.contexts.insert(name.clone(), context);
        names.push(name);
    }
    let current_is_there = contexts.current.as_ref().is_some_and(|name| contexts.contexts.contains_key(name));
    if !current_is_there {
        contexts.current = names.iter().find(|name| name.starts_with("researcher@")).or(names.first()).cloned();
    }
    contexts.write(&path)?;
    Ok(names)
}

/// Removes what [`write_contexts`] wrote for a testnet: without it they speak to nobody.
fn remove_contexts(testnet: &Testnet) -> Result<(), CliError> {
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    let genesis = testnet.genesis_hash();
    contexts.contexts.retain(|_, context| !(is_of_a_testnet(context) && context.genesis == Some(genesis)));
    contexts.current = contexts.current.take().filter(|name| contexts.contexts.contains_key(name));
    contexts.write(&path)
}

/// Removes the contexts of a member's accounts.
fn remove_contexts_of(testnet: &Testnet, member: &MemberName) -> Result<(), CliError> {
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    let genesis = testnet.genesis_hash();
    contexts.contexts.retain(|_, context| {
        let is_theirs = context.account.as_ref().is_some_and(|account| &account.member == member);
        !(is_theirs && is_of_a_testnet(context) && context.genesis == Some(genesis))
    });
    contexts.current = contexts.current.take().filter(|name| contexts.contexts.contains_key(name));
    contexts.write(&path)
}

/// Whether a context was written here: keys and password lie in one folder, which is a testnet's, or was one: the
/// password is gone. A context that people made is never replaced.
fn is_of_a_testnet(context: &Context) -> bool {
    let folder = context.keystore.as_deref().and_then(Path::parent);
    let (Some(folder), Some(password)) = (folder, context.password_file.as_deref()) else { return false };
    password.parent() == Some(folder) && (!password.exists() || folder.join("testnet.toml").is_file())
}

/// This program, which every node is a process of.
pub(crate) fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|error| CliError::failed(format!("this program's own file is not found: {error}")))
}

async fn print_log(path: &Path, follow: bool, output: Output) -> Result<(), CliError> {
    use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
    let failed = |error: std::io::Error| CliError::file(path, &error);
    let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut buffer = vec![0; 64 << 10];
    let mut position = 0_u64;
    loop {
        let read = file.read(&mut buffer).await.map_err(failed)?;
        if read > 0 {
            position += read as u64;
            output.bytes(&buffer[..read])?;
            continue;
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_LOOK).await;
        // A log that became shorter was begun anew.
        if file.metadata().await.map_err(failed)?.len() < position {
            file.rewind().await.map_err(failed)?;
            position = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contexts_of_testnets_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut context = Context {
            node: "http://127.0.0.1:7200".to_owned(),
            account: None,
            keystore: Some(folder.path().join("accounts")),
            password_file: Some(folder.path().join("password")),
            password_env: None,
            ca_file: None,
            plain_http_allowed: false,
            genesis: None,
        };
        assert!(is_of_a_testnet(&context), "of a testnet that is gone");
        std::fs::write(folder.path().join("password"), "secret").unwrap();
        assert!(!is_of_a_testnet(&context), "a folder without a testnet");
        std::fs::write(folder.path().join("testnet.toml"), "").unwrap();
        assert!(is_of_a_testnet(&context));
        context.password_file = Some("/etc/password".into());
        assert!(!is_of_a_testnet(&context));
        context.keystore = None;
        assert!(!is_of_a_testnet(&context));
    }
}
