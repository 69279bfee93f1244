//! vCPU operations (`vcpu.h`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where a vCPU's `vcpu_info` lives (`struct vcpu_register_vcpu_info`). Cannot be undone.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegisterVcpuInfo {
    /// In: guest frame (the header calls it mfn).
    pub mfn: u64,
    /// In: offset within the page.
    pub offset: u32,
    /// In: zero.
    pub rsvd: u32,
}

/// Period of `VIRQ_TIMER` (`struct vcpu_set_periodic_timer`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetPeriodicTimer {
    /// In: nanoseconds.
    pub period_ns: u64,
}

abi! {
    constants {
        /// No argument; returns 1 when up.
        IS_UP: u32 = 3 => "VCPUOP_is_up";
        /// [`SetPeriodicTimer`].
        SET_PERIODIC_TIMER: u32 = 6 => "VCPUOP_set_periodic_timer";
        /// No argument.
        STOP_PERIODIC_TIMER: u32 = 7 => "VCPUOP_stop_periodic_timer";
        /// [`RegisterVcpuInfo`].
        REGISTER_VCPU_INFO: u32 = 10 => "VCPUOP_register_vcpu_info";
    }
    layouts {
        RegisterVcpuInfo = "struct vcpu_register_vcpu_info", 16 { mfn @ 0, offset @ 8, rsvd @ 12 }
        SetPeriodicTimer = "struct vcpu_set_periodic_timer", 8 { period_ns @ 0 }
    }
}
