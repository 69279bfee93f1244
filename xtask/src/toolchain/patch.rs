//! The patch that lets wdk-build compile on a host that is no Windows. Three things keep it from that: its dependency on
//! the `windows` crate, two functions that are a `compile_error!` elsewhere, and its `cargo_make` module. Without that one
//! nothing uses clap, the most costly of all its dependencies.

use anyhow::{Context as _, ensure};
use std::fs;
use std::path::Path;

/// One replacement in one file.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// How often `from` must be there: another number is another version of the crate, which the patch does not fit.
    times: usize,
}

const EDITS: &[Edit] = &[
    Edit {
        file: "Cargo.toml",
        from: "[dependencies.windows]",
        to: "[target.'cfg(windows)'.dependencies.windows]",
        times: 1,
    },
    Edit {
        file: "Cargo.toml",
        from: "[dependencies.clap]",
        to: "[target.'cfg(windows)'.dependencies.clap]",
        times: 1,
    },
    Edit {
        file: "Cargo.toml",
        from: "[dependencies.clap-cargo]",
        to: "[target.'cfg(windows)'.dependencies.clap-cargo]",
        times: 1,
    },
    Edit {
        file: "src/lib.rs",
        from: "pub mod cargo_make;",
        to: "#[cfg(windows)] pub mod cargo_make;",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nuse windows::{",
        to: "\n#[cfg(windows)] use windows::{",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "if let Some(path) = read_registry_key_string_value(",
        to: "#[cfg(windows)] if let Some(path) = read_registry_key_string_value(",
        times: 2,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nfn read_registry_key_string_value(",
        to: "\n#[cfg(windows)] fn read_registry_key_string_value(",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "compile_error!(",
        to: "unimplemented!(",
        times: 2,
    },
];

/// Text that changes when the patch does.
pub fn version() -> String {
    let words = EDITS.iter().flat_map(|edit| {
        [
            edit.file.as_bytes(),
            edit.from.as_bytes(),
            edit.to.as_bytes(),
        ]
    });
    lab_host::cache::key(words)
}

/// Patches the crate in the folder `package`.
///
/// # Errors
/// If a place is not there as often as it should be.
pub fn apply(package: &Path) -> anyhow::Result<()> {
    for edit in EDITS {
        let path = package.join(edit.file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let times = text.matches(edit.from).count();
        ensure!(
            times == edit.times,
            "{}: {:?} is there {times} times and not {}: the patch is for another version of this crate",
            path.display(),
            edit.from,
            edit.times
        );
        fs::write(&path, text.replace(edit.from, edit.to))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_the_patch_does_not_fit_is_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("Cargo.toml"), "[dependencies.other]\n")?;
        let error = apply(folder.path())
            .expect_err("nothing to replace")
            .to_string();
        assert!(error.contains("another version"), "{error}");
        Ok(())
    }
}
