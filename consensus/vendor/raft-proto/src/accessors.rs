//! The accessors that raft calls: protobuf's generated names over plain fields.

use bytes::Bytes;

use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata,
};

/// `get_` and `set_` of a field that is copied.
macro_rules! copied {
    ($type:ty { $($get:ident $set:ident $field:ident: $value:ty),* $(,)? }) => {
        impl $type {$(
            #[doc = concat!("`", stringify!($field), "`.")]
            #[must_use]
            pub fn $get(&self) -> $value { self.$field }
            #[doc = concat!("Sets `", stringify!($field), "`.")]
            pub fn $set(&mut self, value: $value) { self.$field = value; }
        )*}
    };
}

/// `get_`, `mut_`, `set_` and `take_` of a field that is moved.
macro_rules! moved {
    ($type:ty { $($get:ident $borrow:ident $set:ident $take:ident $field:ident: $value:ty => $view:ty),* $(,)? }) => {
        impl $type {$(
            #[doc = concat!("`", stringify!($field), "`.")]
            #[must_use]
            pub fn $get(&self) -> &$view { &self.$field }
            #[doc = concat!("`", stringify!($field), "`, to change.")]
            pub fn $borrow(&mut self) -> &mut $value { &mut self.$field }
            #[doc = concat!("Sets `", stringify!($field), "`.")]
            pub fn $set(&mut self, value: $value) { self.$field = value; }
            #[doc = concat!("Takes `", stringify!($field), "`, leaving it empty.")]
            pub fn $take(&mut self) -> $value { std::mem::take(&mut self.$field) }
        )*}
    };
}

copied!(Entry {
    get_entry_type set_entry_type entry_type: EntryType,
    get_term set_term term: u64,
    get_index set_index index: u64,
});
moved!(Entry {
    get_data mut_data set_data take_data data: Bytes => [u8],
    get_context mut_context set_context take_context context: Bytes => [u8],
});
copied!(Message {
    get_msg_type set_msg_type msg_type: MessageType,
    get_index set_index index: u64,
    get_commit set_commit commit: u64,
});
moved!(Message {
    get_entries mut_entries set_entries take_entries entries: Vec<Entry> => [Entry],
    get_snapshot mut_snapshot set_snapshot take_snapshot snapshot: Snapshot => Snapshot,
    get_context mut_context set_context take_context context: Bytes => [u8],
});
moved!(Snapshot {
    get_metadata mut_metadata set_metadata take_metadata metadata: SnapshotMetadata => SnapshotMetadata,
});
moved!(SnapshotMetadata {
    get_conf_state mut_conf_state set_conf_state take_conf_state conf_state: ConfState => ConfState,
});
moved!(ConfState {
    get_voters mut_voters set_voters take_voters voters: Vec<u64> => [u64],
    get_learners mut_learners set_learners take_learners learners: Vec<u64> => [u64],
    get_voters_outgoing mut_voters_outgoing set_voters_outgoing take_voters_outgoing voters_outgoing: Vec<u64> => [u64],
    get_learners_next mut_learners_next set_learners_next take_learners_next learners_next: Vec<u64> => [u64],
});
copied!(ConfChange {
    get_change_type set_change_type change_type: ConfChangeType,
});
copied!(ConfChangeSingle {
    get_change_type set_change_type change_type: ConfChangeType,
});
copied!(ConfChangeV2 {
    get_transition set_transition transition: ConfChangeTransition,
});
moved!(ConfChangeV2 {
    get_changes mut_changes set_changes take_changes changes: Vec<ConfChangeSingle> => [ConfChangeSingle],
    get_context mut_context set_context take_context context: Bytes => [u8],
});
