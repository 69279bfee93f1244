//! Resources: reading requirement lists, assigning what they ask for, writing resource lists. Pure data; the vectors and
//! addresses come from an [`Arbiter`].

use alloc::vec::Vec;
use core::mem::offset_of;

use crate::nt::io::consts::*;
use crate::nt::io::*;

/// An assigned interrupt, translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// Where it is raised
    pub vector: u8,
    /// The IRQL of its routine
    pub irql: u8,
    /// The processors that take it
    pub affinity: usize,
    /// True for a message, false for a line
    pub message: bool,
    /// True for a level-triggered line
    pub level: bool,
}

/// Gives out what is scarce.
pub trait Arbiter {
    /// A vector for a line. `range` are the lines that the device can use; `level` is true for a level-triggered one.
    /// Returns the line and the interrupt.
    fn line(&mut self, range: (u32, u32), level: bool) -> Option<(u32, Interrupt)>;
    /// A vector for a message to one of `processors` (0 means any).
    fn message(&mut self, processors: usize) -> Option<Interrupt>;
    /// An address range that nothing else has.
    fn memory(&mut self, length: u32, alignment: u32, range: (u64, u64)) -> Option<u64>;
    /// A port range that nothing else has.
    fn ports(&mut self, length: u32, alignment: u32, range: (u64, u64)) -> Option<u64>;
}

/// Assigned resources: the raw and the translated list, element by element the same things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// What the device is programmed with
    pub raw: Vec<u8>,
    /// What the processor sees
    pub translated: Vec<u8>,
    /// The interrupts among them
    pub interrupts: Vec<Interrupt>,
}

/// The descriptors of each alternative of a requirements list.
///
/// # Safety
/// `list` is a requirements list whose `ListSize` bytes are readable.
pub unsafe fn alternatives(
    list: *const IO_RESOURCE_REQUIREMENTS_LIST,
) -> Vec<Vec<IO_RESOURCE_DESCRIPTOR>> {
    let end = list.byte_add((*list).ListSize as usize) as usize;
    let mut at = (&raw const (*list).List).cast::<IO_RESOURCE_LIST>();
    let head = offset_of!(IO_RESOURCE_LIST, Descriptors);
    let mut out = Vec::new();
    for _ in 0..(*list).AlternativeLists {
        if at as usize + head > end {
            break;
        }
        let count = (*at).Count as usize;
        let first = at.byte_add(head).cast::<IO_RESOURCE_DESCRIPTOR>();
        let readable = (end - first as usize) / size_of::<IO_RESOURCE_DESCRIPTOR>();
        out.push(
            (0..count.min(readable))
                .map(|i| first.add(i).read())
                .collect(),
        );
        at = first.add(count.min(readable)).cast();
    }
    out
}

fn partial(
    d: &IO_RESOURCE_DESCRIPTOR,
    kind: u8,
    flags: u16,
    u: CM_PARTIAL_U,
) -> CM_PARTIAL_RESOURCE_DESCRIPTOR {
    CM_PARTIAL_RESOURCE_DESCRIPTOR {
        Type: kind,
        ShareDisposition: d.ShareDisposition,
        Flags: flags,
        u,
    }
}

type Pair = (
    CM_PARTIAL_RESOURCE_DESCRIPTOR,
    CM_PARTIAL_RESOURCE_DESCRIPTOR,
);

