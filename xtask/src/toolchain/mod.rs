//! The cross tool chain of a Linux host: found where it is installed, installed where it is not and that is allowed, and
//! wrapped into ready-made cargo commands for the drivers and for the lab's guest.

pub mod apt;
mod content_root;
mod llvm;
mod patch;
mod rustc;
pub mod shim;
mod vendor;
pub mod wdk;

use crate::drivers;
use crate::run;
use anyhow::{Context as _, bail};
use content_root::Mingw;
use lab_host::{cache, packages};
pub use llvm::Llvm;
pub use rustc::Rust;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
pub use wdk::Wdk;

/// How libclang reads mingw-w64's headers: they have declarations of the compiler's intrinsics of their own.
const MINGW_DIALECT: &str = "-fno-ms-compatibility -D__IMMINTRIN_H -D__X86INTRIN_H";
/// The target triple of the lab's guest.
pub const GUEST_TARGET: &str = "x86_64-unknown-none";

/// What both cross builds need.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// rustc-web with its sources.
    pub rust: Rust,
    /// The linker and its relatives.
    pub llvm: Llvm,
    mingw: Mingw,
}

/// What a look at the machine found.
#[derive(Debug)]
pub enum Found {
    /// All is there.
    Complete(Toolchain),
    /// Packages to install, by name.
    Missing(Vec<String>),
}

impl Toolchain {
    /// Looks at the machine without changing it.
    ///
    /// # Errors
    /// If this is no machine with apt and something is missing, or apt's lists have no fitting packages.
    pub fn look() -> anyhow::Result<Found> {
        let (rust, llvm, mingw) = (Rust::find(), Llvm::find()?, Mingw::find());
        if let (Some(rust), Some(llvm), Some(mingw)) = (&rust, &llvm, &mingw) {
            let (rust, llvm, mingw) = (rust.clone(), llvm.clone(), mingw.clone());
            return Ok(Found::Complete(Self { rust, llvm, mingw }));
        }
        let mut missing = Vec::new();
        if rust.is_none() {
            missing.extend(rustc::PACKAGES.iter().map(|name| (*name).to_owned()));
        }
        if mingw.is_none() {
            missing.push(Mingw::PACKAGE.to_owned());
        }
        if !apt::is_here() {
            bail!(
                "the cross tool chain is not on this machine, and it has no apt to get it with. It needs, by the names of \
                 Debian's packages: {}{}",
                missing.join(" "),
                if llvm.is_none() {
                    " lld llvm libclang1 libclang-common-dev (of one version)"
                } else {
                    ""
                }
            );
        }
        if llvm.is_none() {
            missing.extend(Llvm::installable()?);
        }
        Ok(Found::Missing(missing))
    }

    /// The tool chain, installed if it has to be.
    ///
    /// # Errors
    /// If something is missing and this is not root, or apt fails.
    pub fn provide() -> anyhow::Result<Self> {
        if let Ok(Found::Complete(toolchain)) = Self::look() {
            return Ok(toolchain);
        }
        // Which LLVM can be had is known only from fresh lists.
        if apt::is_here() && packages::is_root()? {
            apt::update()?;
        }
        let missing = match Self::look()? {
            Found::Complete(toolchain) => return Ok(toolchain),
            Found::Missing(missing) => missing,
        };
        packages::install(&missing)?;
        match Self::look()? {
            Found::Complete(toolchain) => Ok(toolchain),
            Found::Missing(_) => bail!(
                "{} are installed, but the tool chain is still not complete: /usr/bin/rustc and the library sources \
                 beside it must be of one version",
                missing.join(" ")
            ),
        }
    }

    /// The version of the headers' package.
    pub fn mingw_version(&self) -> &str {
        self.mingw.version()
    }

    /// The tree that stands for a WDK: headers and import libraries.
    ///
    /// # Errors
    /// If the cache cannot be filled.
    pub fn content_root(&self) -> anyhow::Result<PathBuf> {
        content_root::provide(&self.mingw, &self.llvm)
    }

    /// Tells a program that uses bindgen where libclang and its own headers are.
    pub fn show_libclang(&self, command: &mut Command) {
        command.env("LIBCLANG_PATH", self.llvm.libclang()).env(
            "BINDGEN_EXTRA_CLANG_ARGS",
            format!("-resource-dir={}", self.llvm.resources().display()),
        );
    }

