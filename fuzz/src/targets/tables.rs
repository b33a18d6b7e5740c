//! Tables that owners store, filters, and summaries that sites send: read in bounded memory, and what leaves a site is
//! what its receiver accepts.

use galen_aggregate::{SiteSummary, SummaryRequest, inspect_csv, summarise};
use galen_types::parameters::Disclosure;
use galen_types::vocabulary::{Filter, Statistic};

use crate::hold;
use crate::shared::consortium::name;
use crate::target::{Limits, Target, Trace};

const WORDS: &[&str] = &[
    "\n", "\r\n", ",", "\"", "\"\"", ";", "\t", "Group", "Age", "NA", "nan", "inf", "-inf", "1e308", "-1e308",
    "1e-320", "0x1", "+1", " 1", "é", "\u{feff}",
];

/// Tables and summaries.
pub struct Tables {
    requests: Vec<SummaryRequest>,
}

impl Default for Tables {
    fn default() -> Self {
        let statistics =
            vec![Statistic::Count, Statistic::Missing, Statistic::Mean, Statistic::Variance, Statistic::Sum];
        let filter: Filter = "Age >= 18".parse().expect("it is a filter");
        let request = |by: Option<&str>, filter: Option<Filter>| {
            SummaryRequest::new(vec![name("Age")], by.map(name), filter, statistics.clone()).expect("it is a request")
        };
        Self { requests: vec![request(None, None), request(Some("Group"), None), request(Some("Group"), Some(filter))] }
    }
}

fn table() -> String {
    let mut text = String::from("Group,Age,Note\n");
    for row in 0..60 {
        let group = if row % 2 == 0 { "T" } else { "C" };
        text.push_str(&format!("{group},{},\"a, \"\"quoted\"\" note\"\n", 18 + row % 25));
    }
    text
}

impl Tables {
    fn table(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        match inspect_csv(bytes) {
            Ok(shape) => trace.reach((shape.columns.len(), shape.rows.min(64))),
            Err(error) => trace.reach(error.code()),
        }
        let disclosure = Disclosure::default();
        for request in &self.requests {
            match summarise(bytes, request, &disclosure, 0) {
                Ok(summary) => {
                    trace.accept();
                    let bytes = summary.to_bytes();
                    let read = SiteSummary::from_bytes(&bytes, request, &disclosure, 0);
                    let read = read.map_err(|error| format!("a site's own summary is refused: {error}"))?;
                    hold!(read == summary, "a summary is read as another");
                }
                Err(refusal) => trace.reach(refusal.code()),
            }
        }
        Ok(())
    }

    fn summary(&self, bytes: &[u8], trace: &mut Trace) -> Result<(), String> {
        let disclosure = Disclosure::default();
        for request in &self.requests {
            match SiteSummary::from_bytes(bytes, request, &disclosure, 0) {
                Ok(summary) => {
                    trace.accept();
                    hold!(summary.to_bytes() == bytes, "a summary has another encoding");
                    let least = u64::from(disclosure.cell_min);
                    for column in summary.columns() {
                        let small = column.cells().iter().any(|cell| cell.count() > 0 && cell.count() < least);
                        hold!(!small, "a summary with a small cell is accepted");
                    }
                }
                Err(error) => trace.reach(error.code()),
            }
        }
        Ok(())
    }
}

impl Target for Tables {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let table = table();
        let mut seeds = vec![[b"\0", table.as_bytes()].concat()];
        for request in &self.requests {
            let summary = summarise(table.as_bytes(), request, &Disclosure::default(), 0).expect("it may be given");
            seeds.push([b"\x01", summary.to_bytes().as_slice()].concat());
        }
        seeds
    }

    fn run(&mut self, input: &[u8], trace: &mut Trace) -> Result<(), String> {
        match input.split_first() {
            Some((0, bytes)) => self.table(bytes, trace),
            Some((1, bytes)) => self.summary(bytes, trace),
            _ => Ok(()),
        }
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 1 << 20, memory_bytes_per_byte: 200, ..Limits::default() }
    }
}
