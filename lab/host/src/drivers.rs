//! Driver packages as the user names them: folders with INFs and images, or INFs.

use anyhow::Context;
use anyhow::bail;
use lab_catalog::Catalog;
use lab_inf::Document;
use lab_inf::Windows;
use lab_protocol::bundle::Image;
use lab_protocol::bundle::Package;
use object::LittleEndian;
use object::pe::IMAGE_FILE_MACHINE_AMD64;
use object::pe::IMAGE_SUBSYSTEM_NATIVE;
use object::read::pe::ImageNtHeaders;
use object::read::pe::ImageOptionalHeader;
use object::read::pe::PeFile64;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The Windows that the lab's executive behaves as: 10 1607, the first that the drivers are for.
pub const WINDOWS: Windows = Windows {
    major: 10,
    minor: 0,
    build: 14393,
};

/// Reads all packages of the folders and INFs.
///
/// # Errors
/// If something is no driver package: with file and line for an INF.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Package>> {
    let mut packages: Vec<Package> = Vec::new();
    for path in paths {
        let found = match path.is_dir() {
            true => lab_inf::read_folder(path, WINDOWS)?,
            false => vec![lab_inf::read(path, WINDOWS)?],
        };
        for package in found {
            if let Some(other) = packages.iter().find(|other| other.inf == package.inf) {
                bail!(
                    "{}: a second package with an INF {}",
                    path.display(),
                    other.inf
                );
            }
            for image in &package.images {
                check_image(image)
                    .with_context(|| format!("{}: {}", path.display(), image.name))?;
            }
            check_catalog(&folder(path), &package)?;
            packages.push(package);
        }
    }
    Ok(packages)
}

/// Whether a package's files are those that its catalog lists, as setup does before it installs any. A folder without
/// catalogs is one of a build that nobody has signed: nothing to check. Signatures are not looked at.
fn check_catalog(folder: &Path, package: &Package) -> anyhow::Result<()> {
    let inf = folder.join(&package.inf);
    let bytes = fs::read(&inf).with_context(|| format!("cannot read {}", inf.display()))?;
    let document = Document::parse(&inf.display().to_string(), &bytes)?;
    let named = lab_inf::catalog(&document).and_then(|name| find(folder, name));
    let Some(path) = named else {
        if has_catalogs(folder)? {
            bail!(
                "{}: the folder has catalogs, but not the one that this INF names (CatalogFile)",
                inf.display()
            );
        }
        return Ok(());
    };
    let name = path.display().to_string();
    let listed = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
    let catalog = Catalog::from_der(&listed).with_context(|| name.clone())?;
    catalog
        .check(&package.inf, &bytes)
        .with_context(|| name.clone())?;
    for image in &package.images {
        catalog
            .check(&image.name, &image.bytes)
            .with_context(|| name.clone())?;
    }
    Ok(())
}

fn has_catalogs(folder: &Path) -> anyhow::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.to_string_lossy().to_lowercase().ends_with(".cat") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file of the folder by its name, without regard to case.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|own| own.to_string_lossy().eq_ignore_ascii_case(name))
    })
}

/// The folder that a path names or lies in.
fn folder(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.to_owned(),
        false => path.parent().unwrap_or(Path::new(".")).to_owned(),
    }
}

/// The folders that the paths lie in, where symbols may be.
pub fn folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().map(|path| folder(path)).collect()
}

fn check_image(image: &Image) -> anyhow::Result<()> {
    let file = PeFile64::parse(image.bytes.as_slice()).context("no 64-bit PE image")?;
    let headers = file.nt_headers();
    if headers.file_header().machine.get(LittleEndian) != IMAGE_FILE_MACHINE_AMD64 {
        bail!("not for x86-64");
    }
    if headers.optional_header().subsystem() != IMAGE_SUBSYSTEM_NATIVE {
        bail!("no driver: its subsystem is not NATIVE");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_refused() {
        let image = Image {
            name: "a.sys".into(),
            bytes: b"MZ nothing".to_vec(),
        };
        assert!(check_image(&image).is_err());
    }

    #[test]
    fn a_folder_without_an_inf_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(&[folder.path().to_owned()]).unwrap_err();
        assert!(format!("{error:#}").contains(&folder.path().display().to_string()));
    }

    /// A package of an INF that copies nothing, with a catalog of it.
    fn signed_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let inf = "[Version]\nSignature=\"$Windows NT$\"\nClass=System\nClassGuid={0}\nProvider=p\nCatalogFile=A.cat\n\
                   DriverVer=1,1\n[Manufacturer]\np=M,NTamd64\n[M.NTamd64]\nd=I,PCI\\X\n[I]\nFeatureScore=0xFE\n";
        fs::write(folder.path().join("a.inf"), inf).unwrap();
        let member = lab_catalog::Member::new("a.inf", inf.as_bytes()).unwrap();
        let time = der::DateTime::new(2025, 1, 1, 0, 0, 0).unwrap();
        let catalog = Catalog::new(time, vec![member], &[]);
        fs::write(folder.path().join("a.cat"), catalog.to_der().unwrap()).unwrap();
        folder
    }

    fn error(folder: &Path) -> String {
        format!("{:#}", read(&[folder.to_owned()]).unwrap_err())
    }

    #[test]
    fn files_must_be_those_that_the_catalog_lists() {
        let folder = signed_folder();
        assert_eq!(read(&[folder.path().to_owned()]).unwrap().len(), 1);
        let inf = folder.path().join("a.inf");
        let text = fs::read_to_string(&inf).unwrap();
        fs::write(&inf, text.replace("0xFE", "0x00")).unwrap();
        let text = error(folder.path());
        assert!(
            text.contains("a.cat: a.inf is not in the catalog"),
            "{text}"
        );
    }

    #[test]
    fn a_folder_with_catalogs_has_one_for_each_inf() {
        let folder = signed_folder();
        fs::rename(folder.path().join("a.cat"), folder.path().join("b.cat")).unwrap();
        assert!(error(folder.path()).contains("not the one that this INF names"));
        fs::remove_file(folder.path().join("b.cat")).unwrap();
        assert_eq!(read(&[folder.path().to_owned()]).unwrap().len(), 1);
    }

    #[test]
    fn a_catalog_that_is_none_is_named() {
        let folder = signed_folder();
        fs::write(folder.path().join("a.cat"), "text").unwrap();
        let text = error(folder.path());
        assert!(
            text.contains("a.cat: this is no security catalog"),
            "{text}"
        );
    }

    #[test]
    fn symbols_lie_beside_an_inf() {
        assert_eq!(folders(&["/a/b.inf".into()]), [PathBuf::from("/a")]);
    }
}
