//! Sockets that a thread waits for.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::wire::IpEndpoint;

use super::Adapter;
use crate::net::endpoint::{AdapterStack, Endpoint};
use crate::net::event::Event;
use crate::storport::os::SECOND;
use core::sync::atomic::Ordering;

/// How long it takes at most until a waiting thread looks again, in units of 100 ns.
const LOOK_AGAIN: u64 = SECOND / 10;

/// A socket of an adapter's stack, closed when this is dropped.
pub struct Socket {
    endpoint: Arc<Endpoint>,
    handle: SocketHandle,
    event: Arc<Event>,
}

impl Socket {
    fn open(
        adapter: &Adapter,
        make: impl FnOnce(&mut AdapterStack) -> Option<SocketHandle>,
    ) -> Result<Self, String> {
        let endpoint = adapter.endpoint.clone();
        let handle = endpoint
            .with(make)
            .ok_or("the stack has no such socket to give")?;
        let event = Arc::new(Event::new());
        endpoint.tell(handle, event.clone());
        Ok(Self {
            endpoint,
            handle,
            event,
        })
    }

    /// Asks `look` until it has an answer. `until` is a time in microseconds. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// If it takes too long, or the adapter goes.
    fn wait<R>(
        &self,
        until: u64,
        what: &str,
        mut look: impl FnMut(&mut AdapterStack, SocketHandle) -> Option<R>,
    ) -> Result<R, String> {
        loop {
            let result = self
                .endpoint
                .ask(self.handle, |stack| look(stack, self.handle));
            if let Some(result) = result {
                return Ok(result);
            }
            if !self.endpoint.alive() {
                return Err(format!("the adapter went while waiting for {what}"));
            }
            if super::microseconds() >= until {
                return Err(format!("{what} did not come in time"));
            }
            self.event.wait(LOOK_AGAIN);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.endpoint.forget(&self.event);
        self.endpoint.with(|stack| stack.remove(self.handle));
    }
}

/// A TCP connection, or a wait for one.
pub struct Tcp(Socket);

impl Tcp {
    /// Waits for a connection to a port.
    pub(super) fn listen(adapter: &Adapter, port: u16) -> Result<Self, String> {
        Socket::open(adapter, |stack| stack.listen(port)).map(Self)
    }

    /// Connects; tries again until a time in microseconds, as long as nobody listens there. `room` are bytes of the
    /// receive and the send buffer.
    pub(super) fn connect(
        adapter: &Adapter,
        peer: IpEndpoint,
        room: (usize, usize),
        until: u64,
    ) -> Result<Self, String> {
        loop {
            let socket = Socket::open(adapter, |stack| stack.connect(peer, room.0, room.1))?;
            let open = socket.wait(until, "a connection", |stack, handle| {
                match stack.tcp(handle).state() {
                    State::Established | State::CloseWait => Some(true),
                    State::Closed => Some(false),
                    _ => None,
                }
            })?;
            if open {
                return Ok(Self(socket));
            }
            if super::microseconds() >= until {
                return Err(format!("{peer} refuses connections"));
            }
            drop(socket);
            super::super::main::pause(100);
        }
    }

