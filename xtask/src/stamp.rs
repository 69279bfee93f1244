//! What a build is marked with: the version, the date of the commit, and who gives the package out.

use crate::run;
use anyhow::{Context as _, bail, ensure};
use der::DateTime;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The vendor without one.
const DEFAULT_VENDOR: &str = "xen-windows-drivers";
/// The longest name of a vendor.
const MAX_VENDOR: usize = 64;
/// What the environment gives in place of the commit's time, in seconds since 1970 (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What the person who builds decides.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "stamp")]
pub struct Options {
    /// Who gives the package out: the INF files' provider and the images' company
    #[arg(long, value_name = "NAME", default_value = DEFAULT_VENDOR)]
    pub vendor: String,
    /// The fourth part of the version, which tells packages of one version apart
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub build_number: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vendor: DEFAULT_VENDOR.to_owned(),
            build_number: 0,
        }
    }
}

/// A build's marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who gives it out.
    pub vendor: String,
    /// The workspace's version and the number of the build.
    pub version: [u16; 4],
    /// When the commit was made, or what `SOURCE_DATE_EPOCH` says.
    pub time: DateTime,
}

impl Stamp {
    /// The marks for a build of this workspace.
    ///
    /// # Errors
    /// A vendor's name that an INF file cannot have, or no time: neither a commit nor `SOURCE_DATE_EPOCH`.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        check_vendor(&options.vendor)?;
        Ok(Self {
            vendor: options.vendor.clone(),
            version: version(env!("CARGO_PKG_VERSION"), options.build_number)?,
            time: time(&seconds(run::workspace())?)?,
        })
    }

    /// The version as `0.1.0.0`.
    pub fn dotted(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }

    /// What `DriverVer` in an INF file says: `11/25/2026,0.1.0.0`.
    pub fn driver_ver(&self) -> String {
        let time = &self.time;
        format!(
            "{:02}/{:02}/{:04},{}",
            time.month(),
            time.day(),
            time.year(),
            self.dotted()
        )
    }

    /// An INF file of `inf/` with the marks in it and with the line ends that Windows writes: the value of `DriverVer` in
    /// `[Version]` and that of `Provider` in `[Strings]`.
    ///
    /// # Errors
    /// If one of the two is not there exactly once.
    pub fn inf(&self, text: &str) -> anyhow::Result<String> {
        let marks = [
            ("version", "DriverVer", self.driver_ver()),
            ("strings", "Provider", format!("\"{}\"", self.vendor)),
        ];
        let mut times = [0; 2];
        let mut section = String::new();
        let mut stamped = String::with_capacity(text.len() * 2);
        for line in text.lines() {
            let name = line.trim().strip_prefix('[');
            if let Some((name, _)) = name.and_then(|rest| rest.split_once(']')) {
                section = name.trim().to_ascii_lowercase();
            }
            let mut line = line.to_owned();
            for ((of, key, value), times) in marks.iter().zip(&mut times) {
                let Some((before, _)) = line.split_once('=') else {
                    continue;
                };
                if section == *of && before.trim().eq_ignore_ascii_case(key) {
                    line = format!("{before}= {value}");
                    *times += 1;
                }
            }
            stamped += &line;
            stamped += "\r\n";
        }
        for ((section, key, _), times) in marks.iter().zip(times) {
            ensure!(
                times == 1,
                "{key} is {times} times in [{section}] and not once"
            );
        }
        Ok(stamped)
    }
}

/// A vendor's name goes into INF files and resource scripts, between quotes.
fn check_vendor(vendor: &str) -> anyhow::Result<()> {
    let printable = |c: char| c.is_ascii_graphic() || c == ' ';
    let special = |c: char| matches!(c, '"' | '%' | ';' | '\\');
    ensure!(
        (1..=MAX_VENDOR).contains(&vendor.len())
            && vendor.trim() == vendor
            && vendor.chars().all(|c| printable(c) && !special(c)),
        "{vendor:?} cannot be a vendor's name: it has 1 to {MAX_VENDOR} printable ASCII characters, none of them \
         a quote, a percent sign, a semicolon or a backslash, and no blank at either end"
    );
    Ok(())
}

