//! `galen contract`: access contracts.

use std::path::PathBuf;

use clap::Subcommand;
use galen_client::{Client, ClientError, Wait};
use galen_types::access::{Contract, Rule, Scope};
use galen_types::{AccountName, Call, MemberName};
use serde::Serialize;

use crate::arguments::Global;
use crate::command::recorded;
use crate::error::CliError;
use crate::output::Output;
use crate::rules_file;
use crate::session;
use crate::table::{Table, joined, time};
use crate::terms::data_use_text;

const RULES_HELP: &str = "\
RULES.toml holds the rules in their order. What a rule does not mention matches everything; deny wins over permit;
what no rule and no grant permits is denied. An example:

  [[rule]]
  name = \"research\"
  effect = \"permit\"
  roles = [\"researcher\"]
  actions = [\"discover\", \"compute\"]
  purposes = [\"HRESCH\"]
  statistics = [\"count\", \"mean\", \"variance\"]
  not_after = \"2027-01-01T00:00:00Z\"
  cohort_min = 20

Further keys: members, accounts, data_use, columns, not_before, uses_max.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set the contract of a dataset, or of all your member's datasets
    #[command(after_help = RULES_HELP)]
    Set {
        /// A dataset, e.g. harlem/opt, or a member for all its datasets, e.g. harlem
        scope: String,
        /// The rules
        rules: PathBuf,
        /// Refuse unless this version is in force; without it the one found now
        #[arg(long, value_name = "VERSION")]
        previous: Option<u32>,
    },
    /// Show what governs access to a dataset, or to all of a member's datasets
    Show {
        /// A dataset, e.g. harlem/opt, or a member, e.g. harlem
        scope: String,
    },
}

/// The contracts that speak about a dataset or member.
#[derive(Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<Contract>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<Contract>,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    match command {
        Command::Set { scope, rules: path, previous } => {
            let scope = parse_scope(&scope, &own)?;
            let text = std::fs::read_to_string(&path).map_err(|error| CliError::file(&path, &error))?;
            let rules =
                rules_file::parse(&text).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
            let previous = match previous {
                Some(previous) => previous,
                None => in_force(&client, &scope).await?,
            };
            let done = format!("contract {scope} v{} is in force: {} rules", previous.saturating_add(1), rules.len());
            let status = client.apply(Call::SetContract { scope, previous, rules }, Wait::Committed).await?;
            recorded(output, &status, &done)
        }
        Command::Show { scope } => {
            let shown = match parse_scope(&scope, &own)? {
                Scope::Dataset(dataset) => {
                    let set = client.contracts(&dataset).await?;
                    Shown { dataset: set.dataset, member: set.member }
                }
                Scope::Member(member) => Shown { dataset: None, member: member_contract(&client, &member).await? },
            };
            output.document(&shown, || human(&shown))
        }
    }
}

/// The version in force; 0 where there is none.
async fn in_force(client: &Client, scope: &Scope) -> Result<u32, CliError> {
    let contract = match scope {
        Scope::Dataset(dataset) => client.contracts(dataset).await?.dataset,
        Scope::Member(member) => member_contract(client, member).await?,
    };
    Ok(contract.map_or(0, |contract| contract.version))
}

async fn member_contract(client: &Client, member: &MemberName) -> Result<Option<Contract>, CliError> {
    match client.member_contract(member).await {
        Ok(contract) => Ok(Some(contract)),
        Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `harlem/opt` is a dataset, `harlem` a member; `harlem/*`, as contracts print it, is the member too.
fn parse_scope(text: &str, own: &AccountName) -> Result<Scope, CliError> {
    let member = text.strip_suffix("/*").unwrap_or(text);
    if member.contains('/') {
        session::own_dataset(text, own).map(Scope::Dataset)
    } else {
        MemberName::parse(member).map(Scope::Member).map_err(|error| CliError::usage(error.to_string()))
    }
}

fn human(shown: &Shown) -> String {
    let contracts: Vec<_> = shown.dataset.iter().chain(&shown.member).map(contract).collect();
    if contracts.is_empty() {
        return "there is no contract: what no grant permits is denied".to_owned();
    }
    contracts.join("\n\n")
}

fn contract(contract: &Contract) -> String {
    let mut table = Table::new(&[">no", "rule", "effect", "who", "what", "purpose", "limits"]);
    for (index, rule) in contract.rules.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            rule.name.to_string(),
            rule.effect.to_string(),
            who(rule),
            what(rule),
            any(joined(&rule.purposes)),
            limits(rule),
        ]);
    }
    format!("contract {} v{}\n{}", contract.scope, contract.version, table.render())
}

fn any(text: String) -> String {
    if text == "-" { "any".to_owned() } else { text }
}

fn who(rule: &Rule) -> String {
    let members = rule.members.iter().map(|member| format!("@{member}"));
    let named = members.chain(rule.accounts.iter().map(ToString::to_string));
    match (any(joined(named)), rule.roles.is_empty()) {
        (named, true) => named,
        (named, false) => format!("{named} as {}", joined(&rule.roles)),
    }
}

fn what(rule: &Rule) -> String {
    let mut text = any(joined(&rule.actions));
    if !rule.statistics.is_empty() {
        text.push_str(&format!("; {}", joined(&rule.statistics)));
    }
    if !rule.columns.is_empty() {
        text.push_str(&format!("; columns {}", joined(&rule.columns)));
    }
    text
}

fn limits(rule: &Rule) -> String {
    let mut parts = Vec::new();
    if !rule.data_use.is_empty() {
        parts.push(format!("affirm {}", joined(rule.data_use.iter().map(data_use_text))));
    }
    parts.extend(rule.not_before.map(|from| format!("from {}", time(from))));
    parts.extend(rule.not_after.map(|until| format!("until {}", time(until))));
    parts.extend(rule.cohort_min.map(|rows| format!("cohort >= {rows}")));
    parts.extend(rule.uses_max.map(|uses| format!("{uses} uses")));
    joined(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_dataset_or_a_member() {
        let own = "olga@harlem".parse().unwrap();
        assert!(matches!(parse_scope("harlem/opt", &own).unwrap(), Scope::Dataset(_)));
        assert!(matches!(parse_scope("harlem", &own).unwrap(), Scope::Member(_)));
        assert!(matches!(parse_scope("harlem/*", &own).unwrap(), Scope::Member(_)));
        assert!(parse_scope("Harlem/Opt", &own).is_err());
    }

    #[test]
    fn rules_are_told_with_what_they_leave_open() {
        let rules = rules_file::parse(
            "[[rule]]\nname = 'r'\neffect = 'permit'\nmembers = ['kentucky']\nroles = ['researcher']\ncohort_min = 20\n",
        )
        .unwrap();
        let shown = contract(&Contract { scope: Scope::Member("harlem".parse().unwrap()), version: 2, rules });
        assert!(shown.starts_with("contract harlem/* v2\n"), "{shown}");
        assert!(shown.contains("@kentucky as researcher"), "{shown}");
        assert!(shown.contains("any") && shown.contains("cohort >= 20"), "{shown}");
    }
}
