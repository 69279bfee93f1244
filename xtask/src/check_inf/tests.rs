//! Every rule against an INF that breaks it, and against ones that keep them all.

use super::check;
use crate::drivers::DRIVERS;
use crate::run;
use crate::stamp::{Options, Stamp};
use std::fs;

const GOOD: &str = r#"; A storage driver
[Version]
Signature   = "$Windows NT$"
Class       = SCSIAdapter
ClassGuid   = {4D36E97B-E325-11CE-BFC1-08002BE10318}
Provider    = %Vendor%
CatalogFile = good.cat
DriverVer   = 11/25/2025,1.2.3.4
PnpLockdown = 1

[DestinationDirs]
Files.Old = 12
Files     = 13

[SourceDisksNames]
1 = %Disk%

[SourceDisksFiles]
good.sys = 1

[Manufacturer]
%Vendor% = Models,NTamd64.10.0...14393,NTamd64.10.0...16299

[Models.NTamd64.10.0...14393]
%Name% = Old,XENBUS\VEN_XP0001&DEV_VBD&REV_0900000B

[Models.NTamd64.10.0...16299]
%Name% = Good,XENBUS\VEN_XP0001&DEV_VBD&REV_0900000B

[Good]
CopyFiles = Files

[Files]
good.sys

[Good.HW]
AddReg = Device

[Device]
HKR,"Interrupt Management\MessageSignaledInterruptProperties",MSISupported,0x00010001,1

[Good.Services]
AddService = good,0x00000002,Service

[Service]
DisplayName    = %Name%
ServiceType    = 1
StartType      = 0
ErrorControl   = 1
ServiceBinary  = %13%\good.sys
LoadOrderGroup = "SCSI Miniport"
AddReg         = Parameters

[Old]
CopyFiles = Files.Old

[Files.Old]
good.sys

[Old.Services]
AddService = good,0x00000002,Service.Old

[Service.Old]
ServiceType    = 1
StartType      = 0
ErrorControl   = 1
ServiceBinary  = %12%\good.sys
LoadOrderGroup = "SCSI Miniport"
AddReg         = Parameters

[Parameters]
HKR,Parameters,BusType,0x00010001,1

[Strings]
Vendor = "Some One"
Disk   = "Disk"
Name   = "Name"
"#;

/// A network driver, in the parts that differ.
fn network() -> String {
    let text = GOOD
        .replace("SCSIAdapter", "Net")
        .replace("4D36E97B", "4D36E972")
        .replace("DEV_VBD", "DEV_NET")
        .replace("16299", "25398")
        .replace("CopyFiles = ", "Characteristics = 0x84\nBusType = 1\n*IfType = 6\n*MediaType = 0\n*PhysicalMediaType = 14\nAddReg = Ndi\nCopyFiles = ")
        .replace("StartType      = 0", "StartType      = 3");
    text + r#"
[Ndi]
HKR,Ndi,Service,0,"good"
HKR,Ndi\Interfaces,UpperRange,0,"ndis5"
HKR,Ndi\Interfaces,LowerRange,0,"ethernet"
HKR,Ndi\params\*RSS,ParamDesc,0,"RSS"
HKR,Ndi\params\*RSS,Type,0,"enum"
HKR,Ndi\params\*RSS,Default,0,"1"
HKR,Ndi\params\*RSS\enum,"0",0,"Off"
HKR,Ndi\params\*RSS\enum,"1",0,"On"
HKR,Ndi\params\*JumboPacket,ParamDesc,0,"Jumbo"
HKR,Ndi\params\*JumboPacket,Type,0,"long"
HKR,Ndi\params\*JumboPacket,Min,0,"1514"
HKR,Ndi\params\*JumboPacket,Default,0,"1514"
HKR,Ndi\params\*JumboPacket,Max,0,"9014"
HKR,Ndi\params\NetworkAddress,ParamDesc,0,"Address"
HKR,Ndi\params\NetworkAddress,Type,0,"edit"
HKR,Ndi\params\NetworkAddress,Optional,0,"1"
"#
}

