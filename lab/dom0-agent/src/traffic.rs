//! Ends of network traffic that no standard tool is for: UDP floods with their counts, and TCP as fast as it goes, timed to the microsecond.
//!
//! ```text
//! dom0-agent tcp-send ADDRESS PORT BYTES              prints the bytes and the microseconds that they took
//! dom0-agent tcp-receive ADDRESS PORT                 the same
//! dom0-agent tcp-ends ADDRESS END...                  serves each END once; prints its port, bytes, and their SHA-256 or -
//!                                                     END: take:PORT:HASH or give:PORT:BYTES:SEED; HASH is 0 or 1, SEED 0 for zeroes
//! dom0-agent udp-send ADDRESS PORT SOURCE COUNT SIZE  prints how many were sent
//! dom0-agent udp-count ADDRESS PORT QUIET LIMIT       prints how many came: ends QUIET ms after the last or LIMIT ms after the start
//! ```

use anyhow::Context;
use anyhow::bail;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::str::FromStr;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Bytes that are read or written at once.
pub(crate) const CHUNK: usize = 64 << 10;
/// How long a connection is tried: the other end may not listen yet.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Does what the arguments say and prints what came of it.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["tcp-ends", address, ends @ ..] = words.as_slice() {
        return crate::ends::serve(address, ends);
    }
    let (count, took) = match words.as_slice() {
        ["tcp-send", address, port, bytes] => {
            tcp_send(socket_address(address, port)?, number(bytes)?)?
        }
        ["tcp-receive", address, port] => tcp_receive(socket_address(address, port)?)?,
        ["udp-send", address, port, source, count, size] => udp_send(
            socket_address(address, port)?,
            number(source)?,
            number(count)?,
            number(size)?,
        )?,
        ["udp-count", address, port, quiet, limit] => udp_count(
            socket_address(address, port)?,
            Duration::from_millis(number(quiet)?),
            Duration::from_millis(number(limit)?),
        )?,
        _ => bail!("unknown arguments: {}", arguments.join(" ")),
    };
    println!("{count} {}", took.as_micros());
    Ok(())
}

pub(crate) fn number<T: FromStr<Err = std::num::ParseIntError>>(text: &str) -> anyhow::Result<T> {
    text.parse().with_context(|| format!("{text}: no number"))
}

pub(crate) fn socket_address(address: &str, port: &str) -> anyhow::Result<SocketAddr> {
    let address: IpAddr = address
        .parse()
        .with_context(|| format!("{address}: no IP address"))?;
    Ok(SocketAddr::new(address, number(port)?))
}

fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let start = Instant::now();
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() > CONNECT_LIMIT => {
                return Err(error).with_context(|| format!("cannot connect to {to}"));
            }
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Sends zeroes, and waits until the other end has closed: it has them all then.
fn tcp_send(to: SocketAddr, bytes: u64) -> anyhow::Result<(u64, Duration)> {
    let mut stream = connect(to)?;
    let start = Instant::now();
    let zeroes = [0; CHUNK];
    let mut left = bytes;
    while left != 0 {
        let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        stream.write_all(&zeroes[..length])?;
        left -= length as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut [0; 64])? != 0 {}
    Ok((bytes, start.elapsed()))
}

fn tcp_receive(from: SocketAddr) -> anyhow::Result<(u64, Duration)> {
    let mut stream = connect(from)?;
    let start = Instant::now();
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok((bytes, start.elapsed())),
            count => bytes += count as u64,
        }
    }
}

/// A socket on any address of the family of `like`.
fn udp_socket(like: SocketAddr, port: u16) -> anyhow::Result<UdpSocket> {
    let any: IpAddr = match like.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, port)).with_context(|| format!("cannot use UDP port {port}"))
}

/// Each datagram begins with its number, four bytes, big-endian.
fn udp_send(
    to: SocketAddr,
    source: u16,
    count: u32,
    size: usize,
) -> anyhow::Result<(u64, Duration)> {
    let socket = udp_socket(to, source)?;
    socket.connect(to)?;
    let mut datagram = vec![0x55; size.max(4)];
    let start = Instant::now();
    let mut sent = 0;
    for number in 0..count {
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        match socket.send(&datagram) {
            Ok(_) => sent += 1,
            // The port behind the guest's end answers with ICMP when nobody listens any more: lost, as others are.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    Ok((sent, start.elapsed()))
}

fn udp_count(
    address: SocketAddr,
    quiet: Duration,
    limit: Duration,
) -> anyhow::Result<(u64, Duration)> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot use {address}"))?;
    let start = Instant::now();
    let mut first = None;
    let mut last = start;
    let mut count = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        let wait = if count == 0 { left } else { left.min(quiet) };
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        match socket.recv(&mut buffer) {
            Ok(_) => {
                count += 1;
                last = Instant::now();
                first.get_or_insert(last);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => return Err(error).context("cannot receive"),
        }
    }
    let took = first.map_or(Duration::ZERO, |first| last - first);
    Ok((count, took))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn what_is_sent_over_tcp_arrives_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let bytes = 3 * CHUNK as u64 + 17;
        let receiver = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all.len() as u64
        });
        assert_eq!(tcp_send(to, bytes).unwrap().0, bytes);
        assert_eq!(receiver.join().unwrap(), bytes);
    }

    #[test]
    fn received_bytes_are_counted_to_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = listener.local_addr().unwrap();
        let sender = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(&vec![7; 200_000]).unwrap();
        });
        assert_eq!(tcp_receive(from).unwrap().0, 200_000);
        sender.join().unwrap();
    }

    #[test]
    fn datagrams_are_counted_until_it_is_quiet() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = free.local_addr().unwrap();
        drop(free);
        let counter = thread::spawn(move || {
            udp_count(to, Duration::from_millis(300), Duration::from_secs(10)).unwrap()
        });
        thread::sleep(Duration::from_millis(100));
        assert_eq!(udp_send(to, 0, 20, 100).unwrap().0, 20);
        assert_eq!(counter.join().unwrap().0, 20);
    }

    #[test]
    fn nonsense_is_refused() {
        let run = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            super::run(&words)
        };
        assert!(run(&["tcp-send", "10.0.0.1", "5000"]).is_err());
        assert!(run(&["tcp-send", "here", "5000", "1"]).is_err());
        assert!(run(&["udp-count", "127.0.0.1", "x", "1", "1"]).is_err());
    }
}
