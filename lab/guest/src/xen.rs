//! What the machine itself asks of Xen: is it there, how fast is the clock, end the domain, give the processor away.
//! Sources: xen/include/public/arch-x86/cpuid.h, sched.h.

use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicBool, Ordering};

const SCHED_OP: u64 = 29;
const SCHEDOP_YIELD: u64 = 0;
const SCHEDOP_SHUTDOWN: u64 = 2;

static PRESENT: AtomicBool = AtomicBool::new(false);
static INTEL: AtomicBool = AtomicBool::new(false);

/// Why the domain ends (sched.h, `SHUTDOWN_*`).
#[derive(Clone, Copy)]
pub enum Reason {
    /// Power off
    PowerOff = 0,
    /// Restart
    Reboot = 1,
    /// Something broke
    Crash = 3,
}

fn base() -> Option<u32> {
    (0x4000_0000..0x4001_0000).step_by(0x100).find(|&leaf| {
        let r = __cpuid_count(leaf, 0);
        [r.ebx, r.ecx, r.edx] == [0x566E_6558, 0x6558_4D4D, 0x4D4D_566E]
    })
}

/// Looks for Xen; remembers if it is there.
pub fn detect() -> bool {
    let present = base().is_some();
    PRESENT.store(present, Ordering::Relaxed);
    INTEL.store(
        __cpuid_count(0, 0).ebx == u32::from_le_bytes(*b"Genu"),
        Ordering::Relaxed,
    );
    present
}

/// The guest's TSC in Hz, where Xen says (leaf base + 3, ecx: kHz).
pub fn tsc_frequency() -> Option<u64> {
    let khz = __cpuid_count(base()? + 3, 0).ecx;
    (khz != 0).then_some(u64::from(khz) * 1000)
}

fn sched_op(op: u64, arg: *const u32) -> u64 {
    let result;
    // SAFETY: `vmmcall` (on Intel's processors `vmcall`) with Xen present makes the hypercall; both operations only
    // read `arg`, and may spoil the argument registers.
    unsafe {
        if INTEL.load(Ordering::Relaxed) {
            core::arch::asm!("vmcall", inout("rax") SCHED_OP => result, inout("rdi") op => _, inout("rsi") arg => _,
                options(nostack));
        } else {
            core::arch::asm!("vmmcall", inout("rax") SCHED_OP => result, inout("rdi") op => _, inout("rsi") arg => _,
                options(nostack));
        }
    }
    result
}

/// Gives the processor to another virtual CPU.
pub fn yield_cpu() {
    if PRESENT.load(Ordering::Relaxed) {
        sched_op(SCHEDOP_YIELD, core::ptr::null());
    }
}

/// Ends the domain, if there is one.
pub fn shutdown(reason: Reason) {
    if PRESENT.load(Ordering::Relaxed) {
        let reason = reason as u32;
        sched_op(SCHEDOP_SHUTDOWN, &raw const reason);
    }
}
