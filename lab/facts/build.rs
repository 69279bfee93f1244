//! Turns `data/kernel-exports.tsv` into a static table, so that a bad row is an error of the build and not of a run.

#[path = "src/contract.rs"]
mod contract;
#[path = "src/export.rs"]
mod export;
#[path = "src/row.rs"]
mod row;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const DATA: &str = "data/kernel-exports.tsv";

fn main() {
    println!("cargo::rerun-if-changed={DATA}");
    println!("cargo::rerun-if-changed=src/contract.rs");
    println!("cargo::rerun-if-changed=src/export.rs");
    println!("cargo::rerun-if-changed=src/row.rs");
    let text = fs::read_to_string(DATA).unwrap_or_else(|error| panic!("{DATA}: {error}"));
    let table = table(&text).unwrap_or_else(|error| panic!("{DATA}:{error}"));
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let path = Path::new(&out).join("functions.rs");
    fs::write(&path, table).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The table as Rust source. The error starts with the line's number.
fn table(text: &str) -> Result<String, String> {
    let mut source = String::from("&[\n");
    let mut previous = "";
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |reason: String| format!("{}: {reason}", index + 1);
        let row = row::parse(line).map_err(|error| at(error.to_string()))?;
        if previous >= row.name {
            return Err(at(format!("{} must come before {previous}", row.name)));
        }
        previous = row.name;
        writeln!(
            source,
            "Function {{ name: {:?}, module: Module::{:?}, kind: Kind::{:?}, since: Windows::{:?}, \
             contract: {}, irql: {:?} }},",
            row.name,
            row.module,
            row.kind,
            row.since,
            expression(&row.contract),
            row.irql
        )
        .map_err(|error| at(error.to_string()))?;
    }
    source.push(']');
    Ok(source)
}

/// A contract as a Rust expression.
fn expression(contract: &contract::Contract) -> String {
    use contract::{Condition, Contract, IrqlRange};
    let range =
        |range: &IrqlRange| format!("IrqlRange {{ min: {}, max: {} }}", range.min, range.max);
    match contract {
        Contract::Unstated => "Contract::Unstated".to_owned(),
        Contract::Within(within) => format!("Contract::Within({})", range(within)),
        Contract::Depends {
            on,
            then,
            otherwise,
        } => {
            let on = match on {
                Condition::NonZero { arg } => format!("NonZero {{ arg: {arg} }}"),
                Condition::AnyBit { arg, mask } => format!("AnyBit {{ arg: {arg}, mask: {mask} }}"),
                Condition::Waits { arg } => format!("Waits {{ arg: {arg} }}"),
            };
            format!(
                "Contract::Depends {{ on: Condition::{on}, then: {}, otherwise: {} }}",
                range(then),
                range(otherwise)
            )
        }
    }
}
