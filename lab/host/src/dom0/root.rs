//! Debian packages, unpacked: where Xen, its tools, the kernel and the device model of dom0 come from.

use crate::command;
use crate::packages;
use anyhow::Context;
use anyhow::bail;
use std::fs;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The Debian release: Xen 4.20, Linux 6.12 and QEMU 10 work together.
pub const SUITE: &str = "trixie";

/// What is unpacked, with what it depends on.
pub const PACKAGES: &[&str] = &[
    "xen-system-amd64",
    "qemu-system-xen",
    "linux-image-amd64",
    "busybox-static",
    "bash",
    "coreutils",
    "util-linux",
    "iproute2",
    "iputils-ping",
    "netcat-openbsd",
    "iperf3",
    "tcpdump",
    "ethtool",
];

/// What does not come out of the archive of all packages: devices, and what dom0 never looks at. To have dpkg exclude it (by
/// --dpkgopt) takes mmdebstrap longer than all the rest: it then sends every package through a filter in Python.
const EXCLUDED: &[&str] = &[
    "./dev/*",
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/locale/*",
    "./usr/share/info/*",
    "./usr/lib/modules/*/kernel/drivers/gpu/*",
    "./usr/lib/modules/*/kernel/drivers/media/*",
    "./usr/lib/modules/*/kernel/drivers/infiniband/*",
    "./usr/lib/modules/*/kernel/sound/*",
];

/// Names a mirror of Debian where the machine's own sources name none.
const MIRROR: &str = "XEN_LAB_DEBIAN_MIRROR";

/// Unpacks the packages into `to`, a folder that does not exist yet. `log` gets what mmdebstrap says.
///
/// # Errors
/// If no mirror is known, or mmdebstrap or tar fails.
pub fn unpack(to: &Path, log: &Path) -> anyhow::Result<()> {
    let mirror = mirror()?;
    // By way of an archive: whoever runs this owns the files that come out of it.
    let archive = to.with_extension("tar");
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap
        .args(["--variant=extract", "--architectures=amd64"])
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg("--aptopt=APT::Sandbox::User \"root\"")
        .arg("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg")
        .arg(format!("--include={}", PACKAGES.join(",")));
    if !packages::is_root()? {
        // Packages are only unpacked, and into an archive: that needs neither a root user nor a namespace of one's own.
        bootstrap.arg("--mode=chrootless");
    }
    bootstrap.args([SUITE.as_ref(), archive.as_os_str(), mirror.as_ref()]);
    command::logged(&mut bootstrap, log).context(
        "cannot get dom0's packages: is there a network, and does the mirror have them?",
    )?;
    fs::create_dir(to)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner"]);
    for pattern in EXCLUDED {
        tar.arg(format!("--exclude={pattern}"));
    }
    tar.arg("--file").arg(&archive).arg("--directory").arg(to);
    command::output(&mut tar)?;
    fs::remove_file(&archive)?;
    Ok(())
}

/// The mirror that this machine's own packages come from.
fn mirror() -> anyhow::Result<String> {
    if let Ok(mirror) = std::env::var(MIRROR) {
        return Ok(mirror);
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Some(mirror) = mirror_in(&text) {
            return Ok(mirror);
        }
    }
    bail!(
        "no mirror of Debian is in /etc/apt/sources.list or /etc/apt/sources.list.d; name one in {MIRROR}"
    )
}

/// The first Debian archive in a file of sources, of the one-line or the deb822 style (sources.list(5)).
fn mirror_in(text: &str) -> Option<String> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .find(|word| {
            word.contains("://") && word.trim_end_matches('/').rsplit('/').next() == Some("debian")
        })
        .map(str::to_owned)
}

/// Follows symbolic links as they hold within `root`, and gives the path on the host.
///
/// # Errors
/// If a link leads nowhere or too many follow each other.
pub fn resolve(root: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let mut rest: Vec<std::ffi::OsString> = parts(Path::new(path));
    rest.reverse();
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = root.join(&done).join(&part);
        let Ok(target) = fs::read_link(&next) else {
            done.push(part);
            continue;
        };
        links += 1;
        if links > 40 {
            bail!("{path}: too many symbolic links");
        }
        if target.is_absolute() {
            done.clear();
        }
        rest.extend(parts(&target).into_iter().rev());
    }
    let found = root.join(done);
    if !found.exists() {
        bail!("{path} is not in dom0's packages");
    }
    Ok(found)
}

fn parts(path: &Path) -> Vec<std::ffi::OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// The only entry of a folder that begins and ends so.
///
/// # Errors
/// If there is none, or more than one.
pub fn only(folder: &Path, begin: &str, end: &str) -> anyhow::Result<PathBuf> {
    let mut found = fs::read_dir(folder)
        .with_context(|| format!("{} is not in dom0's packages", folder.display()))?
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(begin) && name.ends_with(end)
        })
        .map(|entry| entry.path());
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => bail!("no {begin}…{end} in {}", folder.display()),
        _ => bail!("more than one {begin}…{end} in {}", folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_styles_of_sources_give_the_mirror() {
        let deb822 = "Types: deb\n# URIs: http://old.example/debian\nURIs: http://a.example/debian\nSuites: x\n";
        assert_eq!(mirror_in(deb822).unwrap(), "http://a.example/debian");
        let line = "deb [signed-by=/k.gpg] https://b.example/pub/debian/ x main\n";
        assert_eq!(mirror_in(line).unwrap(), "https://b.example/pub/debian/");
    }

    #[test]
    fn other_archives_are_no_mirror() {
        let text = "deb http://a.example/debian-security x main\nURIs: https://b.example/node\n# deb http://c.example/debian x main";
        assert_eq!(mirror_in(text), None);
    }

    #[test]
    fn an_absolute_link_stays_within_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/tool"), "").unwrap();
        symlink("usr/bin", root.path().join("bin")).unwrap();
        symlink("/bin/../bin/tool", root.path().join("usr/bin/alias")).unwrap();
        let found = resolve(root.path(), "/bin/alias").unwrap();
        assert_eq!(found, root.path().join("usr/bin/tool"));
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        symlink("/b", root.path().join("a")).unwrap();
        symlink("/a", root.path().join("b")).unwrap();
        assert!(resolve(root.path(), "a").is_err());
    }
}
