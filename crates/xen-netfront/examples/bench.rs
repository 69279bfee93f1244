//! How fast the portable part of a network adapter is: `cargo run --release -p xen-netfront --example bench`.
//!
//! The backend is a few lines that answer at once, and its time is not counted; grants are a counter's increment. What is
//! left is what this crate costs a driver, on one processor.

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use xen_netfront::checksum::Sum;
use xen_netfront::grant::{Client, Fragment, PAGE_SIZE, StillInUse};
use xen_netfront::hash::Toeplitz;
use xen_netfront::header::{HEADER_MAX, Headers};
use xen_netfront::segment::Segmenter;
use xen_netfront::{rx, tx};

const PAGE: usize = PAGE_SIZE as usize;
/// How long each line is measured.
const TIME: Duration = Duration::from_millis(300);
/// Packets of a batch.
const BATCH: usize = 32;

#[derive(Clone)]
struct Memory(Arc<[AtomicU32]>);

impl Memory {
    fn new() -> Self {
        Self((0..PAGE / 4).map(|_| AtomicU32::new(0)).collect())
    }

    /// Words of an entry.
    fn entry(&self, index: u32, words: usize) -> &[AtomicU32] {
        let at = 16 + (index % 256) as usize * words;
        &self.0[at..at + words]
    }
}

impl xen_front::RingMemory for Memory {
    fn words(&self) -> &[AtomicU32] {
        &self.0
    }
}

/// One packet's memory, and own pages.
struct Sender {
    packet: Vec<u8>,
    own: Vec<[u8; PAGE]>,
    grants: u32,
}

impl tx::Host for Sender {
    type Grant = u32;

    fn grant(&mut self, _: u64) -> Option<u32> {
        self.grants += 1;
        Some(self.grants)
    }

    fn reference(&self, grant: u32) -> u32 {
        grant
    }

    fn end(&mut self, _: u32) -> Result<(), StillInUse> {
        Ok(())
    }

    fn page_frame(&self, page: u16) -> u64 {
        u64::from(page)
    }

    fn page(&mut self, page: u16) -> &mut [u8] {
        &mut self.own[usize::from(page)]
    }

    fn fragment(&self, _: Client, offset: u32) -> Option<Fragment> {
        let length = (self.packet.len() as u32).checked_sub(offset)?;
        Some(Fragment {
            address: 0x10_0000 + u64::from(offset),
            length,
        })
    }

    fn copy_in(&mut self, _: Client, offset: u32, page: u16, at: u32, length: u32) -> bool {
        let from = &self.packet[offset as usize..(offset + length) as usize];
        self.own[usize::from(page)][at as usize..][..from.len()].copy_from_slice(from);
        true
    }
}

/// A pool of pages; the reference of a grant is its page's number.
struct Receiver {
    pages: Vec<[u8; PAGE]>,
}

impl rx::Pages for Receiver {
    fn page(&mut self, page: u16) -> &mut [u8] {
        &mut self.pages[usize::from(page)]
    }
}

impl rx::Host for Receiver {
    type Grant = u32;

    fn grant(&mut self, page: u16) -> Option<u32> {
        Some(u32::from(page))
    }

    fn reference(&self, grant: u32) -> u32 {
        grant
    }

    fn end(&mut self, _: u32) -> Result<(), StillInUse> {
        Ok(())
    }
}

