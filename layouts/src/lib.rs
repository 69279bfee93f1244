//! Compares what the crates declare of Windows' kernel (structures, constants, prototypes) with the headers of a WDK.

pub mod abi;
pub mod compare;
pub mod headers;
pub mod ours;
