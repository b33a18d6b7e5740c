//! The state machines' tables, row by row.

use galen_contracts::query;
use galen_types::access::{Effect, GrantLimits, RequestState, Scope};
use galen_types::dataset::VersionState;
use galen_types::job::{JobFailure, JobState, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::member::{Role, Standing};
use galen_types::proposal::{Ballot, ProposalState, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::vocabulary::{Action, ReasonCode};
use galen_types::{Call, GrantId, Hash, JobId, Parameters, ProposalId, RequestId};

use crate::support::{
    Consortium, MEMBERS, approve, content, encryption_key, name, new_account, public_key, rule, slug, specification,
    terms,
};

const REASON: ReasonCode = ReasonCode::Administrative;

#[test]
fn an_account_is_added_suspended_and_restored() {
    let mut chain = Consortium::new();
    let account = || name("second@harlem");
    let standing =
        |chain: &Consortium| query::get_account(&chain.state, &account()).unwrap().map(|found| found.standing);
    let suspend = || Call::SuspendAccount { account: account(), reason: REASON };
    let restore = || Call::RestoreAccount { account: account() };
    assert_eq!(standing(&chain), None);
    chain.done("admin@harlem", Call::AddAccount(new_account("second", "harlem", &[Role::Admin])));
    assert_eq!(standing(&chain), Some(Standing::Active));
    chain.refused("account-not-suspended", "admin@harlem", restore());
    chain.done("admin@harlem", suspend());
    assert_eq!(standing(&chain), Some(Standing::Suspended));
    chain.refused("account-not-active", "admin@harlem", suspend());
    chain.done("admin@harlem", restore());
    assert_eq!(standing(&chain), Some(Standing::Active));
    // Two administrators: either may go, the last may not.
    chain.done("second@harlem", Call::SuspendAccount { account: name("admin@harlem"), reason: REASON });
    chain.refused("last-administrator", "second@harlem", suspend());
    let roles = vec![Role::Owner];
    chain.refused("last-administrator", "second@harlem", Call::SetAccountRoles { account: account(), roles });
    let roles = vec![Role::Admin, Role::Owner];
    chain.done("second@harlem", Call::SetAccountRoles { account: account(), roles });
    chain.publish("harlem/opt");
}

#[test]
fn keys_are_replaced_by_their_account_or_an_administrator_and_never_used_again() {
    let mut chain = Consortium::new();
    let rotate = |seed: &str| Call::RotateAccountKey {
        account: name("owner@harlem"),
        key: public_key(seed),
        encryption_key: encryption_key(seed),
    };
    chain.done("owner@harlem", rotate("second"));
    let signer = name("owner@harlem");
    assert_eq!(galen_contracts::signer_key(&chain.state, &signer).unwrap(), Some(public_key("second")));
    chain.refused("key-in-use", "owner@harlem", rotate("owner@harlem"));
    chain.refused("role-missing", "researcher@harlem", rotate("third"));
    chain.refused("not-your-member", "admin@hennepin", rotate("third"));
    chain.done("admin@harlem", rotate("third"));
    chain.refused("keys-unchanged", "admin@harlem", rotate("third"));
}

#[test]
fn a_proposal_passes_fails_or_closes() {
    let ballots = [
        // Four members, more than half needed: three approvals pass, two rejections fail.
        (vec![Ballot::Approve, Ballot::Approve], ProposalState::Open),
        (vec![Ballot::Approve, Ballot::Approve, Ballot::Approve], ProposalState::Passed),
        (vec![Ballot::Approve, Ballot::Reject, Ballot::Approve], ProposalState::Open),
        (vec![Ballot::Approve, Ballot::Reject, Ballot::Approve, Ballot::Approve], ProposalState::Passed),
        (vec![Ballot::Reject, Ballot::Reject], ProposalState::Failed),
        (vec![Ballot::Approve, Ballot::Reject, Ballot::Reject], ProposalState::Failed),
    ];
    for (cast, expected) in ballots {
        let mut chain = Consortium::new();
        let parameters = Parameters { contract_rules_max: 3, ..Parameters::default() };
        let change = chain.set_parameters(parameters, 0);
        let id = ProposalId(chain.done("admin@harlem", Call::Propose(change)));
        let mut operations = Vec::new();
        for (member, ballot) in MEMBERS.into_iter().zip(&cast) {
            let vote = Call::Vote { proposal: id, ballot: *ballot, reason: Some(REASON) };
            let (_, recorded) = chain.recorded(&format!("admin@{member}"), vote);
            operations.extend(recorded.events.into_iter().map(|event| event.operation));
        }
        let proposal = query::get_proposal(&chain.state, id).unwrap().unwrap();
        assert_eq!(proposal.state, expected, "{cast:?}");
        assert_eq!(proposal.ballots.len(), cast.len());
        assert_eq!(operations.contains(&Operation::ProposalPassed), expected == ProposalState::Passed);
        assert_eq!(operations.contains(&Operation::ProposalFailed), expected == ProposalState::Failed);
        let in_force = query::get_parameters(&chain.state).unwrap().contract_rules_max;
        assert_eq!(in_force == 3, expected == ProposalState::Passed);
        if expected != ProposalState::Open {
            let late = Call::Vote { proposal: id, ballot: Ballot::Approve, reason: None };
            chain.refused("proposal-closed", "admin@mississippi", late);
        }
    }
}

#[test]
fn a_proposal_that_was_not_decided_in_time_has_failed() {
    let mut chain = Consortium::new();
    let propose = |percent| {
        let parameters = Parameters { vote_threshold_percent: percent, ..Parameters::default() };
        let based_on = Parameters::default().hash();
        Call::Propose(ProposedChange::SetParameters { parameters, based_on, effective_height: 0 })
    };
    let id = ProposalId(chain.done("admin@harlem", propose(60)));
    let proposal = query::get_proposal(&chain.state, id).unwrap().unwrap();
    assert_eq!(query::proposal_state_at(&proposal, proposal.closes), ProposalState::Open);
    chain.wait_ms(Parameters::default().proposal_lifetime_ms);
    assert_eq!(query::proposal_state_at(&proposal, chain.now().plus_ms(1)), ProposalState::Failed);
    chain.refused(
        "proposal-closed",
        "admin@harlem",
        Call::Vote { proposal: id, ballot: Ballot::Approve, reason: None },
    );
    // The proposer's next proposal writes it down.
    let (next, recorded) = chain.recorded("admin@harlem", propose(70));
    assert_eq!(recorded.events[0].operation, Operation::ProposalFailed);
    assert_eq!(recorded.events[0].subject, Some(id.0));
    assert_eq!(query::get_proposal(&chain.state, id).unwrap().unwrap().state, ProposalState::Failed);
    let listed = query::list_proposals(&chain.state, Some(id), 10).unwrap();
    assert_eq!(listed.iter().map(|proposal| proposal.id).collect::<Vec<_>>(), [ProposalId(next)]);
}

#[test]
fn members_are_suspended_and_restored_by_vote_and_their_ballots_then_do_not_count() {
    let mut chain = Consortium::new();
    let vote = |proposal, ballot| Call::Vote { proposal, ballot, reason: None };
    let suspend = ProposedChange::SuspendMember { member: name("harlem"), reason: REASON };
    let parameters = Parameters { requests_open_max: 5, ..Parameters::default() };
    let other = ProposalId(chain.done("admin@hennepin", Call::Propose(chain.set_parameters(parameters, 0))));
    chain.done("admin@harlem", vote(other, Ballot::Approve));
    chain.done("admin@hennepin", vote(other, Ballot::Approve));
    let id = ProposalId(chain.done("admin@hennepin", Call::Propose(suspend)));
    for member in ["hennepin", "kentucky", "mississippi"] {
        chain.done(&format!("admin@{member}"), vote(id, Ballot::Approve));
    }
    let standing = |chain: &Consortium| query::get_member(&chain.state, &name("harlem")).unwrap().unwrap().standing;
    assert_eq!(standing(&chain), Standing::Suspended);
    // Three active members: two approvals pass, and harlem's is not among them.
    chain.done("admin@kentucky", vote(other, Ballot::Reject));
    assert_eq!(query::get_proposal(&chain.state, other).unwrap().unwrap().state, ProposalState::Open);
    chain.done("admin@mississippi", vote(other, Ballot::Approve));
    assert_eq!(query::get_parameters(&chain.state).unwrap().requests_open_max, 5);
    let restore = ProposedChange::RestoreMember { member: name("harlem") };
    let id = ProposalId(chain.done("admin@hennepin", Call::Propose(restore)));
    for member in ["hennepin", "kentucky"] {
        chain.done(&format!("admin@{member}"), vote(id, Ballot::Approve));
    }
    assert_eq!(standing(&chain), Standing::Active);
    chain.publish("harlem/opt");
}

#[test]
fn a_dataset_is_published_updated_and_withdrawn() {
    let mut chain = Consortium::new();
    chain.publish("harlem/opt");
    let dataset = name("harlem/opt");
    let contract = query::get_contract(&chain.state, &Scope::Dataset(name("harlem/opt"))).unwrap().unwrap();
    assert_eq!((contract.version, contract.rules[0].name.as_str()), (1, "discover-all"));
    let update = |previous: u32| Call::UpdateDataset {
        dataset: name("harlem/opt"),
        previous,
        content: content(&format!("content {}", previous + 1)),
    };
    let withdraw =
        |version: Option<u32>| Call::WithdrawDataset { dataset: name("harlem/opt"), version, reason: REASON };
    let newest = |chain: &Consortium| {
        query::get_newest_version(&chain.state, &name("harlem/opt")).unwrap().map(|version| version.number)
    };
    for previous in 1..6 {
        chain.done("owner@harlem", update(previous));
    }
    assert_eq!(newest(&chain), Some(6));
    // Withdrawn in an order that joins runs from below, from above, and from both sides.
    for (version, left) in [(5, Some(6)), (2, Some(6)), (3, Some(6)), (6, Some(4)), (4, Some(1)), (1, None)] {
        chain.done("owner@harlem", withdraw(Some(version)));
        assert_eq!(newest(&chain), left, "after {version}");
        chain.refused("version-withdrawn", "owner@harlem", withdraw(Some(version)));
    }
    let old = query::get_version(&chain.state, &dataset, 3).unwrap().unwrap();
    assert_eq!((old.state, old.reason), (VersionState::Withdrawn, Some(REASON)));
    // Another version can follow; the same content too, for the last one is withdrawn.
    let again = Call::UpdateDataset { dataset: dataset.clone(), previous: 6, content: content("content 6") };
    chain.done("owner@harlem", again);
    assert_eq!(newest(&chain), Some(7));
    chain.done("owner@harlem", withdraw(Some(7)));
    assert_eq!(newest(&chain), None);
    chain.done("owner@harlem", update(7));
    assert_eq!(newest(&chain), Some(8));
    let numbers: Vec<_> =
        query::list_versions(&chain.state, &dataset, 0, 100).unwrap().iter().map(|version| version.number).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    // Withdrawn as a whole is for good.
    chain.done("owner@harlem", withdraw(None));
    assert_eq!(newest(&chain), None);
    chain.refused("dataset-withdrawn", "owner@harlem", update(8));
    chain.refused("dataset-withdrawn", "owner@harlem", withdraw(None));
    chain.refused(
        "dataset-exists",
        "owner@harlem",
        Call::PublishDataset { dataset: slug("opt"), content: content("other"), discoverable: false },
    );
}

#[test]
fn tampering_is_reported_by_a_node_of_the_owner() {
    let mut chain = Consortium::new();
    chain.publish("harlem/opt");
    let report = || Call::ReportTampering { version: name("harlem/opt@1") };
    chain.refused("node-required", "owner@harlem", report());
    chain.refused("not-your-member", "node-1.hennepin", report());
    chain.done("node-1.harlem", report());
    let version = query::get_version(&chain.state, &name("harlem/opt"), 1).unwrap().unwrap();
    assert_eq!(version.tampering_reported, Some(chain.now()));
}

#[test]
fn a_contract_is_replaced_and_its_history_kept() {
    let mut chain = Consortium::new();
    chain.publish("harlem/opt");
    let scope = Scope::Dataset(name("harlem/opt"));
    let mut first = rule("first", Effect::Permit);
    first.actions = vec![Action::Download, Action::Discover, Action::Download];
    chain.set_contract("harlem/opt", 1, vec![first]);
    let contract = query::get_contract(&chain.state, &scope).unwrap().unwrap();
    assert_eq!(contract.version, 2);
    assert_eq!(contract.rules[0].actions, [Action::Discover, Action::Download], "lists are sorted, each value once");
    let old = query::get_contract_version(&chain.state, &scope, 1).unwrap().unwrap();
    assert_eq!(old.rules[0].name.as_str(), "discover-all");
    assert_eq!(query::get_contract_version(&chain.state, &scope, 2).unwrap(), Some(contract));
    assert_eq!(query::get_contract_version(&chain.state, &scope, 3).unwrap(), None);
    let member = Scope::Member(name("harlem"));
    chain.done("owner@harlem", Call::SetContract { scope: member.clone(), previous: 0, rules: Vec::new() });
    assert_eq!(query::get_contract(&chain.state, &member).unwrap().unwrap().version, 1);
}

/// Every call about a request, from every state that calls can bring it to: which are possible, and what comes out.
#[test]
fn a_request_moves_along_its_lifecycle_only() {
    use RequestState::{Approved, Closed, Draft, Expired, Rejected, Returned, Revoked, Submitted};
    let (owner, applicant) = ("owner@harlem", "researcher@hennepin");
    let prepare = |state: RequestState| {
        let mut chain = Consortium::new();
        chain.publish("harlem/opt");
        let draft = state == Draft;
        let file = Call::RequestAccess { dataset: name("harlem/opt"), terms: terms(Action::Download), draft };
        let id = RequestId(chain.done(applicant, file));
        let uses_max = (state == Expired).then_some(1);
        let approve = || approve(id.0, GrantLimits { uses_max, ..GrantLimits::default() });
        match state {
            Draft | Submitted => {}
            Returned => drop(chain.done(owner, Call::ReturnRequest { request: id, reason: REASON })),
            Rejected => drop(chain.done(owner, Call::RejectRequest { request: id, reason: REASON })),
            Closed => drop(chain.done(applicant, Call::CloseRequest { request: id })),
            Approved => drop(chain.done(owner, approve())),
            Revoked => {
                let grant = GrantId(chain.done(owner, approve()));
                chain.done(owner, Call::RevokeGrant { grant, reason: REASON });
            }
            Expired => {
                chain.done(owner, approve());
                let purpose = terms(Action::Download).purpose;
                chain.done(applicant, Call::Download { version: name("harlem/opt@1"), purpose });
            }
        }
        assert_eq!(query::get_request(&chain.state, id).unwrap().unwrap().state, state);
        (chain, id)
    };
    let table = [
        (Draft, [Some(Submitted), None, None, None, Some(Closed)]),
        (Submitted, [None, Some(Approved), Some(Rejected), Some(Returned), Some(Closed)]),
        (Returned, [Some(Submitted), None, None, None, Some(Closed)]),
        (Approved, [None; 5]),
        (Rejected, [None; 5]),
        (Revoked, [None; 5]),
        (Expired, [None; 5]),
        (Closed, [None; 5]),
    ];
    for (from, row) in table {
        for (step, to) in row.into_iter().enumerate() {
            let (mut chain, request) = prepare(from);
            let calls = [
                (applicant, Call::ReviseRequest { request, terms: terms(Action::Download) }),
                (owner, approve(request.0, GrantLimits::default())),
                (owner, Call::RejectRequest { request, reason: REASON }),
                (owner, Call::ReturnRequest { request, reason: REASON }),
                (applicant, Call::CloseRequest { request }),
            ];
            let (signer, call) = calls[step].clone();
            match to {
                None => drop(chain.refused("request-state", signer, call)),
                Some(to) => {
                    chain.done(signer, call);
                    assert_eq!(query::get_request(&chain.state, request).unwrap().unwrap().state, to);
                }
            }
            // It is listed under its state, and only there.
            let state = query::get_request(&chain.state, request).unwrap().unwrap().state;
            for listed in RequestState::ALL {
                let page = query::list_requests_to(&chain.state, &name("harlem"), *listed, None, 10).unwrap();
                assert_eq!(page.len(), usize::from(*listed == state), "{from} {step} {listed}");
            }
        }
    }
}

#[test]
fn a_job_is_answered_once_a_dataset_and_ends_once() {
    let prepare = || {
        let mut chain = Consortium::new();
        chain.publish_everywhere();
        chain.grant_compute_everywhere("researcher@hennepin");
        let job = JobId(chain.done("researcher@hennepin", Call::SubmitJob(specification())));
        (chain, job)
    };
    let sites =
        || MEMBERS.map(|member| SiteOutcome { dataset: name(&format!("{member}/opt")), refused: None }).to_vec();
    let finish = |job| Call::FinishJob { job, result: Hash::ZERO, sites: sites(), summaries_deleted: true };
    let fail = |job| Call::FailJob { job, failure: JobFailure::TimedOut, sites: sites() };
    let answer = |job, member: &str| Call::AnswerJob {
        job,
        answer: SiteAnswer {
            dataset: name(&format!("{member}/opt")),
            given: SiteGiven::Summary { digest: Hash::ZERO },
        },
    };

    let (mut chain, job) = prepare();
    for member in MEMBERS {
        chain.refused("site-not-answered", "aggregator.harlem", finish(job));
        chain.refused("job-not-finished", "researcher@hennepin", Call::ReadResult { job });
        chain.done(&format!("node-1.{member}"), answer(job, member));
        chain.refused("already-answered", &format!("node-1.{member}"), answer(job, member));
    }
    chain.done("aggregator.harlem", finish(job));
    chain.refused("job-not-running", "aggregator.harlem", finish(job));
    chain.refused("job-not-running", "aggregator.harlem", fail(job));
    chain.refused("job-not-running", "node-1.harlem", answer(job, "harlem"));
    chain.done("researcher@hennepin", Call::ReadResult { job });
    chain.done("researcher@hennepin", Call::ReadResult { job });

    let (mut chain, job) = prepare();
    chain.done("aggregator.harlem", fail(job));
    let record = query::get_job(&chain.state, job).unwrap().unwrap();
    assert_eq!((record.state, record.failure), (JobState::Failed, Some(JobFailure::TimedOut)));
    chain.refused("job-not-running", "aggregator.harlem", finish(job));
    chain.refused("job-not-finished", "researcher@hennepin", Call::ReadResult { job });
}
