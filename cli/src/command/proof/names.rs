//! What is asked for: a transaction's id, or names of records.

use galen_node::proving::ProofQuestion;
use galen_types::proof::PROOF_KEYS_MAX;
use galen_types::{GrantId, Provable, TransactionId};
use galen_verifier::{Fact, Value, Verdict};

use crate::error::CliError;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked(ProofQuestion);

impl Asked {
    /// Reads the words of the command line.
    pub(crate) fn read(words: &[String], height: Option<u64>) -> Result<Self, CliError> {
        if let [word] = words
            && let Ok(id) = word.parse::<TransactionId>()
        {
            return match height {
                None => Ok(Self(ProofQuestion::Transaction(id))),
                Some(_) => {
                    Err(CliError::usage("a transaction has the height of its block").or_hint("leave --height out"))
                }
            };
        }
        if words.len() > PROOF_KEYS_MAX {
            return Err(CliError::usage(format!("one proof tells of at most {PROOF_KEYS_MAX} records")));
        }
        let names: Result<Vec<Provable>, _> = words.iter().map(|word| word.parse()).collect();
        let names =
            names.map_err(|error: galen_types::provable::ProvableParseError| CliError::usage(error.to_string()))?;
        Ok(Self(ProofQuestion::State { names, height }))
    }

    pub(crate) fn question(&self) -> ProofQuestion {
        self.0.clone()
    }
}

/// The question that asks for the grants too which lists of grants in the answer name; `None` when it did, or there are
/// too many for one proof.
pub(crate) fn with_grants(question: &ProofQuestion, verdict: &Verdict) -> Option<ProofQuestion> {
    let ProofQuestion::State { names, height } = question else { return None };
    let mut wanted = names.clone();
    for fact in &verdict.facts {
        let Fact::Present { name, value: Some(Value::List(ids)), .. } = fact else { continue };
        if !name.starts_with("grants:") {
            continue;
        }
        for id in ids.iter().filter_map(|id| id.as_text()?.parse().ok()) {
            let grant = Provable::Grant(GrantId(id));
            if !wanted.contains(&grant) {
                wanted.push(grant);
            }
        }
    }
    let more = wanted.len() > names.len() && wanted.len() <= PROOF_KEYS_MAX;
    more.then_some(ProofQuestion::State { names: wanted, height: *height })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], height: Option<u64>) -> Result<Asked, CliError> {
        Asked::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), height)
    }

    #[test]
    fn a_transaction_or_names_are_asked_for() {
        let id = "ab".repeat(32);
        assert!(matches!(read(&[&id], None).unwrap().question(), ProofQuestion::Transaction(_)));
        assert!(read(&[&id], Some(1)).is_err());
        assert!(read(&[&id, "parameters"], None).is_err(), "a transaction stands alone");
        let ProofQuestion::State { names, height } =
            read(&["parameters", "member:harlem"], Some(7)).unwrap().question()
        else {
            panic!()
        };
        assert_eq!((names.len(), height), (2, Some(7)));
        let error = read(&["grants:nobody"], None).unwrap_err();
        assert!(error.to_string().contains("grants:alice@harlem:mississippi/opt"), "{error}");
    }
}
