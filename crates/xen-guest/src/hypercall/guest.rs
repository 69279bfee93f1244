//! Xen's operations by hypercall.

use xen_abi::event_channel as ec;
use xen_abi::grant_table as gt;
use xen_abi::grant_table::GrantStatus;
use xen_abi::{DomId, Errno, hvm, hypercall as number, memory, sched, vcpu, version};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    ChannelState, EventChannelOps, GrantTableOps, HvmOps, MemoryOps, RawHypercall, SchedOps,
    TableSize, VcpuOps, VersionOps,
};
use crate::XenError;

/// All operations on top of [`RawHypercall`]. Argument structs live on the caller's (kernel) stack.
#[derive(Clone, Copy, Debug)]
pub struct Guest<R>(R);

impl<R: RawHypercall> Guest<R> {
    /// Operations through `raw`.
    pub const fn new(raw: R) -> Self {
        Self(raw)
    }

    /// The way into Xen.
    pub fn raw(&self) -> &R {
        &self.0
    }

    /// A hypercall of the form (command, pointer to argument).
    fn op<T: FromBytes + IntoBytes>(
        &self,
        call: &'static str,
        number: u32,
        command: u32,
        argument: &mut T,
    ) -> Result<u64, XenError> {
        let address = core::ptr::from_mut(argument).expose_provenance() as u64;
        // SAFETY: each caller in this module pairs a command with the struct that Xen's header defines
        // for it; the struct is exclusively borrowed, on a kernel stack or in memory of the same kind.
        checked(call, unsafe {
            self.0.call(number, [command.into(), address, 0])
        })
    }

    /// A hypercall of the form (command, null).
    fn bare(&self, call: &'static str, number: u32, command: u32) -> Result<u64, XenError> {
        // SAFETY: the commands that callers use take no argument.
        checked(call, unsafe { self.0.call(number, [command.into(), 0, 0]) })
    }

    /// A grant table operation on one struct.
    fn grant<T: FromBytes + IntoBytes>(
        &self,
        call: &'static str,
        command: u32,
        argument: &mut T,
    ) -> Result<(), XenError> {
        let address = core::ptr::from_mut(argument).expose_provenance() as u64;
        // SAFETY: as in `op`; the count says one struct.
        checked(call, unsafe {
            self.0
                .call(number::GRANT_TABLE_OP, [command.into(), address, 1])
        })?;
        Ok(())
    }

    fn event<T: FromBytes + IntoBytes>(
        &self,
        call: &'static str,
        command: u32,
        arg: &mut T,
    ) -> Result<(), XenError> {
        self.op(call, number::EVENT_CHANNEL_OP, command, arg)
            .map(drop)
    }

    /// A memory operation on a list of frames. Returns how many were done.
    fn reservation(
        &self,
        call: &'static str,
        command: u32,
        gfns: *const u64,
        count: usize,
    ) -> Result<usize, XenError> {
        let mut argument = memory::MemoryReservation {
            extent_start: gfns.expose_provenance() as u64,
            nr_extents: count as u64,
            domid: DomId::SELF.0,
            ..Default::default()
        };
        let done = self.op(call, number::MEMORY_OP, command, &mut argument)?;
        if done > count as u64 {
            return Err(XenError::Answer {
                call,
                value: done as i64,
            });
        }
        Ok(done as usize)
    }
}

/// Negative results are error numbers.
fn checked(call: &'static str, result: i64) -> Result<u64, XenError> {
    u64::try_from(result).map_err(|_| match i32::try_from(result.unsigned_abs()) {
        Ok(errno) => XenError::Hypercall {
            call,
            errno: Errno(errno),
        },
        Err(_) => XenError::Answer {
            call,
            value: result,
        },
    })
}

/// A grant operation's own status.
fn granted(call: &'static str, status: i16) -> Result<(), XenError> {
    match GrantStatus(status) {
        GrantStatus::OKAY => Ok(()),
        status => Err(XenError::Grant { call, status }),
    }
}

