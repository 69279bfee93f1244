//! The TCP/IP stack of one adapter: smoltcp's interface and sockets over a [`Port`].

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::{Socket, dhcpv4, icmp, tcp, udp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv6Address,
    Ipv6Cidr,
};

use super::device::{Frame, Port};
use super::offload::Offloads;
use super::waiters::Mark;

/// Bytes of a listening socket's buffer, a direction.
const TCP_BUFFER: usize = 256 << 10;
/// Datagrams that a UDP socket keeps.
const UDP_DATAGRAMS: usize = 1024;
/// Bytes that a UDP socket keeps.
const UDP_BUFFER: usize = 1 << 20;
/// Echo messages that a socket keeps, and their bytes.
const ECHOES: (usize, usize) = (8, 128 << 10);
/// Rounds of sending in one [`Stack::poll`]: each gives every socket one packet.
const SEND_ROUNDS: usize = 512;
/// How long a stack whose adapter takes no more frames waits at most before it looks again.
const BLOCKED: Duration = Duration::from_millis(100);
/// A connection whose peer does not answer for so long is closed.
const TCP_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection on which nothing is under way asks its peer for an answer so often. Linux drops what it has no memory for, says that
/// its window is 0, and may not say when it opens again; smoltcp probes a closed window only if nothing was under way when it closed.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The stack.
pub struct Stack<F: Frame, R> {
    /// The adapter's queues
    pub port: Port<F, R>,
    /// The sockets
    pub sockets: SocketSet<'static>,
    interface: Box<Interface>,
    mac: EthernetAddress,
    seed: u64,
    dhcp: Option<SocketHandle>,
    gateway: Option<Ipv4Address>,
    next_port: u16,
    clock: Instant,
}

/// What [`Stack::poll`] left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing to do before the time given, or before something comes
    Until(Option<Instant>),
    /// More to do at once
    More,
}

fn interface<F: Frame, R: AsRef<[u8]>>(
    port: &mut Port<F, R>,
    mac: EthernetAddress,
    seed: u64,
    now: Instant,
) -> Box<Interface> {
    let mut config = Config::new(HardwareAddress::Ethernet(mac));
    config.random_seed = seed;
    Box::new(Interface::new(config, port, now))
}

/// The interface identifier that a MAC address gives (RFC 4291, appendix A), below fe80::/64.
pub fn link_local(mac: [u8; 6]) -> Ipv6Address {
    let [a, b, c, d, e, f] = mac;
    Ipv6Address::new(
        0xfe80,
        0,
        0,
        0,
        u16::from_be_bytes([a ^ 2, b]),
        u16::from_be_bytes([c, 0xff]),
        u16::from_be_bytes([0xfe, d]),
        u16::from_be_bytes([e, f]),
    )
}

impl<F: Frame, R: AsRef<[u8]>> Stack<F, R> {
    /// A stack with its link-local IPv6 address and no other. `mac` is a unicast address.
    pub fn new(mac: [u8; 6], mtu: usize, offloads: Offloads, seed: u64, now: Instant) -> Self {
        let mut port = Port::new(mtu, offloads);
        let address = EthernetAddress(mac);
        let interface = interface(&mut port, address, seed, now);
        let mut stack = Self {
            port,
            sockets: SocketSet::new(Vec::new()),
            interface,
            mac: address,
            seed,
            dhcp: None,
            gateway: None,
            next_port: 49152 + (seed % 8192) as u16,
            clock: now,
        };
        stack.set_addresses(&[]);
        stack
    }

    /// Gives the stack these addresses, besides the link-local one.
    pub fn set_addresses(&mut self, addresses: &[IpCidr]) {
        let own = IpCidr::Ipv6(Ipv6Cidr::new(link_local(self.mac.0), 64));
        self.interface.update_ip_addrs(|list| {
            list.clear();
            for address in addresses.iter().chain([&own]) {
                // The list holds as many as smoltcp was built for; more are not asked for.
                let _ = list.push(*address);
            }
        });
    }

    /// The addresses that it has.
    pub fn addresses(&self) -> &[IpCidr] {
        self.interface.ip_addrs()
    }

