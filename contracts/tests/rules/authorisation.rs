//! Who may do what with a dataset, and what decided it.

use galen_contracts::{Authorisation, Charge, authorise, query};
use galen_types::access::{AccessTerms, Basis, Effect, GrantLimits, RequestState, Rule, Scope};
use galen_types::job::{SiteAnswer, SiteGiven};
use galen_types::member::Role;
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode, Statistic};
use galen_types::{Call, GrantId, Hash, JobId};
use proptest::prelude::*;

use crate::support::{Consortium, approve, name, rule, specification, terms};

const RESEARCHER: &str = "researcher@hennepin";

fn ask(chain: &Consortium, account: &str, terms: &AccessTerms) -> Authorisation {
    authorise(&chain.state, chain.now(), &name(account), &name("harlem/opt"), terms).unwrap()
}

/// A consortium where the contract of `harlem/opt` is these rules.
fn with_rules(rules: Vec<Rule>) -> Consortium {
    let mut chain = Consortium::new();
    chain.publish("harlem/opt");
    chain.set_contract("harlem/opt", 1, rules);
    chain
}

fn compute(columns: &[&str], statistics: &[Statistic]) -> AccessTerms {
    AccessTerms {
        columns: columns.iter().map(|column| name(column)).collect(),
        statistics: statistics.to_vec(),
        ..terms(Action::Compute)
    }
}

fn irb() -> DataUse {
    DataUse { term: DataUseTerm::EthicsApprovalRequired, parameter: None }
}

/// A rule that says something about one dimension; which terms it matches as a permit and as a deny.
#[test]
fn rules_match_by_dimension() {
    type Change = fn(&mut Rule);
    let mean = [Statistic::Mean];
    let both = [Statistic::Mean, Statistic::Variance];
    let affirmed = AccessTerms { data_use: vec![irb()], ..compute(&["Age"], &mean) };
    let plain = compute(&["Age"], &mean);
    let wide = compute(&["Age", "Group"], &both);
    let (everything, file, discovery) = (terms(Action::Compute), terms(Action::Download), terms(Action::Discover));
    let cases: Vec<(&str, Change, &AccessTerms, bool, bool)> = vec![
        ("no dimension", |_| {}, &plain, true, true),
        ("member", |rule| rule.members = vec![name("hennepin")], &plain, true, true),
        ("other member", |rule| rule.members = vec![name("kentucky")], &plain, false, false),
        ("account", |rule| rule.accounts = vec![name(RESEARCHER)], &plain, true, true),
        (
            "member or account",
            |rule| {
                rule.members = vec![name("kentucky")];
                rule.accounts = vec![name(RESEARCHER)];
            },
            &plain,
            true,
            true,
        ),
        ("role", |rule| rule.roles = vec![Role::Researcher, Role::Owner], &plain, true, true),
        ("other role", |rule| rule.roles = vec![Role::Owner], &plain, false, false),
        ("action", |rule| rule.actions = vec![Action::Compute], &plain, true, true),
        ("other action", |rule| rule.actions = vec![Action::Download], &plain, false, false),
        ("purpose", |rule| rule.purposes = vec![Purpose::HealthcareResearch], &plain, true, true),
        ("other purpose", |rule| rule.purposes = vec![Purpose::Treatment], &plain, false, false),
        ("term not affirmed", |rule| rule.data_use = vec![irb()], &plain, false, false),
        ("term affirmed", |rule| rule.data_use = vec![irb()], &affirmed, true, true),
        (
            "two terms, one affirmed",
            |rule| {
                rule.data_use = vec![irb(), DataUse { term: DataUseTerm::NonCommercialUse, parameter: None }];
            },
            &affirmed,
            false,
            true,
        ),
        ("its column", |rule| rule.columns = vec![name("Age")], &plain, true, true),
        ("other column", |rule| rule.columns = vec![name("Group")], &plain, false, false),
        ("one of two columns", |rule| rule.columns = vec![name("Age")], &wide, false, true),
        ("all columns asked", |rule| rule.columns = vec![name("Age")], &everything, false, true),
        ("whole file asked", |rule| rule.columns = vec![name("Age")], &file, false, true),
        ("columns, of a discovery", |rule| rule.columns = vec![name("Age")], &discovery, false, false),
        (
            "columns, discovery named",
            |rule| {
                rule.columns = vec![name("Age")];
                rule.actions = vec![Action::Discover, Action::Compute];
            },
            &discovery,
            true,
            false,
        ),
        ("its statistic", |rule| rule.statistics = vec![Statistic::Mean], &plain, true, true),
        ("one of two statistics", |rule| rule.statistics = vec![Statistic::Mean], &wide, false, true),
        ("statistics, of a download", |rule| rule.statistics = vec![Statistic::Mean], &file, false, false),
        ("begun", |rule| rule.not_before = Some(galen_types::Timestamp(1)), &plain, true, true),
        ("not begun", |rule| rule.not_before = Some(galen_types::Timestamp(u64::MAX)), &plain, false, false),
        ("over", |rule| rule.not_after = Some(galen_types::Timestamp(1)), &plain, false, false),
    ];
    for (case, change, asked, permits, denies) in cases {
        let mut permit = rule("tested", Effect::Permit);
        change(&mut permit);
        let permitted = ask(&with_rules(vec![permit.clone()]), RESEARCHER, asked).is_permitted();
        assert_eq!(permitted, permits, "permit: {case}");
        let deny = Rule { effect: Effect::Deny, ..permit };
        let decision = ask(&with_rules(vec![rule("all", Effect::Permit), deny]), RESEARCHER, asked).decision;
        assert_eq!(decision.effect == Effect::Deny, denies, "deny: {case}");
    }
}