    /// Asks `look` until it has an answer.
    pub fn wait<R>(
        &self,
        until: u64,
        what: &str,
        mut look: impl FnMut(&mut tcp::Socket<'static>) -> Option<R>,
    ) -> Result<R, String> {
        self.0
            .wait(until, what, |stack, handle| look(stack.tcp(handle)))
    }

    /// Sends all of `bytes`: they are in the socket's buffer when this returns.
    pub fn send(&self, mut bytes: &[u8], until: u64) -> Result<(), String> {
        while !bytes.is_empty() {
            let sent = self.wait(until, "room to send", |socket| {
                if !socket.may_send() {
                    return Some(Err("the connection was closed while data was sent"));
                }
                // Not for every acknowledgement's few bytes.
                let room = socket.send_capacity() - socket.send_queue();
                if room < bytes.len().min(socket.send_capacity() / 4) {
                    return None;
                }
                match socket.send_slice(bytes) {
                    Ok(0) => None,
                    Ok(count) => Some(Ok(count)),
                    Err(_) => Some(Err("the connection was reset while data was sent")),
                }
            })??;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Receives what there is, at least a byte; 0 when the peer has closed its direction. `take` gets the bytes as they lie
    /// in the socket's buffer and says how many it took.
    pub fn receive(
        &self,
        until: u64,
        mut take: impl FnMut(&mut [u8]) -> usize,
    ) -> Result<usize, String> {
        self.wait(until, "data", |socket| {
            if socket.can_recv() {
                let taken = socket.recv(|bytes| {
                    let count = take(bytes);
                    (count, count)
                });
                return Some(taken.map_err(|_| "the connection was reset while data was received"));
            }
            if socket.may_recv() {
                return None;
            }
            // After the peer's FIN the socket is in one of these; a reset closes it.
            Some(match socket.state() {
                State::CloseWait | State::Closing | State::LastAck | State::TimeWait => Ok(0),
                _ => Err("the connection was reset while data was received"),
            })
        })?
        .map_err(String::from)
    }

    /// Closes the sending direction and waits until all that was sent is acknowledged, with the FIN.
    pub fn finish(&self, until: u64) -> Result<(), String> {
        self.wait(until, "an end to what is sent", |socket| {
            socket.close();
            Some(())
        })?;
        self.wait(until, "the last acknowledgement", |socket| {
            match socket.state() {
                State::FinWait2 | State::TimeWait => Some(Ok(())),
                // What follows LAST-ACK, if nothing is left to be sent.
                State::Closed if socket.send_queue() == 0 => Some(Ok(())),
                State::Closed => Some(Err("the connection was reset before all was acknowledged")),
                _ => None,
            }
        })??;
        Ok(())
    }

    /// Waits a while for the peer's end, so that it is not answered with a reset.
    pub fn linger(&self) {
        const WHILE: u64 = 3_000_000;
        // A peer that does not end has what it asked for all the same.
        let _ = self.wait(super::microseconds() + WHILE, "the peer's end", |socket| {
            while socket.can_recv() {
                let dropped = socket.recv(|bytes| (bytes.len(), ()));
                if dropped.is_err() {
                    break;
                }
            }
            matches!(socket.state(), State::TimeWait | State::Closed).then_some(())
        });
    }
}

/// A UDP socket.
pub struct Udp(Socket);

impl Udp {
    /// A socket at a port.
    pub(super) fn bind(adapter: &Adapter, port: u16) -> Result<Self, String> {
        Socket::open(adapter, |stack| stack.udp_socket(port)).map(Self)
    }

    /// Asks `look` until it has an answer.
    pub fn wait<R>(
        &self,
        until: u64,
        what: &str,
        mut look: impl FnMut(&mut udp::Socket<'static>) -> Option<R>,
    ) -> Result<R, String> {
        self.0
            .wait(until, what, |stack, handle| look(stack.udp(handle)))
    }

    /// Waits until all datagrams are sent and the adapter is through with them.
    pub fn finish(&self, until: u64) -> Result<(), String> {
        let endpoint = self.0.endpoint.clone();
        self.0.wait(until, "the end of sending", |stack, handle| {
            (stack.udp(handle).send_queue() == 0 && stack.port.sending.is_idle()).then_some(())
        })?;
        while endpoint.running.load(Ordering::SeqCst) && endpoint.has_unsent() {
            super::super::main::pause(1);
        }
        Ok(())
    }
}

/// A socket for echo messages.
pub struct Echoes(Socket);

impl Echoes {
    /// A socket for messages with an identifier.
    pub(super) fn open(adapter: &Adapter, identifier: u16) -> Result<Self, String> {
        Socket::open(adapter, |stack| stack.echo_socket(identifier)).map(Self)
    }

    /// Asks `look` until it has an answer.
    pub fn wait<R>(
        &self,
        until: u64,
        what: &str,
        mut look: impl FnMut(&mut icmp::Socket<'static>) -> Option<R>,
    ) -> Result<R, String> {
        self.0
            .wait(until, what, |stack, handle| look(stack.echo(handle)))
    }
}
