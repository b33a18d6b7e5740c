//! The real trials: what is combined from summaries equals the computation over the pooled rows, to 1e-9.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

mod common;

use common::{assert_close, column, data, request, total};
use galen_aggregate::{ResultTable, inspect_csv};
use galen_types::dataset::ColumnKind;

const HOSPITALS: [&str; 4] = ["harlem", "hennepin", "kentucky", "mississippi"];

fn opt() -> Vec<(&'static str, Vec<u8>)> {
    let names = ["harlem/opt", "hennepin/opt", "kentucky/opt", "mississippi/opt"];
    names.into_iter().zip(HOSPITALS.map(|site| data("opt", site))).collect()
}

fn indo_rct() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("indiana/indo", data("indo_rct", "indiana")),
        ("michigan/indo", data("indo_rct", "michigan")),
        ("kentucky/indo", data("indo_rct", "kentucky")),
        ("case-western/indo", data("indo_rct", "case_western")),
    ]
}

/// Compares every number of a result with `reference.json` (see `reference.py`).
fn assert_equals_reference(result: &ResultTable, name: &str) {
    let text = include_str!("reference.json");
    let document: serde_json::Value = serde_json::from_str(text).expect("reference.json");
    let reference = &document[name];
    assert_eq!(result.columns.len(), reference.as_object().expect("columns").len());
    for got in &result.columns {
        let expected = &reference[got.column.as_str()];
        assert_eq!(got.missing, expected["missing"].as_u64(), "{}", got.column);
        let groups = expected["groups"].as_object().expect("groups");
        assert_eq!(got.groups.len(), groups.len(), "{}", got.column);
        for group in &got.groups {
            let label = group.level.as_deref().unwrap_or("");
            let expected = &groups[label];
            assert_eq!(group.count, expected["count"].as_u64());
            let numbers = [("sum", group.sum), ("mean", group.mean), ("variance", group.variance)];
            for (statistic, number) in numbers {
                let what = format!("{name}: {statistic} of {} {label}", got.column);
                let (number, expected) = (number.expect(&what), expected[statistic].as_f64());
                assert_close(number, expected.expect(&what), 1e-9, &what);
            }
        }
    }
}

#[test]
fn four_hospitals_without_groups() {
    let result = total(&opt(), &request(&["Birthweight", "Age", "BMI"], "", ""));
    assert_equals_reference(&result, "opt");
    assert_eq!(result.included.len(), 4);
}

#[test]
fn four_hospitals_by_group() {
    let result = total(&opt(), &request(&["Birthweight", "Age", "BMI"], "Group", ""));
    assert_equals_reference(&result, "opt by Group");
}

#[test]
fn blank_padded_labels_are_trimmed_and_blank_ones_are_missing() {
    let request = request(&["Birthweight"], "Preg.ended...37.wk", "");
    assert_equals_reference(&total(&opt(), &request), "opt by Preg.ended...37.wk");
}

/// At hennepin the filter leaves out 4 controls: the difference to the unfiltered answer would be a cell of 4.
#[test]
fn a_filter_keeps_the_rows_that_satisfy_it() {
    let result = total(&opt(), &request(&["Birthweight"], "Group", "Age >= 20"));
    assert_equals_reference(&result, "opt without hennepin by Group where Age >= 20");
    let refused: Vec<String> = result.refused.iter().map(|site| format!("{} {}", site.dataset, site.rule)).collect();
    assert_eq!(refused, ["hennepin/opt complement-below-minimum"]);
}

#[test]
fn the_site_with_three_rows_is_refused_and_the_total_says_who_is_in_it() {
    let result = total(&indo_rct(), &request(&["age"], "rx", ""));
    assert_equals_reference(&result, "indo_rct without case_western by rx");
    let document = String::from_utf8(result.to_json()).expect("JSON");
    assert!(document.ends_with(
        r#""included":["indiana/indo","kentucky/indo","michigan/indo"],"refused":[{"dataset":"case-western/indo","rule":"rows-below-minimum"}]}"#
    ), "{document}");
    let outcomes = result.outcomes();
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.is_sorted_by_key(|outcome| outcome.dataset.clone()));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.refused.is_some()).count(), 1);
}

/// Text columns can be counted: the published denominators, less the site that is refused.
#[test]
fn values_of_a_text_column_are_counted() {
    use galen_types::vocabulary::Statistic;
    let request = common::request_of(&["outcome"], "rx", "", &[Statistic::Count]);
    let result = total(&indo_rct(), &request);
    let counts: Vec<_> =
        result.columns[0].groups.iter().map(|group| (group.level.as_deref(), group.count, group.mean)).collect();
    assert_eq!(counts, [(Some("0_placebo"), Some(307 - 1), None), (Some("1_indomethacin"), Some(295 - 2), None)]);
}

#[test]
fn the_shapes_of_the_real_tables() {
    for (site, rows) in HOSPITALS.into_iter().zip([173, 247, 211, 192]) {
        let shape = inspect_csv(data("opt", site).as_slice()).expect("a table");
        assert_eq!((shape.rows, shape.columns.len()), (rows, 171));
        let kind = |name: &str| {
            let found = shape.columns.iter().find(|found| found.name == column(name));
            found.expect(name).kind
        };
        // `OFN5` marks missing values by a dot.
        for numeric in ["Birthweight", "Age", "BMI", "OFN5"] {
            assert_eq!(kind(numeric), ColumnKind::Number, "{numeric} at {site}");
        }
        for text in ["Group", "Preg.ended...37.wk", "Clinic"] {
            assert_eq!(kind(text), ColumnKind::Text, "{text} at {site}");
        }
    }
}

#[test]
fn equal_answers_make_equal_documents_in_whatever_order_they_come() {
    let request = request(&["Birthweight", "BMI"], "Group", "");
    let forward = total(&opt(), &request);
    let backward = total(&opt().into_iter().rev().collect::<Vec<_>>(), &request);
    assert_eq!(forward.to_json(), backward.to_json());
    let read = ResultTable::from_json(&forward.to_json()).expect("a document");
    assert_eq!(read, forward);
}
