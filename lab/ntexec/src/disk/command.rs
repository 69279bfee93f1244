//! Commands that the class driver sends and waits for. PASSIVE_LEVEL.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::device::Disk;
use super::sense::{Outcome, Sense, Verdict, judge};
use super::transfer;
use crate::nt::base::NTSTATUS;
use crate::nt::io::IRP;
use crate::nt::io::consts::IRP_MJ_SCSI;
use crate::nt::mm::MDL;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::storport::os::*;
use crate::storport::srb::{Srb, SrbBlock};

/// A command and how it is sent.
pub(crate) struct Command<'a> {
    /// SRB_FUNCTION_*
    pub function: u8,
    /// The command's bytes; unused for functions other than EXECUTE_SCSI
    pub cdb: [u8; 16],
    pub cdb_length: u8,
    /// Where data come from or go to
    pub data: Option<&'a mut Buffer>,
    /// Bytes of `data` that move
    pub length: u32,
    pub write: bool,
    pub timeout: u32,
    pub retries: u32,
    /// The form of SRB
    pub extended: bool,
}

/// How a command ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub srb_status: u8,
    pub scsi_status: u8,
    pub sense: Vec<u8>,
    /// Bytes moved
    pub moved: u32,
}

impl Ended {
    /// How an SRB ended.
    pub fn of(srb: Srb) -> Self {
        Self {
            srb_status: srb.status() & 0x3f,
            scsi_status: srb.scsi_status(),
            sense: srb.sense_data().unwrap_or_default(),
            moved: srb.length(),
        }
    }

    /// What the table looks at.
    pub fn outcome(&self, cdb: &[u8; 16], write: bool, blocks: u64) -> Outcome {
        let range = transfer::range_of(cdb);
        Outcome {
            srb_status: self.srb_status,
            scsi_status: self.scsi_status,
            sense: Sense::parse(&self.sense),
            read_write: range.is_some(),
            write,
            in_range: range.is_some_and(|(first, count)| first.saturating_add(count) <= blocks),
        }
    }
}

/// Sets up an IRP that carries `srb`.
///
/// # Safety
/// `irp` must have a location left; `mdl` describes the data, or is null.
pub(crate) unsafe fn carry(irp: *mut IRP, srb: Srb, mdl: *mut MDL) {
    // SAFETY: by the caller's word.
    unsafe {
        (*irp).MdlAddress = mdl;
        (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
        srb.set_original(irp.cast());
        let location = next(irp);
        (*location).MajorFunction = IRP_MJ_SCSI;
        (*location).MinorFunction = 1; // IRP_MN_SCSI_CLASS
        (*location).Parameters.Srb = srb.0.cast();
    }
}

/// Sends a command once.
pub(crate) fn once(disk: &Disk, command: &mut Command<'_>) -> Result<Ended, NTSTATUS> {
    let mut block = Box::new(SrbBlock::zeroed());
    let srb = block.prepare(command.extended, command.function, command.timeout);
    if command.function == SRB_FUNCTION_EXECUTE_SCSI {
        block.set_cdb(&command.cdb, command.cdb_length);
    }
    let mut mdl = core::ptr::null_mut();
    let mut flags = SRB_FLAGS_NO_QUEUE_FREEZE;
    if let Some(buffer) = command.data.as_deref() {
        flags |= if command.write {
            SRB_FLAGS_DATA_OUT
        } else {
            SRB_FLAGS_DATA_IN
        };
        srb.set_data(buffer.address().cast());
        srb.set_length(command.length.min(buffer.len() as u32));
        mdl = buffer.mdl;
    }
    srb.set_flags(flags);
    if command.function == SRB_FUNCTION_EXECUTE_SCSI {
        srb.set_simple_tag(true);
    }
    // SAFETY: an IRP of our own, which is waited for and freed.
    unsafe {
        let irp = IoAllocateIrp((*disk.lower).StackSize, 0);
        if irp.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        carry(irp, srb, mdl);
        send_and_wait(disk.lower, irp);
        (*irp).MdlAddress = core::ptr::null_mut();
        IoFreeIrp(irp);
    }
    Ok(Ended::of(srb))
}

/// Sends a command until it succeeds, fails for good or its tries are used up.
pub(crate) fn send(disk: &Disk, command: &mut Command<'_>) -> Result<Ended, NTSTATUS> {
    let blocks = disk.facts.lock().blocks;
    let mut left = command.retries;
    loop {
        let ended = once(disk, command)?;
        match judge(&ended.outcome(&command.cdb, command.write, blocks)) {
            Verdict::Success => return Ok(ended),
            Verdict::Fail(status) => return Err(status),
            Verdict::Retry { status, .. } if left == 0 => return Err(status),
            Verdict::Retry { after, .. } => {
                left -= 1;
                if after != 0 {
                    let mut pause = new_event();
                    wait(&mut pause, Some(u64::from(after) * 10_000));
                }
            }
        }
    }
}

/// A command that receives data.
pub(crate) fn receive(
    disk: &Disk,
    extended: bool,
    cdb: [u8; 16],
    length: u32,
    retries: u32,
) -> Result<Vec<u8>, NTSTATUS> {
    let mut buffer = Buffer::new(length as usize).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    let mut command = Command {
        function: SRB_FUNCTION_EXECUTE_SCSI,
        cdb,
        cdb_length: transfer::cdb_length(cdb[0]),
        data: Some(&mut buffer),
        length,
        write: false,
        timeout: 60,
        retries,
        extended,
    };
    let ended = send(disk, &mut command)?;
    let moved = (ended.moved as usize).min(length as usize);
    Ok(buffer.bytes()[..moved].to_vec())
}

/// A flush: SYNCHRONIZE CACHE if the disk has a write cache, then the port's flush (or shutdown), which is not tried again.
pub(crate) fn flush(disk: &Disk, shutdown: bool) -> NTSTATUS {
    let facts = disk.facts.lock().clone();
    let mut command = Command {
        function: SRB_FUNCTION_EXECUTE_SCSI,
        cdb: [0; 16],
        cdb_length: 10,
        data: None,
        length: 0,
        write: false,
        timeout: facts.timeout * 4,
        retries: 4,
        extended: facts.extended,
    };
    if facts.write_cache {
        command.cdb[0] = SCSIOP_SYNCHRONIZE_CACHE;
        if let Err(status) = send(disk, &mut command) {
            return status;
        }
    }
    command.function = if shutdown {
        SRB_FUNCTION_SHUTDOWN
    } else {
        SRB_FUNCTION_FLUSH
    };
    match once(disk, &mut command) {
        Ok(ended)
            if matches!(
                ended.srb_status,
                SRB_STATUS_SUCCESS | SRB_STATUS_INVALID_REQUEST
            ) =>
        {
            STATUS_SUCCESS
        }
        Ok(ended) => crate::storport::completion::status_of(ended.srb_status),
        Err(status) => status,
    }
}
