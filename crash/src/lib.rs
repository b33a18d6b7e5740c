//! Crashes real processes at every point where they change files, and looks at what is left. Linux on x86-64 only: elsewhere
//! the crate is empty.
//!
//! - [`trace`]: a process under ptrace(2): each call that changes files, counted, recorded, stopped or failed.
//! - [`disk`]: what was written and what was synced, and from that the folders that a loss of power may leave.
//! - [`life`]: what a node does while it is watched, what it acknowledges, and whether it still knows.
//! - [`campaign`]: points tried one after the other: kills, losses of power, failing disks, altered bytes.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

pub mod campaign;
pub mod disk;
pub mod life;
pub mod trace;
