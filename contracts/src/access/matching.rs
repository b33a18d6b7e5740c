//! When a rule matches, and what a grant covers.
//!
//! An empty list of a rule says nothing about its dimension. Columns are a dimension of `compute` and `download`,
//! statistics of `compute`; asking with an empty list there means all of them. Where a dimension does not apply to the
//! action, a rule that lists values of it is about other actions: a deny does not match, a permit only if it names the
//! action, so that "permit mean of Age" never gives the file away.

use galen_types::Timestamp;
use galen_types::access::{AccessTerms, Effect, Grant, Rule};
use galen_types::member::Account;
use galen_types::vocabulary::{Action, DataUse};

/// Values of a dimension that are asked for.
enum Asked<'terms, T> {
    /// The action has no such dimension.
    Inapplicable,
    /// Every value.
    All,
    /// These.
    Only(&'terms [T]),
}

impl<'terms, T> Asked<'terms, T> {
    fn new(applies: bool, values: &'terms [T]) -> Self {
        match (applies, values.is_empty()) {
            (false, _) => Self::Inapplicable,
            (true, true) => Self::All,
            (true, false) => Self::Only(values),
        }
    }
}

fn asked_columns(terms: &AccessTerms) -> Asked<'_, galen_types::ColumnName> {
    Asked::new(matches!(terms.action, Action::Compute | Action::Download), &terms.columns)
}

fn asked_statistics(terms: &AccessTerms) -> Asked<'_, galen_types::vocabulary::Statistic> {
    Asked::new(terms.action == Action::Compute, &terms.statistics)
}

/// Whether a stored rule matches. Its lists are sorted: [`super::contracts::set`] sees to it.
pub(super) fn matches(rule: &Rule, account: &Account, terms: &AccessTerms, now: Timestamp) -> bool {
    matches_who(rule, account)
        && (rule.roles.is_empty() || rule.roles.iter().any(|role| account.has_role(*role)))
        && (rule.actions.is_empty() || rule.actions.contains(&terms.action))
        && (rule.purposes.is_empty() || rule.purposes.contains(&terms.purpose))
        && rule.not_before.is_none_or(|first| now >= first)
        && rule.not_after.is_none_or(|end| now < end)
        && matches_data_use(rule, terms)
        && matches_values(rule, terms.action, &rule.columns, &asked_columns(terms))
        && matches_values(rule, terms.action, &rule.statistics, &asked_statistics(terms))
}

fn matches_who(rule: &Rule, account: &Account) -> bool {
    (rule.members.is_empty() && rule.accounts.is_empty())
        || rule.members.contains(&account.name.member)
        || rule.accounts.contains(&account.name)
}

fn matches_data_use(rule: &Rule, terms: &AccessTerms) -> bool {
    let affirmed = |term| terms.data_use.contains(term);
    match rule.effect {
        _ if rule.data_use.is_empty() => true,
        Effect::Permit => rule.data_use.iter().all(affirmed),
        Effect::Deny => rule.data_use.iter().any(affirmed),
    }
}

fn matches_values<T: Ord>(rule: &Rule, action: Action, listed: &[T], asked: &Asked<'_, T>) -> bool {
    let is_listed = |value| listed.binary_search(value).is_ok();
    match (rule.effect, asked) {
        _ if listed.is_empty() => true,
        (Effect::Permit, Asked::Inapplicable) => rule.actions.contains(&action),
        (Effect::Permit, Asked::All) => false,
        (Effect::Permit, Asked::Only(values)) => values.iter().all(is_listed),
        (Effect::Deny, Asked::Inapplicable) => false,
        (Effect::Deny, Asked::All) => true,
        (Effect::Deny, Asked::Only(values)) => values.iter().any(is_listed),
    }
}

/// Whether a grant covers what is asked. Who may use data may also see that it exists.
pub(super) fn covers(grant: &Grant, terms: &AccessTerms) -> bool {
    terms.action == Action::Discover
        || (grant.terms.action == terms.action
            && grant.terms.purpose == terms.purpose
            && (terms.action == Action::Download || affirms(terms, &grant.terms.data_use))
            && covers_values(&grant.terms.columns, &asked_columns(terms))
            && covers_values(&grant.terms.statistics, &asked_statistics(terms)))
}

/// Whether every data-use condition that the grant was given under is affirmed again. A download affirms none of its
/// own: it stands under those of its request.
fn affirms(terms: &AccessTerms, granted: &[DataUse]) -> bool {
    granted.iter().all(|condition| terms.data_use.contains(condition))
}

fn covers_values<T: Ord>(granted: &[T], asked: &Asked<'_, T>) -> bool {
    match asked {
        _ if granted.is_empty() => true,
        Asked::Inapplicable => true,
        Asked::All => false,
        Asked::Only(values) => values.iter().all(|value| granted.binary_search(value).is_ok()),
    }
}