#[test]
fn a_decision_names_the_contract_its_version_and_the_rule() {
    let mut chain = with_rules(vec![rule("first", Effect::Permit), rule("second", Effect::Permit)]);
    let basis = |chain: &Consortium| ask(chain, RESEARCHER, &terms(Action::Download)).decision.basis;
    let scope = Scope::Dataset(name("harlem/opt"));
    assert_eq!(basis(&chain), Basis::Rule { scope, contract_version: 2, index: 0, rule: name("first") });
    // A rule over all of the member's datasets denies.
    let member = Scope::Member(name("harlem"));
    let deny = vec![rule("closed", Effect::Deny)];
    chain.done("owner@harlem", Call::SetContract { scope: member.clone(), previous: 0, rules: deny });
    assert_eq!(basis(&chain), Basis::Rule { scope: member, contract_version: 1, index: 0, rule: name("closed") });
    let purpose = Purpose::HealthcareResearch;
    let refusal =
        chain.refused("denied-by-rule", RESEARCHER, Call::Download { version: name("harlem/opt@1"), purpose });
    assert!(refusal.contains("rule `closed` of contract harlem/* v1"), "{refusal}");
    // Its own owners and administrators act on their own data; its researchers are like others.
    for (account, own) in [("owner@harlem", true), ("admin@harlem", true), ("researcher@harlem", false)] {
        assert_eq!(ask(&chain, account, &terms(Action::Download)).decision.basis == Basis::OwnData, own);
    }
}

#[test]
fn a_grant_covers_what_was_asked_for() {
    let mut chain = with_rules(Vec::new());
    let granted = compute(&["Age", "Group"], &[Statistic::Mean, Statistic::Count]);
    let limits = GrantLimits { cohort_min: Some(30), ..GrantLimits::default() };
    let grant = GrantId(chain.grant(RESEARCHER, "harlem/opt", granted, limits));
    let treatment = AccessTerms { purpose: Purpose::Treatment, ..compute(&["Age"], &[Statistic::Mean]) };
    let cases = [
        (compute(&["Age"], &[Statistic::Mean]), true),
        (compute(&["Age", "Group"], &[Statistic::Count, Statistic::Mean]), true),
        (compute(&["Birthweight"], &[Statistic::Mean]), false),
        (compute(&["Age"], &[Statistic::Variance]), false),
        (compute(&[], &[Statistic::Mean]), false),
        (compute(&["Age"], &[]), false),
        (treatment, false),
        (terms(Action::Download), false),
        (terms(Action::Discover), true),
    ];
    for (asked, covered) in cases {
        let authorisation = ask(&chain, RESEARCHER, &asked);
        assert_eq!(authorisation.is_permitted(), covered, "{asked:?}");
        if covered {
            assert_eq!((authorisation.cohort_min, authorisation.charge), (30, Some(Charge::Grant(grant))));
        }
        assert!(!ask(&chain, "researcher@kentucky", &asked).is_permitted(), "a grant is its grantee's");
    }
}

