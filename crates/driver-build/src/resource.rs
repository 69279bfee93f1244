//! The version resource: product, version, vendor and licence, where Explorer, `Get-Item` and sigcheck show them.

use crate::Driver;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The resource compiler's program, if it is not `rc` of the WDK's prompt.
const COMPILER: &str = "XEN_DRIVERS_RC";
/// Who gives the package out. Also the INF files' provider.
const VENDOR: &str = "XEN_DRIVERS_VENDOR";
/// The fourth part of the version.
const BUILD: &str = "XEN_DRIVERS_BUILD";

/// The vendor without one.
const DEFAULT_VENDOR: &str = "xen-windows-drivers";
/// The product that all drivers belong to.
const PRODUCT: &str = "Xen PV drivers for Windows";

/// The script and what becomes of it. Given to the compiler by their bare names: it takes `/check/version.rc` for its option
/// `/c`, as it would any path that begins as one of its options does.
const SOURCE: &str = "version.rc";
const COMPILED: &str = "version.res";

/// Compiles the resource and returns its file.
pub fn compile(driver: &Driver<'_>) -> Result<PathBuf, Box<dyn Error>> {
    for name in [COMPILER, VENDOR, BUILD] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(folder.join(SOURCE), script(driver)?)?;
    run(&folder)?;
    Ok(folder.join(COMPILED))
}

fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = compiler(env::var_os(COMPILER), folder);
    let output = command.output().map_err(|error| {
        let program = command.get_program();
        format!("cannot run the resource compiler {program:?}: {error}")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&text)).into())
}

/// The command that compiles the script of this folder, by the compiler that was given, else the one of the WDK's prompt.
fn compiler(given: Option<OsString>, folder: &Path) -> Command {
    // LLVM's compiler would look for clang to preprocess the script, which has no directives in it.
    let quiet = if given.is_some() {
        "/no-preprocess"
    } else {
        "/nologo"
    };
    let mut command = Command::new(given.unwrap_or_else(|| "rc".into()));
    command
        .args([quiet, "/fo", COMPILED, SOURCE])
        .current_dir(folder);
    command
}

/// `VERSIONINFO` of a driver (winver.h: VOS_NT_WINDOWS32, VFT_DRV, VFT2_DRV_SYSTEM), in US English.
fn script(driver: &Driver<'_>) -> Result<String, Box<dyn Error>> {
    let package = env::var("CARGO_PKG_NAME")?;
    let version = version()?;
    let license = env::var("CARGO_PKG_LICENSE")?;
    let vendor = env::var(VENDOR).unwrap_or_else(|_| DEFAULT_VENDOR.to_owned());
    let dotted = version.map(|part| part.to_string()).join(".");
    let listed = version.map(|part| part.to_string()).join(",");
    let strings = [
        ("CompanyName", vendor),
        ("FileDescription", driver.description.to_owned()),
        ("FileVersion", dotted.clone()),
        ("InternalName", package.clone()),
        ("LegalCopyright", format!("Licence: {license}")),
        ("OriginalFilename", format!("{package}.sys")),
        ("ProductName", PRODUCT.to_owned()),
        ("ProductVersion", dotted),
    ];
    let mut text = format!(
        "1 VERSIONINFO\nFILEVERSION {listed}\nPRODUCTVERSION {listed}\nFILEFLAGSMASK 0x3fL\nFILEFLAGS 0x0L\n\
         FILEOS 0x40004L\nFILETYPE 0x3L\nFILESUBTYPE 0x7L\nBEGIN\nBLOCK \"StringFileInfo\"\nBEGIN\nBLOCK \"040904b0\"\nBEGIN\n"
    );
    for (name, value) in strings {
        text += &format!("VALUE \"{name}\", \"{}\"\n", value.replace('"', "\"\""));
    }
    text +=
        "END\nEND\nBLOCK \"VarFileInfo\"\nBEGIN\nVALUE \"Translation\", 0x409, 0x4b0\nEND\nEND\n";
    Ok(text)
}

/// The package's version with the number of the build.
fn version() -> Result<[u16; 4], Box<dyn Error>> {
    let part = |name: &str| -> Result<u16, Box<dyn Error>> {
        let text = env::var(name)?;
        text.parse().map_err(|_| {
            format!("{name} is {text:?}: a part of a version is a number below 65536").into()
        })
    };
    Ok([
        part("CARGO_PKG_VERSION_MAJOR")?,
        part("CARGO_PKG_VERSION_MINOR")?,
        part("CARGO_PKG_VERSION_PATCH")?,
        if env::var_os(BUILD).is_some() {
            part(BUILD)?
        } else {
            0
        },
    ])
}
