//! A liar among the processes of a testnet: what a node that met it exports convinces whoever has the founding document.

#[allow(dead_code, reason = "the tests of the node use the rest")]
#[path = "../../../node/tests/support/liar.rs"]
mod liar;

use std::path::Path;

use galen_client::Wait;
use galen_node::home::NodeHome;
use galen_testnet::PlanOptions;
use galen_types::hash::Context;
use galen_types::{Hash, NodeName, Signer};
use serde_json::{Value, json};

use crate::support::{Cluster, PATIENCE, Shell, VOTERS, eventually, publication, stand_alone};
use liar::{LIE, Liar, Lies, liar_name};

#[tokio::test(flavor = "multi_thread")]
async fn who_lied_to_running_nodes_is_shown_to_anybody_by_the_files_that_they_export() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let shell = Shell::of(&cluster);
    let [honest @ .., liars_place] = VOTERS;
    let name: NodeName = liar_name();
    assert_eq!(liars_place, name.to_string());
    cluster.testnet.stop(liars_place).unwrap();
    let home = NodeHome::new(cluster.home(liars_place));
    let key = cluster.testnet.plan().keys_of(&Signer::Node(name)).signing;
    let lies = Lies { another: true, both: true, ..Lies::default() };
    let liar = Liar::start(&home, liars_place, key, lies).await;
    for node in honest {
        let node: NodeName = node.parse().unwrap();
        let let_in = async || liar.network.is_connected(&node).then_some(());
        eventually(&format!("{node} lets the liar in"), PATIENCE, let_in).await;
    }
    // It lies when it hears of a block, and that it signed the right header too is kept where that came before the
    // certificate: there are blocks until every node knows both.
    let owner = cluster.client(honest[0], "owner@harlem");
    for node in honest {
        let reader = cluster.client(node, "auditor@harlem");
        eventually(&format!("{node} knows of two headers"), PATIENCE, async || {
            owner.apply(publication(), Wait::Certified).await.ok()?;
            reader.evidence(1).await.ok()?.iter().any(|found| found.both).then_some(())
        })
        .await;
    }

    let genesis = cluster.testnet.genesis_hash().to_string();
    let folder = cluster.scratch().join("shell");
    for member in ["harlem", "hennepin", "kentucky"] {
        let export = format!("galen --json --context auditor@{member} ledger evidence --export of-{member}");
        assert_convinces(&shell, &folder, &shell.run(&export), &genesis);
    }
    liar.network.shutdown().await;
    cluster.testnet.down().unwrap();
    // What it wrote while it ran, when it does not run any more.
    let home = cluster.home(honest[1]);
    let listed = shell.run(&format!("galen --json ledger evidence '{}' --export stopped", home.display()));
    let files = assert_convinces(&shell, &folder, &listed, &genesis);
    let whole = std::fs::read(folder.join(&files[0])).unwrap();
    // No byte may be another, whether or not the file's own hash is made anew, as a forger would.
    for place in (0..whole.len() - 32).step_by(whole.len().div_ceil(12)) {
        let mut altered = whole.clone();
        altered[place] ^= 0x10;
        for altered in [altered.clone(), sealed(altered)] {
            std::fs::write(folder.join("altered.proof"), altered).unwrap();
            let (code, said) = shell.fails(&verify("altered.proof", &genesis));
            assert!(code == 1 && said.contains("error"), "byte {place}: exit {code}: {said}");
            assert!(!stand_alone(&folder.join("altered.proof"), &genesis).status.success(), "byte {place}");
        }
    }
    let (code, said) = shell.fails(&verify(&files[0], &"0".repeat(64)));
    assert!(code == 1 && said.contains("of the chain"), "exit {code}: {said}");
    assert!(!stand_alone(&folder.join(&files[0]), &"0".repeat(64)).status.success());
}

/// A file of proof with its last hash made anew.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let content = file.len() - 32;
    let hash = Hash::of(Context::ProofFile, &file[..content]);
    file[content..].copy_from_slice(&hash.0);
    file
}

fn verify(file: &str, genesis: &str) -> String {
    format!("galen ledger evidence verify '{file}' --genesis {genesis}")
}

/// That a list of evidence accuses the liar and nobody else, of two headers too, and that each piece's file is accepted by both
/// programs that check it; the files.
fn assert_convinces(shell: &Shell, folder: &Path, listed: &str, genesis: &str) -> Vec<String> {
    let listed: Value = serde_json::from_str(listed).unwrap();
    let pieces = listed["items"].as_array().unwrap();
    assert!(pieces.iter().any(|piece| piece["both"] == true), "{listed}");
    let name = liar_name().to_string();
    let mut files = Vec::new();
    for piece in pieces {
        assert_eq!((&piece["voter"], &piece["signed"]), (&json!(name), &json!(LIE)), "{piece}");
        let file = piece["file"].as_str().unwrap().to_owned();
        let said = shell.run(&verify(&file, genesis));
        assert!(said.contains(&name) && said.contains(&LIE.to_string()), "{said}");
        let run = stand_alone(&folder.join(&file), genesis);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert!(String::from_utf8_lossy(&run.stdout).contains(&name));
        files.push(file);
    }
    files
}
