//! The host's end of the channel to the agent in dom0.

use crate::interrupt;
use crate::log::Log;
use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use dom0_agent::Action;
use dom0_agent::Message;
use dom0_agent::Outcome;
use dom0_agent::Request;
use dom0_agent::StateChange;
use std::collections::HashMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How much longer than the program's own limit an answer may take: the machine is slow.
const GRACE: Duration = Duration::from_secs(20);

/// How long the agent may take to do what needs no program: a busy dom0 gets to it late.
const FILE_LIMIT: Duration = Duration::from_secs(60);

type Waiters = Arc<Mutex<Option<HashMap<u64, mpsc::Sender<Outcome>>>>>;

/// A connection to the agent.
pub struct Agent {
    socket: Mutex<UnixStream>,
    waiters: Waiters,
    next: AtomicU64,
    log: Log,
}

/// What a program in dom0 printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status
    pub status: i32,
    /// Its standard output
    pub stdout: String,
    /// Its standard error
    pub stderr: String,
}

/// What the agent reports by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It runs.
    Ready,
    /// A device's state changed.
    State(StateChange),
    /// A domain has ended, whichever it is.
    DomainEnded,
}

impl Agent {
    /// Talks over QEMU's end of the channel; `news` gets what the agent reports by itself.
    ///
    /// # Errors
    /// If the socket cannot be shared.
    pub fn new(
        socket: UnixStream,
        log: Log,
        news: impl FnMut(News) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let waiters: Waiters = Arc::new(Mutex::new(Some(HashMap::new())));
        let reader = BufReader::new(socket.try_clone()?);
        let (of_reader, log_of_reader) = (Arc::clone(&waiters), log.clone());
        thread::spawn(move || read(reader, &of_reader, &log_of_reader, news));
        Ok(Self {
            socket: Mutex::new(socket),
            waiters,
            next: AtomicU64::new(1),
            log,
        })
    }

    /// Runs a shell command, which may fail.
    ///
    /// # Errors
    /// If it cannot be run or does not end in time, or dom0 is gone.
    pub fn try_shell(&self, command: &str, limit: Duration) -> anyhow::Result<Output> {
        self.try_run(&["bash", "-c", command], limit)
    }

    /// Runs a shell command and returns what it printed.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn shell(&self, command: &str, limit: Duration) -> anyhow::Result<String> {
        self.run(&["bash", "-c", command], limit)
    }

    /// Runs a program and returns what it printed.
    ///
    /// # Errors
    /// If it fails, cannot be run or does not end in time, or dom0 is gone.
    pub fn run(&self, argv: &[&str], limit: Duration) -> anyhow::Result<String> {
        let output = self.try_run(argv, limit)?;
        if output.status != 0 {
            bail!(
                "in dom0: {}: exit status {}\n{}{}",
                argv.join(" "),
                output.status,
                output.stdout,
                output.stderr
            );
        }
        Ok(output.stdout)
    }

    /// Runs a program, which may fail.
    ///
    /// # Errors
    /// If it cannot be run or does not end in time, or dom0 is gone.
    pub fn try_run(&self, argv: &[&str], limit: Duration) -> anyhow::Result<Output> {
        let action = Action::Run {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            timeout_ms: limit.as_millis() as u64,
        };
        match self.perform(action, limit + GRACE)? {
            Outcome::Done {
                status,
                stdout,
                stderr,
            } => Ok(Output {
                status,
                stdout,
                stderr,
            }),
            Outcome::TimedOut { stdout, stderr } => bail!(
                "in dom0: {}: still running after {limit:?}\n{stdout}{stderr}",
                argv.join(" ")
            ),
            Outcome::Failed { reason } => bail!("in dom0: {}: {reason}", argv.join(" ")),
        }
    }

    /// Starts a shell command that goes on by itself; see [`Action::Start`].
    ///
    /// # Errors
    /// If it cannot be started or dom0 is gone.
    pub fn start(&self, folder: &str, name: &str, command: &str) -> anyhow::Result<()> {
        let action = Action::Start {
            folder: folder.to_owned(),
            name: name.to_owned(),
            command: command.to_owned(),
        };
        match self.perform(action, FILE_LIMIT)? {
            Outcome::Done { .. } => Ok(()),
            outcome => bail!("in dom0: cannot start {command}: {outcome:?}"),
        }
    }

    /// Reads a file in dom0. `None` if it is not there.
    ///
    /// # Errors
    /// If dom0 is gone.
    pub fn read(&self, path: &str) -> anyhow::Result<Option<String>> {
        let action = Action::Read {
            path: path.to_owned(),
        };
        match self.perform(action, FILE_LIMIT)? {
            Outcome::Done { stdout, .. } => Ok(Some(stdout)),
            _ => Ok(None),
        }
    }

    /// Writes to a file in dom0.
    ///
    /// # Errors
    /// If the file is not there or dom0 is gone.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let action = Action::Write {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        match self.perform(action, FILE_LIMIT)? {
            Outcome::Done { .. } => Ok(()),
            outcome => bail!("in dom0: cannot write {path}: {outcome:?}"),
        }
    }

    fn perform(&self, action: Action, limit: Duration) -> anyhow::Result<Outcome> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = serde_json::to_string(&Request { id, action })?;
        let (sender, receiver) = mpsc::channel();
        self.waiters
            .lock()
            .map_err(poisoned)?
            .as_mut()
            .context("the agent in dom0 is gone")?
            .insert(id, sender);
        self.log.line(&format!("> {line}"));
        self.socket
            .lock()
            .map_err(poisoned)?
            .write_all(format!("{line}\n").as_bytes())
            .context("the agent in dom0 is gone")?;
        wait(&receiver, limit).with_context(|| format!("waiting for dom0 to do {line}"))
    }
}

