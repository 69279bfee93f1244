//! A request on its way through the port: from the queue to the miniport.

use alloc::boxed::Box;
use core::ffi::c_void;

use super::adapter::{Adapter, Phase};
use super::os::*;
use super::queue::Bypass;
use super::rules;
use super::sgl;
use super::srb::{Address, Srb, SrbBlock};
use super::unit::Unit;
use crate::nt::io::IRP;
use crate::nt::mm::MDL;
use crate::nt::scsi::*;
use crate::nt::storport::*;

/// What happens when a request is done.
pub(crate) enum Done {
    /// The IRP is completed.
    Irp(*mut IRP),
    /// The routine is called, at DISPATCH_LEVEL, and owns the request again.
    Call(fn(*mut Request, *mut c_void), *mut c_void),
}

/// A request.
pub(crate) struct Request {
    pub adapter: *mut Adapter,
    /// Null for the adapter's own requests
    pub unit: *mut Unit,
    pub address: Address,
    pub done: Done,
    /// The SRB that the miniport sees
    pub srb: Srb,
    /// The SRB that the class driver gave, if the miniport takes another form
    pub original: Option<(Srb, Box<SrbBlock>)>,
    /// Describes the data, if there are any
    pub mdl: *mut MDL,
    /// DataBuffer as the class driver gave it
    pub data: *mut c_void,
    pub list: Option<sgl::List>,
    /// The block of the SRB extension, with [`ExtensionHead`] before it
    pub extension: *mut c_void,
    /// Interrupt time at which it is late; 0 while it is not out
    pub deadline: u64,
    pub cpu: usize,
    pub tag: u32,
    pub busy_retries: u32,
    /// A reset, PNP or POWER request: it does not wait in the queue, and the timer treats it apart
    pub control: bool,
}

/// What lies before an SRB extension.
#[repr(C, align(16))]
struct ExtensionHead {
    request: *mut Request,
}

/// Retries of BUSY before the class driver gets it (CHOICE: 60 s of pauses of 250 ms; Microsoft's pages disagree).
const BUSY_RETRIES: u32 = 240;
/// `BusyPauseTime`'s default.
const BUSY_PAUSE: u64 = SECOND / 4;
/// `QueueFullWaitIoPercentage`'s default.
const QUEUE_FULL_PERCENT: u32 = 25;
const EXTENSION_TAG: u32 = u32::from_le_bytes(*b"SrbX");

impl Request {
    /// A request for a unit, or for the adapter.
    pub fn new(
        adapter: &Adapter,
        unit: *mut Unit,
        address: Address,
        srb: Srb,
        mdl: *mut MDL,
        done: Done,
    ) -> Box<Self> {
        Box::new(Self {
            adapter: core::ptr::from_ref(adapter).cast_mut(),
            unit,
            address,
            done,
            srb,
            original: None,
            mdl,
            data: srb.data(),
            list: None,
            extension: core::ptr::null_mut(),
            deadline: 0,
            cpu: current_cpu(),
            tag: 0,
            busy_retries: 0,
            control: false,
        })
    }

    /// Puts the SRB into the form that the miniport takes.
    pub fn translate(&mut self, extended: bool) {
        if extended && !self.srb.is_extended() {
            let mut block = Box::new(SrbBlock::zeroed());
            let given = self.srb;
            self.srb = block.translate(given);
            self.original = Some((given, block));
        }
    }

    /// Marks that let the request pass a held queue.
    pub fn bypass(&self) -> Bypass {
        let flags = self.srb.flags();
        Bypass {
            frozen: flags & SRB_FLAGS_BYPASS_FROZEN_QUEUE != 0,
            locked: flags & SRB_FLAGS_BYPASS_LOCKED_QUEUE != 0,
        }
    }

    fn moves_blocks(&self) -> bool {
        self.srb
            .cdb()
            .is_some_and(|(cdb, _)| is_read_or_write(cdb[0]))
    }

    /// Where the data begin in the MDL, in bytes from the start of its first page.
    fn offset_in_mdl(&self) -> Option<u64> {
        if self.mdl.is_null() {
            return None;
        }
        // SAFETY: the MDL lives as long as the request.
        let (start, offset) =
            unsafe { (mdl_va(self.mdl) as u64, u64::from((*self.mdl).ByteOffset)) };
        let skipped = if self.data.is_null() {
            0
        } else {
            (self.data as u64).checked_sub(start)?
        };
        Some(offset + skipped)
    }

