//! Is a page that is being freed still granted to another domain?
//!
//! A driver for Xen maps its grant table's frames like other memory: by an MDL, or as device memory. The executive knows
//! these mappings, and a frame of version 1 entries (xen/include/public/grant_table.h: 16 bits of flags, a domain, a frame
//! number; 512 a page) is told from other contents by what its entries may hold. Only memory that may be read without
//! effect is looked at: RAM, and prefetchable PCI memory, where the platform device's memory lies.

use crate::check;
use crate::machine::{PAGE_SIZE, machine};
use crate::sync::Lock;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicUsize, Ordering};

/// `GTF_type_mask` and the type that lets a domain map or copy the frame (`GTF_permit_access`).
const TYPE: u64 = 3;
const PERMIT_ACCESS: u64 = 1;
/// The flags that there are: type, readonly, reading, writing, cache bits, sub-page.
const KNOWN_FLAGS: u64 = 0x1FF;
/// The first of the reserved domain numbers (`DOMID_FIRST_RESERVED`).
const FIRST_RESERVED: u64 = 0x7FF0;
/// Larger mappings are data: Xen's default is at most 64 frames a guest.
const MAX_TABLE: usize = 128;
const ENTRIES: usize = PAGE_SIZE / 8;

/// Mappings to look at: address and pages.
static MAPPED: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

fn parts(entry: u64) -> (u64, u64, u64) {
    (entry & 0xFFFF, entry >> 16 & 0xFFFF, entry >> 32)
}

/// Could `entry` be one of a guest that has `frames` frames? One that grants nothing has no flags at all: a network
/// adapter's receive ring looks like a table otherwise, with its slots' numbers for flags and references for frames.
fn is_plausible(entry: u64, frames: u64) -> bool {
    let (flags, domain, frame) = parts(entry);
    match flags & TYPE {
        0 => flags == 0 && domain < FIRST_RESERVED,
        _ => flags & !KNOWN_FLAGS == 0 && domain < FIRST_RESERVED && frame < frames,
    }
}

/// Does `entry` let another domain at `frame`?
fn grants(entry: u64, frame: u64) -> bool {
    let (flags, _, granted) = parts(entry);
    flags & TYPE == PERMIT_ACCESS && granted == frame
}

/// What a page of grant entries says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Entries that grant something
    used: usize,
    /// The entry that grants the frame in question
    index: Option<usize>,
}

/// Looks for `frame` in a page of grant entries; `None` if the page holds anything else.
fn look(entries: impl Iterator<Item = u64>, frame: u64, frames: u64) -> Option<Look> {
    let mut seen = Look::default();
    for (index, entry) in entries.enumerate() {
        if !is_plausible(entry, frames) {
            return None;
        }
        seen.used += usize::from(entry & TYPE == PERMIT_ACCESS);
        if seen.index.is_none() && grants(entry, frame) {
            seen.index = Some(index);
        }
    }
    Some(seen)
}

fn frames() -> u64 {
    machine()
        .memory_map()
        .last()
        .map_or(0, |r| (r.base + r.len) / PAGE_SIZE as u64)
}

/// Is `pa` in a prefetchable memory region of a device on PCI bus 0?
fn is_prefetchable(pa: u64) -> bool {
    let mut best: Option<(u64, bool)> = None;
    let present = |&device: &u8| machine().pci_read(0, device, 0, 0) != u32::MAX;
    for device in (0..32).filter(present) {
        for offset in (0x10..0x28).step_by(4) {
            let bar = u64::from(machine().pci_read(0, device, 0, offset));
            let base = bar & !0xF;
            let memory = bar & 1 == 0 && base != 0 && base <= pa;
            if memory && best.is_none_or(|(b, _)| base > b) {
                best = Some((base, bar & 8 != 0));
            }
        }
    }
    best.is_some_and(|(_, prefetchable)| prefetchable)
}

/// Notes a mapping that a driver made.
pub(super) fn mapped(va: usize, pages: usize, pa: u64) {
    if pages > MAX_TABLE {
        return;
    }
    if pa / (PAGE_SIZE as u64) < frames() || is_prefetchable(pa) {
        MAPPED.lock().insert(va, pages);
    }
}

/// Forgets a mapping.
pub(super) fn unmapped(va: usize) {
    MAPPED.lock().remove(&va);
}

/// The most entries in use that were seen at once: says that a driver's grant table was really read.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Does a mapping begin as a grant table does? The toolstack fills the first entries, for the console and xenstore, and they stay.
/// Drivers map each page of each packet too, and to go through thousands of such pages whenever one is freed takes a minute.
fn begins_as_a_table(va: usize) -> bool {
    // SAFETY: mapped while it is in the list, whose lock is held; reading has no effect.
    let first = unsafe { (va as *const u64).read_volatile() };
    first & TYPE == PERMIT_ACCESS
}

