//! DDInstall.Services and the services' sections.

use super::{Inf, install, number, registry};
use lab_inf::Line;

/// SPSVCINST_ASSOCSERVICE: the service is the device's function driver.
const ASSOC_SERVICE: u32 = 0x0000_0002;
/// SPSVCINST flags that change what others made.
const UNIVERSAL_FLAGS: u32 = ASSOC_SERVICE;
/// SERVICE_KERNEL_DRIVER
const KERNEL_DRIVER: u32 = 1;
/// SERVICE_BOOT_START, SERVICE_DEMAND_START: what a Plug and Play driver can be.
const BOOT_START: u32 = 0;
const DEMAND_START: u32 = 3;
/// The first Windows that knows the directive BootFlags.
const BOOT_FLAGS_SINCE: u32 = 25398;

const DIRECTIVES: &[&str] = &[
    "DisplayName",
    "Description",
    "ServiceType",
    "StartType",
    "ErrorControl",
    "ServiceBinary",
    "LoadOrderGroup",
    "Dependencies",
    "AddReg",
    "BootFlags",
];
const FORBIDDEN: &[(&str, &str)] = &[
    ("StartName", "a driver has no account"),
    (
        "DelReg",
        "a driver package is isolated: it removes nothing of others'",
    ),
    ("BitReg", "not allowed in a universal INF"),
    (
        "Security",
        "the device's security belongs into the .HW section",
    ),
];

/// The services of a DDInstall section; returns the name of the one that is the device's function driver.
pub fn check(
    inf: &mut Inf<'_>,
    install: &str,
    from: u32,
    build: u32,
    destinations: &[(String, u32)],
) -> Option<String> {
    let name = format!("{install}.Services");
    let lines = inf.follow(&name, from);
    inf.only(
        &name,
        lines,
        &["AddService", "Include", "Needs"],
        &[(
            "DelService",
            "a driver package is isolated: it removes nothing of others'",
        )],
    );
    let mut function_driver: Option<String> = None;
    for line in lines.iter().filter(|line| line.is("AddService")) {
        let service = line.value(0);
        let flags = match line.value(1) {
            "" => Some(0),
            text => number(text),
        };
        match flags {
            Some(flags) if flags & !UNIVERSAL_FLAGS == 0 => {
                if flags & ASSOC_SERVICE != 0 {
                    if function_driver.is_some() {
                        inf.add(line.number, "a device has one function driver (flag 2)");
                    }
                    function_driver = Some(service.to_owned());
                }
            }
            _ => inf.add(
                line.number,
                format!("flags {:?} of AddService: a universal INF has 0x2 for the function driver, or none", line.value(1)),
            ),
        }
        one(inf, line, build, destinations);
        event_log(inf, line);
    }
    if function_driver.is_none() {
        inf.add(
            from,
            format!("[{name}] names no function driver (flag 2 of AddService)"),
        );
    }
    function_driver
}

fn one(inf: &mut Inf<'_>, line: &Line, build: u32, destinations: &[(String, u32)]) {
    let section = line.value(2);
    let lines = inf.follow(section, line.number);
    inf.only(section, lines, DIRECTIVES, FORBIDDEN);
    let entry = |name: &str| lines.iter().find(|line| line.is(name));
    for (name, expected, what) in [
        ("ServiceType", &[KERNEL_DRIVER][..], "1, a kernel driver"),
        (
            "StartType",
            &[BOOT_START, DEMAND_START],
            "0 (at boot) or 3 (when a device is there)",
        ),
        ("ErrorControl", &[0, 1, 2, 3], "0 to 3"),
    ] {
        match entry(name) {
            None => inf.add(line.number, format!("[{section}] has no {name}")),
            Some(entry)
                if !number(entry.value(0)).is_some_and(|value| expected.contains(&value)) =>
            {
                inf.add(entry.number, format!("{name} must be {what}"));
            }
            Some(_) => {}
        }
    }
    let at_boot =
        entry("StartType").is_some_and(|entry| number(entry.value(0)) == Some(BOOT_START));
    if at_boot && entry("LoadOrderGroup").is_none() {
        let text = format!(
            "[{section}] starts at boot and has no LoadOrderGroup: it would come after all that have one"
        );
        inf.add(line.number, text);
    }
    match entry("ServiceBinary") {
        None => inf.add(line.number, format!("[{section}] has no ServiceBinary")),
        Some(entry) => binary(inf, entry, destinations),
    }
    if let Some(entry) = entry("BootFlags")
        && build < BOOT_FLAGS_SINCE
    {
        inf.add(
            entry.number,
            format!("the directive BootFlags exists since build {BOOT_FLAGS_SINCE}: this is for build {build} too"),
        );
    }
    let place = registry::Place::Service {
        boot_flags: build < BOOT_FLAGS_SINCE,
    };
    for (line, section) in install::added(inf, lines) {
        registry::check(inf, &section, line, place);
    }
}

/// The image is one of the copied files, where it is copied to.
fn binary(inf: &mut Inf<'_>, entry: &Line, destinations: &[(String, u32)]) {
    let path = entry.value(0);
    let known = destinations
        .iter()
        .any(|(file, folder)| path.eq_ignore_ascii_case(&format!("%{folder}%\\{file}")));
    if !known {
        let places: Vec<String> = destinations
            .iter()
            .map(|(file, folder)| format!("%{folder}%\\{file}"))
            .collect();
        inf.add(
            entry.number,
            format!(
                "ServiceBinary {path} is not where a file is copied to: {}",
                places.join(", ")
            ),
        );
    }
}

/// The fourth value of AddService.
fn event_log(inf: &mut Inf<'_>, line: &Line) {
    let section = line.value(3);
    if section.is_empty() {
        return;
    }
    let lines = inf.follow(section, line.number);
    inf.only(section, lines, &["AddReg"], FORBIDDEN);
    for (line, section) in install::added(inf, lines) {
        registry::check(inf, &section, line, registry::Place::EventLog);
    }
}
