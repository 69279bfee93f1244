//! What the boot loader says (Multiboot 0.6.96, section 3.3): memory map and modules.

use ntexec::machine::{MemoryRange, PAGE_SIZE};

const MAGIC: u32 = 0x2BAD_B002;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MAP: u32 = 1 << 6;
const PAGE: u64 = PAGE_SIZE as u64;

/// Ranges that a [`Boot`] holds at most.
pub const MAX_RANGES: usize = 32;

/// The loader's information, copied.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// RAM, ordered.
    pub ranges: [MemoryRange; MAX_RANGES],
    /// How many of them count.
    pub count: usize,
    /// The first module: start and end, physical.
    pub module: (u64, u64),
    /// The command line, filled up with zeroes.
    pub command_line: [u8; 128],
}

/// Reads a value at a physical address below 4 GiB.
fn read<T: Copy>(physical: u32) -> T {
    let at = (crate::paging::DIRECT_MAP + physical as usize) as *const T;
    // SAFETY: the first page tables map the first 4 GiB, and any bits make a `u32` or `u64`.
    unsafe { at.read_unaligned() }
}

impl Boot {
    /// Takes the information at `info`. `None` if the loader was no multiboot loader or gave no memory map.
    pub fn read(magic: u32, info: u32) -> Option<Self> {
        let flags: u32 = read(info);
        if magic != MAGIC || flags & HAS_MAP == 0 {
            return None;
        }
        let mut boot = Boot {
            ranges: [MemoryRange {
                base: 0,
                len: 0,
                free: false,
            }; MAX_RANGES],
            count: 0,
            module: (0, 0),
            command_line: [0; 128],
        };
        if flags & HAS_COMMAND_LINE != 0 {
            boot.take_command_line(read(info + 16));
        }
        if flags & HAS_MODULES != 0 && read::<u32>(info + 20) > 0 {
            let first: u32 = read(info + 24);
            boot.module = (
                u64::from(read::<u32>(first)),
                u64::from(read::<u32>(first + 4)),
            );
        }
        let (len, base): (u32, u32) = (read(info + 44), read(info + 48));
        let mut at = base;
        while at < base + len {
            let size: u32 = read(at);
            if read::<u32>(at + 20) == 1 {
                boot.add(read(at + 4), read(at + 12), true);
            }
            at += size + 4;
        }
        Some(boot)
    }

    fn take_command_line(&mut self, at: u32) {
        let last = self.command_line.len() - 1;
        for (to, address) in self.command_line[..last].iter_mut().zip(at..) {
            *to = read(address);
            if *to == 0 {
                return;
            }
        }
    }

    /// The value of `name=` on the command line.
    pub fn option(&self, name: &str) -> Option<&str> {
        let end = self.command_line.iter().position(|&b| b == 0)?;
        let line = core::str::from_utf8(&self.command_line[..end]).ok()?;
        line.split(' ')
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn add(&mut self, base: u64, len: u64, free: bool) {
        let end = (base + len) / PAGE * PAGE;
        let base = base.next_multiple_of(PAGE);
        if base < end && self.count < MAX_RANGES {
            self.ranges[self.count] = MemoryRange {
                base,
                len: end - base,
                free,
            };
            self.count += 1;
            self.ranges[..self.count].sort_unstable_by_key(|r| r.base);
        }
    }

    /// Marks a range as in use: it is cut out of the free ranges and stays RAM.
    pub fn reserve(&mut self, from: u64, to: u64) {
        let (from, to) = (from / PAGE * PAGE, to.next_multiple_of(PAGE));
        for i in 0..self.count {
            let r = self.ranges[i];
            let (lo, hi) = (r.base.max(from), (r.base + r.len).min(to));
            if lo >= hi || !r.free {
                continue;
            }
            self.ranges[i] = MemoryRange {
                base: lo,
                len: hi - lo,
                free: false,
            };
            let end = r.base + r.len;
            self.add(r.base, lo - r.base, true);
            self.add(hi, end - hi, true);
            return self.reserve(from, to);
        }
    }

    /// The ranges.
    pub fn map(&self) -> &[MemoryRange] {
        &self.ranges[..self.count]
    }
}
