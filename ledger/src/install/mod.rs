//! Starting from a snapshot: parts are collected in a folder, a new ledger is built from them beside the old one, and
//! takes its place all or nothing.
//!
//! ```text
//! snapshots/incoming/    manifest, proof, offered-by, part-0000000 ...: what was received and checked; survives kill -9
//! ledger/                the ledger that the node opens
//! ledger.install-building/  the new ledger while it is built; thrown away after a crash
//! ledger.install-new/       the new ledger, whole
//! ledger.install-old/       the ledger that was replaced; removed at once
//! ```
//!
//! 1. [`Incoming`] takes parts in any order, from any peer that offers the same manifest.
//! 2. [`Incoming::build`] makes `building` while the node still runs on the old ledger.
//! 3. [`Built::put_in_place`], once the node has closed the old ledger, carries over what a voter must never forget: its
//!    own signatures, evidence, and the number under which it ordered. Then it renames: `building` to `new`, `ledger` to
//!    `old`, `new` to `ledger`.
//!
//! [`Ledger::open`](crate::Ledger::open) ends what a crash interrupted. [`settle`]: where there is no `ledger`, `new` takes
//! its place, else `old` comes back. Everything else is removed once the ledger is open, so never by a process that only
//! finds that another runs on it. A `new` that finds a `ledger` beside it is dropped, because that ledger may sign before
//! it is replaced: it is built again from the parts, which are still there.

mod build;
mod incoming;
mod partition;
mod place;
mod set_aside;

pub use build::{InstallProgress, InstallStep};
pub use incoming::Incoming;
pub(crate) use place::remove_leftovers;
pub use place::{Built, settle};
pub use set_aside::{carry_sound_evidence, set_aside};
