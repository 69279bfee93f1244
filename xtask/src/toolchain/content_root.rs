//! What wdk-build takes for an installed WDK: a tree of mingw-w64's headers in the WDK's layout, a few headers of our own
//! before them, and import libraries made from the project's list of what Windows exports.

use super::llvm::Llvm;
use super::wdk::Wdk;
use anyhow::Context as _;
use lab_facts::{Kind, Module};
use lab_host::{cache, command};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the WDK that the tree stands for. wdk-build only asks that it looks like one.
pub const VERSION: &str = "10.0.26100.0";

/// Our own headers: name and text. They come first on the include path and include mingw-w64's.
const SUPPLEMENT: &[(&str, &str)] = &[
    ("ntddk.h", include_str!("../../data/wdk-supplement/ntddk.h")),
    ("ntifs.h", include_str!("../../data/wdk-supplement/ntifs.h")),
];

/// The libraries: name of the file, and the module whose exports it imports. wdk-build links all of them into a WDM
/// driver; those without a module are empty here.
const LIBRARIES: &[(&str, Option<Module>)] = &[
    ("ntoskrnl", Some(Module::Ntoskrnl)),
    ("hal", Some(Module::Hal)),
    ("storport", Some(Module::Storport)),
    ("ndis", Some(Module::Ndis)),
    ("wmilib", None),
    ("BufferOverflowFastFailK", None),
];

/// mingw-w64's headers.
#[derive(Clone, Debug)]
pub struct Mingw {
    include: PathBuf,
    version: String,
}

impl Mingw {
    /// The package that has them.
    pub const PACKAGE: &str = "mingw-w64-x86-64-dev";

    /// The version of the package.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The installed headers.
    pub fn find() -> Option<Self> {
        let include = PathBuf::from("/usr/x86_64-w64-mingw32/include");
        include.join("ddk/ntifs.h").is_file().then(|| Self {
            version: super::apt::version(Self::PACKAGE).unwrap_or_default(),
            include,
        })
    }
}

/// The import libraries' definitions, by name.
type Definitions = Vec<(&'static str, Option<String>)>;

fn definitions() -> Definitions {
    LIBRARIES
        .iter()
        .map(|(name, module)| (*name, module.map(definition)))
        .collect()
}

/// Makes the import libraries in a tree.
fn libraries(root: &Path, llvm: &Llvm, definitions: &Definitions) -> anyhow::Result<()> {
    let folder = root.join("Lib").join(VERSION).join("km/x64");
    fs::create_dir_all(&folder)?;
    for (name, text) in definitions {
        library(llvm, &folder.join(format!("{name}.lib")), text.as_deref())?;
    }
    Ok(())
}

/// A tree of the headers of a WDK of the user's own with this project's import libraries.
pub fn provide_own(wdk: &Wdk, llvm: &Llvm) -> anyhow::Result<PathBuf> {
    let definitions = definitions();
    let version = llvm.version.to_string();
    let files = wdk.files()?;
    let mut inputs: Vec<&[u8]> = vec![VERSION.as_bytes(), version.as_bytes(), files.as_bytes()];
    for (name, text) in &definitions {
        inputs.extend([
            name.as_bytes(),
            text.as_deref().unwrap_or_default().as_bytes(),
        ]);
    }
    cache::entry("own-wdk", &cache::key(inputs), |root| {
        eprintln!("laying out the headers of {}", wdk.folder().display());
        wdk.lay_out(&root.join("Include").join(VERSION))?;
        libraries(root, llvm, &definitions)
    })
}

/// The tree, made unless the cache has one of the same inputs.
pub fn provide(mingw: &Mingw, llvm: &Llvm) -> anyhow::Result<PathBuf> {
    let definitions = definitions();
    let version = llvm.version.to_string();
    let include = mingw.include.to_string_lossy();
    let mut inputs: Vec<&[u8]> = vec![
        VERSION.as_bytes(),
        mingw.version.as_bytes(),
        include.as_bytes(),
        version.as_bytes(),
    ];
    for (name, text) in SUPPLEMENT {
        inputs.extend([name.as_bytes(), text.as_bytes()]);
    }
    for (name, text) in &definitions {
        inputs.extend([
            name.as_bytes(),
            text.as_deref().unwrap_or_default().as_bytes(),
        ]);
    }
    cache::entry("wdk", &cache::key(inputs), |root| {
        eprintln!("making headers and import libraries");
        headers(root, &mingw.include).context("cannot lay out the headers")?;
        libraries(root, llvm, &definitions)
    })
}

/// Lays out the headers: km has the driver kit's, shared the others, km/crt, which wdk-build puts first, our own.
fn headers(root: &Path, mingw: &Path) -> anyhow::Result<()> {
    let include = root.join("Include").join(VERSION);
    for folder in ["km/crt", "shared", "um"] {
        fs::create_dir_all(include.join(folder))?;
    }
    link_all(&mingw.join("ddk"), &include.join("km"), &[])?;
    link_all(mingw, &include.join("shared"), &["ddk"])?;
    for (name, text) in SUPPLEMENT {
        fs::write(include.join("km/crt").join(name), text)?;
    }
    Ok(())
}

/// Links each entry of `from` into `to`, except some.
fn link_all(from: &Path, to: &Path, except: &[&str]) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if !except.iter().any(|except| name == *except) {
            symlink(fs::canonicalize(entry.path())?, to.join(&name))?;
        }
    }
    Ok(())
}

