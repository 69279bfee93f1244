//! Hypercall numbers and domain ids (`xen.h`).

open_enum! {
    /// A domain id (`domid_t`).
    DomId(u16) {
        /// The first id that no ordinary domain has.
        FIRST_RESERVED = 0x7FF0 => "DOMID_FIRST_RESERVED";
        /// The page or channel has no known owner.
        INVALID = 0x7FF4 => "DOMID_INVALID";
    }
}

impl DomId {
    /// The caller itself (`DOMID_SELF`, the same number as [`DomId::FIRST_RESERVED`]).
    pub const SELF: Self = Self(DOMID_SELF);

    /// True for an id that an ordinary domain can have: what a backend's id must be.
    pub const fn is_ordinary(self) -> bool {
        self.0 < Self::FIRST_RESERVED.0
    }
}

abi! {
    constants {
        /// Memory operations, see [`crate::memory`].
        MEMORY_OP: u32 = 12 => "__HYPERVISOR_memory_op";
        /// Version and features, see [`crate::version`].
        XEN_VERSION: u32 = 17 => "__HYPERVISOR_xen_version";
        /// Emergency console.
        CONSOLE_IO: u32 = 18 => "__HYPERVISOR_console_io";
        /// Grant table operations, see [`crate::grant_table`].
        GRANT_TABLE_OP: u32 = 20 => "__HYPERVISOR_grant_table_op";
        /// vCPU operations, see [`crate::vcpu`].
        VCPU_OP: u32 = 24 => "__HYPERVISOR_vcpu_op";
        /// Scheduler operations, see [`crate::sched`].
        SCHED_OP: u32 = 29 => "__HYPERVISOR_sched_op";
        /// Event channel operations, see [`crate::event_channel`].
        EVENT_CHANNEL_OP: u32 = 32 => "__HYPERVISOR_event_channel_op";
        /// HVM operations, see [`crate::hvm`].
        HVM_OP: u32 = 34 => "__HYPERVISOR_hvm_op";
        /// The caller's own domain.
        DOMID_SELF: u16 = 0x7FF0 => "DOMID_SELF";
        /// The vCPUs that have a `vcpu_info` in the shared info page.
        LEGACY_MAX_VCPUS: usize = 32 => "XEN_LEGACY_MAX_VCPUS";
        /// Virtual interrupt: timer.
        VIRQ_TIMER: u32 = 0 => "VIRQ_TIMER";
        /// Virtual interrupt: the administrator asks for a state dump (`xl debug-keys q`).
        VIRQ_DEBUG: u32 = 1 => "VIRQ_DEBUG";
    }
    layouts {}
}

/// Bytes of code a hypercall has in the hypercall page (`xen.h`, "hypercall page": 32-byte entries).
pub const PAGE_ENTRY_SIZE: usize = 32;
