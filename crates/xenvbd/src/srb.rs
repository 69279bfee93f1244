//! A view of an extended SRB.

use core::ffi::c_void;
use core::ptr::NonNull;

use scsi_disk::Sense;
use storport_sys::constant::{srb_ex_type, srb_flags, srb_status};
use storport_sys::port::STOR_ADDR_BTL8;
use storport_sys::srb::{
    SRBEX_DATA, SRBEX_DATA_PNP, SRBEX_DATA_SCSI_CDB_VAR, SRBEX_DATA_SCSI_CDB16,
    SRBEX_DATA_SCSI_CDB32, STORAGE_REQUEST_BLOCK,
};

/// Most pieces of extra data that are looked through for a command.
const MAX_EX_DATA: u32 = 16;

/// An SRB that StorPort gave to the miniport and that is not yet completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Srb(NonNull<STORAGE_REQUEST_BLOCK>);

// SAFETY: whoever holds an SRB may use it from any thread until it is completed.
unsafe impl Send for Srb {}

/// Path, target and unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Path.
    pub path: u8,
    /// Target.
    pub target: u8,
    /// Logical unit.
    pub lun: u8,
}

/// Where a command's bytes, status and sense buffer are.
struct Command {
    cdb: *const u8,
    length: usize,
    status: *mut u8,
    sense: *mut u8,
    sense_length: *mut u8,
}

impl Srb {
    /// Takes an SRB from StorPort.
    ///
    /// # Safety
    /// `srb` was given to the miniport and stays uncompleted while the view is used.
    pub unsafe fn new(srb: *mut STORAGE_REQUEST_BLOCK) -> Option<Self> {
        NonNull::new(srb).map(Self)
    }

    /// The block itself.
    pub fn as_ptr(self) -> *mut STORAGE_REQUEST_BLOCK {
        self.0.as_ptr()
    }

    fn block(&self) -> &STORAGE_REQUEST_BLOCK {
        // SAFETY: an SRB of the miniport's; it has the whole fixed part.
        unsafe { self.0.as_ref() }
    }

    fn block_mut(&mut self) -> &mut STORAGE_REQUEST_BLOCK {
        // SAFETY: an SRB of the miniport's; nobody else uses its fixed part until it is completed.
        unsafe { self.0.as_mut() }
    }

    /// What it asks for.
    pub fn function(self) -> u8 {
        u8::try_from(self.block().SrbFunction).unwrap_or(u8::MAX)
    }

    /// Whom it is for.
    pub fn address(self) -> Option<Address> {
        let offset = usize::try_from(self.block().AddressOffset)
            .ok()
            .filter(|o| *o != 0)?;
        // SAFETY: StorPort's offset leads to an address within the SRB.
        let address = unsafe { self.0.as_ptr().byte_add(offset) }.cast::<STOR_ADDR_BTL8>();
        // SAFETY: as above; only addresses of this type are asked for.
        let address = unsafe { address.read() };
        Some(Address {
            path: address.Path,
            target: address.Target,
            lun: address.Lun,
        })
    }

    /// Bytes of the data buffer.
    pub fn data_length(self) -> u32 {
        self.block().DataTransferLength
    }

    /// Says how many bytes were transferred.
    pub fn set_data_length(mut self, length: u32) {
        self.block_mut().DataTransferLength = length;
    }

    /// The data buffer, which StorPort maps for all but reads and writes.
    ///
    /// # Safety
    /// The slice is not kept beyond the SRB's completion, and there is only one.
    pub unsafe fn data<'a>(self) -> &'a mut [u8] {
        let (buffer, length) = (self.block().DataBuffer, self.data_length() as usize);
        if buffer.is_null() || length == 0 {
            return &mut [];
        }
        // SAFETY: StorPort mapped that many bytes at that address; the caller's promise does the rest.
        unsafe { core::slice::from_raw_parts_mut(buffer.cast(), length) }
    }

    /// The miniport's own memory for this SRB.
    pub fn extension(self) -> *mut c_void {
        self.block().MiniportContext
    }

    /// The `index`-th piece of extra data.
    fn ex_data(&self, index: u32) -> Option<*mut SRBEX_DATA> {
        // SAFETY: a field of the SRB.
        let first = unsafe { &raw const (*self.0.as_ptr()).SrbExDataOffset }.cast::<u32>();
        // SAFETY: the array has NumSrbExData entries.
        let entry = unsafe { first.add(index as usize) };
        // SAFETY: as above.
        let offset = unsafe { entry.read() } as usize;
        // SAFETY: StorPort's offset leads to extra data within the SRB.
        (offset != 0).then(|| unsafe { self.0.as_ptr().byte_add(offset) }.cast())
    }

