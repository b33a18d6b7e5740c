//! The life of members, nodes and people as `docs/join.md` describes it, each command typed as it stands there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use galen_client::{Client, ClientConfig, ClientError, Wait};
use galen_keys::{Keystore, PasswordSource};
use galen_testnet::PlanOptions;
use galen_types::api::Participation;
use galen_types::{AccountName, Signer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{
    Cluster, Load, PATIENCE, Section, Shell, VOTERS, assert_once_everywhere, eventually, publication,
};

/// More than half, of four members and of five.
const APPROVERS: [&str; 3] = ["harlem", "hennepin", "kentucky"];
/// How long a client keeps offering a transaction.
const VALIDITY: Duration = Duration::from_secs(10);
const NEWCOMER: &str = "node-1.riverside";
const SECOND: &str = "node-2.kentucky";

#[tokio::test(flavor = "multi_thread")]
async fn members_nodes_and_people_come_change_and_go() {
    let mut cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let mut shell = Shell::of(&cluster);
    shell.set("PASSWORD_FILE", cluster.testnet.folder().password().display());
    change_parameters(&cluster, &mut shell).await;

    let load = Load::paced(&cluster, &VOTERS, Duration::from_millis(20));
    load.more(20).await;
    newcomer(&mut cluster, &mut shell).await;
    second_node(&mut cluster, &mut shell, &load).await;
    people(&cluster, &mut shell).await;
    suspended_and_restored(&cluster, &mut shell, &load).await;

    // The newcomer leaves, another is removed.
    let mut section = Section::of("join.md", "Leaving");
    shell.set("MEMBER", "riverside");
    shell.run(&section.next());
    section.done();
    assert_gone(&cluster, NEWCOMER).await;
    cluster.dismiss(NEWCOMER);
    load.more(20).await;
    let mut section = Section::of("join.md", "Suspending and removing").skip(2);
    shell.set("MEMBER", "mississippi");
    let printed = shell.run(&section.next());
    section.done();
    shell.approve(&printed, &cluster.url("node-1.hennepin"), &APPROVERS);
    assert_gone(&cluster, VOTERS[3]).await;
    cluster.testnet.forget(&"mississippi".parse().unwrap()).unwrap();

    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}

/// Parameters hold from the height that the proposal names, and not from one block before.
async fn change_parameters(cluster: &Cluster, shell: &mut Shell) {
    let mut section = Section::of("join.md", "Parameters");
    assert!(shell.run(&section.next()).contains("voters_per_member_max = 1"));
    let owner = cluster.client(VOTERS[0], "owner@harlem");
    // The proposal and the ballots are four blocks.
    let height = cluster.chain(VOTERS[0]).await.unwrap().height + 7;
    shell.set("HEIGHT", height);
    shell.write("changed.toml", "voters_per_member_max = 2\n");
    let printed = shell.run(&section.next());
    section.done();
    let proposal = shell.approve(&printed, &cluster.url(VOTERS[0]), &APPROVERS);
    let shown = shell.run(&format!("galen --context admin@harlem --json member proposal {proposal}"));
    assert!(shown.contains("\"scheduled\""), "{shown}");
    loop {
        let reached = cluster.chain(VOTERS[0]).await.unwrap().height;
        let voters = owner.parameters().await.unwrap().voters_per_member_max;
        assert_eq!(voters == 2, reached >= height, "at height {reached}, to hold from {height} on");
        if reached >= height {
            return;
        }
        owner.apply(publication(), Wait::Committed).await.unwrap();
    }
}

/// An institution's three commands, and one of each approver.
async fn newcomer(cluster: &mut Cluster, shell: &mut Shell) {
    let [http, network, _] = cluster.free_ports();
    let mut section = Section::of("join.md", "The newcomer");
    let invitation = section.next();
    let invite = invitation.trim().strip_prefix("INVITATION=$(").and_then(|rest| rest.strip_suffix(")")).unwrap();
    shell.set("INVITATION", shell.run(invite).trim());
    shell.set("MEMBER", "riverside");
    shell.set("NODE_HOME", cluster.home(NEWCOMER).display());
    shell.set("ADDRESS", format!("/ip4/127.0.0.1/tcp/{network}"));
    shell.set("HTTP", format!("127.0.0.1:{http}"));
    let apply = section.next();
    shell.run(&apply);
    let mut back = Section::of("join.md", "Taking an application back");
    let withdrawn = shell.run(&back.next());
    assert!(withdrawn.contains("withdrawn"), "{withdrawn}");
    back.done();
    shell.run(&apply);
    cluster.invite(NEWCOMER, http);
    shell.run(&section.next());
    section.launch(cluster, NEWCOMER);
    section.done();

    let pending = shell.run("galen --context admin@harlem --json member list --pending");
    let pending: serde_json::Value = serde_json::from_str(&pending).unwrap();
    let id = pending["items"][0]["proposal"].as_str().unwrap_or_else(|| panic!("{pending}"));
    shell.approve(&format!("proposal {id}"), &cluster.url(VOTERS[0]), &APPROVERS);
    cluster.votes(NEWCOMER).await;
}

/// A member's second node is added, made a voter, leads, becomes an observer again, moves and is removed.
async fn second_node(cluster: &mut Cluster, shell: &mut Shell, load: &Load) {
    let [http, network, _] = cluster.free_ports();
    let mut section = Section::of("join.md", "Nodes");
    shell.set("MEMBER", "kentucky");
    shell.set("NODE_HOME", cluster.home(SECOND).display());
    shell.set("ADDRESS", format!("/ip4/127.0.0.1/tcp/{network}"));
    shell.set("HTTP", format!("127.0.0.1:{http}"));
    shell.run(&section.next());
    cluster.invite(SECOND, http);
    section.launch(cluster, SECOND);
    follows(cluster, SECOND).await;

    let printed = shell.run(&section.next());
    shell.approve(&printed, &cluster.url("node-1.kentucky"), &APPROVERS);
    cluster.votes(SECOND).await;
    let listed = shell.run(&section.next());
    assert!(listed.lines().any(|line| line.contains(SECOND) && line.contains("yes")), "{listed}");
    load.more(20).await;

    let transfer = section.next();
    eventually("the second node leads", PATIENCE, async || {
        let leader = cluster.chain(VOTERS[0]).await?.leader?;
        shell.set("LEADER", &leader.member);
        (leader.to_string() == SECOND || shell.succeeds(&transfer)).then_some(())
    })
    .await;
    load.more(20).await;
    shell.run(&section.next());
    follows(cluster, SECOND).await;
    assert!(!cluster.chain(VOTERS[0]).await.unwrap().voters.iter().any(|voter| voter.to_string() == SECOND));
    load.more(20).await;

    // While it does not run, the others look for it where it is said to be.
    let door = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    cluster.process(SECOND).unwrap().stop();
    shell.set("NEW_ADDRESS", format!("/ip4/127.0.0.1/tcp/{}", door.local_addr().unwrap().port()));
    shell.run(&section.next());
    tokio::time::timeout(PATIENCE, door.accept()).await.expect("nobody dials the new address").unwrap();
    cluster.launch(SECOND);
    follows(cluster, SECOND).await;

    shell.run(&section.next());
    section.done();
    assert_gone(cluster, SECOND).await;
    cluster.dismiss(SECOND);
    load.more(20).await;
}

/// What a member's administrator changes about an account holds from the next block on.
async fn people(cluster: &Cluster, shell: &mut Shell) {
    let mut section = Section::of("join.md", "People");
    let (keys, new_keys) = (cluster.scratch().join("alice"), cluster.scratch().join("alice-new"));
    shell.set("MEMBER", "kentucky");
    shell.set("KEYS", keys.display());
    shell.set("NEW_KEYS", new_keys.display());
    shell.run(&section.next());
    let alice = as_account(cluster, VOTERS[2], "alice@kentucky", &keys);
    let refused = alice.apply(publication(), Wait::Committed).await.unwrap_err();
    assert_eq!(refused.code(), "role-missing", "{refused}");
    shell.run(&section.next());

    let publishing = Publishing::start(alice.clone());
    publishing.goes_on().await;
    shell.run(&section.next());
    publishing.ends("transaction-suspended-signer").await;
    shell.run(&section.next());

    let publishing = Publishing::start(alice);
    publishing.goes_on().await;
    shell.run(&section.next());
    section.done();
    publishing.ends("transaction-bad-signature").await;

    let publishing = Publishing::start(as_account(cluster, VOTERS[2], "alice@kentucky", &new_keys));
    publishing.goes_on().await;
    shell.run("galen --context admin@kentucky account set-roles alice@kentucky --role researcher");
    publishing.ends("role-missing").await;
}

async fn suspended_and_restored(cluster: &Cluster, shell: &mut Shell, load: &Load) {
    let mut section = Section::of("join.md", "Suspending and removing");
    shell.set("MEMBER", "riverside");
    let proposer = cluster.url("node-1.hennepin");
    let printed = shell.run(&section.next());
    shell.approve(&printed, &proposer, &APPROVERS);
    assert_gone(cluster, NEWCOMER).await;
    load.more(20).await;
    let printed = shell.run(&section.next());
    shell.approve(&printed, &proposer, &APPROVERS);
    let number = cluster.votes(NEWCOMER).await;
    assert!(number > 5, "it votes under a new number: {number}");
    load.more(20).await;
}

/// Waits until a node follows, with all that the others have.
async fn follows(cluster: &Cluster, node: &str) {
    let height = cluster.chain(VOTERS[0]).await.unwrap().height;
    eventually(&format!("{node} follows"), PATIENCE, async || {
        let (part, _) = cluster.place(node).await?;
        (part == Participation::Following && cluster.chain(node).await?.certified_height >= height).then_some(())
    })
    .await;
}

/// That a node stands in no voter set any more, the others certify without it, and none is connected with it.
async fn assert_gone(cluster: &Cluster, node: &str) {
    let administrator = cluster.client(VOTERS[0], "admin@harlem");
    eventually(&format!("{node} is cut off"), PATIENCE, async || {
        let chain = cluster.chain(VOTERS[0]).await?;
        let peers = administrator.peers().await.ok()?;
        let votes = chain.voters.iter().any(|voter| voter.to_string() == node);
        let connected = peers.iter().any(|peer| peer.connected && peer.node.to_string() == node);
        (!votes && !connected).then_some(())
    })
    .await;
}

/// A client of an account whose keys lie in a folder.
fn as_account(cluster: &Cluster, node: &str, account: &str, keystore: &Path) -> Client {
    let account: AccountName = account.parse().unwrap();
    let password = PasswordSource::File(cluster.testnet.folder().password()).read("").unwrap();
    let keys = Keystore::open(keystore).unwrap().load(&Signer::Account(account.clone()), &password).unwrap();
    let mut config = ClientConfig::new(cluster.url(node)).with_account(account, keys);
    config.genesis = Some(cluster.testnet.genesis_hash());
    config.timeouts.validity = VALIDITY;
    Client::new(config).unwrap()
}

/// Somebody who publishes again and again until that is refused.
struct Publishing {
    client: Client,
    count: Arc<AtomicUsize>,
    task: JoinHandle<ClientError>,
}

impl Publishing {
    fn start(client: Client) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let (published, speaks) = (Arc::clone(&count), client.clone());
        let task = tokio::spawn(async move {
            loop {
                match speaks.apply(publication(), Wait::Committed).await {
                    Ok(_) => published.fetch_add(1, Ordering::Relaxed),
                    // Taken under the old key by its node, left out by the leader, who has the new one: nobody says so.
                    Err(ClientError::OutcomeUnknown { .. }) => 0,
                    Err(error) => return error,
                };
            }
        });
        Self { client, count, task }
    }

    async fn goes_on(&self) {
        let goal = self.count.load(Ordering::Relaxed) + 5;
        let more = async || (self.count.load(Ordering::Relaxed) >= goal).then_some(());
        eventually("the account publishes", PATIENCE, more).await;
    }

    /// That nothing more is accepted once the command has its receipt: what is under way then is the last.
    async fn ends(self, code: &str) {
        let published = self.count.load(Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.task).await.expect("it is still accepted").unwrap();
        // What was under way may have been told otherwise why it was left out.
        let error = self.client.apply(publication(), Wait::Committed).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let later = self.count.load(Ordering::Relaxed) - published;
        assert!(later <= 1, "{later} more were accepted after the change was recorded");
    }
}
