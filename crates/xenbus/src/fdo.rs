//! The function device of the platform device: its parts, and how they start and stop.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rust_alloc::boxed::Box;
use wdk_sys::{DRIVER_OBJECT, NTSTATUS};
use wdm::alloc::Shared;
use wdm::device::{self, Device};
use wdm::mutex::Mutex;
use wdm::pnp::{DevicePower, State, Transition};
use wdm::query::read_pci_config;
use wdm::remove_lock::RemoveLock;
use wdm::status::{Result, Status};
use wdm::sync::SpinLock;
use xenbus_core::platform::brings_up_xen;
use xenbus_interface::Guid;
use xenbus_interface::identity::{Class, Vendor};

use crate::children::{Children, Watcher};
use crate::extension::{self, Target};
use crate::guest::Registration;
use crate::interrupts::{Interrupts, Vectors};
use crate::parameters::{self, Parameters};
use crate::provider::{Config, Providers};
use crate::{guest, unplug};

/// PCI vendor id of Xen's platform device.
const XEN_VENDOR: u16 = 0x5853;
/// Two characters of the vendor in device ids, and the vendor's name.
const PREFIX: [u8; 2] = *b"XP";
pub const VENDOR_NAME: &str = "Xen Project";

/// There is one Xen, so one device at a time brings it up.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// The claim to be the one.
struct Claim;

impl Claim {
    /// The claim, if this device may have it. All others start and do nothing.
    fn take(pci_device: u16) -> Option<Self> {
        if !brings_up_xen(pci_device) {
            wdm::info!("device {pci_device:04x} leaves Xen to the platform device");
            return None;
        }
        if ACTIVE.swap(true, Ordering::AcqRel) {
            wdm::warn!("another platform device is in charge already; this one does nothing");
            return None;
        }
        Some(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        ACTIVE.store(false, Ordering::Release);
    }
}

/// What exists only while the device is started. Fields are dropped in order: first what uses the services.
struct Running {
    watcher: Watcher,
    registration: Option<Registration>,
    interrupts: Interrupts,
}

/// The function device.
pub struct Fdo {
    device: Device,
    lower: Device,
    pdo: Device,
    driver: *mut DRIVER_OBJECT,
    pub(crate) remove_lock: RemoveLock,
    pci_device: u16,
    power_pagable: bool,
    parameters: Parameters,
    providers: Pin<Box<Providers>>,
    state: SpinLock<State>,
    power: SpinLock<DevicePower>,
    /// Paging, hibernation and dump files below us.
    pub(crate) special_files: AtomicU32,
    running: Mutex<Option<Running>>,
    children: Children,
    /// That it is the one to bring up Xen.
    claim: Option<Claim>,
}

// SAFETY: the driver object is only passed on to the kernel; the rest is Send.
unsafe impl Send for Fdo {}
// SAFETY: as above; the rest is Sync.
unsafe impl Sync for Fdo {}

impl Fdo {
    /// `AddDevice`: makes the device and puts it on the platform device's stack. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the kernel says, or [`Status::NO_SUCH_DEVICE`] if the device below is not Xen's.
    ///
    /// # Safety
    /// `driver` is this driver's object and `pdo` the device that PnP found.
    pub unsafe fn add(driver: *mut DRIVER_OBJECT, pdo: Device) -> Result {
        // SAFETY: our driver object.
        let device = unsafe { Device::create(driver, extension::SIZE, device::SECURE_OPEN) }?;
        let added = device.attach_to(pdo).and_then(|lower| {
            let fdo = Self::new(driver, device, lower, pdo).inspect_err(|_| {
                // SAFETY: attached above; the device is deleted next.
                unsafe { Device::detach_from(lower) };
            })?;
            // SAFETY: a fresh device of this driver.
            unsafe { extension::install(device, Target::Fdo(fdo)) };
            device.finish_initializing();
            Ok(())
        });
        added.inspect_err(|_| {
            // SAFETY: nothing is attached to it and nobody knows it.
            unsafe { device.delete() };
        })
    }

    fn new(
        driver: *mut DRIVER_OBJECT,
        device: Device,
        lower: Device,
        pdo: Device,
    ) -> Result<Shared<Self>> {
        let pci_device = identify(lower)?;
        let claim = Claim::take(pci_device);
        let parameters = Parameters::read();
        let config = Config {
            hypercall_page: parameters.hypercall_page,
            fifo: parameters.fifo,
            upcall_vectors: parameters.upcall_vectors,
            local_time: parameters::clock_is_local(),
            unplug: &unplug::HOST,
        };
        wdm::info!(
            "platform device {pci_device:04x}, children for {:?}",
            parameters.classes
        );
        Shared::new(Self {
            device,
            lower,
            pdo,
            driver,
            remove_lock: RemoveLock::new(b"XenB")?,
            pci_device,
            power_pagable: device.is_power_pagable(),
            parameters,
            providers: Providers::new(config)?,
            state: SpinLock::new(State::NotStarted),
            // The system boots with it on; PnP starts it before any power request.
            power: SpinLock::new(DevicePower::D0),
            special_files: AtomicU32::new(0),
            running: Mutex::new("the bus to start or stop", None)?,
            children: Children::new()?,
            claim,
        })
    }

    /// Whether it is the device that brings up Xen. Any other starts without a part in it, and has no children.
    pub fn is_in_charge(&self) -> bool {
        self.claim.is_some()
    }

