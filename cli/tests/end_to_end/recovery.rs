//! Three of five voters are gone for good: the runbook's walk, and what keeps the old ones from coming back by mistake.

use std::time::Duration;

use galen_testnet::PlanOptions;
use galen_testnet::plan::MEMBERS;

use crate::support::{Cluster, Load, PATIENCE, Section, Shell, VOTERS, assert_once_everywhere, eventually, program};

const LOST: [&str; 3] = ["node-1.kentucky", "node-1.mississippi", "node-1.riverside"];
const LEFT: [&str; 2] = ["node-1.harlem", "node-1.hennepin"];
const AGGREGATOR: &str = "aggregator.harlem";

#[tokio::test(flavor = "multi_thread")]
async fn the_remaining_members_go_on_and_old_nodes_cannot_come_back_by_mistake() {
    let members = MEMBERS.iter().map(|member| (*member).to_owned()).chain(["riverside".to_owned()]).collect();
    let mut cluster = Cluster::start(PlanOptions { members, load_accounts: 4, ..PlanOptions::default() }).await;
    let load = Load::paced(&cluster, &LEFT, Duration::from_millis(5));
    load.more(100).await;
    let mut acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
    let mut shell = Shell::of(&cluster);

    for node in LOST {
        cluster.testnet.kill(node).unwrap();
    }
    eventually("the rest has no leader any more", PATIENCE, async || {
        let nobody = cluster.chain(LEFT[0]).await?.leader.is_none();
        nobody.then_some(())
    })
    .await;

    // The runbook, step by step.
    let mut section = Section::of("runbook.md", "Lost quorum");
    for (variable, node) in [("HOME_1", LEFT[0]), ("HOME_2", LEFT[1]), ("HOME_3", AGGREGATOR)] {
        cluster.testnet.stop(node).unwrap();
        shell.set(variable, cluster.home(node).display());
    }
    shell.set("NODE_1", LEFT[0]);
    shell.set("NODE_2", LEFT[1]);
    shell.set("ABANDONED", LOST.map(|node| node.split_once('.').unwrap().1).join(","));
    shell.set("ADMIN_1", "admin@harlem");
    shell.set("ADMIN_2", "admin@hennepin");
    // 1: every remaining member verifies its ledger. 2: a draft from the longest one.
    shell.run(&section.next());
    shell.run(&section.next());
    // It cannot happen by accident: a recovery that nobody, or not everybody signed, is refused.
    let (_, said) = shell.fails("galen --json recovery apply \"$HOME_1\" recovery.toml --yes-abandon-the-old-quorum");
    assert!(said.contains("\"recovery-incomplete\""), "{said}");
    // 3: each administrator signs. 4: the signatures are put together.
    shell.run(&section.next());
    shell.run(&section.next());
    let (_, said) = shell.fails("galen recovery apply \"$HOME_1\" recovery.toml < /dev/null");
    assert!(said.contains("--yes-abandon-the-old-quorum"), "{said}");
    // 5: it is applied at each node, which starts again.
    shell.run(&section.next());
    for node in [LEFT[0], LEFT[1], AGGREGATOR] {
        cluster.testnet.launch(&node.parse().unwrap(), &program()).unwrap();
    }
    for node in LEFT {
        cluster.votes(node).await;
    }
    let chain = cluster.chain(LEFT[0]).await.unwrap();
    assert_eq!(chain.voters.len(), 2);
    // 6: it is looked at.
    shell.run(&section.next());
    section.done();

    let load = Load::paced(&cluster, &LEFT, Duration::from_millis(5));
    load.more(40).await;

    // An old node starts again. The others refuse it and say why, and it gets nothing.
    let before = cluster.chain(LEFT[0]).await.unwrap().height;
    for node in LOST {
        cluster.testnet.launch(&node.parse().unwrap(), &program()).unwrap();
    }
    eventually("a node logs why the old one is refused", PATIENCE, async || {
        let refused = |node: &&str| {
            let log = cluster.log(node);
            log.lines().any(|line| line.contains("refused") && line.contains("wrong-lineage"))
        };
        LEFT.iter().any(refused).then_some(())
    })
    .await;
    load.more(40).await;
    for node in LOST {
        let old = cluster.chain(node).await.map_or(0, |chain| chain.height);
        assert!(old <= before, "{node} has blocks of the recovered chain");
        cluster.testnet.kill(node).unwrap();
    }

    // One is taken back.
    let mut section = Section::of("runbook.md", "Take back a node that a recovery left out");
    let (taken_back, gone) = (LOST[0], &LOST[1..]);
    shell.set("NODE_HOME", cluster.home(taken_back).display());
    shell.run(&section.next());
    section.done();
    for node in gone {
        cluster.testnet.retire(&node.parse().unwrap()).unwrap();
    }
    cluster.launch(taken_back);
    let number = cluster.votes(taken_back).await;
    assert!(number > 5, "it votes under a new number: {number}");
    load.more(20).await;
    acknowledged.extend(load.stop().await);
    assert_once_everywhere(&cluster, &acknowledged).await;
    cluster.verify_ledgers();
}

