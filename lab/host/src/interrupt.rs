//! Ctrl-C: every wait of the lab looks here, so that everything is ended and removed in order.

use anyhow::bail;
use std::io;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// How often a wait looks.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// From here on SIGINT and SIGTERM are noted; a second one ends the process at once.
///
/// # Errors
/// If the handlers cannot be set.
pub fn catch() -> io::Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&REQUESTED))?;
        signal_hook::flag::register(signal, Arc::clone(&REQUESTED))?;
    }
    Ok(())
}

/// Checks for a signal.
///
/// # Errors
/// If one came.
pub fn check() -> anyhow::Result<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
