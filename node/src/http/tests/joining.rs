//! The way into the consortium, and the votes that must not stop it.

use galen_types::api::CONTACTS_BYTES_MAX;
use galen_types::application::{Application, Invitation, InvitationToken, Offer, SignedApplication, sign_withdrawal};
use galen_types::member::{EncryptionKey, NewAccount, NewNode, NodeAddress, NodeRole, Role};
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::vocabulary::ReasonCode;
use galen_types::{Call, Hash, ProposalId, Timestamp};
use serde_json::{Value, json};

use super::client::{Answer, Request, get, json as json_request, octets};
use super::world::{Served, key_of, name};

const SALT: [u8; 32] = [3; 32];
pub(super) const CONTACTS: &str = "data office, +1 614 555 0100";

pub(super) fn application(served: &Served, member: &str, address: &str) -> Application {
    let (administrator, node) = (format!("admin@{member}"), format!("node-1.{member}"));
    Application {
        genesis: served.world.genesis_of(),
        member: name(member),
        administrator: NewAccount {
            account: name("admin"),
            key: key_of(&administrator).public_key(),
            encryption_key: EncryptionKey([4; 32]),
            roles: vec![Role::Admin],
        },
        node: NewNode {
            node: name("node-1"),
            key: key_of(&node).public_key(),
            role: NodeRole::Voter,
            address: NodeAddress::parse(address).unwrap(),
        },
        offers: vec![Offer::Datasets, Offer::Voting],
        contacts: Hash::commitment(&SALT, CONTACTS.as_bytes()),
        made: Timestamp::now(),
    }
}

/// Signed by the keys of its member.
pub(super) fn sign(application: Application) -> SignedApplication {
    let member = application.member.clone();
    application.sign(&key_of(&format!("admin@{member}")), &key_of(&format!("node-1.{member}")))
}

/// What an applicant sends.
pub(super) fn submitted(signed: &SignedApplication) -> Value {
    json!({ "application": signed, "contacts": CONTACTS, "salt": hex::encode(SALT) })
}

fn submission(application: Application) -> Value {
    submitted(&sign(application))
}

fn apply(body: &Value) -> Request {
    json_request("POST", "/v1/applications", body)
}

async fn applied(served: &Served, member: &str) -> String {
    let body = submission(application(served, member, "/ip4/127.0.0.1/tcp/7401"));
    let answer = apply(&body).send(served).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["sponsor"], "node-1.harlem");
    answer.json()["proposal"].as_str().unwrap().to_owned()
}

fn vote(served: &Served, member: &str, proposal: &str, ballot: Ballot) {
    let proposal = ProposalId(name(proposal));
    served.world.done(&format!("admin@{member}"), Call::Vote { proposal, ballot, reason: None });
}