impl<R: RawHypercall> EventChannelOps for Guest<R> {
    fn alloc_unbound(&self, remote: DomId) -> Result<u32, XenError> {
        let mut arg = ec::AllocUnbound {
            dom: DomId::SELF.0,
            remote_dom: remote.0,
            port: 0,
        };
        self.event("EVTCHNOP_alloc_unbound", ec::ALLOC_UNBOUND, &mut arg)?;
        Ok(arg.port)
    }

    fn bind_interdomain(&self, remote: DomId, remote_port: u32) -> Result<u32, XenError> {
        let mut arg = ec::BindInterdomain {
            remote_dom: remote.0,
            pad: 0,
            remote_port,
            local_port: 0,
        };
        self.event("EVTCHNOP_bind_interdomain", ec::BIND_INTERDOMAIN, &mut arg)?;
        Ok(arg.local_port)
    }

    fn bind_virq(&self, virq: u32, vcpu: u32) -> Result<u32, XenError> {
        let mut arg = ec::BindVirq {
            virq,
            vcpu,
            port: 0,
        };
        self.event("EVTCHNOP_bind_virq", ec::BIND_VIRQ, &mut arg)?;
        Ok(arg.port)
    }

    fn bind_vcpu(&self, port: u32, vcpu: u32) -> Result<(), XenError> {
        self.event(
            "EVTCHNOP_bind_vcpu",
            ec::BIND_VCPU,
            &mut ec::BindVcpu { port, vcpu },
        )
    }

    fn close(&self, port: u32) -> Result<(), XenError> {
        self.event("EVTCHNOP_close", ec::CLOSE, &mut ec::Port { port })
    }

    fn send(&self, port: u32) -> Result<(), XenError> {
        self.event("EVTCHNOP_send", ec::SEND, &mut ec::Port { port })
    }

    fn unmask(&self, port: u32) -> Result<(), XenError> {
        self.event("EVTCHNOP_unmask", ec::UNMASK, &mut ec::Port { port })
    }

    fn status(&self, port: u32) -> Result<ChannelState, XenError> {
        let mut arg = ec::Status::of_own(port);
        self.event("EVTCHNOP_status", ec::STATUS, &mut arg)?;
        Ok(ChannelState {
            status: ec::ChannelStatus(arg.status),
            vcpu: arg.vcpu,
            remote_dom: DomId(arg.remote_dom),
            remote_port: arg.remote_port,
        })
    }

    fn reset(&self) -> Result<(), XenError> {
        self.event(
            "EVTCHNOP_reset",
            ec::RESET,
            &mut ec::Reset { dom: DomId::SELF.0 },
        )
    }

    fn init_control(&self, gfn: u64, offset: u32, vcpu: u32) -> Result<u8, XenError> {
        let mut arg = ec::InitControl {
            control_gfn: gfn,
            offset,
            vcpu,
            ..Default::default()
        };
        self.event("EVTCHNOP_init_control", ec::INIT_CONTROL, &mut arg)?;
        Ok(arg.link_bits)
    }

    fn expand_array(&self, gfn: u64) -> Result<(), XenError> {
        self.event(
            "EVTCHNOP_expand_array",
            ec::EXPAND_ARRAY,
            &mut ec::ExpandArray { array_gfn: gfn },
        )
    }

    fn set_priority(&self, port: u32, priority: u32) -> Result<(), XenError> {
        self.event(
            "EVTCHNOP_set_priority",
            ec::SET_PRIORITY,
            &mut ec::SetPriority { port, priority },
        )
    }
}

