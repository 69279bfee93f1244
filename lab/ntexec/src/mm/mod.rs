//! Memory: physical pages, kernel mappings, MDLs.

pub mod contiguous;
pub mod grants;
pub mod image;
pub mod iospace;
pub mod mdl;
pub mod pages;
pub mod phys;
pub mod routine;
pub mod va;

pub use contiguous::*;
pub use iospace::*;
pub use mdl::*;
pub use pages::*;
pub use routine::MmGetSystemRoutineAddress;

use crate::machine::{PAGE_SIZE, machine};

/// Can `address` be read?
pub fn is_mapped(address: usize) -> bool {
    machine().translate(address).is_some()
}

/// Where physical address `pa` is mapped, with all RAM.
pub fn direct(pa: u64) -> *mut u8 {
    (machine().direct_map() + pa as usize) as *mut u8
}

/// The physical address of `va`, which is mapped.
pub fn physical(va: usize) -> Option<u64> {
    let direct = machine().direct_map();
    let ram = machine().memory_map().last().map_or(0, |r| r.base + r.len) as usize;
    // The quick way for what most addresses are.
    if (direct..direct + ram).contains(&va) {
        return Some((va - direct) as u64);
    }
    machine().translate(va)
}

/// The page that `address` lies on.
pub const fn page_of(address: usize) -> usize {
    address & !(PAGE_SIZE - 1)
}

join_exports! { contiguous, iospace, mdl, pages, routine }
