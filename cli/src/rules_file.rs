//! `RULES.toml`: the rules of an access contract, as owners write them.
//!
//! ```toml
//! [[rule]]
//! name = "research"
//! effect = "permit"
//! roles = ["researcher"]
//! actions = ["discover", "compute"]
//! purposes = ["HRESCH"]
//! data_use = ["IRB"]
//! statistics = ["count", "mean", "variance"]
//! not_after = "2027-01-01T00:00:00Z"
//! cohort_min = 20
//! ```

use galen_types::access::Rule;
use toml::Value;

use crate::terms::data_use;

/// What is wrong with a file, so that its author can mend it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RulesFileError(String);

/// Reads the rules in their order.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, RulesFileError> {
    let document: toml::Table =
        toml::from_str(text).map_err(|error| RulesFileError(error.to_string().trim_end().to_owned()))?;
    let mut rules = Vec::new();
    for (key, value) in document {
        let list = match (key.as_str(), value) {
            ("rule", Value::Array(list)) => list,
            ("rule", _) => return Err(RulesFileError("write each rule under a heading `[[rule]]`".to_owned())),
            _ => return Err(RulesFileError(format!("unknown key `{key}`: each rule stands under `[[rule]]`"))),
        };
        for (index, entry) in list.into_iter().enumerate() {
            rules.push(rule(entry).map_err(|problem| RulesFileError(format!("rule {}: {problem}", index + 1)))?);
        }
    }
    Ok(rules)
}

fn rule(mut entry: Value) -> Result<Rule, String> {
    if let Some(Value::Array(terms)) = entry.get_mut("data_use") {
        for term in terms {
            if let Value::String(text) = term {
                *term = Value::try_from(data_use(text)?).map_err(|error| error.to_string())?;
            }
        }
    }
    // Times may be written with or without quotes.
    for key in ["not_before", "not_after"] {
        if let Some(value @ Value::Datetime(_)) = entry.get_mut(key) {
            *value = Value::String(value.to_string());
        }
    }
    entry.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use galen_types::access::Effect;

    use super::*;

    #[test]
    fn rules_keep_their_order_and_terms() {
        let rules = parse(
            "[[rule]]\nname = 'a'\neffect = 'deny'\ndata_use = ['DS=mondo-1', { term = 'IRB' }]\n\
             [[rule]]\nname = 'b'\neffect = 'permit'\nnot_after = 2027-01-01T00:00:00Z\ncohort_min = 20\n",
        )
        .unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].name.as_str(), rules[0].effect), ("a", Effect::Deny));
        assert_eq!(rules[0].data_use.len(), 2);
        assert_eq!(rules[1].not_after.unwrap().to_string(), "2027-01-01T00:00:00.000Z");
        assert!(parse("").unwrap().is_empty(), "an empty contract says nothing: everything is denied");
    }

    #[test]
    fn what_is_not_known_is_refused_where_it_stands() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        let first = "[[rule]]\nname = 'a'\neffect = 'permit'\n";
        assert!(refused(&format!("{first}purpose = ['HRESCH']\n")).starts_with("rule 1: unknown field `purpose`"));
        assert!(refused(&format!("{first}[[rule]]\nname = 'b'\neffect = 'allow'\n")).starts_with("rule 2: `allow`"));
        assert!(refused(&format!("{first}data_use = ['XXX']\n")).contains("`XXX` is none of"));
        assert!(refused("[[rules]]\nname = 'a'\n").contains("unknown key `rules`"));
        assert!(refused("rule = 1\n").contains("[[rule]]"));
        assert!(refused("[[rule]\n").contains("line 1"));
    }
}
