//! Whether a member takes part.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | (none) | vote: admission | active |
//! | active | vote: suspension | suspended |
//! | suspended | vote: restoration | active |
//! | active, suspended | vote: removal | left, for good |
//! | active | an administrator leaves | left, for good |
//!
//! Whoever does not take part is out of ordering and out of the voter set at once; a restored member's voters ask for a
//! number in ordering again. The last active member, the last voter's member and the managing agency stay.
//!
//! Leaving costs the same for a member with one dataset and with a million: that its datasets are withdrawn, and that
//! grants by and to it have ended, is derived from its standing wherever they are judged or listed.

use galen_types::member::{Member, Role, Standing};
use galen_types::receipt::Operation;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Event, MemberName};

use super::voters;
use crate::keys;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};

pub(super) fn suspend(session: &mut Session<'_>, name: &MemberName, reason: ReasonCode) -> Judged {
    let member = staying(session, name)?;
    if member.standing != Standing::Active {
        return Err(Refusal::MemberNotActive { member: member.name }.into());
    }
    withdraw(session, member, Standing::Suspended)?;
    record(session, Operation::SuspendMember, Some(reason));
    Ok(())
}

pub(super) fn restore(session: &mut Session<'_>, name: &MemberName) -> Judged {
    let member = registered(session, name)?;
    if member.standing != Standing::Suspended {
        return Err(Refusal::MemberNotSuspended { member: member.name }.into());
    }
    session.put(keys::member(name), &Member { standing: Standing::Active, ..member });
    session.count(keys::members_active(), 1)?;
    record(session, Operation::RestoreMember, None);
    Ok(())
}

pub(super) fn remove(session: &mut Session<'_>, name: &MemberName, reason: ReasonCode) -> Judged {
    let member = staying(session, name)?;
    withdraw(session, member, Standing::Left)?;
    record(session, Operation::MemberLeft, Some(reason));
    Ok(())
}

pub(crate) fn leave(session: &mut Session<'_>, reason: ReasonCode) -> Judged {
    let administrator = session.account_with_role(&[Role::Admin])?;
    remove(session, &administrator.member, reason)
}

/// A member that did not leave, and may.
fn staying(session: &Session<'_>, name: &MemberName) -> Judged<Member> {
    let member = registered(session, name)?;
    if member.standing == Standing::Left {
        return Err(Refusal::MemberLeft { member: member.name }.into());
    }
    if session.parameters.managing_agency.as_ref() == Some(name) {
        return Err(Refusal::ManagingAgency { member: member.name }.into());
    }
    Ok(member)
}

fn registered(session: &Session<'_>, name: &MemberName) -> Judged<Member> {
    session.require(&keys::member(name), || Refusal::MemberUnknown { member: name.clone() })
}

/// Ends a member's part, for now or for good.
fn withdraw(session: &mut Session<'_>, member: Member, to: Standing) -> Judged {
    if member.standing == Standing::Active && session.count(keys::members_active(), -1)? == 0 {
        // The last active member stays, or nobody could ever vote again.
        return Err(Refusal::LastMember { member: member.name }.into());
    }
    if to == Standing::Left {
        session.put(keys::member_left(&member.name), &session.now());
    }
    voters::retire(session, |node| node.member == member.name)?;
    session.put(keys::member(&member.name), &Member { standing: to, ..member.clone() });
    Ok(())
}

fn record(session: &mut Session<'_>, operation: Operation, reason: Option<ReasonCode>) {
    let event = Event { operation, reason, ..session.event() };
    session.record(event);
}
