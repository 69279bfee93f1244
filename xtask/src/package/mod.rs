//! `cargo xtask package`: what an administrator gets, as a folder and as an archive of it.
//!
//! All that can be wrong with what the user gave is found before anything is built, and the result is put in its place only
//! once it is whole.

mod archive;
#[cfg(unix)]
pub mod refusals;
mod sbom;
pub mod signing;

use crate::drivers::{self, DRIVERS};
use crate::stamp::{self, Stamp};
use crate::{check_inf, check_sys, run};
use anyhow::{Context as _, bail, ensure};
use lab_catalog::{Catalog, Member};
use lab_inf::Document;
use signing::Signer;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The package's name, before its version.
const NAME: &str = "xen-windows-drivers";
/// What is not in the package: how the scripts' folder is built and tested.
const NOT_SHIPPED: &[&str] = &["Cargo.toml"];
/// The licences' texts.
const LICENCES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT"];
/// The folder that keeps the test certificate and its key.
const TEST_SIGNING: &str = "target/signing";
/// The test certificate, for those who try the drivers in test mode.
const TEST_CERTIFICATE: &str = "test-certificate.cer";

/// What to package.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Folder for the package's folder and archive [default: target/package]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub signing: signing::Options,
    #[command(flatten)]
    pub stamp: stamp::Options,
}

/// Builds, signs and packs, and returns the folder that Windows installs from.
///
/// # Errors
/// Bad input, before anything is written; a build or a check that fails.
pub fn run(args: &Args) -> anyhow::Result<PathBuf> {
    let stamp = Stamp::new(&args.stamp)?;
    let out = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => run::workspace().join("target/package"),
    };
    ensure!(
        !out.exists() || out.is_dir(),
        "{} is no folder, and the package shall go there",
        out.display()
    );
    check_infs(&run::workspace().join("inf"), &stamp)?;
    let tests = run::workspace().join(TEST_SIGNING);
    let signer = Signer::new(&args.signing, &stamp.vendor, &tests)?;
    let tool = sbom::Tool::provide()?;
    let built = drivers::build(&drivers::Args {
        stamp: args.stamp.clone(),
        ..drivers::Args::default()
    })?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let work = work_in(&out)?;
    let name = format!("{NAME}-{}-x64", stamp.dotted());
    let folder = work.path().join(&name);
    let symbols = work.path().join(format!("{name}-symbols"));
    contents(&built, &folder, &stamp, signer.as_ref())?;
    fs::create_dir(&symbols)?;
    for name in DRIVERS {
        tool.write(name, &folder, &stamp)?;
        let pdb = format!("{name}.pdb");
        copy(&built.join(&pdb), &symbols.join(&pdb))?;
    }
    for folder in [&folder, &symbols] {
        archive::sums(folder)?;
        let archive = folder.with_added_extension("zip");
        archive::zip(folder, &archive, stamp.time)?;
        for new in [folder, &archive] {
            let place = out.join(new.file_name().context("it has a name")?);
            put(new, &place).with_context(|| format!("cannot replace {}", place.display()))?;
            println!("{}", place.display());
        }
    }
    match &signer {
        None => println!("not signed: Windows installs it only after somebody has signed it"),
        Some(signer) if signer.test_certificate().is_some() => {
            println!("signed with a test certificate: Windows loads the drivers in test mode only")
        }
        Some(_) => {}
    }
    Ok(out.join(name))
}

/// What the lab installs from: the package's folder without an archive, PDBs and SBOM, signed with the test certificate.
///
/// # Errors
/// A build or a check that fails.
#[cfg(unix)]
pub fn for_the_lab() -> anyhow::Result<PathBuf> {
    let stamp = Stamp::new(&stamp::Options::default())?;
    check_infs(&run::workspace().join("inf"), &stamp)?;
    let tests = run::workspace().join(TEST_SIGNING);
    let signer = Signer::new(&signing::Options::default(), &stamp.vendor, &tests)?;
    let built = drivers::build(&drivers::Args::default())?;
    let out = run::workspace().join("target/lab");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let work = work_in(&out)?;
    let (new, place) = (work.path().join("package"), out.join("package"));
    contents(&built, &new, &stamp, signer.as_ref())?;
    archive::sums(&new)?;
    put(&new, &place).with_context(|| format!("cannot replace {}", place.display()))?;
    Ok(place)
}

/// A folder of its own for what is not whole yet.
fn work_in(out: &Path) -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(".package-")
        .tempdir_in(out)
        .with_context(|| format!("cannot write to {}", out.display()))
}