/// A TCP frame over IPv4, checksums left out.
fn frame(payload: usize) -> Vec<u8> {
    let mut frame = vec![0x02; 12];
    frame.extend([0x08, 0x00, 0x45, 0x00]);
    frame.extend((40 + payload as u16).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([
        0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0,
    ]);
    frame.extend((0..payload).map(|i| i as u8));
    frame
}

/// Calls `f`, which says how long it took and how much it did, until the time is over; returns amount a second.
fn rate(mut f: impl FnMut() -> (Duration, u64)) -> f64 {
    let (mut time, mut amount) = (Duration::ZERO, 0);
    while time < TIME {
        let (took, did) = f();
        time += took;
        amount += did;
    }
    amount as f64 / time.as_secs_f64()
}

fn timed(amount: u64, f: impl FnOnce()) -> (Duration, u64) {
    let start = Instant::now();
    f();
    (start.elapsed(), amount)
}

fn checksums() {
    for size in [64, 1460, 65_536] {
        let bytes = vec![0xA5; size];
        let rate = rate(|| {
            timed(1000 * size as u64, || {
                for _ in 0..1000 {
                    black_box(Sum::of(black_box(&bytes)));
                }
            })
        });
        println!("checksum of {size:>6} bytes: {:8.2} GB/s", rate / 1e9);
    }
}

fn hashes() {
    let mut toeplitz = Box::new(Toeplitz::ZERO);
    toeplitz.set_key(&std::array::from_fn(|i| i as u8 * 7 + 1));
    for size in [12, 36] {
        let input = vec![0x5A; size];
        let rate = rate(|| {
            timed(1000, || {
                for _ in 0..1000 {
                    black_box(toeplitz.hash(&[black_box(&input)]));
                }
            })
        });
        println!("hash over {size:>2} bytes:       {:8.2} M/s", rate / 1e6);
    }
    let frame = frame(0);
    let rate = rate(|| {
        timed(1000, || {
            for _ in 0..1000 {
                black_box(Headers::parse(black_box(&frame), 1514));
            }
        })
    });
    println!("headers parsed:           {:8.2} M/s", rate / 1e6);
}

fn send(name: &str, payload: usize, mss: u16, trusted: bool) {
    let memory = Memory::new();
    let capacity = tx::Capacity {
        packets: 256,
        pages: 256,
    };
    let mut queue = tx::Queue::<Memory, Sender>::new(capacity).expect("memory");
    let limits = tx::Limits {
        scatter_gather: true,
        checksum_ipv4: true,
        checksum_ipv6: true,
        segment_ipv4: true,
        segment_ipv6: true,
        trusted,
        copy_limit: PAGE_SIZE,
    };
    queue.connect(tx::Ring::new(memory.clone()).expect("a page"), limits);
    let mut host = Sender {
        packet: frame(payload),
        own: vec![[0; PAGE]; 256],
        grants: 0,
    };
    let packet = tx::Packet {
        client: Client(1),
        length: host.packet.len() as u32,
        offload: tx::Offload {
            tcp_checksum: true,
            segment: NonZeroU16::new(mss),
            ..tx::Offload::default()
        },
        tag: None,
    };
    let mut answered = 0u32;
    let rate = rate(|| {
        let start = Instant::now();
        let mut count = 0;
        while count < BATCH as u64 && queue.send(&mut host, &packet).is_ok() {
            count += 1;
        }
        black_box(queue.publish());
        let sending = start.elapsed();
        // The backend: each request's id with status OKAY, NULL for an extra info.
        let prod = memory.0[0].load(Ordering::Acquire);
        let mut extra = false;
        while answered != prod {
            let entry = memory.entry(answered, 3);
            let flags = entry[1].load(Ordering::Relaxed) >> 16;
            let id = entry[2].load(Ordering::Relaxed) & 0xFFFF;
            entry[0].store(if extra { 1 << 16 } else { id }, Ordering::Relaxed);
            extra = !extra && flags & 8 != 0;
            answered = answered.wrapping_add(1);
        }
        memory.0[2].store(answered, Ordering::Release);
        let start = Instant::now();
        queue.poll(&mut host, 1000).expect("right answers");
        while queue.pop_finished().is_some() {}
        (sending + start.elapsed(), count)
    });
    let bytes = rate * host.packet.len() as f64 * 8.0;
    println!(
        "send {name}: {:8.3} M packets/s, {:7.1} Gbit/s",
        rate / 1e6,
        bytes / 1e9
    );
}

fn receive(name: &str, payload: usize, mss: u16) {
    let memory = Memory::new();
    let mut queue = rx::Queue::<Memory, Receiver>::new(1024).expect("memory");
    queue.connect(rx::Ring::new(memory.clone()).expect("a page"));
    let mut host = Receiver {
        pages: vec![[0; PAGE]; 1024],
    };
    let frame = frame(payload);
    let mut answered = 0u32;
    queue.refill(&mut host);
    let mut posted = VecDeque::new();
    let mut seen = 0u32;
    let rate = rate(|| {
        let prod = memory.0[0].load(Ordering::Acquire);
        while seen != prod {
            let entry = memory.entry(seen, 2);
            let id = entry[0].load(Ordering::Relaxed) & 0xFFFF;
            posted.push_back((id, entry[1].load(Ordering::Relaxed) as usize));
            seen = seen.wrapping_add(1);
        }
        let slots = frame.len().div_ceil(PAGE) + usize::from(mss != 0);
        for _ in 0..BATCH.min(posted.len() / slots) {
            for slot in 0..slots {
                let (id, page) = posted.pop_front().expect("posted");
                let entry = memory.entry(answered, 2);
                answered = answered.wrapping_add(1);
                if mss != 0 && slot == 1 {
                    entry[0].store(u32::from(mss) << 16 | 1, Ordering::Relaxed);
                    entry[1].store(1, Ordering::Relaxed);
                    continue;
                }
                let index = if mss != 0 && slot > 1 { slot - 1 } else { slot };
                let part = &frame[index * PAGE..frame.len().min((index + 1) * PAGE)];
                let extra = u32::from(mss != 0 && slot == 0) << 3;
                let more = u32::from(slot + 1 != slots) << 2;
                let flags = 1 | extra | more;
                entry[0].store(id, Ordering::Relaxed);
                entry[1].store((part.len() as u32) << 16 | flags, Ordering::Relaxed);
                host.pages[page][..part.len()].copy_from_slice(part);
            }
        }
        memory.0[2].store(answered, Ordering::Release);
        let start = Instant::now();
        let mut count = 0;
        let mut budget = 1000;
        while let Some(packet) = queue.take(&mut host, &mut budget).expect("right answers") {
            let mut buffer = [0; HEADER_MAX];
            let header = packet.header(&mut host, &mut buffer);
            let headers = Headers::parse(header, packet.length());
            if mss != 0
                && let Some(headers) = &headers
                && let Some(mut segmenter) = Segmenter::new(header, headers, mss)
            {
                let mut out = [0; HEADER_MAX];
                while let Some(segment) = segmenter.next(&mut out) {
                    black_box(segment);
                }
            }
            black_box(headers);
            for piece in packet.pieces() {
                queue.give_back(piece.page);
            }
            count += 1;
        }
        black_box(queue.refill(&mut host).notify);
        (start.elapsed(), count)
    });
    let bytes = rate * frame.len() as f64 * 8.0;
    println!(
        "take {name}: {:8.3} M packets/s, {:7.1} Gbit/s",
        rate / 1e6,
        bytes / 1e9
    );
}

fn main() {
    checksums();
    hashes();
    send("60 bytes               ", 0, 0, true);
    send("1514 bytes             ", 1460, 0, true);
    send("1514 bytes, not trusted", 1460, 0, false);
    send("64 KiB large, in place ", 64_000, 1460, true);
    send("64 KiB large, copied   ", 64_000, 1460, false);
    receive("60 bytes               ", 0, 0);
    receive("1514 bytes             ", 1460, 0);
    receive("64 KiB large, cut      ", 64_000, 1460);
}
