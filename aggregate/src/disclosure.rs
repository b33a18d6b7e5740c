//! The disclosure rules that hold before anything leaves a site, and what each is applied to. Numbers are those of the
//! consortium's list of rules; minima are the chain's parameters, raised by a contract's or grant's minimum cohort.
//!
//! | rule | applied to |
//! |---|---|
//! | 1 | each column: its *used rows* (in the cohort, value and group label both present) are at least `rows_min` |
//! | 2 | each cell (used rows of one column in one group): 0 or at least `cell_min`, or the whole table is refused; rows with a value and no group label are such a cell too, because the ungrouped answer minus the groups gives it |
//! | 3 | the cohort of a filter, its complement, and the used rows of each column in the complement: 0 or at least `rows_min`; each cell of the complement: 0 or at least `cell_min`. Otherwise the difference of two permitted answers would be one that is not |
//! | 4 | each column: a mean by group is a model with one parameter a group, so its cells are at most `parameters_percent_max` of its used rows |
//! | 5 | groups: at most `levels_max` in the whole table, and at most `levels_percent_max` of the used rows of each column |
//!
//! Rule 6 (sites in a total) is applied where summaries are combined, by [`mod@crate::combine`]. Rules 7 to 14 belong to
//! statistics that are not offered yet. A filter that keeps no row is answered with an empty table (rule 3 permits 0);
//! it contributes to no cell and is not counted as a site by rule 6.
//!
//! Missing values: a row without a group label is in no group. Of each column one number leaves, the rows of the cohort
//! that are in none of its cells; it is pooled over groups here and over sites in the result, and is given out as it is:
//! a version's row count is public, so without a filter it follows from the count anyway.
//!
//! A refusal names its rule and nothing else: no count, no value, no label.

use galen_types::ColumnName;
use galen_types::name::Slug;
use galen_types::parameters::Disclosure;

use crate::moments::Moments;
use crate::table::TableError;

/// Why a site gives no summary. The message is fit for everyone; a cause that is not (see
/// [`Unreadable`](Self::Unreadable)) is the error's source, for the site's own log.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Rule 1.
    #[error(
        "the site has too few rows with values in the columns used (disclosure rule 1); use other columns or a wider filter"
    )]
    RowsBelowMinimum,
    /// Rule 2.
    #[error("a group has too few values at the site (disclosure rule 2); use fewer groups or a wider filter")]
    CellBelowMinimum,
    /// Rule 3, the cohort.
    #[error("the filter keeps too few rows at the site (disclosure rule 3); use a wider filter")]
    CohortBelowMinimum,
    /// Rule 3, the complement.
    #[error("the filter leaves out too few rows at the site (disclosure rule 3); use a narrower filter, or none")]
    ComplementBelowMinimum,
    /// Rule 4.
    #[error("there are too many groups for the rows of the site (disclosure rule 4); use fewer groups")]
    TooManyParameters,
    /// Rule 5.
    #[error("the grouping column has too many levels at the site (disclosure rule 5); group by another column")]
    TooManyLevels,
    /// The table has no such column.
    #[error("the site's table has no column `{0}`; see the dataset's columns")]
    ColumnMissing(ColumnName),
    /// Numbers are needed and the column holds text.
    #[error("the column `{0}` holds text at the site; compute on, and compare with numbers, only numeric columns")]
    ColumnNotNumeric(ColumnName),
    /// A group label that is no label.
    #[error("the grouping column holds labels that are too long or not printable; group by another column")]
    LevelMalformed,
    /// Sums leave the range of numbers.
    #[error("the values of the column `{0}` are too large to be summed at the site")]
    ValuesTooLarge(ColumnName),
    /// The table cannot be read; its owner learns why.
    #[error("the site's table cannot be read; the site's log says why")]
    Unreadable(#[from] TableError),
}

impl Refusal {
    /// The rule's stable code: what the chain records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RowsBelowMinimum => "rows-below-minimum",
            Self::CellBelowMinimum => "cell-below-minimum",
            Self::CohortBelowMinimum => "cohort-below-minimum",
            Self::ComplementBelowMinimum => "complement-below-minimum",
            Self::TooManyParameters => "too-many-parameters",
            Self::TooManyLevels => "too-many-levels",
            Self::ColumnMissing(_) => "column-missing",
            Self::ColumnNotNumeric(_) => "column-not-numeric",
            Self::LevelMalformed => "level-malformed",
            Self::ValuesTooLarge(_) => "values-too-large",
            Self::Unreadable(_) => "table-unreadable",
        }
    }

    /// The code as the chain's calls carry it.
    #[expect(clippy::expect_used, reason = "codes are constants; a test parses all")]
    pub fn slug(&self) -> Slug {
        Slug::parse(self.code()).expect("a code is a slug")
    }

    /// The number of the disclosure rule, where it is one.
    pub fn rule(&self) -> Option<u32> {
        match self {
            Self::RowsBelowMinimum => Some(1),
            Self::CellBelowMinimum => Some(2),
            Self::CohortBelowMinimum | Self::ComplementBelowMinimum => Some(3),
            Self::TooManyParameters => Some(4),
            Self::TooManyLevels => Some(5),
            Self::ColumnMissing(_)
            | Self::ColumnNotNumeric(_)
            | Self::LevelMalformed
            | Self::ValuesTooLarge(_)
            | Self::Unreadable(_) => None,
        }
    }
}

