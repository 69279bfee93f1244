//! Programs that run in dom0 while other things are done.

use crate::interrupt;
use crate::session::Session;
use anyhow::Context;
use anyhow::bail;
use std::time::Duration;
use std::time::Instant;

/// Where jobs have their files.
pub const FOLDER: &str = "/run/lab/net";
/// How long a job's text may take.
const TEXT_LIMIT: Duration = Duration::from_secs(60);
/// How often a job is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often a condition is tried, each a tenth of a second after the one before.
const WAIT_TRIES: u32 = 200;

/// The jobs of a run. A job has a name, under which its files lie: `NAME.out`, `NAME.err`, `NAME.pid` (its process group), `NAME.status` when it has ended.
pub struct Jobs<'a> {
    session: &'a Session,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit status of the shell
    pub status: i32,
    /// Standard output
    pub stdout: String,
    /// Standard error
    pub stderr: String,
}

/// A text as one word of the shell's.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl<'a> Jobs<'a> {
    /// No jobs yet.
    pub fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// Starts a shell command in a process group of its own. A job of the same name has to have ended.
    ///
    /// # Errors
    /// If dom0 does not do it.
    pub fn start(&self, name: &str, command: &str) -> anyhow::Result<()> {
        self.session.agent().start(FOLDER, name, command)
    }

    /// What a job has written so far.
    ///
    /// # Errors
    /// If there was no such job.
    pub fn so_far(&self, name: &str) -> anyhow::Result<Ended> {
        let read = |end: &str| {
            self.read(&format!("{name}.{end}"))?
                .with_context(|| format!("there is no {name}.{end} in dom0"))
        };
        Ok(Ended {
            status: 0,
            stdout: read("out")?,
            stderr: read("err")?,
        })
    }

    /// A file of a job's. `None` if it is not there.
    fn read(&self, file: &str) -> anyhow::Result<Option<String>> {
        self.session.agent().read(&format!("{FOLDER}/{file}"))
    }

    /// Waits until a job's file has a text that is found in it.
    ///
    /// # Errors
    /// If there is none in time.
    pub fn wait_for_text(&self, file: &str, find: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let start = Instant::now();
        loop {
            let text = self.read(file)?.unwrap_or_default();
            if find(&text) {
                return Ok(text);
            }
            if start.elapsed() > TEXT_LIMIT {
                bail!("{file} in dom0 has only this after {TEXT_LIMIT:?}: {text}");
            }
            interrupt::check()?;
            std::thread::sleep(POLL);
        }
    }

    /// Waits until a program that says so listens.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn wait_until_listening(&self, name: &str) -> anyhow::Result<()> {
        self.wait_for_text(&format!("{name}.err"), |text| text.contains("listening"))
            .map(drop)
    }

    /// Sends a signal to all processes of a job.
    ///
    /// # Errors
    /// If dom0 does not do it.
    pub fn signal(&self, name: &str, signal: &str) -> anyhow::Result<()> {
        // The job may have ended by itself.
        self.session
            .try_shell(&format!("kill -{signal} -- -$(cat {FOLDER}/{name}.pid)"))
            .map(drop)
    }

    /// Waits for a job's end.
    ///
    /// # Errors
    /// If it does not end in time: it is ended then.
    pub fn wait(&self, name: &str, limit: Duration) -> anyhow::Result<Ended> {
        let start = Instant::now();
        loop {
            let status = self.read(&format!("{name}.status"))?;
            if let Ok(status) = status.unwrap_or_default().trim().parse() {
                return Ok(Ended {
                    status,
                    ..self.so_far(name)?
                });
            }
            if start.elapsed() > limit {
                let far = self.so_far(name)?;
                self.signal(name, "KILL")?;
                bail!(
                    "{name} has not ended after {limit:?}: {}{}",
                    far.stdout,
                    far.stderr
                );
            }
            interrupt::check()?;
            std::thread::sleep(POLL);
        }
    }

    /// Waits for a job that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// If it fails or does not end in time.
    pub fn output(&self, name: &str, limit: Duration) -> anyhow::Result<String> {
        let ended = self.wait(name, limit)?;
        if ended.status != 0 {
            bail!("{name} failed with {}: {}", ended.status, ended.stderr);
        }
        Ok(ended.stdout)
    }

    /// Runs a shell command that takes a moment only.
    ///
    /// # Errors
    /// If it fails.
    pub fn shell(&self, command: &str) -> anyhow::Result<String> {
        self.session.shell(command)
    }

    /// Waits until a shell command succeeds.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn wait_for(&self, condition: &str) -> anyhow::Result<()> {
        let command = format!(
            "for _ in $(seq 1 {WAIT_TRIES}); do if {condition}; then exit 0; fi; sleep 0.1; done; exit 1"
        );
        self.session
            .shell(&command)
            .map(drop)
            .with_context(|| format!("in dom0, this did not become true: {condition}"))
    }

    /// Ends all jobs of the run.
    ///
    /// # Errors
    /// If dom0 does not do it.
    pub fn end_all(&self) -> anyhow::Result<()> {
        self.session
            .shell(&format!(
                "for f in {FOLDER}/*.pid; do [ -e $f ] && [ ! -e ${{f%.pid}}.status ] && kill -KILL -- -$(cat $f) 2>/dev/null; done; sleep 0.3; rm -rf {FOLDER}"
            ))
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_word_to_the_shell() {
        let text = "it's $HOME \"x\" \\ `y`";
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quote(text))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}
