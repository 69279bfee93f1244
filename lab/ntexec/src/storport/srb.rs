//! SRBs in both forms behind one view, and the blocks that the executive makes itself.

use core::ffi::c_void;

use crate::nt::scsi::*;
use crate::nt::storport::{STOR_ADDR_BTL8_ADDRESS_LENGTH, STOR_ADDRESS_TYPE_BTL8, StorAddrBtl8};

/// Path, target and LUN of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Path
    pub path: u8,
    /// Target
    pub target: u8,
    /// Logical unit
    pub lun: u8,
}

/// An SRB of either form. The pointer is that of the form's common head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Srb(pub *mut ScsiRequestBlock);

macro_rules! field {
    ($(#[$doc:meta])* $get:ident, $set:ident, $legacy:ident, $extended:ident, $ty:ty) => {
        $(#[$doc])*
        pub fn $get(self) -> $ty {
            // SAFETY: the view stands on an SRB that is alive, by the contract of `Srb::new`.
            unsafe { if self.is_extended() { (*self.ex()).$extended.cast_into() } else { (*self.0).$legacy.cast_into() } }
        }
        $(#[$doc])*
        pub fn $set(self, value: $ty) {
            // SAFETY: as above.
            unsafe {
                if self.is_extended() {
                    (*self.ex()).$extended = value.cast_into();
                } else {
                    (*self.0).$legacy = value.cast_into();
                }
            }
        }
    };
}

/// Integer and pointer conversions between the two forms' fields, which differ in width only.
trait CastInto<T> {
    fn cast_into(self) -> T;
}
impl CastInto<u32> for u32 {
    fn cast_into(self) -> u32 {
        self
    }
}
impl CastInto<*mut c_void> for *mut c_void {
    fn cast_into(self) -> *mut c_void {
        self
    }
}

impl Srb {
    /// A view of the SRB at `srb`.
    ///
    /// # Safety
    /// It must be a valid SRB of either form for as long as the view is used.
    pub unsafe fn new(srb: *mut c_void) -> Self {
        Self(srb.cast())
    }

    pub(super) fn ex(self) -> *mut StorageRequestBlock {
        self.0.cast()
    }

    /// True for a STORAGE_REQUEST_BLOCK.
    pub fn is_extended(self) -> bool {
        // SAFETY: both forms have Function at offset 2.
        unsafe { (*self.0).function == SRB_FUNCTION_STORAGE_REQUEST_BLOCK }
    }

    /// The SRB's function (of either form).
    pub fn function(self) -> u8 {
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                (*self.ex()).srb_function as u8
            } else {
                (*self.0).function
            }
        }
    }

    /// SrbStatus with its flags.
    pub fn status(self) -> u8 {
        // SAFETY: both forms have SrbStatus at offset 3.
        unsafe { (*self.0).srb_status }
    }

    /// Sets SrbStatus.
    pub fn set_status(self, status: u8) {
        // SAFETY: both forms have SrbStatus at offset 3.
        unsafe { (*self.0).srb_status = status }
    }

    field!(/// SrbFlags
        flags, set_flags, srb_flags, srb_flags, u32);
    field!(/// DataTransferLength in bytes
        length, set_length, data_transfer_length, data_transfer_length, u32);
    field!(/// TimeOutValue in seconds
        timeout, set_timeout, time_out_value, time_out_value, u32);
    field!(/// DataBuffer
        data, set_data, data_buffer, data_buffer, *mut c_void);
    field!(/// OriginalRequest: the IRP
        original, set_original, original_request, original_request, *mut c_void);
    field!(/// The SRB extension (MiniportContext in the extended form)
        extension, set_extension, srb_extension, miniport_context, *mut c_void);

    /// The first SRBEX data block of the extended form, as a pointer and its type.
    pub(super) fn ex_data(self) -> Option<(*mut u8, u32)> {
        // SAFETY: see `new`; offsets are checked against the SRB's own length.
        unsafe {
            let ex = self.ex();
            let offset = (*ex).srb_ex_data_offset[0];
            if (*ex).num_srb_ex_data == 0
                || offset < 128
                || offset.saturating_add(8) > (*ex).srb_length
            {
                return None;
            }
            let data = ex.cast::<u8>().add(offset as usize);
            Some((data, data.cast::<u32>().read()))
        }
    }

    pub(super) fn cdb16(self) -> Option<*mut SrbExDataScsiCdb16> {
        match self.ex_data()? {
            (data, SRBEX_DATA_TYPE_SCSI_CDB16 | SRBEX_DATA_TYPE_SCSI_CDB32) => Some(data.cast()),
            _ => None,
        }
    }

    /// The command and its length; `None` if the SRB carries none.
    pub fn cdb(self) -> Option<([u8; 16], u8)> {
        if self.function() != SRB_FUNCTION_EXECUTE_SCSI {
            return None;
        }
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                self.cdb16().map(|data| ((*data).cdb, (*data).cdb_length))
            } else {
                Some(((*self.0).cdb, (*self.0).cdb_length))
            }
        }
    }

    /// ScsiStatus.
    pub fn scsi_status(self) -> u8 {
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                self.cdb16().map_or(0, |data| (*data).scsi_status)
            } else {
                (*self.0).scsi_status
            }
        }
    }

    /// Sets ScsiStatus.
    pub fn set_scsi_status(self, status: u8) {
        // SAFETY: see `new`.
        unsafe {
            if !self.is_extended() {
                (*self.0).scsi_status = status;
            } else if let Some(data) = self.cdb16() {
                (*data).scsi_status = status;
            }
        }
    }

    /// The sense buffer and its length.
    pub fn sense(self) -> (*mut c_void, u8) {
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                self.cdb16().map_or((core::ptr::null_mut(), 0), |data| {
                    ((*data).sense_info_buffer, (*data).sense_info_buffer_length)
                })
            } else {
                (
                    (*self.0).sense_info_buffer,
                    (*self.0).sense_info_buffer_length,
                )
            }
        }
    }

    /// Sets the sense buffer and its length.
    pub fn set_sense(self, buffer: *mut c_void, length: u8) {
        // SAFETY: see `new`.
        unsafe {
            if !self.is_extended() {
                (*self.0).sense_info_buffer = buffer;
                (*self.0).sense_info_buffer_length = length;
            } else if let Some(data) = self.cdb16() {
                (*data).sense_info_buffer = buffer;
                (*data).sense_info_buffer_length = length;
            }
        }
    }

    /// A copy of the sense data, if the status says that it is valid.
    pub fn sense_data(self) -> Option<alloc::vec::Vec<u8>> {
        let (buffer, length) = self.sense();
        if self.status() & SRB_STATUS_AUTOSENSE_VALID == 0 || buffer.is_null() {
            return None;
        }
        // SAFETY: whoever made the SRB gave a buffer of at least the length that it holds.
        Some(
            unsafe { core::slice::from_raw_parts(buffer.cast::<u8>(), usize::from(length)) }
                .to_vec(),
        )
    }

    /// Sets path, target and LUN, as the port driver does before it hands an SRB out.
    pub fn set_address(self, address: Address) {
        // SAFETY: see `new`; the address lies inside the SRB by its own length.
        unsafe {
            if !self.is_extended() {
                ((*self.0).path_id, (*self.0).target_id, (*self.0).lun) =
                    (address.path, address.target, address.lun);
                return;
            }
            let ex = self.ex();
            let offset = (*ex).address_offset;
            if offset >= 128 && offset.saturating_add(16) <= (*ex).srb_length {
                ex.cast::<u8>()
                    .add(offset as usize)
                    .cast::<StorAddrBtl8>()
                    .write(btl8(address));
            }
        }
    }

    /// Sets QueueTag or RequestTag.
    pub fn set_tag(self, tag: u32) {
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                (*self.ex()).request_tag = tag;
            } else {
                (*self.0).queue_tag = tag as u8;
            }
        }
    }

    /// Makes the request a tagged one of the simple kind, or an untagged one.
    pub fn set_simple_tag(self, tagged: bool) {
        let action = if tagged { SRB_SIMPLE_TAG_REQUEST } else { 0 };
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                (*self.ex()).request_attribute = u16::from(action);
            } else {
                (*self.0).queue_action = action;
            }
        }
        let flags = self.flags();
        self.set_flags(if tagged {
            flags | SRB_FLAGS_QUEUE_ACTION_ENABLE
        } else {
            flags & !SRB_FLAGS_QUEUE_ACTION_ENABLE
        });
    }

    /// PnPAction, if it is a PNP SRB.
    pub fn pnp_action(self) -> Option<u32> {
        if self.function() != SRB_FUNCTION_PNP {
            return None;
        }
        // SAFETY: see `new`.
        unsafe {
            if self.is_extended() {
                match self.ex_data()? {
                    (data, SRBEX_DATA_TYPE_PNP) => Some((*data.cast::<SrbExDataPnp>()).pnp_action),
                    _ => None,
                }
            } else {
                Some((*self.0.cast::<ScsiPnpRequestBlock>()).pnp_action)
            }
        }
    }
}

