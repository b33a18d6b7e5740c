//! What every route answers to everybody: each role at each of four members, in a world that has one of everything. A list
//! of routes and answers stands beside this; a route that is not in it, or answers otherwise, fails.
//!
//! harlem runs the node that is asked and owns `harlem/opt`. `researcher@kentucky` asked for that, was granted it, downloaded
//! it and computed on it. hennepin's data was in the same job. ohio has to do with none of it; iowa applies.

use bytes::Bytes;
use galen_types::access::{GrantLimits, Scope};
use galen_types::application::{InvitationToken, SignedApplication, sign_withdrawal};
use galen_types::hash::Context;
use galen_types::job::{SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::member::{EncryptionKey, NewAccount, Role};
use galen_types::proposal::Ballot;
use galen_types::vocabulary::{Action, Purpose};
use galen_types::{Call, Encoding as _, Hash, JobId, ProposalId, RequestId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{Answer, Request, parse};
use super::flow::specification;
use super::joining::{application, sign, submitted};
use super::matrix::request;
use super::visible::{permit_kentucky, terms};
use super::world::{MEMBERS, Served, World, content, key_of, name};
use crate::http::route::{Access, Route};
use crate::http::routes;

const ROLES: [Role; 4] = [Role::Admin, Role::Owner, Role::Researcher, Role::Auditor];
/// Who asks without a signature.
const NOBODY: &str = "nobody";
const FILE: Bytes = Bytes::from_static(b"what was uploaded");

/// What there is, by its ids.
struct Cast {
    /// The request for harlem/opt, and the transaction that it is.
    request: Hash,
    /// The block of that.
    height: u64,
    grant: Hash,
    job: Hash,
    /// The certified `ReadResult`.
    receipt: Hash,
    /// The certified `Download`.
    download: Hash,
    /// iowa's.
    application: SignedApplication,
    proposal: Hash,
}

/// Grants `researcher@kentucky` an action on a dataset; the request and the grant.
fn granted(world: &World, dataset: &str, action: Action) -> (Hash, Hash) {
    let asked = Call::RequestAccess { dataset: name(dataset), terms: terms(action), draft: false };
    let request = world.done("researcher@kentucky", asked);
    let owner = format!("owner@{}", dataset.split_once('/').unwrap().0);
    let approve = Call::ApproveRequest { request: RequestId(request), limits: GrantLimits::default() };
    (request, world.done(&owner, approve))
}

/// Has an institution apply.
fn applied(served: &Served, member: &str) -> (SignedApplication, Hash) {
    let signed = sign(application(served, member, "/ip4/127.0.0.1/tcp/7401"));
    let proposal = served.world.done("node-1.harlem", Call::Apply { application: Box::new(signed.clone()) });
    let contacts = super::joining::CONTACTS.to_owned();
    served.world.contacts.lock().unwrap().insert(ProposalId(proposal), contacts);
    (signed, proposal)
}

fn admit_ohio(served: &Served) {
    let proposal = ProposalId(applied(served, "ohio").1);
    for member in ["harlem", "kentucky"] {
        let vote = Call::Vote { proposal, ballot: Ballot::Approve, reason: None };
        served.world.done(&format!("admin@{member}"), vote);
    }
    for role in &ROLES[1..] {
        let key = key_of(&format!("{}@ohio", role.as_str())).public_key();
        let account = NewAccount {
            account: name(role.as_str()),
            key,
            encryption_key: EncryptionKey([9; 32]),
            roles: vec![*role],
        };
        served.world.done("admin@ohio", Call::AddAccount(account));
    }
}

/// A job over all founding members' data, whose result its submitter read.
fn computed(world: &World) -> (Hash, Hash) {
    let job = world.done("researcher@kentucky", Call::SubmitJob(specification()));
    for member in MEMBERS {
        let given = SiteGiven::Summary { digest: Hash::ZERO };
        let answer = SiteAnswer { dataset: name(&format!("{member}/opt")), given };
        world.done(&format!("node-1.{member}"), Call::AnswerJob { job: JobId(job), answer });
    }
    let document = Bytes::from_static(b"{}");
    let result = Hash::of(Context::JobResult, &document);
    *world.result.lock().unwrap() = document;
    let sites = MEMBERS.map(|member| SiteOutcome { dataset: name(&format!("{member}/opt")), refused: None }).to_vec();
    world.done("aggregator.harlem", Call::FinishJob { job: JobId(job), result, sites, summaries_deleted: true });
    (job, world.done("researcher@kentucky", Call::ReadResult { job: JobId(job) }))
}

fn cast(served: &Served) -> Cast {
    let world = &served.world;
    *world.invites.lock().unwrap() = Some(InvitationToken([9; 24]));
    admit_ohio(served);
    let (application, proposal) = applied(served, "iowa");
    for member in MEMBERS {
        let file = if member == "harlem" { FILE } else { Bytes::from(member) };
        let publish = Call::PublishDataset { dataset: name("opt"), content: content(&file), discoverable: false };
        world.done(&format!("owner@{member}"), publish);
    }
    world.stored.lock().unwrap().insert(content(&FILE).ciphertext, FILE);
    let scope = Scope::Member(name("harlem"));
    world.done("owner@harlem", Call::SetContract { scope, previous: 0, rules: vec![permit_kentucky(Action::Compute)] });
    let (request, grant) = granted(world, "harlem/opt", Action::Compute);
    let height = world.height() - 1;
    granted(world, "hennepin/opt", Action::Compute);
    granted(world, "kentucky/opt", Action::Compute);
    granted(world, "harlem/opt", Action::Download);
    let version = name("harlem/opt@1");
    let download = world.done("researcher@kentucky", Call::Download { version, purpose: Purpose::HealthcareResearch });
    let (job, receipt) = computed(world);
    Cast { request, height, grant, job, receipt, download, application, proposal }
}

/// A route's request of what there is. What each asker sends is the same but for the signature.
fn asked_of(route: &Route, cast: &Cast, served: &Served) -> Request {
    let value = |parameter: &str| match (parameter, route.path) {
        ("height", "/v1/blocks/{height}") => cast.height.to_string(),
        ("height", _) => "1".to_owned(),
        ("member", _) => "harlem".to_owned(),
        ("dataset", _) => "opt".to_owned(),
        ("account", _) => "owner@harlem".to_owned(),
        ("node", "/v1/evidence/{height}/{node}") => "node-1.kentucky".to_owned(),
        ("node", _) => "node-1.harlem".to_owned(),
        ("ciphertext", _) => content(&FILE).ciphertext.to_string(),
        ("transaction", _) => cast.download.to_string(),
        ("proposal", _) => cast.proposal.to_string(),
        ("id", "/v1/proposals/{id}" | "/v1/applications/{id}" | "/v1/applications/{id}/contacts") => {
            cast.proposal.to_string()
        }
        ("id", "/v1/jobs/{id}" | "/v1/jobs/{id}/result") => cast.job.to_string(),
        ("id", "/v1/grants/{id}") => cast.grant.to_string(),
        ("id", "/v1/requests/{id}" | "/v1/transactions/{id}" | "/v1/proofs/transactions/{id}") => {
            cast.request.to_string()
        }
        (parameter, path) => panic!("give the parameter `{parameter}` of {path} a value"),
    };
    let mut request = request(route, &value);
    let publish = || {
        let content = content(&Bytes::from_static(b"more"));
        served
            .world
            .transaction("owner@ohio", Call::PublishDataset { dataset: name("more"), content, discoverable: false })
    };
    match route.path {
        "/v1/transactions" => request.body = publish(),
        "/v1/transactions/batch" => request.body = vec![publish()].encode(),
        "/v1/applications" if route.method == "POST" => {
            let mut body = submitted(&cast.application);
            body["invitation"] = json!(InvitationToken([9; 24]).to_string());
            request.body = body.to_string().into_bytes();
        }
        "/v1/join/{proposal}/withdraw" => {
            let signature = sign_withdrawal(ProposalId(cast.proposal), &key_of("admin@iowa"));
            request.body = json!({ "signature": signature }).to_string().into_bytes();
        }
        "/v1/jobs/{id}/result" => {
            request.target =
                request.target.replace(&format!("receipt={}", super::matrix::ID), &format!("receipt={}", cast.receipt));
        }
        "/v1/proofs/state" => request.target = request.target.replace("names=parameters", "names=dataset:harlem/opt"),
        _ => {}
    }
    request
}

/// Reads an answer; of one that does not end, its head.
async fn send(served: &Served, request: &Request, ends: bool) -> Answer {
    if ends {
        return request.send(served).await;
    }
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&request.bytes()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..count]);
        if count == 0 || bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            return parse(&bytes).unwrap();
        }
    }
}

