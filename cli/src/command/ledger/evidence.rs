//! `galen ledger evidence`: voters that signed another header than the certified one, and files that prove it to anybody.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use galen_client::Client;
use galen_node::proving::{ProofQuestion, evidence_in_folder, prove_in_folder};
use galen_types::Genesis;
use galen_types::api::Evidence;
use galen_verifier::{Fact, Refusal, Trust};
use serde_json::json;

use super::places;
use crate::arguments::Global;
use crate::command::proof::{TrustArguments, document_at, told, verdict_of};
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{Table, short, time};

/// What is said where there is nothing.
const NOBODY: &str = "no voter is known here to have signed another header than the certified one";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct EvidenceArguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A stopped node's home, or its ledger's folder; without it the context's node is asked, or the one of --node
    folder: Option<PathBuf>,
    /// Write each piece as a file into this folder
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a file of evidence, without a network, against the founding document alone
    Verify {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        trust: TrustArguments,
    },
}

/// Where evidence comes from.
enum Source {
    Node(Client),
    Folder { ledger: PathBuf, genesis: Box<Genesis> },
}

pub(super) async fn run(arguments: EvidenceArguments, global: &Global, output: Output) -> Result<(), CliError> {
    let EvidenceArguments { command, folder, export, trust } = arguments;
    if let Some(Command::Verify { file, trust }) = command {
        return verify(&file, &trust, global, output);
    }
    let (source, trust) = match folder {
        None => {
            let (client, _) = session::client(global)?;
            let trust = trust.or_of_node(&client, global, output).await?;
            (Source::Node(client), trust)
        }
        Some(folder) => {
            let (ledger, path) = places(&folder, trust.genesis_file().as_ref())?;
            let genesis = document_at(&path)?;
            output.note(&format!("checking against the founding document {} ({})", genesis.hash(), path.display()));
            let trust = trust.of_document(&path, genesis.hash())?;
            (Source::Folder { ledger, genesis: Box::new(genesis) }, trust)
        }
    };
    let found = source.list().await?;
    let mut files = Vec::new();
    if let Some(to) = &export {
        std::fs::create_dir_all(to).map_err(|error| CliError::file(to, &error))?;
        for evidence in &found {
            files.push(exported(evidence, &source.file(evidence).await?, to, &trust, output)?);
        }
    }
    let told = |(place, evidence): (usize, &Evidence)| {
        let mut told = json!(evidence);
        if let Some(file) = files.get(place) {
            told["file"] = json!(file);
        }
        told
    };
    let document: Vec<_> = found.iter().enumerate().map(told).collect();
    output.list(&document, NOBODY, |_| table(&found))
}

impl Source {
    async fn list(&self) -> Result<Vec<Evidence>, CliError> {
        let client = match self {
            Self::Folder { ledger, .. } => {
                return evidence_in_folder(ledger).map_err(|error| CliError::operate(error.code(), &error));
            }
            Self::Node(client) => client,
        };
        let mut found: Vec<Evidence> = Vec::new();
        loop {
            let from = found.last().map_or(1, |last| last.height);
            let page = client.evidence(from).await?;
            let before = found.len();
            found.extend(page.into_iter().filter(|evidence| evidence.height >= from));
            // Pages overlap in the height where they meet.
            found.sort_by(|left, right| {
                (left.height, &left.voter, left.signed).cmp(&(right.height, &right.voter, right.signed))
            });
            found.dedup();
            if found.len() == before {
                return Ok(found);
            }
        }
    }

    async fn file(&self, evidence: &Evidence) -> Result<Vec<u8>, CliError> {
        let (height, voter) = (evidence.height, &evidence.voter);
        match self {
            Self::Node(client) => Ok(client.evidence_proof(height, voter).await?.to_vec()),
            Self::Folder { ledger, genesis } => {
                let question = ProofQuestion::Evidence { height, voter: voter.clone() };
                let proof = prove_in_folder(ledger, genesis, &question);
                Ok(proof.map_err(|error| CliError::operate(error.code(), &error))?.to_file())
            }
        }
    }
}

/// Writes a file that was checked; one that is there already stays.
fn exported(
    evidence: &Evidence,
    file: &[u8],
    folder: &Path,
    trust: &Trust,
    output: Output,
) -> Result<PathBuf, CliError> {
    match galen_verifier::verify(file, trust) {
        Ok(_) => {}
        Err(refusal @ Refusal::RecoveryNotAccepted(..)) => {
            output.note(&format!("the evidence is not checked yet: {refusal}"));
        }
        Err(refusal) => return Err(CliError::operate(refusal.code(), &format!("not proven: {refusal}"))),
    }
    let path = folder.join(format!("evidence-{}-{}.proof", evidence.height, evidence.voter));
    match std::fs::File::options().write(true).create_new(true).open(&path) {
        Ok(mut opened) => {
            opened.write_all(file).map_err(|error| CliError::file(&path, &error))?;
            output.note(&format!("{} bytes in {}", file.len(), path.display()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            output.note(&format!("{} is there already and stays", path.display()));
        }
        Err(error) => return Err(CliError::file(&path, &error)),
    }
    Ok(path)
}

fn table(found: &[Evidence]) -> Table {
    let mut table = Table::new(&[">height", "voter", ">epoch", "time", "signed", "certified", "also the certified"]);
    for evidence in found {
        table.row([
            evidence.height.to_string(),
            evidence.voter.to_string(),
            evidence.epoch.to_string(),
            time(evidence.time),
            short(&evidence.signed),
            short(&evidence.certified),
            if evidence.both { "yes: two headers" } else { "no" }.to_owned(),
        ]);
    }
    table
}

fn verify(file: &Path, trust: &TrustArguments, global: &Global, output: Output) -> Result<(), CliError> {
    let verdict = verdict_of(file, trust, global)?;
    if !verdict.facts.iter().any(|fact| matches!(fact, Fact::Deviated { .. })) {
        return Err(CliError::operate(
            "proof-no-evidence",
            &"it is a proof of something else: see `galen proof verify`",
        ));
    }
    output.document(&told(&verdict), || verdict.to_string())
}