/// Every node's backup is of another height; everything is lost after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_consortium_is_restored_from_backups_and_old_nodes_cannot_join_it() {
    let cluster = Cluster::start(PlanOptions { load_accounts: 4, ..PlanOptions::default() }).await;
    let mut shell = Shell::of(&cluster);
    let mut section = Section::of("runbook.md", "Restore a whole consortium from backups");
    let nodes = cluster.nodes();
    let (backups, old_homes) = (cluster.scratch().join("backups"), cluster.scratch().join("old"));
    std::fs::create_dir_all(&backups).unwrap();
    std::fs::create_dir_all(&old_homes).unwrap();

    let load = Load::paced(&cluster, &VOTERS, Duration::from_millis(20));
    let back_up = format!("{} --json", section.next().trim());
    let mut heights = Vec::new();
    for node in &nodes {
        load.more(20).await;
        shell.set("ADMIN", format!("admin@{}", member_of(node)));
        let made = shell.run(&format!("{back_up} --node {}", cluster.url(node)));
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        std::fs::rename(made["folder"].as_str().unwrap(), backups.join(node)).unwrap();
        heights.push(made["height"].as_u64().unwrap());
    }
    load.more(40).await;
    let all = load.stop().await;
    let kept = *heights.iter().max().unwrap();
    assert!(heights.iter().any(|height| *height < kept), "{heights:?}");
    let (mut acknowledged, lost): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.height <= kept);
    assert!(!lost.is_empty());

    // All is lost; the old disks turn up later.
    for node in &nodes {
        cluster.testnet.kill(node).unwrap();
    }
    let restore = section.next();
    for node in &nodes {
        std::fs::rename(cluster.home(node), old_homes.join(node)).unwrap();
        shell.set("BACKUP", backups.join(node).display());
        shell.set("NODE_HOME", cluster.home(node).display());
        shell.run(&restore);
    }
    let (longest, _) = nodes.iter().zip(&heights).find(|(_, height)| **height == kept).unwrap();
    shell.set("LONGEST_HOME", cluster.home(longest).display());
    shell.set("ALL_VOTERS", VOTERS.join(","));
    shell.run(&section.next());
    let sign = section.next();
    for node in VOTERS {
        shell.set("MEMBER", member_of(node));
        shell.run(&sign);
    }
    shell.set("FIRST_ADMIN", "admin@harlem");
    shell.set("ALL_COPIES", VOTERS.map(|node| format!("{}.toml", member_of(node))).join(" "));
    shell.run(&section.next());
    let apply = section.next();
    section.done();
    for node in &nodes {
        shell.set("NODE_HOME", cluster.home(node).display());
        shell.run(&apply);
    }

    // An old node, alone at its place, finds that it is of another line.
    let (old, restored) = (VOTERS[3], &VOTERS[..3]);
    for node in restored.iter().chain(&[AGGREGATOR]) {
        cluster.launch(node);
    }
    let here = cluster.home(old);
    std::fs::rename(&here, old_homes.join("restored")).unwrap();
    std::fs::rename(old_homes.join(old), &here).unwrap();
    let before = blocks_of(&cluster, old).await;
    eventually("the old node is refused", PATIENCE, async || {
        let refused = |node: &&str| cluster.log(node).contains("wrong-lineage");
        (restored.iter().any(refused) && cluster.log(old).contains("wrong-lineage")).then_some(())
    })
    .await;
    let load = Load::paced(&cluster, restored, Duration::from_millis(5));
    load.more(40).await;
    assert_eq!(cluster.chain(old).await.map_or(before, |chain| chain.height), before, "the old node was given blocks");
    cluster.testnet.kill(old).unwrap();
    std::fs::rename(&here, old_homes.join(old)).unwrap();
    std::fs::rename(old_homes.join("restored"), &here).unwrap();

    cluster.testnet.up(&program(), &|_| {}).await.unwrap();
    for node in VOTERS {
        cluster.votes(node).await;
    }
    acknowledged.extend(load.stop().await);
    assert_once_everywhere(&cluster, &acknowledged).await;
    for one in lost {
        let status = cluster.anyone(VOTERS[0]).transaction(&one.id).await;
        assert!(status.is_err(), "{} was never in the chain that was kept: {status:?}", one.id);
    }
    cluster.verify_ledgers();
}

fn member_of(node: &str) -> &str {
    node.split_once('.').unwrap().1
}

/// Starts a node; how many blocks it has.
async fn blocks_of(cluster: &Cluster, node: &str) -> u64 {
    cluster.launch(node);
    eventually("the node answers", PATIENCE, async || Some(cluster.chain(node).await?.height)).await
}
