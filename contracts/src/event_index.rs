//! How events are found again: index entries without values, for the ledger to keep beside the blocks. They are derived
//! from receipts, so they are no part of the state.
//!
//! | tag | by | parts |
//! |---|---|---|
//! | 01 | height (all events) | |
//! | 02 | dataset | member, dataset |
//! | 03 | operator | signer tag (1 account, 2 node), member, name |
//! | 04 | member: the operator's, and that of what it is about | member |
//! | 05 | operation | operation u8 |
//!
//! Names end in a zero byte, as in [`crate::keys`]. Every key ends in the event's position: height u64, transaction
//! u32, event u32, big-endian, so that entries come in the order of happening.

use std::collections::BTreeSet;

use galen_types::receipt::Operation;
use galen_types::{DatasetName, Encoding, Event, MemberName, Receipt, Signer, Slug};

/// Where an event stands: in which block, transaction and place among its receipt's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// The block's height.
    pub height: u64,
    /// The transaction's place in the block, from 0.
    pub transaction: u32,
    /// The event's place in the receipt, from 0.
    pub event: u32,
}

/// Bytes of a position at the end of a key.
const POSITION_BYTES: usize = 16;

impl EventPosition {
    /// The position at the end of an entry's key; `None` when the key is too short to be an entry's.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let (_, position) = key.split_at(key.len().checked_sub(POSITION_BYTES)?);
        Some(Self {
            height: u64::from_be_bytes(position.get(..8)?.try_into().ok()?),
            transaction: u32::from_be_bytes(position.get(8..12)?.try_into().ok()?),
            event: u32::from_be_bytes(position.get(12..)?.try_into().ok()?),
        })
    }

    fn append_to(self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.height.to_be_bytes());
        key.extend_from_slice(&self.transaction.to_be_bytes());
        key.extend_from_slice(&self.event.to_be_bytes());
    }
}

/// Which events are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventQuery {
    /// All.
    All,
    /// About a dataset.
    Dataset(DatasetName),
    /// By an account or a node.
    Operator(Signer),
    /// By a member's accounts and nodes, or about it, its accounts, its nodes or its datasets.
    Member(MemberName),
    /// Of one kind.
    Operation(Operation),
}

impl EventQuery {
    /// What the keys of the entries start with.
    pub fn prefix(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(96);
        match self {
            Self::All => key.push(1),
            Self::Dataset(dataset) => {
                key.push(2);
                name(&mut key, &dataset.member);
                name(&mut key, &dataset.dataset);
            }
            Self::Operator(signer) => {
                key.push(3);
                match signer {
                    Signer::Account(account) => {
                        key.push(1);
                        name(&mut key, &account.member);
                        name(&mut key, &account.account);
                    }
                    Signer::Node(node) => {
                        key.push(2);
                        name(&mut key, &node.member);
                        name(&mut key, &node.node);
                    }
                }
            }
            Self::Member(member) => {
                key.push(4);
                name(&mut key, member);
            }
            Self::Operation(operation) => {
                key.push(5);
                // The canonical encoding of a vocabulary's word is its one-byte tag.
                key.extend(operation.encode());
            }
        }
        key
    }

    /// The key of the entry at a position; also the bound from which, or up to which, a scan goes on.
    pub fn key(&self, position: EventPosition) -> Vec<u8> {
        let mut key = self.prefix();
        position.append_to(&mut key);
        key
    }

    /// The least key of an event at a height or above.
    pub fn from_height(&self, height: u64) -> Vec<u8> {
        self.key(EventPosition { height, transaction: 0, event: 0 })
    }
}

fn name(key: &mut Vec<u8>, name: &Slug) {
    key.extend_from_slice(name.as_str().as_bytes());
    key.push(0);
}

/// The entries of a receipt's events, for the transaction at `transaction` (from 0) in the block at `height`.
pub fn index_entries(height: u64, transaction: u32, receipt: &Receipt) -> Vec<Vec<u8>> {
    let mut entries = Vec::with_capacity(receipt.events.len() * 5);
    for (event, place) in receipt.events.iter().zip(0u32..) {
        let position = EventPosition { height, transaction, event: place };
        entries.extend(queries_of(event).into_iter().map(|query| query.key(position)));
    }
    entries
}

/// Every query that finds an event.
fn queries_of(event: &Event) -> Vec<EventQuery> {
    let mut queries =
        vec![EventQuery::All, EventQuery::Operator(event.operator.clone()), EventQuery::Operation(event.operation)];
    let about = [
        event.dataset.as_ref().map(|dataset| &dataset.member),
        event.member.as_ref(),
        event.account.as_ref().map(|account| &account.member),
        event.node.as_ref().map(|node| &node.member),
    ];
    let members: BTreeSet<_> = about.into_iter().flatten().chain([event.operator.member()]).collect();
    queries.extend(members.into_iter().map(|member| EventQuery::Member(member.clone())));
    queries.extend(event.dataset.clone().map(EventQuery::Dataset));
    queries
}