fn version(text: &str, build: u16) -> anyhow::Result<[u16; 4]> {
    let mut version = [0, 0, 0, build];
    let parts: Vec<&str> = text.split('.').collect();
    ensure!(parts.len() == 3, "{text:?} is no version of three numbers");
    for (part, text) in version.iter_mut().zip(parts) {
        *part = text
            .parse()
            .with_context(|| format!("{text:?} is no part of a version"))?;
    }
    Ok(version)
}

/// When the sources were made, as text.
fn seconds(workspace: &Path) -> anyhow::Result<String> {
    if let Some(text) = std::env::var_os(EPOCH) {
        return Ok(text.to_string_lossy().into_owned());
    }
    let output = Command::new("git")
        .arg("-C")
        .arg(workspace)
        .args(["log", "-1", "--format=%ct"])
        .output();
    match output {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => bail!(
            "git does not say when the commit was made, which a build is dated by: {}\n\
             where there is no repository, set {EPOCH} to the time in seconds since 1970",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
        Err(error) => bail!(
            "git cannot be run ({error}) to say when the commit was made, which a build is dated by\n\
             without git, set {EPOCH} to the time in seconds since 1970"
        ),
    }
}

fn time(seconds: &str) -> anyhow::Result<DateTime> {
    let number: u64 = seconds
        .parse()
        .with_context(|| format!("{seconds:?} is no time in seconds since 1970"))?;
    DateTime::from_unix_duration(Duration::from_secs(number))
        .map_err(|error| anyhow::anyhow!("{seconds} is no time in seconds since 1970: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            vendor: "Some One".to_owned(),
            version: [1, 2, 3, 4],
            time: time("1764028800").expect("a time"),
        }
    }

    #[test]
    fn an_inf_gets_version_date_and_vendor() -> anyhow::Result<()> {
        let text = "; DriverVer = x\n[Version]\nDriverVer   = 01/01/2000,0.0.0.0 ; stamped\nProvider = %Provider%\n\
                    [Other]\nDriverVer = y\n[Strings]\nProvider    = \"nobody\"\n";
        assert_eq!(
            stamp().inf(text)?,
            "; DriverVer = x\r\n[Version]\r\nDriverVer   = 11/25/2025,1.2.3.4\r\nProvider = %Provider%\r\n\
             [Other]\r\nDriverVer = y\r\n[Strings]\r\nProvider    = \"Some One\"\r\n"
        );
        Ok(())
    }

    #[test]
    fn an_inf_without_a_place_for_the_version_is_refused() {
        for text in [
            "[Strings]\nProvider = \"x\"\n",
            "[Version]\nDriverVer = x\nDriverVer = y\n[Strings]\nProvider = \"x\"\n",
        ] {
            let error = stamp().inf(text).expect_err("not once").to_string();
            assert!(error.starts_with("DriverVer is"), "{error}");
        }
    }

    #[test]
    fn a_vendor_s_name_fits_between_the_quotes_of_an_inf() {
        for name in ["A", "Some One, Ltd. (EU)"] {
            assert!(check_vendor(name).is_ok(), "{name}");
        }
        for name in ["", " A", "A\"B", "50%", "\u{e9}", "A\nB", &"x".repeat(65)] {
            assert!(check_vendor(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_version_has_three_numbers_and_the_build_s() {
        assert_eq!(version("1.2.3", 4).ok(), Some([1, 2, 3, 4]));
        for text in ["1.2", "1.2.3.4", "1.2.x", "1.2.70000"] {
            assert!(version(text, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_seconds_since_1970() {
        assert!(time("0").is_ok());
        for text in ["", "-1", "yesterday", "99999999999999"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
