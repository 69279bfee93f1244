//! dom0: Xen, a Linux kernel and a root file system, made of Debian's packages and kept in the cache.

use crate::cache;
use anyhow::Context;
use std::fs;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

pub(crate) mod cpio;
mod initramfs;
mod kernel;
mod libraries;
mod modules;
mod root;

/// Raised when the code of this module makes something else of the same ingredients.
const FORMAT: u32 = 2;

/// The files that QEMU boots.
#[derive(Clone, Debug)]
pub struct Image {
    /// Xen, an ELF file
    pub xen: PathBuf,
    /// Linux, an ELF file
    pub linux: PathBuf,
    /// dom0's root file system, a cpio archive
    pub initramfs: PathBuf,
    /// The same Linux as it is booted in a guest: as the package has it
    pub guest_linux: PathBuf,
    /// A Linux guest's root file system without a first process, a cpio archive
    pub guest_initramfs: PathBuf,
}

/// The image out of the cache; made first if it is not there or is stale.
///
/// # Errors
/// If packages cannot be had or lack something.
pub fn image() -> anyhow::Result<Image> {
    let ingredients = initramfs::ingredients();
    let key = cache::key([
        FORMAT.to_string().as_bytes(),
        root::SUITE.as_bytes(),
        root::PACKAGES.join(" ").as_bytes(),
        ingredients.as_bytes(),
    ]);
    let folder = cache::entry("dom0", &key, make)?;
    Ok(Image {
        xen: folder.join("xen"),
        linux: folder.join("vmlinux"),
        initramfs: folder.join("initramfs.cpio"),
        guest_linux: folder.join("vmlinuz"),
        guest_initramfs: folder.join("guest.cpio"),
    })
}

fn make(folder: &Path) -> anyhow::Result<()> {
    // A folder beside the one that is kept: its packages go when the image is made.
    let work = folder.parent().context("the cache has no folder")?;
    let logs = cache::folder()?.join("logs");
    fs::create_dir_all(&logs)?;
    eprintln!(
        "dom0: fetching and unpacking Xen, Linux and QEMU (Debian {})",
        root::SUITE
    );
    let packages = work.join("packages");
    root::unpack(&packages, &logs.join("dom0-packages.log"))?;
    eprintln!("dom0: making its root file system");
    let boot = packages.join("boot");
    fs::write(
        folder.join("xen"),
        kernel::unpack_xen(&root::only(&boot, "xen-4.", "-amd64.gz")?)?,
    )?;
    let linux = root::only(&boot, "vmlinuz-", "")?;
    fs::write(folder.join("vmlinux"), kernel::unpack_linux(&linux)?)?;
    fs::copy(&linux, folder.join("vmlinuz"))?;
    write(&initramfs::tree(&packages)?, &folder.join("initramfs.cpio"))?;
    write(
        &initramfs::guest_tree(&packages)?,
        &folder.join("guest.cpio"),
    )
}

fn write(tree: &cpio::Tree, file: &Path) -> anyhow::Result<()> {
    let mut archive = BufWriter::new(fs::File::create(file)?);
    tree.write(&mut archive)?;
    archive.flush()?;
    Ok(())
}
