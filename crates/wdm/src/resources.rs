//! Lists of hardware resources: `CM_RESOURCE_LIST` (assigned) and `IO_RESOURCE_REQUIREMENTS_LIST` (asked for).

use crate::alloc::Paged;
use crate::status::{Result, Status};

/// `CmResourceTypePort`.
pub const PORT: u8 = 1;
/// `CmResourceTypeInterrupt`.
pub const INTERRUPT: u8 = 2;
/// `CmResourceTypeMemory`.
pub const MEMORY: u8 = 3;
/// `CmResourceTypeDevicePrivate`: passed through by everyone.
pub const DEVICE_PRIVATE: u8 = 0x81;

/// `CmResourceShareDeviceExclusive`.
pub const EXCLUSIVE: u8 = 1;
/// `CmResourceShareShared`.
pub const SHARED: u8 = 3;

/// `CM_RESOURCE_INTERRUPT_LATCHED`; level-sensitive without it.
pub const INTERRUPT_LATCHED: u16 = 1;
/// `CM_RESOURCE_INTERRUPT_MESSAGE`.
pub const INTERRUPT_MESSAGE: u16 = 2;
/// `CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN`: any vector.
pub const MESSAGE_TOKEN: u32 = 0xFFFF_FFFE;
/// `IrqPolicySpecifiedProcessors`.
pub const POLICY_SPECIFIED_PROCESSORS: u32 = 4;

/// `CM_PARTIAL_RESOURCE_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// `CmResourceType`.
    pub kind: u8,
    /// `CmResourceShare`.
    pub share: u8,
    /// Depends on the kind.
    pub flags: u16,
    /// Depends on the kind.
    pub data: [u32; 4],
}

const _: () = assert!(size_of::<Descriptor>() == 20 && align_of::<Descriptor>() == 4);

/// An assigned interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// IRQL in the translated list.
    pub level: u16,
    /// Processor group.
    pub group: u16,
    /// IDT vector in the translated list.
    pub vector: u32,
    /// Processors of the group.
    pub affinity: u64,
    /// One of several messages, not a line.
    pub message: bool,
    /// Edge-triggered.
    pub latched: bool,
    /// Shared with other devices.
    pub shared: bool,
}

impl Descriptor {
    /// The interrupt, if it is one.
    pub fn interrupt(&self) -> Option<Interrupt> {
        let [level, vector, low, high] = self.data;
        (self.kind == INTERRUPT).then_some(Interrupt {
            level: level as u16,
            group: (level >> 16) as u16,
            vector,
            affinity: u64::from(low) | u64::from(high) << 32,
            message: self.flags & INTERRUPT_MESSAGE != 0,
            latched: self.flags & INTERRUPT_LATCHED != 0,
            shared: self.share == SHARED,
        })
    }

    /// Start and length in bytes, if it is memory or ports.
    pub fn range(&self) -> Option<(u64, u32)> {
        let [low, high, length, _] = self.data;
        let start = u64::from(low) | u64::from(high) << 32;
        matches!(self.kind, MEMORY | PORT).then_some((start, length))
    }
}

/// `CM_RESOURCE_LIST` header, `CM_FULL_RESOURCE_DESCRIPTOR` header: count; interface, bus, version and
/// revision, count.
const LIST_HEADER: usize = 4;
const FULL_HEADER: usize = 16;
/// More than any device has.
const MAX_DESCRIPTORS: u32 = 4096;

/// Calls `visit` for each descriptor of a `CM_RESOURCE_LIST`; it may change them. Only full descriptors without
/// device-specific data can be walked, which is all that PnP makes.
///
/// # Safety
/// `list` is null or a valid list that nobody else uses meanwhile.
pub unsafe fn for_each(list: *mut u8, mut visit: impl FnMut(usize, &mut Descriptor)) {
    if list.is_null() {
        return;
    }
    let mut index = 0;
    let mut full = list.wrapping_add(LIST_HEADER);
    // SAFETY: the list begins with its count.
    let fulls = unsafe { list.cast::<u32>().read_unaligned() };
    for _ in 0..fulls.min(MAX_DESCRIPTORS) {
        // SAFETY: the count ends a full descriptor's header.
        let count = unsafe {
            full.wrapping_add(FULL_HEADER - 4)
                .cast::<u32>()
                .read_unaligned()
        };
        let mut entry = full.wrapping_add(FULL_HEADER).cast::<Descriptor>();
        for _ in 0..count.min(MAX_DESCRIPTORS) {
            // SAFETY: within the list, 4-aligned, ours to change.
            visit(index, unsafe { &mut *entry });
            entry = entry.wrapping_add(1);
            index += 1;
        }
        full = entry.cast();
    }
}

