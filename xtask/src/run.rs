//! Running a long command: its output goes into a log, the person who waits sees how it goes, and a failure shows the
//! command, the end of its output and where the whole log is.

use crate::jobs;
use anyhow::{Context as _, bail};
use lab_host::command::{display, end_of};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a step that takes long says what it is doing.
const REPORT_EVERY: Duration = Duration::from_secs(15);
/// How often the process is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How much of a log's end is read to find its last lines.
const TAIL: u64 = 16 * 1024;

/// The root folder of this workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask's folder lies in the workspace")
}

/// The folder where logs go.
///
/// # Errors
/// If it cannot be made.
pub fn log_folder() -> anyhow::Result<PathBuf> {
    let folder = workspace().join("target/logs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A command that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub time: Duration,
    /// The file with all that it printed.
    pub log: PathBuf,
    command: String,
}

impl Finished {
    /// The error that tells of a failure.
    ///
    /// # Errors
    /// Unless the command succeeded.
    pub fn succeeded(self, title: &str) -> anyhow::Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        bail!(
            "{title}: failed ({})\n  command: {}\n--- the end of its output\n{}\n--- the whole log: {}",
            self.status,
            self.command,
            end_of(&tail(&self.log)?),
            self.log.display()
        );
    }
}

/// Runs `command` to its end as the step `title`, which also names the log.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub fn step(title: &str, command: &mut Command) -> anyhow::Result<Finished> {
    to_end(title, command)?.succeeded(title)
}

/// Runs `command` to its end, whatever that is.
///
/// # Errors
/// If it cannot be started.
pub fn to_end(title: &str, command: &mut Command) -> anyhow::Result<Finished> {
    let (log, file) = own_log(&log_folder()?, &file_name(title))?;
    let shown = display(command);
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let _slot = jobs::take(command)?;
    let start = Instant::now();
    let status =
        wait(title, command, &log, start).with_context(|| format!("cannot run {shown}"))?;
    Ok(Finished {
        status,
        time: start.elapsed(),
        log,
        command: shown,
    })
}

/// The log of a step, empty. A step of this name that runs in another process has the plain name: this one gets the process'
/// number. The lock on it lasts until the command, which writes to it, has ended.
fn own_log(folder: &Path, name: &str) -> anyhow::Result<(PathBuf, File)> {
    let plain = folder.join(format!("{name}.log"));
    let numbered = folder.join(format!("{name}-{}.log", std::process::id()));
    for log in [plain, numbered] {
        let open = || {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&log)
        };
        let file = open().with_context(|| format!("cannot write {}", log.display()))?;
        if file.try_lock().is_ok() {
            file.set_len(0)?;
            return Ok((log, file));
        }
    }
    bail!("the logs of {name} in {} are in use", folder.display())
}

/// A cargo of the tool chain that runs this program.
pub fn host_cargo(subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).arg(subcommand);
    command
}

/// Waits for the command, with a line now and then.
fn wait(
    title: &str,
    command: &mut Command,
    log: &Path,
    start: Instant,
) -> anyhow::Result<ExitStatus> {
    let mut child = command.spawn()?;
    let mut reported = start;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            let text = tail(log).unwrap_or_default();
            let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
            eprintln!(
                "  {title}, {} s: {}",
                start.elapsed().as_secs(),
                line.unwrap_or("running")
            );
        }
        thread::sleep(POLL);
    }
}

/// The end of a log.
fn tail(log: &Path) -> anyhow::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A title as a file's name.
fn file_name(title: &str) -> String {
    title
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_shows_the_command_the_end_of_its_output_and_the_log() {
        let error = step(
            "test of a failing step",
            Command::new("sh").args(["-c", "seq 9999; exit 7"]),
        )
        .expect_err("exit 7 is a failure")
        .to_string();
        assert!(error.contains("sh -c 'seq 9999; exit 7'"), "{error}");
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.contains("\n9999\n"), "{error}");
        assert!(error.contains("test-of-a-failing-step.log"), "{error}");
        assert!(!error.contains("\n5000\n"), "{error}");
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = step("test of no command", &mut Command::new("/no/such/program"))
            .expect_err("no program");
        assert!(
            format!("{error:#}").contains("/no/such/program"),
            "{error:#}"
        );
    }

    #[test]
    fn steps_of_one_name_at_once_have_a_log_each() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (first, taken) = own_log(folder.path(), "step")?;
        let (second, _other) = own_log(folder.path(), "step")?;
        assert_eq!(first, folder.path().join("step.log"));
        assert_ne!(first, second);
        drop(taken);
        assert_eq!(own_log(folder.path(), "step")?.0, first);
        Ok(())
    }
}
