//! Offline proofs, got from a real testnet and checked where there is none.

use std::path::Path;

use galen_client::Wait;
use galen_testnet::PlanOptions;
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::{Call, ProposalId};

use crate::support::{Cluster, Shell, VOTERS, stand_alone};

const GRANTS: &str = "grants:researcher@harlem:kentucky/opt";

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_got_from_a_node_and_checked_without_one() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let shell = Shell::of(&cluster);
    let genesis = cluster.testnet.folder().root().join("genesis.toml");
    let hash = cluster.testnet.genesis_hash().to_string();

    // A transaction before any change of voters, and a change: kentucky is suspended, so its node votes no more.
    let call = crate::support::publication();
    let owner = cluster.client("node-1.harlem", "owner@harlem");
    let published = owner.apply(call, Wait::Certified).await.unwrap();
    let reason = galen_types::vocabulary::ReasonCode::Administrative;
    let change = ProposedChange::SuspendMember { member: "kentucky".parse().unwrap(), reason };
    let proposal = ProposalId(cluster.administer("harlem", Call::Propose(change)).await.id.0);
    for member in ["harlem", "hennepin", "mississippi"] {
        cluster.administer(member, Call::Vote { proposal, ballot: Ballot::Approve, reason: None }).await;
    }
    let restore = ProposedChange::RestoreMember { member: "kentucky".parse().unwrap() };
    let status = cluster.administer("harlem", Call::Propose(restore)).await;

    let get = |name: &str, what: &str| {
        shell.run(&format!(
            "galen --context auditor@harlem proof get {what} --out {name}.proof --genesis '{}'",
            genesis.display()
        ))
    };
    let said = get("early", &published.id.to_string());
    assert!(said.contains(&format!("recorded: transaction {} by owner@harlem, applied", published.id)), "{said}");
    get("late", &status.id.to_string());
    let said = get("none", &format!("{GRANTS} member:kentucky voters"));
    assert!(said.contains(&format!("absent: {GRANTS}")) && said.contains("standing suspended"), "{said}");
    // Others may not feel for what is not there.
    let (code, said) = shell.fails(&format!("galen --context researcher@harlem proof get {GRANTS} --out x.proof"));
    assert_eq!(code, 4, "{said}");
    // An old state is not held; the error says what is.
    let (_, said) = shell.fails("galen --context auditor@harlem proof get parameters --height 1 --out x.proof");
    assert!(said.contains("after height 1 is not held here any more") && said.contains("--ledger"), "{said}");
    let (_, said) = shell.fails("galen --context auditor@harlem proof get parameters --height 1000000 --out x.proof");
    assert!(said.contains("no state after height 1000000 yet"), "{said}");

    // Nobody signed two headers, says each node, and the home of one that is stopped.
    let nobody = "no voter is known here to have signed another header than the certified one\n";
    for member in ["harlem", "hennepin", "mississippi"] {
        assert_eq!(shell.run(&format!("galen --context auditor@{member} ledger evidence 2>&1")), nobody, "{member}");
    }
    let listed = shell.run("galen --json --context auditor@harlem ledger evidence --export pieces");
    assert_eq!(listed, "{\"items\":[]}\n");
    assert_eq!(shell.run("ls -A pieces"), "");

    // The state of a stopped node's ledger, and then nothing runs any more.
    cluster.testnet.down().unwrap();
    let home = cluster.home(VOTERS[1]);
    assert_eq!(shell.run(&format!("galen ledger evidence '{}' 2>&1 | tail -1", home.display())), nobody);
    let evidence =
        |genesis: &str| format!("galen ledger evidence '{}' --genesis {genesis} 2>&1 | tail -1", home.display());
    assert_eq!(shell.run(&evidence(&hash)), nobody);
    let (_, said) = shell.fails(&format!("galen ledger evidence '{}' --genesis {}", home.display(), "0".repeat(64)));
    assert!(said.contains(&hash) && said.contains("--genesis"), "{said}");
    let said = shell.run(&format!(
        "galen proof get parameters --ledger '{}' --genesis '{}' --out stopped.proof",
        home.display(),
        genesis.display()
    ));
    assert!(said.contains("present: parameters"), "{said}");
    for name in ["early", "late", "none", "stopped"] {
        let said = shell.run(&format!("galen proof verify {name}.proof --genesis '{}'", genesis.display()));
        assert!(said.contains("voters of epoch"), "{said}");
        let json = shell.run(&format!("galen --json proof verify {name}.proof --genesis {hash}"));
        let proof: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(proof["genesis"], hash.as_str());
        let expected = if name == "early" { 0 } else { 1 };
        assert_eq!(proof["handovers"], expected, "{name}: {proof}");
    }
    // A proof is believed for what it shows: none of these is evidence against a voter.
    for name in ["early", "late", "none", "stopped"] {
        let verify = format!("galen --json ledger evidence verify {name}.proof --genesis {hash}");
        let (code, said) = shell.fails(&verify);
        let error: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &error["code"]), (1, &serde_json::json!("proof-no-evidence")), "{said}");
    }
    // One byte.
    shell.run("cp early.proof altered.proof && printf X | dd of=altered.proof bs=1 seek=2000 conv=notrunc status=none");
    let (code, said) = shell.fails(&format!("galen proof verify altered.proof --genesis {hash}"));
    assert!(code == 1 && said.contains("altered or cut"), "{said}");
    let (_, said) = shell.fails(&format!("galen proof verify early.proof --genesis {}", "0".repeat(64)));
    assert!(said.contains("of the chain"), "{said}");
    cross_check(&cluster.scratch().join("shell"), &hash);
}

/// The stand-alone program says the same.
fn cross_check(folder: &Path, hash: &str) {
    let run = stand_alone(&folder.join("early.proof"), hash);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stdout).contains("owner@harlem, applied"));
    let run = stand_alone(&folder.join("altered.proof"), hash);
    assert!(!run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}
