//! What never leaves a site: each rule at its edge, the holes known from peers, and a planted row.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

mod common;

use std::fmt::Write as _;

use common::{answer, column, data, dataset, refusal, request, request_of};
use galen_aggregate::{CombineRefusal, Refusal, SiteSummary, SummaryError, combine, summarise};
use galen_types::Encoding;
use galen_types::job::JobFailure;
use galen_types::parameters::Disclosure;
use galen_types::vocabulary::Statistic;

/// A table with a column of row numbers, one of groups and one of values, from (group, value) pairs.
fn table<'text>(rows: impl IntoIterator<Item = (&'text str, &'text str)>) -> Vec<u8> {
    let mut text = String::from("row,group,value\n");
    for (place, (group, value)) in rows.into_iter().enumerate() {
        writeln!(text, "{place},{group},{value}").expect("memory");
    }
    text.into_bytes()
}

/// `count` rows of one group, all with the value 1.
fn rows(group: &str, count: usize) -> impl Iterator<Item = (&str, &str)> {
    std::iter::repeat_n((group, "1"), count)
}

#[test]
fn rule_1_counts_rows_with_values() {
    let ungrouped = request(&["value"], "", "");
    assert_eq!(refusal(&table(rows("a", 9)), &ungrouped), "rows-below-minimum");
    assert!(answer(&table(rows("a", 10)), &ungrouped).is_ok());
    assert_eq!(refusal(&table([]), &ungrouped), "rows-below-minimum");
}

/// A hole known from a peer: missing values counted as rows let one real value pass.
#[test]
fn missing_values_are_no_rows() {
    let one_value = table(rows("a", 1).chain([("a", "NA"); 50]));
    assert_eq!(refusal(&one_value, &request(&["value"], "", "")), "rows-below-minimum");
    let blank = table(rows("a", 9).chain([("a", "   "), ("a", "."), ("a", "NaN"), ("a", "")]));
    assert_eq!(refusal(&blank, &request(&["value"], "", "")), "rows-below-minimum");
    // By group: the label is there, the value is not.
    let small = table(rows("a", 20).chain(rows("b", 4)).chain([("b", ""); 16]));
    assert_eq!(refusal(&small, &request(&["value"], "group", "")), "cell-below-minimum");
}

#[test]
fn rule_2_refuses_the_whole_table_for_one_small_cell() {
    let grouped = request(&["value"], "group", "");
    for small in 1..5 {
        let table = table(rows("a", 60).chain(rows("b", small)));
        assert_eq!(refusal(&table, &grouped), "cell-below-minimum");
    }
    assert!(answer(&table(rows("a", 60).chain(rows("b", 5))), &grouped).is_ok());
    // The other column's cells are large: nothing of it leaves either.
    let table = table(rows("a", 60).chain([("b", "1"); 3]).chain([("b", ""); 9]));
    assert_eq!(refusal(&table, &request(&["row", "value"], "group", "")), "cell-below-minimum");
}

/// The ungrouped answer minus the groups is what the rows without a label hold.
#[test]
fn rows_without_a_label_are_a_cell() {
    let grouped = request(&["value"], "group", "");
    let hidden = |count| table(rows("a", 60).chain(rows("  ", count)));
    assert_eq!(refusal(&hidden(4), &grouped), "cell-below-minimum");
    let summary = answer(&hidden(5), &grouped).expect("five rows are enough");
    assert_eq!(summary.levels(), ["a"]);
    assert_eq!(summary.columns()[0].missing(), Some(5));
}

#[test]
fn a_label_without_values_does_not_leave() {
    let table = table(rows("a", 60).chain([("only-patient-with-this-label", "")]));
    let summary = answer(&table, &request(&["value"], "group", "")).expect("cells are 60 and 0");
    assert_eq!(summary.levels(), ["a"]);
    let bytes = summary.to_bytes();
    assert!(!contains(&bytes, b"only-patient"));
}

#[test]
fn rule_3_judges_cohort_and_complement() {
    let table = table(rows("a", 40));
    let cases = [
        ("row < 9", Err("cohort-below-minimum")),
        ("row < 10", Ok(())),
        ("row < 30", Ok(())),
        ("row < 31", Err("complement-below-minimum")),
        ("row != 7", Err("complement-below-minimum")),
        ("row < 40", Ok(())),
        // No row is one of the answers that the rule permits.
        ("row < 0", Ok(())),
    ];
    for (filter, expected) in cases {
        let got = answer(&table, &request(&["value"], "", filter));
        let got = got.map(|_| ()).map_err(|refusal| refusal.code());
        assert_eq!(got, expected, "{filter}");
    }
}

