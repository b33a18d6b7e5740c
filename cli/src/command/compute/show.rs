//! Jobs and results for people.

use galen_aggregate::ResultTable;
use galen_types::api::JobDetail;
use galen_types::job::{Job, JobFailure, SiteGiven};
use galen_types::vocabulary::Statistic;

use crate::table::{Table, basis, fields, joined, or_dash, short, time};

pub(super) fn table(jobs: &[Job]) -> Table {
    let mut table = Table::new(&["job", "state", "submitter", "submitted", "statistics", "columns", ">datasets"]);
    for job in jobs {
        table.row([
            short(&job.id),
            state(job),
            job.submitter.to_string(),
            time(job.submitted),
            joined(&job.specification.statistics),
            joined(&job.specification.columns),
            job.specification.datasets.len().to_string(),
        ]);
    }
    table
}

fn state(job: &Job) -> String {
    match job.failure {
        Some(failure) => format!("{} ({failure})", job.state),
        None => job.state.to_string(),
    }
}

pub(super) fn detail(detail: &JobDetail) -> String {
    let (job, asked) = (&detail.job, &detail.job.specification);
    let mut text = fields(&[
        ("job", Some(job.id.to_string())),
        ("state", Some(job.state.to_string())),
        ("failure", job.failure.map(explained)),
        ("submitter", Some(job.submitter.to_string())),
        ("submitted", Some(format!("{}, block {}", time(job.submitted), job.height))),
        ("statistics", Some(joined(&asked.statistics))),
        ("columns", Some(joined(&asked.columns))),
        ("by", asked.by.as_ref().map(ToString::to_string)),
        ("filter over", (!asked.filter_columns.is_empty()).then(|| joined(&asked.filter_columns))),
        ("purpose", Some(asked.purpose.to_string())),
        ("answered", Some(format!("{} of {}", detail.progress.answered, detail.progress.sites))),
        ("aggregator", job.aggregator.as_ref().map(ToString::to_string)),
        ("result", job.result.map(|digest| digest.to_string())),
    ]);
    let mut table = Table::new(&["dataset", "permitted by", ">cohort at least", "answer", "in the total"]);
    for site in &job.sites {
        let answer = match &site.answer {
            None => "none yet".to_owned(),
            Some(SiteGiven::Summary { .. }) => "summary".to_owned(),
            Some(SiteGiven::Refused { rule }) => format!("refused: {rule}"),
        };
        let outcome = job.outcomes.iter().find(|outcome| outcome.dataset == site.version.dataset);
        let total = outcome.map_or_else(
            || "-".to_owned(),
            |outcome| outcome.refused.as_ref().map_or_else(|| "yes".to_owned(), |rule| format!("no: {rule}")),
        );
        let permitted = basis(&site.decision.basis);
        table.row([site.version.to_string(), permitted, site.cohort_min.to_string(), answer, total]);
    }
    text.push_str(&format!("\n{}", table.render()));
    text
}

fn explained(failure: JobFailure) -> String {
    let meaning = match failure {
        JobFailure::TooFewSites => "fewer members answered than a released aggregate needs",
        JobFailure::FilterMissing => "the filter was not delivered",
        JobFailure::TimedOut => "the sites did not answer in time",
        JobFailure::DisclosureRefused => "the combined table breaks a disclosure rule",
        JobFailure::SummariesIncompatible => "the sites' summaries do not fit together",
    };
    format!("{failure}: {meaning}")
}

/// The result as a table: a row for each column and group.
pub(super) fn result(result: &ResultTable) -> String {
    let asked = |statistic| result.statistics.contains(&statistic);
    let by = result.by.as_ref().map(ToString::to_string);
    let mut headings = vec!["column".to_owned()];
    headings.extend(by.clone());
    let cells = [Statistic::Count, Statistic::Sum, Statistic::Mean, Statistic::Variance];
    headings.extend(cells.into_iter().filter(|statistic| asked(*statistic)).map(|statistic| format!(">{statistic}")));
    let headings: Vec<_> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    for column in &result.columns {
        for group in &column.groups {
            let mut row = vec![column.column.to_string()];
            if by.is_some() {
                row.push(or_dash(group.level.as_ref()));
            }
            for statistic in cells.into_iter().filter(|statistic| asked(*statistic)) {
                row.push(match statistic {
                    Statistic::Count => or_dash(group.count),
                    Statistic::Sum => number(group.sum),
                    Statistic::Mean => number(group.mean),
                    Statistic::Variance => number(group.variance),
                    Statistic::Missing => "-".to_owned(),
                });
            }
            table.row_of(row);
        }
    }
    let mut text = table.render();
    text.push('\n');
    for column in &result.columns {
        if let Some(missing) = column.missing {
            text.push_str(&format!("\nmissing values of {}: {missing}", column.column));
        }
    }
    text.push_str(&format!("\nin the total: {}", joined(&result.included)));
    for site in &result.refused {
        text.push_str(&format!("\nnot in the total: {} ({})", site.dataset, site.rule));
    }
    text
}

/// A number as read by people: six significant digits at least, all digits before the point.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let decimals = match magnitude {
        0.1.. => 4,
        _ => 8,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_which_sites_are_in_the_total() {
        let document = serde_json::json!({
            "statistics": ["count", "missing", "mean"], "by": "Group",
            "columns": [{"column": "Birthweight", "missing": 12, "groups": [
                {"level": "C", "count": 366, "mean": 3_083.524_59}, {"level": "T", "count": 97, "mean": 3112.25},
            ]}],
            "included": ["harlem/opt", "kentucky/opt"],
            "refused": [{"dataset": "hennepin/opt", "rule": "rows-below-minimum"}],
        });
        let table = serde_json::from_value(document).unwrap();
        assert_eq!(
            result(&table),
            "COLUMN       GROUP  COUNT       MEAN\n\
             Birthweight  C        366  3083.5246\n\
             Birthweight  T         97  3112.2500\n\n\
             missing values of Birthweight: 12\n\
             in the total: harlem/opt, kentucky/opt\n\
             not in the total: hennepin/opt (rows-below-minimum)"
        );
    }

    #[test]
    fn numbers_keep_their_significant_digits() {
        assert_eq!(number(Some(26.2_f64)), "26.2000");
        assert_eq!(number(Some(0.0)), "0.00000000");
        assert_eq!(number(Some(-0.001_234_5)), "-0.00123450");
        assert_eq!(number(Some(1.5e-9)), "1.50000e-9");
        assert_eq!(number(None), "-");
    }
}
