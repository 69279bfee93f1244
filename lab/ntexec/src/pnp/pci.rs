//! The machine's PCI bus: functions, their ids and resources, configuration space.
//!
//! Ids as "Identifiers for PCI Devices" orders them; the configuration space's layout is the PCI specification's.

use alloc::format;
use alloc::vec::Vec;
use core::ffi::c_void;

use super::bus::{Child, dereference, pci_function, reference};
use super::resources::{cm_list, io_list, want_line, want_range};
use crate::machine::machine;
use crate::nt::base::{GUID, NTSTATUS};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;

/// GUID_BUS_TYPE_PCI
pub const BUS_TYPE: GUID = GUID {
    Data1: 0xc8eb_dfb0,
    Data2: 0xb510,
    Data3: 0x11d0,
    Data4: [0x80, 0xe5, 0, 0xa0, 0xc9, 0x25, 0x42, 0xe3],
};
/// GUID_BUS_INTERFACE_STANDARD
const BUS_INTERFACE: GUID = GUID {
    Data1: 0x496b_8280,
    Data2: 0x6f25,
    Data3: 0x11d0,
    Data4: [0xbe, 0xaf, 8, 0, 0x2b, 0xe2, 9, 0x2f],
};

/// Bus, device, function.
type Function = (u8, u8, u8);

const COMMAND: u16 = 4;

fn read(f: Function, offset: u16) -> u32 {
    machine().pci_read(f.0, f.1, f.2, offset)
}

fn write(f: Function, offset: u16, value: u32) {
    machine().pci_write(f.0, f.1, f.2, offset, value);
}

/// A base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// True for ports
    pub io: bool,
    /// True for memory that may be prefetched
    pub prefetchable: bool,
    /// Where the firmware put it
    pub base: u64,
    /// Its length in bytes
    pub size: u64,
}

/// Reads a BAR from its value and what it reads as after all ones were written; `high` is the register behind it.
pub fn decode_bar(value: u32, mask: u32, high: Option<(u32, u32)>) -> Option<Bar> {
    if mask == 0 {
        return None;
    }
    if value & 1 != 0 {
        let size = !(mask | 0xffff_0000) & !3;
        let size = (size | 3) + 1;
        return Some(Bar {
            io: true,
            prefetchable: false,
            base: u64::from(value & !3),
            size: u64::from(size & 0xffff),
        });
    }
    let (mut base, mut mask64) = (
        u64::from(value & !15),
        u64::from(mask & !15) | 0xffff_ffff_0000_0000,
    );
    if value & 6 == 4
        && let Some((v, m)) = high
    {
        base |= u64::from(v) << 32;
        mask64 = u64::from(mask & !15) | u64::from(m) << 32;
    }
    Some(Bar {
        io: false,
        prefetchable: value & 8 != 0,
        base,
        size: (!mask64).wrapping_add(1),
    })
}

/// The BARs of a function with an ordinary header. Decoding is off while they are sized.
fn bars(f: Function) -> Vec<Bar> {
    let command = read(f, COMMAND) & 0xffff;
    write(f, COMMAND, command & !3);
    let sized: Vec<(u32, u32)> = (0..6u16)
        .map(|n| {
            let at = 0x10 + 4 * n;
            let value = read(f, at);
            write(f, at, u32::MAX);
            let mask = read(f, at);
            write(f, at, value);
            (value, mask)
        })
        .collect();
    write(f, COMMAND, command);
    let mut out = Vec::new();
    let mut n = 0;
    while let Some(&(value, mask)) = sized.get(n) {
        let wide = value & 7 == 4;
        out.extend(decode_bar(
            value,
            mask,
            sized.get(n + 1).copied().filter(|_| wide),
        ));
        n += if wide { 2 } else { 1 };
    }
    out.into_iter()
        .filter(|b| b.base != 0 && b.size != 0)
        .collect()
}

