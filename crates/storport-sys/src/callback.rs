//! The routines of a miniport that StorPort calls, by their DDI names.
//!
//! On the x64 Windows targets `extern "C"` is the Microsoft calling convention. IRQLs and locks are those of the DDI
//! pages; where the full-duplex model matters it is named.

use core::ffi::c_void;

use crate::port::{PORT_CONFIGURATION_INFORMATION, STOR_DPC};
use crate::srb::STORAGE_REQUEST_BLOCK;

/// `HW_INITIALIZE`: DIRQL with the interrupt lock (physical miniports). FALSE: the adapter did not initialise.
pub type HW_INITIALIZE = unsafe extern "C" fn(device_extension: *mut c_void) -> u8;
/// `HW_PASSIVE_INITIALIZE_ROUTINE`: PASSIVE_LEVEL, no locks.
pub type HW_PASSIVE_INITIALIZE_ROUTINE = unsafe extern "C" fn(device_extension: *mut c_void) -> u8;
/// `HW_BUILDIO`: DISPATCH_LEVEL, no locks, several at once. TRUE: StartIo follows; FALSE: the miniport completes.
pub type HW_BUILDIO =
    unsafe extern "C" fn(device_extension: *mut c_void, srb: *mut STORAGE_REQUEST_BLOCK) -> u8;
/// `HW_STARTIO`: full duplex: DISPATCH_LEVEL with the StartIo lock.
pub type HW_STARTIO =
    unsafe extern "C" fn(device_extension: *mut c_void, srb: *mut STORAGE_REQUEST_BLOCK) -> u8;
/// `HW_INTERRUPT`: DIRQL with the interrupt lock. FALSE: not this adapter's interrupt.
pub type HW_INTERRUPT = unsafe extern "C" fn(device_extension: *mut c_void) -> u8;
/// `HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE`: DIRQL.
pub type HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE =
    unsafe extern "C" fn(device_extension: *mut c_void, message_id: u32) -> u8;
/// `HW_FIND_ADAPTER`: PASSIVE_LEVEL, no locks. Returns a value of [`crate::constant::sp_return`].
pub type HW_FIND_ADAPTER = unsafe extern "C" fn(
    device_extension: *mut c_void,
    hw_context: *mut c_void,
    bus_information: *mut c_void,
    argument_string: *mut i8,
    config_info: *mut PORT_CONFIGURATION_INFORMATION,
    reserved: *mut u8,
) -> u32;
/// `HW_RESET_BUS`: DISPATCH_LEVEL with the StartIo lock. TRUE: the reset worked.
pub type HW_RESET_BUS = unsafe extern "C" fn(device_extension: *mut c_void, path_id: u32) -> u8;
/// `HW_ADAPTER_CONTROL`: IRQL by control type. Returns a value of [`crate::constant::adapter_control_status`].
pub type HW_ADAPTER_CONTROL = unsafe extern "C" fn(
    device_extension: *mut c_void,
    control_type: u32,
    parameters: *mut c_void,
) -> u32;
/// `HW_UNIT_CONTROL`: IRQL by control type.
pub type HW_UNIT_CONTROL = unsafe extern "C" fn(
    device_extension: *mut c_void,
    control_type: u32,
    parameters: *mut c_void,
) -> u32;
/// `HW_DPC_ROUTINE`: DISPATCH_LEVEL, no locks.
pub type HW_DPC_ROUTINE = unsafe extern "C" fn(
    dpc: *mut STOR_DPC,
    device_extension: *mut c_void,
    system_argument1: *mut c_void,
    system_argument2: *mut c_void,
);
