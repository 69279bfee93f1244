//! The kernel: IRQL, locks, threads, waits, DPCs, timers, interrupts, processors.
