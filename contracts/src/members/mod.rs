//! Members' affairs: who belongs to the consortium, their accounts and nodes, who orders and certifies, and what the
//! members vote on.
//!
//! | file | owns |
//! |---|---|
//! | `accounts.rs` | accounts of a member |
//! | `applications.rs` | an institution's application, brought by a member's node; its admission |
//! | `standing.rs` | suspending, restoring, removing, leaving |
//! | `proposals.rs` | proposals and ballots; `effects.rs` what a proposal does once it passed; `schedule.rs` when |
//! | `resets.rs` | a lost administrator's key |
//! | `nodes.rs` | nodes of a member; `ordering.rs` the way of a voter; `voters.rs` the voter set |
//! | `signing_keys.rs` | each key is somebody's once; keys that a proposal names are kept for it |
//! | `recovery.rs` | going on without a lost quorum |

pub(crate) mod accounts;
pub(crate) mod applications;
mod effects;
pub(crate) mod nodes;
pub(crate) mod ordering;
pub(crate) mod proposals;
pub(crate) mod recovery;
pub(crate) mod resets;
pub(crate) mod schedule;
mod signing_keys;
pub(crate) mod standing;
mod voters;
