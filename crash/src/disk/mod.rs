//! A folder as a disk sees it: which changes of files and names came in which order, which syncs made them durable, and the
//! folders that a loss of power may leave.
//!
//! The rules are the weakest that POSIX allows, not those of one file system: `fsync` or `fdatasync` of a file makes durable
//! what was written to it before the call began, and no name; `fsync` of a folder makes its names durable, and no bytes.
//! A rename between two folders is durable with a sync of either. What a failed sync left behind is never durable by a
//! later one: the kernel takes those pages for clean (Rebello et al., "Can Applications Recover from fsync Failures?", ATC
//! 2020).

mod image;
mod recording;

pub use image::{Image, Loss};
pub use recording::{Change, Recording};
