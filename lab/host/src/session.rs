//! A running Xen: QEMU with dom0 in it, its console and its agent. Guests run in it one after the other.

use crate::agent::Agent;
use crate::agent::News;
use crate::agent::Output;
use crate::disk::Disk;
use crate::dom0;
use crate::interrupt;
use crate::log;
use crate::log::Folder;
use crate::qemu;
use anyhow::Context;
use anyhow::bail;
use dom0_agent::StateChange;
use std::fs;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

/// How long dom0 may take to come up: 8 s on an idle machine, many times that on a busy one.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// How long QEMU may take to end by itself, so that image formats with data of their own are complete.
const END_LIMIT: Duration = Duration::from_secs(30);

/// What the name of a session's folder begins with.
const WORK: &str = "xen-lab-";
/// The file in it that is locked for as long as the session lives.
const LOCK: &str = "lock";

/// Removes the folders of sessions whose process was killed.
fn sweep(parent: &Path) {
    let folders = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in folders.map(|entry| entry.path()) {
        let ours = folder
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(WORK));
        let lock = folder.join(LOCK);
        if ours && lock.is_file() && log::take(&lock).is_ok_and(|taken| taken.is_some()) {
            // What cannot be removed is another user's.
            fs::remove_dir_all(&folder).ok();
        }
    }
}

/// What happens in a running Xen, in the order in which the host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line on Xen's console
    Console(String),
    /// A device's state in xenstore
    State(StateChange),
    /// A domain has shut down or is gone, whichever it is
    DomainEnded,
    /// The agent runs
    Ready,
    /// QEMU has ended
    Ended,
}

/// What a session is made of.
#[derive(Debug)]
pub struct Setup<'a> {
    /// What QEMU boots
    pub image: &'a dom0::Image,
    /// The agent, a program that needs no libraries
    pub agent: &'a Path,
    /// Disks for all guests of the session
    pub disks: &'a [Disk],
    /// The most memory that a guest gets, in MiB
    pub guest_memory: u64,
}

/// A running Xen. When it is dropped, QEMU is killed.
pub struct Session {
    qemu: Child,
    agent: Agent,
    events: mpsc::Receiver<Event>,
    // QEMU's sockets and the folder that dom0 sees as /share
    work: tempfile::TempDir,
    _taken: Option<File>,
    logs: Folder,
    devices: Vec<String>,
}

impl Session {
    /// Boots Xen and waits for dom0's agent.
    ///
    /// # Errors
    /// If QEMU cannot be started or dom0 does not come up.
    pub fn boot(setup: &Setup<'_>, logs: Folder) -> anyhow::Result<Self> {
        sweep(&std::env::temp_dir());
        let work = tempfile::Builder::new().prefix(WORK).tempdir()?;
        let taken = log::take(&work.path().join(LOCK))?;
        let share = work.path().join("share");
        fs::create_dir(&share)?;
        fs::copy(setup.agent, share.join("dom0-agent")).context("no agent for dom0")?;
        let (sender, events) = mpsc::channel();
        let mut qemu = qemu::start(setup, work.path(), &logs, sender.clone())?;
        let connected = connect(&mut qemu, work.path(), &logs, sender);
        let agent = match connected {
            Ok(agent) => agent,
            Err(error) => {
                qemu::kill(&mut qemu);
                return Err(error.context(end_of_console(&logs)));
            }
        };
        let mut session = Self {
            qemu,
            agent,
            events,
            work,
            _taken: taken,
            logs,
            devices: Vec::new(),
        };
        session
            .wait_for_agent()
            .with_context(|| end_of_console(&session.logs))?;
        session.devices = session.find_devices(setup.disks.len())?;
        Ok(session)
    }

    fn wait_for_agent(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < BOOT_LIMIT {
            match self.event(interrupt::INTERVAL)? {
                Some(Event::Ready) => return Ok(()),
                Some(Event::Ended) => bail!("QEMU ended while dom0 was booting"),
                _ => {}
            }
        }
        bail!("dom0 is not up after {BOOT_LIMIT:?}")
    }

    /// dom0's device for each disk of the setup, by the serial number that QEMU was told.
    fn find_devices(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let list =
            self.shell("for d in /sys/block/vd*; do echo ${d##*/} $(cat $d/serial); done")?;
        (0..count)
            .map(|index| {
                list.lines()
                    .filter_map(|line| line.split_once(' '))
                    .find(|(_, serial)| *serial == qemu::serial(index))
                    .map(|(device, _)| format!("/dev/{device}"))
                    .with_context(|| format!("disk {index} is not in dom0; there are:\n{list}"))
            })
            .collect()
    }

