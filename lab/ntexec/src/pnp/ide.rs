//! IDE controllers, channels and drives: enough of them that filters of those devices meet what they would on a PC. No
//! driver for the drives themselves exists here.
//!
//! Ids as Windows' own drivers for them give; IDENTIFY DEVICE as in the ATA command set.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bus::Child;
use crate::machine::machine;
use crate::nt::base::GUID;
use crate::nt::io::consts::*;

const INTERNAL: GUID = GUID {
    Data1: 0x1530_ea73,
    Data2: 0x086b,
    Data3: 0x11d1,
    Data4: [0xa0, 0x9f, 0, 0xc0, 0x4f, 0xc3, 0x40, 0xb1],
};

/// The two channels of a controller at the ISA ports.
pub fn channels(_address: u32) -> Vec<Child> {
    (0..2u32)
        .map(|n| Child {
            device: "PCIIDE\\IDEChannel".into(),
            instance: format!("{n}"),
            hardware: Vec::from(["Internal_IDE_Channel".into()]),
            compatible: Vec::from(["*PNP0600".into()]),
            description: "IDE Channel".into(),
            location: format!("Channel {n}"),
            address: n,
            bus: (INTERNAL, Internal),
            ..Child::default()
        })
        .collect()
}

const STATUS: u16 = 7;
const BUSY: u32 = 0x80;
const REQUEST: u32 = 8;
const ERROR: u32 = 1;

/// Waits until the channel is not busy; its status, or `None` if there is nothing or it stays busy for 100 ms.
fn settled(base: u16) -> Option<u32> {
    let m = machine();
    let end = m.tsc().saturating_add(m.tsc_frequency() / 10);
    loop {
        let status = m.port_in(base + STATUS, 1);
        if status == 0 || status == 0xff {
            return None;
        }
        if status & BUSY == 0 {
            return Some(status);
        }
        if m.tsc() > end {
            return None;
        }
    }
}

/// Model and firmware of an ATA drive.
fn identify(base: u16, target: u8) -> Option<(String, String)> {
    let m = machine();
    m.port_out(base + 6, 1, 0xa0 | u32::from(target) << 4);
    settled(base)?;
    m.port_out(base + STATUS, 1, 0xec);
    let status = settled(base)?;
    if status & ERROR != 0 || status & REQUEST == 0 {
        return None;
    }
    let words: Vec<u16> = (0..256).map(|_| m.port_in(base, 2) as u16).collect();
    let text = |from: usize, to: usize| {
        let bytes = words[from..to].iter().flat_map(|w| w.to_be_bytes());
        bytes
            .map(|b| {
                if b.is_ascii_graphic() {
                    char::from(b)
                } else {
                    '_'
                }
            })
            .collect::<String>()
    };
    Some((text(27, 47), text(23, 27)))
}

/// The drives of a channel.
pub fn disks(channel: u32) -> Vec<Child> {
    let base = if channel == 0 { 0x1f0 } else { 0x170 };
    (0..2u8)
        .filter_map(|target| {
            let (model, firmware) = identify(base, target)?;
            let device = format!("IDE\\Disk{model}{firmware}");
            Some(Child {
                hardware: Vec::from([device.clone(), format!("IDE\\Disk{model}")]),
                device,
                instance: format!("{channel}.{target}.0"),
                description: model,
                location: format!("Channel {channel}, Target {target}, Lun 0"),
                address: u32::from(target),
                bus: (INTERNAL, Internal),
                ..Child::default()
            })
        })
        .collect()
}
