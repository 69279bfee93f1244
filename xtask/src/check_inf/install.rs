//! DDInstall sections, and the lists of files.

use super::{Inf, network, number, registry, service};
use lab_inf::Line;
use std::collections::BTreeSet;

/// The folders that a driver package may install to (DIRIDs): System32\drivers and the driver store.
const SYSTEM: u32 = 12;
const STORE: u32 = 13;
/// The first Windows that runs drivers from the store, and the first that runs network drivers from it.
const STORE_SINCE: u32 = 16299;
const NETWORK_STORE_SINCE: u32 = 25319;

/// What a universal INF's DDInstall section may have.
const DIRECTIVES: &[&str] = &["CopyFiles", "AddReg", "FeatureScore", "Include", "Needs"];
/// What those for network adapters have beyond that.
const NETWORK_DIRECTIVES: &[&str] = &[
    "Characteristics",
    "BusType",
    "*IfType",
    "*MediaType",
    "*PhysicalMediaType",
    "*IfConnectorPresent",
    "*ConnectionType",
    "*DirectionType",
    "*AccessType",
    "*HardwareLoopback",
];
const NOT_UNIVERSAL: &str = "not allowed in a universal INF";
/// What older INF files have.
const FORBIDDEN: &[(&str, &str)] = &[
    ("RegisterDlls", NOT_UNIVERSAL),
    ("UnregisterDlls", NOT_UNIVERSAL),
    ("ProfileItems", NOT_UNIVERSAL),
    ("UpdateInis", NOT_UNIVERSAL),
    ("UpdateIniFields", NOT_UNIVERSAL),
    ("Ini2Reg", NOT_UNIVERSAL),
    ("BitReg", NOT_UNIVERSAL),
    ("LogConfig", NOT_UNIVERSAL),
    ("DelFiles", NOT_UNIVERSAL),
    ("RenFiles", NOT_UNIVERSAL),
    (
        "DelReg",
        "a driver package is isolated: it removes nothing of others'",
    ),
    (
        "Reboot",
        "the package decides for the user that the machine restarts",
    ),
    (
        "Restart",
        "the package decides for the user that the machine restarts",
    ),
    ("CopyINF", "each INF of the package is installed by itself"),
    ("DriverVer", "DriverVer belongs into [Version]"),
    ("CoInstallers32", "DCH packages have no co-installers"),
];

/// What belongs to a DDInstall section by its name.
const SUFFIXES: &[&str] = &[".HW", ".Services", ".Events", ".Filters", ".Wdf"];
const FORBIDDEN_SUFFIXES: &[(&str, &str)] = &[
    (".CoInstallers", "DCH packages have no co-installers"),
    (
        ".Interfaces",
        "no driver of this project has a device interface",
    ),
    (
        ".Components",
        "no driver of this project brings components along",
    ),
    (
        ".Software",
        "no driver of this project brings software along",
    ),
    (".FactDef", NOT_UNIVERSAL),
    (".LogConfigOverride", NOT_UNIVERSAL),
];

/// A DDInstall section and what belongs to it. `build` is the lowest build of Windows that it is for.
pub fn check(inf: &mut Inf<'_>, name: &str, from: u32, build: u32) {
    let decorated = [".ntamd64", ".nt", ""].map(|suffix| format!("{name}{suffix}"));
    let found = decorated
        .iter()
        .find(|name| inf.document.section(name).is_some());
    let name = found.map_or(name, String::as_str);
    let lines = inf.follow(name, from);
    let mut allowed = DIRECTIVES.to_vec();
    if inf.is_network() {
        allowed.extend(NETWORK_DIRECTIVES);
    }
    inf.only(name, lines, &allowed, FORBIDDEN);
    includes(inf, lines);
    let destinations = files(inf, name, lines, build);
    let software = added(inf, lines);
    for (line, section) in &software {
        registry::check(inf, section, *line, registry::Place::Software);
    }
    for suffix in SUFFIXES {
        let full = format!("{name}{suffix}");
        let Some(lines) = inf.optional(&full) else {
            continue;
        };
        match *suffix {
            ".HW" => {
                inf.only(&full, lines, &["AddReg", "Include", "Needs"], FORBIDDEN);
                for (line, section) in added(inf, lines) {
                    registry::check(inf, &section, line, registry::Place::Hardware);
                }
            }
            ".Services" => {}
            _ => inf.add(
                from,
                format!("[{full}]: no driver of this project has such a section"),
            ),
        }
    }
    for (suffix, why) in FORBIDDEN_SUFFIXES {
        let full = format!("{name}{suffix}");
        if inf.optional(&full).is_some() {
            inf.add(from, format!("[{full}]: {why}"));
        }
    }
    let service = service::check(inf, name, from, build, &destinations);
    if inf.is_network() {
        network::check(inf, name, lines, &software, service.as_deref());
    }
}

/// `Include` without its `Needs`, or the other way round.
fn includes(inf: &mut Inf<'_>, lines: &[Line]) {
    let include = lines.iter().find(|line| line.is("Include"));
    let needs = lines.iter().find(|line| line.is("Needs"));
    if let (Some(line), None) | (None, Some(line)) = (include, needs) {
        inf.add(line.number, "Include and Needs belong together");
    }
}

