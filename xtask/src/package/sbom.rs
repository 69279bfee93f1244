//! What a driver is made of, as a CycloneDX document: by cargo-sbom, made the same for the same sources.

use crate::run;
use crate::stamp::Stamp;
use anyhow::{Context as _, ensure};
use lab_host::{cache, command};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tool and its version.
const TOOL: &str = "cargo-sbom";
const VERSION: &str = "0.10.0";
/// The document's format, as the tool calls it.
const FORMAT: &str = "cyclone_dx_json_1_6";

/// The tool, installed into the cache by the user's own cargo.
#[derive(Debug)]
pub struct Tool(PathBuf);

impl Tool {
    /// Finds or installs it.
    ///
    /// # Errors
    /// If it cannot be installed.
    pub fn provide() -> anyhow::Result<Self> {
        let folder = cache::entry(TOOL, &cache::key([VERSION.as_bytes()]), |folder| {
            eprintln!("installing {TOOL}, which lists what the drivers are made of");
            let mut command = run::host_cargo("install");
            // It runs for a second: optimising it would take longer.
            command
                .args(["--locked", "--debug", "--version", VERSION, "--root"])
                .arg(folder)
                .arg(TOOL)
                .env_remove("CARGO_TARGET_DIR");
            run::step("installing cargo-sbom", &mut command)
                .map(drop)
                .context("cargo-sbom could not be installed (is there a network?)")
        })?;
        Ok(Self(folder.join("bin").join(format!("{TOOL}{EXE_SUFFIX}"))))
    }

    /// Writes `<package>.cdx.json` into a folder.
    ///
    /// # Errors
    /// If the tool fails or writes something else.
    pub fn write(&self, package: &str, folder: &Path, stamp: &Stamp) -> anyhow::Result<()> {
        let mut command = Command::new(&self.0);
        command.current_dir(run::workspace()).args([
            "sbom",
            "--cargo-package",
            package,
            "--output-format",
            FORMAT,
        ]);
        let output = command::output(&mut command)?;
        let document: Value =
            serde_json::from_slice(&output).with_context(|| format!("what {TOOL} wrote"))?;
        let document = settled(document, package, stamp)?;
        let text = serde_json::to_string_pretty(&document)? + "\n";
        Ok(fs::write(folder.join(format!("{package}.cdx.json")), text)?)
    }
}

/// The document with everything in order, of the commit's time, and with a number that depends on its content alone.
fn settled(mut document: Value, package: &str, stamp: &Stamp) -> anyhow::Result<Value> {
    ensure!(
        document["bomFormat"] == "CycloneDX" && document["components"].is_array(),
        "{TOOL} wrote no CycloneDX document"
    );
    sort(&mut document["components"], "bom-ref");
    if let Value::Array(dependencies) = &mut document["dependencies"] {
        for dependency in dependencies {
            if let Some(Value::Array(names)) = dependency.get_mut("dependsOn") {
                names.sort_by_key(Value::to_string);
            }
        }
    }
    sort(&mut document["dependencies"], "ref");
    // The tool takes the user's name.
    document["metadata"]["authors"] = json!([{ "name": stamp.vendor }]);
    document["metadata"]["timestamp"] = json!(stamp.time.to_string());
    document["metadata"]["component"]["version"] = json!(stamp.dotted());
    document["serialNumber"] = json!("");
    let content = format!("{package} {document}");
    let hash = cache::hex(&Sha256::digest(content));
    // A UUID of version 8 (RFC 9562): what it is made of is ours to say.
    document["serialNumber"] = json!(format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[12..15],
        &hash[15..18],
        &hash[18..30]
    ));
    Ok(document)
}

fn sort(list: &mut Value, key: &str) {
    if let Value::Array(entries) = list {
        entries.sort_by_key(|entry| entry[key].to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Options;

    fn document(names: &[&str], time: &str) -> Value {
        let components: Vec<Value> = names
            .iter()
            .map(|name| json!({ "bom-ref": name }))
            .collect();
        let dependencies = json!([{ "ref": "x", "dependsOn": names }]);
        json!({ "bomFormat": "CycloneDX", "components": components, "dependencies": dependencies,
                "metadata": { "timestamp": time, "authors": time }, "serialNumber": time })
    }

    #[test]
    fn a_document_is_the_same_whenever_it_is_written() -> anyhow::Result<()> {
        let stamp = Stamp::new(&Options::default())?;
        let one = settled(document(&["a", "b"], "now"), "p", &stamp)?;
        let other = settled(document(&["b", "a"], "then"), "p", &stamp)?;
        assert_eq!(one, other);
        let more = settled(document(&["a", "b", "c"], "now"), "p", &stamp)?;
        assert_ne!(one["serialNumber"], more["serialNumber"]);
        let number = one["serialNumber"].as_str().context("a text")?;
        assert_eq!(number.len(), "urn:uuid:".len() + 36);
        Ok(())
    }

    #[test]
    fn something_else_is_no_document() -> anyhow::Result<()> {
        let stamp = Stamp::new(&Options::default())?;
        assert!(settled(json!({}), "p", &stamp).is_err());
        Ok(())
    }
}
