//! What the disk steps share: areas, counts, the knowledge of contents; and the short ones among them.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use lab_protocol::plan::{self, Bytes, Step, target_of};
use lab_protocol::record::Io;

use super::knowledge::Knowledge;
use super::pattern::{Stamp, UNIT};
use super::{hex, random, sequential};
use crate::disk::client::{self, Finished, Handle, microseconds};
use crate::disk::sense::Sense;
use crate::sync::Lock;

static KNOWN: Lock<BTreeMap<u32, Knowledge>> = Lock::new(BTreeMap::new());

/// Uses what is known of a disk's contents.
pub(super) fn with_knowledge<R>(target: u32, f: impl FnOnce(&mut Knowledge) -> R) -> R {
    // Taken out while it is used, so that filling buffers does not keep interrupts off. Steps that run at once on one
    // disk would not see each other's knowledge: `parallel` refuses them.
    let mut known = KNOWN.lock().remove(&target).unwrap_or_default();
    let result = f(&mut known);
    KNOWN.lock().insert(target, known);
    result
}

/// A part of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub offset: u64,
    pub length: u64,
    block: u32,
}

impl Area {
    /// The part that a plan names.
    pub fn of(disk: &Handle, offset: Bytes, length: Option<Bytes>) -> Result<Self, String> {
        Self::checked(
            disk.facts.capacity(),
            disk.facts.block,
            offset.0,
            length.map(|bytes| bytes.0),
        )
    }

    fn checked(
        capacity: u64,
        block: u32,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Self, String> {
        let length = length.unwrap_or(capacity.saturating_sub(offset));
        let size = u64::from(block.max(1));
        if !offset.is_multiple_of(size) || !length.is_multiple_of(size) {
            return Err(format!(
                "offset {offset} or length {length} is not a multiple of the disk's block of {size} bytes"
            ));
        }
        if length == 0 || offset.checked_add(length).is_none_or(|end| end > capacity) {
            return Err(format!(
                "{length} bytes at {offset} do not lie on the disk of {capacity} bytes"
            ));
        }
        Ok(Self {
            offset,
            length,
            block: block.max(1),
        })
    }

    /// A request's size, in whole blocks of the disk and at most 16 MiB.
    pub fn block_size(&self, wanted: Bytes) -> Result<usize, String> {
        const MOST: u64 = 16 << 20;
        let size = u64::from(self.block);
        if wanted.0 > MOST {
            return Err(format!(
                "requests of {} are larger than the limit of {}",
                wanted,
                Bytes(MOST)
            ));
        }
        let rounded = wanted.0.next_multiple_of(size).max(size);
        usize::try_from(rounded).map_err(|_| format!("requests of {rounded} bytes are too large"))
    }
}

/// Counts what a step does.
pub(super) struct Tally {
    begun: u64,
    io: Io,
    latency: u64,
}

impl Tally {
    /// Starts the clock.
    pub fn begin() -> Self {
        Self {
            begun: microseconds(),
            io: Io::default(),
            latency: 0,
        }
    }

    /// A request is done.
    pub fn count(&mut self, finished: &Finished, write: bool) {
        self.io.requests += 1;
        let bytes = if write {
            &mut self.io.bytes_written
        } else {
            &mut self.io.bytes_read
        };
        *bytes += finished.moved as u64;
        self.latency += finished.microseconds;
        self.io.latency_max = self.io.latency_max.max(finished.microseconds);
    }

