//! Console ring (`io/console.h`).

use core::sync::atomic::{AtomicU8, AtomicU32};

/// Bytes from the console.
pub const IN_SIZE: usize = 1024;
/// Bytes to the console.
pub const OUT_SIZE: usize = 2048;

/// The ring page (`struct xencons_interface`).
#[derive(Debug)]
#[repr(C)]
pub struct ConsoleInterface {
    /// From the console.
    pub input: [AtomicU8; IN_SIZE],
    /// To the console.
    pub output: [AtomicU8; OUT_SIZE],
    /// Input: written by us.
    pub in_cons: AtomicU32,
    /// Input: written by the backend.
    pub in_prod: AtomicU32,
    /// Output: written by the backend.
    pub out_cons: AtomicU32,
    /// Output: written by us.
    pub out_prod: AtomicU32,
}

impl Default for ConsoleInterface {
    fn default() -> Self {
        Self {
            input: [const { AtomicU8::new(0) }; IN_SIZE],
            output: [const { AtomicU8::new(0) }; OUT_SIZE],
            in_cons: AtomicU32::new(0),
            in_prod: AtomicU32::new(0),
            out_cons: AtomicU32::new(0),
            out_prod: AtomicU32::new(0),
        }
    }
}

abi! {
    constants {}
    layouts {
        ConsoleInterface = "struct xencons_interface", 3088 {
            input as "in" @ 0, output as "out" @ 1024, in_cons @ 3072, in_prod @ 3076, out_cons @ 3080, out_prod @ 3084,
        }
    }
}