/// Reports the page of physical address `pa`, which is being freed, if it is granted.
pub(crate) fn freeing(pa: u64) {
    let (frame, frames) = (pa / PAGE_SIZE as u64, frames());
    let mut used = 0;
    let mut found = None;
    {
        let mapped = MAPPED.lock();
        let tables = mapped.iter().filter(|&(&va, _)| begins_as_a_table(va));
        let of_table = |(&va, &n): (&usize, &usize)| (0..n).map(move |i| va + i * PAGE_SIZE);
        for pages in tables.map(of_table) {
            // Behind its frames a driver keeps room for more, where no memory is: a read there goes to dom0 and back.
            for (page, seen) in pages.map_while(|page| {
                let first = page as *const u64;
                // SAFETY: mapped while it is in the list, whose lock is held; reading has no effect.
                let entries = (0..ENTRIES).map(move |i| unsafe { first.add(i).read_volatile() });
                Some((page, look(entries, frame, frames)?))
            }) {
                used += seen.used;
                found = found.or(seen.index.map(|index| (page, index)));
            }
        }
    }
    if MOST.fetch_max(used, Ordering::Relaxed) == 0 && used != 0 {
        crate::kd_log!("grant check: {used} entries in use in the grant table that is read");
    }
    if let Some((page, index)) = found {
        check::violation(
            "no page is freed while it is granted",
            format_args!("page {frame:#x} by entry {index} of the grant table's page at {page:#x}"),
        );
    }
}

/// Logs how much of a grant table was seen; for the end of a run.
pub fn report() {
    let most = MOST.load(Ordering::Relaxed);
    crate::kd_log!("grant check: {most} entries seen in use at once");
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: u64 = 0x1_0000;

    fn entry(flags: u64, domain: u64, frame: u64) -> u64 {
        flags | domain << 16 | frame << 32
    }

    #[test]
    fn a_granted_frame_is_found_in_a_page_of_entries() {
        let mut page = [0u64; ENTRIES];
        page[3] = entry(0, 5, 0xFFFF_FFFF);
        page[40] = entry(1, 0, 0x1234);
        page[41] = entry(1, 0, 0x1235);
        let at = |frame| look(page.iter().copied(), frame, FRAMES).unwrap();
        assert_eq!(
            at(0x1234),
            Look {
                used: 2,
                index: Some(40)
            }
        );
        assert_eq!(
            at(0x1236),
            Look {
                used: 2,
                index: None
            }
        );
    }

    #[test]
    fn a_revoked_entry_grants_nothing() {
        let page = [entry(0, 0, 0x1234)];
        assert_eq!(
            look(page.into_iter(), 0x1234, FRAMES),
            Some(Look::default())
        );
    }

    #[test]
    fn a_page_that_holds_anything_else_is_no_grant_table() {
        for other in [
            entry(1, 0, FRAMES),
            entry(0x8001, 0, 1),
            entry(1, 0x7FF0, 1),
        ] {
            let page = [entry(1, 0, 0x1234), other];
            assert_eq!(look(page.into_iter(), 0x1234, FRAMES), None);
        }
    }

    #[test]
    fn a_receive_ring_of_a_network_adapter_is_no_grant_table() {
        // io/netif.h: producer indexes and events first, then the slot's number as id, and the reference of a page.
        let mut ring = [0u64; ENTRIES];
        ring[0] = entry(257, 0, 1);
        for slot in 0..256 {
            ring[8 + slot as usize] = entry(slot, 0, 0x321 + slot);
        }
        assert_eq!(look(ring.into_iter(), 0x322, FRAMES), None);
    }

    #[test]
    fn a_page_of_pool_that_is_freed_while_a_mapped_table_grants_it_is_reported() {
        const RULE: &str = "no page is freed while it is granted";
        let turn = crate::testing::machine();
        let page = || crate::ex::pool::allocate(PAGE_SIZE, 0, true, false, 0) as usize;
        let address = |va: usize| machine().translate(va).unwrap();
        let (table, granted, other) = (page(), page(), page());
        mapped(table, 1, address(table));
        let frame = address(granted) / PAGE_SIZE as u64;
        // SAFETY: a page of our own.
        unsafe { (table as *mut u64).write(entry(PERMIT_ACCESS, 0, 1)) };
        // SAFETY: the same.
        unsafe {
            (table as *mut u64)
                .add(8)
                .write(entry(PERMIT_ACCESS, 0, frame))
        };
        crate::ex::pool::free(other as *mut _, 0, 0);
        let log = turn.log();
        assert!(!log.iter().any(|line| line.contains(RULE)), "{log:?}");
        crate::ex::pool::free(granted as *mut _, 0, 0);
        let log = turn.log();
        assert!(log.iter().any(|line| line.contains(RULE)), "{log:?}");
        unmapped(table);
        crate::ex::pool::free(table as *mut _, 0, 0);
    }
}
