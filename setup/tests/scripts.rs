//! The scripts and the tables fit each other and the INFs. What the scripts do on a Windows was not run by the project.

use setup::changes;
use std::path::Path;

const INSTALL: &str = include_str!("../install.ps1");
const UNINSTALL: &str = include_str!("../uninstall.ps1");
const MODULE: &str = include_str!("../setup.psm1");
const RECOVER: &str = include_str!("../recover.cmd");

const POWERSHELL: [(&str, &str); 3] = [
    ("install.ps1", INSTALL),
    ("uninstall.ps1", UNINSTALL),
    ("setup.psm1", MODULE),
];

fn first_error(node: tree_sitter::Node<'_>) -> Option<tree_sitter::Node<'_>> {
    if node.is_error() || node.is_missing() {
        return Some(node);
    }
    let mut cursor = node.walk();
    node.children(&mut cursor)
        .filter(|child| child.has_error() || child.is_missing())
        .find_map(first_error)
}

#[test]
fn the_scripts_are_powershell() {
    let mut parser = tree_sitter::Parser::new();
    parser
        .set_language(&tree_sitter_powershell::LANGUAGE.into())
        .unwrap();
    for (name, text) in POWERSHELL {
        let tree = parser.parse(text, None).unwrap();
        if let Some(error) = first_error(tree.root_node()) {
            panic!(
                "{name}, line {}: not PowerShell",
                error.start_position().row + 1
            );
        }
    }
}

#[test]
fn a_syntax_error_in_a_script_is_found() {
    let mut parser = tree_sitter::Parser::new();
    parser
        .set_language(&tree_sitter_powershell::LANGUAGE.into())
        .unwrap();
    let broken = INSTALL.replacen("try {", "try {{", 1);
    assert!(first_error(parser.parse(&broken, None).unwrap().root_node()).is_some());
}

#[test]
fn the_scripts_are_ascii_which_windows_powershell_reads_the_same_in_every_country() {
    for (name, text) in POWERSHELL.into_iter().chain([("recover.cmd", RECOVER)]) {
        assert!(text.is_ascii(), "{name}");
    }
}

#[test]
fn no_script_restarts_windows() {
    for (name, text) in POWERSHELL.into_iter().chain([("recover.cmd", RECOVER)]) {
        let text = text.to_ascii_lowercase();
        for way in [
            "restart-computer",
            "shutdown",
            "/reboot",
            "stop-computer",
            "wpeutil",
        ] {
            assert!(!text.contains(way), "{name}: {way}");
        }
    }
}

/// The labels of recover.cmd, whose lines end as the checkout has them.
fn labels() -> impl Iterator<Item = &'static str> {
    RECOVER.lines().filter_map(|line| line.strip_prefix(':'))
}

/// The text of a function of the module.
fn body_of(function: &str) -> &'static str {
    MODULE
        .split_once(&format!("function {function} {{"))
        .and_then(|(_, rest)| rest.split("\n}").next())
        .unwrap_or_else(|| panic!("setup.psm1 has no {function}"))
}

#[test]
fn every_fact_of_the_tables_is_one_that_the_module_finds_out() {
    for (function, values) in [
        ("Get-FactAdministrator", &["yes", "no"][..]),
        (
            "Get-FactWindows",
            &["supported", "old", "other-architecture"],
        ),
        ("Get-FactSafeMode", &["yes", "no"]),
        ("Get-FactPackage", &["whole", "damaged"]),
        ("Get-FactSignature", &["trusted", "test", "none"]),
        ("Get-FactTestSigning", &["on", "off"]),
        ("Get-FactForeign", &["none", "bound", "staged"]),
        ("Get-FactPlatformDevice", &["present", "absent"]),
        (
            "Get-FactInstalledVersion",
            &["none", "older", "same", "newer"],
        ),
        ("Get-FactInstalled", &["none", "present"]),
        ("Get-FactRestart", &["none", "pending"]),
        ("Get-FactTraces", &["none", "some"]),
    ] {
        let body = body_of(function);
        for value in values {
            assert!(
                body.contains(&format!("'{value}'")),
                "{function} never says {value}"
            );
        }
        assert!(
            INSTALL.contains(function) || UNINSTALL.contains(function),
            "no script asks for {function}"
        );
    }
}

#[test]
fn every_kind_of_change_is_one_that_its_script_can_make() {
    for change in changes().unwrap() {
        if change.is_for("uninstall") {
            assert!(
                MODULE.contains(&format!("'{}' {{", change.kind)),
                "setup.psm1: {}",
                change.kind
            );
        }
        if change.is_for("recover") {
            let label = change.kind.replace('-', "_");
            assert!(
                labels().any(|name| name == label),
                "recover.cmd: {}",
                change.kind
            );
        }
    }
}

#[test]
fn every_label_that_recover_goes_to_is_there() {
    for line in RECOVER.lines() {
        let Some((_, target)) = line.split_once("goto ") else {
            continue;
        };
        assert!(labels().any(|name| name == target.trim()), "{line}");
    }
}

#[test]
fn emulated_devices_come_back_before_anything_else_is_taken_away() {
    for script in ["uninstall", "recover"] {
        let rows: Vec<_> = changes()
            .unwrap()
            .into_iter()
            .filter(|row| row.is_for(script))
            .collect();
        let unmarks: Vec<_> = rows
            .iter()
            .take_while(|row| row.target.ends_with("Unplug"))
            .collect();
        assert!(
            unmarks
                .iter()
                .any(|row| row.name == "DISKS" && row.data == "0")
        );
        assert!(
            unmarks
                .iter()
                .any(|row| row.name == "NICS" && row.data == "0")
        );
        let last_start = rows
            .iter()
            .rposition(|row| row.target.ends_with("StartOverride"))
            .unwrap();
        let first_removal = rows
            .iter()
            .position(|row| row.kind.starts_with("remove") || row.kind == "delete-package");
        assert!(first_removal.is_none_or(|first| first > last_start));
    }
}

#[test]
fn uninstall_takes_back_every_service_and_package_that_the_infs_make() {
    let rows = changes().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inf");
    let mut infs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".inf") {
            continue;
        }
        infs += 1;
        assert!(
            rows.iter()
                .any(|row| row.kind == "delete-package" && row.target == name),
            "{name}"
        );
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some((directive, value)) = line.split_once('=') else {
                continue;
            };
            if directive.trim().eq_ignore_ascii_case("AddService") {
                let service = value.split(',').next().unwrap().trim();
                assert!(
                    rows.iter()
                        .any(|row| row.kind == "delete-service" && row.target == service),
                    "{name}: {service}"
                );
            }
        }
    }
    assert!(infs >= 2, "the INFs were not found");
    assert_eq!(rows.last().unwrap().target, r"Services\XEN");
}
