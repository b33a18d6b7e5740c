//! `galen account`: a member's people and programs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use galen_client::{Wait, collect_pages};
use galen_keys::Keystore;
use galen_types::member::{EncryptionKey, NewAccount, Role};
use galen_types::vocabulary::ReasonCode;
use galen_types::{AccountName, Call, MemberName, PublicKey, Signer, Slug};

use crate::arguments::Global;
use crate::command::recorded;
use crate::error::CliError;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields, joined};
use crate::terms::sorted;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add an account to your member
    Add {
        /// Its name, e.g. bob or bob@harlem; a pseudonym
        name: String,
        /// What it may do: admin, owner, researcher, auditor
        #[arg(long = "role", required = true, value_delimiter = ',')]
        roles: Vec<Role>,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the accounts
    List {
        /// Only of this member
        #[arg(long)]
        member: Option<MemberName>,
    },
    /// Show an account
    Show {
        /// Which
        account: AccountName,
    },
    /// Suspend an account of your member: its signatures are no longer accepted
    Suspend {
        /// Which
        account: AccountName,
        /// Why, as a code
        #[arg(long, default_value = "administrative")]
        reason: ReasonCode,
    },
    /// Restore a suspended account of your member
    Restore {
        /// Which
        account: AccountName,
    },
    /// Replace the roles of an account of your member
    SetRoles {
        /// Which
        account: AccountName,
        /// What it may do from now on
        #[arg(long = "role", required = true, value_delimiter = ',')]
        roles: Vec<Role>,
    },
    /// Replace an account's keys by new ones, made with `galen key new ACCOUNT --keystore NEW-DIR`
    RotateKey {
        /// Which
        account: AccountName,
        #[command(flatten)]
        keys: Keys,
    },
}

/// Where an account's public keys come from.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// Folder of key files to take the public keys from [default for a new account: the keystore in use]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["key", "encryption_key"])]
    from: Option<PathBuf>,
    /// The public signing key, as `galen key show` prints it
    #[arg(long, value_name = "KEY", requires = "encryption_key")]
    key: Option<PublicKey>,
    /// The public encryption key, as `galen key show` prints it
    #[arg(long, value_name = "KEY", requires = "key")]
    encryption_key: Option<EncryptionKey>,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, own) = session::client(global)?;
    let (call, done) = match command {
        Command::List { member } => {
            let accounts = collect_pages(usize::MAX, |paging| client.accounts(member.as_ref(), paging)).await?;
            return output.list(&accounts, "there are no accounts that you may see", |accounts| {
                let mut table = Table::new(&["account", "roles", "standing"]);
                for account in accounts {
                    table.row([account.name.to_string(), joined(&account.roles), account.standing.to_string()]);
                }
                table
            });
        }
        Command::Show { account } => {
            let account = client.account_record(&account).await?;
            return output.document(&account, || {
                fields(&[
                    ("account", Some(account.name.to_string())),
                    ("roles", Some(joined(&account.roles))),
                    ("standing", Some(account.standing.to_string())),
                    ("key", Some(account.key.to_string())),
                    ("encryption_key", Some(account.encryption_key.to_string())),
                ])
            });
        }
        Command::Add { name, roles, keys } => {
            let account = own_account(&name, &own)?;
            let context = session::context(global)?;
            let folder = session::keystore_folder(global, context.as_ref())?;
            let (key, encryption_key) = keys.read(&account, folder)?;
            let new = NewAccount { account: account.account.clone(), key, encryption_key, roles: sorted(roles) };
            (Call::AddAccount(new), format!("account {account} added"))
        }
        Command::Suspend { account, reason } => {
            let done = format!("account {account} suspended");
            (Call::SuspendAccount { account, reason }, done)
        }
        Command::Restore { account } => {
            let done = format!("account {account} restored");
            (Call::RestoreAccount { account }, done)
        }
        Command::SetRoles { account, roles } => {
            let roles = sorted(roles);
            let done = format!("account {account} has the roles {}", joined(&roles));
            (Call::SetAccountRoles { account, roles }, done)
        }
        Command::RotateKey { account, keys } => {
            // The keystore in use holds the keys that are to be replaced, so it is no default here.
            if keys.from.is_none() && keys.key.is_none() {
                return Err(CliError::usage("new keys are needed").or_hint(format!(
                    "make them with `galen key new {account} --keystore NEW-DIR`, then give --from NEW-DIR"
                )));
            }
            let (key, encryption_key) = keys.read(&account, PathBuf::new())?;
            let done = format!("account {account} has new keys; the old ones are no longer accepted");
            (Call::RotateAccountKey { account, key, encryption_key }, done)
        }
    };
    recorded(output, &client.apply(call, Wait::Committed).await?, &done)
}

impl Keys {
    /// The public keys of an account: as given, or from the folder named or `folder`.
    pub(crate) fn read(&self, account: &AccountName, folder: PathBuf) -> Result<(PublicKey, EncryptionKey), CliError> {
        if let (Some(key), Some(encryption_key)) = (self.key, self.encryption_key) {
            return Ok((key, encryption_key));
        }
        let folder = self.from.clone().unwrap_or(folder);
        let keys = Keystore::open(folder)?.public_keys(&Signer::Account(account.clone()))?;
        Ok((keys.public_key, keys.encryption_key))
    }
}

/// A name of the administrator's own member, whole or without its member.
fn own_account(text: &str, own: &AccountName) -> Result<AccountName, CliError> {
    let wrong = |error: galen_types::name::NameError| CliError::usage(error.to_string());
    let account = if text.contains('@') {
        text.parse().map_err(wrong)?
    } else {
        AccountName { account: Slug::parse(text).map_err(wrong)?, member: own.member.clone() }
    };
    if account.member == own.member {
        Ok(account)
    } else {
        Err(CliError::usage(format!("{own} can add accounts of {} only", own.member)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_added_to_the_own_member_only() {
        let own = "admin@harlem".parse().unwrap();
        assert_eq!(own_account("bob", &own).unwrap().to_string(), "bob@harlem");
        assert_eq!(own_account("bob@harlem", &own).unwrap().to_string(), "bob@harlem");
        assert!(own_account("bob@kentucky", &own).is_err());
        assert!(own_account("Bob", &own).is_err());
    }
}
