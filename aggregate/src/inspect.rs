//! What a table is made of, for publishing it.

use std::io::Read;

use galen_types::dataset::{Column, ColumnKind};

use crate::table::{TableError, TableReader, number};

/// A table's columns and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// The columns in file order. A column's kind is number when every value that is not missing is a finite number; a
    /// column without any value is one too.
    pub columns: Vec<Column>,
    /// Rows, without the header.
    pub rows: u64,
}

/// Reads a whole table once, in constant memory.
///
/// # Errors
/// [`TableError`] naming the line, where the bytes are no table.
pub fn inspect_csv(source: impl Read) -> Result<TableShape, TableError> {
    let mut table = TableReader::new(source)?;
    let mut kinds = vec![ColumnKind::Number; table.header().len()];
    let mut rows = 0;
    while table.next_row()? {
        rows += 1;
        for (place, kind) in kinds.iter_mut().enumerate() {
            if *kind == ColumnKind::Number && table.value(place)?.is_some_and(|value| number(value).is_none()) {
                *kind = ColumnKind::Text;
            }
        }
    }
    let columns = table.header().iter().cloned().zip(kinds);
    Ok(TableShape { columns: columns.map(|(name, kind)| Column { name, kind }).collect(), rows })
}
