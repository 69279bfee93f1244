//! `[Version]`

use super::Inf;

/// The device classes of this project's drivers.
const CLASSES: &[(&str, &str)] = &[
    ("System", "{4D36E97D-E325-11CE-BFC1-08002BE10318}"),
    ("SCSIAdapter", "{4D36E97B-E325-11CE-BFC1-08002BE10318}"),
    ("Net", "{4D36E972-E325-11CE-BFC1-08002BE10318}"),
];

/// What `[Version]` may have.
const ENTRIES: &[&str] = &[
    "Signature",
    "Class",
    "ClassGuid",
    "Provider",
    "CatalogFile",
    "DriverVer",
    "PnpLockdown",
    "DriverPackageDisplayName",
];

/// What stands in the project's INF files before a build writes the date and version.
const UNSTAMPED: &[&str] = &["01/01/2000", "0.0.0.0"];

pub fn check(inf: &mut Inf<'_>) {
    let lines = inf.follow("Version", 0);
    inf.only(
        "Version",
        lines,
        ENTRIES,
        &[
            ("LayoutFile", "only Windows' own INF files have one"),
            (
                "CatalogFile.NTamd64",
                "a package for one architecture has an undecorated CatalogFile",
            ),
        ],
    );
    let mut entry = |name: &str| {
        let mut found = lines.iter().filter(|line| line.is(name));
        let first = found.next();
        if let Some(second) = found.next() {
            inf.add(second.number, format!("{name} is there twice in [Version]"));
        }
        if first.is_none() {
            inf.add(0, format!("[Version] has no {name}"));
        }
        first
    };
    let (signature, class, guid) = (entry("Signature"), entry("Class"), entry("ClassGuid"));
    let (provider, catalog) = (entry("Provider"), entry("CatalogFile"));
    let (driver_ver, lockdown) = (entry("DriverVer"), entry("PnpLockdown"));
    if let Some(line) = signature
        && !line.value(0).eq_ignore_ascii_case("$Windows NT$")
    {
        inf.add(line.number, "Signature must be \"$Windows NT$\"");
    }
    if let (Some(class), Some(guid)) = (class, guid) {
        inf.class = class.value(0).to_owned();
        let known = CLASSES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(class.value(0)));
        match known {
            None => inf.add(
                class.number,
                format!(
                    "class {} is none of this project's: System, SCSIAdapter, Net",
                    class.value(0)
                ),
            ),
            Some((name, own)) if !own.eq_ignore_ascii_case(guid.value(0)) => inf.add(
                guid.number,
                format!("ClassGuid is not that of class {name}, {own}"),
            ),
            Some(_) => {}
        }
    }
    if let Some(line) = provider
        && line.value(0).is_empty()
    {
        inf.add(line.number, "Provider is empty");
    }
    if let Some(line) = lockdown
        && line.value(0) != "1"
    {
        inf.add(
            line.number,
            "PnpLockdown must be 1: no program may change the driver's files",
        );
    }
    if let Some(line) = catalog {
        let expected = format!("{}.cat", inf.stem());
        if !line.value(0).eq_ignore_ascii_case(&expected) {
            inf.add(
                line.number,
                format!("CatalogFile must be {expected}, which the package has"),
            );
        }
    }
    if let Some(line) = driver_ver {
        driver_version(inf, line.number, line.value(0), line.value(1));
        if line.values == UNSTAMPED {
            inf.add(
                line.number,
                "DriverVer is not stamped: `cargo xtask build` writes the date and version",
            );
        }
    }
}

/// `mm/dd/yyyy,w.x.y.z`
fn driver_version(inf: &mut Inf<'_>, line: u32, date: &str, version: &str) {
    let parts: Vec<&str> = date.split('/').collect();
    let in_range = |text: &str, digits: usize, range: std::ops::RangeInclusive<u32>| {
        text.len() == digits && text.parse().is_ok_and(|number| range.contains(&number))
    };
    let good = matches!(parts[..], [month, day, year]
        if in_range(month, 2, 1..=12) && in_range(day, 2, 1..=31) && in_range(year, 4, 1980..=9999));
    if !good {
        inf.add(
            line,
            format!("DriverVer has {date:?} and not a date mm/dd/yyyy"),
        );
    }
    let parts: Vec<&str> = version.split('.').collect();
    if parts.len() != 4 || !parts.iter().all(|part| part.parse::<u16>().is_ok()) {
        inf.add(
            line,
            format!("DriverVer has {version:?} and not a version of four numbers below 65536"),
        );
    }
}