fn wait(receiver: &mpsc::Receiver<Outcome>, limit: Duration) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    loop {
        match receiver.recv_timeout(interrupt::INTERVAL) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Disconnected) => bail!("the agent in dom0 is gone"),
            Err(RecvTimeoutError::Timeout) => interrupt::check()?,
        }
        if start.elapsed() > limit {
            bail!("no answer after {limit:?}");
        }
    }
}

fn poisoned<T>(_: T) -> anyhow::Error {
    anyhow!("a thread of the lab died")
}

fn read(mut reader: impl BufRead, waiters: &Waiters, log: &Log, mut news: impl FnMut(News)) {
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        log.line(&format!("< {text}"));
        match serde_json::from_str(&text) {
            Ok(Message::Ready) => news(News::Ready),
            Ok(Message::State(change)) => news(News::State(change)),
            Ok(Message::DomainEnded) => news(News::DomainEnded),
            Ok(Message::Response(response)) => {
                let waiter = waiters
                    .lock()
                    .ok()
                    .and_then(|mut waiters| waiters.as_mut()?.remove(&response.id));
                if let Some(waiter) = waiter {
                    // Whoever asked may have stopped waiting.
                    waiter.send(response.outcome).ok();
                }
            }
            Err(error) => log.line(&format!("not a message: {error}")),
        }
    }
    // The senders go, and with them every wait.
    if let Ok(mut waiters) = waiters.lock() {
        waiters.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dom0_agent::Response;
    use std::os::unix::net::UnixListener;

    fn agent_that(answer: impl FnOnce(UnixStream) + Send + 'static) -> (Agent, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || answer(listener.accept().unwrap().0));
        let log = crate::log::Folder::create(folder.path(), "logs")
            .unwrap()
            .log("agent.log")
            .unwrap();
        (
            Agent::new(UnixStream::connect(&path).unwrap(), log, |_| {}).unwrap(),
            folder,
        )
    }

    #[test]
    fn an_answer_reaches_the_one_who_asked() {
        let (agent, _folder) = agent_that(|mut socket| {
            let mut line = String::new();
            BufReader::new(socket.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            let request: Request = serde_json::from_str(&line).unwrap();
            for id in [request.id + 7, request.id] {
                let response = Message::Response(Response {
                    id,
                    outcome: Outcome::Done {
                        status: 0,
                        stdout: id.to_string(),
                        stderr: String::new(),
                    },
                });
                let line = serde_json::to_string(&response).unwrap();
                writeln!(socket, "{line}").unwrap();
            }
        });
        let printed = agent.run(&["true"], Duration::from_secs(5)).unwrap();
        assert_eq!(printed, "1");
    }

    #[test]
    fn an_agent_that_goes_ends_the_wait() {
        let (agent, _folder) = agent_that(drop);
        let error = agent.run(&["true"], Duration::from_secs(60)).unwrap_err();
        assert!(format!("{error:#}").contains("gone"), "{error:#}");
    }
}
