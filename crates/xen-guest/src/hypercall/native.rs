//! The ways into the hypervisor.
//!
//! The CPU's own instruction is the default. The hypercall page, code that Xen writes, is what XSA-466
//! warns of; it serves where the CPU's vendor is unknown or the administrator asks for it.

use core::arch::asm;

use xen_abi::hypercall::PAGE_ENTRY_SIZE;

use crate::cpuid::{Cpu, Instruction, Xen};

/// Something that executes hypercalls.
///
/// # Safety
/// An implementation passes its arguments to Xen, or to something that treats them as Xen would,
/// and returns what that returns; it touches no other memory than the operation does.
pub unsafe trait RawHypercall {
    /// Hypercall `number` with up to three arguments (rdi, rsi, rdx). Any IRQL.
    ///
    /// # Safety
    /// The arguments are right for that hypercall: an address among them is that of resident memory
    /// of the size that the operation reads and writes, exclusively borrowed for the call.
    unsafe fn call(&self, number: u32, args: [u64; 3]) -> i64;
}

/// How [`Native`] enters Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By an instruction.
    Instruction(Instruction),
    /// Through the hypercall page at this address.
    Page(usize),
}

/// There is no way into Xen: the vendor is unknown and there is no hypercall page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown CPU vendor and no hypercall page")]
pub struct NoWay;

/// Hypercalls of the CPU that runs this code.
#[derive(Clone, Copy, Debug)]
pub struct Native {
    way: Way,
}

impl Native {
    /// Enters Xen by the CPU's own instruction.
    ///
    /// # Safety
    /// The code runs as a guest of Xen: `xen` is what [`Xen::detect`] found on this machine.
    pub unsafe fn by_instruction(_xen: &Xen, cpu: &impl Cpu) -> Result<Self, NoWay> {
        let instruction = Instruction::of_vendor(cpu).ok_or(NoWay)?;
        Ok(Self {
            way: Way::Instruction(instruction),
        })
    }

    /// Lets Xen write its calls into `page` and enters through it. Executes WRMSR.
    ///
    /// # Safety
    /// As for [`Native::by_instruction`], at CPL 0; `page` is the address of a 4 KiB page of executable
    /// memory that is used for nothing else and stays for as long as the result is used;
    /// `page_address` is its guest physical address.
    pub unsafe fn by_page(xen: &Xen, page: usize, page_address: u64) -> Self {
        // SAFETY: Xen defines this MSR; writing the page's address makes Xen fill that page only.
        unsafe { write_msr(xen.hypercall_msr, page_address) };
        Self {
            way: Way::Page(page),
        }
    }

    /// The way that was chosen.
    pub fn way(&self) -> Way {
        self.way
    }
}

/// WRMSR.
///
/// # Safety
/// At CPL 0, with an MSR and a value that break nothing.
unsafe fn write_msr(msr: u32, value: u64) {
    // SAFETY: the caller's.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack));
    }
}

// SAFETY: the arguments go to Xen as they are. Xen preserves all registers but rax and, in debug
// builds, those of the arguments.
unsafe impl RawHypercall for Native {
    unsafe fn call(&self, number: u32, args: [u64; 3]) -> i64 {
        let [rdi, rsi, rdx] = args;
        let result: i64;
        match self.way {
            Way::Instruction(Instruction::Vmcall) => {
                // SAFETY: the caller's.
                unsafe {
                    asm!("vmcall", inlateout("rax") u64::from(number) => result, inlateout("rdi") rdi => _,
                        inlateout("rsi") rsi => _, inlateout("rdx") rdx => _, options(nostack));
                }
            }
            Way::Instruction(Instruction::Vmmcall) => {
                // SAFETY: the caller's.
                unsafe {
                    asm!("vmmcall", inlateout("rax") u64::from(number) => result, inlateout("rdi") rdi => _,
                        inlateout("rsi") rsi => _, inlateout("rdx") rdx => _, options(nostack));
                }
            }
            Way::Page(page) => {
                let entry = page + number as usize * PAGE_ENTRY_SIZE;
                // SAFETY: the caller's; the page holds Xen's code by the contract of `by_page`.
                unsafe {
                    asm!("call {entry}", entry = in(reg) entry, lateout("rax") result, inlateout("rdi") rdi => _,
                        inlateout("rsi") rsi => _, inlateout("rdx") rdx => _);
                }
            }
        }
        result
    }
}

/// Defines a hypercall page in the code section of the image that expands this: a function
/// `hypercall_page() -> usize` that returns its address.
///
/// The page is part of the image, never writable by the guest. Until Xen has filled it, it holds int3.
#[macro_export]
macro_rules! hypercall_page {
    () => {
        core::arch::global_asm!(
            ".text",
            ".balign 4096, 0xcc",
            ".globl xen_hypercall_page",
            "xen_hypercall_page:",
            ".fill 4096, 1, 0xcc",
        );

        /// Address of the page that Xen fills with its hypercalls.
        fn hypercall_page() -> usize {
            unsafe extern "C" {
                static xen_hypercall_page: [u8; 4096];
            }
            (&raw const xen_hypercall_page).addr()
        }
    };
}
