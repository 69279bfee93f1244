//! HVM operations and parameters (`hvm/hvm_op.h`, `hvm/params.h`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Get or set a parameter (`struct xen_hvm_param`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmParam {
    /// In: [`crate::DomId::SELF`].
    pub domid: u16,
    /// Padding.
    pub pad: u16,
    /// In: `PARAM_*`.
    pub index: u32,
    /// In or out.
    pub value: u64,
}

/// Set the vector by which a vCPU hears of events (`struct xen_hvm_evtchn_upcall_vector`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EvtchnUpcallVector {
    /// In: Xen's vCPU id.
    pub vcpu: u32,
    /// In: an interrupt vector, 16 or above.
    pub vector: u8,
    /// Padding.
    pub pad: [u8; 3],
}

/// Time since boot (`struct xen_hvm_get_time`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmGetTime {
    /// Out: nanoseconds.
    pub now: u64,
}

abi! {
    constants {
        /// [`HvmParam`].
        SET_PARAM: u32 = 0 => "HVMOP_set_param";
        /// [`HvmParam`].
        GET_PARAM: u32 = 1 => "HVMOP_get_param";
        /// Hint about a page table.
        PAGETABLE_DYING: u32 = 9 => "HVMOP_pagetable_dying";
        /// [`HvmGetTime`].
        GET_TIME: u32 = 10 => "HVMOP_get_time";
        /// [`EvtchnUpcallVector`].
        SET_EVTCHN_UPCALL_VECTOR: u32 = 23 => "HVMOP_set_evtchn_upcall_vector";
        /// How vCPU 0 hears of events; type in bits 63:56.
        PARAM_CALLBACK_IRQ: u32 = 0 => "HVM_PARAM_CALLBACK_IRQ";
        /// Callback type: a GSI.
        CALLBACK_TYPE_GSI: u64 = 0 => "HVM_PARAM_CALLBACK_TYPE_GSI";
        /// Callback type: a PCI INTx line.
        CALLBACK_TYPE_PCI_INTX: u64 = 1 => "HVM_PARAM_CALLBACK_TYPE_PCI_INTX";
        /// Callback type: a vector.
        CALLBACK_TYPE_VECTOR: u64 = 2 => "HVM_PARAM_CALLBACK_TYPE_VECTOR";
        /// Frame of the xenstore ring.
        PARAM_STORE_PFN: u32 = 1 => "HVM_PARAM_STORE_PFN";
        /// Port of the xenstore ring.
        PARAM_STORE_EVTCHN: u32 = 2 => "HVM_PARAM_STORE_EVTCHN";
        /// Frame of the console ring.
        PARAM_CONSOLE_PFN: u32 = 17 => "HVM_PARAM_CONSOLE_PFN";
        /// Port of the console ring.
        PARAM_CONSOLE_EVTCHN: u32 = 18 => "HVM_PARAM_CONSOLE_EVTCHN";
    }
    layouts {
        HvmParam = "struct xen_hvm_param", 16 { domid @ 0, pad @ 2, index @ 4, value @ 8 }
        EvtchnUpcallVector = "struct xen_hvm_evtchn_upcall_vector", 8 { vcpu @ 0, vector @ 4 }
        HvmGetTime = "struct xen_hvm_get_time", 8 { now @ 0 }
    }
}

/// Bit position of the callback type in [`PARAM_CALLBACK_IRQ`].
pub const CALLBACK_TYPE_SHIFT: u32 = 56;
