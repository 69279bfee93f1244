//! The loader: images, driver objects, DriverEntry and Unload.
//!
//! As in Windows an image is mapped once however many drivers import from it; an export driver's DllInitialize runs at
//! PASSIVE_LEVEL before its first importer's DriverEntry, with the path of a service key of its name that need not exist,
//! and its failure fails the importer; DllUnload runs after the last importer is gone; its own entry point is not called
//! ("Export drivers"; MmLoadSystemImage has no page, this is what those drivers expect).
//!
//! All of it runs in one thread at a time: the one that PnP owns.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::AtomicU64;

use lab_protocol::bundle::{Bundle, Image as File};
use lab_protocol::record::Record;

use crate::check::calls::{CallRecord, THUNK, thunk};
use crate::check::{emit, violation_by};
use crate::exports::{Kind, Module};
use crate::kd::modules::{self, ModuleInfo};
use crate::machine::{PAGE_SIZE, Protection};
use crate::nt::base::{NTSTATUS, UNICODE_STRING, nt_success};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;
use crate::ob::{self, ObjectKind};
use crate::sync::Lock;

pub mod notify;
pub mod pe;
mod resident;
pub mod tables;

use pe::{Import, Pe};

/// A mapped image.
struct Image {
    id: u32,
    name: String,
    base: usize,
    size: usize,
    exports: BTreeMap<String, (u32, bool)>,
    imports: Vec<u32>,
    importers: u32,
    thunks: Option<usize>,
}

/// A loaded driver.
struct Driver {
    service: String,
    image: Option<u32>,
    object: usize,
}

struct State {
    bundle: Option<&'static Bundle>,
    images: Vec<Image>,
    drivers: Vec<Driver>,
    next: u32,
}

static STATE: Lock<State> = Lock::new(State {
    bundle: None,
    images: Vec::new(),
    drivers: Vec::new(),
    next: 1,
});

/// A driver's entry that is part of the executive.
pub type Builtin = unsafe extern "win64" fn(*mut DRIVER_OBJECT, *mut UNICODE_STRING) -> NTSTATUS;

/// Where images come from.
pub fn init(bundle: &'static Bundle) {
    STATE.lock().bundle = Some(bundle);
    // SAFETY: once, before drivers run.
    unsafe { resident::install(Module::Netio) };
}

fn log(text: &str) {
    crate::kd::text(text);
}

fn file(name: &str) -> Option<&'static File> {
    let bundle = STATE.lock().bundle?;
    bundle
        .packages
        .iter()
        .flat_map(|p| &p.images)
        .find(|i| i.name.eq_ignore_ascii_case(name))
}

/// A counted string that lives for ever.
fn lasting(text: &str) -> UNICODE_STRING {
    let units: &'static mut [u16] = text.encode_utf16().chain([0]).collect::<Vec<_>>().leak();
    UNICODE_STRING {
        Length: (units.len() as u16 - 1) * 2,
        MaximumLength: units.len() as u16 * 2,
        Buffer: units.as_mut_ptr(),
    }
}

/// The address that an import is bound to.
enum Bound {
    Data(usize),
    Function(CallRecord),
}

fn bind(driver: &'static str, import: &Import, others: &BTreeMap<String, u32>) -> Option<Bound> {
    let record = |target: usize, name: &'static str, facts| {
        Bound::Function(CallRecord {
            target,
            driver,
            name,
            facts,
            count: AtomicU64::new(0),
        })
    };
    if let Some(module) = builtin_module(&import.module) {
        let export = tables::find(Some(module), &import.name)?;
        return Some(match export.kind {
            Kind::Data => Bound::Data(export.addr as usize),
            Kind::Function => record(
                export.addr as usize,
                export.name,
                lab_facts::function(export.name),
            ),
        });
    }
    let id = others.get(&import.module.to_ascii_lowercase())?;
    let state = STATE.lock();
    let image = state.images.iter().find(|i| i.id == *id)?;
    let (at, code) = *image.exports.get(&import.name)?;
    let address = image.base + at as usize;
    drop(state);
    if code {
        Some(record(address, import.name.clone().leak(), None))
    } else {
        Some(Bound::Data(address))
    }
}

fn builtin_module(name: &str) -> Option<Module> {
    Module::ALL
        .into_iter()
        .find(|m| m.file_name().eq_ignore_ascii_case(name))
}

