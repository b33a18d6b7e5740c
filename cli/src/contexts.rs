//! Contexts: which node and account commands speak for. One readable file; passwords are never in it, only where they
//! come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use galen_keys::PasswordSource;
use galen_types::{AccountName, Hash};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::new_file::{create_folder, sync_folder_of};

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that commands use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One node and account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The node's address.
    pub(crate) node: String,
    /// Who speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<AccountName>,
    /// Folder of key files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keystore: Option<PathBuf>,
    /// File that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// Environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_env: Option<String>,
    /// PEM file of the certificate authorities to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Permits `http://` to another machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) plain_http_allowed: bool,
    /// The chain that the node must belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) genesis: Option<Hash>,
}

impl Context {
    /// Where the keys' password comes from.
    pub(crate) fn password_source(&self) -> PasswordSource {
        match (&self.password_file, &self.password_env) {
            (Some(file), _) => PasswordSource::File(file.clone()),
            (None, Some(variable)) => PasswordSource::Environment(variable.clone()),
            (None, None) => PasswordSource::Prompt,
        }
    }
}

/// The folder of settings: `GALEN_HOME`, `XDG_CONFIG_HOME/galen` or `~/.config/galen`.
pub(crate) fn home() -> Result<PathBuf, CliError> {
    home_of(|variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn home_of(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, CliError> {
    variable("GALEN_HOME")
        .or_else(|| variable("XDG_CONFIG_HOME").map(|folder| folder.join("galen")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".config").join("galen")))
        .ok_or_else(|| CliError::usage("there is no home folder for settings").or_hint("set GALEN_HOME to a folder"))
}

/// The contexts file of a settings folder.
pub(crate) fn file_in(home: &Path) -> PathBuf {
    home.join("contexts.toml")
}

/// The keystore of a settings folder.
pub(crate) fn keystore_in(home: &Path) -> PathBuf {
    home.join("keys")
}

impl Contexts {
    /// Reads the file; none is no contexts.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(CliError::file(path, &error)),
        };
        toml::from_str(&text).map_err(|error| {
            CliError::failed(format!("{}: {}", path.display(), error.to_string().trim_end()))
                .or_hint("mend the file, or move it away and add the contexts anew")
        })
    }

    /// Writes the file: the old one or the new one is there, never a half.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CliError> {
        let text = toml::to_string_pretty(self).map_err(|error| CliError::failed(error.to_string()))?;
        let temporary = path.with_extension(format!("toml.{}", std::process::id()));
        let write = || {
            if let Some(folder) = path.parent() {
                create_folder(folder)?;
            }
            std::fs::write(&temporary, text)?;
            std::fs::File::open(&temporary)?.sync_all()?;
            std::fs::rename(&temporary, path)?;
            sync_folder_of(path)
        };
        write().map_err(|error| CliError::file(path, &error))
    }

    /// A context by name.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, CliError> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let hint = if names.is_empty() {
                "there are none yet: add one with `galen context add`".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            };
            CliError::usage(format!("there is no context `{name}`")).or_hint(hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Contexts {
        let context = Context {
            node: "http://127.0.0.1:7201".to_owned(),
            account: Some("olga@harlem".parse().unwrap()),
            keystore: Some("/srv/keys".into()),
            password_file: None,
            password_env: Some("HARLEM_PASSWORD".to_owned()),
            ca_file: None,
            plain_http_allowed: false,
            genesis: Some(Hash([5; 32])),
        };
        Contexts { current: Some("harlem".to_owned()), contexts: BTreeMap::from([("harlem".to_owned(), context)]) }
    }

    #[test]
    fn contexts_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(&folder.path().join("new"));
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
        example().write(&path).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), example());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path());
        std::fs::write(&path, "[contexts.a]\nnode = \"http://127.0.0.1:1\"\npassword = \"secret\"\n").unwrap();
        assert!(Contexts::read(&path).unwrap_err().to_string().contains("unknown field `password`"));
    }

    #[test]
    fn settings_lie_where_the_environment_says() {
        let with = |given: &[(&str, &str)]| {
            let found =
                |variable: &str| given.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.into());
            home_of(found).map(|home| home.display().to_string()).unwrap_or_default()
        };
        assert_eq!(with(&[("GALEN_HOME", "/g"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), "/g");
        assert_eq!(with(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), "/x/galen");
        assert_eq!(with(&[("HOME", "/h")]), "/h/.config/galen");
        assert_eq!(with(&[]), "");
    }

    #[test]
    fn a_missing_context_names_those_that_are_there() {
        assert_eq!(example().get("x").unwrap_err().hint().unwrap(), "there are: harlem");
    }
}
