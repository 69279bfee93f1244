//! What the class driver makes of a failed SRB: the status, and whether and when it tries again.
//!
//! The table is that of Microsoft's classpnp sample (class.c, retry.c; facts only), as far as a disk that is always
//! ready can meet it.

use crate::nt::base::NTSTATUS;
use crate::nt::scsi::*;

/// Sense data, as much as decisions need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sense {
    /// Sense key
    pub key: u8,
    /// Additional sense code
    pub asc: u8,
    /// Additional sense code qualifier
    pub ascq: u8,
    /// Incorrect length indicator
    pub incorrect_length: bool,
}

impl Sense {
    /// Reads fixed (70h, 71h) or descriptor (72h, 73h) format; `None` if it is neither or too short for a key.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        match data.first()? & 0x7f {
            0x70 | 0x71 if data.len() >= 3 => Some(Self {
                key: data[2] & 0x0f,
                incorrect_length: data[2] & 0x20 != 0,
                asc: byte(12),
                ascq: byte(13),
            }),
            0x72 | 0x73 if data.len() >= 2 => Some(Self {
                key: data[1] & 0x0f,
                asc: byte(2),
                ascq: byte(3),
                incorrect_length: false,
            }),
            _ => None,
        }
    }
}

/// What to do with a request that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done; the SRB's length counts.
    Success,
    /// Try again after so many milliseconds, if tries are left; else the status.
    Retry {
        /// Milliseconds to wait
        after: u32,
        /// The status once no tries are left
        status: NTSTATUS,
    },
    /// Failed for good.
    Fail(NTSTATUS),
}

/// What came back, as far as the table looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// SRB status without its flags
    pub srb_status: u8,
    /// SCSI status
    pub scsi_status: u8,
    /// Sense data, if the port says that it is valid
    pub sense: Option<Sense>,
    /// The request moves blocks
    pub read_write: bool,
    /// It writes
    pub write: bool,
    /// The range that it names lies inside the known capacity
    pub in_range: bool,
}

macro_rules! statuses {
    ($($name:ident = $value:literal),* $(,)?) => { $(const $name: NTSTATUS = $value as u32 as NTSTATUS;)* };
}
statuses! {
    IO_DEVICE_ERROR = 0xc000_0185u32, INVALID_BLOCK_LENGTH = 0xc000_0173u32, DEVICE_NOT_READY = 0xc000_00a3u32,
    NO_MEDIA_IN_DEVICE = 0xc000_0013u32, DEVICE_DATA_ERROR = 0xc000_009cu32, DEVICE_HARDWARE_ERROR = 0xc000_0483u32,
    CRC_ERROR = 0xc000_003fu32, INVALID_DEVICE_REQUEST = 0xc000_0010u32, NONEXISTENT_SECTOR = 0xc000_0015u32,
    MEDIA_WRITE_PROTECTED = 0xc000_00a2u32, ACCESS_DENIED = 0xc000_0022u32, DISK_RESOURCES_EXHAUSTED = 0xc000_0461u32,
    DATA_OVERRUN = 0xc000_003cu32, IO_TIMEOUT = 0xc000_00b5u32, NO_SUCH_DEVICE = 0xc000_000eu32,
    DEVICE_NOT_CONNECTED = 0xc000_009du32, DEVICE_BUSY = 0x8000_0011u32, INTERNAL_ERROR = 0xc000_00e5u32,
    PARITY_ERROR = 0xc000_002bu32, INSUFFICIENT_RESOURCES = 0xc000_009au32, VERIFY_REQUIRED = 0x8000_0016u32,
}

