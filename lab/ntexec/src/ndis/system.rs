//! What drivers ask NDIS about itself and the system.

use core::sync::atomic::{AtomicU32, Ordering};

use super::adapter::Adapter;
use crate::nt::base::NTSTATUS;
use crate::nt::ke::{PROCESSOR_NUMBER, PVOID};
use crate::nt::ndis::*;
use crate::storport::os::{cpu_count, current_cpu, new_event, wait};

/// NDIS 6.84: that of Windows 10 22H2, which RtlGetVersion tells of.
const DEFAULT: u32 = 0x0006_0054;
/// A DWORD here, 0xMMMMmmmm, makes NDIS another version.
const KEY: &str = r"\Registry\Machine\System\CurrentControlSet\Services\NDIS\Parameters";

static VERSION: AtomicU32 = AtomicU32::new(0);

fn packed() -> u32 {
    let known = VERSION.load(Ordering::Acquire);
    if known != 0 {
        return known;
    }
    let version = crate::cm::read(|h| h.dword(KEY, "NdisVersion")).unwrap_or(DEFAULT);
    VERSION.store(version, Ordering::Release);
    version
}

/// NDIS' version: major and minor, the minor one in decimal as drivers' characteristics have it.
pub(super) fn version() -> (u8, u8) {
    let v = packed();
    ((v >> 16) as u8, v as u8)
}

/// NdisGetVersion: 0xMMMMmmmm.
pub(super) unsafe extern "win64" fn NdisGetVersion() -> u32 {
    packed()
}

/// NdisSystemProcessorCount.
pub(super) unsafe extern "win64" fn NdisSystemProcessorCount() -> i8 {
    cpu_count() as i8
}

/// NdisGroupMaxProcessorCount and NdisGroupActiveProcessorCount: there is group 0 only.
pub(super) unsafe extern "win64" fn NdisGroupMaxProcessorCount(group: u16) -> u32 {
    const ALL: u16 = 0xffff;
    if group == 0 || group == ALL {
        cpu_count() as u32
    } else {
        0
    }
}

/// See [`NdisGroupMaxProcessorCount`].
pub(super) unsafe extern "win64" fn NdisGroupActiveProcessorCount(group: u16) -> u32 {
    NdisGroupMaxProcessorCount(group)
}

/// NdisMaxGroupCount.
pub(super) unsafe extern "win64" fn NdisMaxGroupCount() -> u16 {
    1
}

/// NdisActiveGroupCount.
pub(super) unsafe extern "win64" fn NdisActiveGroupCount() -> u16 {
    1
}

/// NdisCurrentGroupAndProcessor.
pub(super) unsafe extern "win64" fn NdisCurrentGroupAndProcessor() -> PROCESSOR_NUMBER {
    PROCESSOR_NUMBER {
        Group: 0,
        Number: current_cpu() as u8,
        Reserved: 0,
    }
}

/// NdisProcessorNumberToIndex.
pub(super) unsafe extern "win64" fn NdisProcessorNumberToIndex(number: PROCESSOR_NUMBER) -> u32 {
    if number.Group == 0 && usize::from(number.Number) < cpu_count() {
        u32::from(number.Number)
    } else {
        u32::MAX
    }
}

/// NdisProcessorIndexToNumber.
pub(super) unsafe extern "win64" fn NdisProcessorIndexToNumber(
    index: u32,
    to: *mut PROCESSOR_NUMBER,
) -> NTSTATUS {
    if index as usize >= cpu_count() || to.is_null() {
        return crate::nt::status::STATUS_INVALID_PARAMETER;
    }
    to.write(PROCESSOR_NUMBER {
        Group: 0,
        Number: index as u8,
        Reserved: 0,
    });
    crate::nt::status::STATUS_SUCCESS
}

/// NdisGetRssProcessorInformation: every processor, as far as *MaxRssProcessors and *RssMaxProcNumber allow. At most
/// DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisGetRssProcessorInformation(
    handle: PVOID,
    info: *mut NDIS_RSS_PROCESSOR_INFO,
    size: *mut usize,
) -> NDIS_STATUS {
    let Some(adapter) = Adapter::of(handle, "NdisGetRssProcessorInformation") else {
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    let value = |name: &str, default: u32| {
        super::config::integer(&adapter.class_key, name).unwrap_or(default)
    };
    let last = value("*RssMaxProcNumber", u32::MAX).min(cpu_count() as u32 - 1);
    let base = value("*RssBaseProcNumber", 0).min(last);
    let count = (last - base + 1).min(value("*MaxRssProcessors", 16).max(1));
    let head = size_of::<NDIS_RSS_PROCESSOR_INFO>();
    let whole = head + count as usize * size_of::<NDIS_RSS_PROCESSOR>();
    let given = core::mem::replace(&mut *size, whole);
    if info.is_null() || given < whole {
        return NDIS_STATUS_BUFFER_TOO_SHORT;
    }
    let number = |index: u32| PROCESSOR_NUMBER {
        Group: 0,
        Number: index as u8,
        Reserved: 0,
    };
    const RSS_PROFILE_NUMA_STATIC: u32 = 4;
    info.write(NDIS_RSS_PROCESSOR_INFO {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_RSS_PROCESSOR_INFO,
            2,
            NDIS_SIZEOF_RSS_PROCESSOR_INFO_REVISION_2,
        ),
        Flags: 0,
        RssBaseProcessor: number(base),
        MaxNumRssProcessors: count,
        PreferredNumaNode: 0,
        RssProcessorArrayOffset: head as u32,
        RssProcessorCount: count,
        RssProcessorEntrySize: size_of::<NDIS_RSS_PROCESSOR>() as u32,
        RssMaxProcessor: number(last),
        RssProfile: RSS_PROFILE_NUMA_STATIC,
    });
    let entries = info.byte_add(head).cast::<NDIS_RSS_PROCESSOR>();
    for n in 0..count {
        entries.add(n as usize).write(NDIS_RSS_PROCESSOR {
            ProcNum: number(base + n),
            PreferenceIndex: 0,
            Reserved: 0,
        });
    }
    NDIS_STATUS_SUCCESS
}

/// NdisMSleep, in microseconds. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisMSleep(microseconds: u32) {
    wait(&mut new_event(), Some(u64::from(microseconds) * 10));
}

/// NdisGetSystemUpTimeEx, in milliseconds.
pub(super) unsafe extern "win64" fn NdisGetSystemUpTimeEx(to: *mut i64) {
    to.write((crate::storport::os::now() / 10_000) as i64);
}

/// NdisWriteErrorLogEntry: the code goes to the log. The values that follow `count` are the driver's own business.
pub(super) unsafe extern "win64" fn NdisWriteErrorLogEntry(handle: PVOID, code: u32, count: u32) {
    let name = Adapter::find(handle).map_or("?", |a| a.name.as_str());
    crate::kd::text(&alloc::format!(
        "ndis: {name} logs error {code:#x} with {count} values"
    ));
}
