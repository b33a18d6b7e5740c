//! What the tests of one replica share with the simulation.

use galen_chain::verify::{VerifyReport, verify_folder};
pub(crate) use galen_simulation::consortium::*;
use galen_types::Genesis;

pub(crate) fn verify(folder: &std::path::Path, genesis: &Genesis, execute: bool) -> VerifyReport {
    let scratch = self::folder();
    let scratch = scratch.path().join("scratch");
    verify_folder(folder, genesis, execute.then_some(scratch.as_path()), &mut |_| {}).unwrap()
}