    /// dom0's device for the disk of this index in the setup.
    pub fn device(&self, disk: usize) -> Option<&str> {
        self.devices.get(disk).map(String::as_str)
    }

    /// The folder that dom0 sees as `/share`.
    pub fn share(&self) -> std::path::PathBuf {
        self.work.path().join("share")
    }

    /// Where the logs are.
    pub fn logs(&self) -> &Folder {
        &self.logs
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Runs a shell command in dom0 that takes a moment only, and must succeed.
    ///
    /// # Errors
    /// If it fails.
    pub fn shell(&self, command: &str) -> anyhow::Result<String> {
        self.agent.shell(command, Duration::from_secs(60))
    }

    /// Runs a shell command in dom0 that takes a moment only, and may fail.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn try_shell(&self, command: &str) -> anyhow::Result<Output> {
        self.agent.try_shell(command, Duration::from_secs(60))
    }

    /// The next event, if one comes within the time.
    ///
    /// # Errors
    /// If the user wants to stop.
    pub fn event(&self, limit: Duration) -> anyhow::Result<Option<Event>> {
        interrupt::check()?;
        match self.events.recv_timeout(limit) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(Event::Ended)),
        }
    }

    /// Has Xen handle debug keys, and returns what Xen printed. Lines of guests are not in it.
    ///
    /// # Errors
    /// If dom0 does not do it.
    pub fn debug_keys(&self, keys: &str) -> anyhow::Result<String> {
        let text = self.shell(&format!(
            "xl dmesg -c >/dev/null; xl debug-keys {keys} && sleep 0.3 && xl dmesg"
        ))?;
        Ok(text
            .lines()
            .filter_map(|line| line.strip_prefix("(XEN) "))
            .filter(|line| !line.starts_with("(d"))
            .map(|line| format!("{line}\n"))
            .collect())
    }

    /// Ends QEMU in order, so that the files of the disks are complete.
    ///
    /// # Errors
    /// If QEMU does not end.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.agent.shell("sync", Duration::from_secs(60))?;
        qemu::terminate(&mut self.qemu, END_LIMIT)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        qemu::kill(&mut self.qemu);
    }
}

fn connect(
    qemu: &mut Child,
    work: &Path,
    logs: &Folder,
    events: mpsc::Sender<Event>,
) -> anyhow::Result<Agent> {
    let socket = work.join(qemu::AGENT_SOCKET);
    let start = Instant::now();
    // QEMU makes the socket first and listens on it a moment later.
    let stream = loop {
        if let Ok(stream) = UnixStream::connect(&socket) {
            break stream;
        }
        if let Some(status) = qemu.try_wait()? {
            bail!("QEMU ended at once: {status}");
        }
        if start.elapsed() > END_LIMIT {
            bail!("QEMU made no socket within {END_LIMIT:?}");
        }
        interrupt::check()?;
        std::thread::sleep(interrupt::INTERVAL);
    };
    Agent::new(stream, logs.log("agent.log")?, move |news| {
        let event = match news {
            News::Ready => Event::Ready,
            News::State(change) => Event::State(change),
            News::DomainEnded => Event::DomainEnded,
        };
        // A session that is being dropped listens no more.
        events.send(event).ok();
    })
}

fn end_of_console(logs: &Folder) -> String {
    let path = logs.path().join(qemu::CONSOLE_LOG);
    let text = fs::read(&path).unwrap_or_default();
    format!(
        "the end of Xen's console:\n{}\nthe whole log is in {}",
        crate::command::end_of(&String::from_utf8_lossy(&text)),
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_nobody_has_any_more_are_swept() -> anyhow::Result<()> {
        let parent = tempfile::tempdir()?;
        let folder = |name: &str| -> anyhow::Result<std::path::PathBuf> {
            let path = parent.path().join(name);
            fs::create_dir(&path)?;
            fs::write(path.join(LOCK), "")?;
            Ok(path)
        };
        let (dead, alive, other) = (folder("xen-lab-a")?, folder("xen-lab-b")?, folder("b")?);
        let taken = log::take(&alive.join(LOCK))?;
        sweep(parent.path());
        assert!(!dead.exists() && alive.exists() && other.exists());
        drop(taken);
        Ok(())
    }
}