    /// Stops the clock and reports.
    pub fn end(self, to: &mut Io) {
        to.requests += self.io.requests;
        to.bytes_read += self.io.bytes_read;
        to.bytes_written += self.io.bytes_written;
        to.microseconds += microseconds().saturating_sub(self.begun);
        to.latency_mean = self.latency / self.io.requests.max(1);
        to.latency_max = self.io.latency_max;
    }
}

/// Compares bytes with what was last written.
pub(super) fn compare(stamp: Stamp, offset: u64, bytes: &[u8], plain: bool) -> Result<(), String> {
    let found = with_knowledge(stamp.disk, |known| {
        known.mismatch(stamp, offset / UNIT as u64, bytes, plain)
    });
    match found {
        None => Ok(()),
        Some((sector, at)) => {
            let here = usize::try_from(sector * UNIT as u64 - offset).unwrap_or(0) + at;
            let got = bytes
                .get(here..bytes.len().min(here + 16))
                .unwrap_or_default();
            Err(format!(
                "byte {at} of sector {sector} is not what was written; there is {}",
                hex::digits(got)
            ))
        }
    }
}

/// The disk that a plan names.
fn disk(name: &str, io: &mut Io) -> Result<Handle, String> {
    let target = target_of(name).ok_or_else(|| format!("{name} is no disk's name"))?;
    io.target = target;
    client::find(target).ok_or_else(|| format!("there is no disk {name} (target {target})"))
}

/// The name of the disk that a step is for.
pub(super) fn disk_of(step: &Step) -> Option<&str> {
    match step {
        Step::Write(range) | Step::Verify(range) | Step::Hash(range) => Some(&range.disk),
        Step::Random(random) => Some(&random.disk),
        Step::Flush { disk } => Some(disk),
        Step::Cdb(cdb) => Some(&cdb.disk),
        _ => None,
    }
}

/// Does a step for one disk. PASSIVE_LEVEL.
pub(super) fn run(step: &Step, seed: u64, number: u32, io: &mut Io) -> Result<(), String> {
    let name = disk_of(step).ok_or("this is no step for a disk")?;
    let disk = disk(name, io)?;
    match step {
        Step::Write(range) => sequential::run(&disk, range, sequential::Mode::Write, seed, io),
        Step::Verify(range) => sequential::run(&disk, range, sequential::Mode::Verify, seed, io),
        Step::Hash(range) => sequential::run(&disk, range, sequential::Mode::Hash, seed, io),
        Step::Random(step) => random::run(&disk, step, seed, number, io),
        Step::Flush { .. } => {
            let tally = Tally::begin();
            let flushed = disk.flush();
            tally.end(io);
            flushed.map_err(|status| format!("status {status:#x}"))
        }
        Step::Cdb(cdb) => command(&disk, cdb),
        _ => Err("this is no step for a disk".into()),
    }
}

/// Sends a raw command and compares what comes back.
fn command(disk: &Handle, step: &plan::Cdb) -> Result<(), String> {
    let cdb = hex::bytes(&step.cdb).ok_or("cdb is no list of bytes")?;
    let send = hex::bytes(&step.send).ok_or("send is no list of bytes")?;
    let expect = hex::pattern(&step.expect).ok_or("expect is no list of bytes")?;
    let receive = usize::try_from(step.receive.0).map_err(|_| "receive is too large")?;
    let answer = disk.command(&cdb, receive, &send)?;
    let sense = Sense::parse(&answer.sense).map(|sense| [sense.key, sense.asc, sense.ascq]);
    let came = || {
        format!(
            "SRB status {:#x}, SCSI status {:#x}, sense {sense:x?}, data {}",
            answer.srb_status,
            answer.scsi_status,
            hex::digits(&answer.data[..answer.data.len().min(64)])
        )
    };
    let matches = answer.data.len() >= expect.len()
        && expect
            .iter()
            .zip(&answer.data)
            .all(|(want, got)| want.is_none_or(|want| want == *got));
    if answer.scsi_status != step.status {
        Err(format!(
            "expected SCSI status {:#x}; {}",
            step.status,
            came()
        ))
    } else if step.sense.is_some() && sense != step.sense {
        Err(format!("expected sense {:x?}; {}", step.sense, came()))
    } else if !matches {
        Err(format!("expected data {}; {}", step.expect, came()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_lies_on_the_disk_in_whole_blocks() {
        assert_eq!(
            Area::checked(1 << 20, 4096, 4096, None).map(|area| area.length),
            Ok((1 << 20) - 4096)
        );
        for (offset, length) in [
            (512, None),
            (0, Some(100)),
            (0, Some(0)),
            (0, Some(2 << 20)),
            (1 << 20, None),
            (u64::MAX - 4095, Some(8192)),
        ] {
            assert!(
                Area::checked(1 << 20, 4096, offset, length).is_err(),
                "{offset} {length:?}"
            );
        }
    }

    #[test]
    fn request_sizes_are_rounded_up_to_the_disks_block() {
        let area = Area::checked(1 << 20, 4096, 0, None).unwrap();
        assert_eq!(area.block_size(Bytes(512)), Ok(4096));
        assert!(area.block_size(Bytes(1 << 30)).is_err());
    }
}
