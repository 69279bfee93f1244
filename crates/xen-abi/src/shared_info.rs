//! The page shared with Xen (`xen.h`, `arch-x86/xen.h`). Everything in it is an atomic: Xen writes it at any time.

use core::sync::atomic::{AtomicI8, AtomicU8, AtomicU32, AtomicU64};

use crate::hypercall::LEGACY_MAX_VCPUS;

/// 64-bit words in each of the two-level event bitmaps.
pub const EVENT_WORDS: usize = 64;

/// System time of one vCPU (`struct vcpu_time_info`).
///
/// `version` is odd while Xen writes; a reading is good if `version` was even and the same before and after.
/// ns since boot = `system_time` + (((tsc - `tsc_timestamp`) shifted left by `tsc_shift`) * `tsc_to_system_mul`) >> 32.
#[derive(Debug, Default)]
#[repr(C)]
pub struct VcpuTimeInfo {
    /// Sequence number.
    pub version: AtomicU32,
    /// Padding.
    pub pad0: AtomicU32,
    /// TSC at the last update.
    pub tsc_timestamp: AtomicU64,
    /// Nanoseconds since boot at the last update.
    pub system_time: AtomicU64,
    /// Multiplier, in units of 2^-32 ns a (shifted) tick.
    pub tsc_to_system_mul: AtomicU32,
    /// Left shift of the tick difference; negative: right shift.
    pub tsc_shift: AtomicI8,
    /// [`PVCLOCK_TSC_STABLE`] and others.
    pub flags: AtomicU8,
    /// Padding.
    pub pad1: [AtomicU8; 2],
}

/// Event state of one vCPU (`struct vcpu_info`).
#[derive(Debug, Default)]
#[repr(C)]
pub struct VcpuInfo {
    /// Non-zero: an event waits. The guest clears it before it looks for events.
    pub evtchn_upcall_pending: AtomicU8,
    /// Upcall mask; HVM guests leave it zero.
    pub evtchn_upcall_mask: AtomicU8,
    /// Padding.
    pub pad: [AtomicU8; 6],
    /// Two-level ABI: a bit for each word of `evtchn_pending` that has news.
    pub evtchn_pending_sel: AtomicU64,
    /// `arch`: cr2 of PV guests, and padding.
    pub arch: [AtomicU64; 2],
    /// System time.
    pub time: VcpuTimeInfo,
}

/// PV guests' fields (`struct arch_shared_info`), which HVM guests leave alone.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ArchSharedInfo {
    /// max_pfn, p2m frame list, nmi_reason, p2m_cr3, p2m_vaddr, p2m_generation.
    pub words: [AtomicU64; 6],
}

/// The shared info page (`struct shared_info`).
#[derive(Debug)]
#[repr(C)]
pub struct SharedInfo {
    /// One for each of the first 32 vCPUs by Xen's vCPU id.
    pub vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
    /// Two-level ABI: pending bits.
    pub evtchn_pending: [AtomicU64; EVENT_WORDS],
    /// Two-level ABI: mask bits.
    pub evtchn_mask: [AtomicU64; EVENT_WORDS],
    /// Sequence number of the wall clock, as in [`VcpuTimeInfo::version`].
    pub wc_version: AtomicU32,
    /// Wall clock at boot, seconds since 1970, low half.
    pub wc_sec: AtomicU32,
    /// Wall clock at boot, nanoseconds.
    pub wc_nsec: AtomicU32,
    /// Wall clock at boot, seconds since 1970, high half.
    pub wc_sec_hi: AtomicU32,
    /// PV guests' part.
    pub arch: ArchSharedInfo,
}

impl Default for SharedInfo {
    fn default() -> Self {
        Self {
            vcpu_info: core::array::from_fn(|_| VcpuInfo::default()),
            evtchn_pending: [const { AtomicU64::new(0) }; EVENT_WORDS],
            evtchn_mask: [const { AtomicU64::new(0) }; EVENT_WORDS],
            wc_version: AtomicU32::new(0),
            wc_sec: AtomicU32::new(0),
            wc_nsec: AtomicU32::new(0),
            wc_sec_hi: AtomicU32::new(0),
            arch: ArchSharedInfo::default(),
        }
    }
}

abi! {
    constants {
        /// The TSC-based time is the same on all vCPUs.
        PVCLOCK_TSC_STABLE: u8 = 1 => "XEN_PVCLOCK_TSC_STABLE_BIT";
    }
    layouts {
        VcpuTimeInfo = "struct vcpu_time_info", 32 {
            version @ 0, pad0 @ 4, tsc_timestamp @ 8, system_time @ 16, tsc_to_system_mul @ 24, tsc_shift @ 28,
            flags @ 29, pad1 @ 30,
        }
        VcpuInfo = "struct vcpu_info", 64 {
            evtchn_upcall_pending @ 0, evtchn_upcall_mask @ 1, evtchn_pending_sel @ 8, arch @ 16, time @ 32,
        }
        ArchSharedInfo = "struct arch_shared_info", 48 { words as "max_pfn" @ 0 }
        SharedInfo = "struct shared_info", 3136 {
            vcpu_info @ 0, evtchn_pending @ 2048, evtchn_mask @ 2560, wc_version @ 3072, wc_sec @ 3076,
            wc_nsec @ 3080, wc_sec_hi @ 3084, arch @ 3088,
        }
    }
}
