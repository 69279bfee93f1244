//! Processors.

use wdk_sys::ntddk::{
    KeGetCurrentProcessorNumberEx, KeGetProcessorIndexFromNumber, KeGetProcessorNumberFromIndex,
    KeQueryActiveProcessorCountEx, KeRevertToUserGroupAffinityThread,
    KeSetSystemGroupAffinityThread,
};
use wdk_sys::{GROUP_AFFINITY, PROCESSOR_NUMBER};

use crate::status::{Result, Status};

/// `ALL_PROCESSOR_GROUPS`.
const ALL_GROUPS: u16 = 0xFFFF;
/// `INVALID_PROCESSOR_INDEX`.
const INVALID_INDEX: u32 = u32::MAX;

/// Number of active processors; their indexes are 0 up to it. Any IRQL.
pub fn count() -> u32 {
    // SAFETY: no requirements.
    unsafe { KeQueryActiveProcessorCountEx(ALL_GROUPS) }
}

/// Index of the processor this runs on; stable only at DISPATCH_LEVEL and above. Any IRQL.
pub fn current_index() -> u32 {
    // SAFETY: null: only the index is wanted.
    unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) }
}

/// Index of a processor given by group and number. Any IRQL.
pub fn index_of(group: u16, number: u8) -> Option<u32> {
    let mut processor = PROCESSOR_NUMBER {
        Group: group,
        Number: number,
        Reserved: 0,
    };
    // SAFETY: the structure outlives the call.
    let index = unsafe { KeGetProcessorIndexFromNumber(&raw mut processor) };
    (index != INVALID_INDEX).then_some(index)
}

/// Group and number of a processor. Any IRQL.
///
/// # Errors
/// There is no such processor.
pub fn number_of(index: u32) -> Result<PROCESSOR_NUMBER> {
    let mut processor = PROCESSOR_NUMBER::default();
    // SAFETY: the structure outlives the call.
    Status::check(unsafe { KeGetProcessorNumberFromIndex(index, &raw mut processor) })?;
    Ok(processor)
}

/// Runs `action` in this thread on one processor. IRQL <= APC_LEVEL.
///
/// # Errors
/// There is no such processor.
pub fn run_on<R>(index: u32, action: impl FnOnce() -> R) -> Result<R> {
    let processor = number_of(index)?;
    let mut wanted = GROUP_AFFINITY {
        Mask: 1_u64
            .checked_shl(processor.Number.into())
            .ok_or(Status::INVALID_PARAMETER)?,
        Group: processor.Group,
        Reserved: [0; 3],
    };
    let mut old = GROUP_AFFINITY::default();
    // SAFETY: both structures outlive the call.
    unsafe { KeSetSystemGroupAffinityThread(&raw mut wanted, &raw mut old) };
    let result = action();
    // SAFETY: what the call above returned.
    unsafe { KeRevertToUserGroupAffinityThread(&raw mut old) };
    Ok(result)
}