async fn join(served: &Served, id: &str) -> Value {
    let answer = get(&format!("/v1/join/{id}")).send(served).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn an_institution_applies_is_voted_on_and_is_told_where_to_connect() {
    let served = Served::new().await;
    let id = applied(&served, "ohio").await;
    let pending = join(&served, &id).await;
    assert_eq!((pending["state"].as_str(), pending["member"].as_str()), (Some("pending"), Some("ohio")));
    let count = json!({"approvals": 0, "rejections": 0, "approvals_needed": 2, "members": 3});
    assert_eq!(pending["ballots"], count);
    assert!(pending["admitted"].is_null());

    vote(&served, "harlem", &id, Ballot::Approve);
    assert_eq!(join(&served, &id).await["ballots"]["approvals"], 1);
    vote(&served, "kentucky", &id, Ballot::Approve);
    let admitted = join(&served, &id).await;
    assert_eq!(admitted["state"], "admitted");
    assert_eq!(admitted["admitted"]["member"]["standing"], "active");
    assert_eq!(admitted["admitted"]["node"]["name"], "node-1.ohio");
    let peers: Vec<_> =
        admitted["admitted"]["peers"].as_array().unwrap().iter().map(|peer| peer["name"].as_str().unwrap()).collect();
    assert_eq!(peers, ["aggregator.harlem", "node-1.harlem", "node-1.hennepin", "node-1.kentucky"]);
    assert!(admitted["node_time"].as_str().unwrap().parse::<Timestamp>().is_ok());
}

#[tokio::test]
async fn an_applicant_takes_its_application_back() {
    let served = Served::new().await;
    let id = applied(&served, "ohio").await;
    let withdraw = |id: &str, seed: &str| {
        let signature = sign_withdrawal(ProposalId(name(id)), &key_of(seed));
        json_request("POST", &format!("/v1/join/{id}/withdraw"), &json!({ "signature": signature }))
    };
    let forged = withdraw(&id, "admin@harlem").send(&served).await;
    assert_eq!((forged.status, forged.code().as_str()), (422, "withdrawal-bad-signature"));
    assert_eq!(join(&served, &id).await["state"], "pending", "nothing was recorded");
    for _ in 0..2 {
        let withdrawn = withdraw(&id, "admin@ohio").send(&served).await;
        assert_eq!((withdrawn.status, withdrawn.json()["state"].as_str()), (200, Some("withdrawn")), "also again");
    }
    assert_eq!(join(&served, &id).await["state"], "withdrawn");

    let id = applied(&served, "iowa").await;
    vote(&served, "harlem", &id, Ballot::Approve);
    vote(&served, "kentucky", &id, Ballot::Approve);
    let late = withdraw(&id, "admin@iowa").send(&served).await;
    assert_eq!((late.status, late.code().as_str()), (409, "application-decided"));
    let unknown = withdraw(&"00".repeat(32), "admin@iowa").send(&served).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn rejections_end_an_application() {
    let served = Served::new().await;
    let id = applied(&served, "ohio").await;
    vote(&served, "harlem", &id, Ballot::Reject);
    vote(&served, "kentucky", &id, Ballot::Reject);
    let rejected = join(&served, &id).await;
    assert_eq!((rejected["state"].as_str(), rejected["ballots"]["rejections"].as_u64()), (Some("rejected"), Some(2)));
    let dialled = json_request("POST", &format!("/v1/join/{id}/dial-back"), &Value::Null);
    let dialled = Request { headers: Vec::new(), body: Vec::new(), ..dialled };
    assert_eq!(dialled.send(&served).await.status, 404, "nobody is dialled any more");
}

#[tokio::test]
async fn what_is_wrong_with_an_application_is_said_and_nothing_is_recorded() {
    let served = Served::new().await;
    let height = served.world.height();
    let sound = || application(&served, "ohio", "/ip4/127.0.0.1/tcp/7401");
    let refused = async |body: &Value| {
        let answer = apply(body).send(&served).await;
        (answer.status, answer.code())
    };
    let other_chain = Application { genesis: Hash::ZERO, ..sound() };
    assert_eq!(refused(&submission(other_chain)).await, (422, "application-wrong-chain".to_owned()));

    let mut forged = submission(sound());
    forged["application"]["application"]["offers"] = json!(["datasets"]);
    assert_eq!(refused(&forged).await, (422, "application-bad-signature".to_owned()));

    let mut other_contacts = submission(sound());
    other_contacts["contacts"] = json!("somebody else");
    assert_eq!(refused(&other_contacts).await, (422, "contacts-differ".to_owned()));

    let mut long = submission(sound());
    long["contacts"] = json!("x".repeat(CONTACTS_BYTES_MAX + 1));
    assert_eq!(refused(&long).await, (422, "contacts-too-long".to_owned()));

    let mut unknown = submission(sound());
    unknown["more"] = json!(1);
    assert_eq!(refused(&unknown).await, (400, "json-malformed".to_owned()));

    let member_already = application(&served, "kentucky", "/ip4/127.0.0.1/tcp/7401");
    assert_eq!(refused(&submission(member_already)).await, (409, "application-refused".to_owned()));
    assert_eq!(served.world.height(), height);
}

#[tokio::test]
async fn applications_of_one_address_are_bounded() {
    let served = Served::new().await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(apply(&json!({})).send(&served).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 10);
    assert!(statuses[10..].iter().all(|status| *status == 429));
}

#[tokio::test]
async fn the_applicants_node_is_dialled_at_the_address_in_the_application_only() {
    let served = Served::new().await;
    let dial = async |id: &str| -> Answer {
        let request = Request { method: "POST".to_owned(), ..get(&format!("/v1/join/{id}/dial-back")) };
        request.send(&served).await
    };
    let id = applied(&served, "ohio").await;
    let answer = dial(&id).await.json();
    assert_eq!(
        (answer["reached"].as_bool(), answer["address"].as_str()),
        (Some(true), Some("/ip4/127.0.0.1/tcp/7401"))
    );
    let far = submission(application(&served, "iowa", "/ip4/192.0.2.1/tcp/7401"));
    let far = apply(&far).send(&served).await.json()["proposal"].as_str().unwrap().to_owned();
    let answer = dial(&far).await.json();
    assert_eq!(answer["reached"], false);
    assert!(answer["detail"].as_str().unwrap().contains("no node with the key of the application"));
    assert_eq!(dial(&"0".repeat(64)).await.status, 404);
    let dialled = served.world.dialled.lock().unwrap().clone();
    let keys: Vec<_> = dialled.iter().map(|(_, key)| *key).collect();
    assert_eq!(keys, ["node-1.ohio", "node-1.iowa"].map(|node| key_of(node).public_key()), "the key must be proved");
}

#[tokio::test]
async fn an_application_that_is_sent_again_is_the_same_one_whatever_became_of_it() {
    let served = Served::new().await;
    let first = application(&served, "ohio", "/ip4/127.0.0.1/tcp/7401");
    let body = submission(first.clone());
    let send = async |body: &Value| apply(body).send(&served).await;
    let id = send(&body).await.json()["proposal"].as_str().unwrap().to_owned();
    let height = served.world.height();
    let again = async |body: &Value| {
        let answer = send(body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["sponsor"], "node-1.harlem");
        answer.json()["proposal"].as_str().unwrap().to_owned()
    };
    assert_eq!(again(&body).await, id);
    // Made anew by the same keys while the first is open.
    let later = submission(Application { made: first.made.plus_ms(1), ..first.clone() });
    assert_eq!(again(&later).await, id);
    // Another institution's, under the name.
    let other = Application { made: first.made.plus_ms(2), ..first };
    let stranger = key_of("stranger");
    let mut asked = other.clone();
    asked.node.key = stranger.public_key();
    let signed = asked.sign(&key_of("admin@ohio"), &stranger);
    let taken = json!({ "application": signed, "contacts": CONTACTS, "salt": hex::encode(SALT) });
    assert_eq!(send(&taken).await.code(), "application-refused");
    assert_eq!(served.world.height(), height, "nothing more is on the chain");

    for member in ["harlem", "kentucky"] {
        vote(&served, member, &id, Ballot::Approve);
    }
    assert_eq!(again(&body).await, id, "it was admitted meanwhile");
}

#[tokio::test]
async fn only_who_was_invited_applies() {
    let served = Served::new().await;
    let token = InvitationToken([9; 24]);
    *served.world.invites.lock().unwrap() = Some(token);
    let mut body = submission(application(&served, "ohio", "/ip4/127.0.0.1/tcp/7401"));
    let height = served.world.height();
    let answer = apply(&body).send(&served).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "application-not-invited"));
    body["invitation"] = json!(InvitationToken([8; 24]));
    assert_eq!(apply(&body).send(&served).await.code(), "application-not-invited");
    assert_eq!(served.world.height(), height);
    body["invitation"] = json!(token.to_string());
    assert_eq!(apply(&body).send(&served).await.status, 201);
    body.as_object_mut().unwrap().remove("invitation");
    assert_eq!(apply(&body).send(&served).await.status, 201, "it was taken already");

    // Only an administrator of the node's member invites.
    let invitation = async |account: &str| {
        let answer = get("/v1/invitation").signed(&served, account).send(&served).await.json();
        answer["invitation"].as_str().unwrap().parse::<Invitation>().unwrap()
    };
    assert_eq!(invitation("admin@harlem").await.token, Some(token));
    assert_eq!(invitation("owner@harlem").await.token, None);
    assert_eq!(invitation("admin@kentucky").await.token, None);
}