    /// The device object.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The next device below in the stack.
    pub fn lower(&self) -> Device {
        self.lower
    }

    /// The platform device itself, the bottom of the stack.
    pub fn physical(&self) -> Device {
        self.pdo
    }

    /// The driver object, for children's device objects.
    pub fn driver(&self) -> *mut DRIVER_OBJECT {
        self.driver
    }

    /// What goes into the children's ids.
    pub fn vendor(&self) -> Vendor {
        Vendor {
            prefix: PREFIX,
            device: self.pci_device,
        }
    }

    /// Who made the bus, for people.
    pub fn vendor_name(&self) -> &'static str {
        VENDOR_NAME
    }

    /// A `REG_DWORD` of a class. PASSIVE_LEVEL.
    pub fn class_option(&self, class: &Class, name: &str) -> Option<u32> {
        parameters::class_option(class, name)
    }

    /// The services and interfaces.
    pub fn providers(&self) -> Pin<&Providers> {
        self.providers.as_ref()
    }

    /// Whether the stack came with power requests at PASSIVE_LEVEL only.
    pub fn was_power_pagable(&self) -> bool {
        self.power_pagable
    }

    /// The registry's values.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The children.
    pub fn children(&self) -> &Children {
        &self.children
    }

    /// Answers `IRP_MN_QUERY_INTERFACE` for a child. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `table` has `size` bytes.
    pub unsafe fn query(&self, guid: &Guid, version: u16, size: u16, table: *mut u8) -> NTSTATUS {
        // SAFETY: the caller's promise.
        unsafe { self.providers().query(guid, version, size, table.cast()) }
    }

    /// Whether an interface is answered in a version.
    pub fn serves(&self, guid: &Guid, version: u16) -> bool {
        self.providers().serves(guid, version)
    }

    /// Has xenstore looked at again, if the bus is up. PASSIVE_LEVEL.
    pub fn rescan(&self) {
        if let Some(running) = self.running.lock().as_ref() {
            running.watcher.wake();
        }
    }

    /// Has PnP ask for the children anew. IRQL <= DISPATCH_LEVEL.
    pub fn invalidate(&self) {
        self.pdo.invalidate_bus_relations();
    }

    /// Where the device is in its life. IRQL <= DISPATCH_LEVEL.
    pub fn state(&self) -> State {
        *self.state.lock()
    }

    /// Moves it on. IRQL <= DISPATCH_LEVEL.
    pub fn advance(&self, request: wdm::pnp::Request) {
        let mut state = self.state.lock();
        *state = state.after(request);
    }

    /// Notes the device's new power state and says what that changes. IRQL <= DISPATCH_LEVEL.
    pub fn switch(&self, to: DevicePower) -> Transition {
        let mut power = self.power.lock();
        let transition = power.transition(to);
        *power = to;
        transition
    }

    /// Brings everything up, the drivers below having started. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What does not come up; everything is down again then.
    pub fn start(fdo: &Shared<Self>, vectors: &Vectors) -> Result {
        let mut running = fdo.running.lock();
        if running.is_some() {
            wdm::warn!("started twice without a stop; it stays as it is");
            return Ok(());
        }
        unplug::at_start();
        let interrupts = Interrupts::connect(fdo, vectors)?;
        fdo.providers()
            .start(&vectors.start_info(&interrupts))
            .inspect_err(|status| {
                wdm::error!("Xen's services did not come up: {status}");
            })?;
        match Self::start_guest(fdo) {
            Ok((watcher, registration)) => {
                *running = Some(Running {
                    watcher,
                    registration,
                    interrupts,
                });
                wdm::info!("started");
                Ok(())
            }
            Err(status) => {
                fdo.providers().stop();
                Err(status)
            }
        }
    }

    /// What needs xenstore.
    fn start_guest(fdo: &Shared<Self>) -> Result<(Watcher, Option<Registration>)> {
        let registration = guest::register(fdo).inspect_err(|status| {
            wdm::warn!("the toolstack is not told of this driver: {status}");
        });
        let watcher = Watcher::start(fdo)?;
        Ok((watcher, registration.ok()))
    }

    /// Takes everything down, if it is up: nothing of ours is left with Xen afterwards. PASSIVE_LEVEL.
    pub fn stop(&self) {
        let Some(Running {
            watcher,
            registration,
            interrupts,
        }) = self.running.lock().take()
        else {
            return;
        };
        watcher.stop();
        if let Some(registration) = registration {
            registration.withdraw(self);
        }
        self.providers().stop();
        // The vectors are no longer Xen's when they go back to the system.
        drop(interrupts);
        wdm::info!("stopped");
    }
}

/// Reads the platform device's PCI device id.
fn identify(lower: Device) -> Result<u16> {
    let mut ids = [0; 4];
    // SAFETY: the stack below us, which we are attached to.
    unsafe { read_pci_config(lower.as_ptr(), 0, &mut ids) }?;
    let [vendor_low, vendor_high, device_low, device_high] = ids;
    let vendor = u16::from_le_bytes([vendor_low, vendor_high]);
    if vendor != XEN_VENDOR {
        wdm::error!("the device below has PCI vendor id {vendor:04x}");
        return Err(Status::NO_SUCH_DEVICE);
    }
    Ok(u16::from_le_bytes([device_low, device_high]))
}
