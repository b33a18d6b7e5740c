//! An application whose answer never comes: the applicant is killed between the node's word and its own note of it, and
//! the members decide meanwhile.

use std::path::{Path, PathBuf};

use galen_testnet::PlanOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Cluster, Shell, VOTERS};

const NEWCOMER: &str = "node-1.riverside";
const SENT: &[u8] = b"POST /v1/applications ";

#[tokio::test(flavor = "multi_thread")]
async fn an_applicant_that_is_killed_before_it_has_the_answer_goes_on() {
    let mut cluster = Cluster::start(PlanOptions::default()).await;
    let mut shell = Shell::of(&cluster);
    let [http, network, _] = cluster.free_ports();
    let invitation = shell.run("galen --context admin@harlem member invite");
    let answered = cluster.scratch().join("answered");
    let relay = relay(&cluster.url(VOTERS[0]), answered.clone()).await;
    let (_, chain) = invitation.trim().split_once('#').unwrap();
    shell.set("INVITATION", format!("{relay}#{chain}"));
    shell.set("ANSWERED", answered.display());
    shell.set("PASSWORD_FILE", cluster.testnet.folder().password().display());
    let apply = format!(
        "galen --json member apply \"$INVITATION\" --name riverside --home '{}' --address /ip4/127.0.0.1/tcp/{network} \
         --http 127.0.0.1:{http} --password-file \"$PASSWORD_FILE\" --contact 'the operators'",
        cluster.home(NEWCOMER).display()
    );
    shell.run(&format!(
        "{apply} & applicant=$!\n\
         for look in $(seq 600); do [ -e \"$ANSWERED\" ] && break; sleep 0.05; done\n\
         [ -e \"$ANSWERED\" ]; kill -9 $applicant; ! wait $applicant"
    ));
    let pending: serde_json::Value =
        serde_json::from_str(&shell.run("galen --context admin@harlem --json member list --pending")).unwrap();
    let id = pending["items"][0]["proposal"].as_str().unwrap_or_else(|| panic!("{pending}")).to_owned();
    shell.approve(&format!("proposal {id}"), &cluster.url(VOTERS[0]), &["harlem", "hennepin", "kentucky"]);

    // Typed again, it is the same application, and it was decided.
    for _ in 0..2 {
        let applied: serde_json::Value = serde_json::from_str(&shell.run(&apply)).unwrap();
        assert_eq!((applied["proposal"].as_str(), applied["state"].as_str()), (Some(id.as_str()), Some("admitted")));
    }
    cluster.invite(NEWCOMER, http);
    cluster.launch(NEWCOMER);
    cluster.votes(NEWCOMER).await;
    cluster.verify_ledgers();
}

/// Passes everything on to a node, and back, but for the first answer to an application: it makes a file instead.
async fn relay(node: &str, answered: PathBuf) -> String {
    let node = node.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (node, answered) = (node.clone(), answered.clone());
            tokio::spawn(async move { pass(client, TcpStream::connect(node).await?, &answered).await });
        }
    });
    url
}

async fn pass(mut client: TcpStream, mut node: TcpStream, answered: &Path) -> std::io::Result<()> {
    let (mut asked, mut said) = (vec![0; 65_536], vec![0; 65_536]);
    let mut loses = false;
    loop {
        tokio::select! {
            count = client.read(&mut asked) => match count? {
                0 => return Ok(()),
                count => {
                    loses |= asked[..count].windows(SENT.len()).any(|part| part == SENT) && !answered.exists();
                    node.write_all(&asked[..count]).await?;
                }
            },
            count = node.read(&mut said) => match count? {
                0 => return Ok(()),
                count if loses => {
                    assert!(said[..count].starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&said[..count]));
                    std::fs::write(answered, "")?;
                }
                count => client.write_all(&said[..count]).await?,
            },
        }
    }
}
