//! The tables that the setup scripts read at run time: `decisions.tsv`, what is done for which facts about a Windows, and
//! `changes.tsv`, what `uninstall.ps1` and `recover.cmd` take back. Here they are read the way the scripts read them, so that
//! tests can go through every combination of facts; the scripts themselves need a Windows.

use serde::Deserialize;
use std::collections::BTreeMap;

const DECISIONS: &str = include_str!("../decisions.tsv");
const CHANGES: &str = include_str!("../changes.tsv");

/// What is known about a Windows: a value for each fact's name.
pub type Facts = BTreeMap<String, String>;

/// A row of `decisions.tsv`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The script that the row is for: `install` or `uninstall`
    pub script: String,
    /// The row's name
    pub id: String,
    /// `fact=value`, several separated by semicolons; all must hold
    pub when: String,
    /// What the script does
    #[serde(rename = "do")]
    pub action: Action,
    /// The needs of users that the row serves, by their numbers in the survey that the project was planned with
    pub serves: String,
    /// What the script says
    pub message: String,
}

/// What a script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Changes nothing and fails.
    Refuse,
    /// Changes nothing and succeeds.
    Nothing,
    /// Puts the packages into the driver store.
    Stage,
    /// Puts the packages into the driver store and onto the devices.
    Install,
    /// Does the rows of `changes.tsv`.
    Uninstall,
}

impl Decision {
    /// The row's conditions: names of facts and the values that they must have.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.when
            .split(';')
            .map(|condition| condition.split_once('=').unwrap_or((condition, "")))
    }

    /// True if all of the row's conditions hold.
    pub fn fits(&self, facts: &Facts) -> bool {
        self.conditions()
            .all(|(name, value)| facts.get(name).is_some_and(|fact| fact == value))
    }
}

/// A row of `changes.tsv`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The scripts that do it, separated by commas
    pub script: String,
    /// What kind of change it is
    pub kind: String,
    /// What is changed; a registry key is below the control set
    pub target: String,
    /// The value's name, or `-`
    pub name: String,
    /// The value's data, or `-`
    pub data: String,
    /// The needs of users that the row serves
    pub serves: String,
    /// Why it is done
    pub why: String,
}

impl Change {
    /// True if the script does this row.
    pub fn is_for(&self, script: &str) -> bool {
        self.script.split(',').any(|name| name == script)
    }
}

fn rows<T: for<'de> Deserialize<'de>>(table: &str) -> Result<Vec<T>, csv::Error> {
    csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .quoting(false)
        .from_reader(table.as_bytes())
        .deserialize()
        .collect()
}

/// The rows of `decisions.tsv`, in their order.
///
/// # Errors
/// A row that is not one, with its line.
pub fn decisions() -> Result<Vec<Decision>, csv::Error> {
    rows(DECISIONS)
}

/// The rows of `changes.tsv`, in their order.
///
/// # Errors
/// A row that is not one, with its line.
pub fn changes() -> Result<Vec<Change>, csv::Error> {
    rows(CHANGES)
}

/// The first row for the script that fits.
pub fn decide<'a>(table: &'a [Decision], script: &str, facts: &Facts) -> Option<&'a Decision> {
    table
        .iter()
        .find(|row| row.script == script && row.fits(facts))
}