/// How much an answer tells: items of a list, or what of a record is for some only. `None` where all are told the same.
fn told(route: &Route, answer: &Answer) -> Option<usize> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let length = |value: &Value| value.as_array().map(Vec::len);
    match route.path {
        "/v1/transactions/{id}" => {
            let events = length(&body["receipt"]["events"]);
            assert_eq!(events, Some(usize::from(!body["body"].is_null())), "body and events are told together");
            events
        }
        "/v1/blocks/{height}" => length(&body["receipts"]),
        "/v1/invitation" => {
            let invitation: galen_types::application::Invitation = body["invitation"].as_str()?.parse().unwrap();
            Some(usize::from(invitation.token.is_some()))
        }
        _ => length(&body).or_else(|| length(&body["items"])),
    }
}

/// An answer in the list's words: `404 not-found`, `200`, `200 x3`.
fn in_words(route: &Route, answer: &Answer) -> String {
    if answer.status >= 300 {
        return format!("{} {}", answer.status, answer.code());
    }
    assert_eq!(answer.header("content-type"), route.answer.content_type, "{} {}", route.method, route.path);
    match told(route, answer) {
        Some(things) => format!("{} x{things}", answer.status),
        None => answer.status.to_string(),
    }
}

/// One answer of a route, and to whom it is given: roles, members, accounts; to all the rest where nobody is named.
struct Clause<'list> {
    answer: &'list str,
    to: Vec<&'list str>,
}

