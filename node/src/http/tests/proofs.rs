//! Who may have which offline proof. What is in one is tested with real ledgers elsewhere.

use super::client::get;
use super::world::Served;

async fn status(served: &Served, account: &str, target: &str) -> (u16, String) {
    let answer = get(target).signed(served, account).send(served).await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status, code)
}

#[tokio::test]
async fn absence_and_what_is_hidden_is_proven_to_who_oversees_only() {
    let served = Served::new().await;
    let absent = "/v1/proofs/state?names=grants:researcher@harlem:kentucky/opt";
    for (account, expected) in
        [("auditor@harlem", 200), ("admin@kentucky", 200), ("researcher@harlem", 404), ("owner@kentucky", 404)]
    {
        assert_eq!(status(&served, account, absent).await.0, expected, "{account}");
    }
    let present = "/v1/proofs/state?names=parameters,member:harlem,account:owner@kentucky";
    assert_eq!(status(&served, "researcher@harlem", present).await.0, 200);
    let (code, name) = status(&served, "researcher@harlem", "/v1/proofs/state?names=parameters,key:02").await;
    assert_eq!((code, name.as_str()), (404, "not-found"));
    assert_eq!(status(&served, "auditor@harlem", "/v1/proofs/state?names=key:02").await.0, 200);
}

#[tokio::test]
async fn names_that_are_none_or_too_many_are_refused() {
    let served = Served::new().await;
    for names in ["", "nonsense", "member:", "parameters,", "grant:12", &["parameters"; 33].join(",")] {
        let answer = status(&served, "auditor@harlem", &format!("/v1/proofs/state?names={names}")).await;
        assert_eq!(answer, (400, "parameter-invalid".to_owned()), "{names}");
    }
    let answer = status(&served, "auditor@harlem", "/v1/proofs/state?names=parameters&height=x").await;
    assert_eq!(answer, (400, "parameter-invalid".to_owned()));
}
