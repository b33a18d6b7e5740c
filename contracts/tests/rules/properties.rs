//! Random calls by random signers, against what must always hold.

use std::collections::BTreeMap;

use galen_contracts::{StateError, StateRead, Verdict, execute, prune_live_ids, query};
use galen_types::access::{Effect, GrantLimits, RequestState, Scope};
use galen_types::dataset::VersionState;
use galen_types::job::{JobFailure, JobState, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::member::{Role, Standing};
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, Purpose, ReasonCode};
use galen_types::{Call, DatasetName, GrantId, Hash, JobId, Outcome, Parameters, ProposalId, RequestId, VersionName};
use proptest::prelude::*;

use crate::support::{Consortium, MEMBERS, content, name, new_account, rule, set_contract, slug, specification, terms};

/// One step: which kind of call, by whose account, and three choices that the call makes of it.
type Step = (u8, u8, u8, u8, u8);

const REASON: ReasonCode = ReasonCode::Administrative;

/// What earlier calls made, so that later ones can speak of it.
#[derive(Default)]
struct Made {
    requests: Vec<Hash>,
    grants: Vec<Hash>,
    jobs: Vec<Hash>,
    proposals: Vec<Hash>,
}

fn pick(ids: &[Hash], choice: u8) -> Hash {
    if ids.is_empty() { Hash::ZERO } else { ids[usize::from(choice) % ids.len()] }
}

