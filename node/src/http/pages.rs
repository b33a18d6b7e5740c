//! Pages of records: only what the reader may see and asked for, found with bounded work.

use galen_contracts::limits::STATE_VALUE_BYTES_MAX;
use galen_contracts::{StateError, StateRead};
use galen_types::api::Page;
use galen_types::{Encoding, Hash};

use super::limits::{PREFIX_DIGITS_MIN, RECORDS_EXAMINED_MAX};
use super::refusal::Refusal;

/// Records read at a time.
const BATCH: usize = 250;

/// Gathers a page. `fetch` reads records after a key, at most so many; fewer mean that there are no more. `key` names a
/// record's place; `keep` judges it.
pub(crate) fn gather<T, K: ToString>(
    height: u64,
    start_after: Option<K>,
    limit: usize,
    mut fetch: impl FnMut(Option<&K>, usize) -> Result<Vec<T>, Refusal>,
    key: impl Fn(&T) -> K,
    mut keep: impl FnMut(&T) -> Result<bool, Refusal>,
) -> Result<Page<T>, Refusal> {
    let mut items = Vec::new();
    let mut place = start_after;
    let mut last_kept: Option<String> = None;
    let mut examined = 0;
    loop {
        let records = fetch(place.as_ref(), BATCH)?;
        let more = records.len() >= BATCH;
        for record in records {
            examined += 1;
            let here = key(&record);
            if keep(&record)? {
                if items.len() == limit {
                    return Ok(Page { height, items, next: last_kept });
                }
                last_kept = Some(here.to_string());
                items.push(record);
            }
            place = Some(here);
        }
        if !more {
            return Ok(Page { height, items, next: None });
        }
        if examined >= RECORDS_EXAMINED_MAX {
            // What is kept ends before the place examined last, so the next page starts after the latter.
            let next = if items.len() == limit { last_kept } else { place.map(|place| place.to_string()) };
            return Ok(Page { height, items, next });
        }
    }
}

/// The table that a record's key belongs to: a key is a one-byte table tag and, for records with ids, the id.
fn table_of(key_of_any_id: &[u8]) -> &[u8] {
    key_of_any_id.get(..1).unwrap_or_default()
}

/// All records of a table of ids, in the order of their ids, after an id.
pub(crate) fn records_by_id<T: Encoding>(
    state: &dyn StateRead,
    key_of_any_id: &[u8],
    start_after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<T>, StateError> {
    let table = table_of(key_of_any_id);
    let start = start_after.map(|id| [table, id.as_bytes()].concat());
    let rows = state.scan(table, start.as_deref(), limit)?;
    rows.iter().map(|(_, value)| T::decode(value, STATE_VALUE_BYTES_MAX).map_err(StateError::new)).collect()
}

/// Matches that are looked at to resolve a shortened id.
const MATCHES_MAX: usize = 1_000;

/// The record that an id, or the unique beginning of one, names among those that the reader sees.
pub(crate) fn resolve<T: Encoding>(
    state: &dyn StateRead,
    key_of_any_id: &[u8],
    what: &'static str,
    text: &str,
    id_of: impl Fn(&T) -> Hash,
    sees: impl Fn(&T) -> bool,
) -> Result<T, Refusal> {
    let digits = (PREFIX_DIGITS_MIN..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !digits {
        return Err(Refusal::ParameterInvalid {
            name: "id",
            problem: format!("give {PREFIX_DIGITS_MIN} to 64 lower-case hexadecimal digits"),
        });
    }
    let whole_bytes = text.get(..text.len() / 2 * 2).unwrap_or_default();
    let mut prefix = table_of(key_of_any_id).to_vec();
    prefix.extend(hex::decode(whole_bytes).map_err(|_| Refusal::NotFound(what))?);
    let mut found = None;
    for (_, value) in state.scan(&prefix, None, MATCHES_MAX)? {
        let record = T::decode(&value, STATE_VALUE_BYTES_MAX).map_err(StateError::new)?;
        if !id_of(&record).to_string().starts_with(text) || !sees(&record) {
            continue;
        }
        if found.is_some() {
            return Err(Refusal::Ambiguous { what, prefix: text.to_owned() });
        }
        found = Some(record);
    }
    found.ok_or(Refusal::NotFound(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(limit: usize, start_after: Option<u64>, of: u64, keep: impl Fn(u64) -> bool) -> Page<u64> {
        let fetch = |after: Option<&u64>, limit: usize| {
            let first = after.map_or(0, |after| after + 1);
            Ok((first..of).take(limit).collect::<Vec<_>>())
        };
        gather(1, start_after, limit, fetch, |number| *number, |number| Ok(keep(*number))).unwrap()
    }

    #[test]
    fn pages_join_to_the_whole_and_end() {
        let (mut all, mut next, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = numbers(100, next, 2_000, |number| number % 3 == 0);
            all.extend(page.items);
            pages += 1;
            match page.next {
                Some(text) => next = Some(text.parse().unwrap()),
                None => break,
            }
        }
        assert_eq!(all, (0..2_000).filter(|number| number % 3 == 0).collect::<Vec<_>>());
        assert_eq!(pages, 7);
    }

    #[test]
    fn the_last_full_page_says_that_it_is_the_last() {
        assert_eq!(numbers(10, None, 10, |_| true).next, None);
        assert_eq!(numbers(10, None, 11, |_| true).next.as_deref(), Some("9"));
        assert_eq!(numbers(10, Some(9), 10, |_| true).items, Vec::<u64>::new());
    }

    #[test]
    fn a_search_that_matches_little_stops_and_says_where_to_go_on() {
        let page = numbers(10, None, 1_000_000, |number| number == 5);
        assert_eq!(page.items, [5]);
        let next: u64 = page.next.unwrap().parse().unwrap();
        assert!((9_000..20_000).contains(&next), "{next}");
    }
}
