//! `galen recovery`: going on without a lost quorum. Each step is a person's: one draws the recovery up from a verified
//! ledger, an administrator of every remaining member signs it, one merges the signatures, every operator applies it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use galen_node::home::NodeHome;
use galen_node::operate::recovery::{self, RecoverError, RecoveryFile};
use galen_types::{MemberName, NodeName};
use serde_json::json;

use crate::arguments::Global;
use crate::ask::{confirm, confirm_by_name};
use crate::command::ledger::Bars;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{fields, joined, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify a stopped node's ledger, and draw up the recovery that goes on from it
    Draft {
        /// The home of the node with the longest ledger
        home: PathBuf,
        /// The nodes that vote from then on
        #[arg(long, required = true, value_delimiter = ',', value_name = "NODES")]
        voters: Vec<NodeName>,
        /// Active members that need not sign: the chain goes on without their consent. All others must
        #[arg(long, value_delimiter = ',', value_name = "MEMBERS")]
        abandon: Vec<MemberName>,
        /// The new file
        #[arg(long, value_name = "FILE", default_value = "recovery.toml")]
        out: PathBuf,
    },
    /// Sign a recovery as an administrator, in place
    Sign {
        /// The file
        file: PathBuf,
        /// Check first that the account is an administrator in this home's ledger, and that this home holds no more blocks
        /// than the recovery keeps
        #[arg(long, value_name = "DIR")]
        home: Option<PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Gather the signatures of several copies in one file; the first of the signers by name completes it
    Merge {
        /// The signed copies
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The file that is written; only over an earlier state of the same recovery
        #[arg(long, value_name = "FILE", default_value = "recovery.toml")]
        out: PathBuf,
    },
    /// Apply a complete recovery to a stopped node's home; on every node, also those with fewer blocks
    Apply {
        /// The home
        home: PathBuf,
        /// The file
        file: PathBuf,
        /// Say that the voters of before never come back
        #[arg(long)]
        yes_abandon_the_old_quorum: bool,
    },
}

fn failed(error: RecoverError) -> CliError {
    CliError::operate(error.code(), &error)
}

fn load(path: &Path) -> Result<RecoveryFile, CliError> {
    RecoveryFile::load(path).map_err(|error| CliError::operate(error.code(), &error))
}

fn write(file: &RecoveryFile, path: &Path) -> Result<(), CliError> {
    file.write(path).map_err(|error| CliError::operate(error.code(), &error))
}

pub(crate) fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    match command {
        Command::Draft { home, voters, abandon, out } => draft(home, voters, abandon, &out, output),
        Command::Sign { file, home, yes } => sign(&file, home, yes, global, output),
        Command::Merge { files, out } => merge(&files, &out, global, output),
        Command::Apply { home, file, yes_abandon_the_old_quorum } => {
            apply(home, &file, yes_abandon_the_old_quorum, output)
        }
    }
}

fn draft(
    home: PathBuf,
    voters: Vec<NodeName>,
    abandon: Vec<MemberName>,
    out: &Path,
    output: Output,
) -> Result<(), CliError> {
    if out.exists() {
        return Err(CliError::usage(format!("{} is there already", out.display())).or_hint("choose another with --out"));
    }
    let bars = Bars::new(output);
    let home = NodeHome::new(home);
    let drafted = recovery::draft(&home, voters, abandon, &mut |progress| bars.show(progress)).map_err(failed)?;
    bars.clear();
    write(&drafted.file, out)?;
    let what = &drafted.file.recovery;
    let document = json!({
        "file": out, "recovery": what, "hash": what.hash(), "time": drafted.time, "voters_before": drafted.voters_before,
        "must_sign": drafted.must_sign, "log_end": drafted.file.log_end, "from_log": drafted.from_log,
    });
    output.document(&document, || {
        format!(
            "{}{}\ncompare with the drafts of all other nodes that are left: the one whose log ends with the highest term, \
             and within it the highest index, goes on, and the others are thrown away.\nthen an administrator of every \
             member in the list signs a copy: `galen recovery sign {} --home HOME`",
            shown(&drafted.file),
            fields(&[
                ("last block", Some(time(drafted.time))),
                ("voted before", Some(joined(&drafted.voters_before))),
                ("verified", Some(format!("{} blocks, nothing is wrong", drafted.report.height))),
                ("from its log", Some(format!("{} blocks more", drafted.from_log))),
                ("must sign", Some(joined(&drafted.must_sign))),
            ]),
            out.display()
        )
    })
}

