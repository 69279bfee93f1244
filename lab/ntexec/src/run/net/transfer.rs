//! `transfer`: TCP connections to dom0 that carry data one way each.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use lab_protocol::net;
use lab_protocol::plan::net::{Direction, MAX_CONNECTIONS, RECEIVE_PORT, SEND_PORT, Transfer};
use lab_protocol::record::Record;
use sha2::{Digest, Sha256};
use smoltcp::wire::IpEndpoint;

use super::socket::Tcp;
use super::{Adapter, Context, microseconds};
use crate::net::event::Event;
use crate::run::hex;
use crate::run::pattern::Random;
use crate::storport::os::SECOND;
use crate::sync::Lock;

/// Bytes of all sockets' buffers together.
const ROOM: usize = 8 << 20;
/// Bytes of a buffer in the direction that carries data, at most and at least.
const BUFFER: (usize, usize) = (1 << 20, 64 << 10);
/// Bytes of a buffer in the other direction.
const SMALL_BUFFER: usize = 16 << 10;
/// Bytes that are made and hashed at a time.
const PIECE: usize = 128 << 10;
/// How often a transfer tells how far it is, in microseconds.
const PROGRESS_INTERVAL: u64 = 15_000_000;

/// One way over one connection.
#[derive(Clone, Copy)]
struct Way {
    direction: Direction,
    connection: u16,
    bytes: u64,
    peer: IpEndpoint,
    hash: bool,
    room: usize,
    seed: u64,
    until: u64,
}

/// Bytes that a transfer has moved.
#[derive(Default)]
struct Moved {
    sent: AtomicU64,
    received: AtomicU64,
}

/// What is hashed, if it is.
struct Hash(Option<Sha256>);

impl Hash {
    fn new(on: bool) -> Self {
        Self(on.then(Sha256::new))
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.0 {
            hash.update(bytes);
        }
    }

    fn digits(self) -> String {
        self.0
            .map_or_else(String::new, |hash| hex::digits(&hash.finalize()))
    }
}

impl Way {
    fn send(&self, adapter: &Adapter, sent: &AtomicU64) -> Result<(u64, String, Tcp), String> {
        let socket = Tcp::connect(adapter, self.peer, (SMALL_BUFFER, self.room), self.until)?;
        let mut random = Random::new(self.seed);
        let mut hash = Hash::new(self.hash);
        let mut piece = vec![0u8; PIECE];
        let mut left = self.bytes;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            if self.hash {
                for part in piece.chunks_exact_mut(8) {
                    part.copy_from_slice(&random.draw().to_le_bytes());
                }
                hash.update(&piece[..count]);
            }
            socket.send(&piece[..count], self.until)?;
            left -= count as u64;
            sent.fetch_add(count as u64, Ordering::Relaxed);
        }
        socket.finish(self.until)?;
        Ok((self.bytes, hash.digits(), socket))
    }

    fn receive(
        &self,
        adapter: &Adapter,
        received: &AtomicU64,
    ) -> Result<(u64, String, Tcp), String> {
        let socket = Tcp::connect(adapter, self.peer, (self.room, SMALL_BUFFER), self.until)?;
        let mut hash = Hash::new(self.hash);
        let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
        let mut total = 0u64;
        loop {
            piece.clear();
            let count = socket.receive(self.until, |bytes| {
                if !self.hash {
                    return bytes.len();
                }
                // Hashed outside, where the stack is free.
                let count = bytes.len().min(PIECE);
                piece.extend_from_slice(&bytes[..count]);
                count
            })?;
            if count == 0 {
                break;
            }
            hash.update(&piece);
            total += count as u64;
            received.fetch_add(count as u64, Ordering::Relaxed);
        }
        if total != self.bytes {
            return Err(format!("{total} bytes came instead of {}", self.bytes));
        }
        Ok((total, hash.digits(), socket))
    }

    fn go(&self, adapter: &Adapter, context: Context, moved: &Moved) -> Result<(), String> {
        let begun = microseconds();
        let done = match self.direction {
            Direction::Send => self.send(adapter, &moved.sent),
            _ => self.receive(adapter, &moved.received),
        };
        let time = microseconds() - begun;
        let (bytes, sha256, socket) = done.map_err(|why| {
            format!(
                "{:?}, connection {}: {why}",
                self.direction, self.connection
            )
        })?;
        crate::check::emit(&Record::Transfer(net::Transfer {
            step: context.number,
            nic: adapter.nic,
            direction: self.direction,
            connection: self.connection,
            bytes,
            microseconds: time,
            sha256,
        }));
        if self.direction == Direction::Receive {
            socket.finish(microseconds() + 10_000_000).ok();
        }
        socket.linger();
        Ok(())
    }
}

fn ways(step: &Transfer, adapter: &Adapter, context: Context) -> Result<Vec<Way>, String> {
    let connections = step.connections.clamp(1, MAX_CONNECTIONS);
    let both = if step.direction == Direction::Both {
        2
    } else {
        1
    };
    let room = (ROOM / (usize::from(connections) * both)).clamp(BUFFER.1, BUFFER.0);
    let peer = adapter.peer(step.ipv6)?;
    let mut ways = Vec::new();
    for connection in 0..connections {
        let mut add = |direction: Direction, port: u16| {
            let mark = u64::from(connection) << 8 | u64::from(adapter.nic) << 24;
            ways.push(Way {
                direction,
                connection,
                bytes: step.share(connection),
                peer: IpEndpoint::new(peer, port + connection),
                hash: step.hash,
                room,
                seed: context.seed ^ mark ^ u64::from(context.number) << 40,
                until: microseconds() + u64::from(step.within_ms) * 1000,
            });
        };
        if step.direction.sends() {
            add(Direction::Send, SEND_PORT);
        }
        if step.direction.receives() {
            add(Direction::Receive, RECEIVE_PORT);
        }
    }
    Ok(ways)
}

/// What the threads of a transfer share.
struct Shared {
    results: Lock<Vec<Result<(), String>>>,
    done: Event,
    moved: Moved,
}

/// Does the step.
pub(super) fn run(step: &Transfer, context: Context) -> Result<(), String> {
    let adapter = Arc::new(Adapter::find(step.nic)?);
    let ways = ways(step, &adapter, context)?;
    let count = ways.len();
    let shared = Arc::new(Shared {
        results: Lock::new(Vec::with_capacity(count)),
        done: Event::new(),
        moved: Moved::default(),
    });
    for way in ways {
        let (adapter, to) = (adapter.clone(), shared.clone());
        let task: Box<dyn FnOnce() + Send> = Box::new(move || {
            let result = way.go(&adapter, context, &to.moved);
            to.results.lock().push(result);
            to.done.set();
        });
        if !crate::ke::thread::spawn(task) {
            let failed = Err("no memory for a thread".into());
            shared.results.lock().push(failed);
        }
    }
    let (sends, receives) = (step.direction.sends(), step.direction.receives());
    let mut told = microseconds();
    // Every wait of a way has an end.
    while shared.results.lock().len() < count {
        shared.done.wait(SECOND);
        let now = microseconds();
        if now - told >= PROGRESS_INTERVAL {
            told = now;
            crate::check::emit(&Record::TransferProgress(net::TransferProgress {
                nic: step.nic,
                sent: sends.then(|| shared.moved.sent.load(Ordering::Relaxed)),
                received: receives.then(|| shared.moved.received.load(Ordering::Relaxed)),
                bytes: step.bytes.0,
            }));
        }
    }
    let results = core::mem::take(&mut *shared.results.lock());
    results.into_iter().collect()
}
