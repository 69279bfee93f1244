//! The page shared with Xen: upcall flags and time.

use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, fence};

use xen_abi::shared_info::{SharedInfo, VcpuInfo, VcpuTimeInfo};

/// How often a reading of the time is tried while Xen writes it.
const TIME_TRIES: u32 = 1000;
/// Seconds from 1601, where Windows' time begins, to 1970.
const FILETIME_EPOCH: u64 = 11_644_473_600;
/// Units of Windows' time in a second.
const FILETIME_PER_SECOND: u64 = 10_000_000;
/// Nanoseconds in a unit of Windows' time.
const NS_PER_FILETIME: u64 = 100;
/// Nanoseconds in a second.
const NS_PER_SECOND: u64 = 1_000_000_000;

/// The event state of a vCPU, unless its id is one of those that the page has no room for (32 and up).
pub fn vcpu_info(info: &SharedInfo, vcpu: u32) -> Option<&VcpuInfo> {
    info.vcpu_info.get(usize::try_from(vcpu).ok()?)
}

/// Masks all ports of the two-level ABI. Any IRQL.
pub fn mask_all(info: &SharedInfo) {
    for word in &info.evtchn_mask {
        word.store(u64::MAX, SeqCst);
    }
}

/// Clears the upcall flag, before the events are looked for. True: it was set. Any IRQL.
pub fn take_upcall(vcpu: &VcpuInfo) -> bool {
    // SeqCst: Xen sets the event bits before the flag, so the flag is cleared before they are read.
    vcpu.evtchn_upcall_pending.swap(0, SeqCst) != 0
}

/// Reads what `version` guards. `None`: Xen was writing all the time.
fn read_versioned<T>(version: &AtomicU32, mut read: impl FnMut() -> T) -> Option<T> {
    for _ in 0..TIME_TRIES {
        let before = version.load(Acquire);
        if before & 1 == 0 {
            let value = read();
            // Keeps the loads of `read` before the second load of the version.
            fence(Acquire);
            if version.load(Relaxed) == before {
                return Some(value);
            }
        }
        core::hint::spin_loop();
    }
    None
}

/// Nanoseconds since Xen booted, from a vCPU's time record and that vCPU's TSC. Any IRQL.
pub fn system_time(time: &VcpuTimeInfo, mut tsc: impl FnMut() -> u64) -> Option<u64> {
    read_versioned(&time.version, || {
        let elapsed = tsc().wrapping_sub(time.tsc_timestamp.load(Relaxed));
        let scaled = scale(
            elapsed,
            time.tsc_to_system_mul.load(Relaxed),
            time.tsc_shift.load(Relaxed),
        );
        time.system_time.load(Relaxed).wrapping_add(scaled)
    })
}

/// TSC ticks to nanoseconds. Shifts by 64 and more, which Xen does not use, give 0.
fn scale(ticks: u64, mul: u32, shift: i8) -> u64 {
    let distance = u32::from(shift.unsigned_abs());
    let shifted = if shift < 0 {
        ticks.checked_shr(distance)
    } else {
        ticks.checked_shl(distance)
    };
    ((u128::from(shifted.unwrap_or(0)) * u128::from(mul)) >> 32) as u64
}

/// Nanoseconds from 1970 to Xen's boot, by the domain's own clock (its time offset included). Any IRQL.
pub fn wall_clock_at_boot(info: &SharedInfo) -> Option<u64> {
    read_versioned(&info.wc_version, || {
        let seconds =
            (u64::from(info.wc_sec_hi.load(Relaxed)) << 32) | u64::from(info.wc_sec.load(Relaxed));
        seconds
            .wrapping_mul(NS_PER_SECOND)
            .wrapping_add(info.wc_nsec.load(Relaxed).into())
    })
}

