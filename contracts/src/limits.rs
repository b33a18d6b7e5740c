//! Bounds of everything that comes from outside. Those that a consortium may want to change are parameters of the chain
//! ([`galen_types::Parameters`]); these are what the software works within.

/// Most columns of a table, of an access request, or of a rule.
pub const COLUMNS_MAX: usize = 4_096;
/// Most entries of any other list of a rule, of terms or of a version: members, accounts, data-use terms, ...
pub const LIST_MAX: usize = 256;
/// Most datasets of a job: each is authorised, pinned and reported on its own.
pub const JOB_DATASETS_MAX: usize = 64;
/// Most columns that a job computes over.
pub const JOB_COLUMNS_MAX: usize = 64;
/// Most columns that a filter reads: as many as it may have conditions.
pub const JOB_FILTER_COLUMNS_MAX: usize = 16;
/// Most grants of one account on one dataset that are in force at a time; each access looks at all of them.
pub const GRANTS_ACTIVE_MAX: usize = 64;
/// Most proposals of one member that are open at a time.
pub const PROPOSALS_OPEN_MAX: usize = 16;
/// Longest explanation in a receipt, bytes of ASCII.
pub const EXPLANATION_BYTES_MAX: usize = 512;
/// Largest record of the state, bytes: above every record that calls of bounded size can build.
pub const STATE_VALUE_BYTES_MAX: usize = 16 << 20;
