//! Output, modules, unwinding, bug checks.

pub mod assertion;
pub mod bugcheck;
pub mod modules;
pub mod seh;
pub mod unwind;

use crate::machine::try_machine;
use crate::sync::Lock;
use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};
use lab_protocol::line::Encoder;

static ENCODER: Lock<Encoder> = Lock::new(Encoder::new());
/// A bug check writes alone, whoever held the lock when the processors stopped.
static ALONE: AtomicBool = AtomicBool::new(false);

fn write(encoder: &mut Encoder, text: &str) {
    if let Some(m) = try_machine() {
        encoder.encode(text, |line| m.log(line));
    }
}

/// Sends one text (a log line or a record) to the host. Any IRQL.
pub fn text(text: &str) {
    if ALONE.load(Ordering::Relaxed) {
        // SAFETY: the bug check's processor is the only one that runs.
        write(unsafe { ENCODER.steal() }, text);
    } else {
        write(&mut ENCODER.lock(), text);
    }
}

pub(crate) fn write_alone() {
    ALONE.store(true, Ordering::Relaxed);
}

/// A text of the executive's own, made without the heap. Zeroes are an empty one.
pub struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            bytes: [0; 512],
            len: 0,
        }
    }

    /// What was written, as far as it fitted.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_else(|e| {
            core::str::from_utf8(&self.bytes[..e.valid_up_to()]).unwrap_or_default()
        })
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let n = s.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Logs a line of the executive's own, cut at 512 bytes. Any IRQL; does not allocate.
pub fn log(args: core::fmt::Arguments<'_>) {
    let mut line = Line::new();
    let _ = line.write_fmt(args);
    text(line.as_str());
}

/// Logs like `format!`: `kd_log!("ke: {n} processors")`.
#[macro_export]
macro_rules! kd_log {
    ($($t:tt)*) => { $crate::kd::log(format_args!($($t)*)) };
}

/// A name's printable form from an array filled up with zeroes.
pub fn name_of(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).unwrap_or("?")
}

/// An owned copy, for records.
pub(crate) fn owned(s: &str) -> String {
    String::from(s)
}

join_exports! { bugcheck, unwind, seh }
