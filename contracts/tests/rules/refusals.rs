//! Every rule refuses something: one case a refusal. Those of members, nodes, voters and
//! recoveries are in `refusals_membership.rs`.

use std::collections::BTreeSet;

use galen_contracts::{Refusal, keys, limits};
use galen_types::access::{Effect, GrantLimits, Rule, Scope};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::job::{JobFailure, JobSpecification, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::member::Role;
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode, Statistic};
use galen_types::{
    Call, ColumnName, Encoding, GrantId, Hash, JobId, Outcome, Parameters, ProposalId, RequestId, Slug, Timestamp,
};

use crate::refusals_membership;
use crate::support::{
    Consortium, MEMBERS, approve, content, encryption_key, name, new_account, public_key, rule, set_contract, slug,
    specification, terms,
};

const REASON: ReasonCode = ReasonCode::Administrative;
const RESEARCHER: &str = "researcher@hennepin";

/// Prepares a consortium and gives the call that the rule refuses.
pub(crate) type Case = fn(&mut Consortium) -> (&'static str, Call);

fn publish_call(content: VersionContent) -> (&'static str, Call) {
    ("owner@harlem", Call::PublishDataset { dataset: slug("new"), content, discoverable: false })
}

fn altered(change: impl FnOnce(&mut VersionContent)) -> (&'static str, Call) {
    let mut content = content("altered");
    change(&mut content);
    publish_call(content)
}

fn update(previous: u32, seed: &str) -> (&'static str, Call) {
    ("owner@harlem", Call::UpdateDataset { dataset: name("harlem/opt"), previous, content: content(seed) })
}

fn withdraw(dataset: &str, version: Option<u32>) -> Call {
    Call::WithdrawDataset { dataset: name(dataset), version, reason: REASON }
}

fn with_rule(chain: &mut Consortium, change: impl FnOnce(&mut Rule)) -> (&'static str, Call) {
    chain.publish("harlem/opt");
    let mut rule = rule("tested", Effect::Permit);
    change(&mut rule);
    ("owner@harlem", set_contract("harlem/opt", 1, vec![rule]))
}

fn request(dataset: &str, terms: galen_types::access::AccessTerms) -> (&'static str, Call) {
    (RESEARCHER, Call::RequestAccess { dataset: name(dataset), terms, draft: false })
}

fn filed(chain: &mut Consortium) -> RequestId {
    chain.publish("harlem/opt");
    RequestId(chain.request(RESEARCHER, "harlem/opt", terms(Action::Download)))
}

fn download(version: &str) -> (&'static str, Call) {
    (RESEARCHER, Call::Download { version: name(version), purpose: Purpose::HealthcareResearch })
}

/// A job over four hospitals that permit it, altered.
fn submit(chain: &mut Consortium, change: impl FnOnce(&mut JobSpecification)) -> (&'static str, Call) {
    chain.publish_everywhere();
    chain.grant_compute_everywhere(RESEARCHER);
    let mut specification = specification();
    change(&mut specification);
    (RESEARCHER, Call::SubmitJob(specification))
}

fn running(chain: &mut Consortium) -> JobId {
    let (signer, call) = submit(chain, |_| {});
    JobId(chain.done(signer, call))
}

fn answer(job: JobId, dataset: &str) -> Call {
    let given = SiteGiven::Summary { digest: Hash::ZERO };
    Call::AnswerJob { job, answer: SiteAnswer { dataset: name(dataset), given } }
}

/// Every site gives its summary but `refusing`.
fn answered(chain: &mut Consortium, refusing: &[&str]) -> JobId {
    let job = running(chain);
    for member in MEMBERS {
        let call = if refusing.contains(&member) {
            let given = SiteGiven::Refused { rule: slug("rows-below-minimum") };
            Call::AnswerJob { job, answer: SiteAnswer { dataset: name(&format!("{member}/opt")), given } }
        } else {
            answer(job, &format!("{member}/opt"))
        };
        chain.done(&format!("node-1.{member}"), call);
    }
    job
}

fn outcomes(refused: &[&str]) -> Vec<SiteOutcome> {
    MEMBERS
        .map(|member| SiteOutcome {
            dataset: name(&format!("{member}/opt")),
            refused: refused.contains(&member).then(|| slug("rows-below-minimum")),
        })
        .to_vec()
}

fn finish(job: JobId, sites: Vec<SiteOutcome>) -> (&'static str, Call) {
    ("aggregator.harlem", Call::FinishJob { job, result: Hash::ZERO, sites, summaries_deleted: true })
}

pub(crate) fn set_parameters(change: impl FnOnce(&mut Parameters)) -> (&'static str, Call) {
    let mut parameters = Parameters::default();
    change(&mut parameters);
    let based_on = Parameters::default().hash();
    ("admin@harlem", Call::Propose(ProposedChange::SetParameters { parameters, based_on, effective_height: 0 }))
}

fn vote(proposal: ProposalId) -> Call {
    Call::Vote { proposal, ballot: Ballot::Approve, reason: None }
}

fn suspend_member(chain: &mut Consortium, member: &str, voters: &[&str]) {
    let change = ProposedChange::SuspendMember { member: name(member), reason: REASON };
    let proposal = ProposalId(chain.done(&format!("admin@{}", voters[0]), Call::Propose(change)));
    for voter in voters {
        chain.done(&format!("admin@{voter}"), vote(proposal));
    }
}

fn columns(count: usize) -> Vec<ColumnName> {
    (0..count).map(|index| name(&format!("column {index}"))).collect()
}

fn term(term: DataUseTerm) -> DataUse {
    DataUse { term, parameter: None }
}

const CASES: &[(&str, Case)] = &[
    ("account-required", |_| ("node-1.harlem", publish_call(content("new")).1)),
    ("node-required", |chain| {
        chain.publish("harlem/opt");
        ("owner@harlem", Call::ReportTampering { version: name("harlem/opt@1") })
    }),
    ("role-missing", |_| (RESEARCHER, publish_call(content("new")).1)),
    ("not-your-member", |chain| {
        chain.publish("harlem/opt");
        ("owner@hennepin", withdraw("harlem/opt", None))
    }),
    ("member-not-active", |chain| {
        chain.publish("harlem/opt");
        suspend_member(chain, "harlem", &["hennepin", "kentucky", "mississippi"]);
        download("harlem/opt@1")
    }),
    ("account-not-active", |chain| {
        let suspend = || Call::SuspendAccount { account: name("owner@harlem"), reason: REASON };
        chain.done("admin@harlem", suspend());
        ("admin@harlem", suspend())
    }),
    ("roles-malformed", |_| {
        ("admin@harlem", Call::AddAccount(new_account("new", "harlem", &[Role::Owner, Role::Admin])))
    }),
    ("account-exists", |_| ("admin@harlem", Call::AddAccount(new_account("owner", "harlem", &[Role::Owner])))),
    ("account-unknown", |_| ("admin@harlem", Call::RestoreAccount { account: name("nobody@harlem") })),
    ("account-not-suspended", |_| ("admin@harlem", Call::RestoreAccount { account: name("owner@harlem") })),
    ("last-administrator", |_| {
        ("admin@harlem", Call::SuspendAccount { account: name("admin@harlem"), reason: REASON })
    }),
    ("roles-unchanged", |_| {
        ("admin@harlem", Call::SetAccountRoles { account: name("owner@harlem"), roles: vec![Role::Owner] })
    }),
    ("key-in-use", |_| {
        let mut new = new_account("new", "harlem", &[Role::Owner]);
        new.key = public_key("node-1.kentucky");
        ("admin@harlem", Call::AddAccount(new))
    }),
    ("keys-unchanged", |_| {
        let seed = "owner@harlem";
        let (key, encryption_key) = (public_key(seed), encryption_key(seed));
        ("owner@harlem", Call::RotateAccountKey { account: name(seed), key, encryption_key })
    }),
    ("member-unknown", |_| ("admin@harlem", Call::Propose(ProposedChange::RestoreMember { member: name("nowhere") }))),
    ("member-not-suspended", |_| {
        ("admin@harlem", Call::Propose(ProposedChange::RestoreMember { member: name("kentucky") }))
    }),
    ("last-member", |chain| {
        suspend_member(chain, "harlem", &["hennepin", "kentucky", "mississippi"]);
        suspend_member(chain, "hennepin", &["kentucky", "mississippi"]);
        suspend_member(chain, "kentucky", &["kentucky", "mississippi"]);
        let change = ProposedChange::SuspendMember { member: name("mississippi"), reason: REASON };
        ("admin@mississippi", Call::Propose(change))
    }),
    ("parameter-out-of-bounds", |_| set_parameters(|parameters| parameters.disclosure.rows_min = 0)),
    ("parameters-unchanged", |_| set_parameters(|_| {})),
    ("proposals-open-too-many", |chain| {
        for most in 1..=16 {
            let (signer, call) = set_parameters(|parameters| parameters.contract_rules_max = most);
            chain.done(signer, call);
        }
        set_parameters(|parameters| parameters.contract_rules_max = 17)
    }),
    ("proposal-unknown", |_| ("admin@harlem", vote(ProposalId(Hash::ZERO)))),
    ("proposal-closed", |chain| {
        let (signer, call) = set_parameters(|parameters| parameters.contract_rules_max = 1);
        let proposal = ProposalId(chain.done(signer, call));
        chain.wait_ms(Parameters::default().proposal_lifetime_ms);
        ("admin@harlem", vote(proposal))
    }),
    ("already-voted", |chain| {
        let (signer, call) = set_parameters(|parameters| parameters.contract_rules_max = 1);
        let proposal = ProposalId(chain.done(signer, call));
        chain.done("admin@harlem", vote(proposal));
        ("admin@harlem", vote(proposal))
    }),
    ("dataset-exists", |chain| {
        chain.publish("harlem/new");
        publish_call(content("other"))
    }),
    ("dataset-unknown", |_| download("harlem/opt@1")),
    ("dataset-withdrawn", |chain| {
        chain.publish("harlem/opt");
        chain.done("owner@harlem", withdraw("harlem/opt", None));
        download("harlem/opt@1")
    }),
    ("version-unknown", |chain| {
        chain.publish("harlem/opt");
        download("harlem/opt@2")
    }),
    ("version-withdrawn", |chain| {
        chain.publish("harlem/opt");
        chain.done("owner@harlem", withdraw("harlem/opt", Some(1)));
        download("harlem/opt@1")
    }),
    ("no-active-version", |chain| {
        let call = submit(chain, |_| {});
        chain.done("owner@kentucky", withdraw("kentucky/opt", Some(1)));
        call
    }),
    ("version-outdated", |chain| {
        chain.publish("harlem/opt");
        update(0, "next")
    }),
    ("versions-exhausted", |chain| {
        chain.publish("harlem/opt");
        // Nobody publishes four billion versions: the state is set to say so.
        let dataset = name("harlem/opt");
        let key = keys::dataset(&dataset).into_bytes();
        let mut record = galen_contracts::query::get_dataset(&chain.state, &dataset).unwrap().unwrap();
        record.latest = u32::MAX;
        let version = chain.state.0[keys::version(&dataset, 1).as_bytes()].clone();
        chain.state.0.insert(key, record.encode());
        chain.state.0.insert(keys::version(&dataset, u32::MAX).into_bytes(), version);
        update(u32::MAX, "next")
    }),
    ("content-unchanged", |chain| {
        chain.publish("harlem/opt");
        // A fresh encryption of the same content is no new version.
        let mut content = content("opt");
        content.ciphertext = Hash([9; 32]);
        ("owner@harlem", Call::UpdateDataset { dataset: name("harlem/opt"), previous: 1, content })
    }),
    ("columns-too-many", |_| {
        altered(|content| {
            content.columns = columns(limits::COLUMNS_MAX + 1)
                .into_iter()
                .map(|name| Column { name, kind: ColumnKind::Number })
                .collect();
        })
    }),
    ("column-repeated", |_| altered(|content| content.columns.push(content.columns[1].clone()))),
    ("table-without-columns", |_| altered(|content| content.columns.clear())),
    ("opaque-with-table", |_| altered(|content| content.format = FileFormat::Opaque)),
    ("data-use-malformed", |_| {
        altered(|content| {
            content.data_use = vec![term(DataUseTerm::NonCommercialUse), term(DataUseTerm::NoRestriction)]
        })
    }),
    ("ciphertext-too-short", |_| altered(|content| content.ciphertext_bytes = 999)),
    ("contract-outdated", |chain| {
        chain.publish("harlem/opt");
        ("owner@harlem", set_contract("harlem/opt", 0, Vec::new()))
    }),
    ("contract-unchanged", |chain| {
        chain.publish("harlem/opt");
        let mut rule = rule("discover-all", Effect::Permit);
        rule.actions = vec![Action::Discover, Action::Discover];
        ("owner@harlem", set_contract("harlem/opt", 1, vec![rule]))
    }),
    ("contract-versions-exhausted", |chain| {
        chain.publish("harlem/opt");
        let scope = Scope::Dataset(name("harlem/opt"));
        let mut contract = galen_contracts::query::get_contract(&chain.state, &scope).unwrap().unwrap();
        contract.version = u32::MAX;
        chain.state.0.insert(keys::contract(&scope).into_bytes(), contract.encode());
        ("owner@harlem", set_contract("harlem/opt", u32::MAX, Vec::new()))
    }),
    ("rules-too-many", |chain| {
        chain.publish("harlem/opt");
        let rules = (0..257).map(|index| rule(&format!("rule-{index}"), Effect::Permit)).collect();
        ("owner@harlem", set_contract("harlem/opt", 1, rules))
    }),
    ("rule-name-repeated", |chain| {
        chain.publish("harlem/opt");
        let rules = vec![rule("same", Effect::Permit), rule("same", Effect::Deny)];
        ("owner@harlem", set_contract("harlem/opt", 1, rules))
    }),
    ("rule-period-empty", |chain| {
        with_rule(chain, |rule| {
            rule.not_before = Some(Timestamp(5));
            rule.not_after = Some(Timestamp(5));
        })
    }),
    ("rule-limit-on-deny", |chain| {
        with_rule(chain, |rule| {
            rule.effect = Effect::Deny;
            rule.cohort_min = Some(5);
        })
    }),
    ("rule-limit-zero", |chain| with_rule(chain, |rule| rule.uses_max = Some(0))),
    ("rule-list-too-long", |chain| {
        with_rule(chain, |rule| rule.members = (0..=limits::LIST_MAX).map(|index| name(&format!("m{index}"))).collect())
    }),
    ("terms-not-for-action", |chain| {
        chain.publish("harlem/opt");
        let mut terms = terms(Action::Download);
        terms.columns = vec![name("Age")];
        request("harlem/opt", terms)
    }),
    ("terms-too-long", |chain| {
        chain.publish("harlem/opt");
        let mut terms = terms(Action::Compute);
        terms.columns = columns(limits::COLUMNS_MAX + 1);
        request("harlem/opt", terms)
    }),
    ("column-unknown", |chain| {
        chain.publish("harlem/opt");
        let mut terms = terms(Action::Compute);
        terms.columns = vec![name("Größe")];
        request("harlem/opt", terms)
    }),
    ("requests-open-too-many", |chain| {
        *chain = Consortium::with(Parameters { requests_open_max: 1, ..Parameters::default() });
        filed(chain);
        request("harlem/opt", terms(Action::Download))
    }),
    ("request-unknown", |_| ("owner@harlem", approve(Hash::ZERO, GrantLimits::default()))),
    ("request-state", |chain| {
        let request = filed(chain);
        chain.done(RESEARCHER, Call::CloseRequest { request });
        ("owner@harlem", approve(request.0, GrantLimits::default()))
    }),
    ("not-applicant", |chain| {
        let request = filed(chain);
        ("researcher@kentucky", Call::CloseRequest { request })
    }),
    ("grant-expired-at-once", |chain| {
        let request = filed(chain);
        let limits = GrantLimits { expires: Some(chain.now()), ..GrantLimits::default() };
        ("owner@harlem", approve(request.0, limits))
    }),
    ("grant-limit-zero", |chain| {
        let request = filed(chain);
        let limits = GrantLimits { uses_max: Some(0), ..GrantLimits::default() };
        ("owner@harlem", approve(request.0, limits))
    }),
    ("grants-active-too-many", |chain| {
        let request = filed(chain);
        for _ in 0..limits::GRANTS_ACTIVE_MAX {
            chain.grant(RESEARCHER, "harlem/opt", terms(Action::Download), GrantLimits::default());
        }
        ("owner@harlem", approve(request.0, GrantLimits::default()))
    }),
    ("grant-unknown", |_| ("owner@harlem", Call::RevokeGrant { grant: GrantId(Hash::ZERO), reason: REASON })),
    ("nothing-permits", |chain| {
        chain.publish("harlem/opt");
        download("harlem/opt@1")
    }),
    ("denied-by-rule", |chain| {
        chain.publish("harlem/opt");
        chain.set_contract("harlem/opt", 1, vec![rule("closed", Effect::Deny)]);
        download("harlem/opt@1")
    }),
    ("job-datasets-malformed", |chain| submit(chain, |job| job.datasets.reverse())),
    ("job-statistics-malformed", |chain| submit(chain, |job| job.statistics.push(Statistic::Count))),
    ("job-columns-malformed", |chain| submit(chain, |job| job.columns.push(name("Age")))),
    ("job-filter-malformed", |chain| submit(chain, |job| job.filter_columns.push(name("Age")))),
    ("job-members-too-few", |chain| submit(chain, |job| job.datasets.truncate(2))),
    ("dataset-not-table", |chain| {
        let call = submit(chain, |_| {});
        let mut content = content("opaque");
        (content.format, content.rows, content.columns) = (FileFormat::Opaque, 0, Vec::new());
        let update = Call::UpdateDataset { dataset: name("harlem/opt"), previous: 1, content };
        chain.done("owner@harlem", update);
        call
    }),
    ("column-not-numeric", |chain| submit(chain, |job| job.columns.push(name("Group")))),
    ("job-unknown", |_| (RESEARCHER, Call::ReadResult { job: JobId(Hash::ZERO) })),
    ("job-not-running", |chain| {
        let job = answered(chain, &[]);
        let (signer, call) = finish(job, outcomes(&[]));
        chain.done(signer, call.clone());
        (signer, call)
    }),
    ("job-not-finished", |chain| {
        let job = running(chain);
        (RESEARCHER, Call::ReadResult { job })
    }),
    ("dataset-not-in-job", |chain| {
        let job = running(chain);
        chain.publish("harlem/other");
        ("node-1.harlem", answer(job, "harlem/other"))
    }),
    ("already-answered", |chain| {
        let job = answered(chain, &[]);
        ("node-1.harlem", answer(job, "harlem/opt"))
    }),
    ("job-permission-lost", |chain| {
        // Answered, then withdrawn: it may not be in the total any more.
        let job = answered(chain, &[]);
        chain.done("owner@kentucky", withdraw("kentucky/opt", Some(1)));
        finish(job, outcomes(&[]))
    }),
    ("aggregator-required", |chain| {
        let job = answered(chain, &[]);
        let sites = outcomes(&[]);
        ("node-1.harlem", Call::FailJob { job, failure: JobFailure::TimedOut, sites })
    }),
    ("job-sites-mismatch", |chain| {
        let job = answered(chain, &[]);
        let mut sites = outcomes(&[]);
        sites.pop();
        finish(job, sites)
    }),
    ("site-not-answered", |chain| {
        let job = running(chain);
        finish(job, outcomes(&[]))
    }),
    ("site-refusal-misreported", |chain| {
        let job = answered(chain, &["kentucky"]);
        finish(job, outcomes(&[]))
    }),
    ("total-members-too-few", |chain| {
        let job = answered(chain, &["kentucky", "harlem"]);
        finish(job, outcomes(&["kentucky", "harlem"]))
    }),
    ("summaries-not-deleted", |chain| {
        let job = answered(chain, &[]);
        let sites = outcomes(&[]);
        ("aggregator.harlem", Call::FinishJob { job, result: Hash::ZERO, sites, summaries_deleted: false })
    }),
    ("not-submitter", |chain| {
        let job = running(chain);
        ("auditor@hennepin", Call::ReadResult { job })
    }),
];

#[test]
fn every_rule_refuses_its_case_and_changes_nothing() {
    for (code, case) in CASES.iter().chain(refusals_membership::CASES) {
        let mut chain = Consortium::new();
        let (signer, call) = case(&mut chain);
        let before = chain.state.clone();
        let transaction = chain.transaction(signer, call);
        chain.refused_transaction(code, &transaction);
        // Only the live id and the signer's quota differ.
        let mut after = chain.state.clone();
        after.0.remove(keys::live_id(transaction.body.valid_until, transaction.id).as_bytes()).unwrap();
        let quota = keys::refusals(&transaction.body.signer).into_bytes();
        after.0.remove(&quota).unwrap();
        let mut before = before;
        before.0.remove(&quota);
        assert_eq!(after, before, "{code}");
    }
}

#[test]
fn the_cases_are_the_rules() {
    let cases = CASES.iter().chain(refusals_membership::CASES).map(|(code, _)| *code);
    assert_eq!(cases.collect::<BTreeSet<_>>(), Refusal::CODES.iter().copied().collect());
}

#[test]
fn codes_are_unique_slugs() {
    let unique: BTreeSet<_> = Refusal::CODES.iter().collect();
    assert_eq!(unique.len(), Refusal::CODES.len());
    for code in Refusal::CODES {
        assert!(Slug::parse(code).is_ok(), "{code}");
        assert!(!code.starts_with('-') && !code.ends_with('-') && !code.contains("--"), "{code}");
    }
}

#[test]
fn explanations_are_short_ascii() {
    let column: ColumnName = name(&"ß".repeat(64));
    let refusal = Refusal::ColumnUnknown { dataset: name("harlem/opt"), column };
    let explanation = refusal.explanation();
    assert!(explanation.is_ascii() && explanation.len() <= 512);
    assert!(explanation.starts_with("`harlem/opt` has no column `\\u{df}\\u{df}"), "{explanation}");
}

#[test]
fn a_refused_job_names_every_dataset_that_denies() {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    chain.grant(RESEARCHER, "kentucky/opt", terms(Action::Compute), GrantLimits::default());
    let (_, recorded) = chain.recorded(RESEARCHER, Call::SubmitJob(specification()));
    assert!(matches!(&recorded.outcome, Outcome::Refused { rule, .. } if rule.as_str() == "nothing-permits"));
    let denied: Vec<_> =
        recorded.events.iter().filter_map(|event| event.dataset.as_ref()).map(ToString::to_string).collect();
    assert_eq!(denied, ["harlem/opt", "hennepin/opt", "mississippi/opt"]);
}
