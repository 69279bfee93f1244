//! `ping`: ICMP echoes to dom0.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use lab_protocol::net;
use lab_protocol::plan::net::Ping;
use lab_protocol::record::Record;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};

use super::socket::Echoes;
use super::{Adapter, Context, microseconds};
use crate::run::pattern::Random;

/// How long an answer may take once there was one.
const LIMIT: u64 = 5_000_000;
/// How long until the first request is sent again.
const AGAIN: u64 = 200_000;
/// Bytes that the stack puts together from fragments, and cuts.
const MOST: usize = 16_384 - 28;

struct Pinger {
    socket: Echoes,
    from: IpAddress,
    to: IpAddress,
    identifier: u16,
    size: usize,
    seed: u64,
}

impl Pinger {
    fn payload(&self, sequence: u16) -> Vec<u8> {
        let mut random = Random::new(self.seed ^ u64::from(sequence));
        let mut bytes = vec![0; self.size];
        for part in bytes.chunks_mut(8) {
            let draw = random.draw().to_le_bytes();
            part.copy_from_slice(&draw[..part.len()]);
        }
        bytes
    }

    fn message(&self, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let checksums = ChecksumCapabilities::default();
        if let (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) = (self.from, self.to) {
            let repr = Icmpv6Repr::EchoRequest {
                ident: self.identifier,
                seq_no: sequence,
                data: payload,
            };
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(
                &from,
                &to,
                &mut Icmpv6Packet::new_unchecked(&mut bytes),
                &checksums,
            );
            return bytes;
        }
        let repr = Icmpv4Repr::EchoRequest {
            ident: self.identifier,
            seq_no: sequence,
            data: payload,
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes), &checksums);
        bytes
    }

    /// Sends one request and waits for its answer: how long it took, in microseconds.
    fn once(&self, sequence: u16, limit: u64) -> Result<u64, String> {
        const HEADER: usize = 8;
        let payload = self.payload(sequence);
        let message = self.message(sequence, &payload);
        let begun = microseconds();
        let until = begun + limit;
        self.socket.wait(until, "room for a request", |socket| {
            socket.send_slice(&message, self.to).ok()
        })?;
        self.socket.wait(until, "an echo's answer", |socket| {
            while let Ok((answer, _)) = socket.recv() {
                // Sequence number and data are the request's; an answer that came late is passed over.
                let number = answer.get(6..HEADER).map(|n| [n[0], n[1]]);
                if number == Some(sequence.to_be_bytes()) {
                    let same = answer.get(HEADER..) == Some(payload.as_slice());
                    return Some(if same {
                        Ok(microseconds() - begun)
                    } else {
                        Err(format!(
                            "the answer to request {sequence} has other data, or {} bytes",
                            answer.len()
                        ))
                    });
                }
            }
            None
        })?
    }
}

/// Does the step.
pub(super) fn run(step: &Ping, context: Context) -> Result<(), String> {
    let adapter = Adapter::find(step.nic)?;
    let to = adapter.peer(step.ipv6)?;
    let from = adapter
        .endpoint
        .look(|stack| stack.source(&to))
        .ok_or("the stack has no address")?;
    let size = step.size as usize;
    if size > MOST {
        return Err(format!(
            "the stack sends {MOST} bytes in an echo at most, not {size}"
        ));
    }
    let identifier = 0x4e00 | (context.number as u16 & 0xff);
    let pinger = Pinger {
        socket: Echoes::open(&adapter, identifier)?,
        from,
        to,
        identifier,
        size,
        seed: context.seed ^ u64::from(context.number) << 32,
    };
    let until = microseconds() + u64::from(step.within_ms) * 1000;
    let mut sequence = 0u16;
    while let Err(why) = pinger.once(sequence, AGAIN) {
        if microseconds() >= until {
            return Err(why);
        }
        sequence = sequence.wrapping_add(1);
    }
    let mut report = net::Ping {
        step: context.number,
        nic: step.nic,
        ..net::Ping::default()
    };
    let mut total = 0;
    let mut result = Ok(());
    for _ in 0..step.count {
        sequence = sequence.wrapping_add(1);
        report.sent += 1;
        match pinger.once(sequence, LIMIT) {
            Ok(took) => {
                report.received += 1;
                total += took;
                report.max = report.max.max(took);
            }
            Err(why) => result = Err(why),
        }
    }
    report.mean = total / u64::from(report.received.max(1));
    crate::check::emit(&Record::Ping(report));
    result
}
