//! The running Galen node: wiring around the chain, its HTTP face and its telemetry.

pub mod http;
pub mod telemetry;
