//! `galen context`: which node and account commands speak for.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use galen_types::{AccountName, Hash};
use serde::Serialize;

use crate::arguments::Global;
use crate::contexts::{self, Context, Contexts};
use crate::error::CliError;
use crate::output::Output;
use crate::table::{Table, fields, or_dash};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a context; the first one becomes the current one
    Add(Add),
    /// Make a context the current one
    Use {
        /// Which
        name: String,
    },
    /// List the contexts
    List,
    /// Show a context, or the current one
    Show {
        /// Which
        name: Option<String>,
    },
    /// Remove a context; its keys stay
    Remove {
        /// Which
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What to call it
    name: String,
    /// Environment variable that holds the keys' password
    #[arg(long, value_name = "VARIABLE", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Permit plain http to another machine: what is sent can be read and changed on the way
    #[arg(long)]
    allow_plain_http: bool,
    /// The chain that the node must belong to: the hash of its genesis
    #[arg(long, value_name = "HASH")]
    genesis: Option<Hash>,
    /// Replace a context of this name
    #[arg(long)]
    replace: bool,
}

/// A context as it is shown.
#[derive(Serialize)]
struct Shown<'context> {
    name: &'context str,
    current: bool,
    #[serde(flatten)]
    context: &'context Context,
}

pub(crate) fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let path = contexts::file_in(&contexts::home()?);
    let mut contexts = Contexts::read(&path)?;
    match command {
        Command::Add(add) => {
            let name = add.name.clone();
            let context = context_of(add, global, &contexts)?;
            contexts.contexts.insert(name.clone(), context);
            let current = contexts.current.get_or_insert_with(|| name.clone()).clone();
            contexts.write(&path)?;
            output.note(&format!("context `{name}` added; the current one is `{current}`"));
            show(&contexts, &name, output)
        }
        Command::Use { name } => {
            contexts.get(&name)?;
            contexts.current = Some(name.clone());
            contexts.write(&path)?;
            output.note(&format!("commands now speak through `{name}`"));
            show(&contexts, &name, output)
        }
        Command::List => {
            let shown: Vec<_> = contexts.contexts.keys().filter_map(|name| shown(&contexts, name)).collect();
            output.list(&shown, "there are no contexts: add one with `galen context add`", |shown| {
                let mut table = Table::new(&["current", "name", "node", "account"]);
                for shown in shown {
                    let current = if shown.current { "*" } else { "" };
                    let account = or_dash(shown.context.account.as_ref());
                    table.row([current.to_owned(), shown.name.to_owned(), shown.context.node.clone(), account]);
                }
                table
            })
        }
        Command::Show { name } => {
            let name = name.or_else(|| contexts.current.clone());
            let name =
                name.ok_or_else(|| CliError::usage("there is no current context").or_hint("`galen context use`"))?;
            contexts.get(&name)?;
            show(&contexts, &name, output)
        }
        Command::Remove { name } => {
            contexts.get(&name)?;
            contexts.contexts.remove(&name);
            if contexts.current.as_ref() == Some(&name) {
                contexts.current = None;
                output.note("it was the current one: choose another with `galen context use`");
            }
            contexts.write(&path)?;
            output.note(&format!("context `{name}` removed; its keys stay where they are"));
            Ok(())
        }
    }
}

fn context_of(add: Add, global: &Global, contexts: &Contexts) -> Result<Context, CliError> {
    if contexts.contexts.contains_key(&add.name) && !add.replace {
        return Err(CliError::usage(format!("there is a context `{}` already", add.name))
            .or_hint("replace it with --replace, or choose another name"));
    }
    let node = global.node.clone().ok_or_else(|| {
        CliError::usage("a context needs a node")
            .or_hint("give its address with --node, e.g. --node http://127.0.0.1:7201")
    })?;
    let absolute = |path: &Option<PathBuf>| -> Result<Option<PathBuf>, CliError> {
        path.as_ref().map(|path| std::path::absolute(path).map_err(|error| CliError::file(path, &error))).transpose()
    };
    let account: Option<AccountName> = global.account.clone();
    Ok(Context {
        node,
        account,
        keystore: absolute(&global.keystore)?,
        password_file: absolute(&global.password_file)?.filter(|_| add.password_env.is_none()),
        password_env: add.password_env,
        ca_file: absolute(&add.ca_file)?,
        plain_http_allowed: add.allow_plain_http,
        genesis: add.genesis,
    })
}

fn shown<'contexts>(contexts: &'contexts Contexts, name: &str) -> Option<Shown<'contexts>> {
    let (name, context) = contexts.contexts.get_key_value(name)?;
    Some(Shown { name, current: contexts.current.as_ref() == Some(name), context })
}

fn show(contexts: &Contexts, name: &str, output: Output) -> Result<(), CliError> {
    let Some(shown) = shown(contexts, name) else { return Ok(()) };
    output.document(&shown, || {
        let context = shown.context;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let password = match (&context.password_file, &context.password_env) {
            (Some(file), _) => format!("in {}", file.display()),
            (None, Some(variable)) => format!("in the environment variable {variable}"),
            (None, None) => "asked for".to_owned(),
        };
        fields(&[
            ("context", Some(shown.name.to_owned())),
            ("node", Some(context.node.clone())),
            ("account", context.account.as_ref().map(ToString::to_string)),
            ("keystore", path(&context.keystore)),
            ("password", Some(password)),
            ("authorities", path(&context.ca_file)),
            ("genesis", context.genesis.map(|genesis| genesis.to_string())),
        ])
    })
}
