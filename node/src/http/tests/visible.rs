//! What an account may not see does not exist for it.

use bytes::Bytes;
use galen_types::access::{AccessTerms, Effect, GrantLimits, Rule, Scope};
use galen_types::api::Card;
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{Call, Hash, RequestId};

use super::client::{Answer, get};
use super::world::{Served, World, content, name};

pub(super) fn terms(action: Action) -> AccessTerms {
    AccessTerms {
        action,
        purpose: Purpose::HealthcareResearch,
        columns: Vec::new(),
        statistics: Vec::new(),
        data_use: Vec::new(),
    }
}

fn publish(world: &World, dataset: &str, discoverable: bool) {
    let (member, slug) = dataset.split_once('/').unwrap();
    let content = content(&Bytes::from(dataset.to_owned()));
    world.done(&format!("owner@{member}"), Call::PublishDataset { dataset: name(slug), content, discoverable });
}

async fn ask(served: &Served, account: &str, target: &str) -> Answer {
    get(target).signed(served, account).send(served).await
}

/// The names of the items of a page, by a path into each.
fn names(answer: &Answer, pointer: &str) -> Vec<String> {
    answer.items().iter().map(|item| item.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn datasets_are_found_by_those_who_may_discover_them() {
    let served = Served::new().await;
    publish(&served.world, "harlem/open", true);
    publish(&served.world, "harlem/closed", false);
    publish(&served.world, "kentucky/open", true);
    let seen = async |account: &str| names(&ask(&served, account, "/v1/datasets").await, "/dataset/name");
    assert_eq!(seen("researcher@harlem").await, ["harlem/closed", "harlem/open", "kentucky/open"]);
    assert_eq!(seen("researcher@kentucky").await, ["harlem/open", "kentucky/open"]);
    for target in ["/v1/datasets/harlem/closed", "/v1/datasets/harlem/closed/history", "/v1/contracts/harlem/closed"] {
        let hidden = ask(&served, "researcher@kentucky", target).await;
        let absent = ask(&served, "researcher@kentucky", &target.replace("closed", "absent")).await;
        assert_eq!((hidden.status, hidden.json()), (404, absent.json()), "{target}");
        assert_eq!(ask(&served, "researcher@harlem", target).await.status, 200, "{target}");
    }
    let detail = ask(&served, "researcher@kentucky", "/v1/datasets/harlem/open").await.json();
    assert_eq!(detail["versions"][0]["number"], 1);
    // The whole trail is open to auditors, the dataset's page is not.
    assert_eq!(ask(&served, "auditor@kentucky", "/v1/datasets/harlem/closed").await.status, 404);
    assert_eq!(ask(&served, "auditor@kentucky", "/v1/datasets/harlem/closed/history").await.status, 200);
}

/// Kentucky may do this for public health.
pub(super) fn permit_kentucky(action: Action) -> Rule {
    Rule {
        name: name("for-public-health"),
        effect: Effect::Permit,
        members: vec![name("kentucky")],
        accounts: Vec::new(),
        roles: Vec::new(),
        actions: vec![action],
        purposes: vec![Purpose::PublicHealth],
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: None,
    }
}

#[tokio::test]
async fn discovery_for_one_purpose_or_a_grant_is_enough() {
    let served = Served::new().await;
    publish(&served.world, "harlem/opt", false);
    let may_see = async || ask(&served, "researcher@kentucky", "/v1/datasets/harlem/opt").await.status == 200;
    assert!(!may_see().await);
    let mut rule = permit_kentucky(Action::Discover);
    let scope = Scope::Dataset(name("harlem/opt"));
    served
        .world
        .done("owner@harlem", Call::SetContract { scope: scope.clone(), previous: 0, rules: vec![rule.clone()] });
    assert!(may_see().await);
    rule.actions = vec![Action::Compute];
    served.world.done("owner@harlem", Call::SetContract { scope, previous: 1, rules: vec![rule] });
    assert!(!may_see().await);
    let dataset = name("harlem/opt");
    let request = served
        .world
        .done("researcher@kentucky", Call::RequestAccess { dataset, terms: terms(Action::Compute), draft: false });
    assert!(!may_see().await);
    let limits = GrantLimits::default();
    served.world.done("owner@harlem", Call::ApproveRequest { request: RequestId(request), limits });
    assert!(may_see().await);
}

#[tokio::test]
async fn searching_narrows() {
    let served = Served::new().await;
    for dataset in ["harlem/alpha", "harlem/beta", "kentucky/alpha"] {
        publish(&served.world, dataset, true);
    }
    let card = Card { title: "Preterm births".to_owned(), ..Card::default() };
    served.world.cards.lock().unwrap().insert(name("harlem/beta"), card);
    let found = async |query: &str| {
        names(&ask(&served, "researcher@hennepin", &format!("/v1/datasets?{query}")).await, "/dataset/name")
    };
    assert_eq!(found("member=kentucky").await, ["kentucky/alpha"]);
    assert_eq!(found("text=ALPHA").await, ["harlem/alpha", "kentucky/alpha"]);
    assert_eq!(found("text=births+preterm").await, ["harlem/beta"]);
    assert_eq!(found("text=age").await.len(), 3);
    assert_eq!(found("column=Age").await.len(), 3);
    assert_eq!(found("column=age").await.len(), 0);
    assert_eq!(found("data_use=HMB").await.len(), 3);
    assert_eq!(found("data_use=GRU").await.len(), 0);
    let page = ask(&served, "researcher@hennepin", "/v1/datasets?text=alpha&limit=1").await;
    assert_eq!(page.json()["next"], "harlem/alpha");
    assert_eq!(found("text=alpha&limit=1&start_after=harlem/alpha").await, ["kentucky/alpha"]);
    let answer = ask(&served, "researcher@hennepin", "/v1/datasets?data_use=XYZ").await;
    assert_eq!(answer.code(), "parameter-invalid");
}

#[tokio::test]
async fn requests_and_grants_are_for_both_sides_and_auditors() {
    let served = Served::new().await;
    publish(&served.world, "harlem/opt", true);
    let file = |draft| {
        let call = Call::RequestAccess { dataset: name("harlem/opt"), terms: terms(Action::Compute), draft };
        served.world.done("researcher@kentucky", call)
    };
    let (draft, request) = (file(true), file(false));
    let limits = GrantLimits::default();
    let grant = served.world.done("owner@harlem", Call::ApproveRequest { request: RequestId(request), limits });

    let requests =
        async |account: &str, query: &str| names(&ask(&served, account, &format!("/v1/requests?{query}")).await, "/id");
    let (draft, request, grant) = (draft.to_string(), request.to_string(), grant.to_string());
    for query in ["", "dataset=harlem/opt", "applicant=researcher@kentucky"] {
        assert_eq!(requests("researcher@kentucky", query).await, [draft.clone(), request.clone()], "{query}");
        assert_eq!(requests("owner@harlem", query).await, std::slice::from_ref(&request), "{query}");
        assert_eq!(requests("auditor@hennepin", query).await.len(), 2, "{query}");
        assert!(requests("admin@hennepin", query).await.is_empty(), "{query}");
    }
    assert_eq!(requests("researcher@kentucky", "state=draft").await, std::slice::from_ref(&draft));
    assert_eq!(requests("researcher@kentucky", "state=approved").await, std::slice::from_ref(&request));

    let short = &request[..10];
    let answer = ask(&served, "owner@harlem", &format!("/v1/requests/{short}")).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(request.as_str())));
    assert_eq!(ask(&served, "owner@harlem", &format!("/v1/requests/{draft}")).await.status, 404);
    assert_eq!(ask(&served, "admin@hennepin", &format!("/v1/requests/{request}")).await.status, 404);
    for text in ["abc", &request[..7], &request.to_uppercase(), "zzzzzzzz"] {
        assert_eq!(ask(&served, "owner@harlem", &format!("/v1/requests/{text}")).await.code(), "parameter-invalid");
    }
    for query in ["", "dataset=harlem/opt", "grantee=researcher@kentucky"] {
        let target = format!("/v1/grants?{query}");
        for account in ["researcher@kentucky", "owner@harlem", "auditor@hennepin"] {
            assert_eq!(
                names(&ask(&served, account, &target).await, "/id"),
                std::slice::from_ref(&grant),
                "{account} {query}"
            );
        }
        assert!(ask(&served, "owner@kentucky", &target).await.items().is_empty());
    }
    assert_eq!(ask(&served, "owner@harlem", &format!("/v1/grants/{}", &grant[..8])).await.status, 200);
    assert_eq!(ask(&served, "owner@kentucky", &format!("/v1/grants/{grant}")).await.status, 404);
}

