//! How fast the time stamp counter runs, and waiting by it.

use crate::ports::{port_in, port_out};

const PIT_HZ: u64 = 1_193_182;
const PIT_CHANNEL_2: u16 = 0x42;
const PIT_COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;

/// The time stamp counter.
pub fn tsc() -> u64 {
    // SAFETY: reading the counter has no precondition.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter's frequency in Hz: by Xen's word, else measured against 50 ms of the PIT.
pub fn tsc_frequency() -> u64 {
    crate::xen::tsc_frequency().unwrap_or_else(measure)
}

fn measure() -> u64 {
    let counts = PIT_HZ / 20;
    let gate = port_in(GATE, 1) & !3;
    port_out(GATE, 1, gate | 1);
    port_out(PIT_COMMAND, 1, 0xB0); // channel 2, both bytes, mode 0: output rises at the end
    port_out(PIT_CHANNEL_2, 1, counts as u32 & 0xFF);
    port_out(PIT_CHANNEL_2, 1, counts as u32 >> 8);
    let start = tsc();
    let mut polls = 0u32;
    while port_in(GATE, 1) & 0x20 == 0 && polls < 10_000_000 {
        polls += 1;
    }
    (tsc() - start) * 20
}

/// Waits by the counter.
pub fn wait(microseconds: u64, frequency: u64) {
    let end = tsc() + microseconds * frequency / 1_000_000;
    while tsc() < end {
        core::hint::spin_loop();
    }
}