pub use super::srb_block::SrbBlock;

/// An address as STOR_ADDR_BTL8.
pub fn btl8(address: Address) -> StorAddrBtl8 {
    StorAddrBtl8 {
        kind: STOR_ADDRESS_TYPE_BTL8,
        port: 0,
        address_length: STOR_ADDR_BTL8_ADDRESS_LENGTH,
        path: address.path,
        target: address.target,
        lun: address.lun,
        reserved: 0,
        padding: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CDB: [u8; 16] = [0x28, 0, 0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn both_forms_give_back_what_was_put_in() {
        for extended in [false, true] {
            let mut block = SrbBlock::zeroed();
            let srb = block.prepare(extended, SRB_FUNCTION_EXECUTE_SCSI, 60);
            block.set_cdb(&CDB, 10);
            srb.set_length(512);
            srb.set_flags(SRB_FLAGS_DATA_IN);
            srb.set_address(Address {
                path: 0,
                target: 4,
                lun: 1,
            });
            srb.set_scsi_status(2);
            srb.set_status(SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
            assert_eq!(srb.is_extended(), extended);
            assert_eq!(srb.function(), SRB_FUNCTION_EXECUTE_SCSI);
            assert_eq!(srb.cdb(), Some((CDB, 10)));
            assert_eq!(
                (srb.length(), srb.timeout(), srb.flags()),
                (512, 60, SRB_FLAGS_DATA_IN)
            );
            assert_eq!(srb.scsi_status(), 2);
            assert_eq!(srb.sense_data().map(|sense| sense.len()), Some(255));
        }
    }

    #[test]
    fn pnp_and_power_requests_have_both_forms() {
        for extended in [false, true] {
            let mut block = SrbBlock::zeroed();
            let srb = block.prepare(extended, SRB_FUNCTION_PNP, 10);
            block.set_pnp(STOR_QUERY_CAPABILITIES, false);
            assert_eq!(srb.pnp_action(), Some(STOR_QUERY_CAPABILITIES));
            assert_eq!(srb.cdb(), None);
            let srb = block.prepare(extended, SRB_FUNCTION_POWER, 10);
            block.set_power(4, 1, true);
            assert_eq!(
                (srb.function(), srb.pnp_action()),
                (SRB_FUNCTION_POWER, None)
            );
        }
    }

    #[test]
    fn a_legacy_request_is_answered_through_its_translation() {
        let (mut legacy, mut other) = (SrbBlock::zeroed(), SrbBlock::zeroed());
        let old = legacy.prepare(false, SRB_FUNCTION_EXECUTE_SCSI, 5);
        legacy.set_cdb(&CDB, 10);
        old.set_length(4096);
        let new = other.translate(old);
        assert!(new.is_extended());
        assert_eq!(new.cdb(), Some((CDB, 10)));
        new.set_status(SRB_STATUS_SUCCESS);
        new.set_length(2048);
        other.translate_back(old);
        assert_eq!((old.status(), old.length()), (SRB_STATUS_SUCCESS, 2048));
    }

    #[test]
    fn a_data_offset_outside_the_block_is_not_followed() {
        let mut block = SrbBlock::zeroed();
        let srb = block.prepare(true, SRB_FUNCTION_EXECUTE_SCSI, 5);
        // SAFETY: the block is an extended SRB.
        unsafe { (*srb.ex()).srb_ex_data_offset[0] = 5000 };
        assert_eq!(srb.cdb(), None);
    }
}
