//! SHARED_INFO: the two-level ABI's bits, and the time, for children that want them raw.

use core::ffi::c_void;

use xen_guest::evtchn::{EventAbi, TwoLevel};
use xen_guest::shared_info;
use xenbus_interface::shared_info::{Event, SharedInfoV2, SharedInfoV3, SharedInfoV4};
use xenbus_interface::{Boolean, Interface, NtStatus};

use super::running::Running;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 3] = [
    Offer::of::<SharedInfoV2>(),
    Offer::of::<SharedInfoV3>(),
    Offer::of::<SharedInfoV4>(),
];

/// State of the interface.
#[derive(Debug, Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
}

impl Template for SharedInfoV2 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            upcall_pending,
            evtchn_poll,
            evtchn_ack,
            evtchn_mask,
            evtchn_unmask,
            get_time: get_time_v2,
        }
    }
}

impl Template for SharedInfoV3 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            upcall_pending,
            evtchn_poll,
            evtchn_ack,
            evtchn_mask,
            evtchn_unmask,
            get_time,
        }
    }
}

impl Template for SharedInfoV4 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            upcall_supported,
            upcall_pending,
            evtchn_poll,
            evtchn_ack,
            evtchn_mask,
            evtchn_unmask,
            get_time,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.shared_info.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.shared_info.references.release("SHARED_INFO");
}

/// The running services; the interface's methods do nothing without them.
///
/// # Safety
/// As for [`providers`].
unsafe fn running<'a>(interface: *mut Interface) -> Option<&'a Running> {
    // SAFETY: the caller's promise.
    unsafe { providers(interface) }.running()
}

unsafe extern "system" fn upcall_supported(interface: *mut Interface, index: u32) -> Boolean {
    // SAFETY: called through a table of ours.
    let running = unsafe { running(interface) };
    running
        .and_then(|running| running.vcpu_info(index))
        .is_some()
        .into()
}

unsafe extern "system" fn upcall_pending(interface: *mut Interface, index: u32) -> Boolean {
    // SAFETY: called through a table of ours.
    let running = unsafe { running(interface) };
    running
        .and_then(|running| running.vcpu_info(index))
        .is_some_and(shared_info::take_upcall)
        .into()
}

unsafe extern "system" fn evtchn_poll(
    interface: *mut Interface,
    index: u32,
    event: Event,
    argument: *mut c_void,
) -> Boolean {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return 0;
    };
    let Some(vcpu) = running.vcpu(index) else {
        return 0;
    };
    let mut handled = 0;
    two_level(running).poll(vcpu, u32::MAX, &mut |port| {
        // SAFETY: the consumer's function with its argument, for the length of its own call.
        handled |= unsafe { event(argument, port) };
    });
    (handled != 0).into()
}

unsafe extern "system" fn evtchn_ack(interface: *mut Interface, port: u32) {
    // SAFETY: called through a table of ours.
    if let Some(running) = unsafe { running(interface) } {
        two_level(running).ack(port);
    }
}

unsafe extern "system" fn evtchn_mask(interface: *mut Interface, port: u32) {
    // SAFETY: called through a table of ours.
    if let Some(running) = unsafe { running(interface) } {
        two_level(running).mask(port);
    }
}

/// True: an event waits; the port is unmasked all the same, as in the C drivers.
unsafe extern "system" fn evtchn_unmask(interface: *mut Interface, port: u32) -> Boolean {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return 0;
    };
    two_level(running).unmask_raw(port).into()
}

/// The page's own view of events, whichever ABI the bus uses.
fn two_level(running: &Running) -> EventAbi {
    EventAbi::TwoLevel(TwoLevel::new(running.shared_info()))
}

unsafe extern "system" fn get_time_v2(interface: *mut Interface) -> i64 {
    let mut time = 0;
    // SAFETY: called through a table of ours; the place is on this stack.
    unsafe { get_time(interface, &raw mut time, core::ptr::null_mut()) };
    time
}

unsafe extern "system" fn get_time(interface: *mut Interface, time: *mut i64, local: *mut Boolean) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    let now = providers
        .running()
        .and_then(Running::file_time)
        .unwrap_or(0);
    // SAFETY: the consumer passes a place for the time.
    unsafe { time.write(now as i64) };
    if !local.is_null() {
        // SAFETY: not null: the consumer passes a place for the flag.
        unsafe { local.write(providers.config.local_time.into()) };
    }
}
