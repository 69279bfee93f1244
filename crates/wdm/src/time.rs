//! Time.

use core::time::Duration;

use wdk_sys::LARGE_INTEGER;
use wdk_sys::ntddk::{KeDelayExecutionThread, KeStallExecutionProcessor};

/// Nanoseconds in the kernel's unit of time.
const NANOSECONDS: u128 = 100;

/// `KUSER_SHARED_DATA.InterruptTime` (wdm.h: the address is fixed on x64, the field at byte 8).
const INTERRUPT_TIME: *const u64 = core::ptr::without_provenance(0xFFFF_F780_0000_0008);

/// Time since the start of the system, suspended or not, in 100 ns; it advances with the clock interrupt
/// and never goes back. Any IRQL (`KeQueryInterruptTime`, which is inline in the WDK).
pub fn interrupt_time() -> u64 {
    // SAFETY: mapped readable in every x64 kernel, aligned, written by the kernel as one unit.
    unsafe { INTERRUPT_TIME.read_volatile() }
}

/// `KUSER_SHARED_DATA.SystemTime` (a `KSYSTEM_TIME` at byte 0x14): low, high, and high once more.
const SYSTEM_TIME: *const u32 = core::ptr::without_provenance(0xFFFF_F780_0000_0014);

/// The wall clock in 100 ns since 1601 (UTC); it may be set at any time. Any IRQL (`KeQuerySystemTime`, which is
/// inline in the WDK).
pub fn system_time() -> i64 {
    loop {
        // SAFETY: mapped readable in every x64 kernel, aligned.
        let high = unsafe { SYSTEM_TIME.wrapping_add(1).read_volatile() };
        // SAFETY: as above.
        let low = unsafe { SYSTEM_TIME.read_volatile() };
        // SAFETY: as above. The kernel writes this word first and the other high one last.
        if high == unsafe { SYSTEM_TIME.wrapping_add(2).read_volatile() } {
            return i64::from(high.cast_signed()) << 32 | i64::from(low);
        }
    }
}

/// The time since `start`, an earlier [`interrupt_time`].
pub fn since(start: u64) -> Duration {
    let elapsed = interrupt_time().saturating_sub(start);
    Duration::from_nanos(elapsed.saturating_mul(NANOSECONDS as u64))
}

/// A relative timeout as the kernel's routines take it: negative, in 100 ns.
pub fn relative(limit: Duration) -> LARGE_INTEGER {
    let units = i64::try_from(limit.as_nanos() / NANOSECONDS).unwrap_or(i64::MAX);
    LARGE_INTEGER { QuadPart: -units }
}

/// Lets the thread sleep. IRQL <= APC_LEVEL.
pub fn sleep(time: Duration) {
    let mut interval = relative(time);
    // SAFETY: the interval outlives the call.
    let _ =
        unsafe { KeDelayExecutionThread(wdk_sys::_MODE::KernelMode as i8, 0, &raw mut interval) };
}

/// Spins for up to 50 microseconds. Any IRQL.
pub fn stall(microseconds: u32) {
    // SAFETY: no requirements.
    unsafe { KeStallExecutionProcessor(microseconds.min(50)) };
}
