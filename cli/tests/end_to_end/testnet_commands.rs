//! The commands of a testnet as people type them: a member comes and goes, leaders die, a history is recorded and checked,
//! faults are played.

use galen_histories::History;
use galen_testnet::PlanOptions;
use serde_json::Value;

use crate::support::{Cluster, Shell, VOTERS};

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_testnet_is_grown_shaken_recorded_and_shrunk_by_command_line() {
    let mut cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let mut shell = Shell::of(&cluster);
    shell.set("DIR", cluster.testnet.folder().root().display());

    let printed = shell.run("galen testnet add ohio --dir \"$DIR\"");
    for step in ["prepare", "apply", "vote", "launch", "join", "accounts"] {
        assert!(printed.lines().any(|line| line.contains(step)), "no step {step}: {printed}");
    }
    assert!(printed.contains("ohio is a member"), "{printed}");
    let (code, said) = shell.fails("galen testnet add ohio --dir \"$DIR\"");
    assert!(code == 2 && said.contains("already"), "exit {code}: {said}");
    let members = shell.run("galen --context admin@ohio --json member list");
    assert!(members.contains("\"ohio\""), "{members}");

    let report = json(&shell.run("galen --json bench --dir \"$DIR\" --kill-leader 2 --rate 10"));
    assert_eq!(report["each"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(report["voters"], 5, "{report}");
    assert_eq!(report["agreement"]["nodes"], 6, "{report}");
    let acknowledged = report["agreement"]["acknowledged"].as_u64().unwrap();
    assert!(acknowledged > 0 && report["next"]["ms_max"].as_f64().unwrap() > 0.0, "{report}");

    let recorded = json(&shell.run("galen --json testnet record history --seconds 5 --dir \"$DIR\""));
    assert!(recorded["writes"].as_u64().unwrap() > 0 && recorded["reads"].as_u64().unwrap() > 0, "{recorded}");
    let checked = json(&shell.run("galen --json testnet check history"));
    assert_eq!(checked["operations"], recorded["operations"]);
    assert!(checked["by_chain"].is_null() && checked["by_search"].is_null(), "{checked}");
    // The same without what the chain says of it.
    let mut history = History::from_lines(&shell.run("cat history")).unwrap();
    history.chain.clear();
    shell.write("altered", &history.to_lines());
    let (code, said) = shell.fails("galen testnet check altered");
    assert!(code == 1 && said.contains("not linearizable"), "exit {code}: {said}");
    shell.write("torn", &history.to_lines()[1..]);
    let (code, said) = shell.fails("galen testnet check torn");
    assert!(code == 1 && said.contains("line 1"), "exit {code}: {said}");

    let removed = shell.run("galen testnet remove ohio --dir \"$DIR\"");
    assert!(removed.contains("ohio is no member any more"), "{removed}");
    let (_, said) = shell.fails("galen --context admin@ohio member list");
    assert!(said.contains("admin@ohio"), "its contexts went with it: {said}");
    assert!(!cluster.chain(VOTERS[0]).await.unwrap().voters.iter().any(|voter| voter.member.as_str() == "ohio"));
    cluster.testnet.forget(&"ohio".parse().unwrap()).unwrap();
    cluster.verify_ledgers();
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_played_by_command_line() {
    let cluster = Cluster::make_breakable(PlanOptions::default()).await;
    let isolated = cluster.testnet.isolation().is_some();
    let mut shell = Shell::without_contexts(&cluster);
    shell.set("DIR", cluster.testnet.folder().root().display());
    let play = "galen --json testnet faults --dir \"$DIR\" --scenarios isolated-leader,transfer --hold 2s --rate 5";
    let report = json(&shell.run(play));
    let played: Vec<_> = report["played"].as_array().unwrap().iter().map(|one| &one["scenario"]).collect();
    assert_eq!(played, ["isolated-leader", "transfer"], "{report}");
    assert_eq!(report["lines"], if isolated { "namespaces" } else { "relays" });
    assert_eq!(report["ledgers_verified"], 5, "{report}");
    assert!(cluster.nodes().iter().all(|node| cluster.process(node).is_none()), "they are stopped in the end");
    let (code, said) = shell.fails("galen testnet faults --dir \"$DIR\" --scenarios earthquake");
    assert!(code == 2 && said.contains("paused-leader"), "exit {code}: {said}");
}
