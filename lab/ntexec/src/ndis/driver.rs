//! Miniport drivers: NdisMRegisterMiniportDriver, optional handlers, AddDevice, unload.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::adapter::{self, Adapter};
use super::{pnp, rules};
use crate::nt::base::{NTSTATUS, UNICODE_STRING};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::nt::status::*;
use crate::storport::os::{
    IoAttachDeviceToDeviceStack, IoCreateDevice, IoDeleteDevice, IoDetachDevice,
};
use crate::sync::Lock;

/// The NDIS version that a driver may register at least.
const OLDEST: (u8, u8) = (6, 30);

/// A miniport driver. It is never freed, so that a call that comes too late is recognised.
pub(super) struct Driver {
    pub object: usize,
    /// The image's file name
    pub name: String,
    /// The service key's path
    pub registry_path: String,
    pub context: usize,
    pub version: (u8, u8),
    pub flags: u32,
    pub handlers: NDIS_MINIPORT_DRIVER_CHARACTERISTICS,
    pub pnp: Lock<Option<NDIS_MINIPORT_PNP_CHARACTERISTICS>>,
    registered: AtomicBool,
    setting_options: AtomicBool,
}
// SAFETY: the handlers are the driver's routines, which outlive it; the rest is not changed or behind locks.
unsafe impl Sync for Driver {}
// SAFETY: see above.
unsafe impl Send for Driver {}

#[cfg(test)]
impl Driver {
    /// A driver for tests, of NDIS 6.84.
    pub(super) fn fake(name: &str, handlers: NDIS_MINIPORT_DRIVER_CHARACTERISTICS) -> Self {
        Self {
            object: 0,
            name: String::from(name),
            registry_path: String::new(),
            context: 0,
            version: (6, 84),
            flags: NDIS_WDM_DRIVER,
            handlers,
            pnp: Lock::new(None),
            registered: AtomicBool::new(true),
            setting_options: AtomicBool::new(false),
        }
    }
}

static DRIVERS: Lock<Vec<&'static Driver>> = Lock::new(Vec::new());

/// The driver of a handle.
pub(super) fn find(handle: PVOID) -> Option<&'static Driver> {
    DRIVERS
        .lock()
        .iter()
        .copied()
        .find(|d| core::ptr::eq(core::ptr::from_ref(*d).cast(), handle.cast_const()))
}

fn of_object(object: *mut DRIVER_OBJECT) -> Option<&'static Driver> {
    DRIVERS
        .lock()
        .iter()
        .copied()
        .find(|d| d.object == object as usize && d.registered.load(Ordering::Acquire))
}

/// The revision of a driver's characteristics by its NDIS version, and its size.
const fn characteristics(version: (u8, u8)) -> (u8, u16) {
    if version.0 > 6 || version.1 >= 80 {
        (3, NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_3)
    } else {
        (2, NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2)
    }
}

/// Checks a driver's characteristics; `running` is NDIS' own version.
///
/// # Errors
/// What the call returns, and why.
fn check(
    c: &NDIS_MINIPORT_DRIVER_CHARACTERISTICS,
    running: (u8, u8),
) -> Result<(), (NDIS_STATUS, String)> {
    let wrong = |status, why: &str| Err((status, String::from(why)));
    let version = (c.MajorNdisVersion, c.MinorNdisVersion);
    if version > running {
        return Err((
            NDIS_STATUS_BAD_VERSION,
            format!(
                "NDIS {}.{} is registered, {}.{} runs",
                version.0, version.1, running.0, running.1
            ),
        ));
    }
    if version < OLDEST {
        return wrong(
            NDIS_STATUS_BAD_VERSION,
            "drivers of NDIS before 6.30 are not supported here",
        );
    }
    let (revision, size) = characteristics(version);
    if c.Header.Type != NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS
        || c.Header.Revision < revision
        || c.Header.Size < size
    {
        return Err((
            NDIS_STATUS_BAD_CHARACTERISTICS,
            format!(
                "characteristics of type {:#x}, revision {}, {} bytes; NDIS {}.{} has revision {revision} with {size}",
                c.Header.Type, c.Header.Revision, c.Header.Size, version.0, version.1
            ),
        ));
    }
    let required = [
        ("InitializeEx", c.InitializeHandlerEx.is_some()),
        ("HaltEx", c.HaltHandlerEx.is_some()),
        ("Unload", c.UnloadHandler.is_some()),
        ("Pause", c.PauseHandler.is_some()),
        ("Restart", c.RestartHandler.is_some()),
        ("OidRequest", c.OidRequestHandler.is_some()),
        ("SendNetBufferLists", c.SendNetBufferListsHandler.is_some()),
        (
            "ReturnNetBufferLists",
            c.ReturnNetBufferListsHandler.is_some(),
        ),
        ("CancelSend", c.CancelSendHandler.is_some()),
        (
            "DevicePnPEventNotify",
            c.DevicePnPEventNotifyHandler.is_some(),
        ),
        ("ShutdownEx", c.ShutdownHandlerEx.is_some()),
        ("CancelOidRequest", c.CancelOidRequestHandler.is_some()),
    ];
    if let Some((name, _)) = required.iter().find(|(_, there)| !there) {
        return Err((
            NDIS_STATUS_BAD_CHARACTERISTICS,
            format!("the required Miniport{name} is NULL"),
        ));
    }
    if c.CheckForHangHandlerEx.is_some() != c.ResetHandlerEx.is_some() {
        return wrong(
            NDIS_STATUS_BAD_CHARACTERISTICS,
            "one of CheckForHangEx and ResetEx without the other",
        );
    }
    if c.DirectOidRequestHandler.is_some() != c.CancelDirectOidRequestHandler.is_some() {
        return wrong(
            NDIS_STATUS_BAD_CHARACTERISTICS,
            "one of DirectOidRequest and CancelDirectOidRequest without the other",
        );
    }
    Ok(())
}