/// The call of a step, and who signs it: mostly somebody who may.
fn call_of((kind, who, first, second, third): Step, chain: &Consortium, made: &Made) -> (String, Call) {
    let member = MEMBERS[usize::from(who % 4)];
    let dataset = format!("{}/{}", MEMBERS[usize::from(first % 4)], ["opt", "other"][usize::from(second % 2)]);
    let own = format!("{member}/{}", ["opt", "other"][usize::from(second % 2)]);
    let latest = query::get_dataset(&chain.state, &name(&own)).unwrap().map_or(0, |dataset| dataset.latest);
    let previous = |text: &str| {
        let scope = Scope::Dataset(name(text));
        query::get_contract(&chain.state, &scope).unwrap().map_or(0, |contract| contract.version)
    };
    let action = Action::ALL[usize::from(third % 3)];
    let signer = |account: &str| format!("{account}@{member}");
    // Mostly those whose request or grant it is, now and then somebody else.
    let request = query::get_request(&chain.state, RequestId(pick(&made.requests, first))).unwrap();
    let request = request.filter(|_| second % 8 != 0);
    let decider = || request.as_ref().map_or(signer("owner"), |request| format!("owner@{}", request.dataset.member));
    let applicant = || request.as_ref().map_or(signer("researcher"), |request| request.applicant.to_string());
    let grant = query::get_grant(&chain.state, GrantId(pick(&made.grants, first))).unwrap();
    let granter = || grant.as_ref().map_or(signer("owner"), |grant| grant.by.to_string());
    let uses_max = (third % 2 == 0).then_some(u32::from(third % 3) + 1);
    let expires = (third % 5 == 0).then(|| chain.now().plus_ms(5_000));
    let given = if third % 4 == 0 {
        SiteGiven::Refused { rule: slug("rows-below-minimum") }
    } else {
        SiteGiven::Summary { digest: Hash::ZERO }
    };
    match kind % 20 {
        0 => (
            signer("owner"),
            Call::PublishDataset {
                dataset: slug(["opt", "other"][usize::from(second % 2)]),
                content: content(&format!("{third}")),
                discoverable: third % 2 == 0,
            },
        ),
        1 => (
            signer("owner"),
            Call::UpdateDataset {
                dataset: name(&own),
                previous: latest.saturating_sub(u32::from(third % 8 == 0)),
                content: content(&format!("{third}")),
            },
        ),
        2 if third % 64 == 0 => {
            (signer("owner"), Call::WithdrawDataset { dataset: name(&own), version: None, reason: REASON })
        }
        2 => {
            let version = Some(u32::from(third) % latest.saturating_add(1));
            (signer("owner"), Call::WithdrawDataset { dataset: name(&own), version, reason: REASON })
        }
        3 => {
            let mut rule = rule("one", if third % 4 == 0 { Effect::Deny } else { Effect::Permit });
            rule.actions = vec![action];
            rule.uses_max = uses_max.filter(|_| rule.effect == Effect::Permit);
            (signer("owner"), set_contract(&own, previous(&own), vec![rule]))
        }
        4 | 5 => (
            signer("researcher"),
            Call::RequestAccess { dataset: name(&dataset), terms: terms(action), draft: third % 7 == 0 },
        ),
        6 => {
            (applicant(), Call::ReviseRequest { request: RequestId(pick(&made.requests, first)), terms: terms(action) })
        }
        7..=9 => {
            let limits = GrantLimits { expires, uses_max, cohort_min: None };
            (decider(), Call::ApproveRequest { request: RequestId(pick(&made.requests, first)), limits })
        }
        10 => (decider(), Call::RejectRequest { request: RequestId(pick(&made.requests, first)), reason: REASON }),
        11 => (decider(), Call::ReturnRequest { request: RequestId(pick(&made.requests, first)), reason: REASON }),
        12 => (applicant(), Call::CloseRequest { request: RequestId(pick(&made.requests, first)) }),
        13 => (granter(), Call::RevokeGrant { grant: GrantId(pick(&made.grants, first)), reason: REASON }),
        14 | 15 => {
            let purpose = Purpose::HealthcareResearch;
            let download = |dataset: &DatasetName, version: u32| Call::Download {
                version: VersionName { dataset: dataset.clone(), version },
                purpose,
            };
            match &grant {
                Some(grant) if third % 3 != 0 => {
                    let newest = query::get_newest_version(&chain.state, &grant.dataset).unwrap();
                    (grant.grantee.to_string(), download(&grant.dataset, newest.map_or(1, |version| version.number)))
                }
                _ => (signer("researcher"), download(&name(&dataset), u32::from(third % 3) + 1)),
            }
        }
        16 => ("researcher@hennepin".to_owned(), Call::SubmitJob(specification())),
        17 => {
            let answer = SiteAnswer { dataset: name(&format!("{member}/opt")), given };
            (format!("node-1.{member}"), Call::AnswerJob { job: JobId(pick(&made.jobs, first)), answer })
        }
        18 if third % 2 == 0 => {
            let sites =
                MEMBERS.map(|member| SiteOutcome { dataset: name(&format!("{member}/opt")), refused: None }).to_vec();
            let job = JobId(pick(&made.jobs, first));
            let call = if second % 2 == 0 {
                Call::FinishJob { job, result: Hash::ZERO, sites, summaries_deleted: true }
            } else {
                Call::FailJob { job, failure: JobFailure::TimedOut, sites }
            };
            ("aggregator.harlem".to_owned(), call)
        }
        18 => {
            let account =
                name(&format!("{}@{member}", ["admin", "owner", "researcher", "second"][usize::from(first % 4)]));
            let call = match second % 4 {
                0 => Call::SuspendAccount { account, reason: REASON },
                1 => Call::RestoreAccount { account },
                2 => Call::SetAccountRoles { account, roles: vec![Role::ALL[usize::from(third % 4)]] },
                _ => Call::AddAccount(new_account("second", member, &[Role::Admin])),
            };
            (signer(if third % 3 == 0 { "second" } else { "admin" }), call)
        }
        _ if second % 4 == 0 => {
            let target = name(MEMBERS[usize::from(first % 4)]);
            let change = match third % 3 {
                0 => ProposedChange::SuspendMember { member: target, reason: REASON },
                1 => ProposedChange::RestoreMember { member: target },
                _ => {
                    let parameters = Parameters { requests_open_max: u32::from(third) + 1, ..Parameters::default() };
                    chain.set_parameters(parameters, 0)
                }
            };
            (signer("admin"), Call::Propose(change))
        }
        _ => {
            let ballot = if third % 4 == 0 { Ballot::Reject } else { Ballot::Approve };
            let proposal = ProposalId(pick(&made.proposals, first));
            (signer("admin"), Call::Vote { proposal, ballot, reason: None })
        }
    }
}

