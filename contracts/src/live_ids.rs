//! Ids of recorded transactions that could still be sent again. They are part of the state, so that a replay is refused
//! on every node and after every restart; an id is dropped once its transaction has expired.

use galen_types::Timestamp;

use crate::execute::{BlockContext, Writes};
use crate::keys;
use crate::state::{StateError, StateRead};

/// Deletes at most `limit` ids that expired before this block's time, the oldest first. The same whether the state is
/// the parent's or already holds this block's writes, since what this block records is valid until its time or later.
/// `after` is the last key that an earlier block deleted, or [`live_ids_from`] its time, where the caller knows it: every id
/// before it is gone, and no later block adds one there, so the answer is the same without it; but a store need not step over what it deleted.
///
/// # Errors
/// [`StateError`] when the state cannot be read.
pub fn prune_live_ids(
    state: &dyn StateRead,
    block: &BlockContext,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Writes, StateError> {
    let mut deletions = Writes::new();
    for (key, _) in state.scan(keys::live_ids().as_bytes(), after, limit)? {
        let expired = keys::live_id_valid_until(&key).is_some_and(|valid_until| valid_until < block.time);
        if !expired {
            break;
        }
        deletions.insert(key, None);
    }
    Ok(deletions)
}

/// The key before which no id is left after a block at this time that pruned fewer than it might have: to be given to the
/// next block's [`prune_live_ids`], also where nothing had expired.
pub fn live_ids_from(time: Timestamp) -> Vec<u8> {
    keys::live_ids_from(time).as_bytes().to_vec()
}