#[tokio::test]
async fn a_transactions_body_and_events_are_for_those_concerned() {
    let served = Served::new().await;
    publish(&served.world, "harlem/opt", true);
    let call = Call::RequestAccess { dataset: name("harlem/opt"), terms: terms(Action::Download), draft: false };
    let id = served.world.done("researcher@kentucky", call);
    let target = format!("/v1/transactions/{id}");
    for account in ["researcher@kentucky", "owner@kentucky", "researcher@harlem", "auditor@hennepin", "admin@hennepin"]
    {
        let answer = ask(&served, account, &target).await.json();
        assert_eq!(answer["body"]["signer"], "researcher@kentucky", "{account}");
        assert_eq!(answer["receipt"]["events"].as_array().unwrap().len(), 1, "{account}");
    }
    let stranger = ask(&served, "researcher@hennepin", &target).await.json();
    let nobody = get(&target).send(&served).await.json();
    assert_eq!(stranger, nobody);
    assert!(nobody["body"].is_null());
    assert_eq!(nobody["receipt"]["events"].as_array().unwrap().len(), 0);
    assert_eq!(nobody["receipt"]["outcome"]["status"], "applied");
    assert_eq!(nobody["finality"], "certified");
    assert_eq!(get(&format!("/v1/transactions/{}", Hash::ZERO)).send(&served).await.status, 404);

    let height = served.world.height();
    let receipts = async |account: &str| {
        let block = ask(&served, account, &format!("/v1/blocks/{height}")).await.json();
        assert_eq!(block["transactions"][0], id.to_string());
        block["receipts"].as_array().unwrap().len()
    };
    assert_eq!(receipts("owner@harlem").await, 1);
    assert_eq!(receipts("researcher@hennepin").await, 0);
    assert_eq!(ask(&served, "owner@harlem", &format!("/v1/blocks/{}", height + 1)).await.status, 404);
    assert_eq!(ask(&served, "owner@harlem", "/v1/blocks/0").await.status, 404);
}

