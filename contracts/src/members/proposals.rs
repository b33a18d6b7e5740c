//! Proposals and ballots: one ballot a member, the threshold from the chain's parameters.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | (none) | propose, or apply | open |
//! | open | a ballot: approvals exceed the threshold's share of active members; the change can be done | passed |
//! | open | the same, and the change comes into force later | scheduled |
//! | open | the same, but the change cannot be done any more | failed, naming the rule |
//! | open | a ballot: even if all others approve, they cannot exceed it | failed |
//! | open | the applicant takes its application back (`applications.rs`) | withdrawn |
//! | open | its time is over | failed; a ballot is refused, and the proposer's next proposal records it |
//! | scheduled | it is due (`schedule.rs`) | passed; failed where it cannot be done any more |
//! | scheduled | the member concerned objects (`resets.rs`) | objected |
//! | scheduled | another change of parameters passes (`schedule.rs`) | failed, naming the rule |
//!
//! Only ballots of members that are active when a ballot is cast count. When a member's standing changes, open proposals
//! are not counted anew, for there may be many; a member that has voted casts the same ballot again instead, which is taken
//! if it decides. Where the parameters name a managing agency, its
//! ballot alone decides; except on a reset of its own administrator's key, which it could not cast.

use galen_types::member::{Role, Standing};
use galen_types::proposal::{Ballot, CastBallot, Effective, Proposal, ProposalState, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::ReasonCode;
use galen_types::{Event, MemberName, Parameters, ProposalId, Signer, Timestamp};

use super::{applications, effects, resets, schedule, signing_keys};
use crate::keys;
use crate::limits::PROPOSALS_OPEN_MAX;
use crate::provenance::{concerning, event_of_proposal};
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError};

pub(crate) fn propose(session: &mut Session<'_>, change: &ProposedChange) -> Judged {
    let proposer = session.account_with_role(&[Role::Admin])?;
    check(session, change)?;
    let mut open = close_overdue(session, &proposer.member)?;
    if open.len() >= PROPOSALS_OPEN_MAX {
        return Err(Refusal::ProposalsOpenTooMany { member: proposer.member }.into());
    }
    let key = keys::proposals_open(&proposer.member);
    let proposal = new(session, Signer::Account(proposer), change.clone());
    open.push(proposal.id);
    session.put(key, &open);
    store_new(session, &proposal);
    session.record(session.event());
    Ok(())
}

/// A proposal made by this call.
pub(super) fn new(session: &Session<'_>, proposer: Signer, change: ProposedChange) -> Proposal {
    Proposal {
        id: ProposalId(session.id),
        proposer,
        change,
        state: ProposalState::Open,
        ballots: Vec::new(),
        made: session.now(),
        closes: session.now().plus_ms(session.parameters.proposal_lifetime_ms),
        effective: None,
    }
}

/// Writes a proposal with its place in the list by time, and keeps the keys that it names for it.
pub(super) fn store_new(session: &mut Session<'_>, proposal: &Proposal) {
    signing_keys::reserve(&mut session.changes, proposal);
    session.put(keys::proposal(proposal.id), proposal);
    session.put_present(keys::proposal_made(proposal));
}

/// A change is proposed only where it could be done now.
fn check(session: &mut Session<'_>, change: &ProposedChange) -> Judged {
    match change {
        ProposedChange::AdmitMember { .. } => return Err(Refusal::ApplicationRequired.into()),
        ProposedChange::ResetAdministrator { account, .. } => resets::check_account(session, account)?,
        ProposedChange::SetParameters { effective_height, .. } => schedule::check_height(session, *effective_height)?,
        _ => {}
    }
    session.check(|session| effects::take_effect(session, None, change))
}

pub(crate) fn vote(session: &mut Session<'_>, id: ProposalId, ballot: Ballot, reason: Option<ReasonCode>) -> Judged {
    let by = session.account_with_role(&[Role::Admin])?;
    let mut proposal = session.require(&keys::proposal(id), || Refusal::ProposalUnknown { proposal: id })?;
    session.concern(&proposal.change);
    if state_at(&proposal, session.now()) != ProposalState::Open {
        return Err(Refusal::ProposalClosed { proposal: id }.into());
    }
    let member = by.member.clone();
    let repeated = match proposal.ballots.iter().find(|cast| cast.member == member) {
        Some(cast) if cast.ballot != ballot => return Err(Refusal::AlreadyVoted { member }.into()),
        Some(_) => true,
        None => {
            proposal.ballots.push(CastBallot { member: member.clone(), by, ballot, reason });
            false
        }
    };
    session.record(session.event());
    match Tally::of(session, &session.parameters, &proposal)?.decision() {
        ProposalState::Open if repeated => return Err(Refusal::AlreadyVoted { member }.into()),
        ProposalState::Open => {}
        ProposalState::Passed => {
            pass(session, &mut proposal)?;
            close(session, &proposal)?;
        }
        _ => {
            proposal.state = ProposalState::Failed;
            record_failed(session, &proposal);
            close(session, &proposal)?;
        }
    }
    session.put(keys::proposal(id), &proposal);
    Ok(())
}