#[tokio::test]
async fn peers_are_told_to_members_only_and_questions_are_bounded() {
    let served = Served::new().await;
    let id = applied(&served, "ohio").await;
    for member in ["harlem", "kentucky"] {
        vote(&served, member, &id, Ballot::Approve);
    }
    let peers = async || join(&served, &id).await["admitted"]["peers"].as_array().unwrap().len();
    assert_eq!(peers().await, 4);
    served.world.done("admin@ohio", Call::Leave { reason: ReasonCode::Administrative });
    assert_eq!(peers().await, 0, "it left");
    let mut refused = 0;
    for _ in 0..70 {
        refused += u32::from(get(&format!("/v1/join/{id}")).send(&served).await.status == 429);
    }
    assert!((5..70).contains(&refused), "{refused}");
}

#[tokio::test]
async fn only_applications_can_be_looked_at_without_an_account() {
    let served = Served::new().await;
    let change = ProposedChange::SuspendMember { member: name("hennepin"), reason: ReasonCode::Administrative };
    let other = served.world.done("admin@harlem", Call::Propose(change));
    for id in [other.to_string(), Hash::ZERO.to_string()] {
        let answer = get(&format!("/v1/join/{id}")).send(&served).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"));
    }
    let short = &applied(&served, "ohio").await[..8];
    assert_eq!(
        get(&format!("/v1/join/{short}")).send(&served).await.code(),
        "parameter-invalid",
        "ids are not guessed"
    );
}

