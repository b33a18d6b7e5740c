//! Accounts of a member: added, suspended, restored, given roles and keys by its administrators.
//!
//! | from | call | to |
//! |---|---|---|
//! | (none) | add | active |
//! | active | suspend | suspended |
//! | suspended | restore | active |
//!
//! A member always keeps an active administrator. Signing keys are never used twice, not even a retired one.

use galen_types::member::{Account, EncryptionKey, NewAccount, Role, Standing};
use galen_types::{AccountName, PublicKey, Signer};

use super::signing_keys;
use crate::changes::Changes;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

pub(crate) fn add(session: &mut Session<'_>, new: &NewAccount) -> Judged {
    let administrator = session.account_with_role(&[Role::Admin])?;
    check_roles(&new.roles)?;
    let name = AccountName { account: new.account.clone(), member: administrator.member };
    if session.load(&keys::account(&name))?.is_some() {
        return Err(Refusal::AccountExists { account: name }.into());
    }
    signing_keys::register_own(session, new.key, &Signer::Account(name.clone()))?;
    let account = Account {
        name,
        key: new.key,
        encryption_key: new.encryption_key,
        roles: new.roles.clone(),
        standing: Standing::Active,
    };
    store(session, None, &account)
}

pub(crate) fn suspend(session: &mut Session<'_>, name: &AccountName) -> Judged {
    let before = managed(session, name)?;
    if before.standing != Standing::Active {
        return Err(Refusal::AccountNotActive { account: before.name }.into());
    }
    let after = Account { standing: Standing::Suspended, ..before.clone() };
    store(session, Some(&before), &after)
}

pub(crate) fn restore(session: &mut Session<'_>, name: &AccountName) -> Judged {
    let before = managed(session, name)?;
    if before.standing != Standing::Suspended {
        return Err(Refusal::AccountNotSuspended { account: before.name }.into());
    }
    let after = Account { standing: Standing::Active, ..before.clone() };
    store(session, Some(&before), &after)
}

pub(crate) fn set_roles(session: &mut Session<'_>, name: &AccountName, roles: &[Role]) -> Judged {
    let before = managed(session, name)?;
    check_roles(roles)?;
    if before.roles == roles {
        return Err(Refusal::RolesUnchanged { account: before.name }.into());
    }
    let after = Account { roles: roles.to_vec(), ..before.clone() };
    store(session, Some(&before), &after)
}

pub(crate) fn rotate_key(
    session: &mut Session<'_>,
    name: &AccountName,
    key: PublicKey,
    encryption_key: EncryptionKey,
) -> Judged {
    let own = &session.account()?.name == name;
    let before = if own { session.account()?.clone() } else { managed(session, name)? };
    if before.key == key && before.encryption_key == encryption_key {
        return Err(Refusal::KeysUnchanged { account: before.name }.into());
    }
    if before.key != key {
        signing_keys::register_own(session, key, &Signer::Account(name.clone()))?;
    }
    let after = Account { key, encryption_key, ..before.clone() };
    store(session, Some(&before), &after)
}

/// An account that the signing administrator manages.
fn managed(session: &Session<'_>, name: &AccountName) -> Judged<Account> {
    session.account_of_member(&name.member, &[Role::Admin])?;
    session.require(&keys::account(name), || Refusal::AccountUnknown { account: name.clone() })
}

pub(super) fn check_roles(roles: &[Role]) -> Judged {
    if roles.is_empty() || !roles.is_sorted_by(|left, right| left < right) {
        return Err(Refusal::RolesMalformed.into());
    }
    Ok(())
}

/// Writes an account and records the event.
fn store(session: &mut Session<'_>, before: Option<&Account>, after: &Account) -> Judged {
    store_record(&mut session.changes, before, after)?;
    session.record(session.event());
    Ok(())
}

/// Writes an account and keeps count of its member's active administrators.
pub(super) fn store_record(changes: &mut Changes<'_>, before: Option<&Account>, after: &Account) -> Judged {
    let manages = |account: &Account| account.standing == Standing::Active && account.has_role(Role::Admin);
    let counter = keys::administrators_active(&after.name.member);
    let (managed, manages) = (before.is_some_and(manages), manages(after));
    if manages && !managed {
        changes.count(counter, 1)?;
    } else if managed && !manages && changes.count(counter, -1)? == 0 {
        return Err(Refusal::LastAdministrator { account: after.name.clone() }.into());
    }
    changes.put(keys::account(&after.name), after);
    Ok(())
}