    /// The system address of the data.
    pub fn system_address(&self) -> Option<*mut c_void> {
        // SAFETY: the MDL lives as long as the request.
        let (base, within) = unsafe {
            (
                mdl_system_address(self.mdl),
                u64::from((*self.mdl).ByteOffset),
            )
        };
        if base.is_null() {
            return None;
        }
        let skipped = self.offset_in_mdl()? - within;
        // SAFETY: the offset lies inside the MDL's bytes, which the class driver answers for.
        Some(unsafe { base.add(skipped as usize) }.cast())
    }

    fn build_list(&mut self, adapter: &Adapter) -> Result<(), u8> {
        let length = u64::from(self.srb.length());
        let Some(offset) = self.offset_in_mdl() else {
            return Err(SRB_STATUS_INVALID_REQUEST);
        };
        // SAFETY: the array of page frames follows the MDL.
        let pfns = unsafe { core::slice::from_raw_parts(MDL::pfns(self.mdl), (*self.mdl).pages()) };
        let runs = sgl::runs(pfns, offset, length).ok_or(SRB_STATUS_INVALID_REQUEST)?;
        if runs.len() > adapter.config.number_of_physical_breaks as usize
            || length > u64::from(adapter.config.maximum_transfer_length)
        {
            rules::log(
                adapter,
                format_args!(
                    "a request of {length} bytes in {} runs is larger than the adapter takes",
                    runs.len()
                ),
            );
            return Err(SRB_STATUS_INVALID_REQUEST);
        }
        self.list = Some(sgl::List::new(&runs));
        Ok(())
    }

    /// Makes everything that the miniport finds with the SRB.
    fn prepare(&mut self, adapter: &Adapter) -> Result<(), u8> {
        let srb = self.srb;
        srb.set_status(SRB_STATUS_PENDING);
        srb.set_scsi_status(SCSISTAT_GOOD);
        srb.set_address(self.address);
        srb.set_tag(self.tag);
        let has_data = srb.length() != 0
            && srb.flags() & (SRB_FLAGS_DATA_IN | SRB_FLAGS_DATA_OUT) != 0
            && !self.mdl.is_null();
        if has_data {
            if self.list.is_none()
                && adapter
                    .performance
                    .flags
                    .load(core::sync::atomic::Ordering::Acquire)
                    & STOR_PERF_NO_SGL
                    == 0
            {
                self.build_list(adapter)?;
            }
            let mapped = match adapter.config.map_buffers {
                STOR_MAP_NO_BUFFERS => {
                    srb.function() == SRB_FUNCTION_IO_CONTROL || srb.function() == SRB_FUNCTION_WMI
                }
                STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE => true,
                _ => !self.moves_blocks(),
            };
            let address = if mapped {
                self.system_address()
                    .ok_or(SRB_STATUS_INSUFFICIENT_RESOURCES)?
            } else {
                core::ptr::null_mut()
            };
            srb.set_data(address);
        }
        self.renew_extension(adapter)
    }

    /// Gives the SRB a new extension. It is not zeroed: what was there before shows (here: a pattern).
    fn renew_extension(&mut self, adapter: &Adapter) -> Result<(), u8> {
        self.free_extension();
        let size = adapter.config.srb_extension_size as usize;
        // SAFETY: a block of the head's and the extension's size.
        unsafe {
            let block = ExAllocatePoolWithTag(
                NON_PAGED_POOL_NX,
                size_of::<ExtensionHead>() + size,
                EXTENSION_TAG,
            );
            if block.is_null() {
                return Err(SRB_STATUS_INSUFFICIENT_RESOURCES);
            }
            block
                .cast::<u8>()
                .write_bytes(0xa5, size_of::<ExtensionHead>() + size);
            block
                .cast::<ExtensionHead>()
                .write(ExtensionHead { request: self });
            self.extension = block.cast();
            self.srb
                .set_extension(block.cast::<ExtensionHead>().add(1).cast());
        }
        Ok(())
    }

    fn free_extension(&mut self) {
        let block = core::mem::replace(&mut self.extension, core::ptr::null_mut());
        if !block.is_null() {
            // SAFETY: made in `renew_extension`.
            unsafe { ExFreePoolWithTag(block, EXTENSION_TAG) };
        }
        self.srb.set_extension(core::ptr::null_mut());
    }

    /// Takes back what [`Request::prepare`] made, and gives the class driver's SRB what it had.
    pub fn clean_up(&mut self) {
        self.free_extension();
        self.list = None;
        self.srb.set_data(self.data);
        if let Some((given, mut block)) = self.original.take() {
            block.translate_back(given);
            self.srb = given;
        }
    }
}

/// The request that an SRB of a miniport's belongs to.
pub(crate) fn of(adapter: &Adapter, srb: *mut c_void) -> Option<*mut Request> {
    adapter.state.lock().outstanding.get(srb as usize)
}