fn child(f: Function) -> Option<Child> {
    let id = read(f, 0);
    if id & 0xffff == 0xffff {
        return None;
    }
    let (vendor, device) = (id & 0xffff, id >> 16);
    let (class, revision) = (read(f, 8) >> 8, read(f, 8) & 0xff);
    let ordinary = read(f, 0xc) >> 16 & 0x7f == 0;
    let subsystem = if ordinary { read(f, 0x2c) } else { 0 };
    let (cc6, cc4) = (format!("CC_{class:06X}"), format!("CC_{:04X}", class >> 8));
    let base = format!("PCI\\VEN_{vendor:04X}&DEV_{device:04X}");
    let name = format!("{base}&SUBSYS_{subsystem:08X}&REV_{revision:02X}");
    let mut wanted = Vec::new();
    let mut boot = Vec::new();
    for bar in if ordinary { bars(f) } else { Vec::new() } {
        let (kind, flags) = match (bar.io, bar.prefetchable) {
            (true, _) => (
                CmResourceTypePort,
                CM_RESOURCE_PORT_IO | CM_RESOURCE_PORT_16_BIT_DECODE,
            ),
            (false, true) => (CmResourceTypeMemory, CM_RESOURCE_MEMORY_PREFETCHABLE),
            (false, false) => (CmResourceTypeMemory, CM_RESOURCE_MEMORY_READ_WRITE),
        };
        let Ok(length) = u32::try_from(bar.size) else {
            continue;
        };
        wanted.push(want_range(
            kind,
            flags,
            length,
            (bar.base, bar.base + bar.size - 1),
        ));
        boot.push(CM_PARTIAL_RESOURCE_DESCRIPTOR {
            Type: kind,
            ShareDisposition: CmResourceShareDeviceExclusive,
            Flags: flags,
            u: CM_PARTIAL_U {
                Range: CM_RANGE {
                    Start: bar.base as i64,
                    Length: length,
                },
            },
        });
    }
    let pin = (read(f, 0x3c) >> 8) as u8;
    if (1..=4).contains(&pin) {
        wanted.push(want_line(machine().pci_line(f.1, pin)));
    }
    let slot = u32::from(f.1) | u32::from(f.2) << 5;
    Some(Child {
        device: name.clone(),
        instance: format!("{:02X}", f.1 << 3 | f.2),
        hardware: Vec::from([
            name,
            format!("{base}&SUBSYS_{subsystem:08X}"),
            format!("{base}&{cc6}"),
            format!("{base}&{cc4}"),
        ]),
        compatible: Vec::from([
            format!("{base}&REV_{revision:02X}"),
            base,
            format!("PCI\\VEN_{vendor:04X}&{cc6}"),
            format!("PCI\\VEN_{vendor:04X}&{cc4}"),
            format!("PCI\\VEN_{vendor:04X}"),
            format!("PCI\\{cc6}"),
            format!("PCI\\{cc4}"),
        ]),
        description: format!("PCI device, class {class:06x}"),
        location: format!("PCI bus {}, device {}, function {}", f.0, f.1, f.2),
        address: u32::from(f.1) << 16 | u32::from(f.2),
        requirements: if wanted.is_empty() {
            Vec::new()
        } else {
            io_list(PCIBus, f.0.into(), slot, &wanted)
        },
        boot: if boot.is_empty() {
            Vec::new()
        } else {
            cm_list(PCIBus, f.0.into(), &boot)
        },
        bus: (BUS_TYPE, PCIBus),
        pci: Some(f),
    })
}

/// The functions of bus 0, the only one that the lab's machine has.
pub fn scan(_address: u32) -> Vec<Child> {
    let mut out = Vec::new();
    for device in 0..32 {
        let many = read((0, device, 0), 0xc) >> 16 & 0x80 != 0;
        out.extend(
            (0..if many { 8 } else { 1 }).filter_map(|function| child((0, device, function))),
        );
    }
    out
}

/// Lets a function decode its ranges and be a bus master, as the PCI driver does when it is started.
pub fn enable(f: Function) {
    write(f, COMMAND, read(f, COMMAND) & 0xffff | 7);
}

unsafe fn transfer(
    f: Function,
    buffer: *mut c_void,
    offset: u32,
    length: u32,
    to_device: bool,
) -> u32 {
    let end = (offset.saturating_add(length)).min(256);
    for at in offset..end {
        let byte = buffer.cast::<u8>().add((at - offset) as usize);
        let (word, shift) = ((at & !3) as u16, 8 * (at & 3));
        if !to_device {
            *byte = (read(f, word) >> shift) as u8;
        }
    }
    if to_device {
        let mut at = offset;
        while at < end {
            let word = (at & !3) as u16;
            // The status register's bits are cleared by writing ones: bytes of it that are not meant stay 0.
            let mut value = read(f, word) & if word == COMMAND { 0xffff } else { u32::MAX };
            while at < end && (at & !3) as u16 == word {
                let shift = 8 * (at & 3);
                let byte = *buffer.cast::<u8>().add((at - offset) as usize);
                value = value & !(0xff << shift) | u32::from(byte) << shift;
                at += 1;
            }
            write(f, word, value);
        }
    }
    end.saturating_sub(offset)
}

