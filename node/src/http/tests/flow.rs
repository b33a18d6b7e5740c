//! Submitting, waiting, and the way of a compute job.

use bytes::Bytes;
use galen_types::access::GrantLimits;
use galen_types::hash::Context;
use galen_types::job::{JobSpecification, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::proposal::ProposedChange;
use galen_types::vocabulary::{Action, Purpose, ReasonCode, Statistic};
use galen_types::{Call, Encoding, Hash, JobId, RequestId};
use serde_json::json;

use super::client::{get, json as json_request, octets};
use super::visible::terms;
use super::world::{MEMBERS, Served, World, content, name};

fn publish(dataset: &str) -> Call {
    let file = Bytes::from(dataset.to_owned());
    Call::PublishDataset { dataset: name(dataset), content: content(&file), discoverable: true }
}

#[tokio::test]
async fn a_transaction_is_submitted_once_and_its_receipt_given_again() {
    let served = Served::new().await;
    let bytes = served.world.transaction("owner@harlem", publish("opt"));
    let first = octets("/v1/transactions", bytes.clone()).send(&served).await;
    assert_eq!((first.status, first.json()["finality"].as_str()), (200, Some("certified")));
    assert!(first.json()["body"].is_null(), "the sender knows what it sent");
    let again = octets("/v1/transactions", bytes).send(&served).await;
    assert_eq!(again.json(), first.json());

    let bytes = served.world.transaction("owner@harlem", publish("second"));
    let pending = octets("/v1/transactions?wait=none", bytes).send(&served).await;
    assert_eq!((pending.status, pending.json()["finality"].as_str()), (202, Some("pending")));

    *served.world.uncertified.lock().unwrap() = true;
    let bytes = served.world.transaction("owner@harlem", publish("third"));
    let unknown = octets("/v1/transactions?wait=certified&timeout_ms=50", bytes).send(&served).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (504, "outcome-unknown"));

    let mut forged = served.world.transaction("owner@harlem", publish("fourth"));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let refused = octets("/v1/transactions", forged).send(&served).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "transaction-bad-signature"));
}

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let served = Served::new().await;
    let good = |dataset: &str| served.world.transaction("owner@harlem", publish(dataset));
    let batch = vec![good("one"), b"nonsense".to_vec(), good("two")].encode();
    let answer = octets("/v1/transactions/batch", batch).send(&served).await;
    let items = answer.json();
    assert_eq!(items.as_array().unwrap().len(), 3);
    assert_eq!(items[0]["receipt"]["outcome"]["status"], "applied");
    assert_eq!(items[1]["code"], "encoding-malformed");
    assert_eq!(items[2]["receipt"]["outcome"]["status"], "applied");
}

#[tokio::test]
async fn blocks_are_listed_from_either_end() {
    let served = Served::new().await;
    for dataset in ["a", "b", "c", "d"] {
        served.world.done("owner@harlem", publish(dataset));
    }
    let newest = served.world.height();
    let heights = async |query: &str| {
        let page = get(&format!("/v1/blocks?{query}")).signed(&served, "owner@harlem").send(&served).await;
        let heights: Vec<_> = page.items().iter().map(|item| item["height"].as_u64().unwrap()).collect();
        (heights, page.json()["next"].as_str().map(str::to_owned))
    };
    assert_eq!(heights("").await, ((1..=newest).collect(), None));
    assert_eq!(heights("limit=2").await, (vec![1, 2], Some("2".to_owned())));
    assert_eq!(heights(&format!("start_after={}", newest - 1)).await, (vec![newest], None));
    assert_eq!(heights("order=desc&limit=2").await, (vec![newest, newest - 1], Some((newest - 1).to_string())));
    assert_eq!(heights("order=desc&start_after=2").await, (vec![1], None));
    assert_eq!(heights(&format!("start_after={}", u64::MAX)).await, (vec![], None));
    assert_eq!(heights("order=desc&start_after=0").await, (vec![], None));
}

pub(super) fn specification() -> JobSpecification {
    JobSpecification {
        datasets: MEMBERS.into_iter().map(|member| name(&format!("{member}/opt"))).collect(),
        statistics: vec![Statistic::Count, Statistic::Mean],
        columns: vec![name("Age")],
        by: Some(name("Group")),
        filter_columns: Vec::new(),
        filter: None,
        purpose: Purpose::HealthcareResearch,
        data_use: Vec::new(),
    }
}

