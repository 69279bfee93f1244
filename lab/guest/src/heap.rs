//! The executive's own heap, by crate `talc`. Drivers' pool does not come from here (`ntexec::ex::pool`).

use core::sync::atomic::{AtomicBool, Ordering};
use ntexec::machine::try_machine;
use talc::{ErrOnOom, Span, Talc, Talck};

/// Rounds after which a lock's holder is taken for stopped.
const STUCK: u32 = 1 << 20;

/// A spin lock that keeps interrupts off, for `lock_api`.
pub struct RawLock {
    held: AtomicBool,
    enable: AtomicBool,
}

// SAFETY: `held` is taken by one processor at a time.
unsafe impl lock_api::RawMutex for RawLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self {
        held: AtomicBool::new(false),
        enable: AtomicBool::new(false),
    };
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        let enable = try_machine().is_some_and(|m| m.disable_interrupts());
        let mut spins = 0u32;
        while self.held.swap(true, Ordering::Acquire) {
            // A bug check stops the other processors, perhaps one that holds this: the report goes on without it.
            if spins > STUCK && ntexec::kd::bugcheck::in_progress() {
                break;
            }
            if let Some(m) = try_machine() {
                m.relax(spins);
            }
            spins = spins.saturating_add(1);
        }
        self.enable.store(enable, Ordering::Relaxed);
    }

    fn try_lock(&self) -> bool {
        let enable = try_machine().is_some_and(|m| m.disable_interrupts());
        if self.held.swap(true, Ordering::Acquire) {
            restore(enable);
            return false;
        }
        self.enable.store(enable, Ordering::Relaxed);
        true
    }

    unsafe fn unlock(&self) {
        let enable = self.enable.load(Ordering::Relaxed);
        self.held.store(false, Ordering::Release);
        restore(enable);
    }
}

fn restore(enable: bool) {
    if enable && let Some(m) = try_machine() {
        m.enable_interrupts();
    }
}

#[global_allocator]
static HEAP: Talck<RawLock, ErrOnOom> = Talc::new(ErrOnOom).lock();

/// Gives the heap its memory.
///
/// # Safety
/// The memory must be mapped, writable, and nobody else's.
pub unsafe fn claim(base: *mut u8, size: usize) -> bool {
    // SAFETY: by the caller's word.
    unsafe { HEAP.lock().claim(Span::from_base_size(base, size)) }.is_ok()
}