/// Loads the export drivers that an image imports from.
unsafe fn load_imports(name: &str, imports: &[Import]) -> Result<BTreeMap<String, u32>, NTSTATUS> {
    let mut others = BTreeMap::new();
    for import in imports {
        let key = import.module.to_ascii_lowercase();
        if builtin_module(&key).is_some() || others.contains_key(&key) {
            continue;
        }
        match load_export_driver(&key) {
            Ok(id) => {
                others.insert(key, id);
            }
            Err(status) => {
                log(&format!(
                    "{name}: {} could not be loaded: {status:#x}",
                    import.module
                ));
                for id in others.into_values() {
                    release_import(id);
                }
                return Err(status);
            }
        }
    }
    Ok(others)
}

/// Maps an image and binds its imports. Its code has not run yet.
unsafe fn map(file: &'static File) -> Result<(u32, usize), NTSTATUS> {
    let refuse = |e: pe::PeError| {
        log(&format!("{}: {e}", file.name));
        violation_by(&file.name, "load", "image", format_args!("{e}"));
        STATUS_INVALID_IMAGE_FORMAT
    };
    let pe = Pe::parse(&file.bytes).map_err(refuse)?;
    let imports = pe.imports().map_err(refuse)?;
    let exports = pe.exports().map_err(refuse)?;
    let protections = pe.protections().map_err(refuse)?;
    let others = load_imports(&file.name, &imports)?;
    let result = map_with(file, &pe, &imports, &others, &protections);
    match result {
        Ok((base, thunks)) => {
            let exports = exports
                .into_iter()
                .map(|(n, at)| (n, (at, pe.is_code(at))))
                .collect();
            let mut state = STATE.lock();
            let id = state.next;
            state.next += 1;
            state.images.push(Image {
                id,
                name: file.name.clone(),
                base,
                size: pe.size() as usize,
                exports,
                imports: others.into_values().collect(),
                importers: 0,
                thunks: thunks.map(|t| t.0),
            });
            drop(state);
            announce(file, &pe, id, base, thunks);
            Ok((id, base + pe.entry() as usize))
        }
        Err(status) => {
            for id in others.into_values() {
                release_import(id);
            }
            Err(status)
        }
    }
}

unsafe fn map_with(
    file: &'static File,
    pe: &Pe<'_>,
    imports: &[Import],
    others: &BTreeMap<String, u32>,
    protections: &[(u32, u32, Protection)],
) -> Result<(usize, Option<(usize, usize)>), NTSTATUS> {
    let name: &'static str = &file.name;
    let mut bound = Vec::new();
    let mut missing = false;
    for import in imports {
        match bind(name, import, others) {
            Some(b) => bound.push((import.slot, b)),
            None => {
                missing = true;
                let what = format!("{} of {} does not exist", import.name, import.module);
                log(&format!("{name} cannot be loaded: {what}"));
                violation_by(name, &import.name, "import", format_args!("{what}"));
            }
        }
    }
    if missing {
        return Err(STATUS_ENTRYPOINT_NOT_FOUND);
    }
    let size = pe.size() as usize;
    let base = crate::mm::image::allocate(size).ok_or(STATUS_NO_MEMORY)?;
    let image = core::slice::from_raw_parts_mut(base as *mut u8, size);
    let failed = pe.map(image).and_then(|()| pe.relocate(image, base as u64));
    if let Err(e) = failed {
        log(&format!("{name}: {e}"));
        crate::mm::image::free(base);
        return Err(STATUS_INVALID_IMAGE_FORMAT);
    }
    let functions = bound
        .iter()
        .filter(|(_, b)| matches!(b, Bound::Function(_)))
        .count();
    let thunks = match functions {
        0 => None,
        n => {
            let len = (n * THUNK).next_multiple_of(PAGE_SIZE);
            let Some(at) = crate::mm::image::allocate(len) else {
                crate::mm::image::free(base);
                return Err(STATUS_NO_MEMORY);
            };
            Some((at, len))
        }
    };
    let mut next = thunks.map_or(0, |t| t.0);
    for (slot, b) in bound {
        let address = match b {
            Bound::Data(address) => address,
            Bound::Function(record) => {
                let code = thunk(Box::leak(Box::new(record)));
                core::ptr::copy_nonoverlapping(code.as_ptr(), next as *mut u8, THUNK);
                next += THUNK;
                next - THUNK
            }
        };
        if let Some(to) = image.get_mut(slot as usize..slot as usize + 8) {
            to.copy_from_slice(&address.to_le_bytes());
        }
    }
    for &(start, len, protection) in protections {
        protect(base + start as usize, len as usize, protection);
    }
    if let Some((at, len)) = thunks {
        protect(at, len, Protection::ReadExecute);
    }
    Ok((base, thunks))
}

