//! The main job on the real files, with a row planted in one of them: nothing of the row comes to the aggregator.

use std::path::Path;

use galen_testnet::PlanOptions;
use galen_testnet::demo::{self, SiteFile, Step};

use crate::support::Cluster;

/// Stands in a text column of one row.
const PLANTED_TEXT: &str = "planted-3f9c1b7e";
/// Stands in a numeric column of the same row.
const PLANTED_NUMBER: f64 = 2_718.281_828_459_045;

const AGGREGATOR: &str = "aggregator.harlem";

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_comes_out_and_no_row_comes_to_the_aggregator() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    let steps = run(&cluster).await;
    let names: Vec<_> = steps.iter().map(|step| step.step).collect();
    assert_eq!(
        names,
        ["publish", "search", "request", "decide", "compute", "download-denied", "download", "tamper", "trail"]
    );
    let of = |name: &str| &steps.iter().find(|step| step.step == name).unwrap().facts;
    assert_eq!(of("compute")["result"]["included"].as_array().unwrap().len(), 4);
    assert_eq!(of("tamper")["result"]["included"].as_array().unwrap().len(), 3);
    assert_eq!(of("download-denied")["rule"], "nothing-permits");

    // What the aggregator was sent is in its memory, what it keeps in its home. It knows the job, so the search would
    // find the row if it were there.
    let needles = needles();
    let process = cluster.process(AGGREGATOR).unwrap();
    let memory = memory_of(process.pid);
    assert!(contains(&memory, b"hennepin"), "the aggregator's memory is what was searched");
    for needle in &needles {
        assert!(!contains(&memory, needle), "the aggregator's memory holds {:?}", String::from_utf8_lossy(needle));
    }
    assert_eq!(cluster.testnet.down().unwrap(), 5);
    for path in files_under(&cluster.home(AGGREGATOR)) {
        let bytes = std::fs::read(&path).unwrap();
        for needle in &needles {
            assert!(!contains(&bytes, needle), "{} holds {:?}", path.display(), String::from_utf8_lossy(needle));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_can_be_run_again() {
    let cluster = Cluster::start(PlanOptions::default()).await;
    run(&cluster).await;
    let again = run(&cluster).await;
    let datasets = again[0].facts["datasets"].as_array().unwrap();
    assert!(datasets.iter().all(|dataset| dataset["what"] == "unchanged"), "{datasets:?}");
}

async fn run(cluster: &Cluster) -> Vec<Step> {
    let mut steps = Vec::new();
    demo::run(&cluster.testnet, planted(), &mut |step| steps.push(step)).await.unwrap();
    steps
}

/// The shipped files, with text and number planted in the first row of the second.
fn planted() -> Vec<SiteFile> {
    let mut files = SiteFile::shipped().unwrap();
    let text = String::from_utf8(files[1].bytes.to_vec()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = |name: &str| lines[0].split(',').position(|heading| heading == name).unwrap();
    let (education, birthweight) = (place("Education"), place("Birthweight"));
    let mut cells: Vec<String> = lines[1].split(',').map(str::to_owned).collect();
    cells[education] = PLANTED_TEXT.to_owned();
    cells[birthweight] = PLANTED_NUMBER.to_string();
    lines[1] = cells.join(",");
    files[1].bytes = (lines.join("\n") + "\n").into_bytes().into();
    files
}

/// How the row could be recognised: its text, its number as text and as bytes of either order.
fn needles() -> Vec<Vec<u8>> {
    vec![
        PLANTED_TEXT.as_bytes().to_vec(),
        PLANTED_NUMBER.to_string().into_bytes(),
        PLANTED_NUMBER.to_le_bytes().to_vec(),
        PLANTED_NUMBER.to_be_bytes().to_vec(),
    ]
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = needle.split_first().unwrap();
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|byte| byte == first) {
        from += found + 1;
        if bytes[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

fn files_under(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files
}

/// Everything that a process of ours has in memory that it can write to.
fn memory_of(pid: i32) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut bytes = Vec::new();
    for line in std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        if !access.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut part = vec![0; usize::try_from(end - start).unwrap()];
        // A region may be given back to the system between the list and the look.
        if memory.read_exact_at(&mut part, start).is_ok() {
            bytes.append(&mut part);
        }
    }
    bytes
}
