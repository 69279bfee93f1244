//! What the lab's host and its agent in dom0 say to each other: JSON objects, one a line, over a virtio-serial port.
//!
//! The host sends [`Request`]s, as many at once as it likes; the agent sends [`Message`]s: it answers each request with a
//! [`Response`] of the same id, in the order in which they are done, and reports what happens in xenstore.
#![forbid(unsafe_code)]

use serde::Deserialize;
use serde::Serialize;

/// The name of the virtio-serial port.
pub const PORT: &str = "lab.agent";

/// Where the agent puts a copy of itself before it says that it runs, for use as an end of traffic: the share, which it is started
/// from, hands out pages one by one, and a program takes seconds to start from there.
pub const COPY: &str = "/run/lab/dom0-agent";

/// What the agent sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// It is there: before anything else.
    Ready,
    /// A request is done.
    Response(Response),
    /// The state of a frontend or backend changed in xenstore.
    State(StateChange),
    /// A domain has shut down or is gone: xenstored does not say which one.
    DomainEnded,
}

/// A change of a `state` node in xenstore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// The node
    pub path: String,
    /// Its value, or empty if the node is gone
    pub value: String,
    /// When it was seen, in microseconds since the agent started
    pub microseconds: u64,
}

/// Something that the agent is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the host, given back in the response
    pub id: u64,
    /// What to do
    pub action: Action,
}

/// What an agent can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Runs a program.
    Run {
        /// The program and its arguments
        argv: Vec<String>,
        /// After so many milliseconds it is killed
        timeout_ms: u64,
    },
    /// Starts a shell command that goes on by itself, in a process group of its own. Its files are `NAME.out`, `NAME.err`,
    /// `NAME.pid` (the group) and, when it has ended, `NAME.status`; what was there of that name is removed.
    Start {
        /// The folder of its files, in which it runs; it is made
        folder: String,
        /// Its name
        name: String,
        /// What bash does, with `pipefail`
        command: String,
    },
    /// Reads a file, without a process: starting one costs dom0 a tenth of a second and more.
    Read {
        /// The file
        path: String,
    },
    /// Writes to a file that exists, such as a FIFO, which must have a reader.
    Write {
        /// The file
        path: String,
        /// What to write
        text: String,
    },
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id
    pub id: u64,
    /// The outcome
    pub outcome: Outcome,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The program ended by itself; or it was started, or the file was read or written (status 0).
    Done {
        /// Its exit status; -1 if a signal ended it
        status: i32,
        /// Its standard output, or what was read
        stdout: String,
        /// Its standard error
        stderr: String,
    },
    /// The program was still running when its time was over, and was killed.
    TimedOut {
        /// Its standard output so far
        stdout: String,
        /// Its standard error so far
        stderr: String,
    },
    /// The program could not be started, or the file not read or written.
    Failed {
        /// Why
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let request = Request {
            id: 7,
            action: Action::Run {
                argv: vec!["sh".into(), "-c".into(), "echo a\necho b".into()],
                timeout_ms: 1000,
            },
        };
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }
}
