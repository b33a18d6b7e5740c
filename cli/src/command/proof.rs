//! `galen proof`: offline proofs. A node is asked for one; anybody checks it, without a node and without a network.

mod names;
mod told;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use galen_client::Client;
use galen_node::proving::{ProofQuestion, prove_in_folder};
use galen_types::proof::PROOF_BYTES_MAX;
use galen_types::{Genesis, Hash};
use galen_verifier::{Refusal, Trust, Verdict};
use serde_json::json;

use crate::arguments::Global;
use crate::error::CliError;
use crate::new_file::NewFile;
use crate::output::Output;
use crate::session;
use names::Asked;
pub(crate) use told::told;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Get a proof that a transaction or records of the state were there, or were not, from a node
    Get {
        /// A transaction's id, or names of records: parameters, voters, member:harlem, account:alice@harlem,
        /// node:node-1.harlem, dataset:harlem/opt, version:harlem/opt@1, contract:harlem/opt, contract:harlem/*,
        /// request:ID, grant:ID, grants:alice@harlem:kentucky/opt, job:ID, proposal:ID, ... (docs/proofs.md has all)
        #[arg(required = true, value_name = "TX|NAME")]
        what: Vec<String>,
        /// Of the state after this height; a node has its newest and those of its snapshots, a backup that of its own
        #[arg(long)]
        height: Option<u64>,
        /// Write it to this new file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Prove from the ledger in this folder instead of asking a node: a stopped node's home, a backup, or one of a
        /// home's `snapshots/`
        #[arg(long, value_name = "DIR", requires = "genesis")]
        ledger: Option<PathBuf>,
        #[command(flatten)]
        trust: TrustArguments,
    },
    /// Check a proof, without a network
    Verify {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        trust: TrustArguments,
    },
}

/// What is believed, and not because a file or node says so.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustArguments {
    /// The founding document as TOML, or its hash; without it the context's hash
    #[arg(long, value_name = "GENESIS")]
    genesis: Option<String>,
    /// A recovery after a lost quorum that the members told you of
    #[arg(long, value_name = "HASH")]
    recovery: Vec<Hash>,
}

impl TrustArguments {
    /// The hash of the founding document: as given, or the context's.
    fn genesis(&self, global: &Global) -> Result<Option<Hash>, CliError> {
        match &self.genesis {
            None => Ok(session::context(global)?.and_then(|context| context.genesis)),
            Some(text) => match text.parse() {
                Ok(hash) => Ok(Some(hash)),
                Err(_) => Ok(Some(document_at(Path::new(text))?.hash())),
            },
        }
    }

    /// What is given with `--genesis` as a file's path.
    pub(crate) fn genesis_file(&self) -> Option<PathBuf> {
        self.genesis.as_ref().filter(|text| text.parse::<Hash>().is_err()).map(PathBuf::from)
    }

    /// What is trusted, where a founding document was found in a file: it must be the one whose hash was given.
    pub(crate) fn of_document(&self, path: &Path, found: Hash) -> Result<Trust, CliError> {
        match self.genesis.as_ref().and_then(|text| text.parse::<Hash>().ok()) {
            Some(given) if given != found => {
                Err(CliError::failed(format!("{} is the founding document {found}, not {given}", path.display()))
                    .or_hint("give your own copy with --genesis FILE, or the folder of the chain that you mean"))
            }
            _ => Ok(self.of(found)),
        }
    }

    /// What is trusted: as given, the context's, or, with a note, what the node names.
    pub(crate) async fn or_of_node(&self, client: &Client, global: &Global, output: Output) -> Result<Trust, CliError> {
        let genesis = match self.genesis(global)? {
            Some(genesis) => genesis,
            None => {
                output.note("checked against the genesis that the node itself names: give yours with --genesis");
                client.genesis_hash().await?
            }
        };
        Ok(self.of(genesis))
    }

    pub(crate) fn of(&self, genesis: Hash) -> Trust {
        Trust { genesis: genesis.0, recoveries: self.recovery.iter().map(|hash| hash.0).collect() }
    }
}

/// The founding document in a file.
pub(crate) fn document_at(path: &Path) -> Result<Genesis, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| CliError::file(path, &error))?;
    Genesis::from_toml(&text).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

fn refused(refusal: Refusal) -> CliError {
    CliError::operate(refusal.code(), &format!("not proven: {refusal}"))
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    match command {
        Command::Get { what, height, out, ledger, trust } => {
            let asked = Asked::read(&what, height)?;
            if out.is_none() && std::io::stdout().is_terminal() {
                return Err(CliError::usage("a proof is no text").or_hint("write it to a file with --out FILE"));
            }
            let (file, verdict) = match ledger {
                Some(folder) => from_folder(&folder, &asked, &trust, output)?,
                None => from_node(&asked, &trust, global, output).await?,
            };
            deliver(&file, verdict, out.as_deref(), output)
        }
        Command::Verify { file, trust } => verify(&file, &trust, global, output),
    }
}

