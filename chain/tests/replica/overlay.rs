//! The overlay reads like one map, whatever is written, deleted, and however short the pages of the state below are.

use std::collections::BTreeMap;

use galen_chain::overlay::Overlay;
use galen_contracts::{StateError, StateRead};

use super::support::Random;

/// A state whose scans give at most three rows.
struct ShortPages(BTreeMap<Vec<u8>, Vec<u8>>);

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn scan(map: &BTreeMap<Vec<u8>, Vec<u8>>, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Rows {
    map.iter()
        .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after))
        .take(limit)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl StateRead for ShortPages {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StateError> {
        Ok(scan(&self.0, prefix, after, limit.min(3)))
    }
}

#[test]
fn it_reads_like_one_map() {
    let mut random = Random(1);
    let key =
        |random: &mut Random| -> Vec<u8> { (0..1 + random.below(3)).map(|_| b'a' + random.below(3) as u8).collect() };
    for _ in 0..2_000 {
        let below: BTreeMap<_, _> = (0..random.below(20)).map(|at| (key(&mut random), vec![at as u8])).collect();
        let mut reference = below.clone();
        let below = ShortPages(below);
        let mut overlay = Overlay::new(&below);
        for at in 0..random.below(15) {
            let (key, value) = (key(&mut random), random.chance(600).then(|| vec![100 + at as u8]));
            match &value {
                Some(value) => reference.insert(key.clone(), value.clone()),
                None => reference.remove(&key),
            };
            overlay.write([(key, value)]);
        }
        let prefix = if random.chance(300) { Vec::new() } else { key(&mut random) };
        let after = random.chance(500).then(|| key(&mut random));
        let limit = random.below(12);
        let found = overlay.scan(&prefix, after.as_deref(), limit).unwrap();
        assert_eq!(found, scan(&reference, &prefix, after.as_deref(), limit), "{prefix:?} after {after:?}");
        assert_eq!(overlay.get(&prefix).unwrap(), reference.get(&prefix).cloned());
        assert!(overlay.into_writes().is_sorted_by(|left, right| left.0 < right.0));
    }
}
