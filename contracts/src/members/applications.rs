//! An institution's application: signed by the applicant, brought by a member's node, decided by the members as a
//! proposal, and its admission.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | (none) | apply | open |
//! | open | the vote passes | passed: member, administrator and node are registered |
//! | open | the vote fails, or its time is over | failed |
//! | open | the applicant takes it back | withdrawn |
//!
//! Open applications are kept in one list, so that names and caps are checked without walking; overdue ones do not count,
//! and the next application writes down that they failed. While an application is open, its keys are kept for it. None is
//! brought twice: who was rejected, or took it back, signs another.

use galen_types::application::{Application, SignedApplication};
use galen_types::member::{Account, Member, NodeRole, Role, Standing};
use galen_types::proposal::{OpenApplication, ProposalState, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::{AccountName, Event, MemberName, NodeName, ProposalId, Signature, Signer};

use super::signing_keys::{self, Claim};
use super::{accounts, nodes, proposals};
use crate::keys;
use crate::limits::{APPLICATION_AGE_MS_MAX, APPLICATIONS_DROPPED_MAX};
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::{Lookup, StateError};

pub(crate) fn apply(session: &mut Session<'_>, signed: &SignedApplication) -> Judged {
    let node = session.node()?.name.clone();
    check_form(session, &signed.application)?;
    let mut open = drop_overdue(session)?;
    check_open(session, &open, &signed.application.member, &node.member)?;
    signed.verify().map_err(|_| Refusal::ApplicationSignature)?;
    // The content, not the signatures: there may be many valid ones over it.
    let brought = keys::application_brought(&signed.application.hash());
    if let Some(proposal) = session.load(&brought)? {
        return Err(Refusal::ApplicationRepeated { proposal }.into());
    }
    let claim = Claim { now: session.now(), proposal: None };
    session.check(|session| admit(session, &signed.application, claim))?;
    let change = ProposedChange::AdmitMember { application: Box::new(signed.clone()) };
    let proposal = proposals::new(session, Signer::Node(node.clone()), change);
    open.push(OpenApplication {
        proposal: proposal.id,
        applicant: signed.application.member.clone(),
        sponsor: node.member,
        closes: proposal.closes,
    });
    session.put(keys::applications_open(), &open);
    session.put(brought, &proposal.id);
    proposals::store_new(session, &proposal);
    session.record(session.event());
    Ok(())
}

/// The applicant takes an open application back: any member's node brings that, signed by the administrator's key.
pub(crate) fn withdraw(session: &mut Session<'_>, id: ProposalId, signature: &Signature) -> Judged {
    session.node()?;
    let mut proposal = session.require(&keys::proposal(id), || Refusal::ProposalUnknown { proposal: id })?;
    session.concern(&proposal.change);
    let ProposedChange::AdmitMember { application } = &proposal.change else {
        return Err(Refusal::NotApplication { proposal: id }.into());
    };
    if proposals::state_at(&proposal, session.now()) != ProposalState::Open {
        return Err(Refusal::ProposalClosed { proposal: id }.into());
    }
    application.application.verify_withdrawal(id, signature).map_err(|_| Refusal::WithdrawalSignature)?;
    proposal.state = ProposalState::Withdrawn;
    signing_keys::release(&mut session.changes, &proposal)?;
    close(session, id)?;
    session.put(keys::proposal(id), &proposal);
    session.record(session.event());
    Ok(())
}

/// What an application must look like, whoever brings it and whatever else is open.
fn check_form(session: &Session<'_>, application: &Application) -> Judged {
    if application.genesis != session.block.genesis {
        return Err(Refusal::ApplicationWrongChain.into());
    }
    if application.made.0.abs_diff(session.now().0) > APPLICATION_AGE_MS_MAX {
        return Err(Refusal::ApplicationOutdated { made: application.made }.into());
    }
    accounts::check_roles(&application.administrator.roles)?;
    if !application.administrator.roles.contains(&Role::Admin) {
        return Err(Refusal::ApplicationWithoutAdministrator.into());
    }
    if application.node.role == NodeRole::Aggregator {
        return Err(Refusal::ApplicationNodeRole.into());
    }
    if !application.offers.is_sorted_by(|left, right| left < right) {
        return Err(Refusal::OffersMalformed.into());
    }
    Ok(())
}

/// That an application finds room among those that are open.
fn check_open(session: &Session<'_>, open: &[OpenApplication], applicant: &MemberName, sponsor: &MemberName) -> Judged {
    let count = |matches: &dyn Fn(&OpenApplication) -> bool| {
        let counted = open.iter().filter(|entry| entry.closes >= session.now() && matches(entry));
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    };
    if count(&|entry| &entry.applicant == applicant) > 0 {
        return Err(Refusal::ApplicationOpen { member: applicant.clone() }.into());
    }
    let most = session.parameters.applications_per_sponsor_max;
    if count(&|entry| &entry.sponsor == sponsor) >= most {
        return Err(Refusal::ApplicationsOfSponsorTooMany { member: sponsor.clone(), most }.into());
    }
    let most = session.parameters.applications_open_max;
    if count(&|_| true) >= most {
        return Err(Refusal::ApplicationsOpenTooMany { most }.into());
    }
    Ok(())
}

/// Writes down that applications failed because their time is over, a bounded number of them; gives those still listed.
fn drop_overdue(session: &mut Session<'_>) -> Result<Vec<OpenApplication>, StateError> {
    let open = session.load(&keys::applications_open())?.unwrap_or_default();
    let mut listed = Vec::with_capacity(open.len() + 1);
    let mut dropped = 0;
    for entry in open {
        if entry.closes >= session.now() || dropped == APPLICATIONS_DROPPED_MAX {
            listed.push(entry);
        } else {
            dropped += 1;
            let mut proposal = session.load_present(&keys::proposal(entry.proposal))?;
            proposal.state = ProposalState::Failed;
            proposals::record_failed(session, &proposal);
            signing_keys::release(&mut session.changes, &proposal)?;
            session.put(keys::proposal(proposal.id), &proposal);
        }
    }
    Ok(listed)
}

/// Takes a decided application off the list.
pub(super) fn close(session: &mut Session<'_>, id: ProposalId) -> Result<(), StateError> {
    let mut open = session.load(&keys::applications_open())?.unwrap_or_default();
    open.retain(|entry| entry.proposal != id);
    session.put(keys::applications_open(), &open);
    Ok(())
}

/// Registers the member with its administrator and its node.
pub(super) fn admit(session: &mut Session<'_>, application: &Application, claim: Claim) -> Judged {
    let name = &application.member;
    if session.load(&keys::member(name))?.is_some() {
        return Err(Refusal::MemberExists { member: name.clone() }.into());
    }
    let member = Member { name: name.clone(), standing: Standing::Active, admitted_height: session.height() };
    session.put(keys::member(name), &member);
    session.count(keys::members_active(), 1)?;
    let new = &application.administrator;
    let administrator = Account {
        name: AccountName { account: new.account.clone(), member: name.clone() },
        key: new.key,
        encryption_key: new.encryption_key,
        roles: new.roles.clone(),
        standing: Standing::Active,
    };
    let signer = Signer::Account(administrator.name.clone());
    signing_keys::register(&mut session.changes, new.key, &signer, claim)?;
    accounts::store_record(&mut session.changes, None, &administrator)?;
    let node = NodeName { node: application.node.node.clone(), member: name.clone() };
    nodes::register(session, node.clone(), &application.node, claim)?;
    let event = Event { operation: Operation::AdmitMember, reason: None, node: Some(node), ..session.event() };
    session.record(event);
    Ok(())
}
