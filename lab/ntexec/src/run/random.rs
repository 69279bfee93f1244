//! Random reads and writes at a depth, every read compared with what was last written there.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lab_protocol::plan;
use lab_protocol::record::Io;

use super::disk_steps::{Area, Tally, compare, with_knowledge};
use super::pattern::{Random, Stamp, UNIT};
use crate::disk::client::{Engine, Handle, find};

/// Space in a buffer for data that begin anywhere in a page.
const SHIFT_ROOM: usize = 4096;
/// How long PnP may take to remove a disk whose requests fail.
const GONE_WITHIN_MS: i64 = 60_000;
const POLL_MS: i64 = 50;

#[derive(Clone, Copy)]
struct Request {
    offset: u64,
    length: usize,
    shift: usize,
    write: bool,
}

/// Does the step.
pub(super) fn run(
    disk: &Handle,
    step: &plan::Random,
    seed: u64,
    number: u32,
    io: &mut Io,
) -> Result<(), String> {
    let area = Area::of(disk, step.offset, step.length)?;
    let (min, max) = (
        area.block_size(step.min_block)?,
        area.block_size(step.max_block)?,
    );
    if min > max {
        return Err(format!("min-block {min} is larger than max-block {max}"));
    }
    let depth = step.depth.clamp(1, 256) as usize;
    let mut engine = Engine::new(depth, max + SHIFT_ROOM).ok_or("no memory for the buffers")?;
    let mut random = Random::new(
        seed ^ u64::from(number).rotate_left(32) ^ u64::from(io.target).rotate_left(48),
    );
    let stamp = Stamp {
        seed,
        disk: io.target,
        generation: 0,
    };
    let mut under_way: Vec<Option<Request>> = alloc::vec![None; depth];
    let (mut moved, mut failed, mut wrong) = (0u64, None, None);
    let mut tally = Tally::begin();
    loop {
        for slot in 0..depth {
            if failed.is_some()
                || wrong.is_some()
                || moved >= step.bytes.0
                || under_way[slot].is_some()
            {
                continue;
            }
            let Some(request) = choose(&mut random, disk, step, &area, min, max, &under_way) else {
                continue;
            };
            moved += request.length as u64;
            let bytes = &mut engine.buffer(slot)[request.shift..request.shift + request.length];
            if request.write {
                with_knowledge(io.target, |known| {
                    known.fill_next(stamp, request.offset / UNIT as u64, bytes)
                });
            } else {
                bytes.fill(0xee);
            }
            match engine.submit(
                slot,
                disk,
                request.write,
                request.offset,
                request.shift,
                request.length,
            ) {
                Ok(()) => under_way[slot] = Some(request),
                Err(status) => failed = Some(format!("a request cannot be sent: {status:#x}")),
            }
        }
        let Some(finished) = engine.wait() else { break };
        let Some(request) = under_way[finished.slot].take() else {
            break;
        };
        tally.count(&finished, request.write);
        if finished.status < 0 || finished.moved != request.length {
            if request.write {
                // It may hold the old or the new: nothing is known.
                let count = request.length as u64 / UNIT as u64;
                with_knowledge(io.target, |known| {
                    known.reset(request.offset / UNIT as u64, count)
                });
            }
            failed.get_or_insert_with(|| {
                let what = if request.write { "write" } else { "read" };
                format!(
                    "{what} of {} bytes at {}: status {:#x}, {} bytes moved",
                    request.length, request.offset, finished.status, finished.moved
                )
            });
        } else if !request.write {
            let bytes =
                &engine.buffer(finished.slot)[request.shift..request.shift + request.length];
            if let Err(why) = compare(stamp, request.offset, bytes, false) {
                wrong.get_or_insert(why);
            }
        }
    }
    tally.end(io);
    match (wrong, failed) {
        (Some(why), _) => Err(why),
        (None, None) if step.until_gone => Err("all was moved and no request failed".into()),
        (None, None) => Ok(()),
        (None, Some(_)) if step.until_gone => wait_until_gone(io.target),
        (None, Some(why)) => Err(why),
    }
}

/// Waits until PnP has removed the disk.
fn wait_until_gone(target: u32) -> Result<(), String> {
    for _ in 0..GONE_WITHIN_MS / POLL_MS {
        if find(target).is_none() {
            return Ok(());
        }
        delay(POLL_MS);
    }
    Err(format!(
        "requests failed, and {GONE_WITHIN_MS} ms later the disk is still there"
    ))
}

fn delay(ms: i64) {
    let interval = -ms * 10_000;
    // SAFETY: PASSIVE_LEVEL, a local interval.
    unsafe { crate::ke::KeDelayExecutionThread(0, 0, &raw const interval) };
}

/// A request that touches none of those under way.
fn choose(
    random: &mut Random,
    disk: &Handle,
    step: &plan::Random,
    area: &Area,
    min: usize,
    max: usize,
    under_way: &[Option<Request>],
) -> Option<Request> {
    const TRIES: u32 = 16;
    let block = u64::from(disk.facts.block);
    for _ in 0..TRIES {
        let blocks = (min as u64 / block) + random.below((max - min) as u64 / block + 1);
        let length = (blocks * block).min(area.length / block * block);
        let places = (area.length - length) / block + 1;
        let offset = area.offset + random.below(places) * block;
        // One in four begins anywhere that the adapter's alignment allows, the others at a sector's place in the page.
        let align = u64::from(disk.facts.alignment_mask) + 1;
        let shift = if random.below(4) == 0 {
            random.below(SHIFT_ROOM as u64 / align.max(4)) * align.max(4)
        } else {
            random.below(8) * 512
        };
        let write = random.below(100) < u64::from(step.writes);
        let free = under_way.iter().flatten().all(|other| {
            offset + length <= other.offset || other.offset + other.length as u64 <= offset
        });
        if free && length > 0 {
            return Some(Request {
                offset,
                length: usize::try_from(length).ok()?,
                shift: usize::try_from(shift).ok()?,
                write,
            });
        }
    }
    None
}
