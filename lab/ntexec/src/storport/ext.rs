//! StorPortExtendedFunction.

use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::notify::{Arguments, variadic};
use super::os::*;
use super::srb::Srb;
use super::{locks, registry, request, rules, timers};
use crate::nt::ke::{GROUP_AFFINITY, PROCESSOR_NUMBER};
use crate::nt::mm::MDL;
use crate::nt::storport::*;

variadic! {
    /// StorPortExtendedFunction(code, device extension, …).
    StorPortExtendedFunction => extended
}

unsafe extern "win64" fn extended(code: u32, extension: *mut c_void, arguments: *const u64) -> u32 {
    // SAFETY: a miniport passes its device extension.
    let Some(adapter) = (unsafe { Adapter::of(extension) }) else {
        return STOR_STATUS_INVALID_PARAMETER;
    };
    // SAFETY: the inline function of storport.h that passes the code passes these arguments.
    unsafe { dispatch(adapter, code, Arguments::new(arguments)) }
}

/// Each code's arguments are those of `storport-calls`: what the inline functions of storport.h pass.
unsafe fn dispatch(adapter: &Adapter, code: u32, a: Arguments) -> u32 {
    // SAFETY: see `extended`.
    unsafe {
        match code {
            EXT_ALLOCATE_POOL => allocate_pool(adapter, a.int(0), a.int(1), a.pointer(2)),
            EXT_FREE_POOL => free_pool(adapter, a.pointer(0)),
            EXT_ALLOCATE_MDL => {
                let mdl = IoAllocateMdl(a.pointer(0), a.int(1), 0, 0, core::ptr::null_mut());
                put(a.pointer(2), mdl);
                if mdl.is_null() {
                    STOR_STATUS_INSUFFICIENT_RESOURCES
                } else {
                    STOR_STATUS_SUCCESS
                }
            }
            EXT_FREE_MDL => {
                IoFreeMdl(a.pointer(0));
                STOR_STATUS_SUCCESS
            }
            EXT_BUILD_MDL_FOR_NON_PAGED_POOL => {
                MmBuildMdlForNonPagedPool(a.pointer(0));
                STOR_STATUS_SUCCESS
            }
            EXT_GET_SYSTEM_ADDRESS => system_address(adapter, a.pointer(0), a.pointer(1)),
            EXT_GET_ORIGINAL_MDL => original_mdl(adapter, a.pointer(0), a.pointer(1)),
            EXT_GET_PFNS => pfns(adapter, a),
            EXT_GET_DEVICE_OBJECTS => {
                put(a.pointer(0), adapter.fdo);
                put(a.pointer(1), adapter.pdo);
                put(a.pointer(2), adapter.lower);
                STOR_STATUS_SUCCESS
            }
            EXT_INITIALIZE_PERFORMANCE_OPTIMIZATIONS => {
                performance(adapter, a.byte(0) != 0, a.pointer(1))
            }
            EXT_GET_START_IO_PERFORMANCE_PARAMETERS => channel(adapter, a.pointer(0), a.pointer(1)),
            EXT_GET_REQUEST_INFO => request_info(a.pointer(0), a.pointer(1)),
            EXT_GET_MESSAGE_INTERRUPT_INFORMATION => STOR_STATUS_INVALID_DEVICE_REQUEST,
            EXT_LOG_SYSTEM_EVENT | EXT_LOG_HARDWARE_ERROR => {
                rules::log(adapter, format_args!("the miniport logs an event"));
                STOR_STATUS_SUCCESS
            }
            EXT_INITIALIZE_WORKER => {
                let worker = timers::new_worker(adapter);
                put(a.pointer(0), worker);
                if worker.is_null() {
                    STOR_STATUS_INSUFFICIENT_RESOURCES
                } else {
                    STOR_STATUS_SUCCESS
                }
            }
            // StorPortQueueWorkItem(extension, callback, worker, context)
            EXT_QUEUE_WORK_ITEM => {
                timers::queue_worker(adapter, a.pointer(1), a.pointer(0), a.pointer(2))
            }
            EXT_FREE_WORKER => timers::free_worker(a.pointer(0)),
            EXT_INITIALIZE_TIMER => {
                put(a.pointer(0), timers::initialize(adapter));
                STOR_STATUS_SUCCESS
            }
            EXT_REQUEST_TIMER => {
                timers::request(adapter, a.pointer(0), a.pointer(1), a.pointer(2), a.long(3))
            }
            EXT_FREE_TIMER => timers::free(adapter, a.pointer(0)),
            EXT_INITIALIZE_SPINLOCK => {
                put(a.pointer(0), 0usize);
                STOR_STATUS_SUCCESS
            }
            EXT_ACQUIRE_SPIN_LOCK => locks::acquire(adapter, a.int(0), a.pointer(1), a.pointer(2)),
            EXT_CANCEL_DPC => {
                let removed = KeRemoveQueueDpc(a.pointer(0));
                put(a.pointer(1), removed);
                STOR_STATUS_SUCCESS
            }
            EXT_REGISTRY_READ_ADAPTER_KEY => registry::read_adapter_key(
                adapter,
                a.pointer(0),
                a.pointer(1),
                a.int(2),
                a.pointer(3),
                a.pointer(4),
            ),
            EXT_REGISTRY_WRITE_ADAPTER_KEY => registry::write_adapter_key(
                adapter,
                a.pointer(0),
                a.pointer(1),
                a.int(2),
                a.pointer(3),
                a.int(4),
            ),
            EXT_SET_ADAPTER_BUS_TYPE => {
                in_phase(adapter, "StorPortSetAdapterBusType", Phase::Finding, || {
                    adapter.bus_type.store(a.int(0), Ordering::Release);
                })
            }
            EXT_SET_FEATURE_LIST
            | EXT_SET_UNIT_ATTRIBUTES
            | EXT_MARK_DUMP_MEMORY
            | EXT_UPDATE_ADAPTER_MAX_IO
            | EXT_UPDATE_ADAPTER_MAX_IO_INFO => STOR_STATUS_SUCCESS,
            EXT_GET_SYSTEM_PORT_NUMBER => STOR_STATUS_SUCCESS,
            EXT_ALLOCATE_CONTIGUOUS_MEMORY => {
                contiguous(a.long(0), a.long(2), a.pointer(6), core::ptr::null_mut())
            }
            EXT_ALLOCATE_DMA_MEMORY => contiguous(a.long(0), a.long(2), a.pointer(6), a.pointer(7)),
            EXT_FREE_CONTIGUOUS_MEMORY | EXT_FREE_DMA_MEMORY => {
                MmFreeContiguousMemory(a.pointer(0));
                STOR_STATUS_SUCCESS
            }
            _ => machine(adapter, code, a),
        }
    }
}

