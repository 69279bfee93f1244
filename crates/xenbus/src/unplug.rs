//! Emulated twins: the registry's accounting, and the word to the device model. PASSIVE_LEVEL.

use core::sync::atomic::{AtomicBool, Ordering};

use wdm::port;
use wdm::registry::{Access, Key};
use wdm::status::{Result, Status};
use wdm::wide;
use xen_abi::pvdrivers::Product;
use xen_guest::unplug::{Devices, Identity, PortIo, Unplug};
use xenbus_core::unplug::{Found, Kind, after_request, boot_emulated, is_device_of};

use crate::parameters;
use crate::provider::UnplugHost;
use crate::version;

/// What all Xen drivers share.
const XEN: &str = "\\Registry\\Machine\\SYSTEM\\CurrentControlSet\\Services\\XEN";
/// What PnP knows of children of our kind of bus.
const ENUM: &str = "\\Registry\\Machine\\SYSTEM\\CurrentControlSet\\Enum\\XENBUS";

/// What went in this boot.
struct Gone {
    nics: AtomicBool,
    disks: AtomicBool,
}

static GONE: Gone = Gone {
    nics: AtomicBool::new(false),
    disks: AtomicBool::new(false),
};

impl Gone {
    fn of(&self, kind: Kind) -> &AtomicBool {
        match kind {
            Kind::Nics => &self.nics,
            Kind::Disks => &self.disks,
        }
    }
}

fn value_name(kind: Kind) -> &'static [u16] {
    match kind {
        Kind::Nics => wide!("NICS"),
        Kind::Disks => wide!("DISKS"),
    }
}

/// The accounting behind the UNPLUG interface.
pub struct Host;

/// The one accounting.
pub static HOST: Host = Host;

impl UnplugHost for Host {
    fn request(&self, kind: Kind, make: bool) {
        let name = kind.value_name();
        match change(kind, make) {
            Ok(count) => wdm::info!("unplug: {name} asked for {count} time(s) at the next boot"),
            Err(status) => wdm::error!("unplug: {name} could not be noted: {status}"),
        }
    }

    fn is_requested(&self, kind: Kind) -> bool {
        GONE.of(kind).load(Ordering::Relaxed)
    }

    fn boot_emulated(&self) -> bool {
        boot_emulated(&parameters::start_options())
    }

    fn reboot(&self, module: &str) {
        let asked = parameters::request_reboot(module);
        wdm::warn!("{module} needs a reboot to finish ({})", outcome(asked));
    }
}

fn outcome(asked: Result) -> &'static str {
    match asked {
        Ok(()) => "the request is noted",
        Err(_) => "nobody is there to take the request",
    }
}

fn unplug_key() -> Result<Key> {
    create_xen()?.create_child(wide!("Unplug"))
}

fn create_xen() -> Result<Key> {
    Key::create(wide!(XEN))
}

fn change(kind: Kind, make: bool) -> Result<u32> {
    let key = unplug_key()?;
    let old = key.dword(value_name(kind)).unwrap_or(0);
    let count = after_request(old, make);
    key.set_dword(value_name(kind), count)?;
    Ok(count)
}

/// Decides, once a boot, which emulated devices go, and tells the device model. A later start in the same boot
/// finds the decision in a volatile key and takes nothing away that was still there.
pub fn at_start() {
    let nics = decide(Kind::Nics);
    let disks = decide(Kind::Disks);
    if !nics && !disks {
        wdm::info!("unplug: all emulated devices stay");
        return;
    }
    let mut devices = Devices::empty();
    devices.set(Devices::NICS, nics);
    if disks && HOST.boot_emulated() {
        devices |= Devices::AUXILIARY_DISKS;
    } else if disks {
        devices |= Devices::DISKS | Devices::NVME;
    }
    let identity = Identity {
        product: Product::XENSOURCE_WINDOWS,
        build: version::build_number(),
    };
    match Unplug::connect(Ports, identity) {
        Ok(mut unplug) => {
            unplug.unplug(devices);
            GONE.nics.store(nics, Ordering::Relaxed);
            GONE.disks.store(disks, Ordering::Relaxed);
            wdm::info!(
                "unplug: {devices:?} are gone (protocol version {})",
                unplug.version()
            );
        }
        Err(error) => wdm::error!("unplug: emulated devices stay: {error}"),
    }
}

/// Whether a kind goes in this boot. The mark of the boot before is consumed with the first question.
fn decide(kind: Kind) -> bool {
    match decide_once(kind) {
        Ok(goes) => goes,
        Err(status) => {
            wdm::error!(
                "unplug: {} stay, the registry says {status}",
                kind.value_name()
            );
            false
        }
    }
}

fn decide_once(kind: Kind) -> Result<bool> {
    let unplug = unplug_key()?;
    let boot = unplug.create_volatile_child(wide!("Boot"))?;
    if let Ok(decided) = boot.dword(value_name(kind)) {
        return Ok(decided != 0);
    }
    let requests = unplug.dword(value_name(kind)).unwrap_or(0);
    consume(&unplug, kind)?;
    let found = Found {
        requests,
        forced: is_forced(kind),
        installed: is_installed(kind),
    };
    let goes = found.decide();
    boot.set_dword(value_name(kind), goes.into())?;
    wdm::info!(
        "unplug: {} {found:?}: {}",
        kind.value_name(),
        if goes { "go" } else { "stay" }
    );
    Ok(goes)
}

fn consume(unplug: &Key, kind: Kind) -> Result {
    match unplug.delete_value(value_name(kind)) {
        Err(Status::OBJECT_NAME_NOT_FOUND) => Ok(()),
        other => other,
    }
}

fn is_forced(kind: Kind) -> bool {
    let key = create_xen().and_then(|key| key.open_child(wide!("ForceUnplug"), Access::Read));
    key.and_then(|key| key.dword(value_name(kind))).unwrap_or(0) != 0
}

fn is_installed(kind: Kind) -> bool {
    let Ok(key) = Key::open(wide!(ENUM), Access::Read) else {
        return false;
    };
    (0..u32::MAX)
        .map_while(|index| key.child_name(index).ok().flatten())
        .any(|name| is_device_of(kind, &name))
}

/// The platform device's ports.
struct Ports;

impl PortIo for Ports {
    fn read_u8(&mut self, port: u16) -> u8 {
        // SAFETY: ports 0x10 to 0x13 are the platform device's, which this driver owns.
        unsafe { port::read_u8(port) }
    }

    fn read_u16(&mut self, port: u16) -> u16 {
        // SAFETY: as above.
        unsafe { port::read_u16(port) }
    }

    fn write_u8(&mut self, port: u16, value: u8) {
        // SAFETY: as above.
        unsafe { port::write_u8(port, value) };
    }

    fn write_u16(&mut self, port: u16, value: u16) {
        // SAFETY: as above.
        unsafe { port::write_u16(port, value) };
    }

    fn write_u32(&mut self, port: u16, value: u32) {
        // SAFETY: as above.
        unsafe { port::write_u32(port, value) };
    }
}
