//! Every combination of facts, taken through the tables.

use setup::Action;
use setup::Decision;
use setup::Facts;
use setup::decide;
use setup::decisions;

/// The facts that a script gathers, with every value that they can have (setup.psm1's Get-Fact functions).
fn facts(script: &str) -> Vec<(&'static str, &'static [&'static str])> {
    match script {
        "install" => vec![
            ("administrator", &["yes", "no"]),
            ("windows", &["supported", "old", "other-architecture"]),
            ("safe-mode", &["yes", "no"]),
            ("package", &["whole", "damaged"]),
            ("signature", &["trusted", "test", "none"]),
            ("test-signing", &["on", "off"]),
            ("foreign", &["none", "bound", "staged"]),
            ("platform-device", &["present", "absent"]),
            ("installed", &["none", "older", "same", "newer"]),
            ("restart", &["none", "pending"]),
        ],
        _ => vec![
            ("administrator", &["yes", "no"]),
            ("installed", &["none", "present"]),
            ("foreign", &["none", "bound", "staged"]),
            ("traces", &["none", "some"]),
        ],
    }
}

fn combinations(script: &str) -> Vec<Facts> {
    facts(script)
        .into_iter()
        .fold(vec![Facts::new()], |before, (name, values)| {
            before
                .iter()
                .flat_map(|facts| {
                    values.iter().map(|value| {
                        let mut facts = facts.clone();
                        facts.insert(name.to_owned(), (*value).to_owned());
                        facts
                    })
                })
                .collect()
        })
}

/// Every combination with the row that it leads to.
fn outcomes(script: &str) -> Vec<(Facts, Decision)> {
    let table = decisions().unwrap();
    combinations(script)
        .into_iter()
        .map(|facts| {
            let row = decide(&table, script, &facts)
                .unwrap_or_else(|| panic!("{script} has no row for {facts:?}"));
            (facts, row.clone())
        })
        .collect()
}

fn changes_windows(action: Action) -> bool {
    matches!(action, Action::Install | Action::Stage | Action::Uninstall)
}

#[test]
fn every_combination_of_facts_has_a_decision_and_every_row_is_reached() {
    for script in ["install", "uninstall"] {
        let outcomes = outcomes(script);
        for row in decisions()
            .unwrap()
            .iter()
            .filter(|row| row.script == script)
        {
            assert!(
                outcomes.iter().any(|(_, reached)| reached.id == row.id),
                "no facts lead to the row {} of {script}",
                row.id
            );
        }
    }
}

#[test]
fn a_condition_names_a_fact_and_one_of_its_values() {
    for row in decisions().unwrap() {
        let known = facts(&row.script);
        for (name, value) in row.conditions() {
            assert!(
                known
                    .iter()
                    .any(|(fact, values)| *fact == name && values.contains(&value)),
                "row {}: {name}={value}",
                row.id
            );
        }
    }
}

#[test]
fn nothing_changes_where_another_vendors_stack_is_bound_or_staged() {
    for (facts, row) in outcomes("install") {
        if facts["foreign"] != "none" {
            assert!(!changes_windows(row.action), "{facts:?}: {}", row.id);
        }
    }
    for (facts, row) in outcomes("uninstall") {
        if facts["foreign"] == "bound" && facts["installed"] == "none" {
            assert_eq!(row.action, Action::Refuse, "{facts:?}: {}", row.id);
        }
    }
}

#[test]
fn drivers_that_this_windows_would_refuse_at_boot_are_not_installed() {
    for (facts, row) in outcomes("install") {
        let loads = match facts["signature"].as_str() {
            "trusted" => true,
            "test" => facts["test-signing"] == "on",
            _ => false,
        };
        if !loads || facts["windows"] != "supported" || facts["package"] != "whole" {
            assert!(!changes_windows(row.action), "{facts:?}: {}", row.id);
        }
    }
}

#[test]
fn nobody_but_an_administrator_changes_anything() {
    for script in ["install", "uninstall"] {
        for (facts, row) in outcomes(script) {
            if facts["administrator"] == "no" {
                assert_eq!(row.action, Action::Refuse, "{facts:?}");
            }
        }
    }
}

#[test]
fn a_healthy_windows_gets_the_drivers_once() {
    for (facts, row) in outcomes("install") {
        let healthy = [
            ("administrator", "yes"),
            ("windows", "supported"),
            ("safe-mode", "no"),
            ("package", "whole"),
            ("signature", "trusted"),
            ("foreign", "none"),
            ("restart", "none"),
            ("platform-device", "present"),
        ]
        .iter()
        .all(|(name, value)| facts[*name] == *value);
        if healthy {
            let expected = match facts["installed"].as_str() {
                "none" | "older" => Action::Install,
                "same" => Action::Nothing,
                _ => Action::Refuse,
            };
            assert_eq!(row.action, expected, "{facts:?}");
        }
    }
}

#[test]
fn what_is_installed_can_always_be_uninstalled() {
    for (facts, row) in outcomes("uninstall") {
        if facts["administrator"] == "yes" && facts["installed"] == "present" {
            assert_eq!(row.action, Action::Uninstall, "{facts:?}: {}", row.id);
        }
    }
}

#[test]
fn every_row_says_something_and_names_a_need_of_users() {
    for row in decisions().unwrap() {
        assert!(
            row.message.ends_with('.') && row.message.is_ascii(),
            "{}",
            row.id
        );
        for need in row.serves.split(',') {
            assert!(
                (1..=35).contains(&need.parse::<u32>().unwrap()),
                "{}",
                row.id
            );
        }
    }
}
