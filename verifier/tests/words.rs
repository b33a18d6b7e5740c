//! What this crate puts into words is what `galen-types` says, part by part: its JSON reads back as the same value.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_macros,
    reason = "tests assert by panicking; of the shared strategies a part is used"
)]

#[path = "../../types/tests/common/mod.rs"]
mod common;
mod support;

use std::fmt::Debug;

use common::{examples, strategies};
use galen_contracts::keys;
use galen_types::access::{Contract, Grant, GrantLimits, Request, RequestState};
use galen_types::dataset::{Dataset, Version, VersionState};
use galen_types::job::{Job, JobSite, JobState};
use galen_types::member::{Account, Member, Node, Standing};
use galen_types::proposal::{Ballot, CastBallot, Effective, Proposal, ProposalState, Scheduled};
use galen_types::*;
use galen_verifier::{Value, receipt_in_words, record_in_words, time_text, transaction_in_words};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

#[track_caller]
fn same<T: DeserializeOwned + PartialEq + Debug>(words: Option<Value>, value: &T) {
    let json = support::json(&words.unwrap_or_else(|| panic!("not put into words: {value:?}")));
    let read: T = serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(read, *value, "{json}");
}

#[track_caller]
fn record<T: Encoding + DeserializeOwned + PartialEq + Debug>(key: Vec<u8>, value: &T) {
    same(record_in_words(&key, &value.encode()), value);
}

/// The records of the state that a call may make.
fn records(call: &Call) {
    let (id, now) = (Hash([7; 32]), Timestamp(1_790_000_000_123));
    let account: AccountName = "alice@harlem".parse().unwrap();
    let dataset: DatasetName = "harlem/opt".parse().unwrap();
    match call {
        Call::PublishDataset { content, .. } => {
            let version = Version {
                number: 3,
                content: content.clone(),
                publisher: account,
                published: now,
                state: VersionState::Withdrawn,
                reason: Some(vocabulary::ReasonCode::Administrative),
                tampering_reported: Some(now),
            };
            record(keys::version(&dataset, 3).into_bytes(), &version);
        }
        Call::SetContract { scope, rules, .. } => {
            let contract = Contract { scope: scope.clone(), version: 2, rules: rules.clone() };
            record(keys::contract(scope).into_bytes(), &contract);
            record(keys::replaced_contract(scope, 2).into_bytes(), &contract);
        }
        Call::RequestAccess { dataset, terms, .. } => {
            let request = Request {
                id: RequestId(id),
                applicant: account.clone(),
                dataset: dataset.clone(),
                terms: terms.clone(),
                state: RequestState::Approved,
                reason: None,
                filed: now,
                changed: now,
                grant: Some(GrantId(id)),
            };
            record(keys::request(RequestId(id)).into_bytes(), &request);
            let grant = Grant {
                id: GrantId(id),
                request: RequestId(id),
                grantee: account.clone(),
                dataset: dataset.clone(),
                terms: terms.clone(),
                limits: GrantLimits { expires: Some(now), uses_max: None, cohort_min: Some(20) },
                uses: 4,
                asserted: now,
                by: account.clone(),
                revoked: None,
            };
            record(keys::grant(GrantId(id)).into_bytes(), &grant);
            record(keys::grants_active(&account, dataset).into_bytes(), &vec![GrantId(id), GrantId(Hash::ZERO)]);
        }
        Call::FinishJob { sites, .. } => {
            let job = Job {
                id: JobId(id),
                submitter: account,
                specification: specification(),
                sites: vec![JobSite {
                    version: "harlem/opt@3".parse().unwrap(),
                    decision: access::Decision { effect: access::Effect::Permit, basis: access::Basis::OwnData },
                    cohort_min: 10,
                    answer: Some(job::SiteGiven::Summary { digest: id }),
                }],
                submitted: now,
                height: 9,
                state: JobState::Finished,
                result: Some(id),
                outcomes: sites.clone(),
                failure: None,
                aggregator: Some("aggregator.harlem".parse().unwrap()),
            };
            record(keys::job(JobId(id)).into_bytes(), &job);
        }
        Call::Propose(change) => {
            let ballot =
                CastBallot { member: "harlem".parse().unwrap(), by: account, ballot: Ballot::Reject, reason: None };
            for effective in [None, Some(Effective::Height(5)), Some(Effective::Time(now))] {
                let proposal = Proposal {
                    id: ProposalId(id),
                    proposer: "node-1.harlem".parse().unwrap(),
                    change: change.clone(),
                    state: ProposalState::Scheduled,
                    ballots: vec![ballot.clone()],
                    made: now,
                    closes: now,
                    effective,
                };
                record(keys::proposal(ProposalId(id)).into_bytes(), &proposal);
            }
            let scheduled = Scheduled { effective: Effective::Height(5), proposal: ProposalId(id) };
            record(keys::schedule().into_bytes(), &vec![scheduled]);
        }
        Call::AddAccount(new) => {
            let account = Account {
                name: account,
                key: new.key,
                encryption_key: new.encryption_key,
                roles: new.roles.clone(),
                standing: Standing::Suspended,
            };
            record(keys::account(&account.name).into_bytes(), &account);
        }
        Call::AddNode(new) => {
            let name: NodeName = "node-1.harlem".parse().unwrap();
            let node = Node {
                name: name.clone(),
                key: new.key,
                role: new.role,
                raft_id: 7,
                address: new.address.clone(),
                standing: Standing::Left,
                registered_height: 3,
            };
            record(keys::node(&name).into_bytes(), &node);
            record(keys::signing_key(&new.key).into_bytes(), &Signer::Node(name));
        }
        _ => {}
    }
}

