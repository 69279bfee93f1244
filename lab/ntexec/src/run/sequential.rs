//! Steps that go over a range of a disk from its beginning to its end: write, verify, hash.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use lab_protocol::plan::Range;
use lab_protocol::record::Io;
use sha2::{Digest, Sha256};

use super::disk_steps::{Area, Tally, with_knowledge};
use super::hex;
use super::pattern::{Stamp, UNIT};
use crate::disk::client::{Engine, Handle};

/// What a range is gone over for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Write,
    Verify,
    Hash,
}

/// Goes over a range.
pub(super) fn run(
    disk: &Handle,
    range: &Range,
    mode: Mode,
    seed: u64,
    io: &mut Io,
) -> Result<(), String> {
    let area = Area::of(disk, range.offset, range.length)?;
    let block = area.block_size(range.block)?;
    let depth = range.depth.clamp(1, 256) as usize;
    let mut engine = Engine::new(depth, block).ok_or("no memory for the buffers")?;
    let mut pass = Pass {
        disk,
        area,
        block,
        mode,
        stamp: Stamp {
            seed,
            disk: io.target,
            generation: 0,
        },
        hash: Sha256::new(),
        waiting: BTreeMap::new(),
        hashed: area.offset,
    };
    let mut tally = Tally::begin();
    let result = pass.go(&mut engine, &mut tally);
    tally.end(io);
    if mode == Mode::Hash && result.is_ok() {
        io.sha256 = hex::digits(&pass.hash.finalize());
    }
    result
}

struct Pass<'a> {
    disk: &'a Handle,
    area: Area,
    block: usize,
    mode: Mode,
    stamp: Stamp,
    hash: Sha256,
    /// Reads that are done before those ahead of them: offset, and the slot that holds the bytes
    waiting: BTreeMap<u64, (usize, usize)>,
    /// Where the hash stands
    hashed: u64,
}

impl Pass<'_> {
    fn go(&mut self, engine: &mut Engine, tally: &mut Tally) -> Result<(), String> {
        let mut free: alloc::vec::Vec<usize> = (0..engine.depth()).collect();
        let mut of_slot = alloc::vec![(0u64, 0usize); engine.depth()];
        let mut at = self.area.offset;
        let end = self.area.offset + self.area.length;
        let mut failed = None;
        loop {
            while at < end && failed.is_none() {
                let Some(slot) = free.pop() else { break };
                let length =
                    usize::try_from((end - at).min(self.block as u64)).unwrap_or(self.block);
                if self.mode == Mode::Write {
                    self.fill(&mut engine.buffer(slot)[..length], at);
                }
                of_slot[slot] = (at, length);
                if let Err(status) =
                    engine.submit(slot, self.disk, self.mode == Mode::Write, at, 0, length)
                {
                    failed = Some(format!("a request cannot be sent: {status:#x}"));
                }
                at += length as u64;
            }
            let Some(finished) = engine.wait() else { break };
            let (offset, length) = of_slot[finished.slot];
            tally.count(&finished, self.mode == Mode::Write);
            if finished.status < 0 || finished.moved != length {
                failed.get_or_insert_with(|| {
                    format!(
                        "{length} bytes at {offset}: status {:#x}, {} bytes moved",
                        finished.status, finished.moved
                    )
                });
                free.push(finished.slot);
            } else if let Err(why) = self.take(engine, finished.slot, offset, length, &mut free) {
                failed.get_or_insert(why);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn fill(&self, bytes: &mut [u8], at: u64) {
        let first = at / UNIT as u64;
        with_knowledge(self.stamp.disk, |known| {
            known.reset(first, (bytes.len() / UNIT) as u64)
        });
        for (sector, chunk) in (first..).zip(bytes.chunks_exact_mut(UNIT)) {
            self.stamp.fill(sector, chunk);
        }
    }

    /// A request is done: its bytes are looked at, and its slot is free again (now, or once the hash has come to it).
    fn take(
        &mut self,
        engine: &mut Engine,
        slot: usize,
        offset: u64,
        length: usize,
        free: &mut alloc::vec::Vec<usize>,
    ) -> Result<(), String> {
        match self.mode {
            Mode::Write => free.push(slot),
            Mode::Verify => {
                free.push(slot);
                super::disk_steps::compare(
                    self.stamp,
                    offset,
                    &engine.buffer(slot)[..length],
                    true,
                )?;
            }
            Mode::Hash => {
                self.waiting.insert(offset, (slot, length));
                while let Some((slot, length)) = self.waiting.remove(&self.hashed) {
                    self.hash.update(&engine.buffer(slot)[..length]);
                    self.hashed += length as u64;
                    free.push(slot);
                }
            }
        }
        Ok(())
    }
}
