//! `echo`: the guest sends back what dom0 sends.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lab_protocol::plan::net::{ECHO_PORT, Echo};

use super::socket::Tcp;
use super::{Adapter, microseconds};

/// Bytes that are taken at a time.
const PIECE: usize = 64 << 10;

/// Listens.
pub(super) fn prepare(step: &Echo) -> Result<Tcp, String> {
    Tcp::listen(&Adapter::find(step.nic)?, ECHO_PORT)
}

/// Does the step.
pub(super) fn run(step: &Echo, socket: Tcp) -> Result<(), String> {
    let until = microseconds() + u64::from(step.within_ms) * 1000;
    socket.wait(until, "a connection", |socket| {
        (socket.may_recv() || socket.may_send()).then_some(())
    })?;
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
    let mut total = 0u64;
    loop {
        piece.clear();
        let count = socket.receive(until, |bytes| {
            let count = bytes.len().min(PIECE);
            piece.extend_from_slice(&bytes[..count]);
            count
        })?;
        if count == 0 {
            break;
        }
        total += count as u64;
        socket.send(&piece, until)?;
    }
    socket.finish(until)?;
    if total != step.bytes.0 {
        return Err(format!("{total} bytes came to be echoed"));
    }
    Ok(())
}
