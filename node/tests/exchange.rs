//! Four hospitals and an aggregator, each a real node with its own folder and ports, in one process: a file is published,
//! computed over, downloaded, tampered with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

mod support;

use std::time::{Duration, Instant};

use galen_aggregate::ResultDocument;
use galen_client::{Client, ClientError, Publication, Wait, silent};
use galen_types::access::{Effect, Rule, Scope};
use galen_types::api::Card;
use galen_types::job::{JobFailure, JobSpecification};
use galen_types::member::Role;
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Filter, Purpose, Statistic};
use galen_types::{Call, DatasetName};

use support::{Consortium, MEMBERS, PATIENCE, name};

/// A site's table: 60 rows, no two sites alike.
fn table(site: usize) -> String {
    let mut text = "Age,Group,Weight\n".to_owned();
    for row in 0..60 {
        let group = if row % 2 == 0 { "T" } else { "C" };
        text.push_str(&format!("{},{group},{}\n", 18 + row, 50 + (row * 7 + site * 13) % 40));
    }
    text
}

/// The weights of everyone of an age, by group, over some sites.
fn weights(sites: &[usize], age_min: usize, group: &str) -> Vec<f64> {
    let mut found = Vec::new();
    for site in sites {
        for line in table(*site).lines().skip(1) {
            let values: Vec<&str> = line.split(',').collect();
            if values[0].parse::<usize>().unwrap() >= age_min && values[1] == group {
                found.push(values[2].parse().unwrap());
            }
        }
    }
    found
}

fn rule(effect: Effect, actions: &[Action]) -> Rule {
    Rule {
        name: name("researchers"),
        effect,
        members: Vec::new(),
        accounts: Vec::new(),
        roles: vec![Role::Researcher],
        actions: actions.to_vec(),
        purposes: vec![Purpose::HealthcareResearch],
        data_use: Vec::new(),
        columns: Vec::new(),
        statistics: Vec::new(),
        not_before: None,
        not_after: None,
        cohort_min: None,
        uses_max: None,
    }
}

fn dataset(member: &str) -> DatasetName {
    name(&format!("{member}/opt"))
}

async fn publish(consortium: &Consortium, site: usize, member: &str) {
    let owner = consortium.client(&format!("owner@{member}"));
    let path = consortium.folder.path().join(format!("{member}.csv"));
    std::fs::write(&path, table(site)).unwrap();
    let publication = Publication {
        dataset: dataset(member),
        previous: None,
        data_use: vec![DataUse { term: DataUseTerm::GeneralResearchUse, parameter: None }],
        card: Some(Card { title: format!("Trial of {member}"), ..Card::default() }),
        discoverable: true,
        temporary_folder: Some(consortium.folder.path().to_owned()),
    };
    let published = owner.publish_file(&path, publication, &silent()).await.unwrap();
    assert_eq!((published.content.rows, published.content.columns.len()), (60, 3));
    set_contract(&owner, member, 1, rule(Effect::Permit, &[Action::Discover, Action::Compute, Action::Download])).await;
}

async fn set_contract(owner: &Client, member: &str, previous: u32, rule: Rule) {
    let call = Call::SetContract { scope: Scope::Dataset(dataset(member)), previous, rules: vec![rule] };
    owner.apply(call, Wait::Committed).await.unwrap();
}

fn specification(members: &[&str]) -> JobSpecification {
    JobSpecification {
        datasets: members.iter().map(|member| dataset(member)).collect(),
        statistics: vec![Statistic::Count, Statistic::Mean],
        columns: vec![name("Weight")],
        by: Some(name("Group")),
        filter_columns: Vec::new(),
        filter: None,
        purpose: Purpose::HealthcareResearch,
        data_use: Vec::new(),
    }
}

fn document(bytes: &[u8]) -> ResultDocument {
    ResultDocument::from_json(bytes).unwrap()
}

#[track_caller]
fn assert_pooled(document: &ResultDocument, sites: &[usize], age_min: usize) {
    let groups = &document.table.columns[0].groups;
    for (group, label) in groups.iter().zip(["C", "T"]) {
        let expected = weights(sites, age_min, label);
        assert_eq!((group.level.as_deref(), group.count), (Some(label), Some(expected.len() as u64)));
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        assert!((group.mean.unwrap() - mean).abs() < 1e-9, "{:?} instead of {mean}", group.mean);
    }
    assert_eq!(groups.len(), 2);
}

