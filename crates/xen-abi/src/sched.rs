//! Scheduler operations (`sched.h`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// End or suspend the domain (`struct sched_shutdown`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SchedShutdown {
    /// In: `SHUTDOWN_*`.
    pub reason: u32,
}

/// Wait for a port (`struct sched_poll`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SchedPoll {
    /// In: address of an array of ports.
    pub ports: u64,
    /// In: how many.
    pub nr_ports: u32,
    /// Padding.
    pub pad: u32,
    /// In: absolute system time in ns; zero: none.
    pub timeout: u64,
}

/// Restart the domain unless this is called again (`struct sched_watchdog`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SchedWatchdog {
    /// In: zero for a new one; else the id that the first call returned.
    pub id: u32,
    /// In: seconds; zero stops it.
    pub timeout: u32,
}

abi! {
    constants {
        /// No argument.
        YIELD: u32 = 0 => "SCHEDOP_yield";
        /// No argument.
        BLOCK: u32 = 1 => "SCHEDOP_block";
        /// [`SchedShutdown`].
        SHUTDOWN: u32 = 2 => "SCHEDOP_shutdown";
        /// [`SchedPoll`].
        POLL: u32 = 3 => "SCHEDOP_poll";
        /// [`SchedShutdown`]: record a reason without ending.
        SHUTDOWN_CODE: u32 = 5 => "SCHEDOP_shutdown_code";
        /// [`SchedWatchdog`].
        WATCHDOG: u32 = 6 => "SCHEDOP_watchdog";
        /// Ended normally.
        SHUTDOWN_POWEROFF: u32 = 0 => "SHUTDOWN_poweroff";
        /// Restart.
        SHUTDOWN_REBOOT: u32 = 1 => "SHUTDOWN_reboot";
        /// Save.
        SHUTDOWN_SUSPEND: u32 = 2 => "SHUTDOWN_suspend";
        /// Crashed.
        SHUTDOWN_CRASH: u32 = 3 => "SHUTDOWN_crash";
        /// Watchdog ran out.
        SHUTDOWN_WATCHDOG: u32 = 4 => "SHUTDOWN_watchdog";
        /// Reset all state, keep memory.
        SHUTDOWN_SOFT_RESET: u32 = 5 => "SHUTDOWN_soft_reset";
    }
    layouts {
        SchedShutdown = "struct sched_shutdown", 4 { reason @ 0 }
        SchedPoll = "struct sched_poll", 24 { ports @ 0, nr_ports @ 8, timeout @ 16 }
        SchedWatchdog = "struct sched_watchdog", 8 { id @ 0, timeout @ 4 }
    }
}
