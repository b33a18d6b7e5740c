//! The computation over four hospitals, compared with the same over rows in one place.

use std::time::Duration;

use galen_aggregate::{ColumnResult, GroupResult, ResultDocument, ResultTable};
use galen_client::{JobResult, silent};
use galen_types::job::JobSpecification;
use galen_types::vocabulary::{Purpose, Statistic};
use galen_types::{ColumnName, DatasetName};
use serde_json::json;

use super::access::affirmed;
use super::cast::{Cast, Hospital, ensure, short, wrong};
use super::pooled::{PooledGroup, close, pool};
use super::step::Step;
use super::table;
use crate::error::TestnetError;

const COMPUTE: &str = "compute";

/// How long the sites and the aggregator may take.
const JOB_PATIENCE: Duration = Duration::from_secs(60);

const COLUMNS: [&str; 2] = ["Birthweight", "Age"];
const BY: &str = "Group";

/// The columns computed, and the one that makes the groups.
pub(super) fn columns_asked() -> Result<(Vec<ColumnName>, ColumnName), TestnetError> {
    let name = |text| ColumnName::parse(text).map_err(|error| wrong(COMPUTE, error.to_string()));
    Ok((COLUMNS.into_iter().map(name).collect::<Result<_, _>>()?, name(BY)?))
}

/// The statistics computed.
pub(super) fn statistics_asked() -> Vec<Statistic> {
    vec![Statistic::Count, Statistic::Missing, Statistic::Mean, Statistic::Variance]
}

/// Computes over every hospital's dataset.
pub(super) async fn run_job(cast: &Cast) -> Result<(JobResult, ResultTable), TestnetError> {
    let (columns, by) = columns_asked()?;
    let specification = JobSpecification {
        datasets: cast.hospitals.iter().map(|hospital| hospital.dataset.clone()).collect(),
        statistics: statistics_asked(),
        columns,
        by: Some(by),
        filter_columns: Vec::new(),
        filter: None,
        purpose: Purpose::HealthcareResearch,
        data_use: affirmed(),
    };
    let result = cast.client.run_job(specification, None, JOB_PATIENCE, &silent()).await?;
    let document = ResultDocument::from_json(&result.document).map_err(|error| wrong(COMPUTE, error.to_string()))?;
    ensure(COMPUTE, document.job == result.job.job.id, || format!("the result is of job {}", document.job))?;
    Ok((result, document.table))
}

pub(super) async fn compute(cast: &Cast) -> Result<Step, TestnetError> {
    let (result, table) = run_job(cast).await?;
    let all: Vec<&Hospital> = cast.hospitals.iter().collect();
    check_total(COMPUTE, &table, &all)?;
    ensure(COMPUTE, table.refused.is_empty(), || format!("not every hospital is in the total: {:?}", table.refused))?;
    let mut came = table_lines(&table);
    came.push(format!("in the total: {}", included(&table)));
    came.push("equal to the computation over the pooled rows to 1e-9".to_owned());
    came.push(format!("result {} in job {}", short(&result.digest), short(&result.job.job.id)));
    let datasets: Vec<_> = cast.hospitals.iter().map(|hospital| format!("--dataset {}", hospital.dataset)).collect();
    Ok(Step {
        step: COMPUTE,
        title: "Statistics over four hospitals",
        done: "Each node computes a summary of its own rows; the aggregator combines summaries and sees no row."
            .to_owned(),
        came,
        by_hand: vec![format!(
            "galen --context {} compute run {} --stat count,missing,mean,variance --column Birthweight --column Age \
             --by Group --purpose HRESCH --duo IRB",
            cast.researcher,
            datasets.join(" ")
        )],
        facts: json!({ "job": result.job.job.id, "digest": result.digest, "result": table, "equals_pooled": true }),
    })
}

/// That the total holds exactly these hospitals and equals the computation over their pooled rows.
pub(super) fn check_total(
    step: &'static str,
    table: &ResultTable,
    hospitals: &[&Hospital],
) -> Result<(), TestnetError> {
    let expected: Vec<&DatasetName> = hospitals.iter().map(|hospital| &hospital.dataset).collect();
    ensure(step, table.included.iter().eq(expected), || format!("in the total are {}", included(table)))?;
    let of = |name: &str| table.columns.iter().find(|column| column.column.as_str() == name);
    for name in COLUMNS {
        let column = of(name).ok_or_else(|| wrong(step, format!("the result has no column {name}")))?;
        let pooled = pool(hospitals.iter().map(|hospital| &hospital.file), name, BY)?;
        ensure(step, column.missing == Some(pooled.missing), || {
            format!("{name}: {:?} values are missing, not {}", column.missing, pooled.missing)
        })?;
        let levels = column.groups.iter().map(|group| group.level.as_ref());
        ensure(step, levels.eq(pooled.groups.keys().map(Some)), || format!("{name}: other groups than in the files"))?;
        for (group, (level, pooled)) in column.groups.iter().zip(&pooled.groups) {
            check_group(step, column, group, level, *pooled)?;
        }
    }
    Ok(())
}

fn check_group(
    step: &'static str,
    column: &ColumnResult,
    group: &GroupResult,
    level: &str,
    pooled: PooledGroup,
) -> Result<(), TestnetError> {
    let equal = |value: Option<f64>, pooled| value.is_some_and(|value| close(value, pooled));
    let same =
        group.count == Some(pooled.count) && equal(group.mean, pooled.mean) && equal(group.variance, pooled.variance);
    ensure(step, same, || format!("{} of group {level}: {group:?} instead of {pooled:?}", column.column))
}

/// The datasets in the total.
pub(super) fn included(table: &ResultTable) -> String {
    table.included.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The result for people.
pub(super) fn table_lines(table: &ResultTable) -> Vec<String> {
    let mut rows = vec![["column", "group", "count", "mean", "variance", "missing"].map(str::to_owned).to_vec()];
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let whole = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for column in &table.columns {
        for (place, group) in column.groups.iter().enumerate() {
            rows.push(vec![
                column.column.to_string(),
                group.level.clone().unwrap_or_else(|| "-".to_owned()),
                whole(group.count),
                number(group.mean),
                number(group.variance),
                // One pooled count for all groups of a column.
                if place == 0 { whole(column.missing) } else { String::new() },
            ]);
        }
    }
    table::render(&rows, 2)
}