/// A `CM_RESOURCE_LIST` of one full descriptor on an internal bus, in paged pool. PASSIVE_LEVEL.
///
/// # Errors
/// `INSUFFICIENT_RESOURCES`.
pub fn resource_list(interface_type: u32, descriptors: &[Descriptor]) -> Result<Paged> {
    let count = u32::try_from(descriptors.len()).map_err(|_| Status::INVALID_PARAMETER)?;
    let mut list = Paged::new(LIST_HEADER + FULL_HEADER + size_of_val(descriptors))?;
    let header = [1, interface_type, 0, VERSION_AND_REVISION, count];
    let words = descriptors.iter().flat_map(|one| {
        let first =
            u32::from_le_bytes([one.kind, one.share, one.flags as u8, (one.flags >> 8) as u8]);
        let [a, b, c, d] = one.data;
        [first, a, b, c, d]
    });
    fill(list.bytes_mut(), header.into_iter().chain(words));
    Ok(list)
}

/// Version 1, revision 1 of a partial or requirements list.
const VERSION_AND_REVISION: u32 = 0x0001_0001;

fn fill(bytes: &mut [u8], words: impl Iterator<Item = u32>) {
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

/// `IO_RESOURCE_DESCRIPTOR`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// 0: required; alternatives and preferences otherwise.
    pub option: u8,
    /// `CmResourceType`.
    pub kind: u8,
    /// `CmResourceShare`.
    pub share: u8,
    /// Unused.
    pub spare1: u8,
    /// Depends on the kind.
    pub flags: u16,
    /// Unused.
    pub spare2: u16,
    /// Depends on the kind.
    pub data: [u32; 6],
}

const _: () = assert!(size_of::<Requirement>() == 32 && align_of::<Requirement>() == 8);

impl Requirement {
    /// `length` bytes of memory anywhere, aligned to as much.
    pub const fn memory(length: u32) -> Self {
        Self {
            kind: MEMORY,
            share: EXCLUSIVE,
            data: [length, length, 0, 0, u32::MAX, u32::MAX],
            ..Self::NONE
        }
    }

    /// A level-sensitive interrupt line that may be shared.
    pub const fn line_interrupt() -> Self {
        Self {
            kind: INTERRUPT,
            share: SHARED,
            data: [0, u32::MAX, 0, 0, 0, 0],
            ..Self::NONE
        }
    }

    /// A message interrupt on one processor.
    pub const fn message_on(group: u16, number: u8) -> Self {
        Self {
            kind: INTERRUPT,
            share: EXCLUSIVE,
            flags: INTERRUPT_LATCHED | INTERRUPT_MESSAGE,
            data: [MESSAGE_TOKEN, MESSAGE_TOKEN, 0, 0, 0, 0],
            ..Self::NONE
        }
        .on_processor(group, number)
    }

    const NONE: Self = Self {
        option: 0,
        kind: 0,
        share: 0,
        spare1: 0,
        flags: 0,
        spare2: 0,
        data: [0; 6],
    };

    /// Whether this is an interrupt line.
    pub const fn is_line_interrupt(&self) -> bool {
        self.kind == INTERRUPT && self.flags & INTERRUPT_MESSAGE == 0
    }

    /// Whether this is an interrupt message.
    pub const fn is_message_interrupt(&self) -> bool {
        self.kind == INTERRUPT && self.flags & INTERRUPT_MESSAGE != 0
    }

    /// An interrupt's affinity policy: one processor (`IrqPolicySpecifiedProcessors`).
    #[must_use]
    pub const fn on_processor(mut self, group: u16, number: u8) -> Self {
        let mask = 1_u64 << (number & 63);
        self.data[2] = POLICY_SPECIFIED_PROCESSORS | (group as u32) << 16;
        self.data[3] = 0;
        self.data[4] = mask as u32;
        self.data[5] = (mask >> 32) as u32;
        self
    }
}

/// `IO_RESOURCE_REQUIREMENTS_LIST` up to its lists, `IO_RESOURCE_LIST` up to its descriptors.
const REQUIREMENTS_HEADER: usize = 32;
const ALTERNATIVE_HEADER: usize = 8;

/// An `IO_RESOURCE_REQUIREMENTS_LIST` of one alternative, in paged pool. PASSIVE_LEVEL.
///
/// # Errors
/// `INSUFFICIENT_RESOURCES`.
pub fn requirements_list(interface_type: u32, requirements: &[Requirement]) -> Result<Paged> {
    let size = REQUIREMENTS_HEADER + ALTERNATIVE_HEADER + size_of_val(requirements);
    let count = u32::try_from(requirements.len()).map_err(|_| Status::INVALID_PARAMETER)?;
    let mut list = Paged::new(size)?;
    let header = [
        size as u32,
        interface_type,
        0,
        0,
        0,
        0,
        0,
        1,
        VERSION_AND_REVISION,
        count,
    ];
    let words = requirements.iter().flat_map(words_of);
    fill(list.bytes_mut(), header.into_iter().chain(words));
    Ok(list)
}

