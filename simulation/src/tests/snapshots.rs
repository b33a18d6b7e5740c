//! Ledgers that come by snapshot, cannot be written, or rot.

use galen_consensus::vfs::Crash;
use galen_ledger::WriteFault;

use crate::cluster::Cluster;
use crate::consortium::Random;
use crate::ledger_world::{Forgery, LedgerWorld, SnapshotRules};
use crate::world::World;
use crate::{Options, Scenario, run};

/// Four voters, an observer, and snapshots that are worth taking after a few blocks.
fn world() -> World {
    let rules = SnapshotRules { lag_blocks: 6, age_blocks: 2, piece_bytes: 600, fills_past: true };
    World { load: 1000, ledger: LedgerWorld { snapshots: Some(rules), ..LedgerWorld::by_blocks() }, ..World::calm(4) }
}

/// Runs until there is a chain, then takes the observer's disk away.
fn without_observer(world: World, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(world, seed);
    cluster.until(400, |cluster| cluster.nodes[0].executor().ledger().certified_height() > 15);
    let observer = cluster.observer();
    cluster.nodes[observer].stop();
    cluster.nodes[observer].wipe();
    cluster.oracle.forget(observer);
    cluster.start(observer);
    cluster
}

fn base_of(cluster: &Cluster, place: usize) -> u64 {
    cluster.nodes[place].executor().ledger().view().unwrap().base_height().unwrap()
}

#[test]
fn seeds_of_snapshots_hold_and_what_they_are_for_happens() {
    let options = Options { first_seed: 1, seeds: 3, scenario: Some(Scenario::Snapshots), steps: 120, repeat_every: 0 };
    let report = run(&options, &mut |_| {});
    assert!(report.is_sound(), "{:#?}", report.failures);
    let fetched = report.faults.get("ledger fetched by snapshot");
    assert!(fetched.is_some_and(|count| *count > 0), "{:#?}", report.faults);
}

#[test]
fn an_observer_without_a_disk_comes_back_by_snapshot_then_by_blocks_and_fills_in_its_past() {
    let mut cluster = without_observer(world(), 21);
    let observer = cluster.observer();
    cluster.until(300, |cluster| cluster.nodes[observer].is_running() && base_of(cluster, observer) > 10);
    cluster.heal_and_check();
    let view = cluster.nodes[observer].executor().ledger().view().unwrap();
    assert_eq!((view.history_from().unwrap(), view.bodies_from().unwrap()), (1, 1));
    drop(view);
    for report in cluster.verify_folders(false) {
        assert!(report.is_sound(), "{:#?}", report.findings);
    }
}

#[test]
fn a_voter_whose_ledger_begins_above_the_leaders_cut_orders_on_without_the_header_of_the_cut() {
    let rules = SnapshotRules { fills_past: false, ..world().ledger.snapshots.unwrap() };
    let ledger = LedgerWorld { snapshots: Some(rules), ..world().ledger };
    let mut cluster = Cluster::new(World { voters: 3, compact_entries: 12, ledger, ..world() }, 31);
    // No snapshot is taken before the voter asks for one.
    let observer = cluster.observer();
    cluster.nodes[observer].snapshots = None;
    cluster.until(300, |cluster| cluster.leader().is_some());
    let away = (cluster.leader().unwrap() + 1) % 3;
    cluster.nodes[away].crash(Crash::DropAll);
    cluster.run(60);
    cluster.world.load = 0;
    cluster.start(away);
    cluster.until(300, |cluster| cluster.nodes[away].is_running() && base_of(cluster, away) > 0);
    // From here on nothing is committed without it.
    let leader = cluster.leader().unwrap();
    let other = 3 - leader - away;
    cluster.nodes[other].crash(Crash::KeepAll);
    let cut = cluster.nodes[leader].orderer().unwrap().status().snapshot;
    let first = cluster.nodes[away].executor().ledger().view().unwrap().header(base_of(&cluster, away)).unwrap();
    let first = first.unwrap().raft_index;
    assert!(cut > 0 && first > cut, "its ledger begins with entry {first}, the leader's log after {cut}");
    let height = cluster.nodes[leader].executor().tip().height;
    cluster.world.load = 1000;
    cluster.until(300, |cluster| cluster.nodes[leader].executor().tip().height > height + 3);
    cluster.start(other);
    cluster.heal_and_check();
    assert!(cluster.nodes[away].seen.snapshots > 0);
}

#[test]
fn wherever_an_installation_is_killed_the_node_comes_back() {
    for seed in 22..24 {
        let ledger = LedgerWorld { install_killed: 1000, ..world().ledger };
        let mut cluster = without_observer(World { ledger, ..world() }, seed);
        cluster.until(300, |cluster| cluster.injected.contains_key("killed while a ledger was put in place"));
        cluster.heal_and_check();
    }
}

#[test]
fn a_snapshot_of_other_rows_is_refuted_and_another_node_is_asked() {
    for (forgery, seed) in [(Forgery::Rows, 26), (Forgery::Header, 27)] {
        let mut cluster = without_observer(world(), seed);
        let observer = cluster.observer();
        let liars = cluster.nodes.len() - 2;
        cluster.nodes[..liars].iter_mut().for_each(|node| node.forges = Some(forgery));
        let refused = |cluster: &Cluster| cluster.seen().snapshots_refuted + cluster.seen().offers_refused;
        cluster.until(600, |cluster| refused(cluster) > 0);
        cluster.nodes.iter_mut().for_each(|node| node.forges = None);
        cluster.heal_and_check();
        assert!(cluster.nodes[observer].executor().tip().height > 15);
    }
}

#[test]
fn after_a_failed_write_of_its_ledger_a_node_stops_by_name_and_comes_back() {
    for is_written in [false, true] {
        let mut cluster = Cluster::new(world(), 28);
        cluster.until(400, |cluster| cluster.nodes[0].executor().ledger().certified_height() > 5);
        for place in 0..2 {
            cluster.nodes[place].fail_write(WriteFault { after: place as u32, is_written });
        }
        cluster.until(100, |cluster| cluster.injected.get("ledger write fails (EIO)") == Some(&2));
        cluster.heal_and_check();
    }
}

#[test]
fn rows_that_rot_are_found_and_the_ledger_is_fetched_anew() {
    for seed in [29, 32] {
        let mut cluster = Cluster::new(world(), seed);
        cluster.until(400, |cluster| cluster.nodes[0].executor().ledger().certified_height() > 15);
        let scrub_at = cluster.step + 10;
        cluster.nodes[1].stop();
        assert!(cluster.nodes[1].rot(&mut Random(seed), scrub_at).is_some());
        cluster.start(1);
        cluster.until(600, |cluster| cluster.seen().repaired > 0 && !cluster.nodes[1].is_repairing());
        assert!(cluster.seen().rot_found > 0);
        cluster.heal_and_check();
        assert!(cluster.nodes[1].raft_id.is_some(), "its log is sound, so its number stays in force");
    }
}