/// What must hold in every state that calls can bring about.
fn check_invariants(chain: &Consortium, made: &Made) {
    let state = &chain.state;
    let members = query::list_members(state, None, 100).unwrap();
    assert!(members.iter().any(|member| member.standing == Standing::Active), "somebody is left to vote");
    for member in &members {
        let accounts = query::list_accounts(state, Some(&member.name), None, 100).unwrap();
        let manages = |account: &galen_types::member::Account| {
            account.standing == Standing::Active && account.has_role(Role::Admin)
        };
        assert!(accounts.iter().any(manages), "{} has an active administrator", member.name);
        let mut listed = 0;
        for in_state in RequestState::ALL {
            for request in query::list_requests_to(state, &member.name, *in_state, None, 1_000).unwrap() {
                assert_eq!(request.state, *in_state, "a request is listed under its state");
                listed += 1;
            }
        }
        let requests = made.requests.iter().map(|id| query::get_request(state, RequestId(*id)).unwrap().unwrap());
        assert_eq!(requests.filter(|request| request.dataset.member == member.name).count(), listed);
    }
    for dataset in query::list_datasets(state, None, None, 100).unwrap() {
        let versions = query::list_versions(state, &dataset.name, 0, 1_000).unwrap();
        let numbers: Vec<_> = versions.iter().map(|version| version.number).collect();
        assert_eq!(numbers, (1..=dataset.latest).collect::<Vec<_>>(), "versions are numbered without gaps");
        let newest = versions.iter().rev().find(|version| version.state == VersionState::Active).cloned();
        let newest = newest.filter(|_| dataset.state == VersionState::Active);
        assert_eq!(query::get_newest_version(state, &dataset.name).unwrap(), newest);
    }
    let mut open = BTreeMap::new();
    for id in &made.requests {
        let request = query::get_request(state, RequestId(*id)).unwrap().unwrap();
        if matches!(request.state, RequestState::Draft | RequestState::Submitted | RequestState::Returned) {
            *open.entry(request.applicant.clone()).or_insert(0) += 1;
            assert_eq!(request.grant, None, "a grant comes from an approved request");
        }
    }
    for (applicant, count) in open {
        let key = galen_contracts::keys::requests_open(&applicant);
        assert_eq!(state.0[key.as_bytes()], u32::to_le_bytes(count), "open requests are counted");
    }
    for id in &made.grants {
        let grant = query::get_grant(state, GrantId(*id)).unwrap().unwrap();
        assert!(grant.limits.uses_max.is_none_or(|uses_max| grant.uses <= uses_max), "uses stay within their limit");
        let request = query::get_request(state, grant.request).unwrap().unwrap();
        assert_eq!(request.grant, Some(grant.id));
        let expected: &[RequestState] = match grant.revoked {
            Some(_) => &[RequestState::Revoked],
            None => &[RequestState::Approved, RequestState::Expired],
        };
        assert!(expected.contains(&request.state), "a grant comes from an approved request");
    }
    let running: Vec<_> = query::list_jobs_running(state, None, 1_000).unwrap().iter().map(|job| job.id).collect();
    for id in &made.jobs {
        let job = query::get_job(state, JobId(*id)).unwrap().unwrap();
        assert_eq!(running.contains(&job.id), job.state == JobState::Running);
        if job.state == JobState::Finished {
            let answered = |site: &galen_types::job::JobSite| matches!(site.answer, Some(SiteGiven::Summary { .. }));
            assert!(
                job.sites.iter().zip(&job.outcomes).all(|(site, outcome)| outcome.refused.is_some() || answered(site))
            );
        }
    }
}

/// Runs steps; gives the chain, and how many calls of each kind were done.
/// A state whose pages are shorter than asked for.
struct Short<'state>(&'state dyn StateRead);

impl StateRead for Short<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.0.scan(prefix, after, limit.min(1))
    }
}

