//! Proposals and ballots: one ballot a member, the threshold from the chain's parameters.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | (none) | propose | open |
//! | open | a ballot: approvals exceed the threshold's share of active members | passed |
//! | open | a ballot: even if all others approve, they cannot exceed it | failed |
//! | open | its time is over | failed; a ballot is refused, and the proposer's next proposal records it |
//!
//! Only ballots of members that are active when a ballot is cast count. What passes takes effect at once.

use galen_types::member::{Member, Role, Standing};
use galen_types::proposal::{Ballot, CastBallot, Proposal, ProposalState, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Event, MemberName, ProposalId, Timestamp};

use crate::keys;
use crate::limits::PROPOSALS_OPEN_MAX;
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

pub(crate) fn propose(session: &mut Session<'_>, change: &ProposedChange) -> Judged {
    let proposer = session.account_with_role(&[Role::Admin])?;
    check(session, change)?;
    let proposal = Proposal {
        id: ProposalId(session.id),
        proposer: proposer.clone(),
        change: change.clone(),
        state: ProposalState::Open,
        ballots: Vec::new(),
        made: session.now(),
        closes: session.now().plus_ms(session.parameters.proposal_lifetime_ms),
    };
    let mut open = close_overdue(session, &proposer.member)?;
    if open.len() >= PROPOSALS_OPEN_MAX {
        return Err(Refusal::ProposalsOpenTooMany { member: proposer.member }.into());
    }
    open.push(proposal.id);
    session.put(keys::proposals_open(&proposer.member), &open);
    session.put(keys::proposal(proposal.id), &proposal);
    session.put_present(keys::proposal_made(&proposal));
    session.record(session.event());
    Ok(())
}

pub(crate) fn vote(session: &mut Session<'_>, id: ProposalId, ballot: Ballot, reason: Option<ReasonCode>) -> Judged {
    let by = session.account_with_role(&[Role::Admin])?;
    let mut proposal = session.require(&keys::proposal(id), || Refusal::ProposalUnknown { proposal: id })?;
    if state_at(&proposal, session.now()) != ProposalState::Open {
        return Err(Refusal::ProposalClosed { proposal: id }.into());
    }
    if proposal.ballots.iter().any(|cast| cast.member == by.member) {
        return Err(Refusal::AlreadyVoted { member: by.member }.into());
    }
    proposal.ballots.push(CastBallot { member: by.member.clone(), by, ballot, reason });
    session.record(session.event());
    proposal.state = tally(session, &proposal)?;
    let operation = match proposal.state {
        ProposalState::Open => None,
        ProposalState::Passed => Some(Operation::ProposalPassed),
        ProposalState::Failed => Some(Operation::ProposalFailed),
    };
    if let Some(operation) = operation {
        session.record(Event { operation, reason: None, ..session.event() });
        let mut open = session.load(&keys::proposals_open(&proposal.proposer.member))?.unwrap_or_default();
        open.retain(|other| *other != id);
        session.put(keys::proposals_open(&proposal.proposer.member), &open);
    }
    if proposal.state == ProposalState::Passed {
        take_effect(session, &proposal.change)?;
    }
    session.put(keys::proposal(id), &proposal);
    Ok(())
}

/// Where a proposal stands at a time: one whose time is over has failed, whether or not that is written down.
pub(crate) fn state_at(proposal: &Proposal, now: Timestamp) -> ProposalState {
    if proposal.state == ProposalState::Open && now > proposal.closes { ProposalState::Failed } else { proposal.state }
}

fn check(session: &Session<'_>, change: &ProposedChange) -> Judged {
    let registered = |name: &MemberName| -> Judged<Member> {
        session.require(&keys::member(name), || Refusal::MemberUnknown { member: name.clone() })
    };
    match change {
        ProposedChange::SuspendMember { member, .. } => match registered(member)?.standing {
            Standing::Active if session.load_present(&keys::members_active())? <= 1 => {
                Err(Refusal::LastMember { member: member.clone() }.into())
            }
            Standing::Active => Ok(()),
            Standing::Suspended | Standing::Left => Err(Refusal::MemberNotActive { member: member.clone() }.into()),
        },
        ProposedChange::RestoreMember { member } => match registered(member)?.standing {
            Standing::Suspended => Ok(()),
            Standing::Active | Standing::Left => Err(Refusal::MemberNotSuspended { member: member.clone() }.into()),
        },
        ProposedChange::SetParameters { parameters } => {
            parameters.check().map_err(|error| Refusal::ParameterOutOfBounds { error })?;
            if *parameters == session.parameters { Err(Refusal::ParametersUnchanged.into()) } else { Ok(()) }
        }
    }
}

/// The state after the last ballot.
fn tally(session: &Session<'_>, proposal: &Proposal) -> Judged<ProposalState> {
    let active = u64::from(session.load_present(&keys::members_active())?);
    let (mut approvals, mut rejections) = (0u64, 0u64);
    for cast in &proposal.ballots {
        let member = session.load_present(&keys::member(&cast.member))?;
        if member.standing == Standing::Active {
            match cast.ballot {
                Ballot::Approve => approvals += 1,
                Ballot::Reject => rejections += 1,
            }
        }
    }
    let threshold = u64::from(session.parameters.vote_threshold_percent);
    let exceeds = |votes: u64| votes.saturating_mul(100) > threshold.saturating_mul(active);
    Ok(if exceeds(approvals) {
        ProposalState::Passed
    } else if exceeds(active.saturating_sub(rejections)) {
        ProposalState::Open
    } else {
        ProposalState::Failed
    })
}

/// Puts a change in force. What other proposals did meanwhile may leave nothing to do.
fn take_effect(session: &mut Session<'_>, change: &ProposedChange) -> Judged {
    match change {
        ProposedChange::SuspendMember { member, .. } => {
            set_standing(session, member, Standing::Active, Standing::Suspended, -1)
        }
        ProposedChange::RestoreMember { member } => {
            set_standing(session, member, Standing::Suspended, Standing::Active, 1)
        }
        ProposedChange::SetParameters { parameters } => {
            session.put(keys::parameters(), parameters);
            Ok(())
        }
    }
}

fn set_standing(session: &mut Session<'_>, name: &MemberName, from: Standing, to: Standing, change: i8) -> Judged {
    let mut member = session.load_present(&keys::member(name))?;
    // The last active member stays, or nobody could ever vote again.
    let last = to == Standing::Suspended && session.load_present(&keys::members_active())? <= 1;
    if member.standing == from && !last {
        member.standing = to;
        session.put(keys::member(name), &member);
        session.count(keys::members_active(), change)?;
    }
    Ok(())
}

/// Writes down that proposals of a member failed because their time is over; gives those still open.
fn close_overdue(session: &mut Session<'_>, member: &MemberName) -> Judged<Vec<ProposalId>> {
    let mut open = Vec::new();
    for id in session.load(&keys::proposals_open(member))?.unwrap_or_default() {
        let mut proposal = session.load_present(&keys::proposal(id))?;
        proposal.state = state_at(&proposal, session.now());
        if proposal.state == ProposalState::Open {
            open.push(id);
        } else {
            session.put(keys::proposal(id), &proposal);
            session.record(Event { operation: Operation::ProposalFailed, subject: Some(id.0), ..session.event() });
        }
    }
    Ok(open)
}
