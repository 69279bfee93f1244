//! AddReg sections.

use super::{Inf, number};
use lab_inf::Line;

/// Whose AddReg directive names the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// DDInstall: HKR is the device's software key.
    Software,
    /// DDInstall.HW: HKR is the device's hardware key.
    Hardware,
    /// A service: HKR is the service's key. `boot_flags` says whether `BootFlags` may be set this way.
    Service { boot_flags: bool },
    /// A service's event log.
    EventLog,
}

/// Flags of an AddReg line: its known bits (FLG_ADDREG_*), and the bit that deletes a value.
const KNOWN_FLAGS: u32 = 0xFFFF_101F | 0x2000;
const DELETE_VALUE: u32 = 0x4;
const INTERRUPTS: &str = "interrupt management";

pub fn check(inf: &mut Inf<'_>, section: &str, from: u32, place: Place) {
    let lines = inf.document.section(section).unwrap_or_default();
    if lines.is_empty() {
        inf.add(from, format!("[{section}] has no entries"));
    }
    for line in lines {
        if line.key.is_some() {
            inf.add(
                line.number,
                format!("[{section}] has entries root,subkey,name,flags,value"),
            );
            continue;
        }
        root(inf, line);
        subkey(inf, line, place);
        flags(inf, line);
    }
}

fn root(inf: &mut Inf<'_>, line: &Line) {
    let root = line.value(0);
    if !root.eq_ignore_ascii_case("HKR") {
        inf.add(
            line.number,
            format!(
                "{root}: a driver package is isolated: it writes below its own keys (HKR) only"
            ),
        );
    }
}

fn subkey(inf: &mut Inf<'_>, line: &Line, place: Place) {
    let key = line.value(1).to_lowercase();
    if key.starts_with('\\') || key.split('\\').any(|part| part == "..") {
        inf.add(
            line.number,
            format!("{key}: a subkey is relative, and goes down"),
        );
    }
    let interrupts = key == INTERRUPTS || key.starts_with(&format!("{INTERRUPTS}\\"));
    if interrupts && place != Place::Hardware {
        inf.add(
            line.number,
            "Interrupt Management belongs into the .HW section",
        );
    }
    if let Place::Service { boot_flags } = place
        && key != "parameters"
        && !key.starts_with("parameters\\")
    {
        let is_boot_flags = key.is_empty() && line.value(2).eq_ignore_ascii_case("BootFlags");
        if is_boot_flags && !boot_flags {
            let text = "from build 25398 on BootFlags is a directive of the service's section, not a value";
            inf.add(line.number, text);
        } else if !is_boot_flags {
            inf.add(
                line.number,
                format!("{key:?}: a service's values go below Parameters, where the driver can open them"),
            );
        }
    }
}

fn flags(inf: &mut Inf<'_>, line: &Line) {
    let text = line.value(3);
    let flags = match text {
        "" => Some(0),
        text => number(text),
    };
    match flags {
        None => inf.add(line.number, format!("{text:?} are no flags")),
        Some(flags) if flags & !KNOWN_FLAGS != 0 => {
            inf.add(line.number, format!("0x{flags:08X} are no flags of AddReg"));
        }
        Some(flags) if flags & DELETE_VALUE != 0 => {
            inf.add(
                line.number,
                "a driver package is isolated: it removes nothing of others'",
            );
        }
        Some(_) => {}
    }
}
