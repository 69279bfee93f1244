//! EVTCHN: event channels.
//!
//! A channel is a place of the table in disguise. Functions run in interrupt context on the processor that the channel is
//! bound to.

use core::ffi::c_void;

use wdm::irql::Raised;
use wdm::status::Status;
use wdm::time;
use xen_abi::DomId;
use xen_guest::XenError;
use xen_guest::evtchn::{ChannelId, OpenChannel, reached};
use xen_guest::hypercall::{EventChannelOps, SchedOps};
use xenbus_interface::evtchn::{
    Channel, EvtchnV5, EvtchnV6, EvtchnV7, EvtchnV8, EvtchnV9, Function, Open, TYPE_FIXED,
    TYPE_INTER_DOMAIN, TYPE_UNBOUND, TYPE_VIRQ,
};
use xenbus_interface::{Boolean, Interface, NtStatus};

use super::running::Running;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 5] = [
    Offer::of::<EvtchnV5>(),
    Offer::of::<EvtchnV6>(),
    Offer::of::<EvtchnV7>(),
    Offer::of::<EvtchnV8>(),
    Offer::of::<EvtchnV9>(),
];

/// `STATUS_TIMEOUT`.
const TIMEOUT: NtStatus = 0x102;
/// The first version whose VIRQ takes a processor.
const VIRQ_HAS_PROCESSOR: u16 = 9;
/// How long one step of a spinning wait is, in microseconds.
const SPIN: u32 = 5;
/// After how many 100 ns a wait without end says so, again and again.
const PATIENCE: u64 = 100_000_000;
/// How long a closer waits for functions that run on other processors, in 100 ns.
const CLOSE_LIMIT: u64 = 100_000_000;

/// State of the interface.
#[derive(Debug, Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
}

/// `Open` with the trailing arguments as the words that the x64 convention makes of them.
type OpenWords =
    unsafe extern "C" fn(*mut Interface, u32, Function, *mut c_void, u64, u64, u64) -> *mut Channel;

// SAFETY: on x64 a variadic function is called like one with as many integer parameters; the callee reads only the
// words that its type's callers passed.
const OPEN: Open = unsafe { core::mem::transmute::<OpenWords, Open>(open) };

macro_rules! templates {
    ($($version:ty { $($slot:ident $(: $method:path)?),* })*) => {
        $(impl Template for $version {
            fn template(interface: Interface) -> Self {
                Self { interface, acquire, release, open: OPEN, bind, $($slot $(: $method)?),* }
            }
        })*
    };
}

templates! {
    EvtchnV5 { unmask: unmask_v4, send, trigger, wait: wait_v5, get_port, close }
    EvtchnV6 { unmask: unmask_v4, send, trigger, wait: wait_v5, get_port, close }
    EvtchnV7 { unmask: unmask_v4, send, trigger, get_count, wait, get_port, close }
    EvtchnV8 { unmask, send, trigger, get_count, wait, get_port, close }
    EvtchnV9 { unmask, send, trigger, get_count, wait, get_port, close }
}

fn to_channel(id: ChannelId) -> *mut Channel {
    core::ptr::without_provenance_mut(usize::from(id.index()) + 1)
}

/// A null or foreign pointer becomes a place that the table does not have.
fn from_channel(channel: *mut Channel) -> ChannelId {
    ChannelId::from_index(u16::try_from(channel.addr().wrapping_sub(1)).unwrap_or(u16::MAX))
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.evtchn.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.evtchn.references.release("EVTCHN");
}

/// The running services; the interface's methods do nothing without them.
///
/// # Safety
/// As for [`providers`].
unsafe fn running<'a>(interface: *mut Interface) -> Option<&'a Running> {
    // SAFETY: the caller's promise.
    unsafe { providers(interface) }.running()
}

/// The kind's trailing arguments are in `a`, `b` and `c`; what the caller did not pass is garbage.
unsafe extern "C" fn open(
    interface: *mut Interface,
    kind: u32,
    function: Function,
    argument: *mut c_void,
    a: u64,
    b: u64,
    c: u64,
) -> *mut Channel {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return core::ptr::null_mut();
    };
    // SAFETY: called through a table of ours.
    let version = unsafe { (*interface).version };
    match open_port(running, version, kind, [a, b, c]) {
        Ok(port) => enter(running, port, function, argument),
        Err(error) => {
            wdm::error!("event channel of type {kind}: {error}");
            core::ptr::null_mut()
        }
    }
}

