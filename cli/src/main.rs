//! galen
fn main() {}
