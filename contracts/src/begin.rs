//! What happens at the start of a block, before its transactions: changes that passed earlier and are due come into
//! force, and each leaves an event. No transaction of the block did them, so their events stand first in the receipt of
//! the block's first transaction ([`Recorded::after`](crate::Recorded::after)): there they are certified, indexed and found
//! like any other. A block without a transaction is not made, and what is due waits for the next.

use galen_types::Event;

use crate::changes::Changes;
use crate::execute::{BlockContext, Writes};
use crate::members::schedule;
use crate::state::{StateError, StateRead};

/// What the start of a block changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Begun {
    /// What changes in the state. Signatures of the block's transactions are judged, and the transactions executed, on top
    /// of it.
    pub writes: Writes,
    /// What happened.
    pub events: Vec<Event>,
}

/// Puts in force what is due in a block. Reads one record where nothing is. `state` is the parent's.
///
/// # Errors
/// [`StateError`] when the state cannot be used.
pub fn begin_block(state: &dyn StateRead, block: &BlockContext) -> Result<Begun, StateError> {
    let mut changes = Changes::new(state);
    let events = schedule::put_in_force(&mut changes, block.height, block.time)?;
    Ok(Begun { writes: changes.writes, events })
}
