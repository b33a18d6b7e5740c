//! Reading that turns what cannot be read into findings and goes on.

use crate::error::LedgerError;
use crate::store::bytes::{Key, Value};
use crate::store::column::{Column, KeyOf, ValueOf};
use crate::store::{Reader, Rows, Span};

use super::finding::{Findings, Problem};

/// All rows of a column in order; malformed rows become findings and are left out.
pub(crate) struct Sweep<'reader, C: Column> {
    rows: Option<Rows<'reader, C>>,
    /// Read, and not taken yet.
    ahead: Option<SweptRow<C>>,
}

/// A row: the stored bytes and what they decode to.
pub(crate) struct SweptRow<C: Column> {
    pub(crate) key_bytes: Vec<u8>,
    pub(crate) value_bytes: Vec<u8>,
    pub(crate) key: KeyOf<C>,
    /// `None` when malformed.
    pub(crate) value: Option<ValueOf<C>>,
}

impl<'reader, C: Column> Sweep<'reader, C> {
    pub(crate) fn new(reader: &'reader Reader<'_>, findings: &mut Findings) -> Self {
        let rows = match reader.sweep::<C>(Span::default()) {
            Ok(rows) => Some(rows),
            Err(error) => {
                findings.add_error::<C>(&[], error);
                None
            }
        };
        Self { rows, ahead: None }
    }

    /// The next row; its value is `None` when malformed.
    pub(crate) fn next(&mut self, findings: &mut Findings) -> Option<SweptRow<C>> {
        if let Some(row) = self.ahead.take() {
            return Some(row);
        }
        loop {
            let (key_bytes, value_bytes) = match self.rows.as_mut()?.next_bytes()? {
                Ok(row) => row,
                Err(error) => {
                    findings.add_error::<C>(&[], error);
                    self.rows = None;
                    return None;
                }
            };
            let Some(key) = C::Key::read(&key_bytes) else {
                findings.add::<C>(&key_bytes, Problem::Malformed(String::from("no such key")));
                continue;
            };
            let value = match C::Value::read(&value_bytes) {
                Ok(value) => Some(value),
                Err(error) => {
                    findings.add::<C>(&key_bytes, Problem::Malformed(error.to_string()));
                    None
                }
            };
            return Some(SweptRow { key_bytes, value_bytes, key, value });
        }
    }

    /// The next row if it satisfies a condition; else it stays for the next call.
    pub(crate) fn next_if(
        &mut self,
        findings: &mut Findings,
        condition: impl Fn(&KeyOf<C>) -> bool,
    ) -> Option<SweptRow<C>> {
        let row = self.next(findings)?;
        if condition(&row.key) {
            return Some(row);
        }
        self.ahead = Some(row);
        None
    }
}

/// One row that must be there; what is wrong with it becomes a finding.
pub(crate) fn require<C: Column>(reader: &Reader<'_>, findings: &mut Findings, key: &C::Key) -> Option<ValueOf<C>> {
    let row: Result<Option<ValueOf<C>>, LedgerError> = reader.get::<C>(key);
    match row {
        Ok(Some(value)) => return Some(value),
        Ok(None) => findings.add::<C>(key.bytes().as_ref(), Problem::Missing),
        Err(error) => findings.add_error::<C>(key.bytes().as_ref(), error),
    }
    None
}