unsafe extern "win64" fn get_data(
    context: *mut c_void,
    kind: u32,
    buffer: *mut c_void,
    offset: u32,
    length: u32,
) -> u32 {
    match pci_function(context.cast()) {
        Some(f) if kind == 0 => transfer(f, buffer, offset, length, false),
        _ => 0,
    }
}

unsafe extern "win64" fn set_data(
    context: *mut c_void,
    kind: u32,
    buffer: *mut c_void,
    offset: u32,
    length: u32,
) -> u32 {
    match pci_function(context.cast()) {
        Some(f) if kind == 0 => transfer(f, buffer, offset, length, true),
        _ => 0,
    }
}

unsafe extern "win64" fn translate(
    _context: *mut c_void,
    address: i64,
    _length: u32,
    _space: *mut u32,
    to: *mut i64,
) -> u8 {
    *to = address;
    1
}

/// Answers IRP_MN_QUERY_INTERFACE; `None` if the interface is not one of a PCI device's.
///
/// # Safety
/// `at` is the IRP's location.
pub unsafe fn query_interface(
    pdo: *mut DEVICE_OBJECT,
    _f: Function,
    at: *mut IO_STACK_LOCATION,
) -> Option<NTSTATUS> {
    let q = (*at).Parameters.QueryInterface;
    if q.InterfaceType.read_unaligned() != BUS_INTERFACE || q.Version < 1 {
        return None;
    }
    if usize::from(q.Size) < size_of::<BUS_INTERFACE_STANDARD>() {
        return Some(STATUS_BUFFER_TOO_SMALL);
    }
    q.Interface
        .cast::<BUS_INTERFACE_STANDARD>()
        .write(BUS_INTERFACE_STANDARD {
            Head: INTERFACE {
                Size: size_of::<BUS_INTERFACE_STANDARD>() as u16,
                Version: 1,
                Context: pdo.cast(),
                InterfaceReference: Some(reference),
                InterfaceDereference: Some(dereference),
            },
            TranslateBusAddress: Some(translate),
            GetDmaAdapter: core::ptr::null_mut(),
            SetBusData: Some(set_data),
            GetBusData: Some(get_data),
        });
    reference(pdo.cast());
    Some(STATUS_SUCCESS)
}

/// Answers IRP_MN_READ_CONFIG and IRP_MN_WRITE_CONFIG.
///
/// # Safety
/// `at` is the IRP's location.
pub unsafe fn config(f: Function, irp: *mut IRP, at: *mut IO_STACK_LOCATION) {
    let p = (*at).Parameters.ReadWriteConfig;
    if p.WhichSpace != 0 {
        return;
    }
    let done = transfer(
        f,
        p.Buffer,
        p.Offset,
        p.Length,
        (*at).MinorFunction == IRP_MN_WRITE_CONFIG,
    );
    (*irp).IoStatus.Information = done as usize;
    (*irp).IoStatus.Status = STATUS_SUCCESS;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_ports_or_memory_of_their_size() {
        let io = decode_bar(0xc001, 0xffff_ff01, None).unwrap();
        assert_eq!((io.io, io.base, io.size), (true, 0xc000, 0x100));
        let io16 = decode_bar(0xc001, 0x0000_ff01, None).unwrap();
        assert_eq!(io16.size, 0x100);
        let memory = decode_bar(0xf200_0008, 0xff00_0008, None).unwrap();
        assert_eq!(
            (memory.io, memory.prefetchable, memory.base, memory.size),
            (false, true, 0xf200_0000, 16 << 20)
        );
        let wide = decode_bar(0x0000_0004, 0xc000_0004, Some((1, u32::MAX))).unwrap();
        assert_eq!((wide.base, wide.size), (1 << 32, 1 << 30));
        assert_eq!(decode_bar(0, 0, None), None);
    }
}
