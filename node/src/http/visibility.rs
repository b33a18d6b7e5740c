//! What an account may see. What it may not see does not exist for it: routes answer 404 and lists leave it out.
//!
//! | record | seen by |
//! |---|---|
//! | members, accounts, nodes, peers, proposals, parameters, blocks | every account |
//! | dataset, its versions and contracts | its member; who may discover it, for some purpose; who holds a grant on it |
//! | request | applicant; the dataset's member, once it is no draft; auditors |
//! | grant | grantee; the dataset's member; auditors |
//! | job | the submitter's member; members of its datasets; auditors |
//! | audit entry | the operator's member; the dataset's member; auditors and administrators |
//! | transaction body, receipt's events | the signer's member; who may see one of its events; who may see the record it is about |
//!
//! "Its member" stands for all accounts of a member: an institution's people see what concerns the institution.

use std::collections::BTreeSet;

use galen_contracts::access::grant_in_force;
use galen_contracts::query::{get_contract, get_dataset, get_grant, get_job, get_request};
use galen_contracts::{Failure, StateError, StateRead, authorise, keys};
use galen_types::access::{AccessTerms, Grant, Request, RequestState, Scope};
use galen_types::job::Job;
use galen_types::member::{Account, Role};
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{DatasetName, Encoding, Event, GrantId, JobId, MemberName, Receipt, RequestId, Signer, Timestamp};

/// An account that looks at the chain at a block's time.
#[derive(Clone, Copy)]
pub(crate) struct Viewer<'view> {
    pub(crate) state: &'view dyn StateRead,
    pub(crate) now: Timestamp,
    pub(crate) account: &'view Account,
}

/// Whether the whole audit trail is open to an account.
pub(crate) fn oversees(account: &Account) -> bool {
    account.has_role(Role::Auditor) || account.has_role(Role::Admin)
}

impl Viewer<'_> {
    fn is_of(&self, member: &MemberName) -> bool {
        &self.account.name.member == member
    }

    fn audits(&self) -> bool {
        self.account.has_role(Role::Auditor)
    }

    /// Whether a dataset exists for the account.
    pub(crate) fn sees_dataset(&self, dataset: &DatasetName) -> Result<bool, StateError> {
        if self.is_of(&dataset.member) {
            return Ok(get_dataset(self.state, dataset)?.is_some());
        }
        Ok(self.may_discover(dataset)? || self.holds_grant(dataset)?)
    }

    /// Whether discovery is permitted for some purpose. Nobody says a purpose when looking around, so each that a rule
    /// names is tried, and one that no rule names stands for all others.
    fn may_discover(&self, dataset: &DatasetName) -> Result<bool, StateError> {
        let mut named = BTreeSet::new();
        for scope in [Scope::Dataset(dataset.clone()), Scope::Member(dataset.member.clone())] {
            let Some(contract) = get_contract(self.state, &scope)? else { continue };
            named.extend(contract.rules.into_iter().flat_map(|rule| rule.purposes));
        }
        let unnamed = Purpose::ALL.iter().find(|purpose| !named.contains(*purpose));
        for purpose in unnamed.into_iter().chain(&named) {
            let terms = AccessTerms {
                action: Action::Discover,
                purpose: *purpose,
                columns: Vec::new(),
                statistics: Vec::new(),
                data_use: Vec::new(),
            };
            match authorise(self.state, self.now, &self.account.name, dataset, &terms) {
                Ok(authorisation) if authorisation.is_permitted() => return Ok(true),
                Ok(_) => {}
                // Unknown, withdrawn, or of a member that takes no part: no purpose changes that.
                Err(Failure::Refused(_)) => return Ok(false),
                Err(Failure::State(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    fn holds_grant(&self, dataset: &DatasetName) -> Result<bool, StateError> {
        let key = keys::grants_active(&self.account.name, dataset);
        let Some(bytes) = self.state.get(key.as_bytes())? else { return Ok(false) };
        let ids =
            Vec::<GrantId>::decode(&bytes, galen_contracts::limits::STATE_VALUE_BYTES_MAX).map_err(StateError::new)?;
        for id in ids {
            if get_grant(self.state, id)?.is_some_and(|grant| grant_in_force(&grant, self.now)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the member-wide contract exists for the account: it is its member's business and the auditors'. Who may see
    /// a dataset is told with it what governs it.
    pub(crate) fn sees_member_contract(&self, member: &MemberName) -> bool {
        self.is_of(member) || self.audits()
    }

    pub(crate) fn sees_request(&self, request: &Request) -> bool {
        request.applicant == self.account.name
            || self.audits()
            || (request.state != RequestState::Draft && self.is_of(&request.dataset.member))
    }

    pub(crate) fn sees_grant(&self, grant: &Grant) -> bool {
        grant.grantee == self.account.name || self.audits() || self.is_of(&grant.dataset.member)
    }

    pub(crate) fn sees_job(&self, job: &Job) -> bool {
        self.is_of(&job.submitter.member)
            || self.audits()
            || job.specification.datasets.iter().any(|dataset| self.is_of(&dataset.member))
    }

    /// Whether an entry of the audit trail exists for the account.
    pub(crate) fn sees_event(&self, event: &Event) -> bool {
        oversees(self.account)
            || self.is_of(event.operator.member())
            || event.dataset.as_ref().is_some_and(|dataset| self.is_of(&dataset.member))
    }

    /// Whether the account may see a transaction's body and its receipt's events.
    pub(crate) fn sees_transaction(&self, signer: &Signer, receipt: Option<&Receipt>) -> Result<bool, StateError> {
        if self.is_of(signer.member()) || oversees(self.account) {
            return Ok(true);
        }
        for event in receipt.map_or(&[][..], |receipt| &receipt.events) {
            if self.sees_event(event) || self.sees_subject(event)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the request, grant or job that an event is about is the account's to see.
    fn sees_subject(&self, event: &Event) -> Result<bool, StateError> {
        let Some(id) = event.subject else { return Ok(false) };
        Ok(get_request(self.state, RequestId(id))?.is_some_and(|request| self.sees_request(&request))
            || get_grant(self.state, GrantId(id))?.is_some_and(|grant| self.sees_grant(&grant))
            || get_job(self.state, JobId(id))?.is_some_and(|job| self.sees_job(&job)))
    }
}
