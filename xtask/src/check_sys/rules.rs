//! The rules that do not depend on what the driver is for. Each adds what it finds; an error is an image that is damaged.

use super::image::Image;
use super::{guard, version_info};
use anyhow::ensure;
use object::LittleEndian as LE;
use object::pe::{self, ImageSectionHeader};

/// A rule.
pub type Rule = fn(&Image<'_>, &mut Vec<String>) -> anyhow::Result<()>;

/// All of them.
pub const RULES: &[Rule] = &[
    machine,
    native,
    version,
    checksum,
    hardening,
    alignment,
    sections_in_file,
    writable_or_executable,
    entry_point,
    import_table,
    shadow_stacks,
    relocations,
    unwind_data,
    no_user_mode_directories,
    exports,
    debug_file,
    guard::rule,
    version_info::rule,
];

/// Windows pages; memory integrity protects by page.
const PAGE: u32 = 0x1000;
/// The version that Windows 10 and 11 have in their headers' terms.
const WINDOWS_10: (u16, u16) = (10, 0);
/// IMAGE_DEBUG_TYPE_EX_DLLCHARACTERISTICS
const EX_DLL_CHARACTERISTICS: u32 = 20;
/// IMAGE_DLLCHARACTERISTICS_EX_CET_COMPAT
const CET_COMPAT: u8 = 1;
/// What the linker is told to start the image at.
const ENTRY_POINT: &str = "DriverEntry";
/// What rustc has exported of wdk-sys by Microsoft's linker; the Linux build does not pass the list of exports on.
const EXPORTED_BY_WDK_SYS: &[&str] = &[
    "__CxxFrameHandler3",
    "__CxxFrameHandler4",
    "__GSHandlerCheck_EH4",
    "_fltused",
];
/// The size of an entry of the unwind table (RUNTIME_FUNCTION).
const RUNTIME_FUNCTION: usize = 12;

fn machine(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let header = image.header();
    let machine = header.machine.get(LE);
    if machine != pe::IMAGE_FILE_MACHINE_AMD64 {
        findings.push(format!(
            "is for machine 0x{machine:04X}, not for x86-64 (0x8664)"
        ));
    }
    if header.characteristics.get(LE) & pe::IMAGE_FILE_EXECUTABLE_IMAGE == 0 {
        findings.push("is not marked executable: the linker found errors".to_owned());
    }
    Ok(())
}

fn native(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let subsystem = image.optional().subsystem.get(LE);
    if subsystem != pe::IMAGE_SUBSYSTEM_NATIVE {
        findings.push(format!(
            "is for subsystem {subsystem}, not for the kernel (NATIVE, 1)"
        ));
    }
    Ok(())
}

fn version(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let optional = image.optional();
    for (what, major, minor) in [
        (
            "subsystem",
            optional.major_subsystem_version,
            optional.minor_subsystem_version,
        ),
        (
            "operating system",
            optional.major_operating_system_version,
            optional.minor_operating_system_version,
        ),
    ] {
        let version = (major.get(LE), minor.get(LE));
        if version > WINDOWS_10 {
            findings.push(format!(
                "asks for {what} version {}.{}, newer than 10.0",
                version.0, version.1
            ));
        }
    }
    Ok(())
}

fn checksum(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let stated = image.optional().check_sum.get(LE);
    let real = compute_checksum(image.bytes, image.checksum_offset());
    if stated == 0 {
        findings.push(
            "has no checksum, which the kernel asks of boot drivers: link with /RELEASE".to_owned(),
        );
    } else if stated != real {
        findings.push(format!(
            "its checksum is 0x{stated:X} and should be 0x{real:X}: the file was changed"
        ));
    }
    Ok(())
}

/// The checksum of a PE image: 16-bit words added with their carry, without the checksum itself, and the file's length.
pub fn compute_checksum(bytes: &[u8], checksum_offset: usize) -> u32 {
    let mut sum = 0_u32;
    for (index, word) in bytes.chunks(2).enumerate() {
        let offset = index * 2;
        if offset == checksum_offset || offset == checksum_offset + 2 {
            continue;
        }
        let word = u32::from(word[0]) | word.get(1).map_or(0, |high| u32::from(*high) << 8);
        sum += word;
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum.wrapping_add(bytes.len() as u32)
}

fn hardening(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let set = image.optional().dll_characteristics.get(LE);
    for (flag, name, option) in [
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX", "/NXCOMPAT"),
        (
            pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
            "ASLR",
            "/DYNAMICBASE",
        ),
        (
            pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA,
            "ASLR over 64 bits",
            "/HIGHENTROPYVA",
        ),
        (
            pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY,
            "forced integrity checks",
            "/INTEGRITYCHECK",
        ),
    ] {
        if set & flag == 0 {
            findings.push(format!("is not marked for {name}: link with {option}"));
        }
    }
    Ok(())
}

fn alignment(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let alignment = image.optional().section_alignment.get(LE);
    if alignment == 0 || !alignment.is_multiple_of(PAGE) {
        findings.push(format!(
            "aligns sections to 0x{alignment:X}: memory integrity (HVCI) asks for multiples of 0x1000"
        ));
    }
    Ok(())
}

fn sections_in_file(image: &Image<'_>, _findings: &mut Vec<String>) -> anyhow::Result<()> {
    for section in image.sections() {
        let end = u64::from(section.pointer_to_raw_data.get(LE))
            + u64::from(section.size_of_raw_data.get(LE));
        ensure!(
            end <= image.bytes.len() as u64,
            "section {} ends at 0x{end:X}, beyond the file",
            name(section)
        );
    }
    Ok(())
}

fn writable_or_executable(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    for section in image.sections() {
        if has(section, pe::IMAGE_SCN_MEM_WRITE) && has(section, pe::IMAGE_SCN_MEM_EXECUTE) {
            findings.push(format!(
                "section {} is both writable and executable: memory integrity (HVCI) refuses it",
                name(section)
            ));
        }
    }
    Ok(())
}

fn entry_point(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let address = image.optional().address_of_entry_point.get(LE);
    match image.section_of(address) {
        _ if address == 0 => {
            findings.push("has no entry point: link with /ENTRY:DriverEntry".to_owned())
        }
        Some(section) if has(section, pe::IMAGE_SCN_MEM_EXECUTE) => {}
        _ => findings.push(format!(
            "its entry point 0x{address:X} lies in no executable section"
        )),
    }
    Ok(())
}

fn import_table(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    for (index, what) in [
        (pe::IMAGE_DIRECTORY_ENTRY_IMPORT, "import table"),
        (pe::IMAGE_DIRECTORY_ENTRY_IAT, "import address table"),
    ] {
        let (address, size) = image.directory(index);
        if size == 0 {
            continue;
        }
        if image
            .section_of(address)
            .is_none_or(|section| has(section, pe::IMAGE_SCN_MEM_EXECUTE))
        {
            findings.push(format!(
                "its {what} lies in an executable section or in none: memory integrity (HVCI) refuses it"
            ));
        }
    }
    Ok(())
}

fn shadow_stacks(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let compatible = image.debug_entries()?.iter().any(|(kind, data)| {
        *kind == EX_DLL_CHARACTERISTICS && data.first().is_some_and(|bits| bits & CET_COMPAT != 0)
    });
    if !compatible {
        findings.push("is not marked for shadow stacks (CET): link with /CETCOMPAT".to_owned());
    }
    Ok(())
}

fn relocations(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let stripped = image.header().characteristics.get(LE) & pe::IMAGE_FILE_RELOCS_STRIPPED != 0;
    if stripped
        || image
            .directory_bytes(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC)?
            .is_empty()
    {
        findings.push(
            "has no relocations: the kernel loads it only at the address it was linked for"
                .to_owned(),
        );
    }
    Ok(())
}

fn unwind_data(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let table = image.directory_bytes(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION)?;
    if table.is_empty() {
        findings
            .push("has no unwind data (.pdata): exceptions and stack traces end in it".to_owned());
    } else if !table.len().is_multiple_of(RUNTIME_FUNCTION) {
        findings.push(format!(
            "its unwind table of {} bytes is no list of 12-byte entries",
            table.len()
        ));
    }
    Ok(())
}

fn no_user_mode_directories(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    for (index, what) in [
        (pe::IMAGE_DIRECTORY_ENTRY_TLS, "thread-local storage"),
        (pe::IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, "bound imports"),
        (pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, "delayed imports"),
        (pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, "managed code"),
    ] {
        if image.directory(index) != (0, 0) {
            findings.push(format!(
                "has {what}, which the kernel's loader does not know"
            ));
        }
    }
    Ok(())
}

/// Nobody links to a driver: an export is a mistake, and one under a name of the kernel's a trap for others.
fn exports(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let tolerated = |name: &String| {
        name == ENTRY_POINT || (cfg!(windows) && EXPORTED_BY_WDK_SYS.contains(&name.as_str()))
    };
    for name in image.exports()?.into_iter().filter(|name| !tolerated(name)) {
        let whose = match lab_facts::function(&name) {
            Some(_) => ", a name of the kernel's own",
            None => "; at most DriverEntry is exported",
        };
        findings.push(format!("exports {name}{whose}"));
    }
    Ok(())
}

fn debug_file(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    for (kind, data) in image.debug_entries()? {
        // RSDS, a GUID and an age, then the PDB's path.
        let path = data.strip_prefix(b"RSDS").and_then(|data| data.get(20..));
        let Some(path) = path.filter(|_| kind == pe::IMAGE_DEBUG_TYPE_CODEVIEW) else {
            continue;
        };
        if path.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
            let path =
                String::from_utf8_lossy(path.split(|byte| *byte == 0).next().unwrap_or_default());
            findings.push(format!(
                "names its PDB by a path of the building machine: {path}"
            ));
        }
    }
    Ok(())
}

pub fn has(section: &ImageSectionHeader, flag: u32) -> bool {
    section.characteristics.get(LE) & flag != 0
}

fn name(section: &ImageSectionHeader) -> String {
    String::from_utf8_lossy(section.raw_name()).into_owned()
}
