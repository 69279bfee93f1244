//! Each rule against an image that breaks it, and against one that keeps them all.

use super::image::Image;
use super::sample::{SECTION_HEADER, at, directory, good, put, put32, seal};
use super::{check, inspect};
use lab_facts::Module;
use std::fs;

/// The findings in the good image after a change.
fn findings(change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
    let mut image = good();
    change(&mut image);
    seal(&mut image);
    findings_in(&image, None)
}

fn findings_in(image: &[u8], port: Option<Module>) -> Vec<String> {
    let image = Image::parse(image).expect("still a PE image");
    inspect(&image, port).expect("not damaged").findings
}

/// The one finding after a change.
#[track_caller]
fn one(change: impl FnOnce(&mut Vec<u8>), expected: &str) {
    let findings = findings(change);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(expected), "{findings:?}");
}

#[test]
fn a_good_image_keeps_every_rule() {
    assert_eq!(findings(|_| ()), [""; 0]);
}

#[test]
fn a_file_that_is_no_image_is_no_driver() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.sys");
    for (bytes, reason) in [
        (b"text".to_vec(), "does not start with MZ"),
        (b"MZ".to_vec(), "no 64-bit PE image"),
        (good()[..0x100].to_vec(), "no 64-bit PE image"),
        (Vec::new(), "does not start with MZ"),
    ] {
        fs::write(&file, bytes)?;
        let error = format!("{:#}", check(&file, None).err().expect("no driver"));
        assert!(
            error.contains("x.sys is no driver") && error.contains(reason),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn a_32_bit_image_is_no_driver() {
    let mut image = good();
    put(&mut image, at::OPTIONAL, &0x010B_u16.to_le_bytes());
    assert!(Image::parse(&image).is_err());
}

#[test]
fn a_truncated_image_is_damaged() {
    let image = good();
    let image = Image::parse(&image[..0xA00]).expect("headers are there");
    let error = format!("{:#}", inspect(&image, None).err().expect("damaged"));
    assert!(error.contains("beyond the file"), "{error}");
}

#[test]
fn the_machine_must_be_x86_64() {
    one(
        |image| put(image, at::FILE_HEADER, &0xAA64_u16.to_le_bytes()),
        "machine 0xAA64",
    );
    one(
        |image| put(image, at::FILE_HEADER + 18, &[0x20]),
        "not marked executable",
    );
}

#[test]
fn the_subsystem_must_be_native() {
    one(|image| put(image, at::OPTIONAL + 68, &[3]), "subsystem 3");
}

#[test]
fn a_version_newer_than_windows_10_is_refused() {
    one(
        |image| put(image, at::OPTIONAL + 48, &[10, 0, 1, 0]),
        "subsystem version 10.1",
    );
    one(
        |image| put(image, at::OPTIONAL + 40, &[11]),
        "operating system version 11.0",
    );
    assert_eq!(
        findings(|image| put(image, at::OPTIONAL + 40, &[10])),
        [""; 0]
    );
}

#[test]
fn the_checksum_must_be_there_and_right() {
    let mut image = good();
    put32(&mut image, at::CHECKSUM, &[0]);
    assert!(findings_in(&image, None)[0].contains("/RELEASE"));
    let mut image = good();
    image[0x400] ^= 1;
    assert!(findings_in(&image, None)[0].contains("the file was changed"));
}

#[test]
fn a_checksum_covers_a_last_odd_byte() {
    let mut image = good();
    image.push(7);
    seal(&mut image);
    assert_eq!(findings_in(&image, None), [""; 0]);
    *image.last_mut().expect("pushed") = 8;
    assert!(findings_in(&image, None)[0].contains("the file was changed"));
}

#[test]
fn every_hardening_flag_must_be_set() {
    for (flag, option) in [
        (0x100, "/NXCOMPAT"),
        (0x40, "/DYNAMICBASE"),
        (0x20, "/HIGHENTROPYVA"),
        (0x80, "/INTEGRITYCHECK"),
        (0x4000, "/guard:cf"),
    ] {
        let flags = 0x41E0_u16 & !flag;
        one(
            |image| put(image, at::OPTIONAL + 70, &flags.to_le_bytes()),
            option,
        );
    }
}

#[test]
fn sections_are_aligned_to_pages() {
    one(
        |image| put32(image, at::OPTIONAL + 32, &[0x200]),
        "aligns sections to 0x200",
    );
}

#[test]
fn no_section_is_writable_and_executable() {
    let flags = at::SECTIONS + 36;
    one(
        |image| put32(image, flags, &[0xE000_0020]),
        "section .text is both",
    );
}

#[test]
fn the_entry_point_is_code() {
    one(
        |image| put32(image, at::OPTIONAL + 16, &[0]),
        "no entry point",
    );
    one(
        |image| put32(image, at::OPTIONAL + 16, &[0x2000]),
        "lies in no executable section",
    );
    one(
        |image| put32(image, at::OPTIONAL + 16, &[0x9000]),
        "lies in no executable section",
    );
}

#[test]
fn import_tables_lie_in_no_executable_section() {
    let rdata_flags = at::SECTIONS + SECTION_HEADER + 36;
    let findings = findings(|image| put32(image, rdata_flags, &[0x6000_0040]));
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].contains("its import table"), "{findings:?}");
    assert!(
        findings[1].contains("its import address table"),
        "{findings:?}"
    );
}

#[test]
fn shadow_stacks_must_be_promised() {
    one(|image| put(image, at::CET, &[0]), "/CETCOMPAT");
    one(|image| directory(image, 6, 0, 0), "/CETCOMPAT");
}

