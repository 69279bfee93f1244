//! Trees of headers: small ones made here, and mingw-w64's where `LAYOUTS_MINGW` names it (as `cargo xtask test` does).
//! They need libclang.

use layouts::compare::{self, Report};
use layouts::headers::{self, KERNEL, NDIS, STORPORT, Unit, Wdk};
use layouts::ours::{self, Declarations};
use std::path::Path;

const NTDDK: &str = "\
#include <Types.H>
#define DO_DIRECT_IO 0x00000010
#define STATUS_RETRY ((NTSTATUS)0xC000022DL)
typedef struct _DISK { ULONG Sectors; PVOID Context; UCHAR Flags; } DISK, *PDISK;
NTSTATUS IoStart(PDISK Disk, ULONG Count);
";
const TYPES: &str = "\
typedef unsigned long ULONG;
typedef long NTSTATUS;
typedef unsigned char UCHAR;
typedef void *PVOID;
";
const STORPORT_H: &str = "\
enum { SRB_FUNCTION_FLUSH = 8 };
typedef UCHAR HW_STARTIO(PVOID DeviceExtension, PVOID Srb);
ULONG StorPortNotify(ULONG Kind, PVOID Extension, ...);
";
const NDIS_H: &str = "\
#define OID_GEN_VENDOR_ID 0x0001010C
typedef struct _NDIS_THING { ULONG One; ULONG Two; UCHAR Three; } NDIS_THING;
";

/// What a crate declares that agrees with those headers.
const DECLARATIONS: &str = "\
assert_layout!(DISK, size 24, align 8, { Sectors @ 0, Context @ 8, Flags @ 16 });
/// `DO_DIRECT_IO`.
pub const DIRECT_IO: u32 = 1 << 4;
/// `STATUS_RETRY`.
pub const RETRY: u32 = 0xC000_022D;
unsafe extern \"C\" { pub fn IoStart(disk: *mut Disk, count: u32) -> i32; }
";
const STORPORT_DECLARATIONS: &str = "\
/// `SRB_FUNCTION_FLUSH`.
pub const FLUSH: u8 = 8;
pub type HW_STARTIO = unsafe extern \"C\" fn(extension: *mut c_void, srb: *mut c_void) -> u8;
unsafe extern \"C\" { pub fn StorPortNotify(kind: u32, extension: *mut c_void, ...) -> u32; }
";
const NDIS_DECLARATIONS: &str = "\
/// `OID_GEN_VENDOR_ID`.
pub const GEN_VENDOR_ID: u32 = 0x0001_010C;
revision_size!(/// `NDIS_SIZEOF_THING_REVISION_1`.
SIZEOF_THING_REVISION_1 = 8, NDIS_THING up to Two: u32);
";

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("Include/10.0.26100.0");
    for (name, text) in [
        ("km/ntddk.h", NTDDK),
        ("km/storport.h", STORPORT_H),
        ("km/ndis.h", NDIS_H),
        // Windows' file names know no case: ntddk.h asks for Types.H.
        ("shared/types.h", TYPES),
    ] {
        let file = version.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    folder
}

fn declared(text: &str) -> Declarations {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("src")).unwrap();
    std::fs::write(source.path().join("src/lib.rs"), text).unwrap();
    ours::read(source.path()).unwrap()
}

fn compared(wdk: &Path, unit: &Unit, declarations: &str) -> Report {
    let headers = headers::read(&Wdk::find(wdk).unwrap(), unit).unwrap();
    compare::compare(&declared(declarations), &headers)
}

fn subjects(report: &Report) -> Vec<String> {
    report
        .differences
        .iter()
        .map(ToString::to_string)
        .map(|line| line.split(" (src").next().unwrap().to_owned())
        .collect()
}

#[test]
fn declarations_that_agree_with_the_headers_pass() {
    let tree = tree();
    for (unit, declarations, agree) in [
        (KERNEL, DECLARATIONS, 8),
        (STORPORT, STORPORT_DECLARATIONS, 3),
        (NDIS, NDIS_DECLARATIONS, 2),
    ] {
        let report = compared(tree.path(), &unit, declarations);
        assert_eq!(subjects(&report), Vec::<String>::new());
        assert_eq!(report.absent, Vec::<String>::new());
        assert_eq!(report.agree, agree, "{}", unit.name);
    }
}

