//! Ids as people type them: whole, or a unique prefix of at least 8 digits.

use std::fmt;
use std::str::FromStr;

/// Fewest digits that the nodes take for an id.
const DIGITS_MIN: usize = 8;

/// An id or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentifierPrefix(String);

/// Text that begins no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give an id or its first {DIGITS_MIN} or more hexadecimal digits")]
pub(crate) struct IdentifierPrefixError;

impl FromStr for IdentifierPrefix {
    type Err = IdentifierPrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
        if digits && (DIGITS_MIN..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentifierPrefixError)
        }
    }
}

impl fmt::Display for IdentifierPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_begin_an_id() {
        assert!("d74981ef".parse::<IdentifierPrefix>().is_ok());
        assert!("0".repeat(64).parse::<IdentifierPrefix>().is_ok());
        for text in ["d74981e".to_owned(), "D74981EF".to_owned(), "../../etc".to_owned(), "0".repeat(65)] {
            assert!(text.parse::<IdentifierPrefix>().is_err(), "{text}");
        }
    }
}