/// The table.
pub fn judge(outcome: &Outcome) -> Verdict {
    let retry = |after, status| Verdict::Retry { after, status };
    match outcome.srb_status {
        SRB_STATUS_SUCCESS => Verdict::Success,
        SRB_STATUS_DATA_OVERRUN if outcome.read_write => retry(0, DATA_OVERRUN),
        // Less data than asked for is what INQUIRY, MODE SENSE and the VPD pages do.
        SRB_STATUS_DATA_OVERRUN => Verdict::Success,
        _ if outcome.sense.is_some() => by_sense(outcome, outcome.sense.unwrap_or_default()),
        SRB_STATUS_ABORTED => retry(1000, IO_TIMEOUT),
        SRB_STATUS_TIMEOUT | SRB_STATUS_COMMAND_TIMEOUT => retry(1000, IO_TIMEOUT),
        SRB_STATUS_PARITY_ERROR => retry(1000, PARITY_ERROR),
        SRB_STATUS_UNEXPECTED_BUS_FREE => retry(1000, IO_DEVICE_ERROR),
        SRB_STATUS_BUS_RESET | SRB_STATUS_REQUEST_FLUSHED => retry(1000, IO_DEVICE_ERROR),
        SRB_STATUS_PHASE_SEQUENCE_FAILURE => retry(0, IO_DEVICE_ERROR),
        SRB_STATUS_BUSY => retry(1000, DEVICE_BUSY),
        SRB_STATUS_INVALID_REQUEST => Verdict::Fail(INVALID_DEVICE_REQUEST),
        SRB_STATUS_NO_DEVICE
        | SRB_STATUS_NO_HBA
        | SRB_STATUS_INVALID_PATH_ID
        | SRB_STATUS_INVALID_TARGET_ID
        | SRB_STATUS_INVALID_LUN => Verdict::Fail(NO_SUCH_DEVICE),
        SRB_STATUS_SELECTION_TIMEOUT => Verdict::Fail(DEVICE_NOT_CONNECTED),
        SRB_STATUS_INTERNAL_ERROR => Verdict::Fail(INTERNAL_ERROR),
        SRB_STATUS_INSUFFICIENT_RESOURCES => retry(1000, INSUFFICIENT_RESOURCES),
        SRB_STATUS_ERROR => by_scsi_status(outcome.scsi_status),
        _ => Verdict::Fail(IO_DEVICE_ERROR),
    }
}

fn by_scsi_status(status: u8) -> Verdict {
    match status {
        SCSISTAT_BUSY | SCSISTAT_QUEUE_FULL => Verdict::Retry {
            after: 1000,
            status: DEVICE_BUSY,
        },
        SCSISTAT_RESERVATION_CONFLICT => Verdict::Fail(DEVICE_BUSY),
        _ => Verdict::Retry {
            after: 0,
            status: IO_DEVICE_ERROR,
        },
    }
}