#[test]
fn relocations_must_be_there() {
    one(|image| directory(image, 5, 0, 0), "no relocations");
    one(
        |image| put(image, at::FILE_HEADER + 18, &[0x23]),
        "no relocations",
    );
}

#[test]
fn unwind_data_must_be_there() {
    one(|image| directory(image, 3, 0, 0), "no unwind data");
    one(|image| directory(image, 3, 0x3000, 13), "13 bytes");
}

#[test]
fn what_only_user_mode_has_is_refused() {
    for (index, what) in [
        (9, "thread-local"),
        (11, "bound imports"),
        (13, "delayed imports"),
        (14, "managed code"),
    ] {
        one(|image| directory(image, index, 0x2100, 8), what);
    }
}

#[test]
fn a_name_of_the_kernel_is_not_exported() {
    one(
        |image| put(image, at::EXPORTED_NAME, b"ExAllocatePool2\0"),
        "exports ExAllocatePool2",
    );
}

#[test]
fn only_the_entry_point_is_exported() {
    one(
        |image| put(image, at::EXPORTED_NAME, b"Helper\0"),
        "exports Helper; at most DriverEntry",
    );
    assert_eq!(findings(|image| directory(image, 0, 0, 0)), [""; 0]);
}

#[test]
fn windows_must_find_what_control_flow_guard_needs() {
    one(
        |image| directory(image, 10, 0, 0),
        "has no load configuration",
    );
    one(
        |image| directory(image, 10, 0x5000, 0x93),
        "has no load configuration",
    );
    for flags in [0, 0x100, 0x400] {
        one(
            |image| put32(image, at::LOAD_CONFIG + 0x90, &[flags]),
            "its calls are not checked",
        );
    }
    one(
        |image| put32(image, at::LOAD_CONFIG + 0x88, &[0]),
        "is empty",
    );
}

#[test]
fn what_control_flow_guard_goes_by_is_read_only() {
    let flags = at::SECTIONS + 4 * SECTION_HEADER + 36;
    let findings = findings(|image| put32(image, flags, &[0xC000_0040]));
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].contains("the pointer"), "{findings:?}");
    assert!(findings[1].contains("the table"), "{findings:?}");
}

#[test]
fn the_functions_that_may_be_called_are_code_and_in_order() {
    one(
        |image| put32(image, at::FUNCTIONS, &[0x1010, 0x1000]),
        "has 0x1000",
    );
    one(|image| put32(image, at::FUNCTIONS, &[0x2000]), "has 0x2000");
    let mut image = good();
    put32(&mut image, at::LOAD_CONFIG + 0x88, &[0x1000]);
    seal(&mut image);
    let image = Image::parse(&image).expect("still a PE image");
    assert!(inspect(&image, None).is_err());
}

#[test]
fn the_version_resource_says_whose_the_driver_is() {
    one(|image| directory(image, 2, 0, 0), "has no version resource");
    // Another type of resource.
    one(
        |image| put32(image, at::RESOURCES + 16, &[3]),
        "has no version resource",
    );
    let name: Vec<u8> = "ProductName"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    one(
        |image| {
            let place = image.windows(name.len()).position(|bytes| bytes == name);
            put(image, place.expect("there"), b"Q");
        },
        "does not say ProductName",
    );
}

#[test]
fn the_pdb_is_named_without_a_folder() {
    one(|image| put(image, at::PDB, b"/b/a.pdb\0"), "/b/a.pdb");
}

#[test]
fn imports_come_from_the_kernel_and_the_hal() {
    one(
        |image| put(image, at::MODULE, b"ndis.sys\0"),
        "imports KeSetEvent from ndis.sys",
    );
    one(
        |image| put(image, at::MODULE, b"HAL.dll\0"),
        "ntoskrnl.exe exports it",
    );
    assert_eq!(
        findings(|image| put(image, at::MODULE, b"NTOSKRNL.EXE\0")),
        [""; 0]
    );
}

#[test]
fn only_a_miniport_imports_from_storport() {
    let mut image = good();
    put(&mut image, at::MODULE, b"STORPORT.SYS\0");
    put(&mut image, at::IMPORTED_NAME, b"StorPortPause\0");
    seal(&mut image);
    assert_eq!(findings_in(&image, Some(Module::Storport)), [""; 0]);
    assert!(findings_in(&image, None)[0].contains("allowed are ntoskrnl.exe and HAL.dll"));
    let ndis = &findings_in(&image, Some(Module::Ndis))[0];
    assert!(
        ndis.contains("allowed are ntoskrnl.exe, HAL.dll and NDIS.SYS"),
        "{ndis}"
    );
}

#[test]
fn a_miniport_is_known_by_its_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut image = good();
    put(&mut image, at::MODULE, b"storport.sys\0");
    put(&mut image, at::IMPORTED_NAME, b"StorPortPause\0");
    seal(&mut image);
    for (name, findings) in [("xenvbd.sys", 0), ("xennet.sys", 1), ("other.sys", 1)] {
        let file = folder.path().join(name);
        fs::write(&file, &image)?;
        assert_eq!(check(&file, None)?.findings.len(), findings, "{name}");
    }
    Ok(())
}

#[test]
fn names_must_be_in_the_list_and_old_enough() {
    one(
        |image| put(image, at::IMPORTED_NAME, b"KeNoSuchName\0"),
        "not in the list",
    );
    one(
        |image| put(image, at::IMPORTED_NAME, b"ExAllocatePool2\0"),
        "since Windows 10 2004",
    );
    one(
        |image| put32(image, at::RDATA + 0x50, &[1, 0x8000_0000]),
        "by number",
    );
}

#[test]
fn a_driver_that_imports_nothing_is_none() {
    one(|image| put32(image, at::RDATA, &[0; 5]), "imports nothing");
}