    /// Its IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Address> {
        self.interface.ipv4_addr()
    }

    /// The adapter offers something else from now on, and has another MTU: connections stay.
    pub fn set_device(&mut self, mtu: usize, offloads: Offloads) {
        self.port.set_device(mtu, offloads);
        let addresses = Vec::from(self.interface.ip_addrs());
        self.interface = interface(&mut self.port, self.mac, self.seed, self.clock);
        self.interface.update_ip_addrs(|list| {
            for address in addresses {
                let _ = list.push(address);
            }
        });
        if let Some(gateway) = self.gateway {
            self.set_gateway(gateway);
        }
    }

    fn set_gateway(&mut self, gateway: Ipv4Address) {
        self.gateway = Some(gateway);
        // A table that is full keeps its routes.
        let _ = self.interface.routes_mut().add_default_ipv4_route(gateway);
    }

    /// Asks for an address by DHCP from now on.
    pub fn start_dhcp(&mut self) {
        if self.dhcp.is_none() {
            self.dhcp = Some(self.sockets.add(dhcpv4::Socket::new()));
        }
    }

    /// Ends DHCP.
    pub fn stop_dhcp(&mut self) {
        if let Some(handle) = self.dhcp.take() {
            self.sockets.remove(handle);
        }
    }

    /// Looks for frames, timers and data to send, and does at most `budget` frames that came.
    pub fn poll(&mut self, now: Instant, budget: usize) -> Left {
        self.clock = now;
        self.interface.poll_maintenance(now);
        for _ in 0..budget {
            let done = self
                .interface
                .poll_ingress_single(now, &mut self.port, &mut self.sockets);
            if done == PollIngressSingleResult::None {
                break;
            }
        }
        self.take_lease();
        let mut more = !self.port.receiving.is_empty();
        let mut rounds = 0;
        while self
            .interface
            .poll_egress(now, &mut self.port, &mut self.sockets)
            == PollResult::SocketStateChanged
        {
            rounds += 1;
            if rounds == SEND_ROUNDS {
                more = true;
                break;
            }
        }
        if more && !self.port.receiving.is_empty() {
            return Left::More;
        }
        if !self.port.sending.has_room() {
            // There is something to do for when frames come back, which is told by itself.
            return Left::Until(Some(now + BLOCKED));
        }
        if more {
            return Left::More;
        }
        Left::Until(self.interface.poll_at(now, &self.sockets))
    }

    fn take_lease(&mut self) {
        let Some(handle) = self.dhcp else { return };
        let socket = self.sockets.get_mut::<dhcpv4::Socket>(handle);
        match socket.poll() {
            Some(dhcpv4::Event::Configured(lease)) => {
                let (address, router) = (lease.address, lease.router);
                self.set_addresses(&[IpCidr::Ipv4(address)]);
                if let Some(router) = router {
                    self.set_gateway(router);
                }
            }
            Some(dhcpv4::Event::Deconfigured) => self.set_addresses(&[]),
            None => {}
        }
    }

    fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == u16::MAX { 49152 } else { port + 1 };
        port
    }

    fn tcp_socket(receive: usize, send: usize) -> tcp::Socket<'static> {
        let buffer = |bytes: usize| tcp::SocketBuffer::new(vec![0; bytes]);
        let mut socket = tcp::Socket::new(buffer(receive), buffer(send));
        socket.set_timeout(Some(TCP_TIMEOUT));
        socket.set_keep_alive(Some(TCP_KEEP_ALIVE));
        // One acknowledgement for what one poll brought. A delayed one comes a clock tick late, and a sender that has less
        // than a segment left waits for it each time.
        socket.set_ack_delay(None);
        socket
    }

    /// Begins a connection with buffers of so many bytes for what is received and sent. `None` if there is no way to the peer.
    pub fn connect(
        &mut self,
        peer: IpEndpoint,
        receive: usize,
        send: usize,
    ) -> Option<SocketHandle> {
        let mut socket = Self::tcp_socket(receive, send);
        let local = self.port();
        socket.connect(self.interface.context(), peer, local).ok()?;
        Some(self.sockets.add(socket))
    }

    /// Waits for a connection to a port.
    pub fn listen(&mut self, port: u16) -> Option<SocketHandle> {
        let mut socket = Self::tcp_socket(TCP_BUFFER, TCP_BUFFER);
        socket.listen(port).ok()?;
        Some(self.sockets.add(socket))
    }

    /// A TCP socket.
    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// A UDP socket at a port; 0 for any.
    pub fn udp_socket(&mut self, port: u16) -> Option<SocketHandle> {
        let buffer = || {
            udp::PacketBuffer::new(
                vec![udp::PacketMetadata::EMPTY; UDP_DATAGRAMS],
                vec![0; UDP_BUFFER],
            )
        };
        let mut socket = udp::Socket::new(buffer(), buffer());
        let port = if port == 0 { self.port() } else { port };
        socket.bind(port).ok()?;
        Some(self.sockets.add(socket))
    }

    /// A UDP socket.
    pub fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// A socket for echo messages with an identifier.
    pub fn echo_socket(&mut self, identifier: u16) -> Option<SocketHandle> {
        let buffer = || {
            icmp::PacketBuffer::new(
                vec![icmp::PacketMetadata::EMPTY; ECHOES.0],
                vec![0; ECHOES.1],
            )
        };
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(identifier)).ok()?;
        Some(self.sockets.add(socket))
    }

    /// An echo socket.
    pub fn echo(&mut self, handle: SocketHandle) -> &mut icmp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// The address that the stack would send from.
    pub fn source(&self, peer: &IpAddress) -> Option<IpAddress> {
        self.interface.get_source_address(peer)
    }

    /// What a thread that waits for a socket goes by; the same for all sockets that are not there.
    pub fn mark(&self, handle: SocketHandle) -> Mark {
        let of = self.sockets.iter().find(|(other, _)| *other == handle);
        match of {
            Some((_, Socket::Tcp(socket))) => Mark {
                state: socket.state() as u8,
                received: socket.recv_queue(),
                queued: socket.send_queue(),
                idle: false,
            },
            Some((_, Socket::Udp(socket))) => Mark {
                state: 0,
                received: socket.recv_queue(),
                queued: socket.send_queue(),
                idle: self.port.sending.is_idle(),
            },
            Some((_, Socket::Icmp(socket))) => Mark {
                state: 0,
                received: socket.recv_queue(),
                queued: socket.send_queue(),
                idle: false,
            },
            _ => Mark::default(),
        }
    }

    /// Closes a socket at once.
    pub fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }
}

#[cfg(test)]
mod tests;
