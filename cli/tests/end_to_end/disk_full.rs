//! A node that cannot write any more stops rather than lies.

use galen_testnet::PlanOptions;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Cluster, Load, PATIENCE, VOTERS, assert_once_everywhere, eventually, program};

/// No file of the node may grow larger, in blocks of 512 bytes: 1 MiB.
const FILE_BLOCKS_MAX: u32 = 2_048;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_write_stops_and_the_others_go_on() {
    let cluster = Cluster::make(PlanOptions { load_accounts: 8, ..PlanOptions::default() }).await;
    let full = VOTERS[3];
    // What a full disk does to writes, a limit on the size of files does too, without a disk of its own: EFBIG instead of
    // ENOSPC. The signal that would come first is ignored, which the program inherits.
    let limited = cluster.scratch().join("galen-limited");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {FILE_BLOCKS_MAX}\nexec {} \"$@\"\n", program().display());
    std::fs::write(&limited, script).unwrap();
    std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o755)).unwrap();
    let node = cluster.testnet.node(full).unwrap();
    galen_testnet::process::NodeProcess::start(cluster.testnet.folder(), &node.name, &limited).unwrap();
    cluster.testnet.up(&program(), &|_| {}).await.unwrap();

    let load = Load::start(&cluster, &VOTERS);
    eventually("the node with the full disk stops", PATIENCE, async || cluster.process(full).is_none().then_some(()))
        .await;
    let log = cluster.log(full);
    assert!(log.contains("the node stops"), "it says why it stops");
    load.more(50).await;
    // With room again it comes back, and every promise that it made was kept.
    cluster.restart(full).await;
    load.more(50).await;
    let acknowledged = load.stop().await;
    assert_once_everywhere(&cluster, &acknowledged).await;
}
