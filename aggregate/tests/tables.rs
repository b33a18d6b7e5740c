//! Reading tables: what is accepted, what is missing, and limits against hostile bytes.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

use std::io::Read;

use galen_aggregate::{TableError, inspect_csv};
use galen_types::dataset::ColumnKind::{Number, Text};
use galen_types::dataset::{Column, ColumnKind};

fn shape(text: &[u8]) -> (Vec<(String, ColumnKind)>, u64) {
    let shape = inspect_csv(text).expect("a table");
    let column = |column: Column| (column.name.to_string(), column.kind);
    (shape.columns.into_iter().map(column).collect(), shape.rows)
}

fn error(text: &[u8]) -> TableError {
    inspect_csv(text).expect_err("no table")
}

fn columns(expected: &[(&str, ColumnKind)]) -> Vec<(String, ColumnKind)> {
    let owned = |(name, kind): &(&str, ColumnKind)| ((*name).to_owned(), *kind);
    expected.iter().map(owned).collect()
}

#[test]
fn kinds_are_told_from_values() {
    let text = b" a ,b,c,d,e\r\n1,x,NA,1,\r\n -2.5e3 ,3,NaN,inf,   \r\n,4, . ,2,\r\n";
    let expected = [("a", Number), ("b", Text), ("c", Number), ("d", Text), ("e", Number)];
    assert_eq!(shape(text), (columns(&expected), 3));
}

#[test]
fn quotes_byte_order_marks_and_missing_last_line_ends_are_read() {
    let text = "\u{feff}\"a\",\"b, with \"\"quotes\"\"\"\n1,\"line\nbreak\"\n\n2,y".as_bytes();
    assert_eq!(shape(text), (columns(&[("a", Number), ("b, with \"quotes\"", Text)]), 2));
    // A reader that gives a byte at a time makes no difference.
    struct Drip<'bytes>(&'bytes [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(1);
            (&mut self.0).take(length as u64).read(&mut buffer[..length])
        }
    }
    let plain = "\u{feff}a,b\n1,x\n".as_bytes();
    let dripped = inspect_csv(Drip(plain)).expect("a table");
    assert_eq!(dripped, inspect_csv(plain).expect("a table"));
}

#[test]
fn errors_name_the_line_and_no_content() {
    let ragged = error(b"a,b\n1,2\n1,2,3\n");
    assert!(matches!(ragged, TableError::Ragged { line: 3, found: 3, expected: 2 }), "{ragged:?}");
    let short = error(b"a,b\n1\n");
    assert!(matches!(short, TableError::Ragged { line: 2, found: 1, expected: 2 }));
    let latin = error(b"a,b\n1,2\n1,caf\xe9\n");
    assert!(matches!(latin, TableError::NotUtf8 { line: 3 }), "{latin:?}");
    // Two halves of a character in two values are two errors, not one character.
    assert!(matches!(error(b"a,b\n\xc3,\xa9\n"), TableError::NotUtf8 { line: 2 }));
}

#[test]
fn headers_are_checked() {
    assert!(matches!(error(b""), TableError::Empty));
    assert!(matches!(error(b"\"\",b\n1,2\n"), TableError::ColumnName { column: 1 }));
    assert!(matches!(error(b"a,b,a\n"), TableError::DuplicateColumn(name) if name.as_str() == "a"));
    assert_eq!(shape(b"a,b\n"), (columns(&[("a", Number), ("b", Number)]), 0));
}

/// An endless row must not fill the memory: reading stops at the limit.
#[test]
fn rows_values_and_columns_are_bounded() {
    let endless = || std::io::repeat(b'x').take(1 << 40);
    let unclosed = (b"a,b\n1,\"".as_slice()).chain(endless());
    let found = inspect_csv(unclosed).expect_err("too long");
    assert!(matches!(found, TableError::RowTooLong { line: 2 }), "{found:?}");
    let columns = std::io::repeat(b',').take(1 << 40);
    assert!(matches!(inspect_csv(columns), Err(TableError::RowTooLong { line: 1 })));
    let value = [b"a,b\n1,".as_slice(), &vec![b'x'; (64 << 10) + 1], b"\n"].concat();
    assert!(matches!(error(&value), TableError::RowTooLong { line: 2 }));
    let fits = [b"a,b\n1,".as_slice(), &vec![b'x'; 64 << 10], b"\n"].concat();
    assert_eq!(shape(&fits).1, 1);
}

#[test]
fn a_failing_source_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the chunk does not match its hash"))
        }
    }
    let found = inspect_csv(b"a\n1\n".as_slice().chain(Broken)).expect_err("broken");
    assert_eq!(found.code(), "table-io");
}