/// The time of day in units of 100 ns since 1601. Whether it is local time or UTC is the toolstack's choice.
///
/// `None`: the vCPU has no time record in the page, or Xen was writing all the time. Any IRQL.
pub fn file_time(info: &SharedInfo, vcpu: u32, tsc: impl FnMut() -> u64) -> Option<u64> {
    let since_boot = system_time(&vcpu_info(info, vcpu)?.time, tsc)?;
    let since_1970 = wall_clock_at_boot(info)?.wrapping_add(since_boot);
    Some(since_1970 / NS_PER_FILETIME + FILETIME_EPOCH * FILETIME_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(shift: i8, mul: u32) -> VcpuTimeInfo {
        let time = VcpuTimeInfo::default();
        time.tsc_timestamp.store(1000, Relaxed);
        time.system_time.store(5_000, Relaxed);
        time.tsc_to_system_mul.store(mul, Relaxed);
        time.tsc_shift.store(shift, Relaxed);
        time
    }

    #[test]
    fn ticks_are_scaled_by_multiplier_and_shift() {
        // Half a nanosecond a tick.
        assert_eq!(system_time(&time(0, 1 << 31), || 1000 + 800), Some(5_400));
        assert_eq!(system_time(&time(1, 1 << 31), || 1000 + 800), Some(5_800));
        assert_eq!(system_time(&time(-1, 1 << 31), || 1000 + 800), Some(5_200));
    }

    #[test]
    fn a_reading_that_xen_changes_is_tried_again() {
        let time = time(0, 1 << 31);
        let mut readings = 0;
        let now = system_time(&time, || {
            readings += 1;
            if readings == 1 {
                time.version.store(2, Relaxed);
                time.system_time.store(9_000, Relaxed);
            }
            1000
        });
        assert_eq!((now, readings), (Some(9_000), 2));
    }

    #[test]
    fn a_record_that_is_always_being_written_gives_no_time() {
        let time = time(0, 1);
        time.version.store(7, Relaxed);
        assert_eq!(system_time(&time, || 0), None);
        let info = SharedInfo::default();
        info.wc_version.store(1, Relaxed);
        assert_eq!(wall_clock_at_boot(&info), None);
        assert_eq!(file_time(&info, 0, || 0), None);
    }

    #[test]
    fn windows_time_counts_from_1601() {
        let info = SharedInfo::default();
        info.wc_sec.store(1_000_000_000, Relaxed); // 2001-09-09 01:46:40 UTC
        info.vcpu_info[3]
            .time
            .system_time
            .store(2_000_000_000, Relaxed);
        assert_eq!(
            file_time(&info, 3, || 0),
            Some((1_000_000_002 + FILETIME_EPOCH) * FILETIME_PER_SECOND)
        );
        assert_eq!(file_time(&info, 32, || 0), None);
    }

    #[test]
    fn seconds_beyond_2106_use_the_high_word() {
        let info = SharedInfo::default();
        info.wc_sec_hi.store(1, Relaxed);
        assert_eq!(wall_clock_at_boot(&info), Some((1 << 32) * NS_PER_SECOND));
    }

    #[test]
    fn the_upcall_flag_is_taken_once() {
        let vcpu = VcpuInfo::default();
        assert!(!take_upcall(&vcpu));
        vcpu.evtchn_upcall_pending.store(1, Relaxed);
        assert!(take_upcall(&vcpu));
        assert!(!take_upcall(&vcpu));
    }

    proptest! {
        #[test]
        fn no_value_of_the_record_makes_the_computation_panic(
            stamp: u64, system: u64, mul: u32, shift: i8, now: u64, sec: u32, nsec: u32, hi: u32,
        ) {
            let info = SharedInfo::default();
            let time = &info.vcpu_info[0].time;
            time.tsc_timestamp.store(stamp, Relaxed);
            time.system_time.store(system, Relaxed);
            time.tsc_to_system_mul.store(mul, Relaxed);
            time.tsc_shift.store(shift, Relaxed);
            info.wc_sec.store(sec, Relaxed);
            info.wc_nsec.store(nsec, Relaxed);
            info.wc_sec_hi.store(hi, Relaxed);
            prop_assert!(file_time(&info, 0, || now).is_some());
        }
    }
}
