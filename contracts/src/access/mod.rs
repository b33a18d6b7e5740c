//! Access: contracts, requests, grants, and the decision that they make together.

pub(crate) mod authorise;
pub(crate) mod contracts;
pub(crate) mod downloads;
pub(crate) mod grants;
mod lifecycle;
mod matching;
pub(crate) mod requests;
mod terms;

pub use authorise::{Authorisation, Charge, authorise};
pub use grants::{grant_in_force, request_state_at};
