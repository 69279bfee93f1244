//! Time: interrupt time, system time, tick count, performance counter, and the page that shares them with drivers.
//!
//! All follow the time stamp counter. What KUSER_SHARED_DATA (at 0xFFFFF780_00000000, inlined by the WDK's
//! `KeQueryInterruptTime`, `KeQuerySystemTime`, `KeQueryTickCount`) says is as of the last tick, as on Windows.

use crate::machine::machine;
use crate::nt::ke::{KSYSTEM_TIME, LARGE_INTEGER};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

/// Units of 100 ns a tick (64 ticks a second): `KeQueryTimeIncrement`.
pub const TIME_INCREMENT: u32 = 156_250;
/// Frequency of the performance counter in Hz, as on Windows 10.
const PERFORMANCE_HZ: u64 = 10_000_000;

static START_TSC: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
static SHARED: AtomicUsize = AtomicUsize::new(0);

/// Offsets in KUSER_SHARED_DATA.
pub mod shared {
    #![allow(missing_docs)]
    pub const TICK_COUNT_MULTIPLIER: usize = 4;
    pub const INTERRUPT_TIME: usize = 8;
    pub const SYSTEM_TIME: usize = 20;
    pub const NT_SYSTEM_ROOT: usize = 48;
    pub const NT_BUILD_NUMBER: usize = 608;
    pub const NT_PRODUCT_TYPE: usize = 612;
    pub const PRODUCT_TYPE_IS_VALID: usize = 616;
    pub const NT_MAJOR_VERSION: usize = 620;
    pub const NT_MINOR_VERSION: usize = 624;
    pub const NUMBER_OF_PHYSICAL_PAGES: usize = 744;
    pub const QPC_FREQUENCY: usize = 768;
    pub const TICK_COUNT: usize = 800;
    pub const ACTIVE_PROCESSOR_COUNT: usize = 960;
    pub const ACTIVE_GROUP_COUNT: usize = 964;
    /// Where drivers find the page.
    pub const ADDRESS: usize = 0xFFFF_F780_0000_0000;
}

/// `ticks` of a counter of `frequency` Hz in units of 1/`unit` s.
pub const fn scale(ticks: u64, frequency: u64, unit: u64) -> u64 {
    (ticks as u128 * unit as u128 / frequency as u128) as u64
}

/// 100 ns since the executive started.
pub fn interrupt_time() -> u64 {
    let m = machine();
    scale(
        m.tsc().saturating_sub(START_TSC.load(Ordering::Relaxed)),
        m.tsc_frequency(),
        10_000_000,
    )
}

/// 100 ns since 1601-01-01 UTC.
pub fn system_time() -> u64 {
    machine().boot_time() + interrupt_time()
}

/// Starts time. `page` is a writable view of what will be KUSER_SHARED_DATA.
///
/// # Safety
/// `page` must be a page of zeroes.
pub unsafe fn initialize(page: *mut u8) {
    START_TSC.store(machine().tsc(), Ordering::Relaxed);
    let w32 = |offset: usize, value: u32| page.add(offset).cast::<u32>().write(value);
    // Ticks to milliseconds: the product is shifted right by 24.
    w32(
        shared::TICK_COUNT_MULTIPLIER,
        ((u64::from(TIME_INCREMENT) << 24) / 10_000) as u32,
    );
    for (i, unit) in "C:\\Windows".encode_utf16().enumerate() {
        page.add(shared::NT_SYSTEM_ROOT)
            .cast::<u16>()
            .add(i)
            .write(unit);
    }
    w32(shared::NT_BUILD_NUMBER, 0xF000_0000 | 14393);
    w32(shared::NT_PRODUCT_TYPE, 1);
    page.add(shared::PRODUCT_TYPE_IS_VALID).write(1);
    w32(shared::NT_MAJOR_VERSION, 10);
    w32(shared::NT_MINOR_VERSION, 0);
    let pages: u64 = machine().memory_map().iter().map(|r| r.len / 4096).sum();
    w32(shared::NUMBER_OF_PHYSICAL_PAGES, pages as u32);
    page.add(shared::QPC_FREQUENCY)
        .cast::<u64>()
        .write(PERFORMANCE_HZ);
    page.add(shared::ACTIVE_GROUP_COUNT).write(1);
    SHARED.store(page as usize, Ordering::Release);
    update();
}

/// Says how many processors there are.
pub fn set_processor_count(count: u32) {
    let page = SHARED.load(Ordering::Acquire) as *mut u32;
    if !page.is_null() {
        // SAFETY: the page `initialize` was given.
        unsafe {
            page.byte_add(shared::ACTIVE_PROCESSOR_COUNT)
                .write_volatile(count)
        };
    }
}

/// Writes a time so that a reader that sees `High1Time` and `High2Time` alike has the right `LowPart`.
unsafe fn write_time(page: usize, offset: usize, value: u64) {
    let time = (page + offset) as *mut KSYSTEM_TIME;
    (&raw mut (*time).High2Time).write_volatile((value >> 32) as i32);
    fence(Ordering::Release);
    (&raw mut (*time).LowPart).write_volatile(value as u32);
    fence(Ordering::Release);
    (&raw mut (*time).High1Time).write_volatile((value >> 32) as i32);
}

