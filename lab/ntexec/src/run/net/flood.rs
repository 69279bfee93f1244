//! `udp-flood`: datagrams as fast as they can be made.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use lab_protocol::net;
use lab_protocol::plan::net::{Direction, FLOOD_PORT, FLOOD_SOURCE_PORT, UdpFlood};
use lab_protocol::record::Record;
use smoltcp::wire::IpEndpoint;

use super::socket::Udp;
use super::{Adapter, Context, microseconds};

/// How long the first datagram may take.
const FIRST: u64 = 10_000_000;
/// How long after the last one no other comes.
const QUIET: u64 = 3_000_000;
/// How long the stack may have no room for one more.
const ROOM: u64 = 30_000_000;
/// Datagrams that are given to the stack at a time.
const BATCH: u32 = 64;

/// Bytes of the headers in front of a datagram's data, at most.
const HEADERS: usize = 48;

/// The bytes of a datagram at most: what the stack can cut into fragments.
fn size(step: &UdpFlood) -> Result<usize, String> {
    const MOST: usize = 16_384 - 28;
    let size = step.size as usize;
    if (4..=MOST).contains(&size) {
        return Ok(size);
    }
    Err(format!(
        "the stack sends datagrams of 4 to {MOST} bytes, not {size}"
    ))
}

/// Has a socket for what dom0 will send.
pub(super) fn prepare(step: &UdpFlood) -> Result<Udp, String> {
    Udp::bind(&Adapter::find(step.nic)?, FLOOD_PORT)
}

fn report(step: &UdpFlood, context: Context, direction: Direction, packets: u64, time: u64) {
    crate::check::emit(&Record::Flood(net::Flood {
        step: context.number,
        nic: step.nic,
        direction,
        packets,
        microseconds: time,
    }));
}

/// Receives.
pub(super) fn receive(step: &UdpFlood, socket: Udp, context: Context) -> Result<(), String> {
    let mut count = 0u64;
    // All may have come before this thread gets its turn: then it is the wait that is measured.
    let begun = microseconds();
    let (mut first, mut last) = (begun, begun);
    while count < u64::from(step.packets) {
        let limit = if count == 0 { FIRST } else { QUIET };
        let came = socket.wait(microseconds() + limit, "a datagram", |socket| {
            let mut came = 0u64;
            while let Ok((bytes, from)) = socket.recv() {
                let right = bytes.len() == step.size as usize;
                came += u64::from(right && from.endpoint.port == FLOOD_SOURCE_PORT);
            }
            (came > 0).then_some(came)
        });
        let Ok(came) = came else { break };
        last = microseconds();
        if count == 0 {
            first = last;
        }
        count += came;
    }
    let first = if first == last { begun } else { first };
    report(step, context, Direction::Receive, count, last - first);
    Ok(())
}

/// Sends.
pub(super) fn send(step: &UdpFlood, context: Context) -> Result<(), String> {
    let adapter = Adapter::find(step.nic)?;
    let size = size(step)?;
    let to = IpEndpoint::new(adapter.peer(step.ipv6)?, FLOOD_PORT);
    let socket = Udp::bind(&adapter, FLOOD_SOURCE_PORT)?;
    let mut datagram = vec![0x55u8; size];
    // The stack cuts one datagram at a time into fragments, and the next one would take its place.
    let mtu = adapter.endpoint.mtu();
    let batch = if size + HEADERS > mtu { 1 } else { BATCH };
    let begun = microseconds();
    let mut number = 0u32;
    while number < step.packets {
        let sent = socket.wait(microseconds() + ROOM, "room for a datagram", |socket| {
            if batch == 1 && socket.send_queue() > 0 {
                return None;
            }
            let mut sent = 0;
            while sent < batch && number + sent < step.packets {
                datagram[..4].copy_from_slice(&(number + sent).to_be_bytes());
                if socket.send_slice(&datagram, to).is_err() {
                    break;
                }
                sent += 1;
            }
            (sent > 0).then_some(sent)
        })?;
        number += sent;
    }
    socket.finish(microseconds() + ROOM)?;
    let time = microseconds() - begun;
    report(step, context, Direction::Send, u64::from(number), time);
    Ok(())
}
