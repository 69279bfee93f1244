//! What stands between cargo, rustc and the linker so that the same sources give the same bytes in every folder.
//!
//! cargo gets this program in place of rustc, and rustc in place of lld-link, by links of other names. As rustc it adds
//! what replaces folders of this machine in debug information and in the texts of panics; cargo does not see that, so it
//! is not part of the hashes that name crates. As lld-link it links in a folder of its own where every input has a name
//! that depends on its place alone: the linker writes its command line, its folder and its inputs' names into the PDB,
//! and a hash of the PDB into the image.

use anyhow::{Context as _, ensure};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Changes when built files are no longer what this module would make.
pub const VERSION: &str = "1";

/// The names that this program goes by. rustc knows a linker's kind by its name.
const RUSTC: &str = "rustc-shim";
const LINKER: &str = "lld-link";

/// The real linker.
const REAL_LINKER: &str = "XEN_XTASK_LINKER";
/// Folders and what is written in their place: `from=to`, by line feeds.
const FOLDERS: &str = "XEN_XTASK_FOLDERS";

/// Where sources seem to lie, for those who debug.
const SOURCES: &str = "/xen-windows-drivers";
/// Where the linker seems to run.
const LINK_FOLDER: &str = r"C:\xen-windows-drivers";
/// The folder of a link's results, in the link's own folder.
const OUT: &str = "out";

/// Does what this program was called for by one of its other names, if it was.
pub fn run() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = PathBuf::from(arguments.next()?);
    let arguments: Vec<OsString> = arguments.collect();
    let result = match name.file_name()?.to_str()? {
        RUSTC => rustc(&arguments),
        LINKER => link(&arguments),
        _ => return None,
    };
    Some(result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    }))
}

/// Lets a cargo command use the shims. `folders` are folders of this machine and what they are called below [`SOURCES`];
/// a folder in another one comes behind it.
///
/// # Errors
/// If the links cannot be made in `target_dir`.
pub fn put_into(
    command: &mut Command,
    target_dir: &Path,
    folders: &[(&Path, &str)],
    linker: &Path,
) -> anyhow::Result<()> {
    let folder = target_dir.join(".shims");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let program = std::env::current_exe().context("this program has no path")?;
    for name in [RUSTC, LINKER] {
        relink(&program, &folder.join(name))?;
    }
    let folder_as = |(from, name): &(&Path, &str)| match *name {
        "" => format!("{}={SOURCES}", from.display()),
        name => format!("{}={SOURCES}/{name}", from.display()),
    };
    let folders: Vec<String> = folders.iter().map(folder_as).collect();
    command
        .env("RUSTC_WRAPPER", folder.join(RUSTC))
        .env(
            "CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER",
            folder.join(LINKER),
        )
        .env(REAL_LINKER, linker)
        .env(FOLDERS, folders.join("\n"));
    Ok(())
}

/// Makes `link` point to `program`, unless it does.
fn relink(program: &Path, link: &Path) -> anyhow::Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    // By another name first: a build that runs now must find one or the other.
    let new = link.with_extension(std::process::id().to_string());
    symlink(program, &new).with_context(|| format!("cannot link {}", new.display()))?;
    Ok(fs::rename(new, link)?)
}

/// rustc with the folders' other names.
fn rustc(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let (program, arguments) = arguments.split_first().context("cargo names no rustc")?;
    let mut command = Command::new(program);
    command.args(arguments);
    if arguments.iter().any(|argument| argument == "--crate-name") {
        let folders = std::env::var(FOLDERS).unwrap_or_default();
        let mut pairs: Vec<String> = folders.lines().map(str::to_owned).collect();
        if let (Ok(folder), Ok(package)) =
            (std::env::var("OUT_DIR"), std::env::var("CARGO_PKG_NAME"))
        {
            // Its own name has a hash in it. The last one that fits counts.
            pairs.push(format!("{folder}={SOURCES}/out/{package}"));
        }
        for pair in pairs {
            command.arg("--remap-path-prefix").arg(pair);
        }
    }
    Err(command.exec()).with_context(|| format!("cannot run {}", program.display()))
}

