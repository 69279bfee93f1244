//! The service's registry values. Everything here needs PASSIVE_LEVEL.

use rust_alloc::vec::Vec;
use wdm::alloc::Once;
use wdm::registry::{Access, Key};
use wdm::status::{Result, Status};
use wdm::text::{FormatBuffer, multi_sz};
use wdm::wide;
use xenbus_core::children::Classes;
use xenbus_interface::identity::Class;

/// Longest path of a service's key.
const MAX_PATH: usize = 256;

/// `\Registry\Machine\…\Services\xenbus`, as Windows told `DriverEntry`.
struct Path {
    units: [u16; MAX_PATH],
    length: usize,
}

static SERVICE: Once<Path> = Once::new();

/// Remembers the service's key.
///
/// # Errors
/// `INVALID_PARAMETER`: the path is longer than any service's.
pub fn remember(service: &[u16]) -> Result {
    let mut units = [0; MAX_PATH];
    let target = units
        .get_mut(..service.len())
        .ok_or(Status::INVALID_PARAMETER)?;
    target.copy_from_slice(service);
    SERVICE.set(Path {
        units,
        length: service.len(),
    });
    Ok(())
}

fn open() -> Result<Key> {
    let path = SERVICE.get().ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
    let service = Key::open(
        path.units.get(..path.length).unwrap_or_default(),
        Access::Read,
    )?;
    service.open_child(wide!("Parameters"), Access::Read)
}

/// How the bus is to work.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// `SupportedClasses`: classes that get a child (default: VBD and VIF).
    pub classes: Classes,
    /// `<CLASS>\PerDevice`: those of them that get a child a device, and not one for all (default 1 where a class may
    /// have them).
    pub per_device: Classes,
    /// `UseHypercallPage`: enter Xen through the hypercall page (default 0).
    pub hypercall_page: bool,
    /// `UseEvtchnFifoAbi`: use the FIFO event channel ABI where Xen has it (default 1).
    pub fifo: bool,
    /// `UseEvtchnUpcall`: deliver events by a vector a processor where possible (default 1).
    pub upcall_vectors: bool,
}

impl Parameters {
    /// Reads them; what is missing or unusable has its default.
    pub fn read() -> Self {
        let key = open().ok();
        let dword = |name: &[u16], default: u32| match key.as_ref().map(|key| key.dword(name)) {
            Some(Ok(value)) => value != 0,
            _ => default != 0,
        };
        let list = key
            .as_ref()
            .and_then(|key| key.text(wide!("SupportedClasses")).ok());
        let classes = match &list {
            Some(list) => Classes::from_list(multi_sz(list)),
            None => Classes::from_list([wide!("VBD"), wide!("VIF")].into_iter()),
        };
        let mut per_device = Classes::new();
        for class in classes.iter().filter(Class::has_devices) {
            if class_option(&class, "PerDevice") != Some(0) {
                per_device.insert(class);
            }
        }
        Self {
            classes,
            per_device,
            hypercall_page: dword(wide!("UseHypercallPage"), 0),
            fifo: dword(wide!("UseEvtchnFifoAbi"), 1),
            upcall_vectors: dword(wide!("UseEvtchnUpcall"), 1),
        }
    }
}

/// `Parameters\<CLASS>\<name>`, a `REG_DWORD`; `None` if there is none.
pub fn class_option(class: &Class, name: &str) -> Option<u32> {
    let key = open()
        .ok()?
        .open_child(&units(class.as_str())?, Access::Read)
        .ok()?;
    key.dword(&units(name)?).ok()
}

/// ASCII text as UTF-16.
fn units(text: &str) -> Option<Vec<u16>> {
    let mut units = Vec::new();
    units.try_reserve_exact(text.len()).ok()?;
    units.extend(text.bytes().map(u16::from));
    Some(units)
}

/// Whether Windows keeps the machine's clock on local time: `RealTimeIsUniversal` is not set.
pub fn clock_is_local() -> bool {
    let path =
        wide!("\\Registry\\Machine\\SYSTEM\\CurrentControlSet\\Control\\TimeZoneInformation");
    let key = Key::open(path, Access::Read);
    let universal = key.and_then(|key| key.dword(wide!("RealTimeIsUniversal")));
    universal.unwrap_or(0) == 0
}

/// `SystemStartOptions`: what the boot loader was told.
pub fn start_options() -> Vec<u16> {
    let path = wide!("\\Registry\\Machine\\SYSTEM\\CurrentControlSet\\Control");
    let key = Key::open(path, Access::Read);
    key.and_then(|key| key.text(wide!("SystemStartOptions")))
        .unwrap_or_default()
}

/// Asks whoever watches for reboot requests (a service of the package) for one: a volatile key named after
/// the module, with `Reboot` = 1, below the key that `RequestKey` names.
///
/// # Errors
/// What the registry says; without a `RequestKey`, `OBJECT_NAME_NOT_FOUND`.
pub fn request_reboot(module: &str) -> Result {
    let relative = open()?.text(wide!("RequestKey"))?;
    let relative = multi_sz(&relative)
        .next()
        .ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
    let mut key = Key::open(wide!("\\Registry\\Machine"), Access::Read)?;
    for element in relative.split(|unit| *unit == u16::from(b'\\')) {
        key = match key.open_child(element, Access::Write) {
            Ok(child) => child,
            Err(_) => key.create_child(element)?,
        };
    }
    let name = FormatBuffer::<64>::format(format_args!("{module}"));
    let name = units(name.as_str()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    key.create_volatile_child(&name)?
        .set_dword(wide!("Reboot"), 1)
}
