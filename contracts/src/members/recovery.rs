//! Going on without a lost quorum: a deliberate act of administrators of every active member but those that the recovery
//! names as abandoned. The call stands alone in a block that no leader ordered; each node makes that block itself, from
//! the same signed recovery.
//!
//! The chain sees to it that the block follows the header that the recovery names. The block's time is the later of
//! `made` and the parent's time plus 1 ms, which is known when the recovery is drawn up: its transaction is valid until
//! exactly that time, so that the usual rules of expiry and horizon hold without an exception.
//!
//! | node | before | after |
//! |---|---|---|
//! | named | voter or observer, any number | voter with a fresh number, in the voter set |
//! | not named | any number | no number, not in the voter set; its role stays, so it can start ordering again |

use std::collections::BTreeSet;

use galen_types::certificate::Voter;
use galen_types::member::{Node, NodeRole, Role, Standing};
use galen_types::recovery::{Recovery, SignedRecovery};
use galen_types::{Hash, MemberName};

use super::ordering;
use crate::access::authorise::{active_account, active_member};
use crate::keys;
use crate::limits::VOTERS_MAX;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

pub(crate) fn recover(session: &mut Session<'_>, signed: &SignedRecovery) -> Judged {
    let recovery = &signed.recovery;
    if recovery.genesis != session.block.genesis || recovery.height.checked_add(1) != Some(session.height()) {
        return Err(Refusal::RecoveryMismatch { height: recovery.height }.into());
    }
    let lineage = session.load(&keys::last_recovery())?.unwrap_or(Hash::ZERO);
    if recovery.lineage != lineage {
        return Err(Refusal::RecoveryLineage { lineage }.into());
    }
    let names: Vec<_> = recovery.names().collect();
    let in_form = (1..=VOTERS_MAX).contains(&names.len()) && ascending(&names) && ascending(&recovery.abandoned);
    if !in_form {
        return Err(Refusal::RecoveryVotersMalformed.into());
    }
    let signed_by = check_signatures(session, signed)?;
    let mut nodes = Vec::with_capacity(names.len());
    for voter in &recovery.voters {
        nodes.push(fit(session, voter)?);
        let member = &voter.node.member;
        #[cfg(feature = "planted")]
        if galen_planted::is_on(galen_planted::Bug::RecoveryUnsigned) {
            continue;
        }
        if !signed_by.contains(member) {
            return Err(Refusal::RecoveryUnsigned { member: member.clone() }.into());
        }
    }
    check_abandoned(session, recovery, &signed_by)?;
    go_on(session, recovery, nodes)
}

/// Every active member has signed or is abandoned, and none is both.
fn check_abandoned(session: &Session<'_>, recovery: &Recovery, signed_by: &BTreeSet<MemberName>) -> Judged {
    for member in &recovery.abandoned {
        active_member(session, member)?;
        if signed_by.contains(member) {
            return Err(Refusal::RecoveryAbandonsSigner { member: member.clone() }.into());
        }
    }
    #[cfg(feature = "planted")]
    if galen_planted::is_on(galen_planted::Bug::RecoveryUnsigned) {
        return Ok(());
    }
    let (signed, abandoned) = (signed_by.len(), recovery.abandoned.len());
    let active = session.load_present(&keys::members_active())? as usize;
    if signed + abandoned != active {
        return Err(Refusal::RecoveryMembersMissing { signed, abandoned, active }.into());
    }
    Ok(())
}

/// Checks every signature; gives the members whose administrators signed.
fn check_signatures(session: &Session<'_>, signed: &SignedRecovery) -> Judged<BTreeSet<MemberName>> {
    let signer = &session.account()?.name;
    let accounts: Vec<_> = signed.signatures.iter().map(|part| &part.account).collect();
    if !ascending(&accounts) || accounts.first() != Some(&signer) {
        return Err(Refusal::RecoverySignaturesMalformed.into());
    }
    let mut members = BTreeSet::new();
    for part in &signed.signatures {
        let account = active_account(session, &part.account)?;
        if !account.has_role(Role::Admin) {
            return Err(Refusal::NotAdministrator { account: account.name }.into());
        }
        if part.verify(&signed.recovery, &account.key).is_err() {
            return Err(Refusal::RecoverySignatureBad { account: account.name }.into());
        }
        members.insert(account.name.member);
    }
    Ok(members)
}

/// A node that can go on as a voter.
fn fit(session: &Session<'_>, voter: &Voter) -> Judged<Node> {
    let name = &voter.node;
    let node = session.require(&keys::node(name), || Refusal::NodeUnknown { node: name.clone() })?;
    active_member(session, &name.member)?;
    if node.standing != Standing::Active {
        return Err(Refusal::NodeRemoved { node: node.name }.into());
    }
    if node.role == NodeRole::Aggregator {
        return Err(Refusal::RecoveryNodeUnfit { node: node.name }.into());
    }
    if node.key != voter.key {
        return Err(Refusal::RecoveryNodeKey { node: node.name }.into());
    }
    Ok(node)
}

/// Retires every number in ordering, gives the named nodes fresh ones, and makes them the voter set of the next epoch,
/// which begins with this very block.
fn go_on(session: &mut Session<'_>, recovery: &Recovery, nodes: Vec<Node>) -> Judged {
    // None stays listed as retired: ordering begins anew, and asks nobody's vote that it does not name.
    for entry in session.load_present(&keys::ordering())? {
        let node = session.load_present(&keys::node(&entry.node))?;
        session.put(keys::node(&entry.node), &Node { raft_id: 0, ..node });
    }
    session.put(keys::ordering(), &Vec::new());
    for node in nodes {
        if node.role != NodeRole::Voter {
            session.count(keys::voter_nodes(&node.name.member), 1)?;
        }
        ordering::give_number(session, Node { role: NodeRole::Voter, ..node })?;
    }
    let epoch = session.load_present(&keys::voter_set())?.epoch.saturating_add(1);
    session.put(keys::voter_set(), &recovery.voter_set(epoch));
    let hash = recovery.hash();
    session.put(keys::recovery(&hash), recovery);
    session.put(keys::last_recovery(), &hash);
    session.record(session.event());
    Ok(())
}

fn ascending<T: Ord>(list: &[T]) -> bool {
    list.is_sorted_by(|left, right| left < right)
}
