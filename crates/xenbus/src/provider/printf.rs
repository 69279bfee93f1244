//! The C-variadic methods, STORE.Printf and DEBUG.Printf.
//!
//! Stable Rust cannot define C-variadic functions. The Microsoft x64 convention passes every argument in an 8-byte word,
//! the first four in registers with room reserved for them below the others, so two short routines put the
//! registers there and hand the address of the first variable argument on to functions that take it as a pointer.
//!
//! Source: learn.microsoft.com, "x64 calling convention", varargs.

use core::ffi::{CStr, c_char, c_void};

use xenbus_core::printf::{Arguments, format};
use xenbus_interface::{Interface, NtStatus, store};

use super::{debug, store::printf_va};

core::arch::global_asm!(
    // Five named arguments: the format is on the stack already, and so is everything after it.
    ".globl xenbus_store_printf",
    "xenbus_store_printf:",
    ".seh_proc xenbus_store_printf",
    "sub rsp, 56",
    ".seh_stackalloc 56",
    ".seh_endprologue",
    "mov rax, [rsp + 96]",
    "mov [rsp + 32], rax",
    "lea rax, [rsp + 104]",
    "mov [rsp + 40], rax",
    "call {store}",
    "add rsp, 56",
    "ret",
    ".seh_endproc",
    // Two named arguments: the third and fourth are in registers and go to their home.
    ".globl xenbus_debug_printf",
    "xenbus_debug_printf:",
    ".seh_proc xenbus_debug_printf",
    "mov [rsp + 24], r8",
    "mov [rsp + 32], r9",
    "sub rsp, 40",
    ".seh_stackalloc 40",
    ".seh_endprologue",
    "lea r8, [rsp + 64]",
    "call {debug}",
    "add rsp, 40",
    "ret",
    ".seh_endproc",
    store = sym printf_va,
    debug = sym debug::printf_va,
);

unsafe extern "C" {
    fn xenbus_store_printf(
        interface: *mut Interface,
        transaction: *mut store::Transaction,
        prefix: *const c_char,
        node: *const c_char,
        format: *const c_char,
        ...
    ) -> NtStatus;
    fn xenbus_debug_printf(interface: *mut Interface, format: *const c_char, ...);
}

/// STORE.Printf.
pub const STORE_PRINTF: store::Printf = xenbus_store_printf;
/// DEBUG.Printf.
pub const DEBUG_PRINTF: xenbus_interface::debug::Printf = xenbus_debug_printf;

/// The variable arguments of a call that is under way.
struct VaList(*const u64);

impl Arguments for VaList {
    fn word(&mut self) -> u64 {
        // SAFETY: by the contract of `print` the caller passed as many arguments as its format takes.
        let word = unsafe { self.0.read() };
        self.0 = self.0.wrapping_add(1);
        word
    }

    fn byte(&self, address: u64, index: usize) -> u8 {
        let place = core::ptr::with_exposed_provenance::<u8>(address as usize).wrapping_add(index);
        // SAFETY: as in `word`: the argument is a NUL-terminated string, and `format` stops at the NUL.
        unsafe { place.read() }
    }

    fn unit(&self, address: u64, index: usize) -> u16 {
        let place = core::ptr::with_exposed_provenance::<u16>(address as usize).wrapping_add(index);
        // SAFETY: as in `byte`.
        unsafe { place.read_unaligned() }
    }
}

/// Text that a C caller formats, in a buffer of `N` bytes, and whether it fitted.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    /// Formats.
    ///
    /// # Safety
    /// `template` is a NUL-terminated string, and `arguments` points at the words that it takes, of which those for `%s`
    /// and its like are null or point at NUL-terminated strings.
    pub unsafe fn print(template: *const c_char, arguments: *const c_void) -> Self {
        // SAFETY: the caller's promise.
        let template = unsafe { CStr::from_ptr(template) };
        let mut text = Self {
            bytes: [0; N],
            length: 0,
        };
        format(
            template.to_bytes(),
            &mut VaList(arguments.cast()),
            &mut |byte| {
                if let Some(place) = text.bytes.get_mut(text.length) {
                    *place = byte;
                }
                text.length = text.length.saturating_add(1);
            },
        );
        text
    }

    /// What fitted.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.min(N)).unwrap_or_default()
    }

    /// True if there was more than fitted.
    pub fn is_truncated(&self) -> bool {
        self.length > N
    }
}