/// Sends out what a unit's queue lets go. At most DISPATCH_LEVEL.
pub(crate) fn kick(adapter: &Adapter, unit: &Unit) {
    at_dispatch(|| {
        while let Some(request) = next(adapter, unit) {
            send(adapter, request);
        }
    });
}

/// [`kick`] for every unit.
pub(crate) fn kick_all(adapter: &Adapter) {
    let units = adapter.state.lock().units.clone();
    for unit in units {
        // SAFETY: units in the list are alive; one is freed only after it left the list and its requests are done.
        kick(adapter, unsafe { &*unit });
    }
}

/// [`kick_all`] from any level up to the device's: by the tick's DPC if it cannot be now.
pub(crate) fn kick_later(adapter: &Adapter) {
    // SAFETY: no preconditions; the DPC object lives as long as the adapter.
    unsafe {
        if KeGetCurrentIrql() == 0 {
            kick_all(adapter);
        } else {
            KeInsertQueueDpc(
                (&raw const adapter.tick.1).cast_mut(),
                core::ptr::null_mut(),
                core::ptr::null_mut(),
            );
        }
    }
}

fn next(adapter: &Adapter, unit: &Unit) -> Option<*mut Request> {
    let time = now();
    {
        let mut state = adapter.state.lock();
        let linked = state.link_down.is_none();
        if adapter.phase() != Phase::Running
            || adapter.holding.load(core::sync::atomic::Ordering::Acquire)
            || !linked
            || !state.gate.is_open(time)
            || state.outstanding.len() >= state.outstanding.capacity()
        {
            return None;
        }
    }
    unit.queue.lock().next(time)
}

/// Gives a request to the miniport: HwBuildIo, then HwStartIo. DISPATCH_LEVEL.
pub(crate) fn send(adapter: &Adapter, pointer: *mut Request) {
    // SAFETY: the request is alive and nobody else's until it is in the table of outstanding ones.
    let request = unsafe { &mut *pointer };
    request.cpu = current_cpu();
    let timeout = request.srb.timeout();
    {
        let mut state = adapter.state.lock();
        state.tag = state.tag.wrapping_add(1) & 0xff;
        request.tag = state.tag;
        state.gate.goes_out();
    }
    if let Err(status) = request.prepare(adapter) {
        request.srb.set_status(status);
        super::completion::queue(adapter, pointer);
        return;
    }
    request.deadline = if timeout == 0 {
        u64::MAX
    } else {
        now() + u64::from(timeout) * SECOND
    };
    let srb = request.srb;
    if !adapter
        .state
        .lock()
        .outstanding
        .insert(srb.0 as usize, pointer)
    {
        rules::log(
            adapter,
            format_args!("the SRB at {:p} is in use already", srb.0),
        );
        srb.set_status(SRB_STATUS_INTERNAL_ERROR);
        super::completion::queue(adapter, pointer);
        return;
    }
    // From here on the miniport may complete the request at any time: `request` is not touched again.
    let start = match adapter.init.hw_build_io {
        Some(build) => {
            // SAFETY: as HW_BUILDIO says: DISPATCH_LEVEL, no lock.
            rules::call(adapter, "HwBuildIo", || unsafe {
                build(adapter.hw(), srb.0)
            }) != 0
        }
        None => true,
    };
    if start {
        super::hw::start_io(adapter, srb.0);
    }
}

/// Decides about a request that came back: true if it goes out again, because the miniport was busy.
pub(crate) fn again(adapter: &Adapter, pointer: *mut Request) -> bool {
    // SAFETY: the request came back: it is the port's again.
    let request = unsafe { &mut *pointer };
    if request.srb.status() & 0x3f != SRB_STATUS_BUSY
        || request.control
        || request.unit.is_null()
        || request.busy_retries >= BUSY_RETRIES
    {
        return false;
    }
    // SAFETY: a unit lives as long as it has requests.
    let unit = unsafe { &*request.unit };
    if unit.gone.load(core::sync::atomic::Ordering::Acquire) || adapter.phase() != Phase::Running {
        return false;
    }
    request.busy_retries += 1;
    request.deadline = 0;
    let full = request.srb.scsi_status() == SCSISTAT_QUEUE_FULL;
    request.free_extension();
    request.srb.set_data(request.data);
    let bypass = request.bypass();
    let mut queue = unit.queue.lock();
    if full {
        let out = queue.gate.outstanding();
        queue
            .gate
            .set_busy((out * QUEUE_FULL_PERCENT).div_ceil(100));
    } else {
        queue.gate.pause(now() + BUSY_PAUSE);
    }
    queue.push(pointer, bypass, true);
    true
}
