//! Starting the application processors: INIT, SIPI (Intel SDM volume 3, 10.4.4).

use crate::apic;
use crate::boot::{trampoline_args, trampoline_end, trampoline_start};
use crate::paging::DIRECT_MAP;
use alloc::alloc::{Layout, alloc_zeroed};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where the trampoline is copied to: a page below 1 MiB that firmware leaves free.
const TRAMPOLINE: u64 = 0x8000;
const STACK: usize = 64 << 10;

static STARTED: AtomicUsize = AtomicUsize::new(0);

/// The boot page tables, which still map low memory: the trampoline's first.
fn boot_root() -> u64 {
    unsafe extern "C" {
        static boot_pml4: u8;
    }
    (&raw const boot_pml4) as u64
}

unsafe extern "C" fn entry(index: usize) -> ! {
    crate::paging::load();
    crate::cpu::initialize();
    apic::initialize();
    STARTED.store(index + 1, Ordering::Release);
    ntexec::hal::run_cpu(index, crate::start)
}

fn prepare(index: usize) -> Option<()> {
    let layout = Layout::from_size_align(STACK, 4096).ok()?;
    // SAFETY: the layout's size is not 0.
    let stack = unsafe { alloc_zeroed(layout) };
    if stack.is_null() {
        return None;
    }
    let start = &raw const trampoline_start;
    let len = (&raw const trampoline_end) as usize - start as usize;
    let args = (&raw const trampoline_args) as usize - start as usize;
    let copy = (DIRECT_MAP + TRAMPOLINE as usize) as *mut u8;
    // SAFETY: the page is below 1 MiB, which the executive never hands out; the trampoline is shorter than a page.
    unsafe {
        core::ptr::copy_nonoverlapping(start, copy, len);
        let args = copy.add(args).cast::<u64>();
        args.write(boot_root());
        args.add(1).write(stack as u64 + STACK as u64);
        args.add(2).write(index as u64);
        args.add(3).write(entry as *const () as u64);
    }
    Some(())
}

/// Starts processor `index` with APIC id `apic_id`; true if it answered within a second.
pub fn start(index: usize, apic_id: u32, frequency: u64) -> bool {
    if prepare(index).is_none() {
        return false;
    }
    apic::send(apic_id, apic::INIT);
    crate::time::wait(10_000, frequency);
    for _ in 0..2 {
        apic::send(apic_id, apic::STARTUP | (TRAMPOLINE >> 12) as u32);
        for _ in 0..500 {
            if STARTED.load(Ordering::Acquire) == index + 1 {
                return true;
            }
            crate::time::wait(1000, frequency);
            crate::xen::yield_cpu();
        }
    }
    false
}
