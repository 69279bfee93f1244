//! The driver's registry parameters: DWORDs in `Services\xenvbd\Parameters` that stand in for a backend's keys, named as
//! in the Xen Project's driver.

use core::sync::atomic::{AtomicU64, Ordering};

use wdk_sys::PCUNICODE_STRING;
use wdm::registry::{Access, Key};
use wdm::unicode;

/// A key that can be overridden, and its value.
struct Override {
    key: &'static str,
    wide: &'static [u16],
    /// The value, or [`ABSENT`].
    value: AtomicU64,
}

const ABSENT: u64 = u64::MAX;

macro_rules! overrides {
    ($($key:literal),* $(,)?) => {
        [$(Override { key: $key, wide: wdm::wide!($key), value: AtomicU64::new(ABSENT) }),*]
    };
}

static OVERRIDES: [Override; 10] = overrides![
    "removable",
    "feature-max-indirect-segments",
    "feature-barrier",
    "feature-flush-cache",
    "feature-discard",
    "discard-enable",
    "discard-secure",
    "discard-alignment",
    "discard-granularity",
    "max-ring-page-order",
];

/// Reads the parameters. PASSIVE_LEVEL.
///
/// # Safety
/// `path` is the path of the driver's service key.
pub unsafe fn read(path: PCUNICODE_STRING) {
    // SAFETY: the caller's promise.
    let path = unsafe { unicode::units(path) };
    let key = Key::open(path, Access::Read)
        .and_then(|service| service.open_child(wdm::wide!("Parameters"), Access::Read));
    for over in &OVERRIDES {
        let value = key.as_ref().ok().and_then(|key| key.dword(over.wide).ok());
        over.value
            .store(value.map_or(ABSENT, u64::from), Ordering::Relaxed);
        if let Some(value) = value {
            wdm::info!("parameter {} = {value}", over.key);
        }
    }
}

/// The value that stands in for a backend's key.
pub fn get(key: &str) -> Option<u32> {
    let over = OVERRIDES.iter().find(|over| over.key == key)?;
    u32::try_from(over.value.load(Ordering::Relaxed)).ok()
}
