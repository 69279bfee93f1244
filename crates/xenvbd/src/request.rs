//! From SRBs to operations of a disk.

use core::ptr::{null, null_mut};

use scsi_disk::command::ResponseKind;
use scsi_disk::unmap::{Bounds, List};
use scsi_disk::{Extent, Operation as Scsi, Sense, response};
use storport_sys::call;
use storport_sys::constant::{pnp_action, scsi_status, srb_function, srb_status};
use storport_sys::port::STOR_DEVICE_CAPABILITIES_EX;
use xen_blkfront::grant::Client;
use xen_blkfront::queue::Kind;

use crate::adapter::Adapter;
use crate::disk::Disk;
use crate::queue::{Context, DEPTH, Extension, Machine, Operation};
use crate::srb::Srb;

/// What became of an SRB.
pub enum Disposition {
    /// It is done with this status; the SRB says the rest. To be completed by the caller.
    Complete(u8),
    /// It has its status already. To be completed by the caller.
    Answered,
    /// It will be completed later.
    Pending,
}

/// Completes an SRB. IRQL <= DISPATCH_LEVEL, without locks.
pub fn complete(extension: Extension, srb: Srb) {
    // SAFETY: the adapter's extension; the SRB was given to the miniport and is not used afterwards.
    unsafe { call::request_complete(extension.0, srb.as_ptr()) };
}

/// Prepares an SRB's own memory. DISPATCH_LEVEL.
pub fn build(extension: Extension, srb: Srb) {
    let context = srb.extension().cast::<Context>();
    if context.is_null() {
        return;
    }
    let list = if srb.function() == srb_function::EXECUTE_SCSI && srb.data_length() != 0 {
        // SAFETY: an SRB with data, in BuildIo.
        unsafe { call::StorPortGetScatterGatherList(extension.0, srb.as_ptr()) }.cast_const()
    } else {
        null()
    };
    let value = Context {
        srb: Some(srb),
        list,
        system: null_mut(),
        system_length: 0,
        length: 0,
        operation: Operation::Read,
        unmap_length: 0,
        unmap_bounds: Bounds {
            blocks: 0,
            maximum_descriptors: 0,
        },
        block_shift: 0,
    };
    // SAFETY: SrbExtensionSize bytes of the miniport's, for this SRB alone.
    unsafe { context.write(value) };
}

/// Starts an SRB. DISPATCH_LEVEL.
pub fn start(adapter: &Adapter, srb: Srb) {
    let disposition = match srb.function() {
        srb_function::EXECUTE_SCSI => on_disk(adapter, srb, execute),
        srb_function::FLUSH | srb_function::SHUTDOWN => match on_disk(adapter, srb, flush) {
            // Of an adapter, or of a unit that is gone: there is nothing to flush.
            Disposition::Complete(srb_status::NO_DEVICE) => {
                Disposition::Complete(srb_status::SUCCESS)
            }
            disposition => disposition,
        },
        srb_function::RESET_LOGICAL_UNIT | srb_function::RESET_DEVICE => {
            on_disk(adapter, srb, reset)
        }
        srb_function::RESET_BUS => Disposition::Complete(if adapter.reset() {
            srb_status::SUCCESS
        } else {
            srb_status::ERROR
        }),
        srb_function::PNP => pnp(srb),
        srb_function::POWER => Disposition::Complete(srb_status::SUCCESS),
        srb_function::ABORT_COMMAND => Disposition::Complete(srb_status::ABORT_FAILED),
        _ => Disposition::Complete(srb_status::INVALID_REQUEST),
    };
    match disposition {
        Disposition::Complete(status) => {
            srb.set_status(status, scsi_status::GOOD);
            complete(adapter.extension, srb);
        }
        Disposition::Answered => complete(adapter.extension, srb),
        Disposition::Pending => {}
    }
}