/// Tells the host, the unwinder and those who asked of a new image.
unsafe fn announce(file: &File, pe: &Pe<'_>, id: u32, base: usize, thunks: Option<(usize, usize)>) {
    let size = pe.size() as usize;
    let (pdata, pdata_len) = pe.exceptions();
    register(&file.name, id, (base, size), (pdata, pdata_len));
    if let Some(range) = thunks {
        register(&file.name, id, range, (0, 0));
    }
    emit(&Record::ImageLoaded {
        name: file.name.clone(),
        base: base as u64,
        size: size as u64,
        version: pe.version(),
    });
    notify::loaded(&file.name, base, size);
}

fn protect(at: usize, len: usize, protection: Protection) {
    if let Err(e) = crate::mm::image::protect(at, len, protection) {
        log(&format!(
            "image memory at {at:#x} could not be protected: {e:?}"
        ));
    }
}

fn register(
    name: &str,
    driver: u32,
    (base, size): (usize, usize),
    (pdata_rva, pdata_len): (u32, u32),
) {
    let name = ModuleInfo::name_field(name);
    if !modules::register(ModuleInfo {
        base,
        size,
        name,
        pdata_rva,
        pdata_len,
        driver,
    }) {
        log("more images than the module table holds: stacks will lack names");
    }
}

/// Takes an image away with its thunks, and what it imports from if no one else needs that.
unsafe fn unmap(id: u32) {
    let image = {
        let mut state = STATE.lock();
        let Some(at) = state.images.iter().position(|i| i.id == id) else {
            return;
        };
        state.images.remove(at)
    };
    emit(&Record::ImageUnloaded {
        name: image.name.clone(),
    });
    report_leaks(&image);
    let threads = crate::ke::thread::begun_in(image.base..image.base + image.size);
    if threads == 0 {
        for at in core::iter::once(image.base).chain(image.thunks) {
            modules::unregister(at);
            crate::mm::image::free(at);
        }
    } else {
        // Windows would take the code away under them, and stop with bug check 0xCE when one runs on. Here it stays, so that
        // what else there is to be seen is seen.
        violation_by(
            &image.name,
            "DriverUnload",
            "0xCE threads go on after the unload",
            format_args!("{threads} that the driver began"),
        );
    }
    for import in image.imports {
        release_import(import);
    }
}

fn report_leaks(image: &Image) {
    let pool = crate::ex::pool::leaks(image.id);
    if !pool.is_empty() {
        let bytes: u64 = pool.iter().map(|p| p.bytes).sum();
        violation_by(
            &image.name,
            "DriverUnload",
            "pool leak",
            format_args!("{bytes} bytes were not freed"),
        );
        emit(&Record::Leaks {
            driver: image.name.clone(),
            pool,
        });
    }
    let irps = crate::io::irp::unfreed(&image.name);
    if irps != 0 {
        violation_by(
            &image.name,
            "DriverUnload",
            "IRPs not freed",
            format_args!("{irps}"),
        );
    }
}

/// One more importer of an export driver, which is loaded for the first.
unsafe fn load_export_driver(module: &str) -> Result<u32, NTSTATUS> {
    {
        let mut state = STATE.lock();
        if let Some(i) = state
            .images
            .iter_mut()
            .find(|i| i.name.eq_ignore_ascii_case(module))
        {
            i.importers += 1;
            return Ok(i.id);
        }
    }
    let file = file(module).ok_or(STATUS_DLL_NOT_FOUND)?;
    let (id, _) = map(file)?;
    let initialize = {
        let mut state = STATE.lock();
        let image = state
            .images
            .iter_mut()
            .find(|i| i.id == id)
            .ok_or(STATUS_DLL_NOT_FOUND)?;
        image.importers = 1;
        image
            .exports
            .get("DllInitialize")
            .map(|(at, _)| image.base + *at as usize)
    };
    if let Some(routine) = initialize {
        let service = module.rsplit_once('.').map_or(module, |(stem, _)| stem);
        let mut path = lasting(&crate::cm::service_key(service));
        let routine: unsafe extern "win64" fn(*mut UNICODE_STRING) -> NTSTATUS =
            core::mem::transmute(routine);
        let status = routine(&mut path);
        if !nt_success(status) {
            log(&format!("{module}: DllInitialize failed with {status:#x}"));
            unmap(id);
            return Err(status);
        }
    }
    Ok(id)
}