fn clauses(line: &str) -> Vec<Clause<'_>> {
    let clause = |text| match str::split_once(text, " to ") {
        Some((answer, to)) => Clause { answer, to: to.split(' ').collect() },
        None => Clause { answer: text, to: Vec::new() },
    };
    line.split("; ").map(clause).collect()
}

impl Clause<'_> {
    fn is_for(&self, asker: &str) -> bool {
        let (role, member) = asker.split_once('@').unwrap_or((asker, asker));
        self.to.is_empty() || [asker, role, member].iter().any(|word| self.to.contains(word))
    }
}

/// What an asker is to be answered: a refusal where the router's table says so, else what the list says.
fn expected<'list>(route: &Route, clauses: &[Clause<'list>], asker: &str) -> &'list str {
    let roles = route.access.roles();
    match route.access {
        Access::Open | Access::Optional => {}
        Access::Account | Access::Roles(_) | Access::Operator if asker == NOBODY => return "401 authentication-missing",
        _ if !roles.is_empty() && !roles.iter().any(|role| asker.starts_with(role.as_str())) => {
            return "403 role-missing";
        }
        Access::Account | Access::Roles(_) | Access::Operator => {}
    }
    clauses
        .iter()
        .find(|clause| clause.is_for(asker))
        .map_or("nothing, for the list does not say", |clause| clause.answer)
}

fn askers(route: &Route) -> Vec<String> {
    // A signature is not looked at, and what strangers may do is bounded by address.
    if route.access == Access::Open {
        return [NOBODY, "admin@harlem", "researcher@ohio"].map(str::to_owned).to_vec();
    }
    let members = MEMBERS.into_iter().chain(["ohio"]);
    let accounts = members.flat_map(|member| ROLES.map(|role| format!("{}@{member}", role.as_str())));
    accounts.chain([NOBODY.to_owned()]).collect()
}

#[tokio::test]
async fn every_account_of_every_member_is_answered_as_the_list_says() {
    let list: Vec<_> = include_str!("who_gets_what.txt").lines().map(|line| line.split_once(": ").unwrap()).collect();
    let routes = routes::all();
    let names: Vec<_> = routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let listed: Vec<_> = list.iter().map(|(name, _)| (*name).to_owned()).collect();
    let unlisted: Vec<_> = names.iter().filter(|name| !listed.contains(name)).collect();
    assert!(unlisted.is_empty(), "say in who_gets_what.txt what everybody gets from {unlisted:?}");
    assert_eq!(listed, names, "who_gets_what.txt lists the routes of the router's table in its order, and no other");

    let mut wrong = Vec::new();
    for (route, (name, line)) in routes.iter().zip(list) {
        // One world a route: what one does is not there for the next.
        let served = Served::new().await;
        let cast = cast(&served);
        let clauses = clauses(line);
        let mut succeeded = false;
        let request = asked_of(route, &cast, &served);
        for asker in askers(route) {
            let request = if asker == NOBODY { request.clone() } else { request.clone().signed(&served, &asker) };
            let answer = send(&served, &request, route.path != "/v1/events").await;
            succeeded |= answer.status == route.answer.status;
            let (given, expected) = (in_words(route, &answer), expected(route, &clauses, &asker));
            if given != expected {
                wrong.push(format!("{name} to {asker}: {given}, and not {expected}"));
            }
        }
        // Somebody gets what the table of routes promises, so that a refusal of all is seen too.
        assert!(succeeded, "{name} answers {} to nobody: {}", route.answer.status, wrong.join("\n"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
