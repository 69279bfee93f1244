//! Version and features (`version.h`, `features.h`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One 32-bit word of feature bits (`struct xen_feature_info`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FeatureInfo {
    /// In: which word.
    pub submap_idx: u32,
    /// Out: the bits.
    pub submap: u32,
}

/// Text after major.minor, NUL terminated (`xen_extraversion_t`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraVersion {
    /// Out.
    pub text: [u8; 16],
}

abi! {
    constants {
        /// No argument; returns major << 16 | minor.
        VERSION: u32 = 0 => "XENVER_version";
        /// [`ExtraVersion`].
        EXTRAVERSION: u32 = 1 => "XENVER_extraversion";
        /// [`FeatureInfo`].
        GET_FEATURES: u32 = 6 => "XENVER_get_features";
        /// Bit: the guest has its own physical memory map.
        FEAT_AUTO_TRANSLATED_PHYSMAP: u32 = 2 => "XENFEAT_auto_translated_physmap";
        /// Bit: events can be delivered to vCPU 0 by vector.
        FEAT_HVM_CALLBACK_VECTOR: u32 = 8 => "XENFEAT_hvm_callback_vector";
        /// Bit: the PV clock can be used by HVM guests.
        FEAT_HVM_SAFE_PVCLOCK: u32 = 9 => "XENFEAT_hvm_safe_pvclock";
        /// Bit: physical interrupts can be event channels.
        FEAT_HVM_PIRQS: u32 = 10 => "XENFEAT_hvm_pirqs";
    }
    layouts {
        FeatureInfo = "struct xen_feature_info", 8 { submap_idx @ 0, submap @ 4 }
        ExtraVersion = "xen_extraversion_t", 16 {}
    }
}