/// The INF files as they will be, before the drivers are built for them.
fn check_infs(folder: &Path, stamp: &Stamp) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    for name in DRIVERS {
        let file = format!("{name}.inf");
        let path = folder.join(&file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        findings.extend(check_inf::check(&file, stamp.inf(&text)?.as_bytes()));
    }
    if !findings.is_empty() {
        bail!(
            "the INF files are not fit to be shipped:\n{}",
            findings.join("\n")
        );
    }
    Ok(())
}

/// Makes the folder that Windows installs from, of built drivers.
fn contents(
    built: &Path,
    folder: &Path,
    stamp: &Stamp,
    signer: Option<&Signer>,
) -> anyhow::Result<()> {
    fs::create_dir(folder)?;
    for name in DRIVERS {
        driver(name, built, folder, stamp, signer).with_context(|| format!("packaging {name}"))?;
    }
    scripts(folder)?;
    for name in LICENCES {
        copy(&run::workspace().join(name), &folder.join(name))?;
    }
    if let Some(certificate) = signer.and_then(Signer::test_certificate) {
        fs::write(folder.join(TEST_CERTIFICATE), certificate)?;
    }
    Ok(())
}

/// A driver's image, INF and catalog, signed and looked at.
fn driver(
    name: &str,
    built: &Path,
    folder: &Path,
    stamp: &Stamp,
    signer: Option<&Signer>,
) -> anyhow::Result<()> {
    let [image, inf, catalog] = ["sys", "inf", "cat"].map(|suffix| format!("{name}.{suffix}"));
    for file in [&image, &inf] {
        copy(&built.join(file), &folder.join(file))?;
    }
    let description = format!("Xen PV drivers: {name}");
    if let Some(signer) = signer {
        signer.sign(&folder.join(&image), &description)?;
    }
    let findings = check_sys::findings(&folder.join(&image))?;
    ensure!(
        findings.is_empty(),
        "{image}: Windows may not load it:\n{}",
        findings.join("\n")
    );
    let text = fs::read(folder.join(&inf))?;
    let members = [&image, &inf]
        .map(|file| Ok(Member::new(file, &fs::read(folder.join(file))?)?))
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
    let made = Catalog::new(stamp.time, members, &hardware_ids(&inf, &text)?);
    fs::write(folder.join(&catalog), made.to_der()?)?;
    let Some(signer) = signer else {
        return Ok(());
    };
    let catalog = folder.join(&catalog);
    signer.sign(&catalog, &description)?;
    signer.verify(&catalog, None)?;
    signer.verify(&folder.join(&image), None)?;
    signer.verify(&folder.join(&image), Some(&catalog))?;
    // osslsigncode takes no INF, and Windows no catalog: the hashes of both are looked up in the signed catalog.
    let signed = Catalog::from_der(&fs::read(&catalog)?)?;
    for file in [&image, &inf] {
        signed.check(file, &fs::read(folder.join(file))?)?;
    }
    Ok(())
}

/// All ids that an INF binds, as it has them.
fn hardware_ids(file: &str, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let document = Document::parse(file, bytes)?;
    let package = lab_inf::describe(&document, file.to_owned(), lab_host::drivers::WINDOWS)?;
    let ids: BTreeSet<String> = package
        .models
        .into_iter()
        .flat_map(|model| model.ids)
        .collect();
    Ok(ids.into_iter().collect())
}

/// The scripts and their tables.
fn scripts(folder: &Path) -> anyhow::Result<()> {
    let from = run::workspace().join("setup");
    for name in archive::files(&from)? {
        if !NOT_SHIPPED.contains(&name.as_str()) {
            copy(&from.join(&name), &folder.join(&name))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// Moves a file or folder to where one of its name may be.
fn put(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.is_dir() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inf_with_an_id_that_no_device_has_is_refused_before_anything_is_built()
    -> anyhow::Result<()> {
        let stamp = Stamp::new(&stamp::Options::default())?;
        let folder = tempfile::tempdir()?;
        for name in DRIVERS {
            let file = format!("{name}.inf");
            copy(
                &run::workspace().join("inf").join(&file),
                &folder.path().join(&file),
            )?;
        }
        check_infs(folder.path(), &stamp)?;
        let file = folder.path().join("xenvbd.inf");
        let text = fs::read_to_string(&file)?;
        assert!(text.contains("DEV_VBD"));
        fs::write(&file, text.replace("DEV_VBD", "DEV_VKBD"))?;
        let error = check_infs(folder.path(), &stamp)
            .expect_err("no such device")
            .to_string();
        assert!(error.contains("xenvbd.inf"), "{error}");
        assert!(error.contains("no device of Xen has this id"), "{error}");
        fs::remove_file(&file)?;
        let error = check_infs(folder.path(), &stamp)
            .expect_err("no file")
            .to_string();
        assert!(error.starts_with("cannot read"), "{error}");
        Ok(())
    }
}