/// The codes that ask about the machine.
unsafe fn machine(adapter: &Adapter, code: u32, a: Arguments) -> u32 {
    // SAFETY: see `extended`.
    unsafe {
        match code {
            EXT_GET_CURRENT_PROCESSOR_NUMBER => put(
                a.pointer(0),
                PROCESSOR_NUMBER {
                    Group: 0,
                    Number: current_cpu() as u8,
                    Reserved: 0,
                },
            ),
            EXT_GET_CURRENT_PROCESSOR_INDEX => put(a.pointer(0), current_cpu() as u32),
            EXT_GET_PROCESSOR_INDEX_FROM_NUMBER => {
                let number = a.pointer::<PROCESSOR_NUMBER>(0).read();
                put(a.pointer(1), u32::from(number.Number));
            }
            EXT_GET_PROCESSOR_COUNT => put(a.pointer(0), cpu_count() as u32),
            EXT_GET_ACTIVE_GROUP_COUNT | EXT_GET_ACTIVE_NODE_COUNT => put(a.pointer(0), 1u16),
            EXT_GET_GROUP_AFFINITY => put(a.pointer(1), (1usize << cpu_count()) - 1),
            EXT_GET_NODE_AFFINITY => {
                put(
                    a.pointer(1),
                    GROUP_AFFINITY {
                        Mask: (1 << cpu_count()) - 1,
                        Group: 0,
                        Reserved: [0; 3],
                    },
                );
            }
            EXT_GET_HIGHEST_NODE_NUMBER => put(a.pointer(0), 0u32),
            EXT_GET_CURRENT_IRQL => put(a.pointer(0), KeGetCurrentIrql()),
            EXT_QUERY_TIMER_MIN_INTERVAL => put(a.pointer(0), 10_000u32),
            EXT_QUERY_PERFORMANCE_COUNTER => {
                let mut frequency = 0i64;
                let counter = KeQueryPerformanceCounter(&mut frequency);
                put(a.pointer(0), frequency);
                put(a.pointer(1), counter);
            }
            EXT_DELAY_EXECUTION => {
                let mut event = new_event();
                wait(&mut event, Some(u64::from(a.int(0)) * 10));
            }
            EXT_INITIALIZE_EVENT => KeInitializeEvent(a.pointer(0), a.int(1) as i32, a.byte(2)),
            EXT_SET_EVENT => {
                KeSetEvent(a.pointer(0), 0, 0);
            }
            EXT_WAIT_FOR_EVENT => {
                let status = KeWaitForSingleObject(a.pointer(0), 0, 0, a.byte(1), a.pointer(2));
                return if status == 0 {
                    STOR_STATUS_SUCCESS
                } else {
                    STOR_STATUS_TIMEOUT
                };
            }
            _ => {
                rules::log(
                    adapter,
                    format_args!("extended function {code:#x} is not there"),
                );
                return STOR_STATUS_NOT_IMPLEMENTED;
            }
        }
    }
    STOR_STATUS_SUCCESS
}

