//! The last administrator's key is lost: the members vote a new one in. It holds after a delay, in which an
//! administrator of the member, if there still is one, can object.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | open | the vote passes | scheduled |
//! | scheduled | the delay is over | passed: new keys, active, an administrator; the old key is never used again |
//! | scheduled | an administrator of the member objects | objected |
//! | scheduled | the delay is over, but the member left | failed |
//!
//! Until then nobody else can register the new key (`signing_keys.rs`).

use galen_types::member::{Account, EncryptionKey, Role, Standing};
use galen_types::proposal::{ProposalState, ProposedChange};
use galen_types::{AccountName, ProposalId, PublicKey, Signer};

use super::signing_keys::{self, Claim};
use super::{accounts, schedule};
use crate::changes::Changes;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

/// That an account may be given new keys by vote: an administrator's.
pub(super) fn check_account(session: &Session<'_>, name: &AccountName) -> Judged {
    let account = session.require(&keys::account(name), || Refusal::AccountUnknown { account: name.clone() })?;
    if account.has_role(Role::Admin) { Ok(()) } else { Err(Refusal::NotAdministrator { account: account.name }.into()) }
}

/// Gives an account new keys, and makes it an active administrator whatever became of it meanwhile.
pub(super) fn reset(
    changes: &mut Changes<'_>,
    name: &AccountName,
    key: PublicKey,
    encryption_key: EncryptionKey,
    claim: Claim,
) -> Judged {
    let member = changes.load_present(&keys::member(&name.member))?;
    if member.standing == Standing::Left {
        return Err(Refusal::MemberLeft { member: member.name }.into());
    }
    let before = changes.load_present(&keys::account(name))?;
    signing_keys::register(changes, key, &Signer::Account(name.clone()), claim)?;
    let mut roles = before.roles.clone();
    if !before.has_role(Role::Admin) {
        roles.push(Role::Admin);
        roles.sort();
    }
    let after = Account { key, encryption_key, roles, standing: Standing::Active, ..before.clone() };
    accounts::store_record(changes, Some(&before), &after)
}

pub(crate) fn object(session: &mut Session<'_>, id: ProposalId) -> Judged {
    let mut proposal = session.require(&keys::proposal(id), || Refusal::ProposalUnknown { proposal: id })?;
    session.concern(&proposal.change);
    let ProposedChange::ResetAdministrator { account, .. } = &proposal.change else {
        return Err(Refusal::ResetNotScheduled { proposal: id }.into());
    };
    session.account_of_member(&account.member, &[Role::Admin])?;
    if proposal.state != ProposalState::Scheduled {
        return Err(Refusal::ResetNotScheduled { proposal: id }.into());
    }
    proposal.state = ProposalState::Objected;
    schedule::drop(session, id)?;
    signing_keys::release(&mut session.changes, &proposal)?;
    session.put(keys::proposal(id), &proposal);
    session.record(session.event());
    Ok(())
}
