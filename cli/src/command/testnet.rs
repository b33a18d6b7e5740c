//! `galen testnet`: a private testnet on this machine.

mod contexts;
mod logs;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use galen_testnet::demo::{self, SiteFile};
use galen_testnet::plan::{MEMBERS, PORT_BASE, PlanOptions};
use galen_testnet::{AccountEntry, NodeEntry, Testnet};
use galen_types::Hash;
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a testnet and start its nodes, or start those of the one that is there
    Up(Up),
    /// Show how every node is
    Status(Folder),
    /// Stop every node; everything is kept
    Down(Folder),
    /// Print a node's log
    Logs {
        /// Which, e.g. node-1.harlem, harlem or aggregator
        node: String,
        /// Go on as it grows
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// End a node at once, as a crash would (SIGKILL)
    Kill {
        /// Which, e.g. node-1.harlem, harlem or aggregator
        node: String,
        #[command(flatten)]
        folder: Folder,
    },
    /// Start a node that does not run, and wait until it can be used
    Start {
        /// Which, e.g. node-1.harlem, harlem or aggregator
        node: String,
        #[command(flatten)]
        folder: Folder,
    },
    /// Stop every node and delete the testnet with all its data and contexts
    Reset(Folder),
}

/// Where the testnet is.
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The testnet's folder
    #[arg(long, value_name = "DIR", env = "GALEN_TESTNET", default_value = "testnet-data")]
    dir: PathBuf,
}

impl Folder {
    fn open(self) -> Result<Testnet, CliError> {
        Ok(Testnet::open(self.dir)?)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    folder: Folder,
    /// The members; each runs one node, the first an aggregator too
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_values_t = MEMBERS.map(str::to_owned))]
    members: Vec<String>,
    /// How many of the members' nodes vote; all where it is not said
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// The first of the ports on 127.0.0.1 (three a node)
    #[arg(long, value_name = "BASE", default_value_t = PORT_BASE)]
    port: u16,
    /// Decides all keys; drawn where it is not said
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run the main job on the data that ships with the project
    #[arg(long)]
    demo: bool,
}

/// A testnet that is up.
#[derive(Serialize)]
struct Running {
    dir: PathBuf,
    genesis: Hash,
    nodes: Vec<NodeEntry>,
    accounts: Vec<AccountEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    demo: Vec<demo::Step>,
}

pub(crate) async fn run(command: Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Up(arguments) => up(arguments, output).await,
        Command::Status(folder) => {
            let statuses = folder.open()?.status().await?;
            output.list(&statuses, "there are no nodes", show::statuses)
        }
        Command::Down(folder) => {
            let stopped = folder.open()?.down();
            output.document(&json!({ "stopped": stopped }), || format!("{stopped} nodes are stopped"))
        }
        Command::Logs { node, follow, folder } => {
            let testnet = folder.open()?;
            let path = testnet.folder().log(&testnet.node(&node)?.name);
            logs::print(&path, follow, output).await
        }
        Command::Kill { node, folder } => {
            let testnet = folder.open()?;
            let name = testnet.node(&node)?.name.clone();
            let killed = testnet.kill(&node)?;
            let text = if killed { "is killed" } else { "did not run" };
            output.document(&json!({ "node": name, "killed": killed }), || format!("{name} {text}"))
        }
        Command::Start { node, folder } => {
            let testnet = folder.open()?;
            let name = testnet.node(&node)?.name.clone();
            testnet.start(&node, &program()?).await?;
            output.document(&json!({ "node": name, "ready": true }), || format!("{name} is ready"))
        }
        Command::Reset(folder) => {
            let testnet = folder.open()?;
            let dir = testnet.folder().root().to_path_buf();
            contexts::remove(&testnet)?;
            testnet.reset()?;
            output.document(&json!({ "deleted": dir }), || format!("{} is deleted", dir.display()))
        }
    }
}

async fn up(arguments: Up, output: Output) -> Result<(), CliError> {
    let options = PlanOptions {
        members: arguments.members,
        voters: arguments.nodes,
        port_base: arguments.port,
        seed: arguments.seed,
        compact_entries: None,
        load_accounts: 0,
    };
    let testnet = Testnet::make(arguments.folder.dir, &options, &|_, _| {})?;
    let dir = testnet.folder().root().to_path_buf();
    output.note(&format!("starting {} nodes in {}", testnet.nodes().len(), dir.display()));
    testnet.up(&program()?, &|node| output.note(&format!("  {} ({}) is ready at {}", node.node, node.role, node.url))).await?;
    contexts::add(&testnet, output)?;
    let mut steps = Vec::new();
    if arguments.demo {
        let mut told = Ok(());
        let mut on_step = |step: demo::Step| {
            if !output.is_json() && told.is_ok() {
                told = output.text(&show::step(steps.len() + 1, &step));
            }
            steps.push(step);
        };
        demo::run(&testnet, SiteFile::shipped()?, &mut on_step).await?;
        told?;
    }
    let running = Running {
        dir,
        genesis: testnet.genesis_hash(),
        nodes: testnet.nodes(),
        accounts: testnet.accounts()?,
        demo: steps,
    };
    output.document(&running, || show::running(&running.nodes, &running.accounts))?;
    if !output.is_json() {
        output.note(&show::next_steps(&running.dir, &running.accounts));
    }
    Ok(())
}

/// This program, which the nodes run too.
fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|error| CliError::failed(format!("this program's file cannot be found: {error}")))
}
