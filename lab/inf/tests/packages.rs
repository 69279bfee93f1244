//! Whole packages: this project's own, ones made up for a rule, and those in XEN_FOREIGN_DRIVERS.

use lab_inf::{Windows, read, read_folder};
use lab_protocol::bundle::{Action, InfChange, Package, Root};
use lab_protocol::registry::Data;
use std::fs;
use std::path::{Path, PathBuf};

const WINDOWS: Windows = Windows {
    major: 10,
    minor: 0,
    build: 14393,
};

/// A Windows that runs drivers from the driver store.
const STORE: Windows = Windows {
    build: 16299,
    ..WINDOWS
};

/// This project's package, as Windows 10 1607 reads it; a later one reads the same.
fn own(name: &str) -> Package {
    let folder = tempfile::tempdir().expect("a folder");
    let inf = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../inf/{name}.inf"));
    fs::copy(inf, folder.path().join(format!("{name}.inf"))).expect("copied");
    fs::write(folder.path().join(format!("{name}.sys")), name).expect("written");
    let read = |windows| {
        let mut packages = read_folder(folder.path(), windows).expect("our INFs are good");
        packages.pop().expect("one")
    };
    assert_eq!(read(WINDOWS), read(STORE));
    read(WINDOWS)
}

/// All ids of a package.
fn ids(package: &Package) -> Vec<&str> {
    let ids = package.models.iter().flat_map(|model| &model.ids);
    ids.map(String::as_str).collect()
}

/// A package writes below its own keys, and nowhere else.
fn assert_isolated(package: &Package) {
    for install in package.models.iter().map(|model| &model.install) {
        let services = install
            .services
            .iter()
            .flat_map(|service| &service.registry);
        let all = services.chain(&install.software).chain(&install.hardware);
        for change in all {
            assert_eq!(change.root, Root::Relative, "{change:?}");
        }
    }
}

fn value<'a>(changes: &'a [InfChange], subkey: &str, name: &str) -> Option<&'a Action> {
    let is_it = |change: &&InfChange| change.subkey == subkey && change.name == name;
    changes.iter().find(is_it).map(|change| &change.action)
}

#[test]
fn xenbus_binds_the_platform_device_as_a_boot_driver() {
    let package = own("xenbus");
    let model = &package.models[0];
    assert_eq!(
        ids(&package),
        [
            "PCI\\VEN_5853&DEV_0001",
            "PCI\\VEN_5853&DEV_0002",
            "PCI\\VEN_5853&DEV_C000&SUBSYS_C0005853&REV_01"
        ]
    );
    assert_isolated(&package);
    let service = &model.install.services[0];
    assert!(service.function_driver);
    assert_eq!(
        (
            service.service_type,
            service.start_type,
            service.error_control
        ),
        (1, 0, 1)
    );
    assert_eq!(service.binary, "xenbus.sys");
    assert_eq!(
        service.load_order_group.as_deref(),
        Some("Boot Bus Extender")
    );
    let classes = Action::Set(Data::MultiSz(vec!["VBD".into(), "VIF".into()]));
    assert_eq!(
        value(&service.registry, "Parameters", "SupportedClasses"),
        Some(&classes)
    );
    let one = Action::Set(Data::Dword(1));
    let hardware = &model.install.hardware;
    let msi = "Interrupt Management\\MessageSignaledInterruptProperties";
    assert_eq!(value(hardware, msi, "MSISupported"), Some(&one));
    assert_eq!(
        value(hardware, "Interrupt Management\\GroupPolicy", ""),
        Some(&one)
    );
    assert_eq!(package.images[0].bytes, b"xenbus");
}

#[test]
fn xenvbd_binds_the_block_child_of_the_bus_as_a_boot_driver() {
    let package = own("xenvbd");
    assert_eq!(package.class, "SCSIAdapter");
    let model = &package.models[0];
    assert_eq!(
        ids(&package),
        ["0001", "0002", "C000"]
            .map(|device| format!("XENBUS\\VEN_XP{device}&DEV_VBD&REV_0900000B"))
    );
    assert_isolated(&package);
    let service = &model.install.services[0];
    assert_eq!(service.load_order_group.as_deref(), Some("SCSI Miniport"));
    assert_eq!(
        value(&service.registry, "Parameters\\PnpInterface", "5"),
        Some(&Action::Set(Data::Dword(1)))
    );
    assert_eq!(
        value(&service.registry, "Parameters", "IoTimeoutValue"),
        Some(&Action::Set(Data::Dword(120)))
    );
}

/// A package that is right; tests break it.
const GOOD: &str = "[Version]
Signature=\"$Windows NT$\"
Class=System
ClassGuid={4D36E97D-E325-11CE-BFC1-08002BE10318}
Provider=%P%
DriverVer=01/02/2026,1.2.3.4
[Manufacturer]
%P%=M,NTamd64
[M.NTamd64]
%D%=I,ROOT\\THING
[SourceDisksFiles]
thing.sys=1
[I.NT]
CopyFiles=@thing.sys
FeatureScore=0xFE
Needs=Shared
[Shared]
AddReg=Shared.Reg
[Shared.Reg]
HKR,,Shared,0x00010001,1
[I.NT.HW]
AddReg=Filters
[Filters]
HKR,,UpperFilters,0x00010008,first
[I.NT.Services]
AddService=thing,2,S
[S]
ServiceType=1
StartType=3
ErrorControl=0
ServiceBinary=%12%\\THING.SYS
[Strings]
P=\"Someone\"
D=\"Thing\"
";

