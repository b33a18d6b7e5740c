//! For any table and any split of its rows over sites: the total equals the pooled computation, no cell below the
//! minimum leaves, and the order of rows does not matter.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::{assert_close, dataset, request};
use galen_aggregate::{combine, summarise};
use galen_types::parameters::Disclosure;
use proptest::prelude::*;

/// A row: group, value.
type Row = (u8, Option<f64>);

fn row() -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        8 => (-1e6..1e6).prop_map(Some),
        // A large mean with a small spread, where naive sums of squares fail.
        4 => (0.0..1.0).prop_map(|small: f64| Some(1e6 + small)),
        1 => Just(None),
    ];
    (0_u8..3, value)
}

fn csv(rows: &[Row]) -> Vec<u8> {
    let mut text = String::from("group,value\n");
    for (group, value) in rows {
        let value = value.map(|value| value.to_string()).unwrap_or_default();
        writeln!(text, "g{group} ,{value}").expect("memory");
    }
    text.into_bytes()
}

/// Count, mean and variance by two passes: the definition.
fn oracle(rows: &[Row]) -> BTreeMap<String, (u64, f64, f64)> {
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (group, value) in rows {
        if let Some(value) = value {
            groups.entry(format!("g{group}")).or_default().push(*value);
        }
    }
    let statistics = |values: Vec<f64>| {
        let count = values.len() as f64;
        let rough = values.iter().sum::<f64>() / count;
        // The second pass takes the rounding of the first mean out.
        let mean = rough + values.iter().map(|value| value - rough).sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (values.len() as u64, mean, squares / (count - 1.0))
    };
    groups.into_iter().map(|(group, values)| (group, statistics(values))).collect()
}

/// Small minima, so that random splits are answered; the rules themselves are tested with their own.
fn permissive() -> Disclosure {
    Disclosure {
        rows_min: 1,
        cell_min: 1,
        parameters_percent_max: 100,
        levels_max: 40,
        levels_percent_max: 100,
        sites_min: 1,
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_pooled_result(
        rows in prop::collection::vec((row(), 0_usize..5), 40..300),
    ) {
        let (request, disclosure) = (request(&["value"], "group", ""), permissive());
        let mut sites: Vec<Vec<Row>> = vec![Vec::new(); 5];
        rows.iter().for_each(|(row, site)| sites[*site].push(*row));
        let mut answers = Vec::new();
        let mut pooled = Vec::new();
        for (place, rows) in sites.iter().enumerate() {
            // A site without values refuses, and is then not in the total.
            if let Ok(summary) = summarise(csv(rows).as_slice(), &request, &disclosure, 0) {
                answers.push((dataset(&format!("m{place}/d")), summary));
                pooled.extend_from_slice(rows);
            }
        }
        let result = combine(answers, Vec::new(), &request, &disclosure).expect("a total");
        let expected = oracle(&pooled);
        prop_assert_eq!(result.columns[0].groups.len(), expected.len());
        for group in &result.columns[0].groups {
            let (count, mean, variance) = expected[group.level.as_deref().expect("a label")];
            prop_assert_eq!(group.count, Some(count));
            // A mean near zero has no relative precision: the values' own size is the scale.
            prop_assert!((group.mean.expect("a mean") - mean).abs() <= 1e-9 * mean.abs().max(1.0));
            if count > 1 {
                assert_close(group.variance.expect("a variance"), variance, 1e-9, "variance");
            }
        }
        let missing = pooled.iter().filter(|(_, value)| value.is_none()).count() as u64;
        prop_assert_eq!(result.columns[0].missing, Some(missing));
    }

    #[test]
    fn no_small_cell_ever_leaves(
        rows in prop::collection::vec(row(), 0..120),
        filter in prop::option::of(-1e6..1e6),
    ) {
        let filter = filter.map_or(String::new(), |bound: f64| format!("value < {bound}"));
        let (request, disclosure) = (request(&["value"], "group", &filter), Disclosure::default());
        if let Ok(summary) = summarise(csv(&rows).as_slice(), &request, &disclosure, 0) {
            let counts: Vec<u64> = summary.columns()[0].cells().iter().map(|cell| cell.count()).collect();
            let used: u64 = counts.iter().sum();
            prop_assert!(counts.iter().all(|count| *count == 0 || *count >= 5));
            prop_assert!(used == 0 || used >= 10);
            prop_assert!(10 * summary.levels().len() as u64 <= used);
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(
        (rows, shuffled) in prop::collection::vec(row(), 60..200)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let (request, disclosure) = (request(&["value"], "group", ""), permissive());
        let total = |rows: &[Row]| {
            let summary = summarise(csv(rows).as_slice(), &request, &disclosure, 0).expect("a summary");
            combine(vec![(dataset("m/d"), summary)], Vec::new(), &request, &disclosure).expect("a total")
        };
        let (first, second) = (total(&rows), total(&shuffled));
        for (left, right) in first.columns[0].groups.iter().zip(&second.columns[0].groups) {
            prop_assert_eq!((&left.level, left.count), (&right.level, right.count));
            assert_close(left.sum.expect("a sum"), right.sum.expect("a sum"), 1e-12, "sum");
            assert_close(left.variance.expect("a variance"), right.variance.expect("a variance"), 1e-12, "variance");
        }
    }

    /// A cohort and its complement, where both are answered, add up to the whole.
    #[test]
    fn a_filter_and_its_opposite_part_the_rows(
        rows in prop::collection::vec(row(), 60..200),
        bound in -5e5..5e5,
    ) {
        let disclosure = permissive();
        let count = |filter: &str| {
            let request = request(&["value"], "", filter);
            summarise(csv(&rows).as_slice(), &request, &disclosure, 0).ok().map(|summary| {
                summary.columns()[0].cells().first().map_or(0, |cell| cell.count())
            })
        };
        if let (Some(below), Some(above)) = (count(&format!("value < {bound}")), count(&format!("value >= {bound}"))) {
            prop_assert_eq!(Some(below + above), count(""));
        }
    }

    #[test]
    fn any_bytes_are_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = galen_aggregate::inspect_csv(bytes.as_slice());
    }
}