    /// The first piece of extra data of one of these types, with its type.
    fn find(&self, types: &[u32]) -> Option<(*mut SRBEX_DATA, u32)> {
        (0..self.block().NumSrbExData.min(MAX_EX_DATA)).find_map(|index| {
            let data = self.ex_data(index)?;
            // SAFETY: extra data starts with its type.
            let kind = unsafe { (*data).Type };
            types.contains(&kind).then_some((data, kind))
        })
    }

    fn command(&self) -> Option<Command> {
        use srb_ex_type::{SCSI_CDB_VAR, SCSI_CDB16, SCSI_CDB32};
        let (data, kind) = self.find(&[SCSI_CDB16, SCSI_CDB32, SCSI_CDB_VAR])?;
        macro_rules! command {
            ($ty:ty, $max:expr) => {{
                let data = data.cast::<$ty>();
                // SAFETY: extra data of this type.
                let fields = unsafe { &*data };
                let length = fields.CdbLength as usize;
                Command {
                    // SAFETY: a field of the data.
                    cdb: unsafe { &raw const (*data).Cdb }.cast(),
                    length: length.min($max),
                    // SAFETY: a field of the data.
                    status: unsafe { &raw mut (*data).ScsiStatus },
                    sense: fields.SenseInfoBuffer.cast(),
                    // SAFETY: a field of the data.
                    sense_length: unsafe { &raw mut (*data).SenseInfoBufferLength },
                }
            }};
        }
        Some(match kind {
            SCSI_CDB16 => command!(SRBEX_DATA_SCSI_CDB16, 16),
            SCSI_CDB32 => command!(SRBEX_DATA_SCSI_CDB32, 32),
            _ => command!(SRBEX_DATA_SCSI_CDB_VAR, 16),
        })
    }

    /// The command's bytes, copied; zeros behind them. Longer commands are cut: none of a disk's is.
    pub fn cdb(self) -> Option<([u8; 16], usize)> {
        let command = self.command()?;
        let length = command.length.min(16);
        let mut cdb = [0; 16];
        // SAFETY: the command has that many bytes.
        unsafe {
            cdb.as_mut_ptr()
                .copy_from_nonoverlapping(command.cdb, length)
        };
        Some((cdb, length))
    }

    /// The action of an SRB_FUNCTION_PNP, and whether it is for the whole adapter.
    pub fn pnp(self) -> Option<(u32, bool)> {
        let (data, _) = self.find(&[srb_ex_type::PNP])?;
        // SAFETY: extra data of this type.
        let data = unsafe { &*data.cast::<SRBEX_DATA_PNP>() };
        let adapter = data.SrbPnPFlags & storport_sys::constant::SRB_PNP_FLAGS_ADAPTER_REQUEST != 0;
        Some((data.PnPAction, adapter))
    }

    /// Sets the SRB's status, and the command's, if it has one.
    pub fn set_status(mut self, status: u8, scsi_status: u8) {
        if let Some(command) = self.command() {
            // SAFETY: the status field of the command's data.
            unsafe { command.status.write(scsi_status) };
        }
        self.block_mut().SrbStatus = status;
    }

    /// Sets CHECK CONDITION with sense data, as far as the SRB has room for it and wants it.
    pub fn set_sense(self, sense: Sense) {
        let mut status = srb_status::ERROR;
        if let Some(command) = self.command() {
            // SAFETY: the length field of the command's data.
            let room = usize::from(unsafe { command.sense_length.read() });
            let data = sense.fixed();
            let length = room.min(data.len());
            let wanted = self.block().SrbFlags & srb_flags::DISABLE_AUTOSENSE == 0;
            if !command.sense.is_null() && length != 0 && wanted {
                // SAFETY: the SRB's sense buffer has that much room.
                unsafe {
                    command
                        .sense
                        .copy_from_nonoverlapping(data.as_ptr(), length)
                };
                // SAFETY: the length field of the command's data; at most 18.
                unsafe { command.sense_length.write(length as u8) };
                status |= srb_status::AUTOSENSE_VALID;
            }
        }
        self.set_data_length(0);
        self.set_status(status, storport_sys::constant::scsi_status::CHECK_CONDITION);
    }
}
