//! Versions, random numbers, calendar time, and what the kernel knows of itself.

use core::mem::{offset_of, size_of};

use crate::nt::base::{LARGE_INTEGER, NTSTATUS};
use crate::nt::status::*;

/// The Windows that the executive says it is: 10 22H2.
pub const VERSION: (u32, u32, u32) = (10, 0, 19045);

/// OSVERSIONINFOEXW
#[repr(C)]
struct VersionInfo {
    size: u32,
    major: u32,
    minor: u32,
    build: u32,
    platform: u32,
    csd: [u16; 128],
    service_pack: [u16; 2],
    suite: u16,
    product_type: u8,
    reserved: u8,
}
const _: () =
    assert!(size_of::<VersionInfo>() == 284 && offset_of!(VersionInfo, service_pack) == 276);

/// RtlGetVersion: the caller's structure is OSVERSIONINFOW or OSVERSIONINFOEXW, by its size.
///
/// # Safety
/// `info` is writable for the size that it states.
pub unsafe extern "win64" fn RtlGetVersion(info: *mut u32) -> NTSTATUS {
    let size = *info as usize;
    let own = VersionInfo {
        size: *info,
        major: VERSION.0,
        minor: VERSION.1,
        build: VERSION.2,
        platform: 2,
        csd: [0; 128],
        service_pack: [0; 2],
        suite: 0x100,
        product_type: 1,
        reserved: 0,
    };
    let n = if size == size_of::<VersionInfo>() {
        size
    } else {
        276
    };
    core::ptr::copy_nonoverlapping((&raw const own).cast::<u8>(), info.cast(), n);
    STATUS_SUCCESS
}

/// RtlIsNtDdiVersionAvailable.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn RtlIsNtDdiVersionAvailable(version: u32) -> u8 {
    // NTDDI_WIN10_VB, 10 2004: the version whose kernel 22H2 still is.
    (version <= 0x0a00_0008).into()
}

/// RtlRandomEx: 0 to 0x7ffffffe; `<= APC_LEVEL`.
///
/// # Safety
/// `seed` is writable.
pub unsafe extern "win64" fn RtlRandomEx(seed: *mut u32) -> u32 {
    let next = (u64::from(*seed) * 0x7fff_ffed + 0x7fff_ffc3) % 0x7fff_ffff;
    *seed = next as u32;
    next as u32
}

/// TIME_FIELDS: year, month, day, hour, minute, second, milliseconds, weekday (0 is Sunday).
pub type TimeFields = [i16; 8];

const DAY: i64 = 864_000_000_000;

/// The calendar date of a time in 100 ns since 1601-01-01.
pub fn time_fields(time: LARGE_INTEGER) -> TimeFields {
    let (days, rest) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let ms = rest / 10_000;
    // Days since 0000-03-01 in the proleptic Gregorian calendar, so that a leap day ends its year.
    let z = days + 584_694;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    [
        year as i16,
        month as i16,
        day as i16,
        (ms / 3_600_000) as i16,
        (ms / 60_000 % 60) as i16,
        (ms / 1000 % 60) as i16,
        (ms % 1000) as i16,
        ((days + 1).rem_euclid(7)) as i16,
    ]
}

/// RtlTimeToTimeFields.
///
/// # Safety
/// Both are valid.
pub unsafe extern "win64" fn RtlTimeToTimeFields(
    time: *const LARGE_INTEGER,
    fields: *mut TimeFields,
) {
    *fields = time_fields(*time);
}

/// InitSafeBootMode: 0, this is no safe boot.
pub static InitSafeBootMode: u32 = 0;

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        RtlGetVersion, RtlIsNtDdiVersionAvailable, RtlRandomEx, RtlTimeToTimeFields,
    };
    data { InitSafeBootMode }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_calendar_dates() {
        assert_eq!(time_fields(0), [1601, 1, 1, 0, 0, 0, 0, 1]);
        // 2000-02-29 12:34:56.789, a Tuesday.
        let unix = 951_827_696_i64;
        let t = (unix + 11_644_473_600) * 10_000_000 + 7_890_000;
        assert_eq!(time_fields(t), [2000, 2, 29, 12, 34, 56, 789, 2]);
    }

    #[test]
    fn random_numbers_stay_in_range() {
        let mut seed = 1;
        for _ in 0..1000 {
            // SAFETY: a valid seed.
            assert!(unsafe { RtlRandomEx(&mut seed) } < 0x7fff_ffff);
        }
    }
}
