//! What setup does with an INF: services, classes, and a device's keys. Everything comes from the bundle.
//!
//! A device's INF `HKR` in a `.HW` section is its hardware key: `Device Parameters` below its instance key, except for the
//! few values that setup keeps in the instance key itself (UpperFilters and such; "INF AddReg Directive").

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lab_protocol::bundle::{Action, Bundle, InfChange, Install, Model, Package, Root, Service};
use lab_protocol::plan::Plan;
use lab_protocol::registry::{Change, Data};

use super::hive::Hive;
use super::{CLASS, CONTROL, ENUM, SERVICES, service_key};

/// Values of a `.HW` section that belong to the instance key itself.
const INSTANCE_VALUES: [&str; 7] = [
    "UpperFilters",
    "LowerFilters",
    "Security",
    "DeviceCharacteristics",
    "DeviceType",
    "Exclusive",
    "FriendlyName",
];

/// An AddReg or DelReg line as a change; `base` is what `HKR` stands for.
pub fn change(line: &InfChange, base: &str, hive: &Hive) -> Option<Change> {
    let root = match line.root {
        Root::Relative => String::from(base),
        Root::LocalMachine => String::from(r"\Registry\Machine"),
    };
    let key = if line.subkey.is_empty() {
        root
    } else {
        format!("{root}\\{}", line.subkey)
    };
    let name = line.name.clone();
    Some(match &line.action {
        Action::Set(data) => Change::SetValue {
            key,
            name,
            data: data.clone(),
        },
        Action::SetIfAbsent(_) if hive.get(&key, &name).is_some() => return None,
        Action::SetIfAbsent(data) => Change::SetValue {
            key,
            name,
            data: data.clone(),
        },
        Action::Append(strings) => Change::AppendValue {
            key,
            name,
            strings: strings.clone(),
        },
        Action::CreateKey => Change::CreateKey { key },
        Action::Delete if name.is_empty() => Change::DeleteKey { key },
        Action::Delete => Change::DeleteValue { key, name },
    })
}

fn set(key: &str, name: &str, data: Data) -> Change {
    Change::SetValue {
        key: key.into(),
        name: name.into(),
        data,
    }
}

/// The values of a service's key, before its AddReg lines.
fn service_values(service: &Service) -> Vec<Change> {
    let key = service_key(&service.name);
    let image = format!("\\SystemRoot\\System32\\drivers\\{}", service.binary);
    let mut out = Vec::from([
        set(&key, "Type", Data::Dword(service.service_type)),
        set(&key, "Start", Data::Dword(service.start_type)),
        set(&key, "ErrorControl", Data::Dword(service.error_control)),
        set(&key, "ImagePath", Data::ExpandSz(image)),
    ]);
    if let Some(group) = &service.load_order_group {
        out.push(set(&key, "Group", Data::Sz(group.clone())));
    }
    if let Some(flags) = service.boot_flags {
        out.push(set(&key, "BootFlags", Data::Dword(flags)));
    }
    out
}

fn apply_all(hive: &mut Hive, changes: impl IntoIterator<Item = Change>) {
    for c in changes {
        // What an INF may name can always be made: it has no volatile parents.
        let _ = hive.apply(&c, 0);
    }
}

fn install_services(hive: &mut Hive, install: &Install) {
    for service in &install.services {
        apply_all(hive, service_values(service));
        let base = service_key(&service.name);
        for line in &service.registry {
            let c = change(line, &base, hive);
            apply_all(hive, c);
        }
    }
}

/// Load order groups of a Windows 10, as far as drivers name them (Control\ServiceGroupOrder).
const GROUPS: [&str; 12] = [
    "System Reserved",
    "EMS",
    "WdfLoadGroup",
    "Boot Bus Extender",
    "System Bus Extender",
    "SCSI miniport",
    "Port",
    "Primary Disk",
    "SCSI Class",
    "SCSI CDROM Class",
    "Filter",
    "NDIS",
];

