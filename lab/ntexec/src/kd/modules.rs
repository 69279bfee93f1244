//! Which image an address belongs to. Readable without a lock, also in a bug check.

use core::sync::atomic::{AtomicPtr, Ordering};

/// A loaded image, or the thunks made for one.
#[derive(Clone, Copy, Debug)]
pub struct ModuleInfo {
    /// First byte.
    pub base: usize,
    /// Length in bytes.
    pub size: usize,
    /// File name, filled up with zeroes.
    pub name: [u8; 32],
    /// Where its `.pdata` is, from `base`; 0 if it has none.
    pub pdata_rva: u32,
    /// Its length in bytes.
    pub pdata_len: u32,
    /// The driver that it counts for.
    pub driver: u32,
}

impl ModuleInfo {
    /// The file name.
    pub fn name(&self) -> &str {
        super::name_of(&self.name)
    }

    /// A name field from a string, cut at 31 bytes.
    pub fn name_field(name: &str) -> [u8; 32] {
        let mut field = [0; 32];
        let n = name.len().min(31);
        field[..n].copy_from_slice(&name.as_bytes()[..n]);
        field
    }
}

const MAX_MODULES: usize = 64;
static MODULES: [AtomicPtr<ModuleInfo>; MAX_MODULES] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_MODULES];

/// Adds a module. False if the table is full.
pub fn register(info: ModuleInfo) -> bool {
    // Never freed: a reader may hold it. There are as many as loads in a run.
    let new = alloc::boxed::Box::into_raw(alloc::boxed::Box::new(info));
    let free = |slot: &AtomicPtr<ModuleInfo>| {
        slot.compare_exchange(
            core::ptr::null_mut(),
            new,
            Ordering::AcqRel,
            Ordering::Relaxed,
        )
        .is_ok()
    };
    MODULES.iter().any(free)
}

/// Takes the modules that begin at `base` out.
pub fn unregister(base: usize) {
    for slot in &MODULES {
        let p = slot.load(Ordering::Acquire);
        // SAFETY: never freed.
        if unsafe { p.as_ref() }.is_some_and(|m| m.base == base) {
            slot.store(core::ptr::null_mut(), Ordering::Release);
        }
    }
}

/// The module that `address` lies in. Any IRQL.
pub fn find(address: usize) -> Option<ModuleInfo> {
    MODULES.iter().find_map(|slot| {
        // SAFETY: never freed.
        let m = unsafe { slot.load(Ordering::Acquire).as_ref() }?;
        (m.base..m.base + m.size).contains(&address).then_some(*m)
    })
}

/// The driver that code at `address` belongs to; 0 for the executive.
pub fn driver_of(address: usize) -> u32 {
    find(address).map_or(0, |m| m.driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_module_until_that_is_taken_out() {
        let m = ModuleInfo {
            base: 0x7000,
            size: 0x1000,
            name: ModuleInfo::name_field("a.sys"),
            pdata_rva: 0,
            pdata_len: 0,
            driver: 3,
        };
        assert!(register(m));
        assert_eq!(find(0x7FFF).map(|m| m.driver), Some(3));
        assert_eq!(find(0x7000).map(|m| m.name().len()), Some(5));
        assert!(find(0x8000).is_none());
        unregister(0x7000);
        assert_eq!(driver_of(0x7000), 0);
    }
}
