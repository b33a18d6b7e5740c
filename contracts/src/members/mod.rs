//! Members' affairs: their accounts, and the proposals that members vote on.

pub(crate) mod accounts;
pub(crate) mod proposals;