/// Waits until a card of another member's dataset is at hand, which takes its owner's node being connected.
async fn card_title(client: &Client, member: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(card) = client.dataset(&dataset(member)).await.unwrap().card {
            return card.title;
        }
        assert!(Instant::now() < deadline, "no card of {member} came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_compute_and_detect_tampering() {
    let mut consortium = Consortium::start().await;
    for (site, member) in MEMBERS.into_iter().enumerate() {
        publish(&consortium, site, member).await;
    }
    let researcher = consortium.client("researcher@kentucky");
    assert_eq!(card_title(&researcher, "harlem").await, "Trial of harlem");

    // Computed over all four, under a filter.
    let filter: Filter = name("Age >= 30");
    let result = researcher.run_job(specification(&MEMBERS), Some(&filter), PATIENCE, &silent()).await.unwrap();
    let found = document(&result.document);
    assert!(found.filtered);
    assert_eq!((found.versions.len(), found.table.refused.len()), (4, 0));
    assert_pooled(&found, &[0, 1, 2, 3], 30);
    let again = researcher.job_result(result.job.job.id).await.unwrap();
    assert_eq!(again.document, result.document);
    // Nobody else's.
    let other = consortium.client("researcher@hennepin").job_result(result.job.job.id).await;
    assert!(matches!(other, Err(ClientError::Denied { .. } | ClientError::Problem(_))), "{other:?}");

    // While a job waits for an aggregator, one site's permission is taken back and the submitter's node restarts.
    consortium.stop_node("aggregator.harlem").await;
    let job = researcher.submit_job(specification(&MEMBERS), Some(&filter)).await.unwrap();
    let hennepin = consortium.client("owner@hennepin");
    set_contract(&hennepin, "hennepin", 2, rule(Effect::Deny, &[Action::Compute])).await;
    consortium.restart("node-1.kentucky").await;
    let researcher = consortium.client("researcher@kentucky");
    consortium.start_node("aggregator.harlem").await;
    researcher.wait_for_job(job, PATIENCE, &silent()).await.unwrap();
    let late = document(&researcher.job_result(job).await.unwrap().document);
    assert_pooled(&late, &[0, 2, 3], 30);
    assert_eq!(late.table.refused[0].dataset, dataset("hennepin"));
    assert_eq!(late.table.refused[0].rule.as_str(), "job-permission-lost");
    let again = rule(Effect::Permit, &[Action::Discover, Action::Compute, Action::Download]);
    set_contract(&hennepin, "hennepin", 3, again).await;

    // Downloaded through the own node from the owner's.
    let version = name("harlem/opt@1");
    let target = consortium.folder.path().join("downloaded.csv");
    researcher.download(&version, Purpose::HealthcareResearch, &target, &silent()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), table(0));
    // And by its own member from its own node.
    let owner = consortium.client("owner@harlem");
    owner.download(&version, Purpose::HealthcareResearch, &target, &silent()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), table(0));

    // A changed byte at one site.
    let detail = owner.dataset(&dataset("harlem")).await.unwrap();
    let ciphertext = detail.versions[0].content.ciphertext;
    let object = consortium.home("node-1.harlem").files().join("objects").join(ciphertext.to_string());
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    // Found by a job without anybody asking: that site is left out and the chain says why.
    let result = researcher.run_job(specification(&MEMBERS), None, PATIENCE, &silent()).await.unwrap();
    let found = document(&result.document);
    assert_pooled(&found, &[1, 2, 3], 0);
    assert_eq!(found.table.refused.len(), 1);
    assert_eq!(found.table.refused[0].rule.as_str(), "integrity-failure");
    let detail = owner.dataset(&dataset("harlem")).await.unwrap();
    assert!(detail.versions[0].tampering_reported.is_some());
    let verified = owner.verify_dataset(&dataset("harlem")).await.unwrap();
    assert!(!verified.parts[0].intact);
    assert_eq!(verified.parts[0].finding.as_deref(), Some("differs at or after byte 0"));
    assert!(researcher.download(&version, Purpose::HealthcareResearch, &target, &silent()).await.is_err());

    // Three members are needed, and one of these three refuses.
    let three = specification(&["harlem", "hennepin", "kentucky"]);
    match researcher.run_job(three, None, PATIENCE, &silent()).await {
        Err(ClientError::JobFailed { failure, sites, .. }) => {
            assert_eq!(failure, Some(JobFailure::TooFewSites));
            assert_eq!(sites[0].refused.as_ref().map(|rule| rule.as_str()), Some("integrity-failure"));
            assert!(sites[1].refused.is_none());
        }
        other => panic!("{other:?}"),
    }

    // A result outlives the aggregator's process, and so does its work.
    consortium.restart("aggregator.harlem").await;
    let kept = researcher.job_result(result.job.job.id).await.unwrap();
    assert_eq!(kept.document, result.document);
    let rest = specification(&["hennepin", "kentucky", "mississippi"]);
    let result = researcher.run_job(rest, None, PATIENCE, &silent()).await.unwrap();
    assert_pooled(&document(&result.document), &[1, 2, 3], 0);
    consortium.stop().await;
}
