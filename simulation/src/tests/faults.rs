//! Whole clusters under faults: nothing acknowledged is lost or applied twice, and no two nodes disagree.

use std::path::Path;

use galen_consensus::vfs::Crash;
use rocksdb::{DB, IteratorMode};

use crate::check::verify;
use crate::cluster::Cluster;
use crate::world::World;
use crate::{Options, Scenario, run, run_seed};

#[test]
fn seeds_of_every_scenario_hold_and_something_happens_in_them() {
    // More seeds find rarer faults: GALEN_SEEDS=1000, from GALEN_SEED on, one GALEN_SCENARIO only.
    let number = |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let scenario = std::env::var("GALEN_SCENARIO").ok().map(|text| text.parse().unwrap());
    let options = Options {
        first_seed: number("GALEN_SEED", 1),
        seeds: number("GALEN_SEEDS", 12),
        scenario,
        steps: number("GALEN_STEPS", 150),
        repeat_every: 0,
    };
    let report = run(&options, &mut |seed| {
        println!("seed {} {}: {} events, trace {}", seed.seed, seed.scenario, seed.events, seed.trace);
        if let Some(failure) = &seed.failure {
            println!("{}\n{}\n{}\n{}", failure.replay, seed.world, failure.cause, failure.story.join("\n"));
        }
    });
    println!("{} hours, {report:#?}", report.simulated_hours());
    let failed: Vec<_> = report.failures.iter().map(|(seed, _)| seed).collect();
    assert!(report.is_sound(), "failed: {failed:?}");
    // A harness in which nothing goes wrong proves nothing.
    if options.seeds >= 10 && scenario.is_none() {
        assert!(report.epochs > options.seeds / 2 && report.blocks > 400, "{report:#?}");
        assert!(report.faults.len() > 15 && report.checks.len() >= 15, "{report:#?}");
    }
}

#[test]
fn moments_come_and_are_used() {
    let options = Options { first_seed: 1, seeds: 8, scenario: Some(Scenario::Moments), steps: 200, repeat_every: 0 };
    let report = run(&options, &mut |_| {});
    assert!(report.is_sound(), "{:#?}", report.failures);
    let kinds = ["only the leader executes", "leader's clock ahead", "leader killed, disk of a moment ago"];
    for kind in kinds {
        assert!(report.faults.get(kind).is_some_and(|count| *count > 0), "never: {kind}; {:#?}", report.faults);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for scenario in Scenario::ALL {
        let (one, other) = (run_seed(scenario, 5, 60), run_seed(scenario, 5, 60));
        assert_eq!(one.failure, None);
        assert_eq!(one, other);
        assert_ne!(one.trace, run_seed(scenario, 6, 60).trace);
    }
}

#[test]
fn a_leader_that_dies_with_what_it_had_not_synced_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::new(World { write_delay: 3, power_loss: true, ..World::calm(4) }, 5);
    for _ in 0..4 {
        cluster.until(300, |cluster| cluster.leader().is_some());
        cluster.run(25);
        let Some(leader) = cluster.leader() else { continue };
        cluster.nodes[leader].crash(Crash::DropAll);
        cluster.until(300, |cluster| cluster.leader().is_some());
        cluster.run(10);
        cluster.start(leader);
    }
    cluster.heal_and_check();
    let seen = cluster.seen();
    assert!(seen.led >= 5 && seen.blocks > 100, "{seen:?}");
}

#[test]
fn all_nodes_may_lose_power_at_once() {
    let mut cluster =
        Cluster::new(World { write_delay: 2, lag: 300, power_loss: true, compact_entries: 4, ..World::calm(4) }, 6);
    for _ in 0..3 {
        cluster.run(60);
        for place in 0..cluster.nodes.len() {
            cluster.nodes[place].crash(Crash::DropAll);
        }
        for place in 0..cluster.nodes.len() {
            cluster.start(place);
        }
    }
    cluster.heal_and_check();
    assert!(cluster.seen().blocks > 100);
    for report in cluster.verify_folders(true) {
        assert!(report.is_sound(), "{:#?}", report.findings);
        assert_eq!(report.executed, Some(report.height), "every block gives the same again");
        assert_eq!(report.certified_height, report.height);
    }
}

#[test]
fn a_voter_that_was_away_while_the_log_was_cut_comes_back_by_certified_blocks() {
    let mut cluster = Cluster::new(World { compact_entries: 20, load: 1000, ..World::calm(4) }, 7);
    cluster.until(300, |cluster| cluster.leader().is_some());
    let away = (cluster.leader().unwrap() + 1) % 4;
    cluster.nodes[away].crash(Crash::DropAll);
    cluster.run(150);
    let cut = |cluster: &Cluster| cluster.nodes[cluster.leader().unwrap()].orderer().unwrap().status().snapshot;
    assert!(cut(&cluster) > 20, "the leader no longer has the first entries");
    cluster.start(away);
    cluster.until(200, |cluster| cluster.nodes[away].seen.snapshots > 0);
    cluster.heal_and_check();
    let status = cluster.nodes[away].orderer().unwrap().status();
    assert!(status.snapshot > 20 && cluster.nodes[away].seen.pulled > 20, "{status:?}");
    // What it does from here on, it does by ordering.
    let pulled = cluster.nodes[away].seen.pulled;
    cluster.world.load = 1000;
    cluster.run(30);
    cluster.heal_and_check();
    assert_eq!(cluster.nodes[away].seen.pulled, pulled);
}

