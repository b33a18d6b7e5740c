//! Ids of recorded transactions that could still be sent again. They are part of the state, so that a replay is refused
//! on every node and after every restart; an id is dropped once its transaction has expired.

use crate::execute::{BlockContext, Writes};
use crate::keys;
use crate::state::{StateError, StateRead};

/// What pruning came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The ids that go.
    pub deletions: Writes,
    /// Where the next block goes on: before it no id is left, and none comes there any more.
    pub next: Option<Vec<u8>>,
}

/// Deletes at most `limit` ids that expired before this block's time, the oldest first. The same whether the state is
/// the parent's or already holds this block's writes, since what this block records is valid until its time or later.
/// `after` is what an earlier block gave as [`Pruned::next`], where the caller knows it: the answer is the same without it,
/// but a store need not step over all that it deleted.
///
/// # Errors
/// [`StateError`] when the state cannot be read.
pub fn prune_live_ids(
    state: &dyn StateRead,
    block: &BlockContext,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Pruned, StateError> {
    let mut deletions = Writes::new();
    let page = state.scan(keys::live_ids().as_bytes(), after, limit)?;
    // A page may be shorter than asked for: only an id that is valid still, or an empty page, says that no more have expired.
    let mut is_all = page.is_empty();
    for (key, _) in page {
        let expired = keys::live_id_valid_until(&key).is_some_and(|valid_until| valid_until < block.time);
        if !expired {
            is_all = true;
            break;
        }
        deletions.insert(key, None);
    }
    let next = match is_all {
        // What a later block records is valid until that block's time or later.
        true => Some(keys::live_ids_from(block.time).as_bytes().to_vec()),
        false => deletions.keys().next_back().cloned(),
    };
    Ok(Pruned { deletions, next })
}
