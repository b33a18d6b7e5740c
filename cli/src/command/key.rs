//! `galen key`: the local keystore.

use std::path::PathBuf;

use clap::Subcommand;
use galen_keys::{KdfProfile, Keystore, ListedKey, PublicKeys};
use galen_types::PublicKey;
use galen_types::Signer;
use galen_types::member::EncryptionKey;
use serde::Serialize;

use crate::arguments::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make fresh keys of an account or node
    New {
        /// Whose, e.g. alice@harlem or node-1.harlem
        name: Signer,
    },
    /// List the keys
    List,
    /// Show the public keys, as an administrator registers them
    Show {
        /// Whose
        name: Signer,
    },
    /// Take in a key file, still encrypted
    Import {
        /// The file
        file: PathBuf,
    },
    /// Copy a key file, still encrypted, to a new file
    Export {
        /// Whose
        name: Signer,
        /// The new file
        file: PathBuf,
    },
}

/// Public keys as they are shown.
#[derive(Serialize)]
struct Shown {
    name: Signer,
    key: PublicKey,
    encryption_key: EncryptionKey,
}

impl From<PublicKeys> for Shown {
    fn from(keys: PublicKeys) -> Self {
        Self { name: keys.name, key: keys.public_key, encryption_key: keys.encryption_key }
    }
}

pub(crate) fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let context = session::context(global)?;
    let folder = session::keystore_folder(global, context.as_ref())?;
    let keystore = Keystore::open(&folder)?;
    match command {
        Command::New { name } => {
            let source = session::password_source(global, context.as_ref());
            let password = source.read_new(&format!("New password of {name}: "))?;
            keystore.create(&name, &password, KdfProfile::Standard)?;
            output
                .note(&format!("keys made in {}; there is no way back to them without the password", folder.display()));
            show(keystore.public_keys(&name)?, output)
        }
        Command::List => list(keystore.list()?, output),
        Command::Show { name } => show(keystore.public_keys(&name)?, output),
        Command::Import { file } => show(keystore.import(&file)?, output),
        Command::Export { name, file } => {
            keystore.export(&name, &file)?;
            output.note(&format!("the keys of {name} are in {}, under the same password", file.display()));
            Ok(())
        }
    }
}

fn list(listed: Vec<ListedKey>, output: Output) -> Result<(), CliError> {
    let mut shown = Vec::new();
    for entry in listed {
        match entry.keys {
            Ok(keys) => shown.push(Shown::from(keys)),
            Err(error) => output.note(&format!("warning: {}: {error}", entry.path.display())),
        }
    }
    output.list(&shown, "there are no keys: make some with `galen key new ACCOUNT`", |shown| {
        let mut table = Table::new(&["name", "key"]);
        for keys in shown {
            table.row([keys.name.to_string(), keys.key.to_string()]);
        }
        table
    })
}

fn show(keys: PublicKeys, output: Output) -> Result<(), CliError> {
    let shown = Shown::from(keys);
    output.document(&shown, || {
        fields(&[
            ("name", Some(shown.name.to_string())),
            ("key", Some(shown.key.to_string())),
            ("encryption_key", Some(shown.encryption_key.to_string())),
        ])
    })
}
