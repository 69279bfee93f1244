//! What PnP asks about a child.

use wdm::alloc::Paged;
use wdm::resources::{Requirement, requirements_list};
use wdm::status::{Result, Status};
use xenbus_interface::identity::{self, Wide};

use super::Pdo;
use super::pnp::Outcome;

/// `BUS_QUERY_ID_TYPE`.
const ID_DEVICE: u32 = 0;
const ID_HARDWARE: u32 = 1;
const ID_COMPATIBLE: u32 = 2;
const ID_INSTANCE: u32 = 3;

/// `DEVICE_TEXT_TYPE`.
const TEXT_DESCRIPTION: u32 = 0;
const TEXT_LOCATION: u32 = 1;

/// `TargetDeviceRelation` of `DEVICE_RELATION_TYPE`.
const TARGET_DEVICE_RELATION: u32 = 4;

/// `Internal` of `INTERFACE_TYPE`.
const INTERFACE_TYPE_INTERNAL: u32 = 0;

/// `GUID_BUS_TYPE_INTERNAL` as it lies in memory.
const BUS_TYPE_INTERNAL: [u8; 16] = [
    0x73, 0xea, 0x30, 0x15, 0x6b, 0x08, 0xd1, 0x11, 0xa0, 0x9f, 0x00, 0xc0, 0x4f, 0xc3, 0x40, 0xb1,
];

/// Bytes of a page, which is what children's memory requirement asks for.
const PAGE_SIZE: u32 = 4096;

impl Pdo {
    /// `IRP_MN_QUERY_ID`: strings in paged pool.
    pub(super) fn query_id(&self, parameters: [usize; 4]) -> Outcome {
        let vendor = self.parent.vendor();
        let text = match parameters[0] as u32 {
            ID_DEVICE => identity::device_id(&vendor, &self.child),
            ID_INSTANCE => identity::instance_id(&self.child),
            ID_HARDWARE | ID_COMPATIBLE => {
                identity::hardware_ids(&vendor, &self.child, |revision| {
                    revision.is_served(|guid, version| self.parent.serves(guid, version))
                })
            }
            _ => return Outcome::Untouched,
        };
        answer_text(text).into()
    }

    /// `IRP_MN_QUERY_DEVICE_TEXT`: a string in paged pool, in the one language there is.
    pub(super) fn query_text(&self, parameters: [usize; 4]) -> Outcome {
        let text = match parameters[0] as u32 {
            TEXT_DESCRIPTION => identity::description(self.parent.vendor_name(), &self.child),
            TEXT_LOCATION => identity::location(&self.child),
            _ => return Outcome::Untouched,
        };
        answer_text(text).into()
    }

    /// `IRP_MN_QUERY_RESOURCE_REQUIREMENTS`: a page of memory and an interrupt line that no child uses: StorPort starts
    /// no physical adapter without.
    pub(super) fn query_requirements(&self) -> Result<usize> {
        let requirements = [
            Requirement::memory(PAGE_SIZE),
            Requirement::line_interrupt(),
        ];
        let list = requirements_list(INTERFACE_TYPE_INTERNAL, &requirements)?;
        Ok(list.into_raw().expose_provenance())
    }

    /// `IRP_MN_QUERY_BUS_INFORMATION`: a `PNP_BUS_INFORMATION` in paged pool.
    pub(super) fn query_bus_information(&self) -> Result<usize> {
        let mut bytes = [0; 24];
        let (guid, numbers) = bytes.split_at_mut(BUS_TYPE_INTERNAL.len());
        guid.copy_from_slice(&BUS_TYPE_INTERNAL);
        // LegacyBusType; BusNumber stays 0.
        if let Some(interface_type) = numbers.first_chunk_mut() {
            *interface_type = INTERFACE_TYPE_INTERNAL.to_le_bytes();
        }
        Ok(Paged::copy_of(&bytes)?.into_raw().expose_provenance())
    }

    /// `IRP_MN_QUERY_DEVICE_RELATIONS`: a child has no children and is its own target device.
    pub(super) fn query_relations(&self, parameters: [usize; 4]) -> Outcome {
        if parameters[0] as u32 != TARGET_DEVICE_RELATION {
            return Outcome::Untouched;
        }
        self.target_relation().into()
    }

    /// A `DEVICE_RELATIONS` of one object, with the reference that PnP gives back.
    fn target_relation(&self) -> Result<usize> {
        let address = self.device().as_ptr().expose_provenance() as u64;
        let mut bytes = [0; 16];
        let (count, object) = bytes.split_at_mut(8);
        count.copy_from_slice(&1_u64.to_le_bytes());
        object.copy_from_slice(&address.to_le_bytes());
        let relations = Paged::copy_of(&bytes)?;
        self.device().reference();
        Ok(relations.into_raw().expose_provenance())
    }
}

fn answer_text(text: core::result::Result<Wide, core::fmt::Error>) -> Result<usize> {
    let text = text.map_err(|_| Status::INTERNAL_ERROR)?;
    Ok(Paged::copy_of_units(text.as_units())?
        .into_raw()
        .expose_provenance())
}
