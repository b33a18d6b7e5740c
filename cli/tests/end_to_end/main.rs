//! Whole testnets of real processes: the main job, and what must hold when nodes die, disks fill, strangers knock and
//! clients misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod abuse;
mod crashes;
mod disk_full;
mod long_absence;
mod main_job;
mod strangers;
mod support;