/// A port, and what becomes of it.
struct Opened {
    port: u32,
    auto_mask: bool,
    owns_port: bool,
    vcpu: u32,
}

/// Makes or takes the port. An integer narrower than a word has garbage above it.
fn open_port(
    running: &Running,
    version: u16,
    kind: u32,
    [a, b, c]: [u64; 3],
) -> Result<Opened, XenError> {
    let first = running.vcpu(0).unwrap_or(0);
    let opened = |port, auto_mask: u64| Opened {
        port,
        auto_mask: auto_mask as u8 != 0,
        owns_port: true,
        vcpu: first,
    };
    match kind {
        TYPE_FIXED => Ok(Opened {
            owns_port: false,
            ..opened(a as u32, b)
        }),
        TYPE_UNBOUND => Ok(opened(running.xen().alloc_unbound(DomId(a as u16))?, b)),
        TYPE_INTER_DOMAIN => Ok(opened(
            running.xen().bind_interdomain(DomId(a as u16), b as u32)?,
            c,
        )),
        TYPE_VIRQ => {
            let processor = if version >= VIRQ_HAS_PROCESSOR {
                wdm::cpu::index_of(b as u16, c as u8)
            } else {
                Some(0)
            };
            let vcpu = processor
                .and_then(|index| running.event_vcpu(index))
                .ok_or(XenError::OutOfRange {
                    what: "processor",
                    value: b,
                })?;
            Ok(Opened {
                vcpu,
                ..opened(running.xen().bind_virq(a as u32, vcpu)?, 0)
            })
        }
        _ => Err(XenError::OutOfRange {
            what: "channel type",
            value: kind.into(),
        }),
    }
}

fn enter(
    running: &Running,
    opened: Opened,
    function: Function,
    argument: *mut c_void,
) -> *mut Channel {
    let channel = OpenChannel {
        port: opened.port,
        auto_mask: opened.auto_mask,
        owns_port: opened.owns_port,
        vcpu: opened.vcpu,
        function: function as usize,
        argument: argument.expose_provenance(),
    };
    match running.channels().open(&channel) {
        Ok(id) => to_channel(id),
        Err(error) => {
            wdm::error!("port {}: {error}", opened.port);
            if opened.owns_port
                && let Err(error) = running.xen().close(opened.port)
            {
                wdm::error!("port {}: {error}", opened.port);
            }
            core::ptr::null_mut()
        }
    }
}

unsafe extern "system" fn bind(
    interface: *mut Interface,
    channel: *mut Channel,
    group: u16,
    number: u8,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return Status::DEVICE_NOT_READY.0;
    };
    let id = from_channel(channel);
    let Some(index) = wdm::cpu::index_of(group, number) else {
        return Status::INVALID_PARAMETER.0;
    };
    let Some(vcpu) = running.event_vcpu(index) else {
        return Status::NOT_SUPPORTED.0;
    };
    let (Some(port), Some(now)) = (running.channels().port(id), running.channels().vcpu(id)) else {
        return Status::INVALID_PARAMETER.0;
    };
    if now == vcpu {
        return 0;
    }
    match running.xen().bind_vcpu(port, vcpu) {
        Ok(()) => {
            running.channels().set_vcpu(id, vcpu);
            0
        }
        Err(error) => {
            wdm::warn!("port {port}: {error}");
            Status::UNSUCCESSFUL.0
        }
    }
}

/// Up to version 7: nobody hears that an event waits, so Xen raises it.
unsafe extern "system" fn unmask_v4(
    interface: *mut Interface,
    channel: *mut Channel,
    in_callback: Boolean,
) {
    // SAFETY: the same arguments.
    unsafe { unmask(interface, channel, in_callback, 1) };
}

unsafe extern "system" fn unmask(
    interface: *mut Interface,
    channel: *mut Channel,
    in_callback: Boolean,
    force: Boolean,
) -> Boolean {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return 0;
    };
    let id = from_channel(channel);
    let (Some(port), Some(vcpu)) = (running.channels().port(id), running.channels().vcpu(id))
    else {
        return 0;
    };
    if running.abi().try_unmask(port) {
        return 0;
    }
    let here = running.vcpu(wdm::cpu::current_index()) == Some(vcpu);
    let masks = running.channels().auto_mask(id) == Some(true);
    if in_callback != 0 || force != 0 || !here || !masks {
        running.raise(port);
        return 0;
    }
    // The caller looks again and unmasks again after that.
    running.abi().ack(port);
    1
}

