//! Runs commands in the lab's dom0.
fn main() {}