/// Finds an SRB's disk.
fn on_disk(
    adapter: &Adapter,
    srb: Srb,
    body: impl FnOnce(&Disk, Srb) -> Disposition,
) -> Disposition {
    let Some(address) = srb.address() else {
        return Disposition::Complete(srb_status::INVALID_REQUEST);
    };
    if address.path != 0 {
        return Disposition::Complete(srb_status::INVALID_PATH_ID);
    }
    match adapter.disk(address.target) {
        Some(disk) if disk.is_present() && address.lun == 0 => body(&disk, srb),
        Some(disk) if disk.is_present() => Disposition::Complete(srb_status::INVALID_LUN),
        _ => Disposition::Complete(srb_status::NO_DEVICE),
    }
}

fn sense(srb: Srb, sense: Sense) -> Disposition {
    srb.set_sense(sense);
    Disposition::Answered
}

/// What a command asks for, with what of the disk it takes to carry it out.
struct Parsed {
    operation: Result<Scsi, Sense>,
    /// INQUIRY and REPORT LUNS neither report nor clear a unit attention (SAM-5 5.14).
    attention_free: bool,
    /// A logical block is 2^this sectors of 512 bytes.
    shift: u8,
    bounds: Bounds,
}

fn parse(model: &scsi_disk::Disk, cdb: &[u8]) -> Parsed {
    use ResponseKind::{Inquiry, Luns, Vpd};
    let operation = scsi_disk::parse(model, cdb);
    Parsed {
        operation,
        attention_free: matches!(
            operation,
            Ok(Scsi::Respond(response)) if matches!(response.kind, Inquiry | Luns | Vpd(_))
        ),
        shift: model.block_size.trailing_zeros().saturating_sub(9) as u8,
        bounds: model.unmap_bounds(),
    }
}

fn execute(disk: &Disk, srb: Srb) -> Disposition {
    let Some((cdb, length)) = srb.cdb() else {
        return Disposition::Complete(srb_status::INVALID_REQUEST);
    };
    let cdb = cdb.get(..length).unwrap_or(&[]);
    let Some(parsed) = disk.with_model(|model| parse(model, cdb)) else {
        return Disposition::Complete(srb_status::NO_DEVICE);
    };
    if !parsed.attention_free && disk.take_attention() {
        return sense(srb, Sense::CAPACITY_CHANGED);
    }
    let shift = parsed.shift;
    match parsed.operation {
        Err(error) => sense(srb, error),
        Ok(Scsi::Nothing) => {
            srb.set_data_length(0);
            Disposition::Complete(srb_status::SUCCESS)
        }
        Ok(Scsi::Respond(request)) => {
            if parsed.attention_free {
                set_depth(disk, srb);
            }
            respond(disk, srb, &request)
        }
        Ok(Scsi::Flush) => flush(disk, srb),
        Ok(Scsi::Read(extent)) => transfer(disk, srb, Kind::Read, extent, shift),
        Ok(Scsi::Write { extent, fua }) => {
            let kind = if fua { Kind::WriteThrough } else { Kind::Write };
            transfer(disk, srb, kind, extent, shift)
        }
        Ok(Scsi::Unmap { length }) => unmap(disk, srb, length, parsed.bounds, shift),
    }
}

fn respond(disk: &Disk, srb: Srb, request: &scsi_disk::Response) -> Disposition {
    // SAFETY: the SRB is not completed; the slice is used here alone.
    let data = unsafe { srb.data() };
    let room = data.len();
    let written = disk
        .with_model(|model| response::write(model, request, data))
        .unwrap_or(0);
    srb.set_data_length(u32::try_from(written).unwrap_or(0));
    Disposition::Complete(if written < room {
        srb_status::DATA_OVERRUN
    } else {
        srb_status::SUCCESS
    })
}

/// Tells StorPort how many requests the unit takes; from the unit's first INQUIRY on.
fn set_depth(disk: &Disk, srb: Srb) {
    if let Some(address) = srb.address()
        && disk.first_inquiry()
    {
        let Extension(extension) = disk.extension;
        // SAFETY: the adapter's extension, and a unit that has been asked.
        unsafe { call::StorPortSetDeviceQueueDepth(extension, 0, address.target, 0, DEPTH) };
    }
}