#[tokio::test]
async fn members_see_applications_with_fingerprints_and_administrators_the_contacts() {
    let served = Served::new().await;
    let id = applied(&served, "ohio").await;
    let list = async |query: &str| {
        let target = format!("/v1/applications{query}");
        get(&target).signed(&served, "researcher@kentucky").send(&served).await.items()
    };
    let items = list("").await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["administrator"], "admin@ohio");
    assert_eq!(items[0]["administrator_fingerprint"], key_of("admin@ohio").public_key().fingerprint());
    assert_eq!(items[0]["node_fingerprint"], key_of("node-1.ohio").public_key().fingerprint());
    assert_eq!(items[0]["offers"], json!(["datasets", "voting"]));
    assert_eq!(items[0]["sponsor"], "node-1.harlem");
    assert_eq!((list("?state=failed").await.len(), list("?state=any").await.len()), (0, 1));
    let one = get(&format!("/v1/applications/{}", &id[..8])).signed(&served, "owner@hennepin").send(&served).await;
    assert_eq!(one.json(), items[0]);

    let contacts = format!("/v1/applications/{id}/contacts");
    let answer = get(&contacts).signed(&served, "admin@kentucky").send(&served).await;
    assert_eq!(answer.json()["contacts"], CONTACTS);
    assert_eq!(get(&contacts).signed(&served, "owner@kentucky").send(&served).await.code(), "role-missing");
    for target in ["/v1/applications", contacts.as_str()] {
        assert_eq!(get(target).send(&served).await.status, 401);
    }
}

#[tokio::test]
async fn an_invitation_names_the_chain_and_where_the_asker_came_in() {
    let served = Served::new().await;
    let answer = get("/v1/invitation").signed(&served, "owner@harlem").send(&served).await.json();
    assert_eq!(answer["invitation"], format!("http://localhost#{}", served.world.genesis_of()));
    let request = get("/v1/invitation").signed(&served, "owner@harlem");
    let bytes = String::from_utf8(request.bytes()).unwrap().replace("host: localhost", "host: a/b");
    let answer = super::client::raw(&served, bytes.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (409, "address-unknown"));
}

