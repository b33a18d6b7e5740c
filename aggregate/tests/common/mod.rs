//! Helpers of the tests: the example data, short ways to write requests, and an oracle that knows nothing of the crate.
#![allow(clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]
#![allow(dead_code, reason = "each test file uses a part")]

use galen_aggregate::{Refusal, ResultTable, SiteSummary, SummaryRequest, combine, summarise};
use galen_types::parameters::Disclosure;
use galen_types::vocabulary::Statistic;
use galen_types::{ColumnName, DatasetName, Slug};

/// A site's table from the example data.
pub(crate) fn data(folder: &str, site: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../testnet/data");
    let path = format!("{root}/{folder}/{site}.csv");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn column(name: &str) -> ColumnName {
    name.parse().expect("a column name")
}

pub(crate) fn dataset(name: &str) -> DatasetName {
    name.parse().expect("a dataset name")
}

/// A request for all statistics.
pub(crate) fn request(columns: &[&str], by: &str, filter: &str) -> SummaryRequest {
    request_of(columns, by, filter, Statistic::ALL)
}

pub(crate) fn request_of(columns: &[&str], by: &str, filter: &str, statistics: &[Statistic]) -> SummaryRequest {
    let by = (!by.is_empty()).then(|| column(by));
    let filter = (!filter.is_empty()).then(|| filter.parse().expect("a filter"));
    let columns = columns.iter().map(|name| column(name)).collect();
    SummaryRequest::new(columns, by, filter, statistics.to_vec()).expect("a request")
}

/// One site's summary under the default minima, sent over the wire.
pub(crate) fn answer(table: &[u8], request: &SummaryRequest) -> Result<SiteSummary, Refusal> {
    let disclosure = Disclosure::default();
    let bytes = summarise(table, request, &disclosure, 0)?.to_bytes();
    let received = SiteSummary::from_bytes(&bytes, request, &disclosure, 0);
    Ok(received.expect("what a site sends is accepted"))
}

/// The code of a site's refusal.
pub(crate) fn refusal(table: &[u8], request: &SummaryRequest) -> &'static str {
    match answer(table, request) {
        Ok(summary) => panic!("not refused: {summary:?}"),
        Err(refusal) => refusal.code(),
    }
}

/// The total over sites given as (dataset, table), refusing sites named.
pub(crate) fn total(sites: &[(&str, Vec<u8>)], request: &SummaryRequest) -> ResultTable {
    let (mut given, mut refused): (Vec<_>, Vec<(_, Slug)>) = (Vec::new(), Vec::new());
    for (name, table) in sites {
        match answer(table, request) {
            Ok(summary) => given.push((dataset(name), summary)),
            Err(refusal) => refused.push((dataset(name), refusal.slug())),
        }
    }
    combine(given, refused, request, &Disclosure::default()).expect("a total")
}

pub(crate) fn assert_close(got: f64, expected: f64, tolerance: f64, what: &str) {
    let scale = expected.abs().max(f64::MIN_POSITIVE);
    let error = (got - expected).abs() / scale;
    assert!(got == expected || error <= tolerance, "{what}: {got} differs from {expected} by {error:e}");
}