/// One importer less; the last one ends the export driver.
unsafe fn release_import(id: u32) {
    let unload = {
        let mut state = STATE.lock();
        let Some(image) = state.images.iter_mut().find(|i| i.id == id) else {
            return;
        };
        image.importers = image.importers.saturating_sub(1);
        if image.importers > 0 {
            return;
        }
        image
            .exports
            .get("DllUnload")
            .map(|(at, _)| image.base + *at as usize)
    };
    if let Some(routine) = unload {
        let routine: unsafe extern "win64" fn() -> NTSTATUS = core::mem::transmute(routine);
        let status = routine();
        if !nt_success(status) {
            log(&format!("DllUnload failed with {status:#x}"));
        }
    }
    unmap(id);
}

unsafe fn new_driver_object(
    service: &str,
    entry: Builtin,
    image: Option<(usize, usize)>,
) -> *mut DRIVER_OBJECT {
    let size = size_of::<DRIVER_OBJECT>() + size_of::<DRIVER_EXTENSION>();
    let driver = ob::create(ObjectKind::Driver, size, ob::nothing).cast::<DRIVER_OBJECT>();
    if driver.is_null() {
        return driver;
    }
    let extension = driver.add(1).cast::<DRIVER_EXTENSION>();
    let d = &mut *driver;
    d.Type = IO_TYPE_DRIVER;
    d.Size = size_of::<DRIVER_OBJECT>() as i16;
    if let Some((base, len)) = image {
        d.DriverStart = base as *mut c_void;
        d.DriverSize = len as u32;
        d.DriverSection = base as *mut c_void;
    }
    d.DriverExtension = extension;
    d.DriverName = lasting(&format!("\\Driver\\{service}"));
    d.HardwareDatabase = Box::leak(Box::new(lasting(
        r"\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM",
    )));
    d.DriverInit = Some(entry);
    d.MajorFunction = [Some(crate::io::irp::invalid_request as DRIVER_DISPATCH); 28];
    (*extension).DriverObject = driver;
    (*extension).ServiceKeyName = lasting(service);
    driver
}

/// The driver object of a service's driver, if it is loaded.
pub fn find_driver(service: &str) -> Option<*mut DRIVER_OBJECT> {
    let state = STATE.lock();
    let found = state
        .drivers
        .iter()
        .find(|d| d.service.eq_ignore_ascii_case(service))?;
    Some(found.object as *mut DRIVER_OBJECT)
}

/// The file name of a driver's image, or its service's name if it is part of the executive.
pub fn driver_name(object: *mut DRIVER_OBJECT) -> String {
    let state = STATE.lock();
    let Some(d) = state.drivers.iter().find(|d| d.object == object as usize) else {
        return String::new();
    };
    let image = state.images.iter().find(|i| Some(i.id) == d.image);
    image.map_or_else(|| d.service.clone(), |i| i.name.clone())
}

/// The service of a driver.
pub fn service_of(object: *mut DRIVER_OBJECT) -> String {
    let state = STATE.lock();
    state
        .drivers
        .iter()
        .find(|d| d.object == object as usize)
        .map_or_else(String::new, |d| d.service.clone())
}

/// The image that a driver or an address belongs to by its number: its file name.
pub fn image_name(id: u32) -> String {
    STATE
        .lock()
        .images
        .iter()
        .find(|i| i.id == id)
        .map_or_else(String::new, |i| i.name.clone())
}

/// Name, base and size of every mapped image, in load order.
pub fn images() -> Vec<(String, usize, usize)> {
    STATE
        .lock()
        .images
        .iter()
        .map(|i| (i.name.clone(), i.base, i.size))
        .collect()
}

/// The services whose drivers are loaded, newest first.
pub fn loaded_services() -> Vec<String> {
    STATE
        .lock()
        .drivers
        .iter()
        .rev()
        .map(|d| d.service.clone())
        .collect()
}

