//! The processor control region, which GS points at.
//!
//! WDK headers inline reads of `gs:[0x188]` (current thread), `gs:[0x184]` (processor number) and `gs:[0x20]`
//! (`CurrentPrcb`); the rest of the KPRCB is not public and here the executive's own.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::thread::KTHREAD;
use crate::nt::ke::KIRQL;

/// Processors that the executive can run.
pub const MAX_CPUS: usize = 32;

/// A processor's block. The offsets up to `IdleThread` are NT's.
#[repr(C, align(4096))]
pub struct Kpcr {
    tib: [u64; 3],
    self_pointer: AtomicPtr<Kpcr>,
    current_prcb: AtomicPtr<u32>,
    unused: [u64; 5],
    irql: UnsafeCell<KIRQL>,
    fill: [u8; 0x180 - 0x51],
    mxcsr: u32,
    number: AtomicU32,
    current_thread: AtomicPtr<KTHREAD>,
    next_thread: AtomicPtr<KTHREAD>,
    idle_thread: AtomicPtr<KTHREAD>,
    /// Something waits for IRQL to fall below DISPATCH_LEVEL.
    pub software_pending: AtomicBool,
    /// The scheduler is to choose anew.
    pub reschedule: AtomicBool,
    /// A timer is due.
    pub timers_due: AtomicBool,
    /// A DPC routine runs.
    pub in_dpc: AtomicBool,
    /// Interrupt routines on the stack.
    pub in_isr: AtomicU32,
    /// Ticks left of the current thread's quantum.
    pub quantum: AtomicU32,
    /// Clock interrupts taken.
    pub ticks: AtomicU64,
    /// Clock interrupts that found it idle.
    pub idle_ticks: AtomicU64,
    /// Interrupts from devices.
    pub device_interrupts: AtomicU64,
    /// Interrupts from other processors.
    pub ipis: AtomicU64,
    /// DPCs run.
    pub dpcs: AtomicU64,
    /// Changes of threads.
    pub switches: AtomicU64,
    /// The thread that this processor has just switched from.
    pub previous_thread: AtomicPtr<KTHREAD>,
    /// This processor takes part.
    pub online: AtomicBool,
}

const _: () = {
    assert!(core::mem::offset_of!(Kpcr, self_pointer) == 0x18);
    assert!(core::mem::offset_of!(Kpcr, current_prcb) == 0x20);
    assert!(core::mem::offset_of!(Kpcr, irql) == 0x50);
    assert!(core::mem::offset_of!(Kpcr, number) == 0x184);
    assert!(core::mem::offset_of!(Kpcr, current_thread) == 0x188);
    assert!(core::mem::offset_of!(Kpcr, idle_thread) == 0x198);
};

// SAFETY: `irql` is used by its own processor only; the rest is atomic.
unsafe impl Sync for Kpcr {}

impl Kpcr {
    const fn new() -> Self {
        Self {
            tib: [0; 3],
            self_pointer: AtomicPtr::new(core::ptr::null_mut()),
            current_prcb: AtomicPtr::new(core::ptr::null_mut()),
            unused: [0; 5],
            irql: UnsafeCell::new(0),
            fill: [0; 0x180 - 0x51],
            mxcsr: 0x1F80,
            number: AtomicU32::new(0),
            current_thread: AtomicPtr::new(core::ptr::null_mut()),
            next_thread: AtomicPtr::new(core::ptr::null_mut()),
            idle_thread: AtomicPtr::new(core::ptr::null_mut()),
            software_pending: AtomicBool::new(false),
            reschedule: AtomicBool::new(false),
            timers_due: AtomicBool::new(false),
            in_dpc: AtomicBool::new(false),
            in_isr: AtomicU32::new(0),
            quantum: AtomicU32::new(0),
            ticks: AtomicU64::new(0),
            idle_ticks: AtomicU64::new(0),
            device_interrupts: AtomicU64::new(0),
            ipis: AtomicU64::new(0),
            dpcs: AtomicU64::new(0),
            switches: AtomicU64::new(0),
            previous_thread: AtomicPtr::new(core::ptr::null_mut()),
            online: AtomicBool::new(false),
        }
    }

    /// The processor's index.
    pub fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed) as usize
    }

    /// The thread that it runs.
    pub fn current(&self) -> *mut KTHREAD {
        self.current_thread.load(Ordering::Relaxed)
    }

    /// Sets the thread that it runs.
    pub fn set_current(&self, thread: *mut KTHREAD) {
        self.current_thread.store(thread, Ordering::Relaxed);
    }

    /// What it runs when there is nothing to run.
    pub fn idle(&self) -> *mut KTHREAD {
        self.idle_thread.load(Ordering::Relaxed)
    }

    /// Does it run its idle thread?
    pub fn is_idle(&self) -> bool {
        self.current() == self.idle()
    }

    /// Makes this block processor `index`'s, with the idle thread given.
    pub fn initialize(&self, index: usize, idle: *mut KTHREAD) {
        let this = core::ptr::from_ref(self).cast_mut();
        self.self_pointer.store(this, Ordering::Relaxed);
        self.current_prcb.store(
            this.cast::<u8>().wrapping_add(0x180).cast(),
            Ordering::Relaxed,
        );
        self.number.store(index as u32, Ordering::Relaxed);
        self.current_thread.store(idle, Ordering::Relaxed);
        self.idle_thread.store(idle, Ordering::Relaxed);
    }
}

static BLOCKS: [Kpcr; MAX_CPUS] = [const { Kpcr::new() }; MAX_CPUS];

/// The block of processor `index`; of processor 0 if there is no such.
pub fn block(index: usize) -> &'static Kpcr {
    BLOCKS.get(index).unwrap_or(&BLOCKS[0])
}

/// This processor's block. The caller keeps to the processor (IRQL at least DISPATCH_LEVEL, or interrupts off) for as
/// long as it matters.
pub fn this() -> &'static Kpcr {
    #[cfg(target_os = "none")]
    {
        let pcr: *const Kpcr;
        // SAFETY: GS points at a block, which holds its own address at 0x18.
        unsafe {
            core::arch::asm!("mov {}, gs:[0x18]", out(reg) pcr, options(nostack, readonly, preserves_flags));
            &*pcr
        }
    }
    #[cfg(not(target_os = "none"))]
    block(crate::machine::try_machine().map_or(0, |m| m.current_cpu()))
}

/// This processor's IRQL, read in one instruction.
pub fn irql() -> KIRQL {
    #[cfg(target_os = "none")]
    {
        let level: u32;
        // SAFETY: GS points at a block with the IRQL at 0x50.
        unsafe {
            core::arch::asm!("movzx {0:e}, byte ptr gs:[0x50]", out(reg) level, options(nostack, readonly, preserves_flags));
        }
        level as KIRQL
    }
    // SAFETY: only this processor uses its IRQL.
    #[cfg(not(target_os = "none"))]
    unsafe {
        *this().irql.get()
    }
}

/// Sets this processor's IRQL, and nothing else.
pub fn set_irql(level: KIRQL) {
    #[cfg(target_os = "none")]
    // SAFETY: GS points at a block with the IRQL at 0x50.
    unsafe {
        core::arch::asm!("mov byte ptr gs:[0x50], {}", in(reg_byte) level, options(nostack, preserves_flags));
    }
    // SAFETY: only this processor uses its IRQL.
    #[cfg(not(target_os = "none"))]
    unsafe {
        *this().irql.get() = level;
    }
}
