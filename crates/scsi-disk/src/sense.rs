//! Sense data (SPC-4 4.5).

/// Bytes of fixed-format sense data.
pub const FIXED_LENGTH: usize = 18;

/// A sense key with its additional sense code and qualifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// Sense key (SPC-4 table 48).
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// Byte of the CDB that is in error, for INVALID FIELD IN CDB.
    pub field: Option<u16>,
}

impl Sense {
    const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self {
            key,
            asc,
            ascq,
            field: None,
        }
    }

    /// NO SENSE.
    pub const NONE: Self = Self::new(0, 0, 0);
    /// ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE.
    pub const INVALID_OPCODE: Self = Self::new(5, 0x20, 0);
    /// ILLEGAL REQUEST, LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(5, 0x21, 0);
    /// ILLEGAL REQUEST, LOGICAL UNIT NOT SUPPORTED.
    pub const LUN_NOT_SUPPORTED: Self = Self::new(5, 0x25, 0);
    /// ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST.
    pub const INVALID_PARAMETER: Self = Self::new(5, 0x26, 0);
    /// ILLEGAL REQUEST, PARAMETER LIST LENGTH ERROR.
    pub const PARAMETER_LIST_LENGTH: Self = Self::new(5, 0x1A, 0);
    /// ILLEGAL REQUEST, SAVING PARAMETERS NOT SUPPORTED.
    pub const SAVING_NOT_SUPPORTED: Self = Self::new(5, 0x39, 0);
    /// DATA PROTECT, WRITE PROTECTED.
    pub const WRITE_PROTECTED: Self = Self::new(7, 0x27, 0);
    /// MEDIUM ERROR, UNRECOVERED READ ERROR.
    pub const READ_ERROR: Self = Self::new(3, 0x11, 0);
    /// MEDIUM ERROR, WRITE ERROR.
    pub const WRITE_ERROR: Self = Self::new(3, 0x0C, 0);
    /// HARDWARE ERROR, INTERNAL TARGET FAILURE.
    pub const INTERNAL_FAILURE: Self = Self::new(4, 0x44, 0);
    /// NOT READY, LOGICAL UNIT IS IN PROCESS OF BECOMING READY.
    pub const BECOMING_READY: Self = Self::new(2, 0x04, 0x01);
    /// UNIT ATTENTION, CAPACITY DATA HAS CHANGED.
    pub const CAPACITY_CHANGED: Self = Self::new(6, 0x2A, 0x09);

    /// ILLEGAL REQUEST, INVALID FIELD IN CDB, with the byte in error.
    pub const fn invalid_field(byte: u16) -> Self {
        Self {
            key: 5,
            asc: 0x24,
            ascq: 0,
            field: Some(byte),
        }
    }

    /// Fixed-format sense data, current error (SPC-4 4.5.3).
    pub fn fixed(&self) -> [u8; FIXED_LENGTH] {
        let mut data = [0; FIXED_LENGTH];
        data[0] = 0x70;
        data[2] = self.key & 0xF;
        data[7] = (FIXED_LENGTH - 8) as u8;
        data[12] = self.asc;
        data[13] = self.ascq;
        if let Some(field) = self.field {
            let [high, low] = field.to_be_bytes();
            // SKSV, and C/D: the field is in the CDB (SPC-4 4.5.2.4.2).
            data[15] = 0xC0;
            data[16] = high;
            data[17] = low;
        }
        data
    }
}
