//! Reading CSV (RFC 4180, with a header row) in constant memory, whatever the bytes.
//!
//! Conventions, the same for publishing and for computing:
//! - Outer blanks of names and values are not part of them: real exports pad strings (`"No "`, `"   "`).
//! - A value is *missing* when it is, after trimming, empty, `NA` (R), `NaN` (Python, R) or `.` (SAS, Stata), quoted or
//!   not, in any column. The words are exact: `na` or `n/a` are text.
//! - A *number* is what Rust's `f64` reads from the trimmed text and is finite: `12`, `-1.5`, `2e3`; no thousands
//!   separators, no decimal commas, no `inf`.
//! - Empty lines are no rows. A byte-order mark is skipped. Text is UTF-8.

use std::io::{BufRead, BufReader, Read};

use csv_core::ReadRecordResult;
use galen_types::ColumnName;

/// Most columns of a table.
pub const COLUMNS_MAX: usize = 4_096;
/// Most bytes of one row.
pub const ROW_BYTES_MAX: usize = 1 << 20;
/// Most bytes of one value.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// Why bytes are not a table. Lines count from 1, the header's being 1; no message repeats content of a row.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The source of the bytes failed.
    #[error("the table cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// No header row.
    #[error("the table is empty: a header row with column names is needed")]
    Empty,
    /// A column without a usable name.
    #[error(
        "column {column} of the header has no usable name: give each column a name of 1 to 128 bytes without control characters"
    )]
    ColumnName {
        /// The column's place, from 1.
        column: usize,
    },
    /// Two columns of one name.
    #[error("the column name `{0}` stands twice in the header: give each column a name of its own")]
    DuplicateColumn(ColumnName),
    /// A row with more or fewer values than the header.
    #[error("line {line} has {found} values, the header has {expected}: mend or quote the line")]
    Ragged {
        /// Where.
        line: u64,
        /// Values there.
        found: usize,
        /// Names in the header.
        expected: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("line {line} is not UTF-8 text: save the table in that encoding")]
    NotUtf8 {
        /// Where.
        line: u64,
    },
    /// A row beyond the limits.
    #[error(
        "the row at line {line} is too long: at most {COLUMNS_MAX} columns, {VALUE_BYTES_MAX} bytes a value and {ROW_BYTES_MAX} bytes a row are read; is a closing quote missing?"
    )]
    RowTooLong {
        /// Where the row begins.
        line: u64,
    },
}

impl TableError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "table-io",
            Self::Empty => "table-empty",
            Self::ColumnName { .. } => "table-column-name",
            Self::DuplicateColumn(_) => "table-duplicate-column",
            Self::Ragged { .. } => "table-ragged",
            Self::NotUtf8 { .. } => "table-not-utf8",
            Self::RowTooLong { .. } => "table-row-too-long",
        }
    }
}

/// The value without its outer blanks, or `None` where it is missing.
pub fn present(value: &str) -> Option<&str> {
    match value.trim() {
        "" | "NA" | "NaN" | "." => None,
        value => Some(value),
    }
}

/// The finite number that a present value is, if it is one.
pub fn number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads a table row by row, keeping one row in memory.
pub struct TableReader<R> {
    source: BufReader<R>,
    parser: csv_core::Reader,
    header: Vec<ColumnName>,
    row: Row,
}

/// One row's values, joined, and where each ends.
struct Row {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Values in the row at present.
    values: usize,
    /// The line at which the row begins.
    line: u64,
}

impl<R: Read> TableReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`TableError`] when there is none, or its names are unusable.
    pub fn new(source: R) -> Result<Self, TableError> {
        let mut reader = Self {
            source: BufReader::with_capacity(64 << 10, source),
            parser: csv_core::Reader::new(),
            header: Vec::new(),
            row: Row { bytes: vec![0; 4 << 10], ends: vec![0; 64], values: 0, line: 1 },
        };
        if !reader.read_row()? {
            return Err(TableError::Empty);
        }
        for place in 0..reader.row.values {
            let text = reader.row.value(place)?;
            // The parser takes a byte-order mark off unless the first read ends within it.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
            let column = place + 1;
            let name = ColumnName::parse(text).map_err(|_| TableError::ColumnName { column })?;
            reader.header.push(name);
        }
        let mut names: Vec<&ColumnName> = reader.header.iter().collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(TableError::DuplicateColumn(pair[0].clone())),
            None => Ok(reader),
        }
    }

    /// The columns' names, in file order.
    pub fn header(&self) -> &[ColumnName] {
        &self.header
    }

    /// Moves to the next row; `false` at the end of the table.
    ///
    /// # Errors
    /// [`TableError`] when the row is malformed; reading cannot go on then.
    pub fn next_row(&mut self) -> Result<bool, TableError> {
        if !self.read_row()? {
            return Ok(false);
        }
        let (line, found, expected) = (self.row.line, self.row.values, self.header.len());
        if found != expected {
            return Err(TableError::Ragged { line, found, expected });
        }
        Ok(true)
    }

    /// A value of the current row, trimmed; `None` where it is missing.
    ///
    /// # Errors
    /// [`TableError::NotUtf8`].
    pub fn value(&self, column: usize) -> Result<Option<&str>, TableError> {
        self.row.value(column).map(present)
    }

    fn read_row(&mut self) -> Result<bool, TableError> {
        let row = &mut self.row;
        row.line = self.parser.line();
        let (mut filled, mut ended) = (0, 0);
        loop {
            let input = match self.source.fill_buf() {
                Ok(input) => input,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let (result, read, written, ends) =
                self.parser.read_record(input, &mut row.bytes[filled..], &mut row.ends[ended..]);
            self.source.consume(read);
            filled += written;
            ended += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => grow(&mut row.bytes, 0, ROW_BYTES_MAX, row.line)?,
                ReadRecordResult::OutputEndsFull => {
                    grow(&mut row.ends, 0, COLUMNS_MAX, row.line)?;
                }
                ReadRecordResult::Record => {
                    row.values = ended;
                    return row.check().map(|()| true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }
}

/// Doubles a buffer that is full, up to its limit.
fn grow<T: Clone>(buffer: &mut Vec<T>, zero: T, limit: usize, line: u64) -> Result<(), TableError> {
    if buffer.len() >= limit {
        return Err(TableError::RowTooLong { line });
    }
    let size = (buffer.len() * 2).min(limit);
    buffer.resize(size, zero);
    Ok(())
}

impl Row {
    fn range(&self, place: usize) -> std::ops::Range<usize> {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        start..self.ends[place]
    }

    fn value(&self, place: usize) -> Result<&str, TableError> {
        std::str::from_utf8(&self.bytes[self.range(place)]).map_err(|_| TableError::NotUtf8 { line: self.line })
    }

    /// Every value, also of columns that nobody asked for, is bounded UTF-8: a table is accepted or refused as a whole.
    fn check(&self) -> Result<(), TableError> {
        let length = self.ends[..self.values].last().copied().unwrap_or(0);
        if length > VALUE_BYTES_MAX && (0..self.values).any(|place| self.range(place).len() > VALUE_BYTES_MAX) {
            return Err(TableError::RowTooLong { line: self.line });
        }
        if !self.bytes[..length].is_ascii() {
            for place in 0..self.values {
                self.value(place)?;
            }
        }
        Ok(())
    }
}