/// One cell while a table is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Used rows in the cohort.
    pub(crate) cohort: Moments,
    /// Rows of the complement in which value and label are present.
    pub(crate) complement: u64,
}

/// What is known of a table after one pass: what the rules judge, and what a summary is made of once they agree.
#[derive(Debug)]
pub(crate) struct Tabulation {
    /// Rows of the table.
    pub(crate) rows: u64,
    /// Rows that the filter keeps.
    pub(crate) cohort_rows: u64,
    /// Whether rows are grouped.
    pub(crate) grouped: bool,
    /// For each column asked for: rows of the cohort with a value and no group label.
    pub(crate) unlabelled: Vec<u64>,
    /// Groups in ascending order of label, each with a tally per column. Ungrouped: one group with an empty label.
    pub(crate) levels: Vec<(String, Vec<Tally>)>,
}

/// The minima that hold for one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Minima {
    pub(crate) rows: u64,
    pub(crate) cell: u64,
}

impl Minima {
    /// The chain's minima, the rows' raised to a contract's or grant's smallest cohort.
    pub(crate) fn new(disclosure: &Disclosure, cohort_min: u32) -> Self {
        Self { rows: disclosure.rows_min.max(cohort_min).into(), cell: disclosure.cell_min.into() }
    }
}

/// Whether a count is 1 or more, yet below its minimum.
fn exposes(count: u64, minimum: u64) -> bool {
    count > 0 && count < minimum
}

/// Whether `part` is more than `percent` of `whole`.
fn exceeds_share(part: u64, percent: u32, whole: u64) -> bool {
    u128::from(part) * 100 > u128::from(percent) * u128::from(whole)
}

impl Tabulation {
    fn tallies(&self, column: usize) -> impl Iterator<Item = &Tally> {
        self.levels.iter().map(move |(_, tallies)| &tallies[column])
    }

    /// Rows of the cohort that are in a cell of the column.
    pub(crate) fn used_rows(&self, column: usize) -> u64 {
        self.tallies(column).map(|tally| tally.cohort.count()).sum()
    }

    /// Applies rules 1 to 5. The order matters only for which rule a table that breaks several is refused by.
    pub(crate) fn check(&self, disclosure: &Disclosure, minima: Minima) -> Result<(), Refusal> {
        if self.rows < minima.rows {
            return Err(Refusal::RowsBelowMinimum);
        }
        if exposes(self.cohort_rows, minima.rows) {
            return Err(Refusal::CohortBelowMinimum);
        }
        if exposes(self.rows - self.cohort_rows, minima.rows) {
            return Err(Refusal::ComplementBelowMinimum);
        }
        if self.cohort_rows == 0 {
            return Ok(());
        }
        for column in 0..self.unlabelled.len() {
            self.check_column(column, disclosure, minima)?;
        }
        Ok(())
    }

    fn check_column(&self, column: usize, disclosure: &Disclosure, minima: Minima) -> Result<(), Refusal> {
        let used = self.used_rows(column);
        if used < minima.rows {
            return Err(Refusal::RowsBelowMinimum);
        }
        let complement = self.tallies(column).map(|tally| tally.complement).sum();
        if exposes(complement, minima.rows) {
            return Err(Refusal::ComplementBelowMinimum);
        }
        let cells = self.tallies(column).filter(|tally| tally.cohort.count() > 0).count() as u64;
        let too_many = self.levels.len() as u64 > u64::from(disclosure.levels_max);
        let share = exceeds_share(cells, disclosure.levels_percent_max, used);
        if self.grouped && (too_many || share) {
            return Err(Refusal::TooManyLevels);
        }
        if exceeds_share(cells, disclosure.parameters_percent_max, used) {
            return Err(Refusal::TooManyParameters);
        }
        if exposes(self.unlabelled[column], minima.cell) {
            return Err(Refusal::CellBelowMinimum);
        }
        for tally in self.tallies(column) {
            if exposes(tally.cohort.count(), minima.cell) {
                return Err(Refusal::CellBelowMinimum);
            }
            if exposes(tally.complement, minima.cell) {
                return Err(Refusal::ComplementBelowMinimum);
            }
        }
        Ok(())
    }
}
