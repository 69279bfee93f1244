//! The local APIC, as x2APIC (MSRs) where there is one, else by its page. Intel SDM volume 3, chapter 12.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use x86_64::registers::model_specific::Msr;

const BASE_MSR: u32 = 0x1B;
const X2APIC_MSR: u32 = 0x800;
const ENABLE: u64 = 1 << 11;
const ENABLE_X2: u64 = 1 << 10;

const ID: u32 = 0x02;
const EOI: u32 = 0x0B;
const SPURIOUS: u32 = 0x0F;
const ICR: u32 = 0x30;
const ICR_HIGH: u32 = 0x31;
const TIMER: u32 = 0x32;
const LINT0: u32 = 0x35;
const INITIAL_COUNT: u32 = 0x38;
const CURRENT_COUNT: u32 = 0x39;
const DIVIDE: u32 = 0x3E;

const MASKED: u32 = 1 << 16;
const PERIODIC: u32 = 1 << 17;
const PENDING: u32 = 1 << 12;
const DIVIDE_BY_16: u32 = 3;

/// Delivery modes of [`send`].
pub const FIXED: u32 = 0;
/// Non-maskable.
pub const NMI: u32 = 4 << 8;
/// Reset.
pub const INIT: u32 = 5 << 8 | 1 << 14;
/// Start at page `vector`.
pub const STARTUP: u32 = 6 << 8 | 1 << 14;
/// The vector of spurious interrupts.
pub const SPURIOUS_VECTOR: u8 = 0xFF;

static X2: AtomicBool = AtomicBool::new(false);
static PAGE: AtomicUsize = AtomicUsize::new(0);

fn read(register: u32) -> u32 {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: a readable x2APIC register.
        return unsafe { Msr::new(X2APIC_MSR + register).read() } as u32;
    }
    // SAFETY: `initialize` mapped the page.
    unsafe {
        ((PAGE.load(Ordering::Relaxed) + register as usize * 16) as *const u32).read_volatile()
    }
}

fn write(register: u32, value: u32) {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: a writable x2APIC register.
        unsafe { Msr::new(X2APIC_MSR + register).write(u64::from(value)) };
        return;
    }
    // SAFETY: `initialize` mapped the page.
    unsafe {
        ((PAGE.load(Ordering::Relaxed) + register as usize * 16) as *mut u32).write_volatile(value)
    }
}

/// Chooses the mode, on the boot processor. `page` is where the APIC's page can be mapped.
pub fn detect(map: impl FnOnce(u64) -> usize) {
    let x2 = core::arch::x86_64::__cpuid_count(1, 0).ecx >> 21 & 1 == 1;
    X2.store(x2, Ordering::Relaxed);
    if !x2 {
        // SAFETY: every long-mode processor has the MSR.
        let base = unsafe { Msr::new(BASE_MSR).read() } & 0x000F_FFFF_FFFF_F000;
        PAGE.store(map(base), Ordering::Relaxed);
    }
}

/// Turns this processor's APIC on: no timer, no legacy lines, spurious vector set.
pub fn initialize() {
    let mut base = Msr::new(BASE_MSR);
    let x2 = if X2.load(Ordering::Relaxed) {
        ENABLE_X2
    } else {
        0
    };
    // SAFETY: the MSR exists; the APIC's address stays.
    unsafe {
        let value = base.read();
        base.write(value | ENABLE | x2);
    }
    write(SPURIOUS, 0x100 | u32::from(SPURIOUS_VECTOR));
    write(TIMER, MASKED);
    write(LINT0, MASKED);
}

/// This processor's APIC id.
pub fn id() -> u32 {
    if X2.load(Ordering::Relaxed) {
        read(ID)
    } else {
        read(ID) >> 24
    }
}

/// Ends the interrupt in service.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

/// Sends `command` (a delivery mode and a vector) to the processor with APIC id `to`.
pub fn send(to: u32, command: u32) {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: ICR is one 64-bit register in this mode.
        unsafe { Msr::new(X2APIC_MSR + ICR).write(u64::from(to) << 32 | u64::from(command)) };
        return;
    }
    while read(ICR) & PENDING != 0 {
        core::hint::spin_loop();
    }
    write(ICR_HIGH, to << 24);
    write(ICR, command);
}

/// Timer counts in `wait`, which waits for some time.
pub fn measure_timer(wait: impl FnOnce()) -> u32 {
    write(DIVIDE, DIVIDE_BY_16);
    write(INITIAL_COUNT, u32::MAX);
    wait();
    let left = read(CURRENT_COUNT);
    write(INITIAL_COUNT, 0);
    u32::MAX - left
}

/// Starts the timer: `vector` every `count` counts.
pub fn start_timer(vector: u8, count: u32) {
    write(DIVIDE, DIVIDE_BY_16);
    write(TIMER, PERIODIC | u32::from(vector));
    write(INITIAL_COUNT, count);
}
