//! Reads and writes: their pieces, and what becomes of a piece that fails.
#![allow(clippy::missing_safety_doc)]

use alloc::boxed::Box;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::command::{Ended, carry};
use super::device::{Disk, Facts};
use super::sense::{Verdict, judge};
use super::transfer;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::{KDPC, KTIMER, PVOID};
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::storport::os::*;
use crate::storport::srb::SrbBlock;

/// Tries of a piece after the first.
const RETRIES: u32 = 4;

/// A read or write under way.
struct Transfer {
    disk: *const Disk,
    irp: *mut IRP,
    left: AtomicU32,
    status: AtomicI32,
    moved: AtomicU64,
}

/// A piece of it, with the IRP that carries it.
struct Packet {
    transfer: *const Transfer,
    facts: Facts,
    block: SrbBlock,
    irp: *mut IRP,
    cdb: [u8; 16],
    cdb_length: u8,
    offset: u32,
    length: u32,
    write: bool,
    retries: u32,
    timer: KTIMER,
    dpc: KDPC,
}

/// IRP_MJ_READ and IRP_MJ_WRITE. At most DISPATCH_LEVEL.
pub(crate) unsafe fn read_write(disk: &Disk, irp: *mut IRP) -> NTSTATUS {
    let location = current(irp);
    let write = (*location).MajorFunction == IRP_MJ_WRITE;
    let (length, at) = (
        (*location).Parameters.Read.Length,
        (*location).Parameters.Read.ByteOffset as u64,
    );
    if !disk.enter() {
        return complete(irp, STATUS_NO_SUCH_DEVICE, 0);
    }
    let facts = disk.facts.lock().clone();
    let block = u64::from(facts.block.max(1));
    let bad = length == 0
        || !at.is_multiple_of(block)
        || !u64::from(length).is_multiple_of(block)
        || at
            .checked_add(u64::from(length))
            .is_none_or(|end| end > facts.capacity())
        || (*irp).MdlAddress.is_null();
    if bad {
        disk.leave();
        return complete(
            irp,
            if length == 0 {
                STATUS_SUCCESS
            } else {
                STATUS_INVALID_PARAMETER
            },
            0,
        );
    }
    mark_pending(irp);
    let aligned = mdl_va((*irp).MdlAddress) & 0xfff == 0;
    let max = facts.limits().max_bytes(aligned);
    let transfer = Box::into_raw(Box::new(Transfer {
        disk,
        irp,
        left: AtomicU32::new(length.div_ceil(max)),
        status: AtomicI32::new(STATUS_SUCCESS),
        moved: AtomicU64::new(0),
    }));
    for piece in transfer::pieces(length, max) {
        let lba = (at + u64::from(piece.offset)) / block;
        let (cdb, cdb_length) = transfer::read_write_cdb(
            write,
            lba,
            piece.length / facts.block,
            facts.limits().long,
            false,
        );
        let packet = Box::into_raw(Box::new(Packet {
            transfer,
            facts: facts.clone(),
            block: SrbBlock::zeroed(),
            irp: core::ptr::null_mut(),
            cdb,
            cdb_length,
            offset: piece.offset,
            length: piece.length,
            write,
            retries: RETRIES,
            timer: core::mem::zeroed(),
            dpc: core::mem::zeroed(),
        }));
        KeInitializeTimerEx(&mut (*packet).timer, 0);
        KeInitializeDpc(&mut (*packet).dpc, Some(again), packet.cast());
        send(packet);
    }
    STATUS_PENDING
}

/// Sends a piece, for the first time or again.
unsafe fn send(pointer: *mut Packet) {
    let packet = &mut *pointer;
    let transfer = &*packet.transfer;
    let lower = (*transfer.disk).lower;
    if packet.irp.is_null() {
        packet.irp = IoAllocateIrp((*lower).StackSize, 0);
        if packet.irp.is_null() {
            end(pointer, STATUS_INSUFFICIENT_RESOURCES, 0);
            return;
        }
    } else {
        crate::io::IoReuseIrp(packet.irp, STATUS_NOT_SUPPORTED);
    }
    let srb = packet.block.prepare(
        packet.facts.extended,
        SRB_FUNCTION_EXECUTE_SCSI,
        packet.facts.timeout,
    );
    packet.block.set_cdb(&packet.cdb, packet.cdb_length);
    let mdl = (*transfer.irp).MdlAddress;
    srb.set_data((mdl_va(mdl) + packet.offset as usize) as PVOID);
    srb.set_length(packet.length);
    let direction = if packet.write {
        SRB_FLAGS_DATA_OUT
    } else {
        SRB_FLAGS_DATA_IN
    };
    srb.set_flags(direction | SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_ADAPTER_CACHE_ENABLE);
    // The last try is untagged, with disconnect and synchronous transfer disabled.
    srb.set_simple_tag(packet.retries > 0);
    if packet.retries == 0 {
        srb.set_flags(
            srb.flags() | SRB_FLAGS_DISABLE_DISCONNECT | SRB_FLAGS_DISABLE_SYNCH_TRANSFER,
        );
    }
    carry(packet.irp, srb, mdl);
    set_completion(packet.irp, done, pointer.cast());
    IofCallDriver(lower, packet.irp);
}

unsafe extern "win64" fn done(_: *mut DEVICE_OBJECT, irp: *mut IRP, context: PVOID) -> NTSTATUS {
    let pointer = context.cast::<Packet>();
    let packet = &mut *pointer;
    (*irp).MdlAddress = core::ptr::null_mut();
    let ended = Ended::of(packet.block.srb());
    match judge(&ended.outcome(&packet.cdb, packet.write, packet.facts.blocks)) {
        Verdict::Success => end(pointer, STATUS_SUCCESS, ended.moved),
        Verdict::Fail(status) => end(pointer, status, 0),
        Verdict::Retry { status, .. } if packet.retries == 0 => end(pointer, status, 0),
        Verdict::Retry { after, .. } => {
            packet.retries -= 1;
            // A retry goes out from a DPC of its own, so that retries never nest.
            let due = -i64::from(after.max(1)) * 10_000;
            KeSetTimerEx(&mut packet.timer, due, 0, &mut packet.dpc);
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

unsafe extern "win64" fn again(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    send(context.cast());
}

/// A piece is done; the last one completes the transfer.
unsafe fn end(pointer: *mut Packet, status: NTSTATUS, moved: u32) {
    let packet = Box::from_raw(pointer);
    let transfer = &*packet.transfer;
    if status < 0 {
        crate::kd::text(&alloc::format!(
            "disk: target {}: {} of {} bytes failed: {status:#x}",
            packet.facts.address.1,
            if packet.write { "write" } else { "read" },
            packet.length
        ));
        let _ = transfer.status.compare_exchange(
            STATUS_SUCCESS,
            status,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }
    transfer.moved.fetch_add(u64::from(moved), Ordering::AcqRel);
    if !packet.irp.is_null() {
        IoFreeIrp(packet.irp);
    }
    let last = transfer.left.fetch_sub(1, Ordering::AcqRel) == 1;
    let transfer = packet.transfer.cast_mut();
    drop(packet);
    if last {
        let transfer = Box::from_raw(transfer);
        let disk = &*transfer.disk;
        (*transfer.irp).IoStatus.Status = transfer.status.load(Ordering::Acquire);
        (*transfer.irp).IoStatus.Information = transfer.moved.load(Ordering::Acquire) as usize;
        let irp = transfer.irp;
        drop(transfer);
        IofCompleteRequest(irp, IO_DISK_INCREMENT);
        disk.leave();
    }
}