/// Brings the shared page up to date.
fn update() {
    let page = SHARED.load(Ordering::Acquire);
    if page == 0 {
        return;
    }
    let now = interrupt_time();
    let ticks = now / u64::from(TIME_INCREMENT);
    TICKS.store(ticks, Ordering::Relaxed);
    // SAFETY: the page `initialize` was given; only the first processor's clock interrupt writes here.
    unsafe {
        write_time(page, shared::INTERRUPT_TIME, now);
        write_time(page, shared::SYSTEM_TIME, machine().boot_time() + now);
        write_time(page, shared::TICK_COUNT, ticks);
    }
}

/// The clock interrupt, on each processor. At CLOCK_LEVEL.
pub(crate) fn tick() {
    let pcr = super::pcr::this();
    pcr.ticks.fetch_add(1, Ordering::Relaxed);
    if pcr.is_idle() {
        pcr.idle_ticks.fetch_add(1, Ordering::Relaxed);
    }
    if pcr.number() == 0 {
        update();
        if super::timer::is_due(interrupt_time()) {
            pcr.timers_due.store(true, Ordering::Relaxed);
            super::irql::request_software();
        }
    }
    if !pcr.is_idle() && pcr.quantum.fetch_sub(1, Ordering::Relaxed) <= 1 {
        pcr.quantum
            .store(super::dispatcher::QUANTUM, Ordering::Relaxed);
        pcr.reschedule.store(true, Ordering::Relaxed);
        super::irql::request_software();
    }
}

/// [KeQueryPerformanceCounter](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kequeryperformancecounter):
/// 10 MHz. Any IRQL.
pub unsafe extern "win64" fn KeQueryPerformanceCounter(
    PerformanceFrequency: *mut LARGE_INTEGER,
) -> LARGE_INTEGER {
    if !PerformanceFrequency.is_null() {
        *PerformanceFrequency = PERFORMANCE_HZ as LARGE_INTEGER;
    }
    interrupt_time() as LARGE_INTEGER
}

/// `KeStallExecutionProcessor`: spins for that many microseconds. Any IRQL.
pub extern "win64" fn KeStallExecutionProcessor(MicroSeconds: u32) {
    let end = machine().tsc()
        + scale(
            u64::from(MicroSeconds),
            1_000_000,
            machine().tsc_frequency(),
        );
    let mut spins = 0u32;
    while machine().tsc() < end {
        machine().relax(spins);
        spins = spins.wrapping_add(1);
    }
}

/// `KeQueryTimeIncrement`: 100 ns a tick.
pub extern "win64" fn KeQueryTimeIncrement() -> u32 {
    TIME_INCREMENT
}

/// `KeQueryInterruptTime`: as of the last tick.
pub extern "win64" fn KeQueryInterruptTime() -> u64 {
    TICKS.load(Ordering::Relaxed) * u64::from(TIME_INCREMENT)
}

/// `KeQueryInterruptTimePrecise`.
pub unsafe extern "win64" fn KeQueryInterruptTimePrecise(QpcTimeStamp: *mut u64) -> u64 {
    let now = interrupt_time();
    if !QpcTimeStamp.is_null() {
        *QpcTimeStamp = now;
    }
    now
}

/// `KeQueryUnbiasedInterruptTime`: the machine never sleeps here.
pub extern "win64" fn KeQueryUnbiasedInterruptTime() -> u64 {
    interrupt_time()
}

/// `KeQuerySystemTimePrecise`.
pub unsafe extern "win64" fn KeQuerySystemTimePrecise(CurrentTime: *mut LARGE_INTEGER) {
    *CurrentTime = system_time() as LARGE_INTEGER;
}

/// `ExSystemTimeToLocalTime`: the time zone is UTC.
pub unsafe extern "win64" fn ExSystemTimeToLocalTime(
    SystemTime: *mut LARGE_INTEGER,
    LocalTime: *mut LARGE_INTEGER,
) {
    *LocalTime = *SystemTime;
}

/// `ExLocalTimeToSystemTime`.
pub unsafe extern "win64" fn ExLocalTimeToSystemTime(
    LocalTime: *mut LARGE_INTEGER,
    SystemTime: *mut LARGE_INTEGER,
) {
    *SystemTime = *LocalTime;
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeQueryPerformanceCounter, KeStallExecutionProcessor, KeQueryTimeIncrement, KeQueryInterruptTime,
        KeQueryInterruptTimePrecise, KeQueryUnbiasedInterruptTime, KeQuerySystemTimePrecise, ExSystemTimeToLocalTime,
        ExLocalTimeToSystemTime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_years_does_not_overflow() {
        let hz = 2_400_000_000;
        assert_eq!(
            scale(hz * 3600 * 24 * 365 * 50, hz, 10_000_000),
            3600 * 24 * 365 * 50 * 10_000_000
        );
    }
}
