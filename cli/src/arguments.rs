//! What the command line looks like: the flags of every command, and the nouns.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use galen_types::AccountName;
use galen_types::api::Consistency;

use crate::command::{
    access, account, audit, bench, block, compute, context, contract, data, genesis, key, ledger, member, node,
    parameters, proof, recovery, testnet, tx,
};

/// Share medical data over a chain of institutions: files stay where they were made, every use is decided by rules and
/// recorded.
#[derive(Debug, Parser)]
#[command(name = "galen", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied by a rule, 4 not found, \
    5 cannot reach a node, 6 timed out with the outcome unknown.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Speak through this context instead of the current one
    #[arg(long, global = true, value_name = "NAME", env = "GALEN_CONTEXT", hide_env_values = true)]
    pub(crate) context: Option<String>,
    /// Ask this node instead of the context's, e.g. http://127.0.0.1:7201
    // Ids of their own: commands that take a node or an account as argument must not be taken for these.
    #[arg(
        id = "global-node",
        long = "node",
        global = true,
        value_name = "URL",
        env = "GALEN_NODE",
        hide_env_values = true
    )]
    pub(crate) node: Option<String>,
    /// Speak for this account instead of the context's
    #[arg(
        id = "global-account",
        long = "as",
        global = true,
        value_name = "ACCOUNT",
        env = "GALEN_AS",
        hide_env_values = true
    )]
    pub(crate) account: Option<AccountName>,
    /// How old answers may be: `local` (what the node holds, if not said) or `linearizable` (all that was acknowledged)
    #[arg(long, global = true, value_name = "HOW", env = "GALEN_CONSISTENCY", hide_env_values = true)]
    pub(crate) consistency: Option<Consistency>,
    /// Folder of key files instead of the context's
    #[arg(long, global = true, value_name = "DIR", env = "GALEN_KEYSTORE", hide_env_values = true)]
    pub(crate) keystore: Option<PathBuf>,
    /// File that holds the keys' password, instead of the context's source
    #[arg(long, global = true, value_name = "FILE", env = "GALEN_PASSWORD_FILE", hide_env_values = true)]
    pub(crate) password_file: Option<PathBuf>,
    /// Print JSON with the field names of the HTTP API
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A private testnet on this machine
    #[command(subcommand)]
    Testnet(testnet::Command),
    /// Which node and account commands speak for
    #[command(subcommand)]
    Context(context::Command),
    /// The local keystore
    #[command(subcommand)]
    Key(key::Command),
    /// The founding document of a consortium
    #[command(subcommand)]
    Genesis(genesis::Command),
    /// A node: prepare its home, check it, run it, ask it
    #[command(subcommand)]
    Node(node::Command),
    /// The member institutions and their votes
    #[command(subcommand)]
    Member(member::Command),
    /// Limits and minima that hold for every member, and are voted on
    #[command(subcommand)]
    Parameters(parameters::Command),
    /// A member's people and programs
    #[command(subcommand)]
    Account(account::Command),
    /// Datasets: publish, find, check, download
    #[command(subcommand)]
    Data(data::Command),
    /// Access contracts: who may do what for which purpose
    #[command(subcommand)]
    Contract(contract::Command),
    /// Requests for access, and grants
    #[command(subcommand)]
    Access(access::Command),
    /// Statistics over several members' datasets
    #[command(subcommand)]
    Compute(compute::Command),
    /// Who did what: operation, dataset, operator, time, decision
    Audit(audit::Arguments),
    /// The chain's blocks
    #[command(subcommand)]
    Block(block::Command),
    /// Single transactions
    #[command(subcommand)]
    Tx(tx::Command),
    /// Offline proofs: that something was there, or was not, certified by the voters
    #[command(subcommand)]
    Proof(proof::Command),
    /// Measure a testnet: throughput and latency, counted when the receipt is back
    Bench(bench::Arguments),
    /// A node's stored chain: check it, copy it, bring it back
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Going on when a majority of voters is gone for good: a deliberate act of each remaining member
    #[command(subcommand)]
    Recovery(recovery::Command),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the program's version
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_argument_of_a_command_is_never_taken_for_who_speaks_or_whom_to_ask() {
        let speaks = |words: &str| {
            let global = Arguments::try_parse_from(words.split(' ')).unwrap().global;
            (global.account.map(|account| account.to_string()), global.node)
        };
        assert_eq!(speaks("galen account suspend bob@harlem"), (None, None));
        assert_eq!(speaks("galen audit --account bob@harlem"), (None, None));
        assert_eq!(speaks("galen testnet kill harlem"), (None, None));
        let both = (Some("admin@harlem".to_owned()), Some("http://127.0.0.1:7200".to_owned()));
        assert_eq!(
            speaks("galen --as admin@harlem --node http://127.0.0.1:7200 account suspend bob@harlem"),
            both.clone()
        );
        assert_eq!(speaks("galen audit --account bob@harlem --as admin@harlem --node http://127.0.0.1:7200"), both);
    }
}