fn run(steps: &[Step]) -> (Consortium, BTreeMap<Operation, usize>) {
    let mut chain = Consortium::new();
    chain.publish_everywhere();
    // Jobs need every member's permission at once, which random grants rarely come to.
    let mut jobs = rule("jobs", Effect::Permit);
    (jobs.actions, jobs.accounts, jobs.uses_max) = (vec![Action::Compute], vec![name("researcher@hennepin")], Some(5));
    for member in MEMBERS {
        let scope = Scope::Member(name(member));
        chain.done(&format!("owner@{member}"), Call::SetContract { scope, previous: 0, rules: vec![jobs.clone()] });
    }
    let mut made = Made::default();
    let (mut done, mut pruned_to) = (BTreeMap::new(), None);
    for step in steps {
        let (signer, call) = call_of(*step, &chain, &made);
        let transaction = chain.transaction(&signer, call);
        let before = chain.state.clone();
        // The same state, block and transaction give the same verdict.
        let verdict = chain.run(&transaction);
        assert_eq!(execute(&before, &chain.block, &transaction).unwrap(), verdict);
        let recorded = match verdict {
            Verdict::Recorded(recorded) => recorded,
            Verdict::Void(_) => {
                assert_eq!(chain.state, before, "what is void changes nothing");
                continue;
            }
        };
        match recorded.outcome {
            Outcome::Refused { .. } => assert_eq!(recorded.writes.len(), 2, "a refused call changes nothing"),
            Outcome::Applied => {
                *done.entry(recorded.events[0].operation).or_default() += 1;
                let list = match transaction.body.call {
                    Call::RequestAccess { .. } => Some(&mut made.requests),
                    Call::ApproveRequest { .. } => Some(&mut made.grants),
                    Call::SubmitJob(_) => Some(&mut made.jobs),
                    Call::Propose(_) => Some(&mut made.proposals),
                    _ => None,
                };
                if let Some(list) = list {
                    list.push(transaction.id.0);
                }
            }
        }
        // A store may give less than was asked for.
        let few = Short(&chain.state);
        for state in [&chain.state as &dyn StateRead, &few] {
            let pruned = prune_live_ids(state, &chain.block, None, 3).unwrap();
            let hinted = prune_live_ids(state, &chain.block, pruned_to.as_deref(), 3).unwrap();
            assert_eq!(hinted.deletions, pruned.deletions, "the hint changes nothing");
        }
        let pruned = prune_live_ids(&few, &chain.block, pruned_to.as_deref(), 3).unwrap();
        pruned_to = pruned.next;
        let deletions = pruned.deletions;
        chain.state.apply(deletions);
    }
    check_invariants(&chain, &made);
    (chain, done)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_keep_the_invariants(steps in prop::collection::vec(any::<Step>(), 0..160)) {
        run(&steps);
    }
}

/// The random calls reach what they are meant to test: a fair share is done, not only refused.
#[test]
fn random_calls_do_something() {
    let mut seed = 1u64;
    let mut byte = || {
        // Knuth's linear congruential generator (MMIX).
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    };
    let mut done = BTreeMap::<Operation, usize>::new();
    for _ in 0..20 {
        let steps: Vec<Step> = (0..200).map(|_| (byte(), byte(), byte(), byte(), byte())).collect();
        let (chain, counts) = run(&steps);
        for (kind, count) in counts {
            *done.entry(kind).or_default() += count;
        }
        assert_eq!(run(&steps).0.state, chain.state);
    }
    let kinds = [
        Operation::Update,
        Operation::Withdraw,
        Operation::SetContract,
        Operation::RequestAccess,
        Operation::ReviseRequest,
        Operation::ApproveRequest,
        Operation::RejectRequest,
        Operation::RevokeGrant,
        Operation::Download,
        Operation::SubmitJob,
        Operation::AnswerJob,
        Operation::FailJob,
        Operation::SuspendAccount,
        Operation::Propose,
        Operation::Vote,
    ];
    for kind in kinds {
        assert!(done.contains_key(&kind), "{kind} is never done: {done:?}");
    }
}
