//! Identifiers that are hashes: of a transaction, and of what a transaction created (a request, a grant, a job, a
//! proposal carries the id of the transaction that made it).

use std::fmt;
use std::str::FromStr;

use wincode::{SchemaRead, SchemaWrite};

use crate::hash::{Hash, HashParseError};

macro_rules! hash_identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
        pub struct $name(pub Hash);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = HashParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        crate::encoding::serde_as_text!(
            $name,
            stringify!($name),
            "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24"
        );
    };
}

// `#[derive(Hash)]` names the standard trait through the prelude; the type above is imported under the same name in
// the type namespace only.
hash_identifier!(
    /// The hash of a transaction's exact body bytes.
    TransactionId
);
hash_identifier!(
    /// An access request: the id of the transaction that filed it.
    RequestId
);
hash_identifier!(
    /// A grant: the id of the transaction that approved it.
    GrantId
);
hash_identifier!(
    /// A compute job: the id of the transaction that submitted it.
    JobId
);
hash_identifier!(
    /// A proposal that members vote on: the id of the transaction that made it.
    ProposalId
);