/// Stores a result where the miniport wants it, if it wants it.
unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the miniport gave a place for a result of this type.
        unsafe { to.write_unaligned(value) };
    }
}

fn in_phase(adapter: &Adapter, call: &str, phase: Phase, f: impl FnOnce()) -> u32 {
    if adapter.phase() != phase {
        rules::broken(
            adapter,
            call,
            "STORPORT",
            format_args!(
                "may be called in {phase:?} only, was called in {:?}",
                adapter.phase()
            ),
        );
        return STOR_STATUS_INVALID_DEVICE_STATE;
    }
    f();
    STOR_STATUS_SUCCESS
}

unsafe fn allocate_pool(adapter: &Adapter, bytes: u32, tag: u32, out: *mut *mut c_void) -> u32 {
    if out.is_null() || bytes == 0 {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    // SAFETY: plain pool, given to the miniport.
    let block = unsafe { ExAllocatePoolWithTag(NON_PAGED_POOL_NX, bytes as usize, tag) };
    // SAFETY: `out` is not null, by the check above.
    unsafe { out.write(block) };
    if block.is_null() {
        return STOR_STATUS_INSUFFICIENT_RESOURCES;
    }
    adapter.pool.lock().push(block as usize);
    STOR_STATUS_SUCCESS
}

unsafe fn free_pool(adapter: &Adapter, block: *mut c_void) -> u32 {
    let mut pool = adapter.pool.lock();
    let Some(at) = pool.iter().position(|known| *known == block as usize) else {
        drop(pool);
        rules::broken(
            adapter,
            "StorPortFreePool",
            "POOL",
            format_args!("{block:p} was not given by StorPortAllocatePool, or is free already"),
        );
        return STOR_STATUS_INVALID_PARAMETER;
    };
    pool.swap_remove(at);
    drop(pool);
    // SAFETY: given by StorPortAllocatePool, and freed once.
    unsafe { ExFreePoolWithTag(block, 0) };
    STOR_STATUS_SUCCESS
}

unsafe fn system_address(adapter: &Adapter, srb: *mut c_void, out: *mut *mut c_void) -> u32 {
    let Some(request) = request::of(adapter, srb) else {
        return STOR_STATUS_INVALID_PARAMETER;
    };
    // SAFETY: the request is outstanding: it is alive while the miniport asks about it.
    let request = unsafe { &*request };
    if request.mdl.is_null() || request.srb.length() == 0 {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    match request.system_address() {
        Some(address) => {
            // SAFETY: the miniport gave a place for the result.
            unsafe { put(out, address) };
            STOR_STATUS_SUCCESS
        }
        None => STOR_STATUS_INSUFFICIENT_RESOURCES,
    }
}

unsafe fn original_mdl(adapter: &Adapter, srb: *mut c_void, out: *mut *mut c_void) -> u32 {
    let Some(request) = request::of(adapter, srb) else {
        return STOR_STATUS_INVALID_PARAMETER;
    };
    // SAFETY: the request is outstanding; the miniport gave a place for the result.
    unsafe {
        let mdl = (*request).mdl;
        put(out, mdl.cast());
        if mdl.is_null() {
            STOR_STATUS_INVALID_PARAMETER
        } else {
            STOR_STATUS_SUCCESS
        }
    }
}

/// StorPortGetPfns(extension, SRB, MDL, array, count, offset of the first byte).
unsafe fn pfns(adapter: &Adapter, a: Arguments) -> u32 {
    // SAFETY: see `extended`.
    unsafe {
        let mdl = a.pointer::<MDL>(1);
        let known = request::of(adapter, a.pointer(0)).is_some_and(|request| (*request).mdl == mdl);
        if !known || mdl.is_null() {
            return STOR_STATUS_INVALID_PARAMETER;
        }
        put(a.pointer(2), MDL::pfns(mdl));
        put(a.pointer(3), (*mdl).pages() as u32);
        put(a.pointer(4), (*mdl).ByteOffset);
    }
    STOR_STATUS_SUCCESS
}

unsafe fn performance(adapter: &Adapter, query: bool, data: *mut PerfConfigurationData) -> u32 {
    const KNOWN: u32 = STOR_PERF_DPC_REDIRECTION
        | STOR_PERF_CONCURRENT_CHANNELS
        | STOR_PERF_OPTIMIZE_FOR_COMPLETION_DURING_STARTIO
        | STOR_PERF_DPC_REDIRECTION_CURRENT_CPU
        | STOR_PERF_NO_SGL;
    if data.is_null() {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    if !matches!(
        adapter.phase(),
        Phase::Initializing | Phase::PassiveInitializing
    ) {
        rules::broken(
            adapter,
            "StorPortInitializePerfOpts",
            "STORPORT",
            format_args!("called in {:?}", adapter.phase()),
        );
        return STOR_STATUS_UNSUCCESSFUL;
    }
    // SAFETY: the miniport gave its structure; its version says how large it is, and all versions have these fields.
    unsafe {
        if (*data).version == 0 || (*data).version > STOR_PERF_VERSION {
            return STOR_STATUS_UNSUPPORTED_VERSION;
        }
        if query {
            (*data).flags = KNOWN;
            (*data).concurrent_channels = cpu_count() as u32;
            return STOR_STATUS_SUCCESS;
        }
        let flags = (*data).flags;
        let needs = STOR_PERF_INTERRUPT_MESSAGE_RANGES
            | STOR_PERF_OPTIMIZE_FOR_COMPLETION_DURING_STARTIO
            | STOR_PERF_ADV_CONFIG_LOCALITY;
        if flags & !KNOWN != 0 || (flags & needs != 0 && flags & STOR_PERF_DPC_REDIRECTION == 0) {
            return STOR_STATUS_UNSUCCESSFUL;
        }
        let channels = if flags & STOR_PERF_CONCURRENT_CHANNELS != 0 {
            (*data).concurrent_channels
        } else {
            1
        };
        adapter.performance.flags.store(flags, Ordering::Release);
        adapter
            .performance
            .channels
            .store(channels, Ordering::Release);
    }
    STOR_STATUS_SUCCESS
}

unsafe fn channel(
    adapter: &Adapter,
    srb: *mut c_void,
    out: *mut StartIoPerformanceParameters,
) -> u32 {
    let Some(request) = request::of(adapter, srb) else {
        return STOR_STATUS_INVALID_PARAMETER;
    };
    let channels = adapter.performance.channels.load(Ordering::Acquire).max(1);
    // SAFETY: the request is outstanding; the miniport gave a place for the result.
    unsafe {
        if out.is_null() {
            return STOR_STATUS_INVALID_PARAMETER;
        }
        (*out).message_number = 0;
        (*out).channel_number = (*request).cpu as u32 % channels;
    }
    STOR_STATUS_SUCCESS
}

unsafe fn request_info(srb: *mut c_void, out: *mut StorRequestInfoV1) -> u32 {
    // SAFETY: the miniport gave an SRB of its own and a place for the result.
    unsafe {
        if srb.is_null()
            || out.is_null()
            || usize::from((*out).size) < size_of::<StorRequestInfoV1>()
        {
            return STOR_STATUS_INVALID_PARAMETER;
        }
        if (*out).version != 1 {
            return STOR_STATUS_UNSUPPORTED_VERSION;
        }
        let srb = Srb::new(srb);
        // IoPriorityNormal
        ((*out).priority_hint, (*out).flags, (*out).key) = (2, 0, 0);
        (*out).length = srb.length();
        (*out).is_write_request = u8::from(srb.flags() & crate::nt::scsi::SRB_FLAGS_DATA_OUT != 0);
    }
    STOR_STATUS_SUCCESS
}

unsafe fn contiguous(bytes: u64, highest: u64, out: *mut *mut c_void, physical: *mut u64) -> u32 {
    // SAFETY: plain contiguous memory, given to the miniport, which gave places for the results.
    unsafe {
        let block = MmAllocateContiguousMemory(bytes as usize, highest as i64);
        put(out, block);
        if block.is_null() {
            return STOR_STATUS_INSUFFICIENT_RESOURCES;
        }
        block.cast::<u8>().write_bytes(0, bytes as usize);
        put(physical, MmGetPhysicalAddress(block) as u64);
    }
    STOR_STATUS_SUCCESS
}
