//! Runs in dom0: takes requests from the virtio-serial port of the lab's host and does each in a thread of its own.
//! With arguments it is an end of network traffic instead, in dom0 or in a Linux guest: see `traffic`.
#![forbid(unsafe_code)]

use anyhow::Context;
use anyhow::bail;
use dom0_agent::Action;
use dom0_agent::COPY;
use dom0_agent::Message;
use dom0_agent::Outcome;
use dom0_agent::PORT;
use dom0_agent::Request;
use dom0_agent::Response;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead;
use std::io::BufReader;

use std::io::Read;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use wait_timeout::ChildExt;
use xenstore::Watcher;

mod ends;
mod jobs;
mod traffic;
mod xenstore;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.is_empty() {
        return traffic::run(&arguments);
    }
    copy_itself().with_context(|| format!("cannot write {COPY}"))?;
    let path = wait_for_port(Duration::from_secs(20))?;
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let answers = Arc::new(Mutex::new(port.try_clone()?));
    send(&answers, &Message::Ready)?;
    watch_states(&answers)?;
    serve(BufReader::new(port), &answers)
}

fn copy_itself() -> io::Result<()> {
    if let Some(folder) = Path::new(COPY).parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(std::env::current_exe()?, COPY).map(drop)
}

/// Devices of the port's name come a moment after the module.
fn wait_for_port(limit: Duration) -> anyhow::Result<PathBuf> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(path) = find_port() {
            return Ok(path);
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("no virtio-serial port named {PORT} after {limit:?}")
}

fn find_port() -> Option<PathBuf> {
    fs::read_dir("/sys/class/virtio-ports")
        .ok()?
        .flatten()
        .find(|entry| {
            fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT)
        })
        .map(|entry| PathBuf::from("/dev").join(entry.file_name()))
}

fn serve(mut requests: impl BufRead, answers: &Arc<Mutex<File>>) -> anyhow::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            // The host's end is closed: it may come back.
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                eprintln!("dom0-agent: not a request: {error}: {line:?}");
                continue;
            }
        };
        let answers = Arc::clone(answers);
        thread::spawn(move || {
            let response = Response {
                id: request.id,
                outcome: perform(request.action),
            };
            if let Err(error) = send(&answers, &Message::Response(response)) {
                eprintln!("dom0-agent: cannot answer: {error:#}");
            }
        });
    }
}

fn watch_states(answers: &Arc<Mutex<File>>) -> anyhow::Result<()> {
    let watcher = Watcher::new()?;
    let answers = Arc::clone(answers);
    thread::spawn(move || {
        let outcome = watcher.run(|message| send(&answers, &message));
        if let Err(error) = outcome {
            eprintln!("dom0-agent: no more news from xenstore: {error:#}");
        }
    });
    Ok(())
}

fn send(answers: &Mutex<File>, message: &Message) -> anyhow::Result<()> {
    let line = serde_json::to_string(message)?;
    let mut port = answers
        .lock()
        .map_err(|_| anyhow::anyhow!("a thread died while it was answering"))?;
    port.write_all(format!("{line}\n").as_bytes())?;
    Ok(())
}

fn perform(action: Action) -> Outcome {
    match action {
        Action::Run { argv, timeout_ms } => run(&argv, Duration::from_millis(timeout_ms))
            .unwrap_or_else(|error| Outcome::Failed {
                reason: format!("{error:#}"),
            }),
        Action::Start {
            folder,
            name,
            command,
        } => done(&name, jobs::start(&folder, &name, &command)),
        Action::Read { path } => done(&path, fs::read(&path)),
        Action::Write { path, text } => done(&path, write(&path, &text).map(|()| Vec::new())),
    }
}

/// The outcome of what is done without waiting for a program.
fn done(what: &str, result: io::Result<Vec<u8>>) -> Outcome {
    match result {
        Ok(bytes) => Outcome::Done {
            status: 0,
            stdout: String::from_utf8_lossy(&bytes).into_owned(),
            stderr: String::new(),
        },
        Err(error) => Outcome::Failed {
            reason: format!("{what}: {error}"),
        },
    }
}

/// Opening for reading and writing does not wait for a FIFO's reader.
fn write(path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

fn run(argv: &[String], limit: Duration) -> anyhow::Result<Outcome> {
    let (program, arguments) = argv.split_first().context("no program is named")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = child.wait_timeout(limit)?;
    if status.is_none() {
        // The whole group: a shell's children hold the pipes too.
        let group = format!("-{}", child.id());
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()?;
        child.wait()?;
    }
    // A daemon that the program left behind may hold the pipes for ever: what is there after a moment is what there is.
    let stdout = stdout.take(Duration::from_secs(1));
    let stderr = stderr.take(Duration::from_secs(1));
    Ok(match status {
        Some(status) => Outcome::Done {
            status: status.code().unwrap_or(-1),
            stdout,
            stderr,
        },
        None => Outcome::TimedOut { stdout, stderr },
    })
}

/// What a thread reads from a pipe.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&bytes);
    let reader = pipe.map(|mut pipe| {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                match into.lock() {
                    Ok(mut bytes) => bytes.extend_from_slice(&buffer[..count]),
                    Err(_) => return,
                }
            }
        })
    });
    Collected { bytes, reader }
}

impl Collected {
    fn take(self, limit: Duration) -> String {
        let start = Instant::now();
        while self
            .reader
            .as_ref()
            .is_some_and(|reader| !reader.is_finished())
            && start.elapsed() < limit
        {
            thread::sleep(Duration::from_millis(2));
        }
        self.bytes
            .lock()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}
