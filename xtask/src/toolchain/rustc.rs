//! The Rust that builds the cross targets: Debian's rustc-web, whose library sources (rust-web-src) match it.

use lab_host::command;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages of the tool chain.
pub const PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev",
    "rust-web-src",
    "rust-web-clippy",
];

/// Where Debian puts programs.
const BIN: &str = "/usr/bin";

/// A Rust tool chain with its library sources.
#[derive(Clone, Debug)]
pub struct Rust {
    /// The folder of rustc, cargo and clippy-driver.
    pub bin: PathBuf,
    /// What `rustc --version` prints.
    pub version: String,
    /// The workspace of core and alloc.
    pub library: PathBuf,
}

impl Rust {
    /// The system's tool chain, if it is complete and its sources are of its version.
    pub fn find() -> Option<Self> {
        let bin = PathBuf::from(BIN);
        let complete = ["rustc", "cargo", "cargo-clippy", "clippy-driver"]
            .iter()
            .all(|program| bin.join(program).is_file());
        if !complete {
            return None;
        }
        let rustc = |argument: &[&str]| {
            let output = command::output(Command::new(bin.join("rustc")).args(argument)).ok()?;
            Some(String::from_utf8_lossy(&output).trim().to_owned())
        };
        let version = rustc(&["--version"])?;
        let source = Path::new(&rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
        let library = source.join("library");
        let matches = std::fs::read_to_string(source.join("src/version"))
            .is_ok_and(|of_source| version.split(' ').nth(1) == Some(of_source.trim()));
        (matches && library.join("Cargo.lock").is_file()).then_some(Self {
            bin,
            version,
            library,
        })
    }

    /// The folder that has the library's sources.
    pub fn source(&self) -> &Path {
        self.library.parent().unwrap_or(&self.library)
    }

    /// A program of the tool chain.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}