#[tokio::test]
async fn the_trail_shows_each_what_concerns_it_and_pages_through() {
    let served = Served::new().await;
    publish(&served.world, "harlem/opt", true);
    publish(&served.world, "kentucky/opt", true);
    let call = Call::RequestAccess { dataset: name("harlem/opt"), terms: terms(Action::Download), draft: false };
    served.world.done("researcher@kentucky", call);
    let operations = async |account: &str, query: &str| {
        names(&ask(&served, account, &format!("/v1/audit?{query}")).await, "/operation")
    };
    // Three suspensions at the beginning, one a member.
    let everything = ["suspend-account", "suspend-account", "suspend-account", "publish", "publish", "request-access"];
    assert_eq!(operations("auditor@hennepin", "").await, everything);
    assert_eq!(operations("admin@hennepin", "").await, everything);
    assert_eq!(operations("researcher@hennepin", "").await, ["suspend-account"]);
    assert_eq!(operations("owner@harlem", "").await, ["suspend-account", "publish", "request-access"]);
    assert_eq!(operations("owner@kentucky", "").await, ["suspend-account", "publish", "request-access"]);
    assert_eq!(operations("auditor@hennepin", "dataset=harlem/opt").await, ["publish", "request-access"]);
    assert_eq!(operations("auditor@hennepin", "account=owner@harlem").await, ["publish"]);
    assert_eq!(operations("auditor@hennepin", "member=kentucky").await.len(), 3);
    assert_eq!(operations("owner@harlem", "member=kentucky").await, ["request-access"]);
    assert_eq!(operations("owner@harlem", "account=owner@kentucky").await, Vec::<String>::new());

    let all = ask(&served, "auditor@hennepin", "/v1/audit").await.items();
    let fourth = all[3]["time"].as_str().unwrap();
    assert_eq!(operations("auditor@hennepin", &format!("since={fourth}")).await.len(), 3);
    assert_eq!(operations("auditor@hennepin", &format!("until={fourth}")).await.len(), 3);
    assert_eq!(operations("auditor@hennepin", &format!("since={fourth}&until={fourth}")).await.len(), 0);
    assert_eq!(all[3]["ciphertext"], content(&Bytes::from_static(b"harlem/opt")).ciphertext.to_string());

    let (mut paged, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = ask(&served, "auditor@hennepin", &format!("/v1/audit?{query}")).await;
        paged.extend(page.items());
        match page.json()["next"].as_str() {
            Some(next) => query = format!("limit=2&start_after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    assert_eq!(ask(&served, "auditor@hennepin", "/v1/audit?start_after=1.2").await.code(), "parameter-invalid");
}
