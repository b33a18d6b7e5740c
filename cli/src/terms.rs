//! Terms of the field as people type them.

use galen_types::Slug;
use galen_types::vocabulary::{DataUse, DataUseTerm};

/// Reads `GRU`, or `DS=mondo-0005148` for a term with its parameter.
pub(crate) fn data_use(text: &str) -> Result<DataUse, String> {
    let (term, parameter) = match text.split_once('=') {
        Some((term, parameter)) => (term, Some(Slug::parse(parameter).map_err(|error| error.to_string())?)),
        None => (text, None),
    };
    let term: DataUseTerm = term.parse().map_err(|error: galen_types::vocabulary::UnknownWord| error.to_string())?;
    Ok(DataUse { term, parameter })
}

/// Writes what [`data_use`] reads.
pub(crate) fn data_use_text(data_use: &DataUse) -> String {
    match &data_use.parameter {
        Some(parameter) => format!("{}={parameter}", data_use.term),
        None => data_use.term.to_string(),
    }
}

/// In ascending order, each once, as the chain wants lists of terms.
pub(crate) fn sorted<Item: Ord>(mut items: Vec<Item>) -> Vec<Item> {
    items.sort();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_use_terms_may_have_a_parameter() {
        for text in ["GRU", "DS=mondo-0005148", "TS=24"] {
            assert_eq!(data_use_text(&data_use(text).unwrap()), text);
        }
        assert!(data_use("gru").unwrap_err().contains("GRU"), "the known words are listed");
        assert!(data_use("DS=").is_err());
    }
}
