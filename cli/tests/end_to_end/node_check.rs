//! `galen node check` on the machine of a newcomer: each thing that can be wrong there is found, named, and said how to mend.

use std::net::TcpListener;
use std::path::PathBuf;

use galen_testnet::PlanOptions;
use galen_testnet::isolation::Isolation;
use serde_json::Value;

use crate::support::{Cluster, Section, Shell, VOTERS, aloud};

const NEWCOMER: &str = "node-1.riverside";

/// A home that is to be checked, and a shell beside it.
struct Checked {
    shell: Shell,
    home: PathBuf,
}

impl Checked {
    /// What the check says of one thing: whether it is as it should be, and the rest.
    fn item(&self, name: &str) -> (bool, String) {
        let text = self.shell.run("galen --json node check --home \"$NODE_HOME\" 2> check-errors || true");
        let listed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let items = listed["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name}: {text}"));
        (item["ok"].as_bool().unwrap(), item["detail"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn finds(&self, name: &str, words: &[&str]) {
        let (ok, detail) = self.item(name);
        assert!(!ok, "{name}: {detail}");
        assert!(words.iter().all(|word| detail.contains(word)), "{name}: {detail}");
        let (code, said) = self.shell.fails("galen node check --home \"$NODE_HOME\"");
        assert!(code == 1 && said.contains("checks failed"), "exit {code}: {said}");
    }

    #[track_caller]
    fn is_well(&self) {
        let said = self.shell.run("galen node check --home \"$NODE_HOME\"");
        assert!(!said.contains("WRONG"), "{said}");
    }

    /// Checks with a file changed, and puts it back.
    #[track_caller]
    fn with_file(&self, file: &str, change: impl FnOnce(String) -> String, name: &str, words: &[&str]) {
        let path = self.home.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(before.clone())).unwrap();
        self.finds(name, words);
        std::fs::write(&path, before).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_newcomers_home_is_found_and_named() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let mut shell = Shell::of(&cluster);
    let [http, network, other] = cluster.free_ports();
    let invitation = shell.run("galen --context admin@harlem member invite");
    shell.set("INVITATION", invitation.trim());
    shell.set("PASSWORD_FILE", cluster.testnet.folder().password().display());
    shell.set("MEMBER", "riverside");
    let home = cluster.home(NEWCOMER);
    shell.set("NODE_HOME", home.display());
    shell.set("ADDRESS", format!("/ip4/127.0.0.1/tcp/{network}"));
    shell.set("HTTP", format!("127.0.0.1:{http}"));
    let mut section = Section::of("join.md", "The newcomer").skip(1);
    shell.run(&section.next());
    let checked = Checked { shell, home };
    checked.is_well();

    for (port, name) in [(http, "HTTP port"), (network, "peers port")] {
        let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
        checked.finds(name, &[&port.to_string(), "choose another"]);
        drop(held);
    }
    // It listens where nobody looks for it.
    let elsewhere = |text: String| text.replace(&format!("/tcp/{network}\""), &format!("/tcp/{other}\""));
    checked.with_file("node.toml", elsewhere, "peers port", &["is not reached from outside", "firewall"]);
    checked.with_file("node.toml", |text| format!("{text}\nlevel = 3\n"), "configuration", &["node.toml"]);
    let renamed = |text: String| text.replace(NEWCOMER, "node-9.riverside");
    checked.with_file("join.toml", renamed, "invitation", &["join.toml", "node.toml"]);

    // Another chain's founding document, and none that can be had.
    let genesis = std::fs::read_to_string(cluster.testnet.folder().root().join("genesis.toml")).unwrap();
    let placed = checked.home.join("genesis.toml");
    std::fs::write(&placed, genesis.replace("chain = \"testnet\"", "chain = \"another\"")).unwrap();
    checked.finds("genesis", &["the invitation names", "remove the file"]);
    std::fs::remove_file(&placed).unwrap();
    cluster.testnet.kill(VOTERS[0]).unwrap();
    checked.finds("invitation", &["127.0.0.1"]);
    checked.finds("genesis", &["invitation"]);
    cluster.restart(VOTERS[0]).await;
    checked.is_well();

    // The key: not there, and one that nobody registered.
    let keys = checked.home.join("keys");
    let aside = cluster.scratch().join("keys-aside");
    std::fs::rename(&keys, &aside).unwrap();
    checked.finds("key", &[&keys.display().to_string()]);
    std::fs::rename(&aside, &keys).unwrap();
    checked.is_well();

    // A disk with little room.
    if Isolation::permitted().is_err() {
        aloud("NO NAMESPACES: a small disk is not checked.");
        return;
    }
    let said = checked.shell.run(
        "mkdir small && unshare --mount bash -c 'mount -t tmpfs -o size=8m tmpfs small && cp -r \"$NODE_HOME\" small/home &&
         galen --json node check --home small/home' || true",
    );
    let listed: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let disk = listed["items"].as_array().unwrap().iter().find(|item| item["name"] == "disk").unwrap();
    assert!(disk["ok"] == false && disk["detail"].as_str().unwrap().contains("make room"), "{said}");
}