#[test]
fn the_log_is_cut_also_when_nodes_restart_more_often_than_it_fills() {
    let mut cluster = Cluster::new(World { compact_entries: 20, load: 1000, ..World::calm(3) }, 8);
    for _ in 0..6 {
        cluster.run(40);
        for place in 0..cluster.nodes.len() {
            cluster.nodes[place].crash(Crash::KeepAll);
            cluster.start(place);
        }
    }
    cluster.heal_and_check();
    for node in &cluster.nodes[..3] {
        let status = node.orderer().unwrap().status();
        assert!(status.last - status.snapshot < 50, "{}: {status:?}", node.name);
    }
}

#[test]
fn a_voter_that_signs_another_header_is_kept_as_evidence_and_the_others_certify() {
    let mut cluster = Cluster::new(World::calm(4), 9);
    cluster.evil = Some(2);
    cluster.run(60);
    cluster.heal_and_check();
    let tip = cluster.nodes[0].executor().tip().height;
    assert!(tip > 10);
    for node in cluster.nodes.iter().filter(|node| node.place != 2) {
        let evidence = node.executor().ledger().view().unwrap().evidence(1, 1_000).unwrap();
        assert_eq!(evidence.len() as u64, tip, "{}: one a height, also after the certificate", node.name);
        assert!(evidence.iter().all(|signature| signature.voter == cluster.nodes[2].name));
    }
    for report in cluster.verify_folders(false) {
        assert!(report.is_sound(), "{:#?}", report.findings);
    }
}

#[test]
fn a_lone_voter_cannot_make_others_believe_that_the_chain_is_longer() {
    use galen_types::{Hash, HeaderSignature};

    use crate::consortium::key;
    use crate::node::Frame;

    let mut cluster = Cluster::new(World::calm(4), 10);
    cluster.run(40);
    let voter = cluster.nodes[2].name.clone();
    let secret = key(&voter.to_string());
    for height in 1_000..1_200 {
        let far = HeaderSignature::sign(
            &cluster.genesis.hash(),
            &cluster.genesis.voter_set().hash(),
            height,
            Hash([6; 32]),
            voter.clone(),
            &secret,
        );
        cluster.nodes[0].take(2, Frame::Signature(far));
    }
    cluster.heal_and_check();
    assert_eq!(cluster.nodes[0].seen.pulled, 0, "nothing was asked for");
}

#[test]
fn a_leader_whose_clock_is_ahead_orders_by_the_others_and_the_chains_time_stays() {
    let mut cluster = Cluster::new(World { load: 1000, ..World::calm(4) }, 11);
    cluster.until(300, |cluster| cluster.leader().is_some());
    let ahead = cluster.leader().unwrap();
    cluster.run(10);
    cluster.nodes[ahead].skew_ms = 24 * 3_600_000;
    let other = (ahead + 1) % 4;
    let height = cluster.nodes[other].executor().tip().height;
    cluster.until(1_000, |cluster| cluster.nodes[other].executor().tip().height > height + 5);
    assert_eq!(cluster.leader(), Some(ahead), "no election was needed");
    let time = cluster.nodes[other].executor().tip().time;
    assert!(time <= cluster.now().plus_ms(5_000), "no block from the future");
    cluster.nodes[ahead].skew_ms = 0;
    cluster.heal_and_check();
}

#[test]
fn an_altered_value_in_a_folder_is_found() {
    let mut cluster = Cluster::new(World::calm(3), 12);
    cluster.run(40);
    cluster.heal_and_check();
    for report in cluster.verify_folders(true) {
        assert!(report.is_sound(), "{:#?}", report.findings);
    }
    let folder = &cluster.nodes[1].folder;
    for column in ["state", "receipts"] {
        let restore = alter(folder, column);
        let report = verify(folder, &cluster.genesis, false);
        assert!(!report.is_sound() && report.findings.iter().any(|finding| finding.column == column), "{column}");
        restore();
        assert!(verify(folder, &cluster.genesis, false).is_sound());
    }
}

/// Flips a bit in the middle of a column family's first value; gives what undoes it.
fn alter(folder: &Path, column: &str) -> impl FnOnce() {
    let open = |folder: &Path| {
        let names = DB::list_cf(&rocksdb::Options::default(), folder).unwrap();
        DB::open_cf(&rocksdb::Options::default(), folder, &names).unwrap()
    };
    let database = open(folder);
    let handle = database.cf_handle(column).unwrap();
    let (key, value) = database.iterator_cf(handle, IteratorMode::Start).next().unwrap().unwrap();
    let mut altered = value.to_vec();
    altered[value.len() / 2] ^= 0x40;
    database.put_cf(handle, &key, &altered).unwrap();
    drop(database);
    let (folder, column) = (folder.to_owned(), column.to_owned());
    move || {
        let database = open(&folder);
        database.put_cf(database.cf_handle(&column).unwrap(), &key, &value).unwrap();
    }
}