impl<R: RawHypercall> GrantTableOps for Guest<R> {
    fn query_size(&self) -> Result<TableSize, XenError> {
        let mut arg = gt::QuerySize {
            dom: DomId::SELF.0,
            ..Default::default()
        };
        self.grant("GNTTABOP_query_size", gt::QUERY_SIZE, &mut arg)?;
        granted("GNTTABOP_query_size", arg.status)?;
        Ok(TableSize {
            frames: arg.nr_frames,
            max_frames: arg.max_nr_frames,
        })
    }

    fn set_version(&self, version: u32) -> Result<(), XenError> {
        self.grant(
            "GNTTABOP_set_version",
            gt::SET_VERSION,
            &mut gt::SetVersion { version },
        )
    }

    fn version(&self) -> Result<u32, XenError> {
        let mut arg = gt::GetVersion {
            dom: DomId::SELF.0,
            ..Default::default()
        };
        self.grant("GNTTABOP_get_version", gt::GET_VERSION, &mut arg)?;
        Ok(arg.version)
    }

    fn map(
        &self,
        dom: DomId,
        reference: u32,
        address: u64,
        readonly: bool,
    ) -> Result<u32, XenError> {
        let mut arg = gt::MapGrantRef {
            host_addr: address,
            flags: gt::GNTMAP_HOST_MAP | if readonly { gt::GNTMAP_READONLY } else { 0 },
            grant_ref: reference,
            dom: dom.0,
            ..Default::default()
        };
        self.grant("GNTTABOP_map_grant_ref", gt::MAP_GRANT_REF, &mut arg)?;
        granted("GNTTABOP_map_grant_ref", arg.status)?;
        Ok(arg.handle)
    }

    fn unmap(&self, handle: u32, address: u64) -> Result<(), XenError> {
        let mut arg = gt::UnmapGrantRef {
            host_addr: address,
            handle,
            ..Default::default()
        };
        self.grant("GNTTABOP_unmap_grant_ref", gt::UNMAP_GRANT_REF, &mut arg)?;
        granted("GNTTABOP_unmap_grant_ref", arg.status)
    }
}

impl<R: RawHypercall> MemoryOps for Guest<R> {
    fn add_to_physmap(&self, space: u32, index: u64, gfn: u64) -> Result<(), XenError> {
        let mut arg = memory::AddToPhysmap {
            domid: DomId::SELF.0,
            size: 0,
            space,
            idx: index,
            gpfn: gfn,
        };
        self.op(
            "XENMEM_add_to_physmap",
            number::MEMORY_OP,
            memory::ADD_TO_PHYSMAP,
            &mut arg,
        )
        .map(drop)
    }

    fn remove_from_physmap(&self, gfn: u64) -> Result<(), XenError> {
        let mut arg = memory::RemoveFromPhysmap {
            domid: DomId::SELF.0,
            pad: [0; 3],
            gpfn: gfn,
        };
        self.op(
            "XENMEM_remove_from_physmap",
            number::MEMORY_OP,
            memory::REMOVE_FROM_PHYSMAP,
            &mut arg,
        )
        .map(drop)
    }

    fn decrease_reservation(&self, gfns: &[u64]) -> Result<usize, XenError> {
        self.reservation(
            "XENMEM_decrease_reservation",
            memory::DECREASE_RESERVATION,
            gfns.as_ptr(),
            gfns.len(),
        )
    }

    fn populate_physmap(&self, gfns: &mut [u64]) -> Result<usize, XenError> {
        self.reservation(
            "XENMEM_populate_physmap",
            memory::POPULATE_PHYSMAP,
            gfns.as_mut_ptr(),
            gfns.len(),
        )
    }
}

impl<R: RawHypercall> HvmOps for Guest<R> {
    fn param(&self, index: u32) -> Result<u64, XenError> {
        let mut arg = hvm::HvmParam {
            domid: DomId::SELF.0,
            pad: 0,
            index,
            value: 0,
        };
        self.op("HVMOP_get_param", number::HVM_OP, hvm::GET_PARAM, &mut arg)?;
        Ok(arg.value)
    }