fn findings(text: &str) -> Vec<String> {
    check("folder/good.inf", text.as_bytes())
}

/// Every change of `text` leads to a finding with the expected words, on a line of the file.
#[track_caller]
fn broken(text: &str, changes: &[(&str, &str, &str)]) {
    assert_eq!(findings(text), [""; 0]);
    for (from, to, expected) in changes {
        assert!(text.contains(from), "{from}");
        let found = findings(&text.replacen(from, to, 1));
        assert!(
            found.iter().any(|finding| finding.contains(expected)),
            "{from} -> {to}: {found:#?}"
        );
        assert!(
            found
                .iter()
                .all(|finding| finding.starts_with("folder/good.inf:"))
        );
    }
}

#[test]
fn this_project_s_files_keep_every_rule_once_they_are_stamped() -> anyhow::Result<()> {
    let stamp = Stamp::new(&Options::default())?;
    for name in DRIVERS {
        let path = run::workspace().join(format!("inf/{name}.inf"));
        let text = fs::read_to_string(&path)?;
        let file = format!("{name}.inf");
        assert_eq!(check(&file, stamp.inf(&text)?.as_bytes()), [""; 0]);
        let unstamped = check(&file, text.as_bytes());
        assert!(
            matches!(&unstamped[..], [one] if one.contains("DriverVer is not stamped")),
            "{unstamped:#?}"
        );
    }
    Ok(())
}

