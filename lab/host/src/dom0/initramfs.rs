//! dom0's root file system, cut down to what runs guests: a few programs with their libraries, modules, firmware.

use super::cpio::Node;
use super::cpio::Tree;
use super::libraries;
use super::modules;
use super::root;
use anyhow::Context;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Programs by their paths. `@` stands for the folder of Xen's version.
const PROGRAMS: &[&str] = &[
    "@/bin/xl",
    "@/bin/xenstored",
    "@/bin/xenconsoled",
    "@/bin/xen-init-dom0",
    "@/bin/xenctx",
    "@/bin/lsevtchn",
    "@/bin/libxl-save-helper",
    "/usr/sbin/xen-hvmctx",
    "/usr/bin/xenstore-ls",
    "/usr/bin/xenstore-read",
    "/usr/bin/xenstore-write",
    "/usr/bin/xenstore-exists",
    "/usr/bin/xenstore-rm",
    "/usr/bin/xenstore-list",
    "/usr/bin/xenstore-watch",
    "/usr/bin/xenstore-chmod",
    "/usr/libexec/xen-qemu-system-i386",
    "/usr/bin/bash",
    "/usr/bin/ip",
    "/usr/bin/ping",
    "/usr/bin/nc.openbsd",
    "/usr/bin/iperf3",
    "/usr/bin/tcpdump",
    "/usr/sbin/ethtool",
    // Its hash is made by OpenSSL, several times as fast as busybox's.
    "/usr/bin/sha256sum",
    // Busybox's go by 1 KiB.
    "/usr/bin/dd",
    "/usr/bin/tee",
    // xl's scripts use what busybox does not know.
    "/usr/bin/flock",
    "/usr/bin/stat",
    "/usr/bin/readlink",
    "/usr/bin/realpath",
    "/usr/sbin/losetup",
    "/usr/sbin/blockdev",
    "/usr/bin/busybox",
];

/// Programs that are looked for in the path, with the folder of Xen's version that has them.
const LINKED: &[&str] = &[
    "xl",
    "xenstored",
    "xenconsoled",
    "xen-init-dom0",
    "xenctx",
    "lsevtchn",
];

/// Files that programs read.
const FILES: &[&str] = &[
    "@/boot/hvmloader",
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/seabios/vgabios-stdvga.bin",
    "/usr/share/seabios/vgabios-cirrus.bin",
    "/usr/share/qemu/linuxboot.bin",
    "/usr/share/qemu/linuxboot_dma.bin",
    "/usr/share/qemu/multiboot.bin",
    "/usr/share/qemu/multiboot_dma.bin",
    "/usr/share/qemu/pvh.bin",
    "/usr/share/qemu/kvmvapic.bin",
    "/usr/share/qemu/keymaps/en-us",
    "/usr/share/qemu/efi-e1000.rom",
];

/// Modules, beside those that they need.
const MODULES: &[&str] = &[
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
    "xen-blkback",
    "loop",
    "virtio_console",
    "virtio_blk",
    "virtio_pci",
    "9p",
    "9pnet_virtio",
    "scsi_debug",
    "sd_mod",
    "nbd",
    "xen-netback",
    "bridge",
    "tun",
    "8021q",
    "sch_netem",
];

/// Modules of the Linux guest that throughput is compared with, beside those that they need.
const GUEST_MODULES: &[&str] = &["xen-netfront"];

const FOLDERS: &[&str] = &[
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "root",
    "share",
    "mnt",
    "var/lib/xen",
    "var/lib/xenstored",
    "var/log/xen",
    "var/lock",
];

/// Links that every root has.
const ROOT_LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
];

const LINKS: &[(&str, &str)] = &[("var/run", "../run"), ("usr/bin/nc", "nc.openbsd")];

/// What is made by this file and not by a package: it belongs to the key of the cache.
pub const INIT: &str = include_str!("init.sh");

/// The tree of files, out of the unpacked packages.
///
/// # Errors
/// If something that dom0 needs is in none of them.
pub fn tree(packages: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for folder in FOLDERS {
        tree.add(folder, Node::Folder);
    }
    for (link, target) in ROOT_LINKS.iter().chain(LINKS) {
        tree.add(link, Node::Link((*target).to_owned()));
    }
    add_programs(&mut tree, packages)?;
    add_busybox(&mut tree, packages)?;
    add_modules(&mut tree, packages, MODULES)?;
    add_scripts(&mut tree, packages)?;
    tree.add("etc/xen/xl.conf", Node::File(Vec::new(), false));
    tree.add("init", Node::File(INIT.as_bytes().to_vec(), true));
    Ok(tree)
}

