//! UNPLUG: children ask that the emulated twins of their devices go away at the next boot.

use core::ffi::{CStr, c_char};

use xenbus_core::unplug::Kind;
use xenbus_interface::unplug::{UnplugV1, UnplugV2, UnplugV3};
use xenbus_interface::{Boolean, Interface, NtStatus};

use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 3] = [
    Offer::of::<UnplugV1>(),
    Offer::of::<UnplugV2>(),
    Offer::of::<UnplugV3>(),
];

/// Longest module name that is taken for one.
const MODULE: usize = 64;

/// The bus's unplug accounting. PASSIVE_LEVEL.
pub trait UnplugHost: Sync {
    /// Counts a request for the next boot, or takes one back.
    fn request(&self, kind: Kind, make: bool);
    /// The devices of this kind were unplugged in this boot.
    fn is_requested(&self, kind: Kind) -> bool;
    /// The system is to boot from the emulated disk.
    fn boot_emulated(&self) -> bool;
    /// A child's module wants the system to be restarted.
    fn reboot(&self, module: &str);
}

/// State of the interface.
#[derive(Debug, Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
}

impl Template for UnplugV1 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            request,
        }
    }
}

impl Template for UnplugV2 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            request,
            is_requested,
        }
    }
}

impl Template for UnplugV3 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            request,
            is_requested,
            boot_emulated,
            reboot,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.unplug.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.unplug.references.release("UNPLUG");
}

unsafe extern "system" fn request(interface: *mut Interface, kind: u32, make: Boolean) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    match Kind::from_raw(kind) {
        Some(kind) => providers.config.unplug.request(kind, make != 0),
        None => wdm::warn!("unplug request for devices of unknown kind {kind}"),
    }
}

unsafe extern "system" fn is_requested(interface: *mut Interface, kind: u32) -> Boolean {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    Kind::from_raw(kind)
        .is_some_and(|kind| providers.config.unplug.is_requested(kind))
        .into()
}

unsafe extern "system" fn boot_emulated(interface: *mut Interface) -> Boolean {
    // SAFETY: called through a table of ours.
    unsafe { providers(interface) }
        .config
        .unplug
        .boot_emulated()
        .into()
}

unsafe extern "system" fn reboot(interface: *mut Interface, module: *const c_char) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    if module.is_null() {
        return;
    }
    // SAFETY: the consumer passes a C string.
    let name = unsafe { CStr::from_ptr(module) }.to_bytes();
    match core::str::from_utf8(name) {
        Ok(name) if name.len() <= MODULE => providers.config.unplug.reboot(name),
        _ => wdm::warn!("a child of ours asks for a reboot, under a name that is none"),
    }
}