#[test]
fn every_registry_value_is_explained() -> anyhow::Result<()> {
    let text = fs::read_to_string(run::workspace().join("docs/registry.md"))?;
    for name in DRIVERS {
        let path = run::workspace().join(format!("inf/{name}.inf"));
        let document = lab_inf::Document::parse(name, &fs::read(&path)?)?;
        for line in document
            .sections()
            .iter()
            .flat_map(|section| &section.lines)
        {
            // Keywords of network adapters explain themselves: each has a description.
            let explains_itself = line.value(1).to_lowercase().starts_with("ndi");
            if line.key.is_none() && line.value(0) == "HKR" && !explains_itself {
                let value = line.value(2);
                assert!(text.contains(value), "{name}.inf:{}: {value}", line.number);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_no_inf_is_one_finding_with_its_line() {
    assert_eq!(
        findings("[Version]\nx = %undefined%\n"),
        ["folder/good.inf:2: %undefined% is not defined in [Strings]"]
    );
    assert!(!findings("").is_empty());
}

#[test]
fn the_version_section_says_what_windows_needs() {
    broken(
        GOOD,
        &[
            ("$Windows NT$", "$Chicago$", "Signature must be"),
            ("Class       = SCSIAdapter\n", "", "[Version] has no Class"),
            ("4D36E97B", "4D36E97D", "is not that of class SCSIAdapter"),
            ("= SCSIAdapter", "= Sound", "none of this project's"),
            (
                "CatalogFile = good.cat\n",
                "",
                "[Version] has no CatalogFile",
            ),
            ("= good.cat", "= other.cat", "CatalogFile must be good.cat"),
            (
                "CatalogFile",
                "CatalogFile.NTamd64",
                "undecorated CatalogFile",
            ),
            ("\"Some One\"", "\"\"", "Provider is empty"),
            (
                "DriverVer   = 11/25/2025,1.2.3.4\n",
                "",
                "[Version] has no DriverVer",
            ),
            ("11/25/2025", "25/11/2025", "not a date"),
            ("11/25/2025", "11/25/25", "not a date"),
            ("1.2.3.4", "1.2.3", "not a version"),
            ("1.2.3.4", "1.2.3.70000", "not a version"),
            ("11/25/2025,1.2.3.4", "01/01/2000,0.0.0.0", "not stamped"),
            (
                "PnpLockdown = 1",
                "PnpLockdown = 0",
                "PnpLockdown must be 1",
            ),
            ("PnpLockdown = 1\n", "", "[Version] has no PnpLockdown"),
            (
                "PnpLockdown = 1",
                "PnpLockdown = 1\nPnpLockdown = 1",
                "twice",
            ),
            (
                "PnpLockdown = 1",
                "PnpLockdown = 1\nLayoutFile = layout.inf",
                "LayoutFile",
            ),
        ],
    );
}

#[test]
fn models_are_for_the_windows_that_the_drivers_are_for() {
    broken(
        GOOD,
        &[
            (
                ",NTamd64.10.0...14393,NTamd64.10.0...16299",
                "",
                "without a decoration",
            ),
            (
                "Models,NTamd64.10.0...14393",
                "Models,NTamd64",
                "decoration NTamd64: must be",
            ),
            (
                "Models,NTamd64.10.0...14393",
                "Models,NTarm64.10.0...14393",
                "must be NTamd64",
            ),
            (
                "Models,NTamd64.10.0...14393",
                "Models,NTamd64.10.0...10240",
                "must be NTamd64",
            ),
            (
                "[Models.NTamd64.10.0...14393]",
                "[Model.NTamd64.10.0...14393]",
                "there is no section",
            ),
            (
                "%Name% = Old,XENBUS",
                "%Name% = New,XENBUS",
                "there is no section [New]",
            ),
        ],
    );
}

#[test]
fn ids_are_those_of_the_bus_driver_s_crate() {
    let last = "%Name% = Good,XENBUS\\VEN_XP0001&DEV_VBD&REV_0900000B";
    broken(
        GOOD,
        &[
            (
                "REV_0900000B",
                "REV_0900FFFF",
                "the nearest is XENBUS\\VEN_XP0001&DEV_VBD&REV_09",
            ),
            ("VEN_XP0001", "VEN_XP0009", "no device of Xen has this id"),
            ("DEV_VBD", "DEV_NET", "no device of Xen has this id"),
            (
                "VEN_XP0001",
                "VEN_XP0002",
                "which another Models section has",
            ),
            (
                last,
                &format!("{last},XENBUS\\VEN_XP0002&DEV_VBD&REV_0900000B"),
                "a line of its own",
            ),
            (last, &format!("{last}\n{last}"), "is there twice"),
        ],
    );
    let system = GOOD
        .replace("SCSIAdapter", "System")
        .replace("4D36E97B", "4D36E97D")
        .replace(
            "XENBUS\\VEN_XP0001&DEV_VBD&REV_0900000B",
            "PCI\\VEN_5853&DEV_0001",
        );
    broken(
        &system,
        &[
            ("DEV_0001", "DEV_0003", "no device of Xen has this id"),
            ("VEN_5853", "VEN_5854", "no device of Xen has this id"),
        ],
    );
}

#[test]
fn an_install_section_has_only_what_a_universal_inf_may_have() {
    let copy = "CopyFiles = Files\n";
    broken(
        GOOD,
        &[
            (
                copy,
                "CopyFiles = Files\nRegisterDlls = X\n",
                "not allowed in a universal INF",
            ),
            (
                copy,
                "CopyFiles = Files\nDelReg = Device\n",
                "removes nothing of others'",
            ),
            (
                copy,
                "CopyFiles = Files\nCopyFile = Files\n",
                "no directive that belongs here",
            ),
            (copy, "CopyFiles = Files\nReboot\n", "restarts"),
            (
                copy,
                "CopyFiles = Files\nNeeds = X\n",
                "Include and Needs belong together",
            ),
            (copy, "CopyFiles = @good.sys\n", "name a section"),
            (copy, "", "[Good] copies no file"),
            (
                "[Device]",
                "[Good.CoInstallers]\nAddReg = Device\n[Device]",
                "DCH packages have no co-installers",
            ),
            (
                "AddReg = Device",
                "AddReg = Devices",
                "there is no section [Devices]",
            ),
        ],
    );
}

#[test]
fn files_are_listed_and_go_to_isolated_folders() {
    broken(
        GOOD,
        &[
            ("good.sys = 1\n", "", "good.sys is copied but not listed"),
            (
                "good.sys = 1\n",
                "good.sys = 1\nmore.sys = 1\n",
                "more.sys is listed but not copied",
            ),
            (
                "good.sys = 1\n",
                "good.sys = 2\n",
                "on disk \"2\", which is not named",
            ),
            ("1 = %Disk%", "; %disk%", "names no disk"),
            (
                "Files     = 13",
                "Files     = 11",
                "only 12 (System32\\drivers) and 13",
            ),
            (
                "Files     = 13",
                "Files     = 13,sub",
                "no folder of their own",
            ),
            ("Files     = 13\n", "", "neither Files nor DefaultDestDir"),
            (
                "Files.Old = 12",
                "Files.Old = 13",
                "run only since build 16299",
            ),
            (
                "Files.Old = 12",
                "Files.Old = 12\nOther = 12",
                "names [Other], which is not there",
            ),
            (
                "%13%\\good.sys",
                "%12%\\good.sys",
                "is not where a file is copied to: %13%\\good.sys",
            ),
            (
                "%13%\\good.sys",
                "%13%\\else.sys",
                "is not where a file is copied to",
            ),
        ],
    );
}

#[test]
fn a_service_is_a_driver_that_starts_when_it_should() {
    broken(
        GOOD,
        &[
            (
                "ServiceType    = 1",
                "ServiceType    = 16",
                "ServiceType must be 1",
            ),
            (
                "StartType      = 0",
                "StartType      = 2",
                "StartType must be 0",
            ),
            ("ErrorControl   = 1\n", "", "has no ErrorControl"),
            (
                "LoadOrderGroup = \"SCSI Miniport\"\n",
                "",
                "has no LoadOrderGroup",
            ),
            (
                "ServiceBinary  = %13%\\good.sys\n",
                "",
                "has no ServiceBinary",
            ),
            (
                "good,0x00000002,Service\n",
                "good,,Service\n",
                "names no function driver",
            ),
            (
                "good,0x00000002,Service\n",
                "good,0x00000802,Service\n",
                "flags \"0x00000802\"",
            ),
            (
                "[Service]\n",
                "[Service]\nBootFlags = 1\n",
                "BootFlags exists since build 25398",
            ),
            (
                "[Service]\n",
                "[Service]\nStartName = x\n",
                "a driver has no account",
            ),
            (
                "[Good.Services]\n",
                "[Good.Services]\nDelService = good\n",
                "removes nothing of others'",
            ),
            (
                "[Good.Services]",
                "[Good.Service]",
                "there is no section [Good.Services]",
            ),
        ],
    );
}

#[test]
fn the_registry_is_written_below_the_driver_s_own_keys() {
    let entry = "HKR,Parameters,BusType,0x00010001,1";
    broken(
        GOOD,
        &[
            (
                entry,
                "HKLM,SYSTEM\\X,BusType,0x00010001,1",
                "below its own keys (HKR) only",
            ),
            (entry, "HKR,..\\Disk,BusType,0x00010001,1", "goes down"),
            (entry, "HKR,,BusType,0x00010001,1", "go below Parameters"),
            (entry, "HKR,Parameters,BusType,0x00100020,1", "flags"),
            (entry, "HKR,Parameters,BusType,4", "removes nothing"),
            (entry, "HKR,Parameters,BusType,0x00010001,ten", "ten"),
            (entry, "BusType = 1", "root,subkey,name"),
            (
                entry,
                "HKR,\"Interrupt Management\",MSISupported,0x00010001,1",
                "belongs into the .HW section",
            ),
        ],
    );
}

#[test]
fn nothing_lies_around_unused() {
    broken(
        GOOD,
        &[
            (
                "[Strings]\n",
                "[Strings]\nMore = \"x\"\n",
                "the string more is not used",
            ),
            (
                "[Strings]\n",
                "[Strings]\nName = \"x\"\n",
                "the string name is defined twice",
            ),
            (
                "[Files]\n",
                "[Stray]\nx = y\n[Files]\n",
                "nothing refers to section [Stray]",
            ),
        ],
    );
}

#[test]
fn a_network_adapter_s_properties_are_whole() {
    broken(
        &network(),
        &[
            (
                "Optional,0,\"1\"",
                "Optional,0,\"0\"",
                "networkaddress has no default",
            ),
            ("*IfType = 6\n", "", "has no *IfType"),
            (
                "Characteristics = 0x84",
                "Characteristics = 0x80",
                "neither NCF_PHYSICAL",
            ),
            (
                "Service,0,\"good\"",
                "Service,0,\"other\"",
                "the service is \"good\"",
            ),
            (
                "HKR,Ndi,Service,0,\"good\"\n",
                "",
                "does not set Ndi\\Service",
            ),
            (
                "LowerRange",
                "OtherRange",
                "does not set Ndi\\Interfaces\\lowerrange",
            ),
            (
                "*RSS,Default,0,\"1\"",
                "*RSS,Default,0,\"2\"",
                "is not among its values",
            ),
            ("HKR,Ndi\\params\\*RSS,Type,0,\"enum\"\n", "", "has no type"),
            ("Type,0,\"long\"", "Type,0,\"longer\"", "unknown type"),
            ("Default,0,\"1514\"", "Default,0,\"9015\"", "in this order"),
            ("Max,0,\"9014\"", "Max,0,\"1513\"", "in this order"),
            (
                "HKR,Parameters,BusType",
                "HKR,,BootFlags",
                "BootFlags is a directive",
            ),
        ],
    );
}

#[test]
fn a_number_that_may_be_left_out_needs_no_default_but_a_range() {
    let default = "HKR,Ndi\\params\\*JumboPacket,Default,0,\"1514\"\n";
    let optional = "HKR,Ndi\\params\\*JumboPacket,Optional,0,\"1\"\n";
    let text = network().replace(default, optional);
    assert!(text.contains(optional));
    assert_eq!(findings(&text), Vec::<String>::new());
    let text = text.replace("Max,0,\"9014\"", "Max,0,\"1513\"");
    assert!(
        findings(&text)
            .iter()
            .any(|finding| finding.contains("in this order"))
    );
}

#[test]
fn network_drivers_run_from_the_store_only_where_that_is_allowed() {
    let text = network().replace("25398", "22631");
    assert!(
        findings(&text)
            .iter()
            .any(|finding| finding.contains("network drivers run only since build 25319")),
        "{:#?}",
        findings(&text)
    );
}

#[test]
fn every_value_that_the_packages_write_is_documented() -> anyhow::Result<()> {
    let documented = fs::read_to_string(run::workspace().join("docs/registry.md"))?;
    let mut values = 0;
    for driver in DRIVERS {
        let text = fs::read_to_string(run::workspace().join(format!("inf/{driver}.inf")))?;
        for line in text.lines().filter(|line| line.starts_with("HKR,")) {
            let mut fields = line.split(',').skip(1);
            let (key, name) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            // A keyword of an adapter is a key of its own; the rest below Ndi is NDIS'.
            let keyword = key.strip_prefix(r"Ndi\params\");
            let name = match (keyword, name.trim_matches('"')) {
                (Some(keyword), _) => keyword.split('\\').next().unwrap_or(""),
                (None, "") => continue,
                (None, _) if key.starts_with("Ndi") => continue,
                (None, name) => name,
            };
            let shown = [format!("`{name}`"), format!("\\{name}`")];
            assert!(
                shown.iter().any(|shown| documented.contains(shown)),
                "{driver}.inf: {line}"
            );
            values += 1;
        }
    }
    assert!(values > 20, "{values}");
    Ok(())
}