/// The file system of the Linux guest that throughput is compared with, but for its first process: busybox and the frontend's modules.
///
/// # Errors
/// If something that it needs is in none of the packages.
pub fn guest_tree(packages: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for folder in ["proc", "sys", "dev"] {
        tree.add(folder, Node::Folder);
    }
    for (link, target) in ROOT_LINKS {
        tree.add(link, Node::Link((*target).to_owned()));
    }
    add_file(&mut tree, packages, "/usr/bin/busybox", true)?;
    add_busybox(&mut tree, packages)?;
    add_modules(&mut tree, packages, GUEST_MODULES)?;
    Ok(tree)
}

fn add_programs(tree: &mut Tree, packages: &Path) -> anyhow::Result<()> {
    let version = root::only(&packages.join("usr/lib"), "xen-4.", "")?;
    let version = version.strip_prefix(packages)?;
    let version = format!("/{}", version.to_str().context("a name is no UTF-8")?);
    let place = |path: &&str| path.replace('@', &version);
    let programs: Vec<String> = PROGRAMS.iter().map(place).collect();
    for path in libraries::closure(packages, &programs)?
        .iter()
        .chain(&programs)
    {
        add_file(tree, packages, path, true)?;
    }
    for path in FILES.iter().map(place) {
        add_file(tree, packages, &path, false)?;
    }
    for name in LINKED {
        let target = format!("{version}/bin/{name}");
        tree.add(&format!("usr/sbin/{name}"), Node::Link(target));
    }
    Ok(())
}

fn add_file(tree: &mut Tree, packages: &Path, path: &str, runs: bool) -> anyhow::Result<()> {
    let bytes = fs::read(root::resolve(packages, path)?)?;
    // The loader is named through lib64, which is a link.
    let path = match path.strip_prefix("/lib") {
        Some(rest) => format!("/usr/lib{rest}"),
        None => path.to_owned(),
    };
    tree.add(&path, Node::File(bytes, runs));
    Ok(())
}

/// Busybox stands for every command that no program of its own is there for.
fn add_busybox(tree: &mut Tree, packages: &Path) -> anyhow::Result<()> {
    let busybox = root::resolve(packages, "/usr/bin/busybox")?;
    let list = crate::command::output(Command::new(busybox).arg("--list"))?;
    for name in String::from_utf8(list)?.lines() {
        let places = [format!("usr/bin/{name}"), format!("usr/sbin/{name}")];
        if !places.iter().any(|place| tree.contains(place)) {
            tree.add(&places[0], Node::Link("/usr/bin/busybox".to_owned()));
        }
    }
    Ok(())
}

fn add_modules(tree: &mut Tree, packages: &Path, names: &[&str]) -> anyhow::Result<()> {
    let folder = root::only(&packages.join("usr/lib/modules"), "", "amd64")?;
    let within = folder.strip_prefix(packages)?;
    let within = within.to_str().context("a name is no UTF-8")?;
    let modules = modules::closure(&folder, names)?;
    let list = modules::dependencies(&modules).into_bytes();
    tree.add(&format!("{within}/modules.dep"), Node::File(list, false));
    for module in modules.into_values() {
        tree.add(
            &format!("{within}/{}", module.path),
            Node::File(module.bytes, false),
        );
    }
    Ok(())
}

/// xl runs these when it attaches a disk.
fn add_scripts(tree: &mut Tree, packages: &Path) -> anyhow::Result<()> {
    let folder = packages.join("etc/xen/scripts");
    for entry in fs::read_dir(&folder).context("no scripts in Xen's packages")? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().context("a name is no UTF-8")?;
        if entry.file_type()?.is_file() {
            let bytes = fs::read(entry.path())?;
            tree.add(&format!("etc/xen/scripts/{name}"), Node::File(bytes, true));
        } else if let Ok(target) = fs::read_link(entry.path()) {
            let target = target.to_str().context("a name is no UTF-8")?.to_owned();
            tree.add(&format!("etc/xen/scripts/{name}"), Node::Link(target));
        }
    }
    Ok(())
}

/// All that this file puts into the tree by name, for the key of the cache.
pub fn ingredients() -> String {
    format!(
        "{PROGRAMS:?}{LINKED:?}{FILES:?}{MODULES:?}{GUEST_MODULES:?}{FOLDERS:?}{ROOT_LINKS:?}{LINKS:?}{INIT}"
    )
}