/// Loads a service's driver and calls its entry point. PASSIVE_LEVEL.
///
/// # Errors
/// What DriverEntry or a DllInitialize returned, or why the image could not be loaded.
///
/// # Safety
/// One call at a time.
pub unsafe fn load_driver(service: &str) -> Result<*mut DRIVER_OBJECT, NTSTATUS> {
    if let Some(driver) = find_driver(service) {
        return Ok(driver);
    }
    let key = crate::cm::service_key(service);
    let path =
        crate::cm::read(|h| h.string(&key, "ImagePath")).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    let binary = path.rsplit(['\\', '/']).next().unwrap_or(&path).to_string();
    let Some(file) = file(&binary) else {
        log(&format!("{service}: no package brings {binary}"));
        return Err(STATUS_NO_SUCH_FILE);
    };
    let (id, entry) = map(file)?;
    let (base, size) = {
        let state = STATE.lock();
        state
            .images
            .iter()
            .find(|i| i.id == id)
            .map_or((0, 0), |i| (i.base, i.size))
    };
    let entry: Builtin = core::mem::transmute(entry);
    let result = start(service, entry, Some(id), Some((base, size)));
    if result.is_err() {
        unmap(id);
    }
    result
}

/// Starts a driver that is part of the executive. PASSIVE_LEVEL.
///
/// # Errors
/// What its entry returned.
///
/// # Safety
/// One call at a time.
pub unsafe fn load_builtin(service: &str, entry: Builtin) -> Result<*mut DRIVER_OBJECT, NTSTATUS> {
    match find_driver(service) {
        Some(driver) => Ok(driver),
        None => start(service, entry, None, None),
    }
}

unsafe fn start(
    service: &str,
    entry: Builtin,
    image: Option<u32>,
    range: Option<(usize, usize)>,
) -> Result<*mut DRIVER_OBJECT, NTSTATUS> {
    let driver = new_driver_object(service, entry, range);
    if driver.is_null() {
        return Err(STATUS_INSUFFICIENT_RESOURCES);
    }
    STATE.lock().drivers.push(Driver {
        service: service.into(),
        image,
        object: driver as usize,
    });
    let mut path = lasting(&crate::cm::service_key(service));
    let status = entry(driver, &mut path);
    let irql = crate::ke::KeGetCurrentIrql();
    if irql != 0 {
        violation_by(
            &driver_name(driver),
            "DriverEntry",
            "irql",
            format_args!("returned at IRQL {irql}"),
        );
        crate::ke::KeLowerIrql(0);
    }
    if !nt_success(status) {
        log(&format!("{service}: DriverEntry failed with {status:#x}"));
        if !(*driver).DeviceObject.is_null() {
            violation_by(
                &driver_name(driver),
                "DriverEntry",
                "device left",
                format_args!("failed with a device object"),
            );
        }
        forget(driver);
        return Err(status);
    }
    for routine in &mut (*driver).MajorFunction {
        routine.get_or_insert(crate::io::irp::invalid_request);
    }
    Ok(driver)
}

unsafe fn forget(driver: *mut DRIVER_OBJECT) {
    STATE.lock().drivers.retain(|d| d.object != driver as usize);
    ob::ObfDereferenceObject(driver.cast());
}

/// Calls a driver's Unload and takes its image away. PASSIVE_LEVEL; false if it has no Unload or devices are left.
///
/// # Safety
/// One call at a time, and no device of the driver in use.
pub unsafe fn unload_driver(service: &str) -> bool {
    let Some(driver) = find_driver(service) else {
        return false;
    };
    let name = driver_name(driver);
    if !(*driver).DeviceObject.is_null() {
        log(&format!("{name} still has device objects and stays"));
        return false;
    }
    let Some(unload) = (*driver).DriverUnload else {
        violation_by(
            &name,
            "DriverUnload",
            "unload",
            format_args!("the driver has no Unload routine"),
        );
        return false;
    };
    unload(driver);
    let irql = crate::ke::KeGetCurrentIrql();
    if irql != 0 {
        violation_by(
            &name,
            "DriverUnload",
            "irql",
            format_args!("returned at IRQL {irql}"),
        );
        crate::ke::KeLowerIrql(0);
    }
    if !(*driver).DeviceObject.is_null() {
        violation_by(
            &name,
            "DriverUnload",
            "device left",
            format_args!("returned with a device object"),
        );
    }
    let image = {
        let state = STATE.lock();
        state
            .drivers
            .iter()
            .find(|d| d.object == driver as usize)
            .and_then(|d| d.image)
    };
    crate::io::device::drop_extensions(driver);
    forget(driver);
    if let Some(id) = image {
        unmap(id);
    }
    true
}
