//! `layouts --wdk DIR`: what `cargo xtask check-layouts` runs.

use anyhow::Context as _;
use clap::Parser;
use layouts::compare::{self, Report};
use layouts::headers::{self, KERNEL, NDIS, STORPORT, Unit, Wdk};
use layouts::ours;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The crates, and the headers that each is compared with.
const CRATES: &[(&str, Unit)] = &[
    ("wdm", KERNEL),
    ("storport-sys", STORPORT),
    ("ndis-sys", NDIS),
];

/// Compares the crates' declarations with a WDK's headers.
#[derive(Debug, Parser)]
struct Args {
    /// A WDK: a folder with Include/<version>/{km,shared,um}
    #[arg(long, value_name = "DIR")]
    wdk: PathBuf,
    /// The folder of the crates [default: crates of this workspace]
    #[arg(long, value_name = "DIR")]
    crates: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if nothing differs.
fn run(args: &Args) -> anyhow::Result<bool> {
    let wdk = Wdk::find(&args.wdk)?;
    println!("headers of {}", wdk.folder.display());
    let crates = args
        .crates
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates"));
    let mut same = true;
    for (name, unit) in CRATES {
        let folder = crates.join(name);
        let ours = ours::read(&folder).with_context(|| format!("cannot read crate {name}"))?;
        match headers::read(&wdk, unit) {
            Ok(headers) => {
                let report = compare::compare(&ours, &headers);
                print(name, &report);
                same &= report.differences.is_empty();
            }
            Err(error) => {
                println!("{name}: not compared: {error:#}");
                same = false;
            }
        }
    }
    Ok(same)
}

fn print(name: &str, report: &Report) {
    println!(
        "{name}: {} agree, {} differ, {} not in the headers",
        report.agree,
        report.differences.len(),
        report.absent.len()
    );
    for difference in &report.differences {
        println!("  differs: {difference}");
    }
    for absent in &report.absent {
        println!("  absent:  {absent}");
    }
}
