//! What a site sends: per column the pooled missing count, per group the count and, as far as the statistics need them,
//! the sum and the squared deviations. Its bytes are the canonical encoding; the receiver checks everything again, so
//! that a site with other rules or a fault cannot put a small cell into a total.

use galen_types::parameters::Disclosure;
use galen_types::vocabulary::Statistic;
use galen_types::{ColumnName, DecodeError, Encoding};
use wincode::{SchemaRead, SchemaWrite};

use crate::disclosure::{Minima, Refusal, Tabulation, Tally};
use crate::moments::Part;
use crate::request::SummaryRequest;

/// Most bytes of an encoded summary: 64 columns, 1,000 levels with the longest labels.
pub const SUMMARY_BYTES_MAX: usize = 4 << 20;

/// Most bytes of a group's label.
const LABEL_BYTES_MAX: usize = 128;

/// Whether a text can be a group's label: it is shown to people, so it is short and printable.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

/// One site's answer.
#[derive(Debug, Clone, PartialEq, SchemaWrite, SchemaRead)]
pub struct SiteSummary {
    /// Labels of the groups that have a cell, in ascending order; without grouping, or without a row, empty.
    levels: Vec<String>,
    /// In the order of the request.
    columns: Vec<ColumnSummary>,
}

/// What is sent of one column.
#[derive(Debug, Clone, PartialEq, SchemaWrite, SchemaRead)]
pub struct ColumnSummary {
    column: ColumnName,
    missing: Option<u64>,
    cells: Vec<Cell>,
}

/// What is sent of one group of a column.
#[derive(Debug, Clone, Copy, PartialEq, SchemaWrite, SchemaRead)]
pub struct Cell {
    count: u64,
    sum: Option<f64>,
    squared_deviations: Option<f64>,
}

/// Why a received summary is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SummaryError {
    /// Not the bytes of a summary.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// Not what was asked for.
    #[error("the summary does not answer the request: {0}")]
    NotAsAsked(&'static str),
    /// Numbers that no table gives.
    #[error("the summary holds numbers that no table gives")]
    Impossible,
    /// A count below a minimum left the site.
    #[error("the summary breaks disclosure rule {0}; the site must apply the chain's minima")]
    Disclosive(u32),
}

impl SummaryError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Encoding(error) => error.code(),
            Self::NotAsAsked(_) => "summary-not-as-asked",
            Self::Impossible => "summary-impossible",
            Self::Disclosive(_) => "summary-disclosive",
        }
    }
}

impl SiteSummary {
    /// What leaves of a tabulation that the rules let pass. A group without a cell leaves no label either: a label
    /// whose values are all missing may stand for a single row.
    pub(crate) fn of(tabulation: &Tabulation, request: &SummaryRequest) -> Result<Self, Refusal> {
        let groups: Vec<&(String, Vec<Tally>)> = tabulation
            .levels
            .iter()
            .filter(|(_, tallies)| tallies.iter().any(|tally| tally.cohort.count() > 0))
            .collect();
        let mut columns = Vec::new();
        for (index, column) in request.columns().iter().enumerate() {
            let mut cells = Vec::new();
            for (_, tallies) in &groups {
                let cell = Cell::of(&tallies[index], request);
                cells.push(cell.ok_or_else(|| Refusal::ValuesTooLarge(column.clone()))?);
            }
            let missing = tabulation.cohort_rows - tabulation.used_rows(index);
            columns.push(ColumnSummary {
                column: column.clone(),
                missing: request.asks(Statistic::Missing).then_some(missing),
                cells,
            });
        }
        let labels = groups.iter().filter(|_| tabulation.grouped);
        Ok(Self { levels: labels.map(|(label, _)| label.clone()).collect(), columns })
    }

