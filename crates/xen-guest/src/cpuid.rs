//! Finding Xen by CPUID (`arch-x86/cpuid.h`).

use xen_abi::cpuid::{
    FIRST_LEAF, HvmFeatures, LEAF_HVM, LEAF_HYPERCALL, LEAF_STRIDE, LEAF_VERSION, SIGNATURE_EBX,
    SIGNATURE_ECX, SIGNATURE_EDX,
};

/// Base leaves that are looked at: Xen alone, and Xen behind Viridian (Hyper-V) leaves.
const BASES: u32 = 2;

/// What CPUID returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// The CPU that executes the call.
pub trait Cpu {
    /// CPUID. Any IRQL.
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf;
}

/// The real CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeCpu;

impl Cpu for NativeCpu {
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Leaf {
        let found = core::arch::x86_64::__cpuid_count(leaf, subleaf);
        Leaf {
            eax: found.eax,
            ebx: found.ebx,
            ecx: found.ecx,
            edx: found.edx,
        }
    }
}

/// The Xen that runs this guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xen {
    /// Its first CPUID leaf.
    pub base: u32,
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// The MSR that places the hypercall page.
    pub hypercall_msr: u32,
    /// HVM features; empty where Xen has no such leaf.
    pub features: HvmFeatures,
}

impl Xen {
    /// Looks for Xen's signature. `None`: this is no guest of Xen, or one without hypercall leaves.
    pub fn detect(cpu: &impl Cpu) -> Option<Self> {
        (0..BASES)
            .map(|n| FIRST_LEAF + n * LEAF_STRIDE)
            .find_map(|base| Self::at(cpu, base))
    }

    fn at(cpu: &impl Cpu, base: u32) -> Option<Self> {
        let first = cpu.cpuid(base, 0);
        let signature = (first.ebx, first.ecx, first.edx);
        if signature != (SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX)
            || first.eax < base + LEAF_HYPERCALL
        {
            return None;
        }
        let version = cpu.cpuid(base + LEAF_VERSION, 0).eax;
        let features = if first.eax >= base + LEAF_HVM {
            cpu.cpuid(base + LEAF_HVM, 0).eax
        } else {
            0
        };
        Some(Self {
            base,
            major: (version >> 16) as u16,
            minor: version as u16,
            hypercall_msr: cpu.cpuid(base + LEAF_HYPERCALL, 0).ebx,
            features: HvmFeatures::from_bits_retain(features),
        })
    }

    /// Xen's id of the vCPU that executes the call; `None` if this Xen does not tell.
    pub fn vcpu_id(&self, cpu: &impl Cpu) -> Option<u32> {
        self.features
            .contains(HvmFeatures::VCPU_ID_PRESENT)
            .then(|| cpu.cpuid(self.base + LEAF_HVM, 0).ebx)
    }

    /// This domain's id; `None` if this Xen does not tell.
    pub fn domain_id(&self, cpu: &impl Cpu) -> Option<u32> {
        self.features
            .contains(HvmFeatures::DOMID_PRESENT)
            .then(|| cpu.cpuid(self.base + LEAF_HVM, 0).ecx)
    }
}

/// The instruction that enters the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Intel VT-x and its relatives.
    Vmcall,
    /// AMD SVM and its relatives.
    Vmmcall,
}

impl Instruction {
    /// The instruction of this CPU's vendor; `None`: unknown vendor.
    pub fn of_vendor(cpu: &impl Cpu) -> Option<Self> {
        let leaf = cpu.cpuid(0, 0);
        let mut name = [0; 12];
        for (part, word) in name.chunks_exact_mut(4).zip([leaf.ebx, leaf.edx, leaf.ecx]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        match &name {
            b"GenuineIntel" | b"CentaurHauls" | b"  Shanghai  " => Some(Self::Vmcall),
            b"AuthenticAMD" | b"HygonGenuine" => Some(Self::Vmmcall),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Fake(HashMap<u32, Leaf>);

    impl Cpu for Fake {
        fn cpuid(&self, leaf: u32, _subleaf: u32) -> Leaf {
            self.0.get(&leaf).copied().unwrap_or_default()
        }
    }

    fn leaf(eax: u32, ebx: u32, ecx: u32, edx: u32) -> Leaf {
        Leaf { eax, ebx, ecx, edx }
    }

    fn xen_at(base: u32, last: u32) -> Fake {
        Fake(HashMap::from([
            (
                base,
                leaf(base + last, SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX),
            ),
            (base + 1, leaf(0x0004_0011, 0, 0, 0)),
            (base + 2, leaf(1, 0x4000_0000, 0, 0)),
            (base + 4, leaf(0x18, 3, 7, 0)),
        ]))
    }

    fn vendor(name: &[u8; 12]) -> Fake {
        let word = |n: usize| u32::from_le_bytes([name[n], name[n + 1], name[n + 2], name[n + 3]]);
        Fake(HashMap::from([(0, leaf(1, word(0), word(8), word(4)))]))
    }

    #[test]
    fn xen_is_found_alone_and_behind_viridian() {
        for base in [0x4000_0000, 0x4000_0100] {
            let cpu = xen_at(base, 4);
            let xen = Xen::detect(&cpu).expect("found");
            assert_eq!((xen.base, xen.major, xen.minor), (base, 4, 17));
            assert_eq!(xen.hypercall_msr, 0x4000_0000);
            assert_eq!(xen.vcpu_id(&cpu), Some(3));
            assert_eq!(xen.domain_id(&cpu), Some(7));
        }
    }

    #[test]
    fn an_old_xen_tells_no_vcpu_id() {
        let cpu = xen_at(0x4000_0000, 2);
        let xen = Xen::detect(&cpu).expect("found");
        assert_eq!(xen.vcpu_id(&cpu), None);
    }

    #[test]
    fn a_xen_of_any_version_is_taken_for_what_its_leaves_say() {
        for (version, expected) in [
            (0, (0, 0)),
            (0x0063_0001, (99, 1)),
            (u32::MAX, (0xFFFF, 0xFFFF)),
        ] {
            let mut cpu = xen_at(0x4000_0000, 4);
            cpu.0.insert(0x4000_0001, leaf(version, 0, 0, 0));
            let xen = Xen::detect(&cpu).expect("found");
            assert_eq!((xen.major, xen.minor), expected);
            assert_eq!(xen.vcpu_id(&cpu), Some(3));
        }
    }

    #[test]
    fn a_machine_without_xen_or_without_its_leaves_is_not_taken_for_one() {
        assert_eq!(Xen::detect(&Fake(HashMap::new())), None);
        assert_eq!(Xen::detect(&xen_at(0x4000_0000, 1)), None);
        assert_eq!(Xen::detect(&xen_at(0x4000_0200, 4)), None);
    }

    #[test]
    fn the_vendor_decides_the_instruction() {
        assert_eq!(
            Instruction::of_vendor(&vendor(b"GenuineIntel")),
            Some(Instruction::Vmcall)
        );
        assert_eq!(
            Instruction::of_vendor(&vendor(b"  Shanghai  ")),
            Some(Instruction::Vmcall)
        );
        assert_eq!(
            Instruction::of_vendor(&vendor(b"AuthenticAMD")),
            Some(Instruction::Vmmcall)
        );
        assert_eq!(
            Instruction::of_vendor(&vendor(b"HygonGenuine")),
            Some(Instruction::Vmmcall)
        );
        assert_eq!(Instruction::of_vendor(&vendor(b"TCGTCGTCGTCG")), None);
    }
}
