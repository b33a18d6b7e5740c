//! Seeds of every scenario, seeds that once found something, and single stories.

mod faults;
mod pinned;
mod snapshots;
