//! A refusal on the wire: a stable code and a text for people.

use std::fmt;

use galen_types::Encoding;
use wincode::{SchemaRead, SchemaWrite};

use crate::limits::{CODE_BYTES_MAX, TEXT_BYTES_MAX};

/// Bytes of an encoded refusal at most: two lengths and two texts.
pub(crate) const REFUSAL_BYTES_MAX: usize = CODE_BYTES_MAX + TEXT_BYTES_MAX + 16;

/// A refusal: a stable code for programs, a text for people. Both are bounded when made and when read.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Refusal {
    code: String,
    text: String,
}

impl Refusal {
    /// A refusal; over-long parts are cut.
    #[must_use]
    pub fn new(code: &str, text: impl fmt::Display) -> Self {
        Self { code: printable(code, CODE_BYTES_MAX), text: printable(&text.to_string(), TEXT_BYTES_MAX) }
    }

    /// The stable code, at most [`CODE_BYTES_MAX`] bytes.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for people, at most [`TEXT_BYTES_MAX`] bytes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads a refusal that a peer sent. Whatever it sent, the result is bounded and printable.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        match Self::decode(bytes, REFUSAL_BYTES_MAX) {
            Ok(refusal) => refusal.cleaned(),
            Err(_) => Self::new("malformed-refusal", "the peer refused and its reason cannot be read"),
        }
    }

    /// The same with unprintable characters replaced and over-long parts cut: texts of peers end in logs.
    pub(crate) fn cleaned(&self) -> Self {
        Self::new(&self.code, &self.text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.text, self.code)
    }
}

/// At most `limit` bytes of the text, control characters replaced.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut clean = String::new();
    for character in text.chars().map(|character| if character.is_control() { '?' } else { character }) {
        if clean.len() + character.len_utf8() > limit {
            break;
        }
        clean.push(character);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_bounded_and_printable_whoever_made_them() {
        let refusal = Refusal::new("busy\n", "é".repeat(1000));
        assert_eq!(refusal.code(), "busy?");
        assert_eq!(refusal.text().len(), TEXT_BYTES_MAX);
        assert_eq!(Refusal::read(&refusal.encode()), refusal);

        let forged = Refusal { code: "x".to_owned(), text: "\u{1b}[2J".to_owned() };
        assert_eq!(Refusal::read(&forged.encode()).text(), "?[2J");
        assert_eq!(Refusal::read(&[0xff; 40]).code(), "malformed-refusal");
    }
}