#[test]
fn grants_expire_and_are_revoked() {
    let mut chain = with_rules(Vec::new());
    let expires = Some(chain.now().plus_ms(10_000));
    let limits = GrantLimits { expires, ..GrantLimits::default() };
    let grant = GrantId(chain.grant(RESEARCHER, "harlem/opt", terms(Action::Download), limits));
    let permitted = |chain: &Consortium| ask(chain, RESEARCHER, &terms(Action::Download)).is_permitted();
    assert!(permitted(&chain));
    chain.wait_ms(10_000);
    assert!(!permitted(&chain));
    let request = query::get_grant(&chain.state, grant).unwrap().unwrap().request;
    let request = query::get_request(&chain.state, request).unwrap().unwrap();
    let state = galen_contracts::access::request_state_at(&chain.state, &request, chain.now()).unwrap();
    assert_eq!(state, RequestState::Expired);
    // The next approval for the same account writes it down.
    let second = GrantId(chain.grant(RESEARCHER, "harlem/opt", terms(Action::Download), GrantLimits::default()));
    assert_eq!(query::get_request(&chain.state, request.id).unwrap().unwrap().state, RequestState::Expired);
    assert!(permitted(&chain));
    let revoke = |grant| Call::RevokeGrant { grant, reason: ReasonCode::TermsBroken };
    chain.refused("request-state", "owner@harlem", revoke(grant));
    chain.done("owner@harlem", revoke(second));
    assert!(!permitted(&chain));
    let listed = query::list_grants_of(&chain.state, &name(RESEARCHER), None, 10).unwrap();
    assert_eq!(listed.iter().map(|grant| grant.revoked.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn uses_of_a_rule_are_counted_per_account_and_contract_version() {
    let mut limited = rule("twice", Effect::Permit);
    limited.uses_max = Some(2);
    let mut chain = with_rules(vec![limited.clone()]);
    let download = || Call::Download { version: name("harlem/opt@1"), purpose: Purpose::HealthcareResearch };
    chain.done(RESEARCHER, download());
    chain.done(RESEARCHER, download());
    chain.refused("nothing-permits", RESEARCHER, download());
    chain.done("researcher@kentucky", download());
    limited.cohort_min = Some(50);
    chain.set_contract("harlem/opt", 2, vec![limited]);
    chain.done(RESEARCHER, download());
}

#[test]
fn a_job_over_two_datasets_of_a_member_uses_a_rule_of_both_twice() {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    chain.publish("harlem/second");
    chain.grant_compute_everywhere(RESEARCHER);
    let mut once = rule("once", Effect::Permit);
    once.uses_max = Some(1);
    once.accounts = vec![name("researcher@kentucky")];
    for member in crate::support::MEMBERS {
        let scope = Scope::Member(name(member));
        chain.done(&format!("owner@{member}"), Call::SetContract { scope, previous: 0, rules: vec![once.clone()] });
    }
    let mut job = specification();
    job.datasets.insert(1, name("harlem/second"));
    let explanation = chain.refused("nothing-permits", "researcher@kentucky", Call::SubmitJob(job));
    assert!(explanation.contains("harlem/second"), "{explanation}");
    // The refused job used nothing up.
    chain.done("researcher@kentucky", Call::SubmitJob(specification()));
    chain.refused("nothing-permits", "researcher@kentucky", Call::SubmitJob(specification()));
}

#[test]
fn what_is_taken_back_while_a_job_runs_holds_for_it() {
    let revoke = |grants: &[Hash]| {
        ("owner@harlem", Call::RevokeGrant { grant: GrantId(grants[0]), reason: ReasonCode::ConsentWithdrawn })
    };
    let withdraw = |version| {
        let reason = ReasonCode::ConsentWithdrawn;
        ("owner@harlem", Call::WithdrawDataset { dataset: name("harlem/opt"), version, reason })
    };
    let deny = || ("owner@harlem", crate::support::set_contract("harlem/opt", 1, vec![rule("no", Effect::Deny)]));
    let suspend = || {
        let reason = ReasonCode::KeyCompromised;
        ("admin@hennepin", Call::SuspendAccount { account: name(RESEARCHER), reason })
    };
    for case in 0..5 {
        let mut chain = Consortium::new();
        chain.publish_everywhere();
        let grants = chain.grant_compute_everywhere(RESEARCHER);
        let job = JobId(chain.done(RESEARCHER, Call::SubmitJob(specification())));
        let (signer, call) = [revoke(&grants), withdraw(None), withdraw(Some(1)), deny(), suspend()][case].clone();
        chain.done(signer, call);
        let given = SiteGiven::Summary { digest: Hash::ZERO };
        let answer = SiteAnswer { dataset: name("harlem/opt"), given };
        chain.refused("job-permission-lost", "node-1.harlem", Call::AnswerJob { job, answer });
        // A refusal can still be recorded.
        let given = SiteGiven::Refused { rule: name("permission-lost") };
        let answer = SiteAnswer { dataset: name("harlem/opt"), given };
        chain.done("node-1.harlem", Call::AnswerJob { job, answer });
    }
}

#[test]
fn a_job_outlives_the_last_use_and_the_expiry_of_its_permission() {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    let limits = GrantLimits { uses_max: Some(1), expires: Some(chain.now().plus_ms(600_000)), cohort_min: None };
    for member in crate::support::MEMBERS {
        let request = chain.request(RESEARCHER, &format!("{member}/opt"), terms(Action::Compute));
        chain.done(&format!("owner@{member}"), approve(request, limits.clone()));
    }
    let job = JobId(chain.done(RESEARCHER, Call::SubmitJob(specification())));
    chain.wait_ms(600_000);
    let given = SiteGiven::Summary { digest: Hash::ZERO };
    chain.done("node-1.harlem", Call::AnswerJob { job, answer: SiteAnswer { dataset: name("harlem/opt"), given } });
}

fn any_rule(index: usize) -> impl Strategy<Value = Rule> {
    let subset = |all: Vec<&'static str>| prop::sample::subsequence(all.clone(), 0..=all.len());
    (
        any::<bool>(),
        subset(vec!["hennepin", "kentucky"]),
        subset(vec![RESEARCHER, "owner@kentucky"]),
        prop::sample::subsequence(Role::ALL.to_vec(), 0..=2),
        prop::sample::subsequence(Action::ALL.to_vec(), 0..=3),
        prop::sample::subsequence(vec![Purpose::HealthcareResearch, Purpose::Treatment], 0..=2),
        subset(vec!["Age", "Birthweight", "Group"]),
        prop::sample::subsequence(Statistic::ALL.to_vec(), 0..=3),
    )
        .prop_map(move |(permit, members, accounts, roles, actions, purposes, columns, statistics)| Rule {
            members: members.into_iter().map(name).collect(),
            accounts: accounts.into_iter().map(name).collect(),
            roles,
            actions,
            purposes,
            columns: columns.into_iter().map(name).collect(),
            statistics,
            ..rule(&format!("rule-{index}"), if permit { Effect::Permit } else { Effect::Deny })
        })
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    (any_rule(0), any_rule(1), any_rule(2), any_rule(3), 0usize..=4).prop_map(|(a, b, c, d, count)| {
        let mut rules = vec![a, b, c, d];
        rules.truncate(count);
        rules
    })
}

fn any_terms() -> impl Strategy<Value = AccessTerms> {
    (
        prop::sample::select(Action::ALL.to_vec()),
        prop::sample::select(vec![Purpose::HealthcareResearch, Purpose::Treatment]),
        prop::sample::subsequence(vec!["Age", "Birthweight", "Group"], 0..=3),
        prop::sample::subsequence(Statistic::ALL.to_vec(), 0..=3),
    )
        .prop_map(|(action, purpose, columns, statistics)| {
            let compute = action == Action::Compute;
            AccessTerms {
                action,
                purpose,
                columns: if compute { columns.into_iter().map(name).collect() } else { Vec::new() },
                statistics: if compute { statistics } else { Vec::new() },
                data_use: Vec::new(),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever permits there are, in whichever contract, and whatever grants: a rule that denies wins.
    #[test]
    fn deny_wins_over_everything(
        own in any_rules(),
        wide in any_rules(),
        terms in any_terms(),
        on_member in any::<bool>(),
        place in 0usize..5,
        granted in any::<bool>(),
    ) {
        let mut chain = Consortium::new();
        chain.publish("harlem/opt");
        if granted {
            chain.grant(RESEARCHER, "harlem/opt", terms.clone(), GrantLimits::default());
        }
        let member = Scope::Member(name("harlem"));
        chain.set_contract("harlem/opt", 1, own.clone());
        chain.done("owner@harlem", Call::SetContract { scope: member.clone(), previous: 0, rules: wide.clone() });
        let before = ask(&chain, RESEARCHER, &terms);

        // Without any rule that denies, a grant permits.
        let denies = |rules: &[Rule]| rules.iter().any(|rule| rule.effect == Effect::Deny);
        if granted && !denies(&own) && !denies(&wide) {
            prop_assert!(before.is_permitted());
        }
        // With one that matches, nothing does, and the decision names a rule that denies.
        let deny = Rule { actions: vec![terms.action], ..rule("closed", Effect::Deny) };
        let (mut rules, scope, previous) =
            if on_member { (wide, member, 1) } else { (own, Scope::Dataset(name("harlem/opt")), 2) };
        rules.insert(place.min(rules.len()), deny);
        chain.done("owner@harlem", Call::SetContract { scope, previous, rules });
        let after = ask(&chain, RESEARCHER, &terms);
        prop_assert_eq!(after.decision.effect, Effect::Deny);
        let named = matches!(after.decision.basis, Basis::Rule { .. });
        prop_assert!(named);
    }

    /// The engine's decision, recomputed from the rule's documentation.
    #[test]
    fn decisions_agree_with_the_documentation(own in any_rules(), wide in any_rules(), terms in any_terms()) {
        let mut chain = Consortium::new();
        chain.publish("harlem/opt");
        chain.set_contract("harlem/opt", 1, own.clone());
        let scope = Scope::Member(name("harlem"));
        chain.done("owner@harlem", Call::SetContract { scope, previous: 0, rules: wide.clone() });
        let matching = |effect| own.iter().chain(&wide).find(|rule| rule.effect == effect && oracle(rule, &terms));
        let expected = match (matching(Effect::Deny), matching(Effect::Permit)) {
            (Some(deny), _) => (Effect::Deny, Some(deny.name.clone())),
            (None, Some(permit)) => (Effect::Permit, Some(permit.name.clone())),
            (None, None) => (Effect::Deny, None),
        };
        let decision = ask(&chain, RESEARCHER, &terms).decision;
        let named = match decision.basis {
            Basis::Rule { rule, .. } => Some(rule),
            _ => None,
        };
        prop_assert_eq!((decision.effect, named), expected);
    }
}

/// Whether a rule matches the researcher, written from the documentation of `Rule` with sets instead of searches.
fn oracle(rule: &Rule, terms: &AccessTerms) -> bool {
    use std::collections::BTreeSet;
    fn dimension<T: Ord + Clone>(rule: &Rule, terms: &AccessTerms, listed: &[T], asked: &[T], of: &[Action]) -> bool {
        let listed: BTreeSet<_> = listed.iter().cloned().collect();
        let asked: BTreeSet<_> = asked.iter().cloned().collect();
        if listed.is_empty() {
            return true;
        }
        let applies = of.contains(&terms.action);
        match rule.effect {
            Effect::Permit if !applies => rule.actions.contains(&terms.action),
            Effect::Permit => !asked.is_empty() && asked.is_subset(&listed),
            Effect::Deny => applies && (asked.is_empty() || !asked.is_disjoint(&listed)),
        }
    }
    let who = (rule.members.is_empty() && rule.accounts.is_empty())
        || rule.members.iter().any(|member| member.as_str() == "hennepin")
        || rule.accounts.iter().any(|account| account.to_string() == RESEARCHER);
    who && (rule.roles.is_empty() || rule.roles.contains(&Role::Researcher))
        && (rule.actions.is_empty() || rule.actions.contains(&terms.action))
        && (rule.purposes.is_empty() || rule.purposes.contains(&terms.purpose))
        && dimension(rule, terms, &rule.columns, &terms.columns, &[Action::Compute, Action::Download])
        && dimension(rule, terms, &rule.statistics, &terms.statistics, &[Action::Compute])
}