/// The sections of `AddReg` directives, with the lines that name them.
pub fn added(inf: &mut Inf<'_>, lines: &[Line]) -> Vec<(u32, String)> {
    let mut sections = Vec::new();
    for line in lines.iter().filter(|line| line.is("AddReg")) {
        for name in line.values.iter().filter(|name| !name.is_empty()) {
            inf.follow(name, line.number);
            sections.push((line.number, name.clone()));
        }
    }
    sections
}

/// The files that a DDInstall section copies, with the folder (DIRID) that each goes to.
fn files(inf: &mut Inf<'_>, name: &str, lines: &[Line], build: u32) -> Vec<(String, u32)> {
    let mut files = Vec::new();
    for line in lines.iter().filter(|line| line.is("CopyFiles")) {
        for value in &line.values {
            if let Some(file) = value.strip_prefix('@') {
                inf.add(
                    line.number,
                    format!("CopyFiles=@{file}: name a section, which [DestinationDirs] can have"),
                );
                continue;
            }
            let entries = inf.follow(value, line.number);
            let Some(folder) = destination(inf, value, line.number, build) else {
                continue;
            };
            for entry in entries {
                let file = entry.value(0).to_lowercase();
                if entry.key.is_some() || file.is_empty() {
                    inf.add(entry.number, format!("[{value}] lists files, one a line"));
                    continue;
                }
                let source = match entry.value(1) {
                    "" => file.clone(),
                    source => source.to_lowercase(),
                };
                inf.copied.insert(source);
                files.push((file, folder));
            }
        }
    }
    if files.is_empty() {
        let line = lines.first().map_or(0, |line| line.number);
        inf.add(line, format!("[{name}] copies no file"));
    }
    files
}

/// The folder that the files of a section go to.
fn destination(inf: &mut Inf<'_>, section: &str, from: u32, build: u32) -> Option<u32> {
    let lines = inf.follow("DestinationDirs", from);
    let entry = lines
        .iter()
        .find(|line| line.is(section))
        .or_else(|| lines.iter().find(|line| line.is("DefaultDestDir")));
    let Some(entry) = entry else {
        inf.add(
            from,
            format!("[DestinationDirs] has neither {section} nor DefaultDestDir"),
        );
        return None;
    };
    if !entry.value(1).is_empty() {
        inf.add(
            entry.number,
            "a driver's files go into no folder of their own below the given one",
        );
    }
    let since = if inf.is_network() {
        NETWORK_STORE_SINCE
    } else {
        STORE_SINCE
    };
    match number(entry.value(0)) {
        Some(SYSTEM) => Some(SYSTEM),
        Some(STORE) => {
            if build < since {
                inf.add(
                    from,
                    format!(
                        "{section} goes to the driver store (13), from which {} run only since build {since}: this is \
                         for build {build} too",
                        if inf.is_network() { "network drivers" } else { "drivers" }
                    ),
                );
            }
            Some(STORE)
        }
        _ => {
            inf.add(
                entry.number,
                format!("files go to folder {}: only 12 (System32\\drivers) and 13 (driver store) are isolated", entry.value(0)),
            );
            None
        }
    }
}

/// `[DestinationDirs]`, `[SourceDisksNames]` and `[SourceDisksFiles]`.
pub fn lists(inf: &mut Inf<'_>) {
    for line in inf.follow("DestinationDirs", 0) {
        let Some(key) = &line.key else {
            inf.add(
                line.number,
                "[DestinationDirs] has entries section = folder",
            );
            continue;
        };
        if !line.is("DefaultDestDir") && inf.document.section(key).is_none() {
            inf.add(
                line.number,
                format!("[DestinationDirs] names [{key}], which is not there"),
            );
        }
    }
    let disks: BTreeSet<String> = ["SourceDisksNames", "SourceDisksNames.amd64"]
        .iter()
        .filter_map(|name| inf.optional(name))
        .flatten()
        .filter_map(|line| line.key.clone())
        .collect();
    if disks.is_empty() {
        inf.add(0, "there is no [SourceDisksNames], or it names no disk");
    }
    let mut listed = BTreeSet::new();
    for name in ["SourceDisksFiles", "SourceDisksFiles.amd64"] {
        for line in inf.optional(name).unwrap_or_default() {
            let file = line.key.clone().unwrap_or_default().to_lowercase();
            if !disks.contains(line.value(0)) {
                inf.add(
                    line.number,
                    format!("{file} is on disk {:?}, which is not named", line.value(0)),
                );
            }
            if !inf.copied.contains(&file) {
                inf.add(line.number, format!("{file} is listed but not copied"));
            }
            listed.insert(file);
        }
    }
    let missing: Vec<String> = inf.copied.difference(&listed).cloned().collect();
    for file in missing {
        inf.add(
            0,
            format!("{file} is copied but not listed in [SourceDisksFiles]"),
        );
    }
}
