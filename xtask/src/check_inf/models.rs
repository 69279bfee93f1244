//! `[Manufacturer]` and the Models sections.

use super::{Inf, ids, install};
use lab_inf::Line;
use std::collections::{BTreeMap, BTreeSet};

/// The first Windows that the drivers are for.
const OLDEST: u32 = 14393;

pub fn check(inf: &mut Inf<'_>) {
    let vendors = inf.follow("Manufacturer", 0);
    let mut of_all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut installs: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for vendor in vendors {
        if vendor.values.len() < 2 {
            let text = "a manufacturer without a decoration: Models,NTamd64.10.0...14393";
            inf.add(vendor.number, text);
        }
        for decoration in vendor.values.iter().skip(1) {
            let name = format!("{}.{decoration}", vendor.value(0));
            let build = match lowest_build(decoration) {
                Some(build) if build >= OLDEST => build,
                _ => {
                    let text = format!(
                        "decoration {decoration}: must be NTamd64.10.0...{OLDEST} or with a later build, \
                         for which the drivers are"
                    );
                    inf.add(vendor.number, text);
                    continue;
                }
            };
            let lines = inf.follow(&name, vendor.number);
            if lines.is_empty() {
                inf.add(vendor.number, format!("[{name}] has no models"));
            }
            let ids = models(inf, lines, build, &mut installs);
            of_all.insert(name, ids);
        }
    }
    let all: BTreeSet<&String> = of_all.values().flatten().collect();
    for (section, ids) in &of_all {
        for id in all.iter().filter(|id| !ids.contains(**id)) {
            inf.add(
                0,
                format!("[{section}] lacks {id}, which another Models section has"),
            );
        }
    }
    for (section, (line, build)) in installs {
        install::check(inf, &section, line, build);
    }
}

/// The models of a section; returns their ids and notes which sections install them, by the lowest build.
fn models(
    inf: &mut Inf<'_>,
    lines: &[Line],
    build: u32,
    installs: &mut BTreeMap<String, (u32, u32)>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for line in lines {
        if line.key.as_deref().unwrap_or_default().is_empty() {
            inf.add(
                line.number,
                "a model has no description: %text% = section,id",
            );
        }
        let entry = installs
            .entry(line.value(0).to_owned())
            .or_insert((line.number, build));
        entry.1 = entry.1.min(build);
        if line.values.len() > 2 {
            let text = "a second id on a line is a compatible id, a worse match: give each a line of its own";
            inf.add(line.number, text);
        }
        for id in line.values.iter().skip(1) {
            if let Err(reason) = ids::check(inf.is_network(), &inf.class, id) {
                inf.add(line.number, format!("{id}: {reason}"));
            }
            if !seen.insert(id.to_uppercase()) {
                inf.add(line.number, format!("{id} is there twice"));
            }
        }
    }
    seen
}

/// The lowest build of `NTamd64.10.0...build`.
fn lowest_build(decoration: &str) -> Option<u32> {
    let parts: Vec<&str> = decoration.split('.').collect();
    match parts[..] {
        [architecture, "10", "0" | "", "", "", build]
            if architecture.eq_ignore_ascii_case("NTamd64") =>
        {
            build.parse().ok()
        }
        _ => None,
    }
}
