//! Access contracts: ordered rules that an owner attaches to a dataset, or to all of its member's.
//!
//! | from | call | to |
//! |---|---|---|
//! | none | set, previous 0 | version 1 |
//! | version n | set, previous n | version n + 1; version n stays readable |
//!
//! A contract without rules permits nothing.

use std::collections::BTreeSet;

use galen_types::access::{Contract, Effect, Rule, Scope};
use galen_types::member::Role;

use crate::keys;
use crate::limits::{COLUMNS_MAX, LIST_MAX};
use crate::refusal::Refusal;
use crate::session::{Judged, Session};
use crate::state::Lookup;

pub(crate) fn set(session: &mut Session<'_>, scope: &Scope, previous: u32, rules: &[Rule]) -> Judged {
    let member = match scope {
        Scope::Dataset(dataset) => &dataset.member,
        Scope::Member(member) => member,
    };
    session.account_of_member(member, &[Role::Owner])?;
    if let Scope::Dataset(dataset) = scope {
        crate::datasets::usable(session, dataset)?;
    }
    let rules = check_rules(rules, session.parameters.contract_rules_max)?;
    let replaced = session.load(&keys::contract(scope))?;
    let current = replaced.as_ref().map_or(0, |contract| contract.version);
    if previous != current {
        return Err(Refusal::ContractOutdated { previous, current }.into());
    }
    if let Some(replaced) = replaced {
        if replaced.rules == rules {
            return Err(Refusal::ContractUnchanged.into());
        }
        session.put(keys::replaced_contract(scope, replaced.version), &replaced);
    }
    let Some(version) = current.checked_add(1) else {
        return Err(Refusal::ContractVersionsExhausted.into());
    };
    session.put(keys::contract(scope), &Contract { scope: scope.clone(), version, rules });
    session.record(session.event());
    Ok(())
}

/// The rules as they are stored: each checked, its lists sorted and each value once.
fn check_rules(rules: &[Rule], most: u32) -> Judged<Vec<Rule>> {
    if u32::try_from(rules.len()).map_or(true, |count| count > most) {
        return Err(Refusal::RulesTooMany { rules: rules.len(), most }.into());
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(rules.len());
    for rule in rules {
        if !names.insert(&rule.name) {
            return Err(Refusal::RuleNameRepeated { rule: rule.name.clone() }.into());
        }
        checked.push(check_rule(rule.clone())?);
    }
    Ok(checked)
}

fn check_rule(mut rule: Rule) -> Judged<Rule> {
    normalise(&mut rule.members);
    normalise(&mut rule.accounts);
    normalise(&mut rule.roles);
    normalise(&mut rule.actions);
    normalise(&mut rule.purposes);
    normalise(&mut rule.data_use);
    normalise(&mut rule.columns);
    normalise(&mut rule.statistics);
    let lists = [rule.members.len(), rule.accounts.len(), rule.data_use.len()];
    let name = || rule.name.clone();
    if rule.columns.len() > COLUMNS_MAX || lists.into_iter().any(|length| length > LIST_MAX) {
        return Err(Refusal::RuleListTooLong { rule: name() }.into());
    }
    if rule.not_before.zip(rule.not_after).is_some_and(|(first, end)| first >= end) {
        return Err(Refusal::RulePeriodEmpty { rule: name() }.into());
    }
    if rule.effect == Effect::Deny && (rule.cohort_min.is_some() || rule.uses_max.is_some()) {
        return Err(Refusal::RuleLimitOnDeny { rule: name() }.into());
    }
    if rule.cohort_min == Some(0) || rule.uses_max == Some(0) {
        return Err(Refusal::RuleLimitZero { rule: name() }.into());
    }
    Ok(rule)
}

fn normalise<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}