fn parse(inf: &str) -> Result<Package, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("thing.inf");
    fs::write(&path, inf).expect("written");
    fs::write(folder.path().join("Thing.Sys"), "image").expect("written");
    let prefix = format!("{}/", folder.path().display());
    read(&path, WINDOWS).map_err(|error| error.to_string().replace(&prefix, ""))
}

#[test]
fn a_package_says_all_that_setup_would_write() {
    let package = parse(GOOD).expect("a good package");
    assert_eq!(
        (package.provider.as_str(), package.driver_version.as_str()),
        ("Someone", "01/02/2026,1.2.3.4")
    );
    let install = &package.models[0].install;
    assert_eq!(install.feature_score, 0xFE);
    assert_eq!(install.files, ["thing.sys"]);
    assert_eq!(
        value(&install.software, "", "Shared"),
        Some(&Action::Set(Data::Dword(1)))
    );
    assert_eq!(
        value(&install.hardware, "", "UpperFilters"),
        Some(&Action::Append(vec!["first".into()]))
    );
    assert_eq!(package.images.len(), 1);
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    for (from, to, message) in [
        ("$Windows NT$", "$Windows$", "thing.inf:2: Signature is"),
        (
            "Class=System\n",
            "",
            "thing.inf: [Version] has no entry Class",
        ),
        (
            "[Manufacturer]",
            "[Manufacturers]",
            "thing.inf: there is no section [Manufacturer]",
        ),
        (
            "=M,NTamd64",
            "=M,NTx86",
            "thing.inf: [Manufacturer] names no Models section for",
        ),
        (
            "=I,ROOT\\THING",
            "=I",
            "thing.inf:10: Thing needs a hardware id",
        ),
        (
            "=I,ROOT\\THING",
            "=J,ROOT\\THING",
            "thing.inf:10: there is no section [J]",
        ),
        (
            "thing.sys=1\n",
            "",
            "thing.inf:13: thing.sys is copied but not listed in [SourceDisksFiles]",
        ),
        (
            "FeatureScore=0xFE",
            "FeatureScore=0x1FE",
            "thing.inf:15: \"0x1FE\" is no number",
        ),
        (
            "Needs=Shared",
            "Needs=Other",
            "thing.inf:16: Needs names [Other]",
        ),
        (
            "Needs=Shared",
            "Include=machine.inf\nNeeds=Other",
            "thing.inf:17: machine.inf is not in this folder",
        ),
        (
            "[Shared]\n",
            "[Shared]\nNeeds=Shared\n",
            "thing.inf:18: Needs goes round in circles",
        ),
        (
            "AddReg=Filters",
            "AddReg=Nothing",
            "thing.inf:22: there is no section [Nothing]",
        ),
        (
            "thing,2,S",
            "thing,2",
            "thing.inf:26: AddService=thing needs a service-install section",
        ),
        (
            "thing,2,S",
            "thing,two,S",
            "thing.inf:26: \"two\" is no number",
        ),
        (
            "StartType=3\n",
            "",
            "thing.inf:26: [S] has no entry StartType",
        ),
        (
            "StartType=3",
            "StartType=boot",
            "thing.inf:29: \"boot\" is no number",
        ),
        (
            "\\THING.SYS",
            "\\other.sys",
            "thing.inf: the service's image other.sys is not among the files",
        ),
        (
            "%D%=I",
            "%E%=I",
            "thing.inf:10: %E% is not defined in [Strings]",
        ),
        (
            "@thing.sys",
            "@\"thing.sys",
            "thing.inf:14: the quoted string that starts here has no end",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = parse(&GOOD.replace(from, to)).expect_err(to);
        assert!(error.starts_with(message), "{to}: {error}");
    }
}

#[test]
fn a_folder_must_have_an_inf_and_its_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = || {
        read_folder(folder.path(), WINDOWS)
            .expect_err("not complete")
            .to_string()
    };
    assert!(error().contains("has no .inf file"), "{}", error());
    fs::write(folder.path().join("thing.inf"), GOOD).expect("written");
    assert!(
        error().contains("thing.sys is copied but not in the package's folder"),
        "{}",
        error()
    );
    let nowhere = read_folder(&folder.path().join("nowhere"), WINDOWS)
        .expect_err("no folder")
        .to_string();
    assert!(nowhere.contains("cannot be read"), "{nowhere}");
}

/// Every INF below the folder that XEN_FOREIGN_DRIVERS names can be read.
#[test]
fn foreign_packages_are_read_where_there_are_some() {
    let Some(folder) = std::env::var_os("XEN_FOREIGN_DRIVERS").map(PathBuf::from) else {
        eprintln!("XEN_FOREIGN_DRIVERS is not set: no foreign package was read");
        return;
    };
    let mut packages = Vec::new();
    for flavour in fs::read_dir(&folder)
        .expect("the folder that XEN_FOREIGN_DRIVERS names")
        .flatten()
    {
        if !flavour.path().is_dir() {
            continue;
        }
        for package in fs::read_dir(flavour.path())
            .expect("a folder of packages")
            .flatten()
        {
            packages.extend(
                read_folder(&package.path(), WINDOWS).unwrap_or_else(|error| panic!("{error}")),
            );
        }
    }
    assert!(packages.iter().any(|package| package.images.len() > 1));
    for package in &packages {
        assert!(
            package
                .models
                .iter()
                .all(|model| !model.install.services.is_empty()),
            "{}",
            package.inf
        );
    }
}
