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
/// Most resets of administrators' keys that passed and wait to come into force; of a change of parameters there is one at
/// most, and it takes none of their places. All of them can come due in one block.
pub const RESETS_SCHEDULED_MAX: usize = 64;
/// Least block time between two changes of a voting node that its member makes alone (a number in place of a former one, a
/// key in the voter set), milliseconds. Each may begin an epoch, which everybody who follows the chain from its genesis
/// has to step through for ever.
pub const VOTING_CHANGE_MS_MIN: u64 = 60_000;
/// How far an applicant's clock may be from block time, milliseconds.
pub const APPLICATION_AGE_MS_MAX: u64 = 3_600_000;
/// Most overdue applications that one call drops: each is a record written and an event.
pub const APPLICATIONS_DROPPED_MAX: usize = 16;
/// Most nodes that order, so also most voters.
pub const VOTERS_MAX: usize = galen_types::member::ORDERING_NODES_MAX;
/// Most numbers in ordering that stay listed after their nodes were taken out. Ordering goes on without a node within
/// seconds, so that only changes of many nodes at once can come near it.
pub const RETIRED_NUMBERS_MAX: usize = 64;
/// Longest explanation in a receipt, bytes of ASCII.
pub const EXPLANATION_BYTES_MAX: usize = 512;
/// Largest record of the state, bytes: above every record that calls of bounded size can build.
pub const STATE_VALUE_BYTES_MAX: usize = 16 << 20;