/// The registry at boot: what Windows has, what the packages' setup wrote, what the plan sets, and what the boots before
/// left.
pub fn registry(bundle: &Bundle) -> Hive {
    let mut hive = Hive::new();
    apply_all(
        &mut hive,
        [
            set(
                CONTROL,
                "SystemStartOptions",
                Data::Sz(" NOEXECUTE=OPTIN".into()),
            ),
            set(
                &format!("{CONTROL}\\ServiceGroupOrder"),
                "List",
                Data::MultiSz(GROUPS.iter().map(|g| String::from(*g)).collect()),
            ),
            Change::CreateKey {
                key: format!("{CONTROL}\\TimeZoneInformation"),
            },
            Change::CreateKey {
                key: SERVICES.into(),
            },
            Change::CreateKey { key: ENUM.into() },
            Change::CreateKey { key: CLASS.into() },
        ],
    );
    for package in &bundle.packages {
        let class = format!("{CLASS}\\{}", package.class_guid);
        apply_all(
            &mut hive,
            [set(&class, "Class", Data::Sz(package.class.clone()))],
        );
        for model in &package.models {
            install_services(&mut hive, &model.install);
        }
    }
    for v in &bundle.plan.guest.registry {
        apply_all(&mut hive, [set(&v.key, &v.name, v.data.clone())]);
    }
    apply_all(&mut hive, bundle.registry.iter().cloned());
    hive
}

/// What the plan sets in a device's own keys.
pub fn of_plan(plan: &Plan, instance: &str) -> Vec<Change> {
    let own = format!("{ENUM}\\{instance}\\").to_ascii_lowercase();
    plan.guest
        .registry
        .iter()
        .filter(|v| v.key.to_ascii_lowercase().starts_with(&own))
        .map(|v| set(&v.key, &v.name, v.data.clone()))
        .collect()
}

/// The class of network adapters, whose installer gives each a GUID.
const NET: &str = "{4d36e972-e325-11ce-bfc1-08002be10318}";

/// A GUID for a network adapter, the same whenever it is installed anew. Windows draws one.
fn interface_guid(instance: &str) -> String {
    use sha2::{Digest, Sha256};
    let d = Sha256::digest(super::hive::fold(instance).as_bytes());
    let word = |at: usize| u32::from_be_bytes([d[at], d[at + 1], d[at + 2], d[at + 3]]);
    let (a, b, c, e) = (word(0), word(4), word(8), word(12));
    // Version 8 of RFC 9562: bits of one's own.
    format!(
        "{{{a:08X}-{:04X}-8{:03X}-{:04X}-{:04X}{e:08X}}}",
        b >> 16,
        b & 0xfff,
        0x8000 | c >> 16 & 0x3fff,
        c & 0xffff
    )
}

/// What setup writes when it binds a device: its instance key's values, its driver key, and the INF's AddReg lines.
pub fn device(
    hive: &Hive,
    instance: &str,
    package: &Package,
    model: &Model,
    matched: &str,
) -> Vec<Change> {
    let key = format!("{ENUM}\\{instance}");
    let driver = driver_key(hive, &package.class_guid);
    let software = format!("{CLASS}\\{driver}");
    let function = model.install.services.iter().find(|s| s.function_driver);
    let (date, version) = package
        .driver_version
        .split_once(',')
        .unwrap_or((&package.driver_version, ""));
    let mut out = Vec::from([
        set(&key, "Class", Data::Sz(package.class.clone())),
        set(&key, "ClassGUID", Data::Sz(package.class_guid.clone())),
        set(&key, "Driver", Data::Sz(driver)),
        set(&key, "DeviceDesc", Data::Sz(model.description.clone())),
        set(&key, "Mfg", Data::Sz(package.provider.clone())),
        set(&software, "DriverDesc", Data::Sz(model.description.clone())),
        set(
            &software,
            "ProviderName",
            Data::Sz(package.provider.clone()),
        ),
        set(&software, "DriverDate", Data::Sz(date.trim().into())),
        set(&software, "DriverVersion", Data::Sz(version.trim().into())),
        set(&software, "InfPath", Data::Sz(package.inf.clone())),
        set(&software, "MatchingDeviceId", Data::Sz(matched.into())),
    ]);
    if package.class_guid.eq_ignore_ascii_case(NET) {
        let id = Data::Sz(interface_guid(instance));
        out.push(set(&software, "NetCfgInstanceId", id));
    }
    if let Some(s) = function {
        out.push(set(&key, "Service", Data::Sz(s.name.clone())));
    }
    out.extend(
        model
            .install
            .software
            .iter()
            .filter_map(|l| change(l, &software, hive)),
    );
    let parameters = format!("{key}\\Device Parameters");
    for line in &model.install.hardware {
        let own = line.subkey.is_empty()
            && INSTANCE_VALUES
                .iter()
                .any(|v| v.eq_ignore_ascii_case(&line.name));
        out.extend(change(line, if own { &key } else { &parameters }, hive));
    }
    out
}

