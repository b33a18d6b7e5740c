//! What a site is asked to compute: a job's specification with its filter opened.

use galen_types::ColumnName;
use galen_types::job::JobSpecification;
use galen_types::vocabulary::{Filter, Statistic};

/// Most columns of one request.
pub const REQUEST_COLUMNS_MAX: usize = 64;

/// What is to be computed over a table.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryRequest {
    columns: Vec<ColumnName>,
    by: Option<ColumnName>,
    filter: Option<Filter>,
    statistics: Vec<Statistic>,
}

/// A request that cannot be computed anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No column, or too many.
    #[error("{0} columns are asked for; give 1 to {REQUEST_COLUMNS_MAX}")]
    Columns(usize),
    /// A column named twice.
    #[error("the column `{0}` is named twice; name each once")]
    DuplicateColumn(ColumnName),
    /// No statistic.
    #[error("no statistic is asked for; name one at least")]
    NoStatistic,
    /// The filter and what the job says about it differ.
    #[error("the filter does not read the columns that the job names for it; submit the job with this filter")]
    FilterColumns,
}

impl RequestError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Columns(_) => "request-columns",
            Self::DuplicateColumn(_) => "request-duplicate-column",
            Self::NoStatistic => "request-no-statistic",
            Self::FilterColumns => "request-filter-columns",
        }
    }
}

impl SummaryRequest {
    /// Builds a request: `columns` in the order of the result, grouped by the levels of `by`, over the rows that
    /// `filter` keeps.
    ///
    /// # Errors
    /// [`RequestError`] when it cannot be computed anywhere.
    pub fn new(
        columns: Vec<ColumnName>,
        by: Option<ColumnName>,
        filter: Option<Filter>,
        mut statistics: Vec<Statistic>,
    ) -> Result<Self, RequestError> {
        if !(1..=REQUEST_COLUMNS_MAX).contains(&columns.len()) {
            return Err(RequestError::Columns(columns.len()));
        }
        let mut names: Vec<&ColumnName> = columns.iter().collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RequestError::DuplicateColumn(pair[0].clone()));
        }
        statistics.sort();
        statistics.dedup();
        if statistics.is_empty() {
            return Err(RequestError::NoStatistic);
        }
        Ok(Self { columns, by, filter, statistics })
    }

    /// The request that a job makes of each site. `filter` is the opened filter of a job that has one; that its text
    /// fits the job's commitment is the caller's to check.
    ///
    /// # Errors
    /// [`RequestError`]; also when the filter reads other columns than the job was authorized for.
    pub fn of_job(job: &JobSpecification, filter: Option<Filter>) -> Result<Self, RequestError> {
        let mut read: Vec<ColumnName> = filter.iter().flat_map(Filter::columns).cloned().collect();
        read.sort();
        read.dedup();
        if read != job.filter_columns || filter.is_some() != job.filter.is_some() {
            return Err(RequestError::FilterColumns);
        }
        Self::new(job.columns.clone(), job.by.clone(), filter, job.statistics.clone())
    }

    /// The columns of the result, in its order.
    pub fn columns(&self) -> &[ColumnName] {
        &self.columns
    }

    /// The column whose levels make the groups.
    pub fn by(&self) -> Option<&ColumnName> {
        self.by.as_ref()
    }

    /// Which rows are the cohort.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// The statistics, in order of the vocabulary, each once.
    pub fn statistics(&self) -> &[Statistic] {
        &self.statistics
    }

    /// Whether a statistic is asked for.
    pub fn asks(&self, statistic: Statistic) -> bool {
        self.statistics.contains(&statistic)
    }

    /// Whether sums must leave the site: they are the statistic, or the mean or variance is made of them.
    pub fn needs_sum(&self) -> bool {
        self.asks(Statistic::Sum) || self.asks(Statistic::Mean) || self.needs_deviations()
    }

    /// Whether squared deviations must leave the site.
    pub fn needs_deviations(&self) -> bool {
        self.asks(Statistic::Variance)
    }
}
