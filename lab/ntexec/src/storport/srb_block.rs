//! SRBs that the executive makes itself, in either form.

use core::ffi::c_void;

use super::srb::Srb;
use crate::nt::scsi::*;
use crate::nt::storport::StorAddrBtl8;

/// Memory for an SRB of either form with one data block and its sense buffer.
#[repr(C, align(16))]
pub struct SrbBlock {
    head: [u8; 128],
    address: StorAddrBtl8,
    data: [u64; 5],
    /// Sense data as the miniport wrote it
    pub sense: [u8; 255],
}
const DATA_OFFSET: u32 = 144;
const _: () = assert!(core::mem::offset_of!(SrbBlock, data) == DATA_OFFSET as usize);
const BLOCK_LENGTH: u32 = DATA_OFFSET + 40;

impl SrbBlock {
    /// A zeroed block.
    pub const fn zeroed() -> Self {
        Self {
            head: [0; 128],
            address: StorAddrBtl8 {
                kind: 0,
                port: 0,
                address_length: 0,
                path: 0,
                target: 0,
                lun: 0,
                reserved: 0,
                padding: 0,
            },
            data: [0; 5],
            sense: [0; 255],
        }
    }

    /// The view.
    pub fn srb(&mut self) -> Srb {
        Srb(core::ptr::from_mut(self).cast())
    }

    /// Sets the block up anew for `function`, in the form that the adapter takes.
    pub fn prepare(&mut self, extended: bool, function: u8, timeout: u32) -> Srb {
        *self = Self::zeroed();
        let sense = core::ptr::from_mut(&mut self.sense).cast::<c_void>();
        let srb = self.srb();
        // SAFETY: the block is large enough for either form.
        unsafe {
            if extended {
                let ex = srb.ex();
                (*ex).length = 128;
                (*ex).function = SRB_FUNCTION_STORAGE_REQUEST_BLOCK;
                (*ex).signature = SRB_SIGNATURE;
                (*ex).version = STORAGE_REQUEST_BLOCK_VERSION_1;
                (*ex).srb_length = BLOCK_LENGTH;
                (*ex).srb_function = u32::from(function);
                (*ex).address_offset = 128;
                let kind = match function {
                    SRB_FUNCTION_EXECUTE_SCSI => {
                        Some((SRBEX_DATA_TYPE_SCSI_CDB16, SRBEX_DATA_SCSI_CDB16_LENGTH))
                    }
                    SRB_FUNCTION_PNP => Some((SRBEX_DATA_TYPE_PNP, SRBEX_DATA_PNP_LENGTH)),
                    SRB_FUNCTION_POWER => Some((SRBEX_DATA_TYPE_POWER, SRBEX_DATA_POWER_LENGTH)),
                    _ => None,
                };
                if let Some((kind, length)) = kind {
                    (*ex).num_srb_ex_data = 1;
                    (*ex).srb_ex_data_offset[0] = DATA_OFFSET;
                    let data = ex.cast::<u8>().add(DATA_OFFSET as usize).cast::<u32>();
                    data.write(kind);
                    data.add(1).write(length);
                }
            } else {
                (*srb.0).length = 88;
                (*srb.0).function = function;
            }
        }
        srb.set_timeout(timeout);
        if function == SRB_FUNCTION_EXECUTE_SCSI {
            srb.set_sense(sense, 255);
        }
        srb
    }

    /// Puts a command in.
    pub fn set_cdb(&mut self, cdb: &[u8; 16], length: u8) {
        let srb = self.srb();
        // SAFETY: `prepare` laid the block out.
        unsafe {
            if srb.is_extended() {
                if let Some(data) = srb.cdb16() {
                    (*data).cdb = *cdb;
                    (*data).cdb_length = length;
                }
            } else {
                (*srb.0).cdb = *cdb;
                (*srb.0).cdb_length = length;
            }
        }
    }

    /// Makes a PNP SRB's action and flags.
    pub fn set_pnp(&mut self, action: u32, adapter: bool) {
        let srb = self.srb();
        let flags = if adapter {
            SRB_PNP_FLAGS_ADAPTER_REQUEST
        } else {
            0
        };
        // SAFETY: `prepare` laid the block out.
        unsafe {
            if srb.is_extended() {
                if let Some((data, SRBEX_DATA_TYPE_PNP)) = srb.ex_data() {
                    let data = data.cast::<SrbExDataPnp>();
                    (*data).pnp_action = action;
                    (*data).srb_pnp_flags = flags;
                }
            } else {
                let pnp = srb.0.cast::<ScsiPnpRequestBlock>();
                (*pnp).pnp_action = action;
                (*pnp).srb_pnp_flags = flags;
            }
        }
    }

    /// Makes a POWER SRB's state, action and flags.
    pub fn set_power(&mut self, state: u32, action: u32, adapter: bool) {
        let srb = self.srb();
        let flags = if adapter {
            SRB_POWER_FLAGS_ADAPTER_REQUEST as u8
        } else {
            0
        };
        // SAFETY: `prepare` laid the block out.
        unsafe {
            if srb.is_extended() {
                if let Some((data, SRBEX_DATA_TYPE_POWER)) = srb.ex_data() {
                    let data = data.cast::<SrbExDataPower>();
                    (
                        (*data).srb_power_flags,
                        (*data).device_power_state,
                        (*data).power_action,
                    ) = (flags, state, action);
                }
            } else {
                let power = srb.0.cast::<ScsiPowerRequestBlock>();
                (
                    (*power).srb_power_flags,
                    (*power).device_power_state,
                    (*power).power_action,
                ) = (flags, state, action);
            }
        }
    }

    /// Copies a legacy SRB into this block in extended form, for a miniport that takes only that.
    pub fn translate(&mut self, legacy: Srb) -> Srb {
        let srb = self.prepare(true, legacy.function(), legacy.timeout());
        srb.set_flags(legacy.flags());
        srb.set_length(legacy.length());
        srb.set_data(legacy.data());
        srb.set_original(legacy.original());
        if let Some((cdb, length)) = legacy.cdb() {
            self.set_cdb(&cdb, length);
            let (buffer, length) = legacy.sense();
            srb.set_sense(buffer, length);
        }
        srb
    }

    /// Copies what a miniport answered in this block back to the legacy SRB that it was made from.
    pub fn translate_back(&mut self, legacy: Srb) {
        let srb = self.srb();
        legacy.set_status(srb.status());
        legacy.set_length(srb.length());
        if legacy.cdb().is_some() {
            legacy.set_scsi_status(srb.scsi_status());
            let (buffer, length) = srb.sense();
            legacy.set_sense(buffer, length);
        }
    }
}
