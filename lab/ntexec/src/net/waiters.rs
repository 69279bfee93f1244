//! Threads that wait for sockets, and which of them a change concerns.
//!
//! A thread is told of its own socket's changes only, and once until it looks again. If every change woke all of them, each
//! would look, and whoever looked would wake the others: with some connections nothing else would be done.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::iface::SocketHandle;

/// What a thread that waits for a socket goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// A TCP connection's state, as a number
    pub state: u8,
    /// Bytes that came and were not taken
    pub received: usize,
    /// Bytes that are to be sent, or were and are not acknowledged
    pub queued: usize,
    /// Nothing is on its way to the adapter, for sockets whose user waits for that
    pub idle: bool,
}

struct Waiter<E> {
    handle: SocketHandle,
    event: Arc<E>,
    /// What it saw when it looked last
    seen: Mark,
    /// It was told since
    told: bool,
}

/// The threads. `E` is what they wait for.
pub struct Waiters<E>(Vec<Waiter<E>>);

impl<E> Waiters<E> {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A thread waits for a socket. It has not looked yet.
    pub fn add(&mut self, handle: SocketHandle, event: Arc<E>) {
        self.0.push(Waiter {
            handle,
            event,
            seen: Mark::default(),
            told: false,
        });
    }

    /// The thread of this event waits no more.
    pub fn remove(&mut self, event: &Arc<E>) {
        self.0.retain(|waiter| !Arc::ptr_eq(&waiter.event, event));
    }

    /// Somebody looked at a socket, and left it like this.
    pub fn looked(&mut self, handle: SocketHandle, mark: Mark) {
        for waiter in self.0.iter_mut().filter(|waiter| waiter.handle == handle) {
            (waiter.seen, waiter.told) = (mark, false);
        }
    }

    /// Those that are to be told, given what each socket is like now.
    pub fn to_tell(&mut self, mark: impl Fn(SocketHandle) -> Mark) -> Vec<Arc<E>> {
        let mut events = Vec::new();
        for waiter in self.0.iter_mut().filter(|waiter| !waiter.told) {
            if mark(waiter.handle) != waiter.seen {
                waiter.told = true;
                events.push(waiter.event.clone());
            }
        }
        events
    }
}

impl<E> Default for Waiters<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::iface::SocketSet;
    use smoltcp::socket::icmp;

    fn handles() -> [SocketHandle; 2] {
        let mut sockets = SocketSet::new(Vec::new());
        let buffer =
            || icmp::PacketBuffer::new(alloc::vec![icmp::PacketMetadata::EMPTY], alloc::vec![0; 8]);
        [(); 2].map(|()| sockets.add(icmp::Socket::new(buffer(), buffer())))
    }

    fn with(received: usize) -> Mark {
        Mark {
            received,
            ..Mark::default()
        }
    }

    #[test]
    fn only_the_thread_whose_socket_changed_is_told_and_once() {
        let [a, b] = handles();
        let (of_a, of_b) = (Arc::new('a'), Arc::new('b'));
        let mut waiters = Waiters::new();
        waiters.add(a, of_a.clone());
        waiters.add(b, of_b.clone());
        let told = |waiters: &mut Waiters<char>, received: usize| -> Vec<char> {
            let mark = |handle| with(if handle == a { received } else { 0 });
            waiters.to_tell(mark).iter().map(|event| **event).collect()
        };
        assert_eq!(told(&mut waiters, 0), []);
        assert_eq!(told(&mut waiters, 5), ['a']);
        // It has not looked yet.
        assert_eq!(told(&mut waiters, 6), []);
        waiters.looked(a, with(6));
        assert_eq!(told(&mut waiters, 6), []);
        // It took all, and as much came again.
        waiters.looked(a, with(0));
        assert_eq!(told(&mut waiters, 6), ['a']);
        waiters.looked(a, with(6));
        waiters.remove(&of_a);
        assert_eq!(told(&mut waiters, 7), []);
        waiters.remove(&of_b);
        assert!(waiters.0.is_empty());
    }
}