#[test]
fn each_kind_of_wrong_declaration_is_named() {
    let tree = tree();
    for (unit, declarations, right, wrong, line) in [
        (
            KERNEL,
            DECLARATIONS,
            "size 24",
            "size 32",
            "DISK: size 32 declared, size 24 in the headers",
        ),
        (
            KERNEL,
            DECLARATIONS,
            "align 8",
            "align 4",
            "DISK: alignment 4 declared, alignment 8 in the headers",
        ),
        (
            KERNEL,
            DECLARATIONS,
            "Context @ 8",
            "Context @ 4",
            "DISK.Context: offset 4 declared, offset 8 in the headers",
        ),
        (
            KERNEL,
            DECLARATIONS,
            "1 << 4",
            "1 << 5",
            "DO_DIRECT_IO: 32 declared, 16 in the headers",
        ),
        (
            KERNEL,
            DECLARATIONS,
            "0xC000_022D",
            "0xC000_022E",
            "STATUS_RETRY: 3221226030 declared, -1073741267 in the headers",
        ),
        (
            KERNEL,
            DECLARATIONS,
            "count: u32",
            "count: u16",
            "IoStart: (a pointer, 2 bytes) -> 4 bytes declared, (a pointer, 4 bytes) -> 4 bytes in the headers",
        ),
        (
            STORPORT,
            STORPORT_DECLARATIONS,
            "srb: *mut c_void) -> u8",
            "srb: *mut c_void)",
            "HW_STARTIO: (a pointer, a pointer) -> nothing declared, (a pointer, a pointer) -> 1 bytes in the headers",
        ),
        (
            STORPORT,
            STORPORT_DECLARATIONS,
            ", ...)",
            ")",
            "StorPortNotify: (4 bytes, a pointer) -> 4 bytes declared, (4 bytes, a pointer, ...) -> 4 bytes in the headers",
        ),
        (
            STORPORT,
            STORPORT_DECLARATIONS,
            "u8 = 8",
            "u8 = 7",
            "SRB_FUNCTION_FLUSH: 7 declared, 8 in the headers",
        ),
        (
            NDIS,
            NDIS_DECLARATIONS,
            "= 8, NDIS",
            "= 9, NDIS",
            "NDIS_THING up to Two: size 9 declared, size 8 in the headers",
        ),
    ] {
        let declarations = declarations.replace(right, wrong);
        assert_eq!(
            subjects(&compared(tree.path(), &unit, &declarations)),
            [line]
        );
    }
}

#[test]
fn a_name_that_the_headers_lack_is_listed_apart() {
    let tree = tree();
    let declarations = DECLARATIONS.replace("Flags @ 16", "Flag @ 16");
    let report = compared(tree.path(), &KERNEL, &declarations);
    assert_eq!(report.absent, ["DISK.Flag"]);
    assert_eq!(subjects(&report), Vec::<String>::new());
}

#[test]
fn a_folder_that_is_no_wdk_is_refused_with_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let error = Wdk::find(empty.path()).unwrap_err().to_string();
    assert!(error.contains("it has no folder Include"), "{error}");
    std::fs::create_dir_all(empty.path().join("Include/10.0.1.0/um")).unwrap();
    let error = Wdk::find(empty.path()).unwrap_err().to_string();
    assert!(error.contains("km and shared"), "{error}");
}

#[test]
fn headers_that_cannot_be_read_are_refused_with_what_clang_says() {
    let tree = tree();
    std::fs::write(
        tree.path().join("Include/10.0.26100.0/km/ntddk.h"),
        "typedef NOT_A_TYPE BROKEN;\n",
    )
    .unwrap();
    let error = headers::read(&Wdk::find(tree.path()).unwrap(), &KERNEL).unwrap_err();
    assert!(format!("{error:#}").contains("NOT_A_TYPE"), "{error:#}");
}

/// Rows in which mingw-w64's headers (11.0) differ from the WDK's (10.0.26100), of every kind; the figures declared are the
/// WDK's. Where our own crates relied on one of these rows, their compile-time assertions would fail on Linux.
const MINGW_DIFFERS: &str = "\
assert_layout!(_DEVICE_OBJECT, size 336, align 16, { Flags @ 48 });
assert_layout!(_CM_PARTIAL_RESOURCE_DESCRIPTOR, size 20, align 4, { Type @ 0, Flags @ 2 });
/// `CM_SERVICE_VALID_PROMOTION_MASK`.
pub const CM_SERVICE_VALID_PROMOTION_MASK: u32 = 0x1FF;
";

#[test]
fn on_mingws_tree_the_rows_that_differ_are_reported_and_the_crates_rely_on_none() {
    let Ok(mingw) = std::env::var("LAYOUTS_MINGW") else {
        println!("LAYOUTS_MINGW is not set: mingw-w64's tree is not looked at");
        return;
    };
    let headers = headers::read(&Wdk::find(Path::new(&mingw)).unwrap(), &KERNEL).unwrap();
    let report = compare::compare(&declared(MINGW_DIFFERS), &headers);
    assert_eq!(
        subjects(&report),
        [
            "_DEVICE_OBJECT: size 336 declared, size 328 in the headers",
            "_DEVICE_OBJECT: alignment 16 declared, alignment 8 in the headers",
            "CM_SERVICE_VALID_PROMOTION_MASK: 511 declared, 7 in the headers",
        ]
    );
    let ours = ours::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/wdm")).unwrap();
    let report = compare::compare(&ours, &headers);
    assert_eq!(subjects(&report), Vec::<String>::new());
    assert!(
        report.agree > 100,
        "only {} figures were compared",
        report.agree
    );
}