fn interrupt(
    d: &IO_RESOURCE_DESCRIPTOR,
    arbiter: &mut impl Arbiter,
    found: &mut Vec<Interrupt>,
) -> Option<Pair> {
    // SAFETY: the descriptor's type says that it is an interrupt.
    let wanted = unsafe { d.u.Interrupt };
    let flags = d.Flags & !CM_RESOURCE_INTERRUPT_POLICY_INCLUDED;
    if d.Flags & CM_RESOURCE_INTERRUPT_MESSAGE != 0 {
        let specified = wanted.AffinityPolicy == IrqPolicySpecifiedProcessors;
        let i = arbiter.message(if specified {
            wanted.TargetedProcessors
        } else {
            0
        })?;
        found.push(i);
        let raw = CM_MESSAGE_RAW {
            Group: 0,
            MessageCount: 1,
            Vector: i.vector.into(),
            Affinity: i.affinity,
        };
        let translated = CM_INTERRUPT {
            Level: i.irql.into(),
            Group: 0,
            Vector: i.vector.into(),
            Affinity: i.affinity,
        };
        return Some((
            partial(d, d.Type, flags, CM_PARTIAL_U { MessageRaw: raw }),
            partial(
                d,
                d.Type,
                flags,
                CM_PARTIAL_U {
                    Interrupt: translated,
                },
            ),
        ));
    }
    let level = d.Flags & CM_RESOURCE_INTERRUPT_LATCHED == 0;
    let (line, i) = arbiter.line((wanted.MinimumVector, wanted.MaximumVector), level)?;
    found.push(i);
    let raw = CM_INTERRUPT {
        Level: line as u16,
        Group: 0,
        Vector: line,
        Affinity: i.affinity,
    };
    let translated = CM_INTERRUPT {
        Level: i.irql.into(),
        Group: 0,
        Vector: i.vector.into(),
        Affinity: i.affinity,
    };
    Some((
        partial(d, d.Type, flags, CM_PARTIAL_U { Interrupt: raw }),
        partial(
            d,
            d.Type,
            flags,
            CM_PARTIAL_U {
                Interrupt: translated,
            },
        ),
    ))
}

fn assign(
    d: &IO_RESOURCE_DESCRIPTOR,
    arbiter: &mut impl Arbiter,
    found: &mut Vec<Interrupt>,
) -> Option<Pair> {
    let same = |p: CM_PARTIAL_RESOURCE_DESCRIPTOR| Some((p, p));
    // SAFETY: each arm reads the form that the type stands for.
    unsafe {
        match d.Type {
            CmResourceTypeInterrupt => interrupt(d, arbiter, found),
            CmResourceTypeMemory | CmResourceTypePort => {
                let r = d.u.Range;
                let range = (r.MinimumAddress as u64, r.MaximumAddress as u64);
                let start = if d.Type == CmResourceTypePort {
                    arbiter.ports(r.Length, r.Alignment, range)?
                } else {
                    arbiter.memory(r.Length, r.Alignment, range)?
                };
                let range = CM_RANGE {
                    Start: start as i64,
                    Length: r.Length,
                };
                same(partial(d, d.Type, d.Flags, CM_PARTIAL_U { Range: range }))
            }
            CmResourceTypeBusNumber => {
                let b = d.u.BusNumber;
                same(partial(
                    d,
                    d.Type,
                    d.Flags,
                    CM_PARTIAL_U {
                        BusNumber: [b[1], b[0], 0],
                    },
                ))
            }
            _ => {
                let data = d.u.DevicePrivate;
                same(partial(
                    d,
                    d.Type,
                    d.Flags,
                    CM_PARTIAL_U {
                        DevicePrivate: data,
                    },
                ))
            }
        }
    }
}

/// Assigns one alternative: every group (a descriptor and the ones marked ALTERNATIVE behind it) needs one that can be had.
fn assign_list(
    descriptors: &[IO_RESOURCE_DESCRIPTOR],
    arbiter: &mut impl Arbiter,
    found: &mut Vec<Interrupt>,
) -> Option<Vec<Pair>> {
    let wanted = |d: &IO_RESOURCE_DESCRIPTOR| {
        !matches!(d.Type, CmResourceTypeNull | CmResourceTypeConfigData)
    };
    let mut out: Vec<Pair> = Vec::new();
    let mut satisfied = true;
    for d in descriptors.iter().filter(|d| wanted(d)) {
        let alternative = d.Option & IO_RESOURCE_ALTERNATIVE != 0;
        if alternative && satisfied {
            continue;
        }
        if !alternative && !satisfied {
            return None;
        }
        let pair = assign(d, arbiter, found);
        satisfied = pair.is_some();
        out.extend(pair);
    }
    satisfied.then_some(out)
}

