//! `galen genesis`: the founding document of a consortium.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use galen_types::{Genesis, Timestamp};
use serde_json::json;

use crate::arguments::Global;
use crate::error::CliError;
use crate::new_file::NewFile;
use crate::output::Output;
use crate::session;

const TEMPLATE: &str = include_str!("genesis_template.toml");

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a template with comments, to be filled in
    New {
        /// Write it to this new file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check and show a genesis: a file's, or the node's
    Show {
        /// The file; without it the node is asked
        file: Option<PathBuf>,
    },
    /// Print the hash that names the chain: a file's, or the node's
    Hash {
        /// The file; without it the node is asked
        file: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    match command {
        Command::New { out } => new(out.as_deref(), output),
        Command::Show { file } => {
            let genesis = read(file.as_deref(), global).await?;
            let text = genesis.to_toml().map_err(|error| CliError::failed(error.to_string()))?;
            output.document(&genesis, || text)
        }
        Command::Hash { file } => {
            let hash = read(file.as_deref(), global).await?.hash();
            output.document(&json!({ "genesis": hash }), || hash.to_string())
        }
    }
}

fn new(out: Option<&Path>, output: Output) -> Result<(), CliError> {
    let text = template(Timestamp::now());
    let Some(path) = out else { return output.text(&text) };
    let mut file = NewFile::create(path)?;
    file.write_all(text.as_bytes()).map_err(|error| CliError::file(path, &error))?;
    file.finish()?;
    output.note(&format!("fill in {}, then check it with `galen genesis show {0}`", path.display()));
    Ok(())
}

fn template(founded: Timestamp) -> String {
    TEMPLATE.replace("FOUNDED", &founded.to_string())
}

async fn read(file: Option<&Path>, global: &Global) -> Result<Genesis, CliError> {
    let Some(path) = file else { return Ok(session::open_client(global)?.genesis().await?) };
    let text = std::fs::read_to_string(path).map_err(|error| CliError::file(path, &error))?;
    Genesis::from_toml(&text).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_founds_a_consortium_once_its_keys_are_filled_in() {
        let mut digits = 10_u32;
        let mut text = String::new();
        for part in template(Timestamp(0)).split_inclusive("<64 hexadecimal digits>") {
            digits += 1;
            text.push_str(&part.replace("<64 hexadecimal digits>", &digits.to_string().repeat(32)));
        }
        let genesis = Genesis::from_toml(&text).unwrap();
        assert_eq!(genesis.parameters, galen_types::Parameters::default(), "the template shows the defaults");
        assert!(Genesis::from_toml(&template(Timestamp(0))).is_err(), "unfilled, it is refused");
    }
}
