//! Driver packages as the user names them: folders with INFs and images, or INFs.

use anyhow::Context;
use anyhow::bail;
use lab_inf::Windows;
use lab_protocol::bundle::Image;
use lab_protocol::bundle::Package;
use object::LittleEndian;
use object::pe::IMAGE_FILE_MACHINE_AMD64;
use object::pe::IMAGE_SUBSYSTEM_NATIVE;
use object::read::pe::ImageNtHeaders;
use object::read::pe::ImageOptionalHeader;
use object::read::pe::PeFile64;
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
            packages.push(package);
        }
    }
    Ok(packages)
}

/// The folders that the paths lie in, where symbols may be.
pub fn folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    let folder = |path: &PathBuf| match path.is_dir() {
        true => path.clone(),
        false => path.parent().unwrap_or(Path::new(".")).to_owned(),
    };
    paths.iter().map(folder).collect()
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

    #[test]
    fn symbols_lie_beside_an_inf() {
        assert_eq!(folders(&["/a/b.inf".into()]), [PathBuf::from("/a")]);
    }
}
