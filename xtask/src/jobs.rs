//! The processors of this machine, shared by the steps that run at the same time: as make does it for the programs that it
//! starts (GNU make, "Sharing Job Slots with GNU make").
//!
//! Two cargos that know nothing of each other start twice as many compilers as there are processors, and these take each
//! other's caches: together they then need a quarter more of processor time.

use anyhow::Context as _;
use jobserver::{Acquired, Client};
use std::io;
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

/// As many slots as there are processors.
static SLOTS: LazyLock<io::Result<Client>> =
    LazyLock::new(|| Client::new(thread::available_parallelism()?.get()));

/// Waits for a slot, which `command` may use until what this returns is dropped. If it is a cargo, it takes more as long as
/// there are free ones.
///
/// # Errors
/// If the slots cannot be made or taken.
pub fn take(command: &mut Command) -> anyhow::Result<Acquired> {
    let slots = SLOTS
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))
        .context("cannot count processors")?;
    let slot = slots.acquire().context("cannot wait for a processor")?;
    slots.configure(command);
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_where_the_other_slots_are() -> anyhow::Result<()> {
        let mut command = Command::new("cargo");
        let _slot = take(&mut command)?;
        let told = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            name == "CARGO_MAKEFLAGS"
                && value.is_some_and(|value| value.to_string_lossy().contains("--jobserver-auth="))
        };
        assert!(command.get_envs().any(told));
        Ok(())
    }
}
