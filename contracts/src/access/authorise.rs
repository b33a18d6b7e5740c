//! Who may do what with a dataset, and what decided it. In this order:
//!
//! 1. The dataset's own member's owners and administrators act on their own data.
//! 2. A rule that denies, of the dataset's contract, then of its member's: deny wins over everything below.
//! 3. A grant in force that covers what is asked.
//! 4. A rule that permits, of the dataset's contract, then of its member's, with uses left.
//! 5. Nothing permits: denied.

use galen_types::access::{AccessTerms, Basis, Contract, Decision, Effect, Grant, Rule, Scope};
use galen_types::member::{Account, Role, Standing};
use galen_types::{AccountName, DatasetName, GrantId, Timestamp};

use super::grants::grant_in_force;
use super::matching::{covers, matches};
use crate::keys;
use crate::refusal::{Failure, Refusal};
use crate::session::Session;
use crate::state::{Lookup, StateError, StateRead};

/// A decision about an access, and its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorisation {
    /// Permit or deny, and what decided it.
    pub decision: Decision,
    /// Smallest cohort (rows at the site) that may be answered: the chain's, the rule's or the grant's, whichever is
    /// greatest.
    pub cohort_min: u32,
    /// Whose uses a use would count against.
    pub charge: Option<Charge>,
}

impl Authorisation {
    /// Whether the access is permitted.
    pub fn is_permitted(&self) -> bool {
        self.decision.effect == Effect::Permit
    }
}

/// Whose uses a use counts against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// A grant's.
    Grant(GrantId),
    /// The account's uses of a rule that limits them.
    Rule {
        /// The contract.
        scope: Scope,
        /// Its version.
        contract_version: u32,
        /// The rule's place, from 0.
        index: u32,
    },
}

/// Decides about an access without using it up: for queries, such as which datasets an account may discover.
///
/// # Errors
/// [`Failure::Refused`] where there is nothing to decide about: an account, member or dataset that is unknown or takes
/// no part, or no version that can be used; [`Failure::State`] when the state cannot be used.
pub fn authorise(
    state: &dyn StateRead,
    now: Timestamp,
    account: &AccountName,
    dataset: &DatasetName,
    terms: &AccessTerms,
) -> Result<Authorisation, Failure> {
    let account = active_account(state, account)?;
    let dataset = crate::datasets::usable(state, dataset)?;
    if crate::datasets::newest_active(state, &dataset)?.is_none() {
        return Err(Refusal::NoActiveVersion { dataset: dataset.name }.into());
    }
    active_member(state, &dataset.name.member)?;
    let rows_min = state.load_present(&keys::parameters())?.disclosure.rows_min;
    Ok(decide(state, now, &account, &dataset.name, terms, rows_min)?)
}

/// An account that takes part, of a member that takes part.
pub(crate) fn active_account<L: Lookup + ?Sized>(state: &L, name: &AccountName) -> Result<Account, Failure> {
    active_member(state, &name.member)?;
    match state.load(&keys::account(name))? {
        None => Err(Refusal::AccountUnknown { account: name.clone() }.into()),
        Some(account) if account.standing != Standing::Active => {
            Err(Refusal::AccountNotActive { account: account.name }.into())
        }
        Some(account) => Ok(account),
    }
}

/// That a member takes part.
pub(crate) fn active_member<L: Lookup + ?Sized>(state: &L, name: &galen_types::MemberName) -> Result<(), Failure> {
    match state.load(&keys::member(name))? {
        None => Err(Refusal::MemberUnknown { member: name.clone() }.into()),
        Some(member) => match member.standing {
            Standing::Active => Ok(()),
            Standing::Suspended => Err(Refusal::MemberNotActive { member: member.name }.into()),
            Standing::Left => Err(Refusal::MemberLeft { member: member.name }.into()),
        },
    }
}

