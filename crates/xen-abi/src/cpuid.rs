//! Xen's CPUID leaves (`arch-x86/cpuid.h`). Offsets are from the base leaf, 0x40000000 or a multiple of 0x100 above it.

use bitflags::bitflags;

bitflags! {
    /// HVM features (leaf base + 4, EAX).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HvmFeatures: u32 {
        /// Local APIC registers are virtualised by the CPU.
        const APIC_ACCESS_VIRT = 1 << 0;
        /// x2APIC registers are virtualised by the CPU.
        const X2APIC_VIRT = 1 << 1;
        /// Granted pages have I/O MMU mappings.
        const IOMMU_MAPPINGS = 1 << 2;
        /// EBX holds the vCPU id.
        const VCPU_ID_PRESENT = 1 << 3;
        /// ECX holds the domain id.
        const DOMID_PRESENT = 1 << 4;
        /// 15-bit APIC destination ids.
        const EXT_DEST_ID = 1 << 5;
        /// Upcall vectors work with physical interrupts bound to event channels.
        const UPCALL_VECTOR = 1 << 6;
    }
}

/// What [`HvmFeatures`] states about the C header.
pub const HVM_FEATURE_FACTS: &[crate::Fact] = &[
    feature(
        "XEN_HVM_CPUID_APIC_ACCESS_VIRT",
        HvmFeatures::APIC_ACCESS_VIRT,
    ),
    feature("XEN_HVM_CPUID_X2APIC_VIRT", HvmFeatures::X2APIC_VIRT),
    feature("XEN_HVM_CPUID_IOMMU_MAPPINGS", HvmFeatures::IOMMU_MAPPINGS),
    feature(
        "XEN_HVM_CPUID_VCPU_ID_PRESENT",
        HvmFeatures::VCPU_ID_PRESENT,
    ),
    feature("XEN_HVM_CPUID_DOMID_PRESENT", HvmFeatures::DOMID_PRESENT),
    feature("XEN_HVM_CPUID_EXT_DEST_ID", HvmFeatures::EXT_DEST_ID),
    feature("XEN_HVM_CPUID_UPCALL_VECTOR", HvmFeatures::UPCALL_VECTOR),
];

const fn feature(name: &'static str, bits: HvmFeatures) -> crate::Fact {
    crate::Fact {
        subject: crate::Subject::Value(name),
        claim: crate::Claim::Number(bits.bits() as i64),
    }
}

abi! {
    constants {
        /// The base leaf where nobody else is shown to the guest.
        FIRST_LEAF: u32 = 0x4000_0000 => "XEN_CPUID_FIRST_LEAF";
        /// EBX of the base leaf: "XenV".
        SIGNATURE_EBX: u32 = 0x566e_6558 => "XEN_CPUID_SIGNATURE_EBX";
        /// ECX of the base leaf: "MMXe".
        SIGNATURE_ECX: u32 = 0x6558_4d4d => "XEN_CPUID_SIGNATURE_ECX";
        /// EDX of the base leaf: "nVMM".
        SIGNATURE_EDX: u32 = 0x4d4d_566e => "XEN_CPUID_SIGNATURE_EDX";
    }
    layouts {}
}

/// Distance between possible base leaves: with Viridian shown to the guest, Xen's is the second.
pub const LEAF_STRIDE: u32 = 0x100;
/// EAX: major version << 16 | minor version.
pub const LEAF_VERSION: u32 = 1;
/// EAX: hypercall pages; EBX: the MSR that places them.
pub const LEAF_HYPERCALL: u32 = 2;
/// EAX: [`HvmFeatures`]; EBX: vCPU id; ECX: domain id.
pub const LEAF_HVM: u32 = 4;
