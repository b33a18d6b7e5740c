//! The vocabulary of Galen: names, keys and signatures, transactions and calls, blocks, receipts, and the canonical
//! encoding of all of them. No I/O happens here; every other crate speaks in these types.
//!
//! - [`encoding`]: one value, one encoding; exact, bounded decoding.
//! - [`hash`]: BLAKE3 with a versioned context string per purpose.
//! - [`name`]: members, accounts, nodes, datasets and their versions.
//! - [`signature`]: suites, single and batch verification by one rule (ZIP-215).
//! - [`transaction`], [`call`]: what is signed and what it asks for.
//! - [`block`], [`receipt`], [`certificate`]: what the chain makes of it.
//! - [`merkle`]: the trees behind the roots in a header; [`proof`]: what is proven from them offline.
//! - [`vocabulary`]: purposes, data-use terms, statistics, filters, reasons.

pub mod access;
pub mod api;
pub mod application;
pub mod block;
pub mod call;
pub mod certificate;
pub mod dataset;
pub mod encoding;
pub mod genesis;
pub mod hash;
pub mod identifier;
pub mod job;
pub mod member;
pub mod merkle;
pub mod name;
pub mod parameters;
pub mod proof;
pub mod proposal;
pub mod provable;
pub mod receipt;
pub mod recovery;
pub mod request_signature;
pub mod signature;
pub mod time;
pub mod transaction;
pub mod vocabulary;

pub use block::{Batch, Block, BlockHeader};
pub use call::Call;
pub use certificate::{Certificate, HeaderSignature, VoterSet};
pub use encoding::{DecodeError, Encoding};
pub use genesis::Genesis;
pub use hash::Hash;
pub use identifier::{GrantId, JobId, ProposalId, RequestId, TransactionId};
pub use name::{AccountName, ColumnName, DatasetName, MemberName, NodeName, Signer, Slug, VersionName};
pub use parameters::Parameters;
pub use proof::Proof;
pub use provable::Provable;
pub use receipt::{Event, Outcome, Receipt};
pub use signature::{PublicKey, SecretKey, Signature};
pub use time::Timestamp;
pub use transaction::{DecodedTransaction, SignedTransaction, TransactionBody};