#[tokio::test]
async fn nodes_are_listed_with_their_place_in_the_voter_set() {
    let served = Served::new().await;
    let items = get("/v1/nodes").signed(&served, "owner@harlem").send(&served).await.items();
    let seen: Vec<_> =
        items.iter().map(|node| (node["name"].as_str().unwrap(), node["in_voter_set"].as_bool().unwrap())).collect();
    let expected =
        [("aggregator.harlem", false), ("node-1.harlem", true), ("node-1.hennepin", true), ("node-1.kentucky", true)];
    assert_eq!(seen, expected);
    assert_eq!(items[1]["standing"], "active");
    assert_eq!(items[1]["fingerprint"], key_of("node-1.harlem").public_key().fingerprint());
    let one = get("/v1/nodes/node-1.harlem").signed(&served, "owner@harlem").send(&served).await;
    assert_eq!(one.json(), items[1]);
    assert_eq!(get("/v1/chain").send(&served).await.json()["ordering"]["participation"], "voting");
}

#[tokio::test]
async fn a_call_that_would_stop_the_chain_is_refused_with_the_counts() {
    let served = Served::new().await;
    let submit = async |signer: &str, call: Call| {
        octets("/v1/transactions", served.world.transaction(signer, call)).send(&served).await
    };
    // Of three voters two are connected; without hennepin's, one of the two that remain is.
    served.world.away.lock().unwrap().insert(name("node-1.kentucky"));
    let leave = || Call::Leave { reason: ReasonCode::Administrative };
    let height = served.world.height();
    let answer = submit("admin@hennepin", leave()).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "quorum-would-be-lost"));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("of the 2 voters") && detail.contains("1 are connected"), "{detail}");
    assert!(detail.ends_with("missing: node-1.kentucky"), "{detail}");
    assert_eq!(served.world.height(), height, "nothing was submitted");

    // A stranger is told nothing: it goes on to where signatures are checked.
    let mut forged = served.world.transaction("admin@hennepin", leave());
    *forged.last_mut().unwrap() ^= 1;
    let answer = octets("/v1/transactions", forged).send(&served).await;
    assert_ne!(answer.code(), "quorum-would-be-lost");
    assert_eq!(served.world.height(), height);

    // A voter is away while it takes up a new key.
    let rotate = Call::RotateNodeKey { node: name("node-1.hennepin"), key: key_of("another key").public_key() };
    assert_eq!(submit("admin@hennepin", rotate).await.code(), "quorum-would-be-lost");

    // The vote that decides is refused, those before it are not.
    let change = ProposedChange::SuspendMember { member: name("hennepin"), reason: ReasonCode::Administrative };
    let proposal = ProposalId(served.world.done("admin@harlem", Call::Propose(change)));
    let vote = || Call::Vote { proposal, ballot: Ballot::Approve, reason: None };
    assert_eq!(submit("admin@harlem", vote()).await.status, 200);
    assert_eq!(submit("admin@kentucky", vote()).await.code(), "quorum-would-be-lost");
    let batch = [served.world.transaction("admin@kentucky", vote())].to_vec();
    let batch = octets("/v1/transactions/batch", galen_types::Encoding::encode(&batch)).send(&served).await.json();
    assert_eq!(batch[0]["code"], "quorum-would-be-lost");

    // The one that is away may go: what remains is whole.
    assert_eq!(submit("admin@kentucky", leave()).await.status, 200);
    // A node is no more active than its member.
    let node = get("/v1/nodes/node-1.kentucky").signed(&served, "owner@harlem").send(&served).await.json();
    assert_eq!((node["standing"].as_str(), node["in_voter_set"].as_bool()), (Some("left"), Some(false)));
    let items = get("/v1/nodes").signed(&served, "owner@harlem").send(&served).await.items();
    assert_eq!(items[3], node);
}