/// A link in a folder of its own.
fn link(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let linker = std::env::var_os(REAL_LINKER)
        .with_context(|| format!("{REAL_LINKER} does not name the linker"))?;
    let arguments = expand(arguments)?;
    let link = Link::parse(&arguments)?;
    let folder = tempfile::Builder::new()
        .prefix("link-")
        .tempdir_in(&link.out)
        .with_context(|| format!("cannot write to {}", link.out.display()))?;
    fs::create_dir(folder.path().join(OUT))?;
    for (name, file) in &link.inputs {
        symlink(file, folder.path().join(name))?;
    }
    let status = Command::new(&linker)
        .current_dir(folder.path())
        .args(&link.arguments)
        .arg(format!("/PDBSOURCEPATH:{LINK_FOLDER}"))
        .status()
        .with_context(|| format!("cannot run {}", linker.display()))?;
    if !status.success() {
        eprintln!("the linker was given: {arguments:?}");
        return Ok(ExitCode::FAILURE);
    }
    for entry in fs::read_dir(folder.path().join(OUT))? {
        let entry = entry?;
        fs::rename(entry.path(), link.out.join(entry.file_name()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A linker's command line with other names for its inputs.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    /// The folder for the results.
    out: PathBuf,
    /// What to give the linker.
    arguments: Vec<OsString>,
    /// The inputs by their new names.
    inputs: Vec<(String, PathBuf)>,
}

impl Link {
    fn parse(given: &[OsString]) -> anyhow::Result<Self> {
        let mut out = None;
        let mut arguments = Vec::new();
        let mut inputs = Vec::new();
        for argument in given {
            if let Some(path) = option(argument, "/OUT:") {
                let path = std::path::absolute(path)?;
                let name = path.file_name().context("/OUT: names no file")?;
                arguments.push(joined("/OUT:", OUT, name));
                out = path.parent().map(Path::to_owned);
            } else if let Some(path) = option(argument, "/IMPLIB:") {
                let path = Path::new(path);
                let name = path.file_name().context("/IMPLIB: names no file")?;
                arguments.push(joined("/IMPLIB:", OUT, name));
            } else if let Some(path) = option(argument, "/LIBPATH:") {
                let name = format!("lib{}", inputs.len());
                arguments.push(format!("/LIBPATH:{name}").into());
                inputs.push((name, std::path::absolute(path)?));
            } else if option(argument, "/DEF:").is_some() {
                // rustc's list of exports: `DriverEntry`, which the linker is told of otherwise, and symbols of crates
                // that nobody shall import.
            } else if Path::new(argument).is_file() {
                let path = std::path::absolute(argument)?;
                let extension = path.extension().unwrap_or(OsStr::new("o"));
                let name = format!("{}.{}", inputs.len(), extension.to_string_lossy());
                arguments.push(name.clone().into());
                inputs.push((name, path));
            } else {
                arguments.push(argument.clone());
            }
        }
        Ok(Self {
            out: out.context("the linker is not told what to write (/OUT:)")?,
            arguments,
            inputs,
        })
    }
}

/// The value of an option of the linker's; the case of its name does not matter.
fn option<'a>(argument: &'a OsStr, name: &str) -> Option<&'a str> {
    let text = argument.to_str()?;
    let (start, value) = text.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

fn joined(option: &str, folder: &str, file: &OsStr) -> OsString {
    let mut text = OsString::from(format!("{option}{folder}/"));
    text.push(file);
    text
}

/// Takes the arguments out of a response file, if rustc found them too long for a command line: UTF-16, one a line, in
/// double quotes where there is a blank.
fn expand(arguments: &[OsString]) -> anyhow::Result<Vec<OsString>> {
    let mut all = Vec::new();
    for argument in arguments {
        let Some(file) = argument.to_str().and_then(|text| text.strip_prefix('@')) else {
            all.push(argument.clone());
            continue;
        };
        let bytes = fs::read(file).with_context(|| format!("cannot read {file}"))?;
        all.extend(response(&bytes)?.into_iter().map(OsString::from));
    }
    Ok(all)
}

fn response(bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let (units, rest) = bytes.as_chunks::<2>();
    ensure!(
        rest.is_empty() && bytes.starts_with(&[0xFF, 0xFE]),
        "a response file is not in UTF-16"
    );
    let units: Vec<u16> = units.iter().copied().map(u16::from_le_bytes).collect();
    let text = String::from_utf16(&units).context("a response file is not in UTF-16")?;
    let line = |line: &str| {
        let line = line.trim_start_matches('\u{FEFF}').trim_end();
        let inner = line
            .strip_prefix('"')
            .and_then(|line| line.strip_suffix('"'));
        inner.unwrap_or(line).replace("\\\"", "\"")
    };
    Ok(text
        .lines()
        .map(line)
        .filter(|line| !line.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_link_knows_its_inputs_by_their_places_alone() -> anyhow::Result<()> {
        let link_in = |folder: &Path, object: &str| {
            let object = folder.join(object);
            fs::write(&object, "object")?;
            let object = object.display().to_string();
            let out = format!("/OUT:{}/x.dll", folder.display());
            let libpath = format!("/libpath:{}", folder.display());
            let def = format!("/DEF:{}/lib.def", folder.display());
            Link::parse(&words(&["/NOLOGO", &def, &object, &libpath, &out]))
        };
        let (one, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let (first, second) = (
            link_in(one.path(), "a.1f.o")?,
            link_in(other.path(), "b.22.o")?,
        );
        assert_eq!(
            first.arguments,
            words(&["/NOLOGO", "0.o", "/LIBPATH:lib1", "/OUT:out/x.dll"])
        );
        assert_eq!(first.arguments, second.arguments);
        assert_eq!(first.out, one.path());
        assert_eq!(first.inputs[0].1, one.path().join("a.1f.o"));
        Ok(())
    }

    #[test]
    fn a_link_without_a_result_is_refused() {
        assert!(Link::parse(&words(&["/NOLOGO"])).is_err());
    }

    #[test]
    fn a_response_file_is_taken_apart() -> anyhow::Result<()> {
        let text = "\u{FEFF}\"/OUT:a b\"\r\n/DEBUG\n";
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(response(&bytes)?, ["/OUT:a b", "/DEBUG"]);
        assert!(response(b"/DEBUG").is_err());
        Ok(())
    }
}