    fn set_param(&self, index: u32, value: u64) -> Result<(), XenError> {
        let mut arg = hvm::HvmParam {
            domid: DomId::SELF.0,
            pad: 0,
            index,
            value,
        };
        self.op("HVMOP_set_param", number::HVM_OP, hvm::SET_PARAM, &mut arg)
            .map(drop)
    }

    fn set_upcall_vector(&self, vcpu: u32, vector: u8) -> Result<(), XenError> {
        let mut arg = hvm::EvtchnUpcallVector {
            vcpu,
            vector,
            pad: [0; 3],
        };
        self.op(
            "HVMOP_set_evtchn_upcall_vector",
            number::HVM_OP,
            hvm::SET_EVTCHN_UPCALL_VECTOR,
            &mut arg,
        )
        .map(drop)
    }
}

impl<R: RawHypercall> SchedOps for Guest<R> {
    fn yield_cpu(&self) {
        // A yield cannot fail in a way that matters: the caller only gives up time.
        let _ = self.bare("SCHEDOP_yield", number::SCHED_OP, sched::YIELD);
    }

    fn shutdown(&self, reason: u32) -> Result<bool, XenError> {
        let mut arg = sched::SchedShutdown { reason };
        Ok(self.op(
            "SCHEDOP_shutdown",
            number::SCHED_OP,
            sched::SHUTDOWN,
            &mut arg,
        )? != 0)
    }

    fn shutdown_code(&self, reason: u32) -> Result<(), XenError> {
        let mut arg = sched::SchedShutdown { reason };
        self.op(
            "SCHEDOP_shutdown_code",
            number::SCHED_OP,
            sched::SHUTDOWN_CODE,
            &mut arg,
        )
        .map(drop)
    }

    fn watchdog(&self, id: u32, seconds: u32) -> Result<u32, XenError> {
        let mut arg = sched::SchedWatchdog {
            id,
            timeout: seconds,
        };
        let answer = self.op(
            "SCHEDOP_watchdog",
            number::SCHED_OP,
            sched::WATCHDOG,
            &mut arg,
        )?;
        u32::try_from(answer).map_err(|_| XenError::Answer {
            call: "SCHEDOP_watchdog",
            value: answer as i64,
        })
    }
}

impl<R: RawHypercall> VcpuOps for Guest<R> {
    fn register_vcpu_info(&self, vcpu: u32, gfn: u64, offset: u32) -> Result<(), XenError> {
        let mut arg = vcpu::RegisterVcpuInfo {
            mfn: gfn,
            offset,
            rsvd: 0,
        };
        let address = core::ptr::from_mut(&mut arg).expose_provenance() as u64;
        let args = [vcpu::REGISTER_VCPU_INFO.into(), vcpu.into(), address];
        // SAFETY: the struct is the one that this command takes, on this function's stack.
        checked("VCPUOP_register_vcpu_info", unsafe {
            self.0.call(number::VCPU_OP, args)
        })
        .map(drop)
    }
}

impl<R: RawHypercall> VersionOps for Guest<R> {
    fn xen_version(&self) -> Result<(u16, u16), XenError> {
        let both = self.bare("XENVER_version", number::XEN_VERSION, version::VERSION)?;
        Ok(((both >> 16) as u16, both as u16))
    }

    fn features(&self, word: u32) -> Result<u32, XenError> {
        let mut arg = version::FeatureInfo {
            submap_idx: word,
            submap: 0,
        };
        self.op(
            "XENVER_get_features",
            number::XEN_VERSION,
            version::GET_FEATURES,
            &mut arg,
        )?;
        Ok(arg.submap)
    }

    fn extra_version(&self) -> Result<[u8; 16], XenError> {
        let mut arg = version::ExtraVersion::default();
        self.op(
            "XENVER_extraversion",
            number::XEN_VERSION,
            version::EXTRAVERSION,
            &mut arg,
        )?;
        Ok(arg.text)
    }
}
