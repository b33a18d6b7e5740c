//! The message types of raft 0.7 as plain structs, with the accessors that raft calls. Field meanings are those of
//! raft's `eraftpb.proto`.

mod accessors;
mod codec;
mod conf_change;
mod conf_state;
pub mod eraftpb;

pub use conf_change::{ConfChangeI, new_conf_change_single};
pub use conf_state::conf_state_eq;

/// The types that raft re-exports.
pub mod prelude {
    pub use crate::eraftpb::{
        ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2,
        ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata,
    };
}