/// A finished job of `researcher@kentucky` over all members, and its result document.
fn finished_job(world: &World) -> (JobId, Bytes) {
    for member in MEMBERS {
        let owner = format!("owner@{member}");
        world.done(&owner, publish("opt"));
        let dataset = name(&format!("{member}/opt"));
        let request = Call::RequestAccess { dataset, terms: terms(Action::Compute), draft: false };
        let request = RequestId(world.done("researcher@kentucky", request));
        world.done(&owner, Call::ApproveRequest { request, limits: GrantLimits::default() });
    }
    let job = JobId(world.done("researcher@kentucky", Call::SubmitJob(specification())));
    for member in MEMBERS {
        let given = SiteGiven::Summary { digest: Hash::ZERO };
        let answer = SiteAnswer { dataset: name(&format!("{member}/opt")), given };
        world.done(&format!("node-1.{member}"), Call::AnswerJob { job, answer });
    }
    let document = Bytes::from_static(b"{\"Age\": {\"mean\": 27.5}}");
    let result = Hash::of(Context::JobResult, &document);
    let sites = MEMBERS.map(|member| SiteOutcome { dataset: name(&format!("{member}/opt")), refused: None });
    let finish = Call::FinishJob { job, result, sites: sites.to_vec(), summaries_deleted: true };
    world.done("aggregator.harlem", finish);
    (job, document)
}

#[tokio::test]
async fn a_result_is_given_to_its_submitter_against_the_certified_receipt() {
    let served = Served::new().await;
    let world = &served.world;
    let ask = async |account: &str, target: &str| get(target).signed(&served, account).send(&served).await;
    let opening = json!({"job": Hash::ZERO, "filter": "Age >= 18", "salt": "0".repeat(64)});
    let request = json_request("POST", "/v1/jobs/openings", &opening).signed(&served, "researcher@kentucky");
    assert_eq!(request.send(&served).await.status, 204);
    assert_eq!(world.openings.lock().unwrap()[0].1.filter, "Age >= 18");

    let (job, document) = finished_job(world);
    *world.result.lock().unwrap() = document.clone();
    *world.uncertified.lock().unwrap() = true;
    let receipt = world.done("researcher@kentucky", Call::ReadResult { job });
    let target = format!("/v1/jobs/{}/result?receipt={receipt}", &job.to_string()[..12]);
    assert_eq!(ask("researcher@kentucky", &target).await.code(), "receipt-not-certified");
    world.certify();
    let answer = ask("researcher@kentucky", &target).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, document.as_ref()));
    assert_eq!(answer.header("galen-digest"), Some(Hash::of(Context::JobResult, &document).to_string().as_str()));
    for account in ["owner@kentucky", "owner@harlem", "auditor@harlem"] {
        assert_eq!(ask(account, &target).await.status, 404, "{account}");
    }
    let other = format!("/v1/jobs/{job}/result?receipt={}", job);
    assert_eq!(ask("researcher@kentucky", &other).await.status, 404, "the job's own receipt releases nothing");
    // What is not what the chain names is not given out.
    *world.result.lock().unwrap() = Bytes::from_static(b"{}");
    assert_eq!(ask("researcher@kentucky", &target).await.status, 500);

    let detail = ask("owner@harlem", &format!("/v1/jobs/{job}")).await.json();
    assert_eq!((detail["progress"]["answered"].as_u64(), detail["progress"]["sites"].as_u64()), (Some(3), Some(3)));
    assert_eq!(ask("owner@harlem", "/v1/jobs?state=finished").await.items().len(), 1);
    assert_eq!(ask("owner@harlem", "/v1/jobs?state=running").await.items().len(), 0);
    assert_eq!(ask("auditor@harlem", "/v1/jobs?submitter=researcher@kentucky").await.items().len(), 1);
}

#[tokio::test]
async fn members_accounts_and_nodes_are_listed_to_every_account() {
    let served = Served::new().await;
    let ask = async |target: &str| get(target).signed(&served, "researcher@hennepin").send(&served).await;
    assert_eq!(ask("/v1/members").await.items().len(), 3);
    assert_eq!(ask("/v1/members?limit=2").await.json()["next"], "hennepin");
    assert_eq!(ask("/v1/members?limit=2&start_after=hennepin").await.items().len(), 1);
    assert_eq!(ask("/v1/members/harlem").await.json()["standing"], "active");
    assert_eq!(ask("/v1/members/absent").await.code(), "not-found");
    assert_eq!(ask("/v1/members/NO").await.code(), "parameter-invalid");
    assert_eq!(ask("/v1/accounts?member=harlem").await.items().len(), 5);
    assert_eq!(ask("/v1/accounts/owner@harlem").await.json()["roles"][0], "owner");
    assert_eq!(ask("/v1/nodes").await.items().len(), 4);
    assert_eq!(ask("/v1/parameters").await.json()["block_transactions_max"], 2_000);
    let change = ProposedChange::SuspendMember { member: name("kentucky"), reason: ReasonCode::TermsBroken };
    let id = served.world.done("admin@harlem", Call::Propose(change)).to_string();
    assert_eq!(ask("/v1/proposals").await.items()[0]["id"], id.as_str());
    assert_eq!(ask(&format!("/v1/proposals/{}", &id[..9])).await.json()["state"], "open");
    assert_eq!(ask(&format!("/v1/proposals/{}", Hash::ZERO)).await.status, 404);
}