/// Ten rows or more are left out, yet fewer than ten of them have a value: the difference of two answers would be theirs.
#[test]
fn rule_3_counts_values_in_the_complement() {
    let filter = request(&["value"], "", "row < 40");
    for (values, allowed) in [(1, false), (9, false), (10, true)] {
        let table = table(rows("a", 40 + values).chain([("a", ""); 9]));
        match answer(&table, &filter) {
            Ok(_) => assert!(allowed, "{values}"),
            Err(refusal) => assert_eq!((refusal.code(), allowed), ("complement-below-minimum", false), "{values}"),
        }
    }
}

#[test]
fn rule_3_judges_the_cells_of_the_complement() {
    // Rows 0 to 59 are in group a, 60 to 119 in b; the filter leaves out 15 of a and one of b.
    let table = table(rows("a", 60).chain(rows("b", 60)));
    let ungrouped = "row >= 15 and row != 119";
    assert!(answer(&table, &request(&["value"], "", ungrouped)).is_ok());
    assert_eq!(refusal(&table, &request(&["value"], "group", ungrouped)), "complement-below-minimum");
}

#[test]
fn a_contract_or_grant_raises_the_minimum_and_never_lowers_it() {
    let disclosure = Disclosure::default();
    let ungrouped = request(&["value"], "", "");
    let code = |rows_of_table, cohort_min| {
        let table = table(rows("a", rows_of_table));
        let summary = summarise(table.as_slice(), &ungrouped, &disclosure, cohort_min);
        summary.map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(code(29, 30), Err("rows-below-minimum"));
    assert_eq!(code(30, 30), Ok(()));
    assert_eq!(code(9, 1), Err("rows-below-minimum"));
}

fn many_levels(levels: usize, rows_each: usize) -> Vec<u8> {
    let labels: Vec<String> = (0..levels).map(|level| format!("l{level}")).collect();
    table(labels.iter().flat_map(|label| rows(label, rows_each)))
}

#[test]
fn rules_4_and_5_limit_the_groups() {
    let grouped = request(&["value"], "group", "");
    assert!(answer(&many_levels(40, 10), &grouped).is_ok());
    assert_eq!(refusal(&many_levels(41, 10), &grouped), "too-many-levels");
    // 10 groups of 9: more than a tenth of the rows.
    assert_eq!(refusal(&many_levels(10, 9), &grouped), "too-many-parameters");
    // Groups of two are more than a third of the rows.
    assert_eq!(refusal(&many_levels(10, 2), &grouped), "too-many-levels");
    assert_eq!(refusal(&table(rows("a", 60)), &request(&["value"], "row", "")), "too-many-levels");
}

#[test]
fn columns_and_labels_must_fit_the_request() {
    let table = table(rows("a", 20));
    assert_eq!(refusal(&table, &request(&["absent"], "", "")), "column-missing");
    assert_eq!(refusal(&table, &request(&["value"], "absent", "")), "column-missing");
    assert_eq!(refusal(&table, &request(&["value"], "", "absent = 1")), "column-missing");
    assert_eq!(refusal(&table, &request(&["group"], "", "")), "column-not-numeric");
    assert_eq!(refusal(&table, &request(&["value"], "", "group > 1")), "column-not-numeric");
    let long = "x".repeat(129);
    let long = self::table(rows(&long, 20));
    assert_eq!(refusal(&long, &request(&["value"], "group", "")), "level-malformed");
    let large = self::table([("a", "1e200"); 20]);
    assert_eq!(refusal(&large, &request(&["value"], "", "")), "values-too-large");
    assert_eq!(refusal(b"a,b\n1\n", &request(&["a"], "", "")), "table-unreadable");
}

#[test]
fn filters_compare_numbers_as_numbers_and_text_as_text() {
    let text = (0..40).fold(String::from("n,t,v\n"), |mut text, row| {
        let day = 10 + row % 20;
        writeln!(text, "{row}.0, 2004-01-{day} ,1").expect("memory");
        text
    });
    let cohort = |filter: &str| {
        let counted = request_of(&["v"], "", filter, &[Statistic::Count]);
        answer(text.as_bytes(), &counted).map(|summary| {
            let cells = summary.columns()[0].cells();
            cells.first().map_or(0, |cell| cell.count())
        })
    };
    let cases = [
        ("n >= 9 and n <= 20", 12),
        ("n > 9 and n < 20", 10),
        ("n != 5 and n != 6 and n >= 10", 30),
        ("t = ' 2004-01-11 '", 0),
        ("t >= '2004-01-20'", 20),
        ("t < '2004-01-15'", 10),
        ("t != 'x' and n = 100", 0),
    ];
    for (filter, expected) in cases {
        match cohort(filter) {
            Ok(count) => assert_eq!(count, expected, "{filter}"),
            // Two rows on the 11th: below the minimum, as they should be.
            Err(refusal) => assert_eq!((refusal.code(), filter), ("cohort-below-minimum", cases[3].0)),
        }
    }
}

#[test]
fn a_row_with_a_missing_value_satisfies_no_condition() {
    let rows = rows("", 20).chain(rows("a", 30));
    let counted = |filter| request_of(&["value"], "", filter, &[Statistic::Count]);
    let table = table(rows);
    for (filter, expected) in [("group != 'x'", 30), ("group = ''", 0)] {
        let summary = answer(&table, &counted(filter)).expect(filter);
        let count = summary.columns()[0].cells().first().map_or(0, |cell| cell.count());
        assert_eq!(count, expected, "{filter}");
    }
}

/// A hole known from a peer: a value wiped under one name and sent under another. What was not asked for is not in the
/// bytes at all.
#[test]
fn only_what_was_asked_for_leaves() {
    let table = data("opt", "harlem");
    let sizes = [
        (Statistic::Count, false, false),
        (Statistic::Sum, true, false),
        (Statistic::Mean, true, false),
        (Statistic::Variance, true, true),
    ];
    for (statistic, sum, deviations) in sizes {
        let request = request_of(&["Birthweight"], "", "", &[statistic]);
        let summary = answer(&table, &request).expect("a summary");
        // No label; one column: name, no missing count, one cell of count and up to two numbers.
        let expected = 8 + 8 + (8 + 11) + 1 + 8 + 8 + 1 + 8 * usize::from(sum) + 1 + 8 * usize::from(deviations);
        assert_eq!(summary.to_bytes().len(), expected, "{statistic}");
    }
}

#[test]
fn a_planted_row_is_in_no_summary() {
    let planted = "31337.0625";
    let text = String::from_utf8(data("opt", "harlem")).expect("UTF-8");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (place, mut row) = (80, lines[80].split(',').map(str::to_owned).collect::<Vec<_>>());
    let header: Vec<&str> = text.lines().next().expect("a header").split(',').collect();
    for name in ["Birthweight", "Age", "BMI", "PID"] {
        let index = header.iter().position(|found| *found == name).expect(name);
        row[index] = planted.to_owned();
    }
    lines[place] = row.join(",");
    let request = request(&["Birthweight", "Age", "BMI", "PID"], "Group", "");
    let bytes = answer(lines.join("\n").as_bytes(), &request).expect("a summary").to_bytes();
    let value: f64 = planted.parse().expect("a number");
    let square = value * value;
    assert!(!contains(&bytes, planted.as_bytes()));
    for number in [value, square] {
        assert!(!contains(&bytes, &number.to_le_bytes()));
        assert!(!contains(&bytes, &number.to_be_bytes()));
    }
    assert!(!contains(&bytes, &31_337_u64.to_le_bytes()[..4]));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn refusals_have_codes_that_are_slugs_and_tell_no_count() {
    let unreadable = || galen_aggregate::TableError::Ragged { line: 77, found: 3, expected: 4 };
    let refusals = [
        Refusal::RowsBelowMinimum,
        Refusal::CellBelowMinimum,
        Refusal::CohortBelowMinimum,
        Refusal::ComplementBelowMinimum,
        Refusal::TooManyParameters,
        Refusal::TooManyLevels,
        Refusal::ColumnMissing(column("c")),
        Refusal::ColumnNotNumeric(column("c")),
        Refusal::LevelMalformed,
        Refusal::ValuesTooLarge(column("c")),
        Refusal::Unreadable(unreadable()),
    ];
    let mut codes = std::collections::BTreeSet::new();
    for refusal in refusals {
        assert_eq!(refusal.slug().as_str(), refusal.code());
        assert!(codes.insert(refusal.code()), "{} stands twice", refusal.code());
        let message = refusal.to_string();
        let digits: String = message.chars().filter(char::is_ascii_digit).collect();
        let rule = refusal.rule().map(|rule| rule.to_string()).unwrap_or_default();
        assert_eq!(digits, rule, "{message}");
    }
}

/// Three sites of two groups each, and what changes of them in a case.
fn three_sites(datasets: [&str; 3], last: Vec<u8>) -> Result<(), CombineRefusal> {
    let grouped = request(&["value"], "group", "");
    let usual = || table(rows("a", 20).chain(rows("b", 20)));
    let tables = [usual(), usual(), last];
    let sites = datasets
        .into_iter()
        .zip(tables)
        .map(|(name, table)| (dataset(name), answer(&table, &grouped).expect("a summary")));
    combine(sites.collect(), Vec::new(), &grouped, &Disclosure::default()).map(|_| ())
}

#[test]
fn rule_6_counts_members_with_data() {
    let both = || table(rows("a", 20).chain(rows("b", 20)));
    assert_eq!(three_sites(["x/d", "y/d", "z/d"], both()), Ok(()));
    let refusal = three_sites(["x/d", "y/d", "y/e"], both()).expect_err("two members");
    assert_eq!(refusal, CombineRefusal::TooFewSites { got: 2, needed: 3 });
    assert_eq!(refusal.failure(), JobFailure::TooFewSites);
    assert_eq!(three_sites(["x/d", "y/d", "y/d"], both()), Err(CombineRefusal::DuplicateSite(dataset("y/d"))));
}

/// A level at one member only would give out that member's cell.
#[test]
fn rule_6_holds_for_each_cell() {
    for last in [table(rows("a", 20).chain(rows("b", 20)).chain(rows("c", 20))), table(rows("a", 20))] {
        let refusal = three_sites(["x/d", "y/d", "z/d"], last).expect_err("a cell of few members");
        assert_eq!(refusal, CombineRefusal::CellTooFewSites);
        assert_eq!(refusal.failure(), JobFailure::DisclosureRefused);
    }
}

#[test]
fn rule_6_does_not_count_a_site_whose_cohort_is_empty() {
    let filtered = request(&["value"], "", "group = 'a'");
    let tables = [("x/d", "a"), ("y/d", "a"), ("z/d", "b")];
    let sites = tables.map(|(name, group)| {
        let summary = answer(&table(rows(group, 20)), &filtered).expect("a summary");
        (dataset(name), summary)
    });
    let total = combine(sites.to_vec(), Vec::new(), &filtered, &Disclosure::default());
    assert_eq!(total, Err(CombineRefusal::TooFewSites { got: 2, needed: 3 }));
}

#[test]
fn a_summary_is_checked_again_where_it_arrives() {
    let disclosure = Disclosure::default();
    let grouped = request(&["value"], "group", "");
    let loose = Disclosure { rows_min: 3, cell_min: 3, ..disclosure.clone() };
    let given =
        |rows: Vec<u8>, request: &_| summarise(rows.as_slice(), request, &loose, 0).expect("loose rules").to_bytes();
    let code = |bytes: &[u8], request: &_| {
        SiteSummary::from_bytes(bytes, request, &disclosure, 0).map(|_| ()).map_err(|error| error.code())
    };
    let small_cell = given(table(rows("a", 60).chain(rows("b", 4))), &grouped);
    assert_eq!(code(&small_cell, &grouped), Err("summary-disclosive"));
    let ungrouped = request(&["value"], "", "");
    let loose_parameters = Disclosure { parameters_percent_max: 50, ..loose.clone() };
    let few = summarise(table(rows("a", 9)).as_slice(), &ungrouped, &loose_parameters, 0);
    let few = few.expect("loose rules").to_bytes();
    let found = SiteSummary::from_bytes(&few, &ungrouped, &disclosure, 0);
    assert_eq!(found, Err(SummaryError::Disclosive(1)));
    // Answers to other requests.
    let good = given(table(rows("a", 60)), &grouped);
    assert_eq!(code(&good, &grouped), Ok(()));
    assert_eq!(code(&good, &ungrouped), Err("summary-not-as-asked"));
    let other = request(&["row"], "group", "");
    assert_eq!(code(&good, &other), Err("summary-not-as-asked"));
    let count = request_of(&["value"], "group", "", &[Statistic::Count]);
    assert_eq!(code(&good, &count), Err("summary-not-as-asked"));
    // Bytes.
    assert_eq!(code(&good[..good.len() - 1], &grouped), Err("encoding-malformed"));
    assert_eq!(code(&[good.as_slice(), &[0]].concat(), &grouped), Err("encoding-malformed"));
    // Numbers: the last 8 bytes are the squared deviations of the last cell, before them a tag and the sum.
    for (offset, number) in [(8, -1.0), (8, f64::NAN), (8, -0.0), (17, f64::INFINITY)] {
        let mut bytes = good.clone();
        let start = bytes.len() - offset;
        bytes[start..start + 8].copy_from_slice(&f64::to_le_bytes(number));
        assert_eq!(code(&bytes, &grouped), Err("summary-impossible"), "{number}");
    }
}

/// Whatever bytes arrive: an error or a summary, never a panic; and what is accepted has one encoding.
#[test]
fn flipped_bytes_are_refused_or_are_another_summary() {
    let disclosure = Disclosure::default();
    let grouped = request(&["value", "row"], "group", "");
    let table = table(rows("a", 60).chain(rows("b", 20)));
    let good = answer(&table, &grouped).expect("a summary");
    let bytes = good.to_bytes();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            if let Ok(summary) = SiteSummary::from_bytes(&flipped, &grouped, &disclosure, 0) {
                assert_ne!(summary, good);
                assert_eq!(summary.encode(), flipped);
            }
        }
    }
}
