//! How old an answer may be: every route that reads the chain, confirmed and not.

use galen_types::Call;
use galen_types::member::{EncryptionKey, NewAccount, Role};
use galen_types::vocabulary::ReasonCode;

use super::client::{Answer, get};
use super::matrix::sample;
use super::world::{Served, key_of, name};
use crate::http::route::Route;
use crate::http::routes;

/// The routes that say how old their answer may be.
fn reading() -> Vec<Route> {
    let takes = |route: &Route| route.query.iter().any(|parameter| parameter.name == "consistency");
    routes::all().into_iter().filter(takes).collect()
}

async fn ask(served: &Served, route: &Route, account: &str, consistency: &str) -> Answer {
    let mut request = sample(route);
    request.target.push(if request.target.contains('?') { '&' } else { '?' });
    request.target.push_str(&format!("consistency={consistency}&timeout_ms=60000"));
    request.signed(served, account).send(served).await
}

fn height(answer: &Answer) -> Option<u64> {
    answer.header("galen-height").map(|height| height.parse().unwrap())
}

fn suspend(account: &str) -> Call {
    Call::SuspendAccount { account: name(account), reason: ReasonCode::Administrative }
}

#[tokio::test]
async fn every_read_of_the_chain_names_its_height_and_can_be_confirmed() {
    let served = Served::new().await;
    let routes = reading();
    assert!(routes.len() > 20, "{}", routes.len());
    for (number, route) in routes.iter().enumerate() {
        served.world.fall_behind(usize::MAX);
        let before = served.world.height();
        let other = "owner@kentucky";
        let call = if number % 2 == 0 { suspend(other) } else { Call::RestoreAccount { account: name(other) } };
        served.world.done("admin@kentucky", call);
        let plain = ask(&served, route, "admin@harlem", "local").await;
        assert!(plain.status < 500 && plain.status != 400, "{}: {plain:?}", route.path);
        assert_eq!(height(&plain), Some(before), "{}: {plain:?}", route.path);
        let confirmed = ask(&served, route, "admin@harlem", "linearizable").await;
        assert_eq!(confirmed.status, plain.status, "{}: {confirmed:?}", route.path);
        assert_eq!(height(&confirmed), Some(before + 1), "{}: {confirmed:?}", route.path);
    }
}

#[tokio::test]
async fn what_no_quorum_confirms_is_refused_and_never_answered_from_what_the_node_holds() {
    let served = Served::new().await;
    *served.world.unconfirmed.lock().unwrap() = true;
    for route in reading() {
        let answer = ask(&served, &route, "admin@harlem", "linearizable").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "read-not-confirmed"), "{}", route.path);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.json()["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
        assert_eq!(height(&answer), None, "{}", route.path);
        assert_ne!(ask(&served, &route, "admin@harlem", "local").await.status, 503, "{}", route.path);
    }
}

#[tokio::test]
async fn who_may_read_is_judged_by_the_state_that_is_read() {
    let served = Served::new().await;
    let members = |consistency: &str, account: &str| {
        get(&format!("/v1/members?consistency={consistency}")).signed(&served, account)
    };
    // Suspended elsewhere: this node does not know it yet.
    served.world.fall_behind(usize::MAX);
    served.world.done("admin@harlem", suspend("owner@harlem"));
    assert_eq!(members("local", "owner@harlem").send(&served).await.status, 200);
    let answer = members("linearizable", "owner@harlem").send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "account-not-active"));
    // Made elsewhere.
    served.world.fall_behind(usize::MAX);
    let account = NewAccount {
        account: name("new"),
        key: key_of("new@harlem").public_key(),
        encryption_key: EncryptionKey([3; 32]),
        roles: vec![Role::Owner],
    };
    served.world.done("admin@harlem", Call::AddAccount(account));
    assert_eq!(members("local", "new@harlem").send(&served).await.code(), "authentication-failed");
    assert_eq!(members("linearizable", "new@harlem").send(&served).await.status, 200);
}

#[tokio::test]
async fn a_right_that_is_lost_after_the_signature_was_checked_opens_nothing() {
    let served = Served::new().await;
    let answer_after = async |call: Call, target: &str, account: &str| {
        let request = get(target).signed(&served, account);
        // The account is looked up in one view, and the next shows the block after it.
        served.world.fall_behind(1);
        served.world.done("admin@harlem", call);
        let answer = request.send(&served).await;
        (answer.status, answer.code())
    };
    let contacts = "/v1/datasets/harlem/opt/history";
    let suspended = answer_after(suspend("researcher@harlem"), contacts, "researcher@harlem").await;
    assert_eq!(suspended, (403, "account-not-active".to_owned()));
}

#[tokio::test]
async fn a_consistency_that_is_none_and_a_wait_too_long_are_refused() {
    let served = Served::new().await;
    for query in
        ["consistency=eventual", "consistency=linearizable&timeout_ms=0", "consistency=linearizable&timeout_ms=60001"]
    {
        let answer = get(&format!("/v1/chain?{query}")).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "parameter-invalid"), "{query}");
    }
    let answer = get("/v1/genesis?consistency=linearizable").send(&served).await;
    assert_eq!(answer.code(), "parameter-unknown", "it never changes");
}