fn by_sense(outcome: &Outcome, sense: Sense) -> Verdict {
    let retry = |after, status| Verdict::Retry { after, status };
    match (sense.key, sense.asc, sense.ascq) {
        (SENSE_NO_SENSE, ..) if sense.incorrect_length => Verdict::Fail(INVALID_BLOCK_LENGTH),
        (SENSE_NO_SENSE, ..) => retry(0, IO_DEVICE_ERROR),
        (SENSE_RECOVERED_ERROR, ..) => Verdict::Success,
        (SENSE_NOT_READY, 0x04, 0x01 | 0x07) => retry(10_000, DEVICE_NOT_READY),
        (SENSE_NOT_READY, 0x04, 0x00 | 0x04 | 0x08) => Verdict::Fail(DEVICE_NOT_READY),
        (SENSE_NOT_READY, 0x04, 0x03) | (SENSE_NOT_READY, 0x3a, _) => {
            Verdict::Fail(NO_MEDIA_IN_DEVICE)
        }
        (SENSE_NOT_READY, 0x04, 0x14) => retry(10_000, DEVICE_NOT_READY),
        (SENSE_NOT_READY, ..) => retry(0, DEVICE_NOT_READY),
        (SENSE_MEDIUM_ERROR, ..) => Verdict::Fail(DEVICE_DATA_ERROR),
        (SENSE_HARDWARE_ERROR, 0x08, 0x03) => retry(1000, CRC_ERROR),
        (SENSE_HARDWARE_ERROR, ..) => Verdict::Fail(DEVICE_HARDWARE_ERROR),
        (SENSE_ILLEGAL_REQUEST, 0x21, _) if outcome.read_write && outcome.in_range => {
            retry(5000, NONEXISTENT_SECTOR)
        }
        (SENSE_ILLEGAL_REQUEST, 0x21, _) => Verdict::Fail(NONEXISTENT_SECTOR),
        (SENSE_ILLEGAL_REQUEST, ..) => Verdict::Fail(INVALID_DEVICE_REQUEST),
        (SENSE_UNIT_ATTENTION, 0x2a, 0x09) | (SENSE_UNIT_ATTENTION, 0x3f, 0x01) => {
            retry(1000, IO_DEVICE_ERROR)
        }
        (SENSE_UNIT_ATTENTION, 0x3f, _) => retry(5000, IO_DEVICE_ERROR),
        (SENSE_UNIT_ATTENTION, ..) => retry(0, VERIFY_REQUIRED),
        (SENSE_DATA_PROTECT, 0x27, 0x07) => Verdict::Fail(DISK_RESOURCES_EXHAUSTED),
        (SENSE_DATA_PROTECT, 0x27, _) => Verdict::Fail(IO_DEVICE_ERROR),
        (SENSE_DATA_PROTECT, ..) if outcome.write => Verdict::Fail(MEDIA_WRITE_PROTECTED),
        (SENSE_DATA_PROTECT, ..) => Verdict::Fail(ACCESS_DENIED),
        (SENSE_ABORTED_COMMAND, ..) => retry(1000, IO_DEVICE_ERROR),
        _ => retry(0, IO_DEVICE_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensed(key: u8, asc: u8, ascq: u8) -> Outcome {
        Outcome {
            srb_status: SRB_STATUS_ERROR,
            scsi_status: SCSISTAT_CHECK_CONDITION,
            sense: Some(Sense {
                key,
                asc,
                ascq,
                incorrect_length: false,
            }),
            read_write: true,
            write: true,
            in_range: true,
        }
    }

    fn plain(srb_status: u8) -> Outcome {
        Outcome {
            srb_status,
            scsi_status: 0,
            sense: None,
            read_write: true,
            write: false,
            in_range: true,
        }
    }

    #[test]
    fn sense_decides_as_the_table_says() {
        let table: &[(u8, u8, u8, Verdict)] = &[
            (SENSE_RECOVERED_ERROR, 0x17, 0, Verdict::Success),
            (
                SENSE_NOT_READY,
                4,
                1,
                Verdict::Retry {
                    after: 10_000,
                    status: DEVICE_NOT_READY,
                },
            ),
            (SENSE_NOT_READY, 0x3a, 0, Verdict::Fail(NO_MEDIA_IN_DEVICE)),
            (
                SENSE_MEDIUM_ERROR,
                0x11,
                0,
                Verdict::Fail(DEVICE_DATA_ERROR),
            ),
            (
                SENSE_HARDWARE_ERROR,
                8,
                3,
                Verdict::Retry {
                    after: 1000,
                    status: CRC_ERROR,
                },
            ),
            (
                SENSE_ILLEGAL_REQUEST,
                0x20,
                0,
                Verdict::Fail(INVALID_DEVICE_REQUEST),
            ),
            (
                SENSE_UNIT_ATTENTION,
                0x2a,
                9,
                Verdict::Retry {
                    after: 1000,
                    status: IO_DEVICE_ERROR,
                },
            ),
            (
                SENSE_DATA_PROTECT,
                0x27,
                7,
                Verdict::Fail(DISK_RESOURCES_EXHAUSTED),
            ),
            (
                SENSE_DATA_PROTECT,
                0x20,
                0,
                Verdict::Fail(MEDIA_WRITE_PROTECTED),
            ),
            (
                SENSE_ABORTED_COMMAND,
                0,
                0,
                Verdict::Retry {
                    after: 1000,
                    status: IO_DEVICE_ERROR,
                },
            ),
        ];
        for &(key, asc, ascq, verdict) in table {
            assert_eq!(
                judge(&sensed(key, asc, ascq)),
                verdict,
                "{key:x}/{asc:x}/{ascq:x}"
            );
        }
    }

    #[test]
    fn an_address_beyond_the_capacity_is_not_retried() {
        let mut outcome = sensed(SENSE_ILLEGAL_REQUEST, 0x21, 0);
        assert!(matches!(judge(&outcome), Verdict::Retry { .. }));
        outcome.in_range = false;
        assert_eq!(judge(&outcome), Verdict::Fail(NONEXISTENT_SECTOR));
    }

    #[test]
    fn a_reset_is_retried_and_a_vanished_unit_is_not() {
        assert!(matches!(
            judge(&plain(SRB_STATUS_BUS_RESET)),
            Verdict::Retry { .. }
        ));
        assert_eq!(
            judge(&plain(SRB_STATUS_NO_DEVICE)),
            Verdict::Fail(NO_SUCH_DEVICE)
        );
    }

    #[test]
    fn short_data_fails_a_read_and_not_an_inquiry() {
        assert!(matches!(
            judge(&plain(SRB_STATUS_DATA_OVERRUN)),
            Verdict::Retry { .. }
        ));
        assert_eq!(
            judge(&Outcome {
                read_write: false,
                ..plain(SRB_STATUS_DATA_OVERRUN)
            }),
            Verdict::Success
        );
    }

    #[test]
    fn sense_is_read_in_both_formats_and_never_beyond_its_end() {
        let mut fixed = [0u8; 18];
        (fixed[0], fixed[2], fixed[12], fixed[13]) = (0xf0, 0x25, 0x21, 1);
        assert_eq!(
            Sense::parse(&fixed),
            Some(Sense {
                key: 5,
                asc: 0x21,
                ascq: 1,
                incorrect_length: true
            })
        );
        assert_eq!(
            Sense::parse(&[0x72, 6, 0x29, 2]).map(|s| (s.key, s.asc, s.ascq)),
            Some((6, 0x29, 2))
        );
        assert_eq!(
            Sense::parse(&fixed[..3]).map(|s| (s.key, s.asc)),
            Some((5, 0))
        );
        assert_eq!(Sense::parse(&fixed[..2]), None);
        assert_eq!(Sense::parse(&[]), None);
    }
}
