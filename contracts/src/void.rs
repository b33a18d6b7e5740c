//! Void transactions: what is never recorded, because nobody is bound by it or it would let strangers fill the chain.

use galen_types::{MemberName, NodeName, Signer, Timestamp};

/// Why a transaction is void.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Signed for another chain.
    #[error("it is signed for another chain; take the genesis hash from this node's status")]
    WrongChain,
    /// Its time is over.
    #[error("it was valid until {valid_until} and block time is {time}; sign it again")]
    Expired {
        /// Its last block time.
        valid_until: Timestamp,
        /// The block's time.
        time: Timestamp,
    },
    /// Valid for longer than ids are kept.
    #[error("it is valid for longer than {horizon_ms} ms from now; sign it for less")]
    HorizonExceeded {
        /// The chain's horizon.
        horizon_ms: u64,
    },
    /// Recorded already.
    #[error("it is recorded already; ask for its receipt")]
    Duplicate,
    /// Nobody known.
    #[error("signer `{0}` is not registered; an administrator of its member adds accounts")]
    UnknownSigner(Signer),
    /// An account that does not take part.
    #[error("signer `{0}` is not active; an administrator of its member can restore it")]
    SuspendedSigner(Signer),
    /// A node that was taken out.
    #[error("node `{0}` was removed for good; register the machine under another name")]
    RemovedNode(NodeName),
    /// A member that left.
    #[error("member `{0}` has left for good")]
    LeftMember(MemberName),
    /// A member that does not take part.
    #[error("member `{0}` is not active; the other members can restore it by vote")]
    SuspendedMember(MemberName),
    /// Too many refused calls in this minute.
    #[error("more than {limit} calls of `{signer}` were refused within a minute; mend the calls and wait a minute")]
    RefusalQuotaExhausted {
        /// Whose.
        signer: Signer,
        /// Refusals recorded per minute.
        limit: u32,
    },
}

impl VoidReason {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongChain => "transaction-wrong-chain",
            Self::Expired { .. } => "transaction-expired",
            Self::HorizonExceeded { .. } => "transaction-horizon-exceeded",
            Self::Duplicate => "transaction-duplicate",
            Self::UnknownSigner(_) => "transaction-unknown-signer",
            Self::SuspendedSigner(_) => "transaction-suspended-signer",
            Self::RemovedNode(_) => "transaction-removed-node",
            Self::LeftMember(_) => "transaction-left-member",
            Self::SuspendedMember(_) => "transaction-suspended-member",
            Self::RefusalQuotaExhausted { .. } => "transaction-refusal-quota-exhausted",
        }
    }
}
