//! A second opinion: Wine's kernel loads each driver, runs its DriverEntry and unloads it, where Wine has the port driver that
//! it registers with. What Wine lacks is listed: its loader puts a routine that raises an exception in the place of a name
//! that its kernel does not have, and DriverEntry must do without those. Wine has no devices for the drivers, so AddDevice
//! is not reached.

use super::Outcome;
use crate::check_sys::image::Image;
use crate::drivers::{self, DRIVERS};
use crate::run;
use anyhow::{Context as _, bail};
use lab_host::packages::{self, Need};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Wine without its graphics.
pub const NEEDS: &[Need] = &[Need {
    what: WINE,
    package: "wine64",
}];

/// Where Debian has the loader.
const WINE: &str = "/usr/lib/wine/wine64";
/// Where Debian has what Wine offers in place of Windows' files.
const WINE_FILES: &str = "/usr/lib/x86_64-linux-gnu/wine/x86_64-windows";

/// What Wine is told to do with a driver: its service is started and stopped, and asked how it is in between. The service was
/// made in a session before: Wine's service manager finds it when it starts.
const SESSION: &str = "@echo off\r\n\
    sc start %1\r\n\
    echo started %errorlevel%\r\n\
    sc query %1\r\n\
    sc stop %1\r\n\
    echo stopped %errorlevel%\r\n\
    sc query %1\r\n";

/// Loads and unloads every driver of this tree.
///
/// # Errors
/// If Wine cannot be installed or set up.
pub fn second_opinion() -> anyhow::Result<Outcome> {
    packages::ensure(NEEDS)?;
    let folder = drivers::build(&drivers::Args::default())?;
    let prefix = Prefix::new()?;
    let mut outcome = Outcome::default();
    for driver in DRIVERS {
        let image = folder.join(format!("{driver}.sys"));
        let lacking = lacking(&image)?;
        if !lacking.names.is_empty() {
            println!("  {driver}.sys: Wine lacks {}", lacking.names.join(", "));
        }
        if lacking.port_driver {
            println!("  {driver}.sys is not loaded: its port driver is not whole in Wine");
            continue;
        }
        match prefix.load_and_unload(driver, &image) {
            Ok(()) => outcome.passed += 1,
            Err(error) => {
                println!("{error:#}");
                outcome.failed += 1;
            }
        }
    }
    Ok(outcome)
}

/// What the image imports and Wine does not have.
#[derive(Debug, Default)]
struct Lacking {
    /// Whole modules, or single names
    names: Vec<String>,
    /// Some of it is of a port driver, which DriverEntry registers with
    port_driver: bool,
}

fn lacking(image: &Path) -> anyhow::Result<Lacking> {
    let mut imports = BTreeMap::<_, BTreeSet<_>>::new();
    let bytes = read(image)?;
    for import in Image::parse(&bytes)?.imports()? {
        let names = imports.entry(import.module).or_default();
        names.extend(import.name);
    }
    let mut lacking = Lacking::default();
    for (module, names) in imports {
        let file = Path::new(WINE_FILES).join(module.to_ascii_lowercase());
        let missing: Vec<_> = if file.exists() {
            let exports = Image::parse(&read(&file)?)?.exports()?;
            let exports = BTreeSet::from_iter(exports);
            let missing = names.difference(&exports);
            missing.map(|name| format!("{name} of {module}")).collect()
        } else {
            vec![module.clone()]
        };
        let is_kernel = ["ntoskrnl.exe", "hal.dll"]
            .iter()
            .any(|kernel| module.eq_ignore_ascii_case(kernel));
        lacking.port_driver |= !is_kernel && !missing.is_empty();
        lacking.names.extend(missing);
    }
    Ok(lacking)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A Windows of Wine's own, for as long as the test lasts.
struct Prefix {
    folder: tempfile::TempDir,
}

impl Prefix {
    fn new() -> anyhow::Result<Self> {
        let prefix = Self {
            folder: tempfile::tempdir()?,
        };
        run::step(
            "setting Wine up",
            prefix.wine().args(["wineboot.exe", "--init"]),
        )?;
        fs::create_dir_all(prefix.drivers())?;
        fs::write(prefix.drivers().join("session.bat"), SESSION)?;
        Ok(prefix)
    }

    fn drivers(&self) -> PathBuf {
        self.folder.path().join("drive_c/drivers")
    }

    fn wine(&self) -> Command {
        self.command(WINE)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("WINEPREFIX", self.folder.path())
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "err+module,fixme-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        command
    }

    fn load_and_unload(&self, driver: &str, image: &Path) -> anyhow::Result<()> {
        fs::copy(image, self.drivers().join(format!("{driver}.sys")))?;
        let path = format!(r"C:\drivers\{driver}.sys");
        let mut create = self.wine();
        create.args([
            "sc.exe", "create", driver, "type=", "kernel", "binPath=", &path,
        ]);
        run::step(&format!("a service for {driver}.sys in Wine"), &mut create)?;
        self.wait_for_the_end()?;
        let title = format!("{driver}.sys in Wine");
        let mut command = self.wine();
        command.args(["cmd.exe", "/c", r"C:\drivers\session.bat", driver]);
        let finished = run::step(&title, &mut command)?;
        let log = fs::read_to_string(&finished.log)?;
        if let Err(error) = judge(&log) {
            bail!(
                "{title}: {error}; the whole log: {}",
                finished.log.display()
            );
        }
        Ok(())
    }
}

impl Prefix {
    fn server(&self) -> Command {
        self.command(
            &Path::new(WINE)
                .with_file_name("wineserver")
                .to_string_lossy(),
        )
    }

    /// Waits until the last program of the session has ended, and Wine's server with it.
    fn wait_for_the_end(&self) -> anyhow::Result<()> {
        run::step("the end of a session of Wine", self.server().arg("-w")).map(drop)
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // The folder is about to go: the server that works in it has to end first, and no one is left to hear of an error.
        let _ = self.server().args(["-k", "-w"]).status();
    }
}

/// What a session says: the driver ran after the start, and did not after the stop.
fn judge(log: &str) -> Result<(), String> {
    let (before, after) = log
        .split_once("stopped ")
        .ok_or("the session did not come to its end")?;
    if !before.contains("started 0") {
        return Err("its DriverEntry failed".to_owned());
    }
    if !before.contains("RUNNING") {
        return Err("it does not run after its start".to_owned());
    }
    if !after.starts_with('0') || !after.contains("STOPPED") {
        return Err("it was not unloaded".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_has_run_if_it_did_so_after_the_start_and_not_after_the_stop() {
        let good =
            "STATE : 4 RUNNING\nstarted 0\nSTATE : 4  RUNNING\nstopped 0\nSTATE : 1  STOPPED\n";
        assert_eq!(judge(good), Ok(()));
        assert!(judge(&good.replace("started 0", "started 1")).is_err());
        assert!(judge(&good.replace("RUNNING", "STOPPED")).is_err());
        assert!(judge(&good.replace("stopped 0", "stopped 1")).is_err());
        assert!(judge(good.split_once("stopped").unwrap().0).is_err());
    }
}