/// A module's exports as a module-definition file: those that the oldest Windows we support has. A name that is newer
/// is so an undefined symbol at link time, before anything is checked.
fn definition(module: Module) -> String {
    let mut text = format!("LIBRARY \"{}\"\nEXPORTS\n", module.file_name());
    for function in lab_facts::functions() {
        if function.module == module && function.since <= lab_facts::OLDEST_SUPPORTED {
            let data = if function.kind == Kind::Data {
                " DATA"
            } else {
                ""
            };
            writeln!(text, "{}{data}", function.name).expect("text grows");
        }
    }
    text
}

/// Makes an import library, or an empty one.
fn library(llvm: &Llvm, out: &Path, definition: Option<&str>) -> anyhow::Result<()> {
    let mut command = Command::new(llvm.program("llvm-lib"));
    command
        .arg("/nologo")
        .arg("/machine:x64")
        .arg(format!("/out:{}", out.display()));
    match definition {
        None => command.arg("/llvmlibempty"),
        Some(text) => {
            let file = out.with_extension("def");
            fs::write(&file, text)?;
            command.arg(format!("/def:{}", file.display()))
        }
    };
    command::output(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_has_no_name_that_the_oldest_supported_windows_lacks() {
        let text = definition(Module::Ntoskrnl);
        assert!(text.starts_with("LIBRARY \"ntoskrnl.exe\"\n"));
        assert!(text.contains("\nExAllocatePoolWithTag\n"));
        assert!(text.contains("\nPsThreadType DATA\n"));
        assert!(!text.contains("\nExAllocatePool2\n"));
        assert!(definition(Module::Hal).contains("\nKeQueryPerformanceCounter\n"));
        assert!(definition(Module::Storport).contains("\nStorPortInitialize\n"));
        let ndis = definition(Module::Ndis);
        assert!(ndis.starts_with("LIBRARY \"NDIS.SYS\"\n"));
        assert!(ndis.contains("\nNdisMRegisterMiniportDriver\n"));
        assert!(!ndis.contains("\nNdisRegisterPoll\n"));
    }

    #[test]
    fn our_own_headers_come_before_those_that_they_include() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mingw = folder.path().join("mingw");
        fs::create_dir_all(mingw.join("ddk"))?;
        for name in ["ddk/ntddk.h", "windef.h"] {
            fs::write(mingw.join(name), name)?;
        }
        let root = folder.path().join("root");
        headers(&root, &mingw)?;
        let include = root.join("Include").join(VERSION);
        assert_eq!(
            fs::read_to_string(include.join("km/ntddk.h"))?,
            "ddk/ntddk.h"
        );
        assert_eq!(
            fs::read_to_string(include.join("shared/windef.h"))?,
            "windef.h"
        );
        assert!(!include.join("shared/ddk").exists());
        assert!(
            fs::read_to_string(include.join("km/crt/ntddk.h"))?.contains("#include_next <ntddk.h>")
        );
        Ok(())
    }
}
