//! Preparing, checking and running a node.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use galen_node::home::NodeHome;
use galen_node::http::HttpSocket;
use galen_node::operate::{self, CheckItem, InitOptions};
use galen_node::runtime::RunOptions;
use galen_types::NodeName;
use galen_types::member::NodeAddress;

use crate::arguments::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::table::{Table, fields};

/// Where a node's home is.
#[derive(Debug, Args)]
pub(crate) struct Home {
    /// The node's home
    #[arg(long, value_name = "DIR", env = "GALEN_NODE_HOME", hide_env_values = true)]
    home: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    home: Home,
    /// Order though too few other voters are there to tell whether this disk is older than what the node promised; only
    /// where it was neither restored nor copied
    #[arg(long)]
    trust_disk: bool,
    /// Serve HTTP on the listening socket that standard input is, as systemd hands it over with `StandardInput=socket`
    #[arg(long)]
    http_on_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The node's name, e.g. node-1.harlem
    name: NodeName,
    #[command(flatten)]
    home: Home,
    /// Where it serves HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7200")]
    http: SocketAddr,
    /// Where it takes the other nodes' connections
    #[arg(long, value_name = "ADDRESS", default_value = "/ip4/0.0.0.0/tcp/7201")]
    listen: NodeAddress,
    /// Where the other nodes fetch files
    #[arg(long, value_name = "ADDRESS", default_value = "/ip4/0.0.0.0/tcp/7202")]
    listen_files: NodeAddress,
    /// The founding document, where it is written already
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

pub(crate) fn init(init: Init, global: &Global, output: Output) -> Result<(), CliError> {
    let password_file = global.password_file.clone().ok_or_else(|| {
        CliError::usage("a node starts without a person: its key's password must lie in a file")
            .or_hint("give the file with --password-file FILE; only its owner may read it")
    })?;
    let options = InitOptions {
        node: init.name,
        http_listen: init.http,
        listen: init.listen,
        listen_files: init.listen_files,
        password_file,
        genesis: init.genesis,
    };
    let made = operate::init(&NodeHome::new(init.home.home), options)?;
    output.document(&made, || {
        let text = fields(&[
            ("node", Some(made.node.to_string())),
            ("home", Some(made.home.display().to_string())),
            ("key", Some(made.public_key.to_string())),
        ]);
        let next = if made.has_genesis {
            "check it with `galen node check`, then start it with `galen node run`".to_owned()
        } else {
            format!("for the genesis, which goes to genesis.toml in the home:\n\n{}", made.genesis_entry)
        };
        format!("{text}\n{next}")
    })
}

pub(crate) async fn check(home: Home, output: Output) -> Result<(), CliError> {
    let items = operate::check(&NodeHome::new(home.home)).await;
    output.list(&items, "there is nothing to check", |items| {
        let mut table = Table::new(&["checked", "result", "details"]);
        for CheckItem { name, ok, detail } in items {
            table.row([name.clone(), if *ok { "ok" } else { "WRONG" }.to_owned(), detail.clone()]);
        }
        table
    })?;
    match items.iter().filter(|item| !item.ok).count() {
        0 => Ok(()),
        wrong => Err(CliError::failed(format!("{wrong} of {} checks failed", items.len()))),
    }
}

pub(crate) async fn run(run: Run) -> Result<(), CliError> {
    let http_socket = if run.http_on_stdin { HttpSocket::Stdin } else { HttpSocket::Opened };
    let options = RunOptions { trusts_disk: run.trust_disk, http_socket };
    Ok(operate::run(&NodeHome::new(run.home.home), options).await?)
}