/// What is to be done, and who has signed.
fn shown(file: &RecoveryFile) -> String {
    let what = &file.recovery;
    let signers: Vec<_> = file.signatures.iter().map(|signature| &signature.account).collect();
    let missing = file.missing();
    fields(&[
        ("recovery", Some(what.hash().to_string())),
        ("keeps", Some(format!("the chain up to height {}, header {}", what.height, what.header))),
        ("log ends", Some(format!("with term {}, index {}", file.log_end.term, file.log_end.index))),
        ("voters", Some(joined(what.names()))),
        ("abandoned", Some(if what.abandoned.is_empty() { "nobody".to_owned() } else { joined(&what.abandoned) })),
        ("drawn up", Some(time(what.made))),
        ("signed by", Some(joined(&signers))),
        ("must sign", (!missing.is_empty()).then(|| joined(&missing))),
    ])
}

fn sign(path: &Path, home: Option<PathBuf>, yes: bool, global: &Global, output: Output) -> Result<(), CliError> {
    let mut file = load(path)?;
    let (account, keys) = session::keys(global)?;
    if let Some(home) = home.map(NodeHome::new) {
        recovery::check_administrator(&home, &account).map_err(failed)?;
        recovery::check_holds_no_more(&home, &file).map_err(failed)?;
    }
    // A signature that is not asked for would make the chain refuse the whole recovery.
    if !file.recovery.voters.iter().any(|voter| voter.node.member == account.member) {
        return Err(CliError::usage(format!(
            "{} has no node among the voters: {account} need not sign",
            account.member
        ))
        .or_hint("the members that must sign are in the list; --as ACCOUNT or --context NAME speaks for another"));
    }
    output.note(shown(&file).trim_end());
    confirm(&format!("sign it as {account}? All blocks above that height are given up"), yes)?;
    file.sign(account.clone(), &keys.signing).map_err(failed)?;
    write(&file, path)?;
    output.document(&json!({ "file": path, "account": account, "must_sign": file.missing() }), || {
        format!("{} is signed by {account}; hand it to the one who merges", path.display())
    })
}

const COMPLETE: &str = "it is complete: hand this file, unchanged, to every node's operator, who types \
                        `galen recovery apply HOME FILE`";

fn merge(files: &[PathBuf], out: &Path, global: &Global, output: Output) -> Result<(), CliError> {
    let copies = files.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
    let mut merged = RecoveryFile::merge(copies).map_err(failed)?;
    let (first, missing) = (merged.signatures.first().map(|signature| signature.account.clone()), merged.missing());
    let next = match first {
        None => return Err(failed(RecoverError::NoSignatures)),
        Some(_) if !missing.is_empty() => format!("signatures are missing: of {}", joined(&missing)),
        Some(_) if merged.transaction.is_some() => COMPLETE.to_owned(),
        Some(first) if session::account_if_any(global)?.as_ref() == Some(&first) => {
            let (account, keys) = session::keys(global)?;
            merged.complete(&account, &keys.signing).map_err(failed)?;
            COMPLETE.to_owned()
        }
        Some(first) => {
            format!("all have signed; {first} completes it: `galen recovery merge {} --as {first}`", out.display())
        }
    };
    merged.write_further(out).map_err(failed)?;
    let complete = merged.transaction.is_some();
    output.document(&json!({ "file": out, "complete": complete, "must_sign": missing }), || {
        format!("{}{next}", shown(&merged))
    })
}

fn apply(home: PathBuf, path: &Path, yes: bool, output: Output) -> Result<(), CliError> {
    let file = load(path)?;
    output.note(shown(&file).trim_end());
    let what = format!(
        "{} goes on from height {} with the voters above, and never again with those of before{}",
        home.display(),
        file.recovery.height,
        match file.recovery.abandoned.as_slice() {
            [] => String::new(),
            members => format!("; it abandons the members {}, who did not agree", joined(members)),
        }
    );
    confirm_by_name(&what, "abandon the old quorum", yes, "--yes-abandon-the-old-quorum")?;
    let applied = recovery::apply(&NodeHome::new(home), &file).map_err(failed)?;
    output.document(&applied, || {
        if applied.applied {
            format!("{} has the recovery block, at height {}; start it", applied.node, applied.height)
        } else {
            format!(
                "{} has fewer blocks; it holds the recovery now, and follows the others through it: start it",
                applied.node
            )
        }
    })
}
