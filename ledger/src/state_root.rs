//! The root of a state from its content alone.

use galen_types::Hash;

use crate::commit::StateWrite;
use crate::error::LedgerError;
use crate::store::bytes::BucketPath;
use crate::tree::levels::Levels;
use crate::tree::prepare::{BucketUpdate, NodeSource, by_bucket, changes_of};

/// Nothing is stored yet.
struct Nothing;

impl NodeSource for Nothing {
    fn node(&self, _path: &BucketPath) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }
}

/// The root of the state that these writes make of an empty one, in a tree of 2^`state_bucket_bits` buckets. They are in
/// ascending order of key, each key once.
///
/// # Errors
/// [`LedgerError::WritesUnsorted`], [`LedgerError::BucketBits`].
pub fn state_root_of(writes: &[StateWrite], state_bucket_bits: u8) -> Result<Hash, LedgerError> {
    if !(1..=24).contains(&state_bucket_bits) {
        return Err(LedgerError::BucketBits(state_bucket_bits));
    }
    if !writes.is_sorted_by(|left, right| left.0 < right.0) {
        return Err(LedgerError::WritesUnsorted);
    }
    let changes = changes_of(writes);
    let mut update = BucketUpdate::new(&Nothing, state_bucket_bits);
    let mut leaves = Vec::new();
    for (bucket, changes) in by_bucket(&changes, state_bucket_bits) {
        leaves.push((bucket, update.bucket(bucket, None, changes)?));
    }
    Ok(Levels::new(state_bucket_bits).prepare(leaves).root)
}
