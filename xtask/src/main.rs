//! One command line for building, checking, running and testing.
fn main() {}
