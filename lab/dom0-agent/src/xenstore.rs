//! Watching xenstore over its Unix socket (xen/include/public/io/xs_wire.h): much faster than a process a read, so that
//! states which last for some milliseconds are seen.

use anyhow::Context;
use anyhow::bail;
use dom0_agent::Message;
use dom0_agent::StateChange;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Instant;

const SOCKET: &str = "/run/xenstored/socket";
const XS_READ: u32 = 2;
const XS_WATCH: u32 = 4;
const XS_WATCH_EVENT: u32 = 15;
const XS_ERROR: u32 = 16;
/// XENSTORE_PAYLOAD_MAX
const PAYLOAD_MAX: usize = 4096;

/// Where the devices of all domains are.
const WATCHED: &str = "/local/domain";
/// What fires when a domain shuts down or is destroyed (docs/misc/xenstore.txt).
const RELEASED: &str = "@releaseDomain";

/// Reports every change of a device's state, and every end of a domain.
pub struct Watcher {
    connection: Connection<UnixStream>,
    started: Instant,
    known: HashMap<String, String>,
}

impl Watcher {
    /// Connects and sets the watch.
    pub fn new() -> anyhow::Result<Self> {
        let socket =
            UnixStream::connect(SOCKET).with_context(|| format!("cannot connect to {SOCKET}"))?;
        let mut connection = Connection::new(socket);
        for path in [WATCHED, RELEASED] {
            connection
                .call(XS_WATCH, &[path, "lab"])?
                .with_context(|| format!("xenstored refuses the watch on {path}"))?;
        }
        Ok(Self {
            connection,
            started: Instant::now(),
            known: HashMap::new(),
        })
    }

    /// Hands each event to `report`, for as long as xenstored is there.
    pub fn run(
        mut self,
        mut report: impl FnMut(Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let path = self.connection.event()?;
            if path == RELEASED {
                // xenstored fires each watch once when it is set, too: whoever is told looks, and sees that all are well.
                report(Message::DomainEnded)?;
                continue;
            }
            if !is_device_state(&path) {
                continue;
            }
            let value = self.connection.call(XS_READ, &[&path])?.unwrap_or_default();
            if self.known.get(&path).map_or("", String::as_str) == value {
                continue;
            }
            self.known.insert(path.clone(), value.clone());
            report(Message::State(StateChange {
                path,
                value,
                microseconds: self.started.elapsed().as_micros() as u64,
            }))?;
        }
    }
}

/// `/local/domain/N/device/CLASS/ID/state` or `/local/domain/0/backend/CLASS/N/ID/state`
fn is_device_state(path: &str) -> bool {
    path.ends_with("/state") && (path.contains("/device/") || path.contains("/backend/"))
}

struct Connection<S> {
    socket: S,
    events: VecDeque<String>,
}

impl<S: Read + Write> Connection<S> {
    fn new(socket: S) -> Self {
        Self {
            socket,
            events: VecDeque::new(),
        }
    }

    /// One request and its answer; `None` if xenstored answers with an error. Events in between are kept.
    fn call(&mut self, kind: u32, arguments: &[&str]) -> anyhow::Result<Option<String>> {
        let mut payload: Vec<u8> = arguments.join("\0").into_bytes();
        payload.push(0);
        let mut message = Vec::new();
        for word in [kind, 0, 0, payload.len() as u32] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.append(&mut payload);
        self.socket.write_all(&message)?;
        loop {
            match self.receive()? {
                (XS_WATCH_EVENT, payload) => self.keep(&payload),
                (XS_ERROR, _) => return Ok(None),
                (answer, payload) if answer == kind => {
                    return Ok(Some(String::from_utf8_lossy(&payload).into_owned()));
                }
                (answer, _) => bail!("xenstored answers {kind} with {answer}"),
            }
        }
    }

    /// The path of the next event.
    fn event(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(path) = self.events.pop_front() {
                return Ok(path);
            }
            if let (XS_WATCH_EVENT, payload) = self.receive()? {
                self.keep(&payload);
            }
        }
    }

    fn keep(&mut self, payload: &[u8]) {
        let path = payload.split(|byte| *byte == 0).next().unwrap_or_default();
        self.events
            .push_back(String::from_utf8_lossy(path).into_owned());
    }

    fn receive(&mut self) -> anyhow::Result<(u32, Vec<u8>)> {
        let mut header = [[0u8; 4]; 4];
        self.socket.read_exact(header.as_flattened_mut())?;
        let [kind, _, _, length] = header.map(u32::from_le_bytes);
        let length = length as usize;
        if length > PAYLOAD_MAX {
            bail!("xenstored sends {length} bytes at once");
        }
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload)?;
        Ok((kind, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A xenstored that has said everything beforehand.
    struct Script {
        answers: Cursor<Vec<u8>>,
        written: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.answers.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.written.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn script(messages: &[(u32, &[u8])]) -> Connection<Script> {
        let mut answers = Vec::new();
        for (kind, payload) in messages {
            for word in [*kind, 0, 0, payload.len() as u32] {
                answers.extend_from_slice(&word.to_le_bytes());
            }
            answers.extend_from_slice(payload);
        }
        Connection::new(Script {
            answers: Cursor::new(answers),
            written: Vec::new(),
        })
    }

    #[test]
    fn an_event_before_an_answer_is_kept() {
        let mut connection = script(&[(XS_WATCH_EVENT, b"/a/state\0lab\0"), (XS_READ, b"4")]);
        let value = connection.call(XS_READ, &["/b"]).unwrap();
        assert_eq!(value.as_deref(), Some("4"));
        assert_eq!(connection.event().unwrap(), "/a/state");
        assert_eq!(connection.socket.written.len(), 16 + 3);
    }

    #[test]
    fn an_error_is_no_value_and_an_overlong_answer_ends_the_connection() {
        assert_eq!(
            script(&[(XS_ERROR, b"ENOENT\0")])
                .call(XS_READ, &["/b"])
                .unwrap(),
            None
        );
        assert!(
            script(&[(XS_READ, &[0; PAYLOAD_MAX + 1])])
                .call(XS_READ, &["/b"])
                .is_err()
        );
    }

    #[test]
    fn only_devices_states_are_reported() {
        assert!(is_device_state("/local/domain/1/device/vbd/51776/state"));
        assert!(is_device_state(
            "/local/domain/0/backend/qdisk/1/51776/state"
        ));
        assert!(!is_device_state("/local/domain/1/control/state-of-things"));
        assert!(!is_device_state(
            "/local/domain/1/device/vbd/51776/ring-ref"
        ));
    }
}