fn words_of(one: &Requirement) -> [u32; 8] {
    let first = u32::from_le_bytes([one.option, one.kind, one.share, 0]);
    let [a, b, c, d, e, f] = one.data;
    [first, one.flags.into(), a, b, c, d, e, f]
}

/// Whether a descriptor of a requirements list is one that `is` holds for.
///
/// # Errors
/// `INVALID_PARAMETER` for a list that contradicts itself.
///
/// # Safety
/// `list` is a valid `IO_RESOURCE_REQUIREMENTS_LIST`.
pub unsafe fn any_requirement(list: *const u8, is: impl Fn(&Requirement) -> bool) -> Result<bool> {
    // SAFETY: the list begins with its size in bytes.
    let size = unsafe { list.cast::<u32>().read_unaligned() } as usize;
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(list, size) };
    let mut at = REQUIREMENTS_HEADER;
    for _ in 0..word_at(bytes, 28)? {
        let count = word_at(bytes, at + 4)?;
        at += ALTERNATIVE_HEADER;
        for _ in 0..count {
            if is(&requirement_at(bytes, at)?) {
                return Ok(true);
            }
            at += size_of::<Requirement>();
        }
    }
    Ok(false)
}

/// A copy of a requirements list, each descriptor passed through `change` and `more` appended to each
/// alternative. PASSIVE_LEVEL.
///
/// # Errors
/// `INSUFFICIENT_RESOURCES`, or `INVALID_PARAMETER` for a list that contradicts itself.
///
/// # Safety
/// `list` is a valid `IO_RESOURCE_REQUIREMENTS_LIST`.
pub unsafe fn extend_requirements(
    list: *const u8,
    change: impl Fn(&Requirement) -> Requirement,
    more: &[Requirement],
) -> Result<Paged> {
    // SAFETY: the list begins with its size in bytes.
    let size = unsafe { list.cast::<u32>().read_unaligned() } as usize;
    // SAFETY: the caller's promise.
    let old = unsafe { core::slice::from_raw_parts(list, size) };
    let alternatives = word_at(old, 28)?;
    let added = size_of_val(more).checked_mul(alternatives as usize);
    let new_size = added.and_then(|added| size.checked_add(added));
    let mut new = Paged::new(new_size.ok_or(Status::INVALID_PARAMETER)?)?;
    let mut writer = Writer {
        bytes: new.bytes_mut(),
        at: 0,
    };
    for word in 0..REQUIREMENTS_HEADER / 4 {
        writer.put(word_at(old, word * 4)?)?;
    }
    let mut at = REQUIREMENTS_HEADER;
    for _ in 0..alternatives {
        let count = word_at(old, at + 4)?;
        writer.put(word_at(old, at)?)?;
        writer.put(count.saturating_add(more.len() as u32))?;
        at += ALTERNATIVE_HEADER;
        for _ in 0..count {
            writer.put_requirement(&change(&requirement_at(old, at)?))?;
            at += size_of::<Requirement>();
        }
        more.iter()
            .try_for_each(|one| writer.put_requirement(one))?;
    }
    let written = u32::try_from(writer.at).map_err(|_| Status::INVALID_PARAMETER)?;
    Writer {
        bytes: new.bytes_mut(),
        at: 0,
    }
    .put(written)?;
    Ok(new)
}

fn word_at(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map(|word| u32::from_le_bytes(*word))
        .ok_or(Status::INVALID_PARAMETER)
}

fn requirement_at(bytes: &[u8], at: usize) -> Result<Requirement> {
    let [option, kind, share, spare1] = word_at(bytes, at)?.to_le_bytes();
    let flags = word_at(bytes, at + 4)?;
    let mut data = [0; 6];
    for (index, word) in data.iter_mut().enumerate() {
        *word = word_at(bytes, at + 8 + 4 * index)?;
    }
    Ok(Requirement {
        option,
        kind,
        share,
        spare1,
        flags: flags as u16,
        spare2: (flags >> 16) as u16,
        data,
    })
}

struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, word: u32) -> Result {
        let target = self
            .bytes
            .get_mut(self.at..self.at + 4)
            .ok_or(Status::INVALID_PARAMETER)?;
        target.copy_from_slice(&word.to_le_bytes());
        self.at += 4;
        Ok(())
    }

    fn put_requirement(&mut self, one: &Requirement) -> Result {
        words_of(one)
            .into_iter()
            .try_for_each(|word| self.put(word))
    }
}
