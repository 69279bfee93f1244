//! A driver package under other services' names: the lab has to go by the INF, and so do the drivers.

use anyhow::Context as _;
use std::fs;
use std::path::Path;

/// What the services' names begin with in the copy.
const PREFIX: &str = "renamed-";

/// A copy of the packages in a folder in which every `AddService` line has another service's name.
///
/// # Errors
/// If a file cannot be read or written, or no INF adds a service.
pub fn copy(folder: &Path) -> anyhow::Result<tempfile::TempDir> {
    let to = tempfile::tempdir()?;
    let mut renamed = 0;
    for entry in fs::read_dir(folder)? {
        let from = entry?.path();
        let (Some(name), true) = (from.file_name(), from.is_file()) else {
            continue;
        };
        let target = to.path().join(name);
        if from
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("inf"))
        {
            let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
            let (text, services) = rename(&text);
            renamed += services;
            fs::write(&target, text)?;
        } else {
            fs::copy(&from, &target).with_context(|| from.display().to_string())?;
        }
    }
    anyhow::ensure!(
        renamed != 0,
        "no INF in {} adds a service",
        folder.display()
    );
    Ok(to)
}

/// An INF's text with other services' names, and how many there are.
fn rename(inf: &str) -> (String, usize) {
    let mut services = 0;
    let lines: Vec<String> = inf
        .lines()
        .map(|line| match line.split_once('=') {
            Some((key, value)) if key.trim().eq_ignore_ascii_case("AddService") => {
                services += 1;
                format!("{key}= {PREFIX}{}", value.trim_start())
            }
            _ => line.to_owned(),
        })
        .collect();
    (lines.join("\r\n") + "\r\n", services)
}

#[cfg(test)]
mod tests {
    use super::rename;

    #[test]
    fn only_the_names_of_services_change() {
        let inf = "[A.Services]\nAddService = disk,0x2,A.Service\n[A.Service]\nServiceBinary = %12%\\disk.sys";
        let (text, services) = rename(inf);
        assert_eq!(services, 1);
        assert!(text.contains("AddService = renamed-disk,0x2,A.Service"));
        assert!(text.contains("ServiceBinary = %12%\\disk.sys"));
        assert_eq!(rename("[A.Service]\nStartType = 0").1, 0);
    }
}
