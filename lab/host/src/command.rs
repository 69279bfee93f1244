//! Running the tools of the host: a failure names the command and shows the end of what it printed.

use anyhow::Context;
use anyhow::bail;
use std::env::consts::EXE_SUFFIX;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// How much of a failed command's output is shown.
const SHOWN_LINES: usize = 20;

/// A command as a shell would take it.
pub fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word as a shell would take it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let shown = display(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown}: {}\n{}",
            output.status,
            end_of(&String::from_utf8_lossy(&output.stderr))
        );
    }
    Ok(output.stdout)
}

/// Runs a command to its end with all that it prints in the file `log`.
///
/// # Errors
/// If it cannot be started or does not succeed; the error shows the end of the log and where it is.
pub fn logged(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    let shown = display(command);
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        let mut text = String::new();
        File::open(log)?.read_to_string(&mut text)?;
        bail!(
            "{shown}: {status}\n{}\nthe whole log is in {}",
            end_of(&text),
            log.display()
        );
    }
    Ok(())
}

/// The last lines of a text.
pub fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// The file that a program's name stands for, if it is installed.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(format!("{program}{EXE_SUFFIX}")))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_shows_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo 'no such thing' >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c 'echo"), "{error}");
        assert!(error.contains("no such thing"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_logged_failure_says_where_the_log_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let error = logged(Command::new("sh").args(["-c", "seq 100; exit 1"]), &log)
            .unwrap_err()
            .to_string();
        assert!(error.contains("\n100\n"), "{error}");
        assert!(!error.contains("\n50\n"), "{error}");
        assert!(error.contains(&log.display().to_string()), "{error}");
    }

    #[test]
    fn quoting_is_what_a_shell_undoes() {
        for word in ["plain", "two words", "it's", "", "$HOME"] {
            let echoed =
                output(Command::new("sh").args(["-c", &format!("printf %s {}", quote(word))]));
            assert_eq!(echoed.unwrap(), word.as_bytes());
        }
    }
}
