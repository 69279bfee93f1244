//! The names of a unit's PDO, as [Identifiers for SCSI Devices] forms them from INQUIRY data.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Standard INQUIRY data, as much as names need (SPC-4, 6.6.2): at least 36 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Peripheral device type (byte 0, bits 0-4)
    pub device_type: u8,
    /// Peripheral qualifier (byte 0, bits 5-7)
    pub qualifier: u8,
    /// RMB
    pub removable: bool,
    /// CMDQUE
    pub command_queue: bool,
    /// T10 vendor identification
    pub vendor: [u8; 8],
    /// Product identification
    pub product: [u8; 16],
    /// Product revision level
    pub revision: [u8; 4],
}

impl Inquiry {
    /// Reads standard INQUIRY data; `None` if it is shorter than the 36 bytes that every device returns.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let data = data.first_chunk::<36>()?;
        let (mut vendor, mut product, mut revision) = ([0; 8], [0; 16], [0; 4]);
        vendor.copy_from_slice(&data[8..16]);
        product.copy_from_slice(&data[16..32]);
        revision.copy_from_slice(&data[32..36]);
        Some(Self {
            device_type: data[0] & 0x1f,
            qualifier: data[0] >> 5,
            removable: data[1] & 0x80 != 0,
            command_queue: data[7] & 2 != 0,
            vendor,
            product,
            revision,
        })
    }

    /// The `Type` part of the ids and the generic (compatible) id.
    fn type_names(&self) -> (&'static str, Option<&'static str>) {
        match self.device_type {
            0 => ("Disk", Some("GenDisk")),
            1 => ("Sequential", None),
            2 => ("Printer", Some("GenPrinter")),
            3 => ("Processor", None),
            4 => ("Worm", Some("GenWorm")),
            5 => ("CdRom", Some("GenCdRom")),
            6 => ("Scanner", Some("GenScanner")),
            7 => ("Optical", Some("GenOptical")),
            8 => ("Changer", Some("ScsiChanger")),
            9 => ("Net", Some("ScsiNet")),
            _ => ("Other", Some("ScsiOther")),
        }
    }

    /// `SCSI\Disk&Ven_v&Prod_p`, the form that current Windows shows.
    pub fn device_id(&self) -> String {
        format!(
            "SCSI\\{}&Ven_{}&Prod_{}",
            self.type_names().0,
            trimmed(&self.vendor),
            trimmed(&self.product)
        )
    }

    /// The hardware ids, most specific first.
    pub fn hardware_ids(&self) -> Vec<String> {
        let kind = self.type_names().0;
        let (vendor, product, revision) = (
            clean(&self.vendor),
            clean(&self.product),
            clean(&self.revision),
        );
        let first = &revision[..1];
        let mut ids = Vec::from([
            format!("SCSI\\{kind}{vendor}{product}{revision}"),
            format!("SCSI\\{kind}{vendor}{product}"),
            format!("SCSI\\{kind}{vendor}"),
            format!("SCSI\\{vendor}{product}{first}"),
            format!("{vendor}{product}{first}"),
        ]);
        ids.extend(self.type_names().1.map(String::from));
        ids
    }

    /// The compatible ids: the generic name, if the type has one.
    pub fn compatible_ids(&self) -> Vec<String> {
        let kind = self.type_names().0;
        let mut ids = Vec::from([format!("SCSI\\{kind}"), String::from("SCSI\\RAW")]);
        if let Some(generic) = self.type_names().1 {
            ids.push(String::from(generic));
        }
        ids
    }

    /// "vendor product SCSI type Device", the friendly name.
    pub fn description(&self) -> String {
        let text = |bytes: &[u8]| String::from(String::from_utf8_lossy(bytes).trim());
        format!(
            "{} {} SCSI {} Device",
            text(&self.vendor),
            text(&self.product),
            self.type_names().0
        )
    }
}

/// Six hexadecimal digits: path, target, LUN.
pub fn instance_id(path: u8, target: u8, lun: u8) -> String {
    format!("{path:02x}{target:02x}{lun:02x}")
}

fn clean(field: &[u8]) -> String {
    // Space, comma and what does not print become an underscore.
    field
        .iter()
        .map(|&b| {
            if matches!(b, 0x21..=0x7e) && b != b',' {
                char::from(b)
            } else {
                '_'
            }
        })
        .collect()
}

fn trimmed(field: &[u8]) -> String {
    let text = clean(field);
    let end = field
        .iter()
        .rposition(|&b| !matches!(b, b' ' | 0))
        .map_or(0, |at| at + 1);
    String::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Inquiry {
        let mut data = [0u8; 36];
        data[1] = 0x80;
        data[7] = 2;
        data[8..16].copy_from_slice(b"ACME, X ");
        data[16..32].copy_from_slice(b"Disk One        ");
        data[32..36].copy_from_slice(b"2.0 ");
        Inquiry::parse(&data).unwrap()
    }

    #[test]
    fn characters_that_ids_may_not_have_become_underscores() {
        let inquiry = sample();
        assert_eq!(inquiry.device_id(), "SCSI\\Disk&Ven_ACME__X&Prod_Disk_One");
        let ids = inquiry.hardware_ids();
        assert_eq!(ids[0], "SCSI\\DiskACME__X_Disk_One________2.0_");
        assert_eq!(ids[3], "SCSI\\ACME__X_Disk_One________2");
        assert!(inquiry.compatible_ids().contains(&String::from("GenDisk")));
    }

    #[test]
    fn short_inquiry_data_gives_no_unit() {
        assert_eq!(Inquiry::parse(&[0; 35]), None);
    }

    #[test]
    fn an_instance_id_is_path_target_lun_in_two_digits_each() {
        assert_eq!(instance_id(0, 4, 0), "000400");
        assert_eq!(instance_id(1, 255, 16), "01ff10");
    }
}