/// The memory of an SRB, for one that is to be submitted.
fn context<'a>(srb: Srb) -> Option<&'a mut Context> {
    // SAFETY: written by BuildIo; the SRB is not completed and not yet submitted.
    unsafe { srb.extension().cast::<Context>().as_mut() }
}

/// The client's name of an SRB: where its memory is.
fn client(srb: Srb) -> Client {
    Client(srb.extension().cast::<Context>().expose_provenance())
}

fn transfer(disk: &Disk, srb: Srb, kind: Kind, extent: Extent, shift: u8) -> Disposition {
    let bytes = u64::from(extent.blocks) << (shift + 9);
    let Some(bytes) = u32::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= srb.data_length())
    else {
        return sense(srb, Sense::invalid_field(0));
    };
    let Some(context) = context(srb) else {
        return Disposition::Complete(srb_status::INVALID_REQUEST);
    };
    // What the command names is what is transferred, even if the buffer has more room.
    srb.set_data_length(bytes);
    context.length = bytes;
    context.operation = if kind == Kind::Read {
        Operation::Read
    } else {
        Operation::Write
    };
    if disk.bounces_all() || !Machine::is_aligned(context, 512 << shift) {
        // SAFETY: an SRB of the miniport's that is not completed.
        match unsafe { call::system_address(disk.extension.0, srb.as_ptr()) } {
            Ok(address) => {
                context.system = address;
                context.system_length = bytes;
            }
            // StorPort tries again, when there may be address space.
            Err(_) => return Disposition::Complete(srb_status::BUSY),
        }
    }
    disk.submit(client(srb), kind, extent.lba << shift, bytes)
}

fn flush(disk: &Disk, srb: Srb) -> Disposition {
    let Some(context) = context(srb) else {
        return Disposition::Complete(srb_status::INVALID_REQUEST);
    };
    context.operation = Operation::Flush;
    disk.submit(client(srb), Kind::Flush, 0, 0)
}

fn unmap(disk: &Disk, srb: Srb, length: u16, bounds: Bounds, shift: u8) -> Disposition {
    // SAFETY: the SRB is not completed; the slice is used here alone.
    let data: &[u8] = unsafe { srb.data() };
    if let Err(error) = List::parse(bounds, data, length) {
        return sense(srb, error);
    }
    let Some(context) = context(srb) else {
        return Disposition::Complete(srb_status::INVALID_REQUEST);
    };
    context.operation = Operation::Unmap;
    context.unmap_length = length;
    context.unmap_bounds = bounds;
    context.block_shift = shift;
    disk.submit(client(srb), Kind::Discard, 0, 0)
}

fn reset(disk: &Disk, srb: Srb) -> Disposition {
    if disk.reset(srb) {
        Disposition::Pending
    } else {
        Disposition::Complete(srb_status::ERROR)
    }
}

/// PNP requests: a disk's capabilities are those of a fixed disk.
fn pnp(srb: Srb) -> Disposition {
    use storport_sys::constant::capability::{EJECT_SUPPORTED, REMOVABLE, SURPRISE_REMOVAL_OK};
    let status = match srb.pnp() {
        Some((pnp_action::QUERY_CAPABILITIES, false)) => {
            // SAFETY: the SRB is not completed; the slice is used here alone.
            let data = unsafe { srb.data() };
            if data.len() >= size_of::<STOR_DEVICE_CAPABILITIES_EX>() {
                let capabilities = data.as_mut_ptr().cast::<STOR_DEVICE_CAPABILITIES_EX>();
                // SAFETY: the buffer has room for the structure, which has alignment 4 and is made by StorPort.
                let flags = unsafe { &mut (*capabilities).Flags };
                *flags &= !(EJECT_SUPPORTED | REMOVABLE);
                *flags |= SURPRISE_REMOVAL_OK;
            }
            srb_status::SUCCESS
        }
        Some((
            pnp_action::START_DEVICE
            | pnp_action::STOP_DEVICE
            | pnp_action::REMOVE_DEVICE
            | pnp_action::SURPRISE_REMOVAL,
            _,
        )) => srb_status::SUCCESS,
        _ => srb_status::INVALID_REQUEST,
    };
    Disposition::Complete(status)
}
