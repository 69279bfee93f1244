//! Frames for tests, with right checksums.

use std::vec;
use std::vec::Vec;

use crate::checksum::{Sum, pseudo_header};
use crate::header::protocol;

pub(crate) const A: [u8; 6] = [0x00, 0x16, 0x3E, 1, 2, 3];
pub(crate) const B: [u8; 6] = [0x00, 0x16, 0x3E, 4, 5, 6];
pub(crate) const A4: &[u8] = &[10, 1, 2, 3];
pub(crate) const B4: &[u8] = &[10, 4, 5, 6];
pub(crate) const A6: &[u8] = &[0xFE, 0x80, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
pub(crate) const B6: &[u8] = &[0xFE, 0x80, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1];

/// A frame to be made.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    six: bool,
    udp: bool,
    tag: Option<u16>,
    ip_options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    tcp_options: usize,
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) id: u16,
    payload: Vec<u8>,
}

impl Frame {
    fn new(six: bool, udp: bool) -> Self {
        Self {
            six,
            udp,
            tag: None,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            tcp_options: 0,
            flags: 0x10,
            sequence: 0x1234_5678,
            id: 0x4321,
            payload: Vec::new(),
        }
    }

    pub(crate) fn tcp4() -> Self {
        Self::new(false, false)
    }

    pub(crate) fn tcp6() -> Self {
        Self::new(true, false)
    }

    pub(crate) fn udp4() -> Self {
        Self::new(false, true)
    }

    pub(crate) fn udp6() -> Self {
        Self::new(true, true)
    }

    pub(crate) fn tag(mut self, tci: u16) -> Self {
        self.tag = Some(tci);
        self
    }

    /// A multiple of four bytes.
    pub(crate) fn ip_options(mut self, options: &[u8]) -> Self {
        self.ip_options = options.to_vec();
        self
    }

    /// Numbers, and what follows the first two bytes.
    pub(crate) fn extensions(mut self, extensions: &[(u8, &[u8])]) -> Self {
        self.extensions = extensions.iter().map(|(n, b)| (*n, b.to_vec())).collect();
        self
    }

    pub(crate) fn tcp_options(mut self, bytes: usize) -> Self {
        self.tcp_options = bytes;
        self
    }

    pub(crate) fn payload(mut self, bytes: usize) -> Self {
        self.payload = (0..bytes).map(|i| (i * 7 + i / 256) as u8).collect();
        self
    }

    pub(crate) fn payload_bytes(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    fn protocol(&self) -> u8 {
        if self.udp {
            protocol::UDP
        } else {
            protocol::TCP
        }
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = vec![0xC0, 0x01, 0x00, 0x50];
        if self.udp {
            bytes.extend(((8 + self.payload.len()) as u16).to_be_bytes());
            bytes.extend([0, 0]);
        } else {
            bytes.extend(self.sequence.to_be_bytes());
            bytes.extend(0x0102_0304u32.to_be_bytes());
            bytes.push((((20 + self.tcp_options) / 4) << 4) as u8);
            bytes.push(self.flags);
            bytes.extend([0x20, 0x00, 0, 0, 0, 0]);
            bytes.extend(vec![1; self.tcp_options]);
        }
        let at = if self.udp { 6 } else { 16 };
        bytes.extend(&self.payload);
        let addresses = if self.six {
            [A6, B6].concat()
        } else {
            [A4, B4].concat()
        };
        let mut sum = pseudo_header(&addresses, self.protocol(), bytes.len() as u32);
        sum.add(&bytes);
        let checksum = if self.udp {
            sum.udp_checksum()
        } else {
            sum.checksum()
        };
        bytes[at..at + 2].copy_from_slice(&checksum);
        bytes
    }

    fn network(&self) -> Vec<u8> {
        let transport = self.transport();
        if !self.six {
            let header = 20 + self.ip_options.len();
            let mut bytes = vec![0x40 | (header / 4) as u8, 0];
            bytes.extend(((header + transport.len()) as u16).to_be_bytes());
            bytes.extend(self.id.to_be_bytes());
            bytes.extend([0x40, 0x00, 64, self.protocol(), 0, 0]);
            bytes.extend([A4, B4].concat());
            bytes.extend(&self.ip_options);
            let checksum = Sum::of(&bytes).checksum();
            bytes[10..12].copy_from_slice(&checksum);
            bytes.extend(transport);
            return bytes;
        }
        let mut numbers = self.extensions.iter().map(|e| e.0).collect::<Vec<_>>();
        numbers.push(self.protocol());
        let length = self.extensions.iter().map(|e| e.1.len() + 2).sum::<usize>();
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((length + transport.len()) as u16).to_be_bytes());
        bytes.extend([numbers[0], 64]);
        bytes.extend([A6, B6].concat());
        for (i, (number, body)) in self.extensions.iter().enumerate() {
            bytes.push(numbers[i + 1]);
            let length = if *number == protocol::FRAGMENT {
                0
            } else {
                (body.len() + 2) / 8 - 1
            };
            bytes.push(length as u8);
            bytes.extend(body);
        }
        bytes.extend(transport);
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [B, A].concat();
        if let Some(tci) = self.tag {
            bytes.extend([0x81, 0x00]);
            bytes.extend(tci.to_be_bytes());
        }
        bytes.extend(if self.six { [0x86, 0xDD] } else { [0x08, 0x00] });
        bytes.extend(self.network());
        bytes
    }
}
