//! StorPortNotification.

use core::ffi::c_void;

use super::adapter::{Adapter, Phase};
use super::os::*;
use super::{completion, locks, request, rules, scan, timers};
use crate::nt::storport::*;

/// A C variadic function's arguments behind its named ones, each in eight bytes, as win64 lays them out.
#[derive(Clone, Copy)]
pub(crate) struct Arguments(*const u64);

impl Arguments {
    /// Arguments that begin there.
    pub fn new(first: *const u64) -> Self {
        Self(first)
    }

    /// The argument with that number, from 0.
    ///
    /// # Safety
    /// The caller must have passed that many.
    unsafe fn raw(self, index: usize) -> u64 {
        // SAFETY: by the caller's word.
        unsafe { self.0.add(index).read() }
    }

    /// A pointer.
    ///
    /// # Safety
    /// The caller must have passed that many.
    pub unsafe fn pointer<T>(self, index: usize) -> *mut T {
        // SAFETY: by the caller's word.
        (unsafe { self.raw(index) }) as usize as *mut T
    }

    /// A 64-bit integer.
    ///
    /// # Safety
    /// The caller must have passed that many.
    pub unsafe fn long(self, index: usize) -> u64 {
        // SAFETY: by the caller's word.
        unsafe { self.raw(index) }
    }

    /// A 32-bit integer; the upper half of its slot is undefined.
    ///
    /// # Safety
    /// The caller must have passed that many.
    pub unsafe fn int(self, index: usize) -> u32 {
        // SAFETY: by the caller's word.
        (unsafe { self.raw(index) }) as u32
    }

    /// An 8-bit integer.
    ///
    /// # Safety
    /// The caller must have passed that many.
    pub unsafe fn byte(self, index: usize) -> u8 {
        // SAFETY: by the caller's word.
        (unsafe { self.raw(index) }) as u8
    }
}

/// Lays the register arguments beside those on the stack and calls `$inner(first, second, arguments behind them)`.
macro_rules! variadic {
    ($(#[$doc:meta])* $name:ident => $inner:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the DDI page says.
        #[unsafe(naked)]
        pub unsafe extern "win64" fn $name() {
            core::arch::naked_asm!(
                "mov [rsp + 8], rcx",
                "mov [rsp + 16], rdx",
                "mov [rsp + 24], r8",
                "mov [rsp + 32], r9",
                "lea r8, [rsp + 24]",
                "sub rsp, 40",
                "call {inner}",
                "add rsp, 40",
                "ret",
                inner = sym $inner,
            )
        }
    };
}
pub(crate) use variadic;

variadic! {
    /// StorPortNotification(type, device extension, …).
    StorPortNotification => notification
}

unsafe extern "win64" fn notification(kind: u32, extension: *mut c_void, arguments: *const u64) {
    let a = Arguments(arguments);
    // SAFETY: a miniport passes its device extension.
    let Some(adapter) = (unsafe { Adapter::of(extension) }) else {
        return;
    };
    // SAFETY: each type has the arguments that its DDI page, or the inline function that passes it, names.
    unsafe {
        match kind {
            REQUEST_COMPLETE | REQUEST_DIRECT_COMPLETE => {
                completion::request_complete(adapter, a.pointer(0))
            }
            NEXT_REQUEST
            | NEXT_LU_REQUEST
            | WMI_EVENT
            | WMI_REREGISTER
            | BUFFER_OVERRUN_DETECTED
            | IO_TARGET_REQUEST_SERVICE_TIME
            | TRACE_NOTIFICATION => {}
            RESET_DETECTED => super::timeout::hold_after_reset(adapter),
            REQUEST_TIMER_CALL => {
                timers::request_timer_call(adapter, a.pointer::<c_void>(0), a.int(1))
            }
            BUS_CHANGE_DETECTED => scan::bus_changed(adapter),
            LINK_DOWN => adapter.state.lock().link_down = Some(now() + 30 * SECOND),
            LINK_UP => {
                if adapter.state.lock().link_down.take().is_some() {
                    request::kick_all(adapter);
                }
            }
            QUERY_TICK_COUNT => {
                let out = a.pointer::<i64>(0);
                if !out.is_null() {
                    out.write(now() as i64);
                }
            }
            ENABLE_PASSIVE_INITIALIZATION => {
                let allowed = adapter.phase() == Phase::Initializing;
                if allowed {
                    *adapter.passive.lock() =
                        core::mem::transmute::<*mut c_void, Option<HwBoolean>>(a.pointer(0));
                }
                write_byte(a.pointer(1), u8::from(allowed));
            }
            INITIALIZE_DPC => timers::initialize_dpc(
                adapter,
                a.pointer(0),
                a.pointer(1),
                core::ptr::null_mut(),
                false,
            ),
            INITIALIZE_DPC_WITH_CONTEXT => {
                timers::initialize_dpc(adapter, a.pointer(0), a.pointer(1), a.pointer(2), false)
            }
            INITIALIZE_THREADED_DPC => {
                timers::initialize_dpc(adapter, a.pointer(0), a.pointer(1), a.pointer(2), true)
            }
            ISSUE_DPC => {
                let queued = KeInsertQueueDpc(a.pointer(0), a.pointer(1), a.pointer(2));
                write_byte(a.pointer(3), queued);
            }
            ACQUIRE_SPIN_LOCK => {
                locks::acquire(adapter, a.int(0), a.pointer(1), a.pointer(2));
            }
            RELEASE_SPIN_LOCK => locks::release(adapter, a.pointer(0)),
            STATE_CHANGE_DETECTED => {
                let status = scan::state_changed(
                    adapter,
                    a.pointer::<c_void>(3),
                    a.pointer(4),
                    a.pointer(1),
                );
                write_status(a.pointer(5), status);
            }
            ASYNC_NOTIFICATION_DETECTED => write_status(a.pointer(2), STOR_STATUS_SUCCESS),
            MARK_DEVICE_FAILED_EX => {
                rules::log(
                    adapter,
                    format_args!(
                        "the miniport says that its device failed (fault {:#x})",
                        a.int(2)
                    ),
                );
                write_status(a.pointer(8), STOR_STATUS_SUCCESS);
            }
            _ => rules::broken(
                adapter,
                "StorPortNotification",
                "STORPORT",
                format_args!("unknown notification type {kind:#x}"),
            ),
        }
    }
}

unsafe fn write_byte(to: *mut u8, value: u8) {
    if !to.is_null() {
        // SAFETY: the inline functions of storport.h pass the address of a local of theirs.
        unsafe { to.write(value) };
    }
}

unsafe fn write_status(to: *mut u32, value: u32) {
    if !to.is_null() {
        // SAFETY: the inline functions of storport.h pass the address of a local of theirs.
        unsafe { to.write(value) };
    }
}
