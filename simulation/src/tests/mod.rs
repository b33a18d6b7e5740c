//! Seeds of every scenario, and single stories.

mod faults;
