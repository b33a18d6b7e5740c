//! What nodes send each other about files.

use galen_types::{DatasetName, TransactionId};
use wincode::{SchemaRead, SchemaWrite};

use super::card::CardOpening;

/// Most bytes of a request about files: the longest names of [`CARDS_MAX`] datasets.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Most cards asked for at once.
pub(crate) const CARDS_MAX: usize = 256;

/// Bytes of cards after which an answer holds no more of them; below the network's limit for answers.
pub(crate) const CARDS_BYTES_MAX: usize = 4 << 20;

/// Asks the owner's node for the file key that a certified `Download` releases. Answered by the bytes of a
/// [`WrappedKey`](galen_filestore::WrappedKey) for the account that made the call.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct KeyRequest {
    /// The `Download`.
    pub(crate) transaction: TransactionId,
}

/// Asks the owner's node for a range of the ciphertext that a certified `Download` releases.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct ContentRequest {
    /// The `Download`.
    pub(crate) transaction: TransactionId,
    /// First byte.
    pub(crate) start: u64,
    /// First byte that is not wanted any more.
    pub(crate) end: u64,
}

/// Asks the owner's node for cards.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct CardsRequest {
    /// Of these datasets, at most [`CARDS_MAX`].
    pub(crate) datasets: Vec<DatasetName>,
}

/// Cards in the order asked, as many as asked; `None` where the node has none or the answer was full.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(crate) struct CardsAnswer {
    /// The cards.
    pub(crate) cards: Vec<Option<CardOpening>>,
}
