//! What INF files of network adapters have beyond others'.

use super::{Inf, number};
use lab_inf::Line;
use std::collections::BTreeMap;

/// What the install section must have, for NDIS 6.
const DIRECTIVES: &[&str] = &[
    "Characteristics",
    "BusType",
    "*IfType",
    "*MediaType",
    "*PhysicalMediaType",
];
/// NCF_PHYSICAL, NCF_VIRTUAL
const PHYSICAL: u32 = 4;
const VIRTUAL: u32 = 1;
/// Where advanced properties are described.
const PARAMETERS: &str = "ndi\\params\\";

/// The values of a subkey by name, in lower case, with their lines.
type Values = BTreeMap<String, (u32, String)>;

pub fn check(
    inf: &mut Inf<'_>,
    name: &str,
    lines: &[Line],
    software: &[(u32, String)],
    service: Option<&str>,
) {
    let first = lines.first().map_or(0, |line| line.number);
    for directive in DIRECTIVES {
        if !lines.iter().any(|line| line.is(directive)) {
            inf.add(
                first,
                format!("[{name}] of a network adapter has no {directive}"),
            );
        }
    }
    if let Some(line) = lines.iter().find(|line| line.is("Characteristics")) {
        let value = number(line.value(0)).unwrap_or(0);
        if value & (PHYSICAL | VIRTUAL) == 0 {
            inf.add(
                line.number,
                "Characteristics says neither NCF_PHYSICAL (4) nor NCF_VIRTUAL (1)",
            );
        }
    }
    let keys = keys(inf, software);
    let value = |key: &str, name: &str| keys.get(key)?.get(name);
    match (value("ndi", "service"), service) {
        (Some((line, named)), Some(service)) if !named.eq_ignore_ascii_case(service) => {
            inf.add(
                *line,
                format!("Ndi\\Service is {named:?}; the service is {service:?}"),
            );
        }
        (Some(_), _) => {}
        (None, _) => inf.add(first, format!("[{name}] does not set Ndi\\Service")),
    }
    for range in ["upperrange", "lowerrange"] {
        if value("ndi\\interfaces", range).is_none() {
            inf.add(
                first,
                format!("[{name}] does not set Ndi\\Interfaces\\{range}"),
            );
        }
    }
    for (key, values) in &keys {
        if let Some(keyword) = key.strip_prefix(PARAMETERS)
            && !keyword.contains('\\')
        {
            let choices = keys.get(&format!("{key}\\enum"));
            parameter(inf, keyword, values, choices);
        }
    }
}

/// What the AddReg sections set, by subkey, in lower case.
fn keys(inf: &Inf<'_>, sections: &[(u32, String)]) -> BTreeMap<String, Values> {
    let mut keys: BTreeMap<String, Values> = BTreeMap::new();
    for (_, section) in sections {
        for line in inf.document.section(section).unwrap_or_default() {
            let key = line.value(1).trim_matches('\\').to_lowercase();
            let value = (line.number, line.value(4).to_owned());
            keys.entry(key)
                .or_default()
                .insert(line.value(2).to_lowercase(), value);
        }
    }
    keys
}

/// An advanced property: what it is called, its type, its default, and that the default is a value that it can have.
fn parameter(inf: &mut Inf<'_>, keyword: &str, values: &Values, choices: Option<&Values>) {
    let line = values.values().map(|(line, _)| *line).min().unwrap_or(0);
    // What may be left out, as a network address, needs no default.
    let optional = values.get("optional").is_some_and(|(_, text)| text == "1");
    for name in ["paramdesc", "type", "default"] {
        let is_there = values.contains_key(name) || (name == "default" && optional);
        if !is_there {
            inf.add(line, format!("the keyword {keyword} has no {name}"));
        }
    }
    let text = |name: &str| values.get(name).map(|(_, text)| text.as_str());
    let default = text("default").unwrap_or_default();
    match text("type").map(str::to_lowercase).as_deref() {
        Some("enum") => {
            if !choices.is_some_and(|choices| choices.contains_key(&default.to_lowercase())) {
                inf.add(
                    line,
                    format!(
                        "the keyword {keyword}: its default {default:?} is not among its values"
                    ),
                );
            }
        }
        Some("int" | "long" | "word" | "dword") => {
            let bound = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
            // Without a default the driver chooses, from all that it may be.
            let default = if text("default").is_none() && optional {
                bound("min")
            } else {
                default.parse::<i64>().ok()
            };
            match (bound("min"), default, bound("max")) {
                (Some(min), Some(default), Some(max)) if (min..=max).contains(&default) => {}
                _ => inf.add(
                    line,
                    format!(
                        "the keyword {keyword}: a number has min, default and max, in this order"
                    ),
                ),
            }
        }
        Some("edit") | None => {}
        Some(other) => inf.add(
            line,
            format!("the keyword {keyword} has the unknown type {other:?}"),
        ),
    }
}