/// The decision alone; the caller has seen to it that account, members and dataset take part.
pub(crate) fn decide<L: Lookup + ?Sized>(
    state: &L,
    now: Timestamp,
    account: &Account,
    dataset: &DatasetName,
    terms: &AccessTerms,
    rows_min: u32,
) -> Result<Authorisation, StateError> {
    let permit = |basis, cohort_min: Option<u32>, charge| Authorisation {
        decision: Decision { effect: Effect::Permit, basis },
        cohort_min: cohort_min.unwrap_or(0).max(rows_min),
        charge,
    };
    let deny = |basis| Authorisation {
        decision: Decision { effect: Effect::Deny, basis },
        cohort_min: rows_min,
        charge: None,
    };
    let own = account.name.member == dataset.member && (account.has_role(Role::Owner) || account.has_role(Role::Admin));
    if own {
        return Ok(permit(Basis::OwnData, None, None));
    }
    let contracts = contracts_of(state, dataset)?;
    let mut matching = Vec::new();
    for contract in &contracts {
        for (index, rule) in (0u32..).zip(&contract.rules) {
            match rule.effect {
                _ if !matches(rule, account, terms, now) => {}
                Effect::Deny => return Ok(deny(basis(contract, index, rule))),
                Effect::Permit => matching.push((contract, index, rule)),
            }
        }
    }
    if let Some(grant) = best_grant(state, now, &account.name, dataset, terms)? {
        let charge = Some(Charge::Grant(grant.id));
        return Ok(permit(Basis::Grant { grant: grant.id }, grant.limits.cohort_min, charge));
    }
    for (contract, index, rule) in matching {
        let charge = match rule.uses_max {
            None => None,
            Some(uses_max) => {
                let key = keys::rule_uses(&contract.scope, contract.version, index, &account.name);
                if state.load(&key)?.unwrap_or(0) >= uses_max {
                    continue;
                }
                Some(Charge::Rule { scope: contract.scope.clone(), contract_version: contract.version, index })
            }
        };
        return Ok(permit(basis(contract, index, rule), rule.cohort_min, charge));
    }
    Ok(deny(Basis::NothingPermits))
}

/// The contracts that speak about a dataset: its own, then its member's.
fn contracts_of<L: Lookup + ?Sized>(state: &L, dataset: &DatasetName) -> Result<Vec<Contract>, StateError> {
    let scopes = [Scope::Dataset(dataset.clone()), Scope::Member(dataset.member.clone())];
    let mut contracts = Vec::new();
    for scope in scopes {
        contracts.extend(state.load(&keys::contract(&scope))?);
    }
    Ok(contracts)
}

fn basis(contract: &Contract, index: u32, rule: &Rule) -> Basis {
    Basis::Rule { scope: contract.scope.clone(), contract_version: contract.version, index, rule: rule.name.clone() }
}

/// Of the grants that cover what is asked: one without a limit of uses before one with, the smaller cohort before the
/// greater, the earlier before the later.
fn best_grant<L: Lookup + ?Sized>(
    state: &L,
    now: Timestamp,
    grantee: &AccountName,
    dataset: &DatasetName,
    terms: &AccessTerms,
) -> Result<Option<Grant>, StateError> {
    let mut fitting = Vec::new();
    for id in state.load(&keys::grants_active(grantee, dataset))?.unwrap_or_default() {
        let grant = state.load_present(&keys::grant(id))?;
        if grant_in_force(&grant, now) && covers(&grant, terms) {
            fitting.push(grant);
        }
    }
    let rank = |grant: &Grant| (grant.limits.uses_max.is_some(), grant.limits.cohort_min, grant.asserted, grant.id);
    Ok(fitting.into_iter().min_by_key(rank))
}

/// Counts a use of what permitted an access.
pub(crate) fn charge(
    session: &mut Session<'_>,
    account: &AccountName,
    charge: Option<&Charge>,
) -> Result<(), StateError> {
    match charge {
        None => Ok(()),
        Some(Charge::Grant(id)) => super::grants::count_use(session, *id),
        Some(Charge::Rule { scope, contract_version, index }) => {
            session.count(keys::rule_uses(scope, *contract_version, *index, account), 1).map(|_| ())
        }
    }
}

/// The refusal that a decision to deny makes of a call.
pub(crate) fn denial(dataset: &DatasetName, terms: &AccessTerms, decision: &Decision) -> Refusal {
    let (dataset, action) = (dataset.clone(), terms.action);
    match &decision.basis {
        basis @ Basis::Rule { .. } => Refusal::DeniedByRule { dataset, action, basis: Box::new(basis.clone()) },
        Basis::NothingPermits | Basis::OwnData | Basis::Grant { .. } => Refusal::NothingPermits { dataset, action },
    }
}