/// What a proof shows; `None`, and a note, where only the reader can say whether a recovery in it is to be believed.
fn check(file: &[u8], trust: &Trust, output: Output) -> Result<Option<Verdict>, CliError> {
    match galen_verifier::verify(file, trust) {
        Ok(verdict) => Ok(Some(verdict)),
        Err(refusal @ Refusal::RecoveryNotAccepted(..)) => {
            output.note(&format!("the proof is not checked yet: {refusal}"));
            Ok(None)
        }
        Err(refusal) => Err(refused(refusal)),
    }
}

async fn from_node(
    asked: &Asked,
    trust: &TrustArguments,
    global: &Global,
    output: Output,
) -> Result<(Vec<u8>, Option<Verdict>), CliError> {
    let (client, _) = session::client(global)?;
    let trust = trust.or_of_node(&client, global, output).await?;
    let mut question = asked.question();
    loop {
        let file = match &question {
            ProofQuestion::Transaction(id) => client.transaction_proof(id).await?,
            ProofQuestion::State { names, height } => client.state_proof(names, *height).await?,
            ProofQuestion::Evidence { height, voter } => client.evidence_proof(*height, voter).await?,
        };
        let verdict = check(&file, &trust, output)?;
        match verdict.as_ref().and_then(|verdict| names::with_grants(&question, verdict)) {
            // The grants that a list names come with it, so that the proof says what they are.
            Some(more) => question = more,
            None => return Ok((file.to_vec(), verdict)),
        }
    }
}

fn from_folder(
    folder: &Path,
    asked: &Asked,
    trust: &TrustArguments,
    output: Output,
) -> Result<(Vec<u8>, Option<Verdict>), CliError> {
    let path = trust.genesis.as_deref().unwrap_or_default();
    let genesis = document_at(Path::new(path)).map_err(|error| {
        CliError::usage(format!("--ledger needs the founding document itself: {error}"))
            .or_hint("give the TOML file with --genesis")
    })?;
    let trust = trust.of(genesis.hash());
    // In a home or a backup the ledger is `ledger/`, in a snapshot `db/`.
    let inner = ["ledger", "db"].map(|name| folder.join(name)).into_iter().find(|inner| inner.is_dir());
    let folder = inner.unwrap_or_else(|| folder.to_owned());
    let mut question = asked.question();
    loop {
        let proof = prove_in_folder(&folder, &genesis, &question);
        let file = proof.map_err(|error| CliError::operate(error.code(), &error))?.to_file();
        let verdict = check(&file, &trust, output)?;
        match verdict.as_ref().and_then(|verdict| names::with_grants(&question, verdict)) {
            Some(more) => question = more,
            None => return Ok((file, verdict)),
        }
    }
}

/// Writes the file, and says what it shows.
fn deliver(file: &[u8], verdict: Option<Verdict>, out: Option<&Path>, output: Output) -> Result<(), CliError> {
    let Some(path) = out else {
        output.bytes(file)?;
        if let Some(verdict) = verdict {
            output.note(&verdict.to_string());
        }
        return Ok(());
    };
    let mut made = NewFile::create(path)?;
    made.write_all(file).map_err(|error| CliError::file(path, &error))?;
    made.finish()?;
    let told = verdict.as_ref().map(told);
    output.document(&json!({ "file": path, "bytes": file.len(), "proof": told }), || {
        let words = verdict.map_or_else(String::new, |verdict| format!("{verdict}\n"));
        format!("{words}{} bytes in {}", file.len(), path.display())
    })
}

fn verify(path: &Path, trust: &TrustArguments, global: &Global, output: Output) -> Result<(), CliError> {
    let verdict = verdict_of(path, trust, global)?;
    output.document(&told(&verdict), || verdict.to_string())
}

/// Checks a file against what is trusted.
pub(crate) fn verdict_of(path: &Path, trust: &TrustArguments, global: &Global) -> Result<Verdict, CliError> {
    let genesis = trust.genesis(global)?.ok_or_else(|| {
        CliError::usage("no founding document is trusted")
            .or_hint("give yours with --genesis my-genesis.toml, or its hash")
    })?;
    let mut file = Vec::new();
    std::fs::File::open(path)
        .and_then(|opened| opened.take(PROOF_BYTES_MAX as u64 + 1).read_to_end(&mut file))
        .map_err(|error| CliError::file(path, &error))?;
    galen_verifier::verify(&file, &trust.of(genesis)).map_err(refused)
}
