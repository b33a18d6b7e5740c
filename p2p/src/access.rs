//! How much a registered peer may do here.

/// What the network lets a registered peer do, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    #[default]
    Full,
    /// Raft frames only, and what belongs to ordering of requests to this node
    /// ([`REQUEST_KIND_ORDERING`](crate::limits::REQUEST_KIND_ORDERING)). For a node that the chain has removed while the
    /// ordering group still names it: its vote may be what lets the group go on without it. Everything else is refused
    /// with code `leaving`.
    OrderingOnly,
}

/// The code of what is refused to, and not asked of, a peer with [`Access::OrderingOnly`].
pub(crate) const LEAVING: &str = "leaving";

/// What such a peer is told.
pub(crate) const LEAVING_TEXT: &str =
    "the chain has removed your node; until the ordering group is without it, only ordering goes on";