/// Puts the change of a proposal that passed in force, or on the schedule.
fn pass(session: &mut Session<'_>, proposal: &mut Proposal) -> Judged {
    let effective = schedule::effective(session, &proposal.change);
    if let Some(Effective::Time(_)) = effective
        && schedule::is_full(session)?
    {
        // The ballot is refused, not the proposal: it can be cast again once there is room.
        return Err(Refusal::ScheduleFull.into());
    }
    let (operation, state) = match effective {
        Some(_) => (Operation::ProposalScheduled, ProposalState::Scheduled),
        None => (Operation::ProposalPassed, ProposalState::Passed),
    };
    let done = session.attempt(|session| {
        session.record(Event { operation, reason: None, ..session.event() });
        match effective {
            Some(effective) => schedule::add(session, proposal, effective),
            None => effects::take_effect(session, Some(proposal.id), &proposal.change),
        }
    })?;
    proposal.state = match done {
        Ok(()) => {
            proposal.effective = effective;
            state
        }
        Err(refusal) => {
            let rule = Some(refusal.rule());
            let event = Event { operation: Operation::ProposalFailed, reason: None, rule, ..session.event() };
            session.record(event);
            ProposalState::Failed
        }
    };
    Ok(())
}

/// Takes a decided proposal off the list of open ones; what waits to come into force keeps its key.
fn close(session: &mut Session<'_>, proposal: &Proposal) -> Result<(), StateError> {
    if proposal.state != ProposalState::Scheduled {
        signing_keys::release(&mut session.changes, proposal)?;
    }
    if matches!(proposal.change, ProposedChange::AdmitMember { .. }) {
        return applications::close(session, proposal.id);
    }
    let key = keys::proposals_open(proposal.proposer.member());
    let mut open = session.load(&key)?.unwrap_or_default();
    open.retain(|other| *other != proposal.id);
    session.put(key, &open);
    Ok(())
}

/// Records that a proposal failed, whatever the call that finds it is about.
pub(super) fn record_failed(session: &mut Session<'_>, proposal: &Proposal) {
    let (operation, subject) = (Operation::ProposalFailed, Some(proposal.id.0));
    let event = Event { operation, subject, reason: None, member: None, account: None, node: None, ..session.event() };
    session.record(concerning(&proposal.change, event));
}

/// The same, naming the rule because of which it failed.
pub(super) fn record_failed_by(session: &mut Session<'_>, proposal: &Proposal, refusal: &Refusal) {
    let event = event_of_proposal(proposal, Operation::ProposalFailed);
    session.record(Event { operator: session.event().operator, rule: Some(refusal.rule()), ..event });
}

/// Where a proposal stands at a time: one whose time is over has failed, whether or not that is written down.
pub(crate) fn state_at(proposal: &Proposal, now: Timestamp) -> ProposalState {
    if proposal.state == ProposalState::Open && now > proposal.closes { ProposalState::Failed } else { proposal.state }
}

/// How a vote stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Approvals that count.
    pub approvals: u32,
    /// Rejections that count.
    pub rejections: u32,
    /// Approvals with which it passes.
    pub needed: u32,
    /// Members whose ballot counts: all active ones, or the managing agency alone.
    pub members: u32,
}

impl Tally {
    /// Counts the ballots of a proposal.
    pub(crate) fn of<L: Lookup + ?Sized>(
        state: &L,
        parameters: &Parameters,
        proposal: &Proposal,
    ) -> Result<Self, StateError> {
        let agency = deciding_alone(parameters, &proposal.change);
        let (mut approvals, mut rejections) = (0, 0);
        for cast in &proposal.ballots {
            let counts = match agency {
                Some(agency) => &cast.member == agency,
                None => state.load_present(&keys::member(&cast.member))?.standing == Standing::Active,
            };
            match cast.ballot {
                Ballot::Approve if counts => approvals += 1,
                Ballot::Reject if counts => rejections += 1,
                Ballot::Approve | Ballot::Reject => {}
            }
        }
        let members = if agency.is_some() { 1 } else { state.load_present(&keys::members_active())? };
        let needed = match agency {
            Some(_) => 1,
            // The least number whose share of the members exceeds the threshold.
            None => members.saturating_mul(parameters.vote_threshold_percent.min(99)) / 100 + 1,
        };
        Ok(Self { approvals, rejections, needed, members })
    }

    /// Passed, failed, or open while other ballots can still decide.
    fn decision(&self) -> ProposalState {
        if self.approvals >= self.needed {
            ProposalState::Passed
        } else if self.members.saturating_sub(self.rejections) >= self.needed {
            ProposalState::Open
        } else {
            ProposalState::Failed
        }
    }
}

/// The managing agency, where there is one and it can decide about a change.
fn deciding_alone<'chain>(parameters: &'chain Parameters, change: &ProposedChange) -> Option<&'chain MemberName> {
    let agency = parameters.managing_agency.as_ref()?;
    match change {
        ProposedChange::ResetAdministrator { account, .. } if &account.member == agency => None,
        _ => Some(agency),
    }
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
            record_failed(session, &proposal);
            signing_keys::release(&mut session.changes, &proposal)?;
        }
    }
    Ok(open)
}