unsafe extern "system" fn send(interface: *mut Interface, channel: *mut Channel) {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return;
    };
    let Some(port) = running.channels().port(from_channel(channel)) else {
        return;
    };
    if let Err(error) = running.xen().send(port) {
        wdm::warn!("port {port}: {error}");
    }
}

unsafe extern "system" fn trigger(interface: *mut Interface, channel: *mut Channel) {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return;
    };
    if let Some(port) = running.channels().port(from_channel(channel)) {
        running.abi().pend(port);
        running.raise(port);
    }
}

unsafe extern "system" fn get_count(interface: *mut Interface, channel: *mut Channel) -> u32 {
    // SAFETY: called through a table of ours.
    let running = unsafe { running(interface) };
    running
        .and_then(|running| running.channels().count(from_channel(channel)))
        .unwrap_or(0)
}

unsafe extern "system" fn wait_v5(
    interface: *mut Interface,
    channel: *mut Channel,
    timeout: *mut i64,
) -> NtStatus {
    // SAFETY: the same arguments.
    let next = unsafe { get_count(interface, channel) }.wrapping_add(1);
    // SAFETY: the same arguments.
    unsafe { wait(interface, channel, next, timeout) }
}

unsafe extern "system" fn wait(
    interface: *mut Interface,
    channel: *mut Channel,
    count: u32,
    timeout: *mut i64,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { running(interface) }) else {
        return Status::DEVICE_NOT_READY.0;
    };
    let limit = if timeout.is_null() {
        None
    } else {
        // SAFETY: not null: the consumer passes a timeout.
        Some(duration(unsafe { timeout.read() }))
    };
    wait_for(running, from_channel(channel), count, limit)
}

/// A timeout of the kernel's routines as a number of 100 ns from now.
fn duration(timeout: i64) -> u64 {
    if timeout <= 0 {
        return timeout.unsigned_abs();
    }
    timeout.saturating_sub(time::system_time()).max(0) as u64
}

/// Spins at DISPATCH_LEVEL until the channel's count has come to `count`.
fn wait_for(running: &Running, id: ChannelId, count: u32, limit: Option<u64>) -> NtStatus {
    let _raised = Raised::to_dispatch();
    let start = time::interrupt_time();
    let mut next_line = PATIENCE;
    loop {
        let Some(now) = running.channels().count(id) else {
            return Status::INVALID_PARAMETER.0;
        };
        if reached(now, count) {
            return 0;
        }
        let waited = time::interrupt_time().saturating_sub(start);
        if limit.is_some_and(|limit| waited >= limit) {
            return TIMEOUT;
        }
        if waited >= next_line {
            wdm::warn!("still waiting for an event on channel {}", id.index());
            next_line += PATIENCE;
        }
        running.xen().yield_cpu();
        time::stall(SPIN);
    }
}

unsafe extern "system" fn get_port(interface: *mut Interface, channel: *mut Channel) -> u32 {
    // SAFETY: called through a table of ours.
    let running = unsafe { running(interface) };
    running
        .and_then(|running| running.channels().port(from_channel(channel)))
        .unwrap_or(0)
}

unsafe extern "system" fn close(interface: *mut Interface, channel: *mut Channel) {
    // SAFETY: called through a table of ours.
    if let Some(running) = unsafe { running(interface) } {
        close_channel(running, from_channel(channel));
    }
}

/// Closes a channel: when this returns, its function runs no more. IRQL <= DISPATCH_LEVEL.
pub fn close_channel(running: &Running, id: ChannelId) {
    let channels = running.channels();
    let owns_port = channels.owns_port(id) == Some(true);
    let Some(port) = channels.close(id) else {
        return;
    };
    running.abi().mask(port);
    if owns_port && let Err(error) = running.xen().close(port) {
        wdm::error!("port {port}: {error}");
    }
    let start = time::interrupt_time();
    while !channels.free(id) {
        if time::interrupt_time().saturating_sub(start) > CLOSE_LIMIT {
            wdm::error!("port {port}: the channel's function has not ended; its place is lost");
            return;
        }
        core::hint::spin_loop();
    }
}

/// Calls a channel's function. Interrupt context.
///
/// # Safety
/// Both come from an open channel.
pub unsafe fn call(function: usize, argument: usize) {
    // SAFETY: stored by `enter` from a `Function`.
    let function = unsafe { core::mem::transmute::<usize, Function>(function) };
    let argument = core::ptr::with_exposed_provenance_mut(argument);
    // SAFETY: the channel's owner keeps both valid until the channel is closed.
    unsafe { function(core::ptr::null_mut(), argument) };
}
