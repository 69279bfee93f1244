//! Requests to a disk from the top of its device stack, several at once.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

use super::command::{Command, Ended, once};
use super::device::{self, Disk, Facts};
use super::transfer;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::{KEVENT, PVOID};
use crate::nt::scsi::SRB_FUNCTION_EXECUTE_SCSI;
use crate::nt::status::*;
use crate::storport::os::*;
use crate::sync::Lock;

/// A disk that was found.
pub struct Handle {
    top: *mut DEVICE_OBJECT,
    fdo: *mut DEVICE_OBJECT,
    /// What it said about itself
    pub facts: Facts,
}
// SAFETY: the handle holds a reference of the device objects, which any processor may use.
unsafe impl Send for Handle {}

/// The SCSI targets of the disks that are started, in order.
pub fn targets() -> Vec<u32> {
    let mut targets: Vec<u32> = device::all()
        .iter()
        .map(|(_, facts)| u32::from(facts.address.1))
        .collect();
    targets.sort_unstable();
    targets
}

/// The disk at a SCSI target.
pub fn find(target: u32) -> Option<Handle> {
    let (fdo, facts) = device::all()
        .into_iter()
        .find(|(_, facts)| u32::from(facts.address.1) == target)?;
    // SAFETY: the disk is started; its device object is referenced before it is used any longer.
    unsafe {
        ObfReferenceObject(fdo.cast());
        Some(Handle {
            top: IoGetAttachedDeviceReference(fdo),
            fdo,
            facts,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: referenced by `find`.
        unsafe {
            ObfDereferenceObject(self.top.cast());
            ObfDereferenceObject(self.fdo.cast());
        }
    }
}

impl Handle {
    /// IRP_MJ_FLUSH_BUFFERS. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The IRP's status.
    pub fn flush(&self) -> Result<(), NTSTATUS> {
        // SAFETY: an IRP of our own, which is waited for and freed.
        unsafe {
            let irp = IoAllocateIrp((*self.top).StackSize, 0);
            if irp.is_null() {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
            (*next(irp)).MajorFunction = IRP_MJ_FLUSH_BUFFERS;
            let status = send_and_wait(self.top, irp);
            IoFreeIrp(irp);
            if status < 0 { Err(status) } else { Ok(()) }
        }
    }

    /// A raw command, sent once by the class driver. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// A text for people.
    pub fn command(&self, cdb: &[u8], receive: usize, send: &[u8]) -> Result<Answer, String> {
        if cdb.is_empty() || cdb.len() > 16 {
            return Err(alloc::format!(
                "a command has 1 to 16 bytes, not {}",
                cdb.len()
            ));
        }
        let mut bytes = [0u8; 16];
        bytes[..cdb.len()].copy_from_slice(cdb);
        let length = receive.max(send.len());
        let mut buffer = if length == 0 {
            None
        } else {
            Some(Buffer::new(length).ok_or("no memory")?)
        };
        if let Some(buffer) = &mut buffer {
            buffer.bytes()[..send.len()].copy_from_slice(send);
        }
        // SAFETY: the handle holds a reference of the device object.
        let disk = unsafe { Disk::of(self.fdo) }
            .filter(|disk| disk.enter())
            .ok_or("the disk is gone")?;
        let mut command = Command {
            function: SRB_FUNCTION_EXECUTE_SCSI,
            cdb: bytes,
            cdb_length: transfer::cdb_length(bytes[0]).min(16),
            data: buffer.as_mut(),
            length: length as u32,
            write: !send.is_empty(),
            timeout: self.facts.timeout,
            retries: 0,
            extended: self.facts.extended,
        };
        let ended = once(disk, &mut command);
        disk.leave();
        let Ended {
            srb_status,
            scsi_status,
            sense,
            moved,
        } = ended.map_err(|status| alloc::format!("status {status:#x}"))?;
        let data = match (&mut buffer, send.is_empty()) {
            (Some(buffer), true) => buffer.bytes()[..(moved as usize).min(receive)].to_vec(),
            _ => Vec::new(),
        };
        Ok(Answer {
            srb_status,
            scsi_status,
            sense,
            data,
        })
    }
}

/// What a raw command brought.
#[derive(Clone, Debug)]
pub struct Answer {
    /// SRB status
    pub srb_status: u8,
    /// SCSI status
    pub scsi_status: u8,
    /// Sense data, if there are any
    pub sense: Vec<u8>,
    /// What was received
    pub data: Vec<u8>,
}

/// A request that is done.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// The slot
    pub slot: usize,
    /// How it ended
    pub status: NTSTATUS,
    /// Bytes moved
    pub moved: usize,
    /// Microseconds from the sending to the completion
    pub microseconds: u64,
}

/// What the completion routine and the waiting thread share.
struct Shared {
    done: Lock<Vec<Finished>>,
    event: UnsafeCell<KEVENT>,
}

// SAFETY: the list is behind a lock, the event behind the kernel's own.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

struct Slot {
    buffer: Buffer,
    shared: Arc<Shared>,
    index: usize,
    sent: u64,
}

/// Slots for requests, each with a buffer.
pub struct Engine {
    slots: Vec<Slot>,
    shared: Arc<Shared>,
    under_way: usize,
}
// SAFETY: the engine is used by one thread; what completions touch is behind locks.
unsafe impl Send for Engine {}

/// A performance counter's reading in microseconds.
pub fn microseconds() -> u64 {
    let mut frequency = 0i64;
    // SAFETY: the frequency is a local.
    let counter = unsafe { KeQueryPerformanceCounter(&mut frequency) };
    (counter as u128 * 1_000_000 / (frequency.max(1) as u128)) as u64
}

impl Engine {
    /// `depth` slots with buffers of `size` bytes. `None` if memory is short.
    pub fn new(depth: usize, size: usize) -> Option<Self> {
        // SAFETY: KEVENT is plain data, set up in place before its use.
        let event = UnsafeCell::new(unsafe { core::mem::zeroed() });
        let shared = Arc::new(Shared {
            done: Lock::new(Vec::with_capacity(depth)),
            event,
        });
        const SYNCHRONIZATION_EVENT: i32 = 1;
        // SAFETY: the event does not move any more.
        unsafe { KeInitializeEvent(shared.event.get(), SYNCHRONIZATION_EVENT, 0) };
        let slots = (0..depth)
            .map(|index| {
                Some(Slot {
                    buffer: Buffer::new(size)?,
                    shared: shared.clone(),
                    index,
                    sent: 0,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            slots,
            shared,
            under_way: 0,
        })
    }

    /// How many slots there are.
    pub fn depth(&self) -> usize {
        self.slots.len()
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// A slot's buffer. The slot must have no request under way.
    pub fn buffer(&mut self, slot: usize) -> &mut [u8] {
        self.slots[slot].buffer.bytes()
    }

    /// Sends a read or a write of `length` bytes at `offset` of the disk, with the bytes of the slot's buffer from `shift` on.
    ///
    /// # Errors
    /// If memory is short; nothing was sent then.
    pub fn submit(
        &mut self,
        slot: usize,
        disk: &Handle,
        write: bool,
        offset: u64,
        shift: usize,
        length: usize,
    ) -> Result<(), NTSTATUS> {
        let slot = &mut self.slots[slot];
        debug_assert!(shift + length <= slot.buffer.len());
        slot.sent = microseconds();
        // SAFETY: the buffer and the slot live until the request is done: `Drop` waits for it.
        unsafe {
            let data = slot.buffer.address().add(shift);
            let irp = IoAllocateIrp((*disk.top).StackSize, 0);
            if irp.is_null() {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            let mdl = IoAllocateMdl(data.cast(), length as u32, 0, 0, irp);
            if mdl.is_null() {
                IoFreeIrp(irp);
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            MmBuildMdlForNonPagedPool(mdl);
            (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
            let location = next(irp);
            (*location).MajorFunction = if write { IRP_MJ_WRITE } else { IRP_MJ_READ };
            (*location).Parameters.Read.Length = length as u32;
            (*location).Parameters.Read.ByteOffset = offset as i64;
            set_completion(irp, request_done, core::ptr::from_mut(slot).cast());
            self.under_way += 1;
            IofCallDriver(disk.top, irp);
        }
        Ok(())
    }

    /// Waits for a request. `None` if none is under way.
    pub fn wait(&mut self) -> Option<Finished> {
        if self.under_way == 0 {
            return None;
        }
        loop {
            // In the order in which they were done.
            let finished = {
                let mut done = self.shared.done.lock();
                (!done.is_empty()).then(|| done.remove(0))
            };
            if let Some(finished) = finished {
                self.under_way -= 1;
                return Some(finished);
            }
            // SAFETY: the event lives as long as the engine; the kernel's own lock guards it.
            wait(unsafe { &mut *self.shared.event.get() }, None);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        while self.wait().is_some() {}
    }
}

unsafe extern "win64" fn request_done(
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: PVOID,
) -> NTSTATUS {
    // SAFETY: the context is the slot, which lives until its request was waited for; the IRP is our own.
    unsafe {
        let slot = &*context.cast::<Slot>();
        // Once the result is in the list, slot and engine may go: what is touched then is held here.
        let shared = slot.shared.clone();
        let finished = Finished {
            slot: slot.index,
            status: (*irp).IoStatus.Status,
            moved: (*irp).IoStatus.Information,
            microseconds: microseconds().saturating_sub(slot.sent),
        };
        IoFreeMdl((*irp).MdlAddress);
        (*irp).MdlAddress = core::ptr::null_mut();
        IoFreeIrp(irp);
        let event = shared.event.get();
        shared.done.lock().push(finished);
        KeSetEvent(event, 0, 0);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
