//! Whole testnets of real processes: the main job, and what must hold when nodes die, disks fill, strangers knock and
//! clients misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

mod abuse;
mod by_command_line;
mod crashes;
mod crowd;
mod disk_full;
mod evidence;
mod half_way;
mod histories;
mod history;
mod interrupted_join;
mod joining;
mod leaving;
mod long_absence;
mod lost_answer;
mod main_job;
mod network_faults;
mod node_check;
mod partitions;
mod proofs;
mod recovery;
mod replacing;
mod rot;
mod saturation;
mod strangers;
mod support;
mod testnet_commands;