    /// The summary's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode()
    }

    /// Reads a summary that came from a site, and checks that it answers the request under the rules: labels in order,
    /// exactly the statistics asked for, possible numbers, and no count below a minimum.
    ///
    /// # Errors
    /// [`SummaryError`] saying what is wrong.
    pub fn from_bytes(
        bytes: &[u8],
        request: &SummaryRequest,
        disclosure: &Disclosure,
        cohort_min: u32,
    ) -> Result<Self, SummaryError> {
        let summary = Self::decode(bytes, SUMMARY_BYTES_MAX)?;
        summary.check(request, disclosure, Minima::new(disclosure, cohort_min))?;
        Ok(summary)
    }

    fn check(&self, request: &SummaryRequest, disclosure: &Disclosure, minima: Minima) -> Result<(), SummaryError> {
        if request.by().is_none() && !self.levels.is_empty() {
            return Err(SummaryError::NotAsAsked("it is grouped"));
        }
        if self.levels.len() as u64 > u64::from(disclosure.levels_max) {
            return Err(SummaryError::Disclosive(5));
        }
        let ordered = self.levels.is_sorted_by(|left, right| left < right);
        if !ordered || !self.levels.iter().all(|label| is_label(label)) {
            return Err(SummaryError::NotAsAsked("its labels are malformed"));
        }
        let names = self.columns.iter().map(|column| &column.column);
        if !names.eq(request.columns()) {
            return Err(SummaryError::NotAsAsked("its columns differ"));
        }
        let empty = self.is_empty();
        for column in &self.columns {
            let cells = match request.by() {
                Some(_) => self.levels.len(),
                None => usize::from(!empty),
            };
            if column.cells.len() != cells {
                return Err(SummaryError::NotAsAsked("its cells do not fit its groups"));
            }
            column.check(request, minima, empty)?;
        }
        let unused = |place: usize| {
            let mut cells = self.columns.iter().map(|column| column.cells[place]);
            cells.all(|cell| cell.count == 0)
        };
        if (0..self.levels.len()).any(unused) {
            return Err(SummaryError::NotAsAsked("a group is empty"));
        }
        Ok(())
    }

    /// Whether the site's cohort has no row.
    pub fn is_empty(&self) -> bool {
        self.columns.iter().all(|column| column.cells.is_empty())
    }

    /// Labels of the groups; empty where rows are not grouped.
    pub fn levels(&self) -> &[String] {
        &self.levels
    }

    /// The columns, in the order of the request.
    pub fn columns(&self) -> &[ColumnSummary] {
        &self.columns
    }
}

impl ColumnSummary {
    fn check(&self, request: &SummaryRequest, minima: Minima, empty: bool) -> Result<(), SummaryError> {
        if self.missing.is_some() != request.asks(Statistic::Missing) {
            return Err(SummaryError::NotAsAsked("its statistics differ"));
        }
        if self.cells.iter().any(|cell| !cell.answers(request)) {
            return Err(SummaryError::NotAsAsked("its statistics differ"));
        }
        if !self.cells.iter().all(Cell::is_possible) {
            return Err(SummaryError::Impossible);
        }
        let mut counts = self.cells.iter().map(|cell| cell.count);
        if counts.clone().any(|count| count > 0 && count < minima.cell) {
            return Err(SummaryError::Disclosive(2));
        }
        let used = counts.try_fold(self.missing.unwrap_or(0), u64::checked_add);
        // Below 2^53 every count is a float.
        match used.filter(|used| *used < 1 << 53) {
            None => Err(SummaryError::Impossible),
            Some(0) if empty => Ok(()),
            Some(_) if empty => Err(SummaryError::Impossible),
            Some(used) if used - self.missing.unwrap_or(0) < minima.rows => Err(SummaryError::Disclosive(1)),
            Some(_) => Ok(()),
        }
    }

    /// The column.
    pub fn column(&self) -> &ColumnName {
        &self.column
    }

    /// Rows of the cohort that are in no cell, where that is asked for.
    pub fn missing(&self) -> Option<u64> {
        self.missing
    }

    /// The cells, in order of the groups; without grouping one.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

impl Cell {
    /// `None` when a sum left the range of numbers.
    fn of(tally: &Tally, request: &SummaryRequest) -> Option<Self> {
        let moments = &tally.cohort;
        // Adding zero turns a negative zero into zero: one value, one encoding.
        let cell = Self {
            count: moments.count(),
            sum: request.needs_sum().then(|| moments.sum() + 0.0),
            squared_deviations: request.needs_deviations().then(|| moments.squared_deviations() + 0.0),
        };
        cell.is_possible().then_some(cell)
    }

    fn answers(&self, request: &SummaryRequest) -> bool {
        self.sum.is_some() == request.needs_sum() && self.squared_deviations.is_some() == request.needs_deviations()
    }

    fn is_possible(&self) -> bool {
        let sound = |value: f64| value.is_finite() && (value != 0.0 || value.is_sign_positive());
        let (sum, deviations) = (self.sum.unwrap_or(0.0), self.squared_deviations.unwrap_or(0.0));
        sound(sum) && sound(deviations) && deviations >= 0.0 && (self.count > 0 || (sum == 0.0 && deviations == 0.0))
    }

    /// Values in the cell.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The cell for joining; what was not asked for is 0.
    pub(crate) fn part(&self) -> Part {
        Part {
            count: self.count,
            sum: self.sum.unwrap_or(0.0),
            squared_deviations: self.squared_deviations.unwrap_or(0.0),
        }
    }
}
