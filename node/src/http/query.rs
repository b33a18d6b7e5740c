//! Query strings, read strictly: known parameters, each once, well-formed percent-encoding, UTF-8.

use std::str::FromStr;

use galen_types::api::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};

use super::refusal::Refusal;

/// A parameter that a route knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// For the OpenAPI document.
    pub(crate) description: &'static str,
    /// For the OpenAPI document; handlers say so themselves with [`Query::need`].
    pub(crate) needed: bool,
}

impl Parameter {
    pub(crate) const fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, description, needed: false }
    }

    pub(crate) const fn needed(name: &'static str, description: &'static str) -> Self {
        Self { name, description, needed: true }
    }
}

/// The parameters of every list.
pub(crate) const PAGE: [Parameter; 2] = [
    Parameter::new("start_after", "The page's start: the last page's `next`"),
    Parameter::new("limit", "Items on the page: 1 to 1000, 100 if not said"),
];

/// A query as read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

fn decoded(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || {
                    rest.next()
                        .and_then(|byte| char::from(byte).to_digit(16))
                        .and_then(|digit| u8::try_from(digit).ok())
                        .ok_or(Refusal::QueryMalformed("a `%` is not followed by two hexadecimal digits"))
                };
                let (high, low) = (digit()?, digit()?);
                bytes.push(high << 4 | low);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| Refusal::QueryMalformed("it is not UTF-8"))
}

impl Query {
    /// Reads the text after `?`.
    pub(crate) fn parse(text: &str, known: &[Parameter]) -> Result<Self, Refusal> {
        let mut values: Vec<(&'static str, String)> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(Refusal::QueryMalformed("a parameter has no `=`"))?;
            let name = decoded(name)?;
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                let known = known.iter().map(|parameter| parameter.name).collect::<Vec<_>>();
                return Err(Refusal::ParameterUnknown {
                    name: name.chars().take(80).collect(),
                    known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
                });
            };
            if values.iter().any(|(name, _)| *name == parameter.name) {
                return Err(Refusal::ParameterRepeated(name));
            }
            values.push((parameter.name, decoded(value)?));
        }
        Ok(Self(values))
    }

    /// A parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value.
    pub(crate) fn get<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<Option<T>, Refusal> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|error: T::Err| Refusal::ParameterInvalid { name, problem: error.to_string() })
            })
            .transpose()
    }

    /// The value of a parameter that must be given.
    pub(crate) fn need<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<T, Refusal> {
        self.get(name)?.ok_or(Refusal::ParameterMissing(name))
    }

    /// Items on the page.
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        let limit = self.get("limit")?.unwrap_or(PAGE_ITEMS_DEFAULT);
        if (1..=PAGE_ITEMS_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Refusal::ParameterInvalid { name: "limit", problem: format!("it must be 1 to {PAGE_ITEMS_MAX}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Parameter; 2] = [Parameter::new("text", ""), Parameter::new("limit", "")];

    fn code(text: &str) -> &'static str {
        Query::parse(text, &KNOWN).unwrap_err().code()
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("text=caf%C3%A9+%26%3D%2B&limit=7", &KNOWN).unwrap();
        assert_eq!(query.text("text"), Some("café &=+"));
        assert_eq!(query.limit().unwrap(), 7);
        assert_eq!(Query::parse("", &KNOWN).unwrap().limit().unwrap(), PAGE_ITEMS_DEFAULT);
    }

    #[test]
    fn what_is_unknown_repeated_or_malformed_is_refused() {
        assert_eq!(code("texts=a"), "parameter-unknown");
        assert_eq!(code("text=a&text=b"), "parameter-repeated");
        assert_eq!(code("text=a&te%78t=b"), "parameter-repeated");
        assert_eq!(code("text"), "query-malformed");
        assert_eq!(code("text=%F"), "query-malformed");
        assert_eq!(code("text=%zz"), "query-malformed");
        assert_eq!(code("text=%FF"), "query-malformed");
    }

    #[test]
    fn a_limit_out_of_bounds_is_refused() {
        for text in ["limit=0", "limit=1001", "limit=-1", "limit=all", "limit="] {
            let query = Query::parse(text, &KNOWN).unwrap();
            assert_eq!(query.limit().unwrap_err().code(), "parameter-invalid", "{text}");
        }
    }
}