/// NdisMRegisterMiniportDriver. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisMRegisterMiniportDriver(
    object: *mut DRIVER_OBJECT,
    registry_path: *mut UNICODE_STRING,
    context: PVOID,
    given: *const NDIS_MINIPORT_DRIVER_CHARACTERISTICS,
    handle: *mut PVOID,
) -> NDIS_STATUS {
    const CALL: &str = "NdisMRegisterMiniportDriver";
    if object.is_null() || registry_path.is_null() || given.is_null() || handle.is_null() {
        crate::check::violation(rules::OBJECT, format_args!("{CALL} with a NULL argument"));
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    *handle = core::ptr::null_mut();
    let name = crate::ldr::driver_name(object);
    let header = given.cast::<NDIS_OBJECT_HEADER>().read();
    let mut c: NDIS_MINIPORT_DRIVER_CHARACTERISTICS = core::mem::zeroed();
    let n = usize::from(header.Size).min(size_of_val(&c));
    core::ptr::copy_nonoverlapping(given.cast::<u8>(), (&raw mut c).cast::<u8>(), n);
    if let Err((status, why)) = check(&c, super::system::version()) {
        crate::check::violation_by(&name, CALL, rules::ATTRIBUTES, format_args!("{why}"));
        return status;
    }
    if of_object(object).is_some() {
        crate::check::violation_by(&name, CALL, rules::OBJECT, format_args!("registered twice"));
        return NDIS_STATUS_FAILURE;
    }
    let driver: &'static Driver = Box::leak(Box::new(Driver {
        object: object as usize,
        name,
        registry_path: String::from_utf16_lossy((*registry_path).units()),
        context: context as usize,
        version: (c.MajorNdisVersion, c.MinorNdisVersion),
        flags: c.Flags,
        handlers: c,
        pnp: Lock::new(None),
        registered: AtomicBool::new(true),
        setting_options: AtomicBool::new(true),
    }));
    let as_handle: PVOID = core::ptr::from_ref(driver).cast_mut().cast();
    DRIVERS.lock().push(driver);
    *handle = as_handle;
    if let Some(set_options) = c.SetOptionsHandler {
        let status = set_options(as_handle, context);
        if status != NDIS_STATUS_SUCCESS {
            driver.registered.store(false, Ordering::Release);
            *handle = core::ptr::null_mut();
            return status;
        }
    }
    driver.setting_options.store(false, Ordering::Release);
    for routine in &mut (*object).MajorFunction {
        *routine = Some(pnp::dispatch);
    }
    (*(*object).DriverExtension).AddDevice = Some(add_device);
    (*object).DriverUnload = Some(unload);
    NDIS_STATUS_SUCCESS
}