fn bytes<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: the structures here have no padding that matters: they are packed to 4 bytes and fully written.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A CM_RESOURCE_LIST of one full descriptor.
pub fn cm_list(
    interface: i32,
    bus: u32,
    descriptors: &[CM_PARTIAL_RESOURCE_DESCRIPTOR],
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&interface.to_le_bytes());
    out.extend_from_slice(&bus.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&(descriptors.len() as u32).to_le_bytes());
    descriptors
        .iter()
        .for_each(|d| out.extend_from_slice(bytes(d)));
    out
}

/// An IO_RESOURCE_REQUIREMENTS_LIST with one alternative.
pub fn io_list(
    interface: i32,
    bus: u32,
    slot: u32,
    descriptors: &[IO_RESOURCE_DESCRIPTOR],
) -> Vec<u8> {
    let size = 40 + size_of_val(descriptors);
    let mut out = Vec::new();
    for word in [size as u32, interface as u32, bus, slot, 0, 0, 0, 1] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&(descriptors.len() as u32).to_le_bytes());
    descriptors
        .iter()
        .for_each(|d| out.extend_from_slice(bytes(d)));
    out
}

/// Assigns the first alternative that can be had. `None` if none can. Without `messages` no message-signaled interrupt is
/// given, as to a device whose key does not say `MSISupported` ("Enabling Message-Signaled Interrupts in the Registry").
///
/// # Safety
/// As [`alternatives`].
pub unsafe fn arbitrate(
    list: *const IO_RESOURCE_REQUIREMENTS_LIST,
    messages: bool,
    arbiter: &mut impl Arbiter,
) -> Option<Assigned> {
    let (interface, bus) = ((*list).InterfaceType, (*list).BusNumber);
    let is_message = |d: &IO_RESOURCE_DESCRIPTOR| {
        d.Type == CmResourceTypeInterrupt && d.Flags & CM_RESOURCE_INTERRUPT_MESSAGE != 0
    };
    for mut descriptors in alternatives(list) {
        descriptors.retain(|d| messages || !is_message(d));
        let mut interrupts = Vec::new();
        if let Some(pairs) = assign_list(&descriptors, arbiter, &mut interrupts) {
            if pairs.is_empty() {
                return Some(Assigned::default());
            }
            let raw: Vec<_> = pairs.iter().map(|p| p.0).collect();
            let translated: Vec<_> = pairs.iter().map(|p| p.1).collect();
            return Some(Assigned {
                raw: cm_list(interface, bus, &raw),
                translated: cm_list(interface, bus, &translated),
                interrupts,
            });
        }
    }
    None
}

/// A wanted address range.
pub fn want_range(kind: u8, flags: u16, length: u32, range: (u64, u64)) -> IO_RESOURCE_DESCRIPTOR {
    IO_RESOURCE_DESCRIPTOR {
        Option: 0,
        Type: kind,
        ShareDisposition: CmResourceShareDeviceExclusive,
        Spare1: 0,
        Flags: flags,
        Spare2: 0,
        u: IO_RESOURCE_U {
            Range: IO_RANGE {
                Length: length,
                Alignment: 1,
                MinimumAddress: range.0 as i64,
                MaximumAddress: range.1 as i64,
            },
        },
    }
}

/// A wanted level-triggered, shared line.
pub fn want_line(line: u32) -> IO_RESOURCE_DESCRIPTOR {
    IO_RESOURCE_DESCRIPTOR {
        Option: 0,
        Type: CmResourceTypeInterrupt,
        ShareDisposition: CmResourceShareShared,
        Spare1: 0,
        Flags: CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE,
        Spare2: 0,
        u: IO_RESOURCE_U {
            Interrupt: IO_INTERRUPT {
                MinimumVector: line,
                MaximumVector: line,
                AffinityPolicy: 0,
                Group: 0,
                PriorityPolicy: 0,
                TargetedProcessors: 0,
            },
        },
    }
}

#[cfg(test)]
mod tests;
