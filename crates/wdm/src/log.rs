//! Log lines: one an event, to the kernel debugger's output (`DbgPrintEx`, component IHVDRIVER).

use core::fmt;

use crate::text::FormatBuffer;

/// How much a line matters; the numbers are `DbgPrintEx`'s levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed and stays failed.
    Error = 0,
    /// Something unexpected was dealt with.
    Warning = 1,
    /// A state change worth knowing of.
    Info = 3,
}

/// Longest line in bytes: `DbgPrintEx` passes on at most 512 at a time.
const LINE: usize = 384;

/// Writes one line. Any IRQL at which `DbgPrintEx` may be called, which is any with interrupts enabled.
pub fn write(level: Level, arguments: fmt::Arguments<'_>) {
    let line = FormatBuffer::<LINE>::format(arguments);
    let end = if line.is_truncated() { c"...\n" } else { c"\n" };
    // SAFETY: the format takes two NUL-terminated strings, which live until the call returns.
    unsafe {
        wdk_sys::ntddk::DbgPrintEx(
            wdk_sys::_DPFLTR_TYPE::DPFLTR_IHVDRIVER_ID as u32,
            level as u32,
            c"%s%s".as_ptr().cast(),
            line.as_ptr(),
            end.as_ptr(),
        )
    };
}

/// Logs at [`Level::Error`], the crate's name before the text.
#[macro_export]
macro_rules! error {
    ($($argument:tt)*) => {
        $crate::log::write(
            $crate::log::Level::Error,
            format_args!("{}: {}", env!("CARGO_PKG_NAME"), format_args!($($argument)*)),
        )
    };
}

/// Logs at [`Level::Warning`], the crate's name before the text.
#[macro_export]
macro_rules! warn {
    ($($argument:tt)*) => {
        $crate::log::write(
            $crate::log::Level::Warning,
            format_args!("{}: {}", env!("CARGO_PKG_NAME"), format_args!($($argument)*)),
        )
    };
}

/// Logs at [`Level::Info`], the crate's name before the text.
#[macro_export]
macro_rules! info {
    ($($argument:tt)*) => {
        $crate::log::write(
            $crate::log::Level::Info,
            format_args!("{}: {}", env!("CARGO_PKG_NAME"), format_args!($($argument)*)),
        )
    };
}