/// The next free driver key of a class: `{guid}\0000` and so on.
fn driver_key(hive: &Hive, class_guid: &str) -> String {
    let free = |n: &usize| {
        hive.open(Hive::ROOT, &format!("{CLASS}\\{class_guid}\\{n:04}"))
            .is_err()
    };
    format!("{class_guid}\\{:04}", (0..).find(free).unwrap_or(0))
}

/// How well a model fits a device, the smaller the better: the place of the id in the device's list (hardware ids before
/// compatible ids), then the place in the model's, as "How Windows ranks drivers" orders them.
pub fn rank(model: &Model, hardware: &[String], compatible: &[String]) -> Option<(u32, String)> {
    let place = |list: &[String], id: &str| list.iter().position(|d| d.eq_ignore_ascii_case(id));
    model
        .ids
        .iter()
        .enumerate()
        .filter_map(|(n, id)| {
            let of_model: u32 = if n == 0 { 0 } else { 0x1000 };
            let of_device = match (place(hardware, id), place(compatible, id)) {
                (Some(i), _) => i as u32,
                (None, Some(i)) => 0x2000 + i as u32,
                _ => return None,
            };
            let score = u32::from(model.install.feature_score) << 16;
            Some((score + of_model + of_device, id.clone()))
        })
        .min()
}

/// The package and model for a device, with the id that matched.
pub fn find<'a>(
    packages: &'a [Package],
    hardware: &[String],
    compatible: &[String],
) -> Option<(&'a Package, &'a Model, String)> {
    packages
        .iter()
        .flat_map(|p| p.models.iter().map(move |m| (p, m)))
        .filter_map(|(p, m)| rank(m, hardware, compatible).map(|(r, id)| (r, p, m, id)))
        .min_by_key(|(r, ..)| *r)
        .map(|(_, p, m, id)| (p, m, id))
}

/// A service in the order of its group; boot drivers first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartService {
    /// Its name
    pub name: String,
    /// 0 boot, 1 system
    pub start: u32,
}

/// The kernel drivers that start without a device asking for them, in order: boot before system, by group.
pub fn start_order(hive: &Hive) -> Vec<StartService> {
    let groups = hive.strings(&format!("{CONTROL}\\ServiceGroupOrder"), "List");
    let services = hive
        .open(Hive::ROOT, SERVICES)
        .and_then(|id| hive.subkeys(id))
        .unwrap_or_default();
    let mut found: Vec<(u32, usize, StartService)> = services
        .into_iter()
        .filter_map(|id| {
            let name = String::from(hive.name(id).ok()?);
            let key = service_key(&name);
            let start = hive.dword(&key, "Start").filter(|s| *s <= 1)?;
            (hive.dword(&key, "Type") == Some(1)).then_some(())?;
            let group = hive.string(&key, "Group").unwrap_or_default();
            let place = groups
                .iter()
                .position(|g| g.eq_ignore_ascii_case(&group))
                .unwrap_or(groups.len());
            Some((start, place, StartService { name, start }))
        })
        .collect();
    found.sort_by_key(|(start, place, _)| (*start, *place));
    found.into_iter().map(|(.., s)| s).collect()
}

#[cfg(test)]
mod tests;
