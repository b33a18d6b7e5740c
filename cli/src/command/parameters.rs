//! `galen parameters`: limits and minima that hold for every member, and are voted on.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use galen_client::Client;
use galen_types::Parameters;
use galen_types::proposal::ProposedChange;

use crate::arguments::Global;
use crate::command::member;
use crate::error::CliError;
use crate::output::Output;
use crate::session;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the parameters in force
    Show,
    /// Propose other parameters, which the members vote on; a file that names none takes back a change that waits
    Propose {
        /// TOML file of parameters; what it leaves out keeps its value
        file: PathBuf,
        /// The height from which they hold [default: at once]
        #[arg(long = "at", value_name = "HEIGHT", default_value_t = 0, hide_default_value = true)]
        height: u64,
    },
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    match command {
        Command::Show => {
            let parameters = client.parameters().await?;
            let text = toml::to_string_pretty(&parameters).map_err(|error| CliError::failed(error.to_string()))?;
            output.document(&parameters, || text)
        }
        Command::Propose { file, height } => propose(&client, &file, height, output).await,
    }
}

/// Proposes the parameters of a file.
pub(crate) async fn propose(client: &Client, file: &Path, height: u64, output: Output) -> Result<(), CliError> {
    let in_force = client.parameters().await?;
    let based_on = in_force.hash();
    let parameters = changed(in_force, file)?;
    member::propose(client, ProposedChange::SetParameters { parameters, based_on, effective_height: height }, output)
        .await
}

/// The parameters in force, with those that a file gives in their place.
fn changed(in_force: Parameters, file: &Path) -> Result<Parameters, CliError> {
    let wrong = |error: String| CliError::failed(format!("{}: {}", file.display(), error.trim_end()));
    let text = std::fs::read_to_string(file).map_err(|error| CliError::file(file, &error))?;
    let given: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut merged = toml::Table::try_from(in_force).map_err(|error| wrong(error.to_string()))?;
    merge(&mut merged, given);
    let parameters: Parameters = merged.try_into().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    parameters.check().map_err(|error| wrong(error.to_string()))?;
    Ok(parameters)
}

fn merge(target: &mut toml::Table, given: toml::Table) {
    for (key, value) in given {
        match (target.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(given)) => merge(inner, given),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameters_file_changes_what_it_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parameters.toml");
        let mut in_force = Parameters { requests_open_max: 7, ..Parameters::default() };
        in_force.disclosure.cell_min = 6;
        std::fs::write(&file, "vote_threshold_percent = 60\n[disclosure]\nrows_min = 20\n").unwrap();
        let changed_to = changed(in_force.clone(), &file).unwrap();
        assert_eq!((changed_to.vote_threshold_percent, changed_to.disclosure.rows_min), (60, 20));
        assert_eq!((changed_to.requests_open_max, changed_to.disclosure.cell_min), (7, 6));
        std::fs::write(&file, "managing_agency = \"harlem\"\n").unwrap();
        let agency = changed(in_force.clone(), &file).unwrap().managing_agency;
        assert_eq!(agency.map(|member| member.to_string()).as_deref(), Some("harlem"));
        std::fs::write(&file, "vote_treshold_percent = 60\n").unwrap();
        assert!(changed(in_force.clone(), &file).is_err(), "unknown names are refused");
        std::fs::write(&file, "vote_threshold_percent = 100\n").unwrap();
        assert!(changed(in_force, &file).is_err(), "bounds hold");
    }
}
