//! One pass over a table, in memory bounded by columns and levels asked for, whatever the number of rows.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Read;

use galen_types::ColumnName;
use galen_types::parameters::Disclosure;
use galen_types::vocabulary::{Comparison, Condition, Value};

use crate::disclosure::{Minima, Refusal, Tabulation, Tally};
use crate::request::SummaryRequest;
use crate::summary::{SiteSummary, is_label};
use crate::table::{TableReader, number};

/// Reads a table once and gives what may leave the site: a summary of the cohort, after disclosure rules 1 to 5.
/// `cohort_min` is the smallest cohort that the contract or grant permits; it raises the chain's minimum.
///
/// A condition on a missing value does not hold. Text is compared by code points, numbers as numbers.
///
/// # Errors
/// [`Refusal`] naming the rule; nothing of the table leaves then.
pub fn summarise(
    source: impl Read,
    request: &SummaryRequest,
    disclosure: &Disclosure,
    cohort_min: u32,
) -> Result<SiteSummary, Refusal> {
    let tabulation = tabulate(source, request, disclosure)?;
    tabulation.check(disclosure, Minima::new(disclosure, cohort_min))?;
    SiteSummary::of(&tabulation, request)
}

/// The places of a request's columns in a table.
struct Plan<'request> {
    values: Vec<(usize, &'request ColumnName)>,
    by: Option<usize>,
    conditions: Vec<(usize, &'request Condition)>,
    numeric: bool,
}

impl<'request> Plan<'request> {
    fn new(header: &[ColumnName], request: &'request SummaryRequest) -> Result<Self, Refusal> {
        let place = |name: &ColumnName| {
            header.iter().position(|column| column == name).ok_or_else(|| Refusal::ColumnMissing(name.clone()))
        };
        let mut values = Vec::new();
        for column in request.columns() {
            values.push((place(column)?, column));
        }
        let by = request.by().map(place).transpose()?;
        let mut conditions = Vec::new();
        for condition in request.filter().iter().flat_map(|filter| &filter.all) {
            conditions.push((place(&condition.column)?, condition));
        }
        Ok(Self { values, by, conditions, numeric: request.needs_sum() })
    }

    /// Whether the current row is in the cohort. Every condition is looked at, so that a column of the wrong kind is
    /// refused whatever the others say.
    fn keeps<R: Read>(&self, table: &TableReader<R>) -> Result<bool, Refusal> {
        let mut keeps = true;
        for (place, condition) in &self.conditions {
            keeps &= match table.value(*place)? {
                None => false,
                Some(value) => holds(condition, value)?,
            };
        }
        Ok(keeps)
    }
}

/// Whether a condition holds for a value that is present.
fn holds(condition: &Condition, value: &str) -> Result<bool, Refusal> {
    let order = match &condition.value {
        Value::Text(text) => Some(value.cmp(text)),
        Value::Number(bound) => {
            let value = number(value).ok_or_else(|| Refusal::ColumnNotNumeric(condition.column.clone()))?;
            value.partial_cmp(bound)
        }
    };
    Ok(order.is_some_and(|order| match condition.comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    }))
}

fn tabulate(source: impl Read, request: &SummaryRequest, disclosure: &Disclosure) -> Result<Tabulation, Refusal> {
    let mut table = TableReader::new(source)?;
    let plan = Plan::new(table.header(), request)?;
    let mut levels: BTreeMap<String, Vec<Tally>> = BTreeMap::new();
    let new_level = || vec![Tally::default(); plan.values.len()];
    let mut unlabelled = vec![0; plan.values.len()];
    let (mut rows, mut cohort_rows) = (0, 0);
    while table.next_row()? {
        rows += 1;
        let keeps = plan.keeps(&table)?;
        cohort_rows += u64::from(keeps);
        let label = match plan.by {
            None => Some(""),
            Some(place) => table.value(place)?,
        };
        let mut tallies = match label {
            None => None,
            Some(label) => {
                if !levels.contains_key(label) {
                    if plan.by.is_some() && !is_label(label) {
                        return Err(Refusal::LevelMalformed);
                    }
                    // Levels are counted over the whole table, so memory is bounded whatever the filter keeps.
                    if plan.by.is_some() && levels.len() as u64 >= u64::from(disclosure.levels_max) {
                        return Err(Refusal::TooManyLevels);
                    }
                    levels.insert(label.to_owned(), new_level());
                }
                levels.get_mut(label)
            }
        };
        for (index, (place, column)) in plan.values.iter().enumerate() {
            let Some(value) = table.value(*place)? else {
                continue;
            };
            let value = match number(value) {
                None if plan.numeric => {
                    return Err(Refusal::ColumnNotNumeric((*column).clone()));
                }
                value => value.filter(|_| plan.numeric),
            };
            let Some(tally) = tallies.as_deref_mut().map(|tallies| &mut tallies[index]) else {
                unlabelled[index] += u64::from(keeps);
                continue;
            };
            match value {
                _ if !keeps => tally.complement += 1,
                Some(value) => tally.cohort.add(value),
                None => tally.cohort.add_presence(),
            }
        }
    }
    Ok(Tabulation { rows, cohort_rows, grouped: plan.by.is_some(), unlabelled, levels: levels.into_iter().collect() })
}
