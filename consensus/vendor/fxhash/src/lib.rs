//! The hasher that raft 0.7 takes from fxhash (unmaintained), from its maintained successor. It has no random state,
//! so raft's maps iterate in the same order on every run.

pub use rustc_hash::FxHasher;