fn specification() -> job::JobSpecification {
    let calls = examples::calls();
    let found = calls.into_iter().find_map(|(_, call)| if let Call::SubmitJob(job) = call { Some(job) } else { None });
    found.unwrap()
}

/// One example at least of every call there is.
#[test]
fn every_kind_of_call_is_put_into_words() {
    for (_, call) in examples::calls() {
        let body = examples::body(call);
        same(transaction_in_words(&body.encode()), &body);
        records(&body.call);
    }
    for (_, change) in examples::changes() {
        let body = examples::body(Call::Propose(change));
        same(transaction_in_words(&body.encode()), &body);
        records(&body.call);
    }
    let dataset =
        Dataset { name: "harlem/opt".parse().unwrap(), latest: 3, state: VersionState::Active, created: Timestamp(7) };
    record(keys::dataset(&dataset.name).into_bytes(), &dataset);
    let member = Member { name: "harlem".parse().unwrap(), standing: Standing::Active, admitted_height: 7 };
    record(keys::member(&member.name).into_bytes(), &member);
    record(keys::member_left(&member.name).into_bytes(), &Timestamp(1_790_000_000_000));
    record(keys::voter_set().into_bytes(), &examples::voters());
    record(keys::last_recovery().into_bytes(), &Hash([3; 32]));
}

/// A rule that names no member is for every member: its words must not say "none".
#[test]
fn lines_leave_out_what_is_empty() {
    let part = |name: &str, value: Value| (name.to_owned(), value);
    let rule = Value::Record(vec![
        part("effect", Value::Text("permit".to_owned())),
        part("members", Value::List(Vec::new())),
        part("not_before", Value::Nothing),
        part("actions", Value::List(vec![Value::Text("compute".to_owned()), Value::Text("download".to_owned())])),
    ]);
    assert_eq!(rule.to_lines("  "), "  effect permit\n  actions compute, download\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn calls_receipts_and_records_say_the_same(
        body in strategies::body(), receipt in strategies::receipt(), parameters in strategies::parameters(),
        voters in strategies::voter_set(),
    ) {
        same(transaction_in_words(&body.encode()), &body);
        records(&body.call);
        same(receipt_in_words(&receipt.encode()), &receipt);
        record(keys::parameters().into_bytes(), &parameters);
        record(keys::voter_set().into_bytes(), &voters);
    }

    #[test]
    fn any_bytes_are_words_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), table in any::<u8>()) {
        let _ = (transaction_in_words(&bytes), receipt_in_words(&bytes), record_in_words(&[table], &bytes));
        let _ = galen_verifier::key_in_words(&[&[table][..], &bytes].concat());
    }

    #[test]
    fn times_are_written_alike(milliseconds in prop_oneof![any::<u64>(), 0..253_402_300_800_000_u64]) {
        prop_assert_eq!(time_text(milliseconds), Timestamp(milliseconds).to_string());
    }
}