/// NdisMDeregisterMiniportDriver. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisMDeregisterMiniportDriver(handle: PVOID) {
    const CALL: &str = "NdisMDeregisterMiniportDriver";
    let Some(driver) = find(handle) else {
        crate::check::violation(
            rules::OBJECT,
            format_args!("{CALL}: {handle:p} is no miniport driver's handle"),
        );
        return;
    };
    if !driver.registered.swap(false, Ordering::AcqRel) {
        crate::check::violation_by(
            &driver.name,
            CALL,
            rules::OBJECT,
            format_args!("the driver is not registered any more"),
        );
    }
}

/// NdisSetOptionalHandlers: of a miniport's, those of PnP. PASSIVE_LEVEL, in MiniportSetOptions only.
pub(super) unsafe extern "win64" fn NdisSetOptionalHandlers(
    handle: PVOID,
    handlers: *const NDIS_OBJECT_HEADER,
) -> NDIS_STATUS {
    const CALL: &str = "NdisSetOptionalHandlers";
    let Some(driver) = find(handle) else {
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    if !driver.setting_options.load(Ordering::Acquire) {
        crate::check::violation_by(
            &driver.name,
            CALL,
            rules::STATE,
            format_args!("called outside of MiniportSetOptions"),
        );
        return NDIS_STATUS_FAILURE;
    }
    let h = *handlers;
    match h.Type {
        NDIS_OBJECT_TYPE_MINIPORT_PNP_CHARACTERISTICS
            if h.Size >= NDIS_SIZEOF_MINIPORT_PNP_CHARACTERISTICS_REVISION_1 =>
        {
            let mut c: NDIS_MINIPORT_PNP_CHARACTERISTICS = core::mem::zeroed();
            let n = usize::from(h.Size).min(size_of_val(&c));
            core::ptr::copy_nonoverlapping(handlers.cast::<u8>(), (&raw mut c).cast::<u8>(), n);
            *driver.pnp.lock() = Some(c);
            NDIS_STATUS_SUCCESS
        }
        _ => NDIS_STATUS_NOT_SUPPORTED,
    }
}

unsafe extern "win64" fn unload(object: *mut DRIVER_OBJECT) {
    let Some(driver) = of_object(object) else {
        return;
    };
    if let Some(unload) = driver.handlers.UnloadHandler {
        unload(object);
    }
    if driver.registered.swap(false, Ordering::AcqRel) {
        crate::check::violation_by(
            &driver.name,
            "MiniportDriverUnload",
            rules::OBJECT,
            format_args!("returned without NdisMDeregisterMiniportDriver"),
        );
    }
    super::leaks::of_driver(driver);
}

/// What a device object of NDIS' stands for.
#[repr(C)]
pub(super) struct DeviceExtension {
    pub adapter: &'static Adapter,
}

unsafe extern "win64" fn add_device(
    object: *mut DRIVER_OBJECT,
    pdo: *mut DEVICE_OBJECT,
) -> NTSTATUS {
    let Some(driver) = of_object(object) else {
        return STATUS_INVALID_PARAMETER;
    };
    let Some((instance, class_key)) = pnp::keys(pdo) else {
        return STATUS_NO_SUCH_DEVICE;
    };
    let mut fdo: *mut DEVICE_OBJECT = core::ptr::null_mut();
    let status = IoCreateDevice(
        object,
        size_of::<DeviceExtension>() as u32,
        core::ptr::null_mut(),
        FILE_DEVICE_PHYSICAL_NETCARD,
        FILE_DEVICE_SECURE_OPEN,
        0,
        &mut fdo,
    );
    if status < 0 {
        return status;
    }
    let lower = IoAttachDeviceToDeviceStack(fdo, pdo);
    if lower.is_null() {
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    let adapter = adapter::create(adapter::New {
        driver,
        fdo,
        pdo,
        lower,
        instance,
        class_key,
    });
    (*fdo)
        .DeviceExtension
        .cast::<DeviceExtension>()
        .write(DeviceExtension { adapter });
    let handler = driver.pnp.lock().and_then(|p| p.MiniportAddDeviceHandler);
    if let Some(handler) = handler {
        let status = rules::call(adapter, "MiniportAddDevice", || {
            handler(adapter.handle(), driver.context as PVOID)
        });
        if status != NDIS_STATUS_SUCCESS {
            adapter::forget(adapter);
            IoDetachDevice(lower);
            IoDeleteDevice(fdo);
            return status;
        }
    }
    (*fdo).Flags |= DO_DIRECT_IO;
    (*fdo).Flags &= !DO_DEVICE_INITIALIZING;
    STATUS_SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "win64" fn initialize(
        _: PVOID,
        _: PVOID,
        _: *mut NDIS_MINIPORT_INIT_PARAMETERS,
    ) -> NDIS_STATUS {
        0
    }
    unsafe extern "win64" fn two(_: PVOID, _: u32) {}
    unsafe extern "win64" fn unload(_: *mut DRIVER_OBJECT) {}
    unsafe extern "win64" fn pause(
        _: PVOID,
        _: *mut NDIS_MINIPORT_PAUSE_PARAMETERS,
    ) -> NDIS_STATUS {
        0
    }
    unsafe extern "win64" fn restart(
        _: PVOID,
        _: *mut NDIS_MINIPORT_RESTART_PARAMETERS,
    ) -> NDIS_STATUS {
        0
    }
    unsafe extern "win64" fn oid(_: PVOID, _: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
        0
    }
    unsafe extern "win64" fn send(_: PVOID, _: *mut NET_BUFFER_LIST, _: u32, _: u32) {}
    unsafe extern "win64" fn give_back(_: PVOID, _: *mut NET_BUFFER_LIST, _: u32) {}
    unsafe extern "win64" fn cancel(_: PVOID, _: PVOID) {}
    unsafe extern "win64" fn event(_: PVOID, _: *mut NET_DEVICE_PNP_EVENT) {}
    unsafe extern "win64" fn hang(_: PVOID) -> u8 {
        0
    }

    fn complete(minor: u8) -> NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
        let (revision, size) = characteristics((6, minor));
        // SAFETY: every field may be zero.
        let zero: NDIS_MINIPORT_DRIVER_CHARACTERISTICS = unsafe { core::mem::zeroed() };
        NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
            Header: NDIS_OBJECT_HEADER::new(
                NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                revision,
                size,
            ),
            MajorNdisVersion: 6,
            MinorNdisVersion: minor,
            InitializeHandlerEx: Some(initialize),
            HaltHandlerEx: Some(two),
            UnloadHandler: Some(unload),
            PauseHandler: Some(pause),
            RestartHandler: Some(restart),
            OidRequestHandler: Some(oid),
            SendNetBufferListsHandler: Some(send),
            ReturnNetBufferListsHandler: Some(give_back),
            CancelSendHandler: Some(cancel),
            DevicePnPEventNotifyHandler: Some(event),
            ShutdownHandlerEx: Some(two),
            CancelOidRequestHandler: Some(cancel),
            ..zero
        }
    }

    fn status(c: &NDIS_MINIPORT_DRIVER_CHARACTERISTICS, running: u8) -> NDIS_STATUS {
        check(c, (6, running)).map_or_else(|(s, _)| s, |()| NDIS_STATUS_SUCCESS)
    }

    #[test]
    fn drivers_of_versions_from_6_30_up_to_the_running_one_register() {
        for (minor, running, wanted) in [
            (20, 84, NDIS_STATUS_BAD_VERSION),
            (30, 84, NDIS_STATUS_SUCCESS),
            (60, 60, NDIS_STATUS_SUCCESS),
            (84, 84, NDIS_STATUS_SUCCESS),
            (85, 84, NDIS_STATUS_BAD_VERSION),
        ] {
            assert_eq!(
                status(&complete(minor), running),
                wanted,
                "6.{minor} on 6.{running}"
            );
        }
    }

    #[test]
    fn the_characteristics_need_the_revision_of_their_version() {
        let mut c = complete(80);
        c.Header.Revision = 2;
        assert_eq!(status(&c, 84), NDIS_STATUS_BAD_CHARACTERISTICS);
        c.Header.Revision = 3;
        c.Header.Size -= 8;
        assert_eq!(status(&c, 84), NDIS_STATUS_BAD_CHARACTERISTICS);
    }

    #[test]
    fn a_required_routine_cannot_be_missing_and_pairs_are_whole() {
        let mut c = complete(60);
        c.PauseHandler = None;
        assert_eq!(status(&c, 84), NDIS_STATUS_BAD_CHARACTERISTICS);
        let mut c = complete(60);
        c.CheckForHangHandlerEx = Some(hang);
        assert_eq!(status(&c, 84), NDIS_STATUS_BAD_CHARACTERISTICS);
        let mut c = complete(60);
        c.DirectOidRequestHandler = Some(oid);
        assert_eq!(status(&c, 84), NDIS_STATUS_BAD_CHARACTERISTICS);
    }
}
