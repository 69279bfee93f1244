//! `cargo xtask check-sys`: whether Windows would load an image as a driver, on every Windows since 10 1607, with memory
//! integrity (HVCI), Secure Boot and kernel-mode hardware-enforced stack protection.

mod guard;
pub mod image;
mod imports;
mod rules;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
mod version_info;

use anyhow::{Context as _, bail};
use image::Image;
use lab_facts::Module;
use std::fs;
use std::path::{Path, PathBuf};

/// Miniports, by the names of their images, and the port driver that they may import from.
const MINIPORTS: &[(&str, Module)] = &[("xenvbd", Module::Storport), ("xennet", Module::Ndis)];

/// Which images to check.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Driver images
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The images are StorPort miniports: they may import from storport.sys (xenvbd always may)
    #[arg(long, conflicts_with = "ndis")]
    pub storport: bool,
    /// The images are NDIS miniports: they may import from NDIS.SYS (xennet always may)
    #[arg(long)]
    pub ndis: bool,
}

impl Args {
    /// The port driver that all the images may import from.
    fn port(&self) -> Option<Module> {
        match (self.storport, self.ndis) {
            (true, _) => Some(Module::Storport),
            (false, true) => Some(Module::Ndis),
            (false, false) => None,
        }
    }
}

/// Checks each image and prints a line for each, and one for each broken rule.
///
/// # Errors
/// If a file is no driver or breaks a rule.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut broken = 0;
    for file in &args.files {
        let report = check(file, args.port())?;
        if report.findings.is_empty() {
            println!(
                "{}: {} rules kept, {} imports",
                file.display(),
                rules::RULES.len(),
                report.imports
            );
        }
        for finding in &report.findings {
            println!("{}: {finding}", file.display());
        }
        broken += report.findings.len();
    }
    if broken > 0 {
        bail!("{broken} findings: Windows may not load this");
    }
    Ok(())
}

/// The findings in an image, by the rules for its name.
///
/// # Errors
/// If the file cannot be read or is no driver.
pub fn findings(file: &Path) -> anyhow::Result<Vec<String>> {
    Ok(check(file, None)?.findings)
}

/// What was found in an image.
struct Report {
    findings: Vec<String>,
    imports: usize,
}

fn check(file: &Path, port: Option<Module>) -> anyhow::Result<Report> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let image = Image::parse(&bytes).with_context(|| format!("{} is no driver", file.display()))?;
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let own = MINIPORTS.iter().find(|(name, _)| *name == stem);
    inspect(&image, port.or(own.map(|(_, port)| *port)))
        .with_context(|| format!("{} is damaged", file.display()))
}

/// Applies all rules.
fn inspect(image: &Image<'_>, port: Option<Module>) -> anyhow::Result<Report> {
    let mut findings = Vec::new();
    for rule in rules::RULES {
        rule(image, &mut findings)?;
    }
    let imports = image.imports()?;
    imports::check(&imports, port, &mut findings);
    Ok(Report {
        findings,
        imports: imports.len(),
    })
}