    /// A cargo command for the drivers of a workspace, this one or a copy of it, without what it shall do; with the headers
    /// of `wdk` in place of mingw-w64's.
    ///
    /// # Errors
    /// If the cache cannot be filled.
    pub fn driver_cargo(
        &self,
        subcommand: &str,
        workspace: &Path,
        target_dir: &Path,
        wdk: Option<&Wdk>,
    ) -> anyhow::Result<Command> {
        let root = match wdk {
            None => self.content_root()?,
            Some(wdk) => content_root::provide_own(wdk, &self.llvm)?,
        };
        self.forget_other_tools(target_dir, &root)?;
        let mut command = self.cargo(subcommand, drivers::TARGET, workspace, target_dir)?;
        let resources = format!("-resource-dir={}", self.llvm.resources().display());
        let dialect = match wdk {
            Some(wdk) if !wdk.is_mingw() => wdk::dialect(&root)?,
            _ => MINGW_DIALECT.to_owned(),
        };
        let arguments = format!("{dialect} {}", lab_host::command::quote(&resources));
        command
            .env("WDKContentRoot", &root)
            .env("Version_Number", content_root::VERSION)
            .env("LIBCLANG_PATH", self.llvm.libclang())
            .env("XEN_DRIVERS_RC", self.llvm.program("llvm-rc"))
            .env("BINDGEN_EXTRA_CLANG_ARGS_x86_64_pc_windows_msvc", arguments);
        shim::put_into(
            &mut command,
            target_dir,
            &[
                (self.rust.source(), "rust"),
                (&vendor::folder()?, "vendor"),
                (workspace, ""),
                (target_dir, "target"),
            ],
            &self.llvm.program("lld-link"),
        )?;
        Ok(command)
    }

    /// A cargo command for the lab's guest, without what it shall do.
    ///
    /// # Errors
    /// If the cache cannot be filled.
    pub fn guest_cargo(&self, subcommand: &str, target_dir: &Path) -> anyhow::Result<Command> {
        let mut command = self.cargo(subcommand, GUEST_TARGET, run::workspace(), target_dir)?;
        command.env(
            "CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER",
            self.llvm.program("ld.lld"),
        );
        Ok(command)
    }

    /// A cargo of rustc-web that builds core and alloc for `target` and knows nothing of the caller's cargo.
    fn cargo(
        &self,
        subcommand: &str,
        target: &str,
        workspace: &Path,
        target_dir: &Path,
    ) -> anyhow::Result<Command> {
        let home = self.cargo_home()?;
        let mut command = Command::new(self.rust.program("cargo"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO", "RUST", "LD_LIBRARY_PATH"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        let mut path = OsString::from(&self.rust.bin);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command
            .current_dir(workspace)
            .env("PATH", path)
            .env("CARGO_HOME", home)
            .env("CARGO_TARGET_DIR", target_dir)
            // build-std is cargo's only unstable part here; the crates themselves are stable Rust.
            .env("RUSTC_BOOTSTRAP", "1")
            .args([
                subcommand,
                "--locked",
                "--offline",
                "-Zbuild-std=core,alloc",
                "--target",
                target,
            ]);
        Ok(command)
    }

    /// A cargo home whose only content is where crates come from.
    fn cargo_home(&self) -> anyhow::Result<PathBuf> {
        let vendor = vendor::provide(&self.rust)?;
        let config = format!(
            "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = {:?}\n",
            vendor.to_str().context("the cache's path is no text")?
        );
        cache::entry("cargo-home", &cache::key([config.as_bytes()]), |folder| {
            Ok(fs::write(folder.join("config.toml"), &config)?)
        })
    }

    /// wdk-build does not watch the content root, nor cargo the shims: where one changed, what was made with the old one
    /// goes.
    fn forget_other_tools(&self, target_dir: &Path, root: &Path) -> anyhow::Result<()> {
        let mark = target_dir.join(".wdk-content-root");
        let current = format!("{}\n{}\n", root.display(), shim::VERSION);
        if fs::read_to_string(&mark).is_ok_and(|text| text == current) {
            return Ok(());
        }
        for profile in ["debug", "release"] {
            let built = target_dir.join(drivers::TARGET).join(profile);
            if built.exists() {
                fs::remove_dir_all(&built)
                    .with_context(|| format!("cannot remove {}", built.display()))?;
            }
        }
        fs::create_dir_all(target_dir)
            .with_context(|| format!("cannot make {}", target_dir.display()))?;
        Ok(fs::write(&mark, current.as_bytes())?)
    }
}
