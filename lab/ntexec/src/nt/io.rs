//! The I/O manager's structures, as drivers see them.
//!
//! Names, fields and layouts are those of `wdm.h` (WDK 10.0.26100, x64); the size, alignment and
//! the offsets that drivers compile in are asserted below. Unions that C leaves unnamed carry a
//! name of ours.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

use super::base::{GUID, LARGE_INTEGER, NTSTATUS, UNICODE_STRING};
use super::ke::{KDPC, KEVENT, LIST_ENTRY};

/// A driver's routine for one major function.
pub type DRIVER_DISPATCH = unsafe extern "win64" fn(*mut DEVICE_OBJECT, *mut IRP) -> NTSTATUS;
/// `DriverEntry`, and the entry point of a driver's image.
pub type DRIVER_INITIALIZE =
    unsafe extern "win64" fn(*mut DRIVER_OBJECT, *mut UNICODE_STRING) -> NTSTATUS;
/// A driver's `StartIo` routine.
pub type DRIVER_STARTIO = unsafe extern "win64" fn(*mut DEVICE_OBJECT, *mut IRP);
/// A driver's `Unload` routine.
pub type DRIVER_UNLOAD = unsafe extern "win64" fn(*mut DRIVER_OBJECT);
/// A driver's `AddDevice` routine.
pub type DRIVER_ADD_DEVICE =
    unsafe extern "win64" fn(*mut DRIVER_OBJECT, *mut DEVICE_OBJECT) -> NTSTATUS;
/// A driver's cancel routine, called with the cancel spin lock held.
pub type DRIVER_CANCEL = unsafe extern "win64" fn(*mut DEVICE_OBJECT, *mut IRP);
/// A completion routine.
pub type IO_COMPLETION_ROUTINE =
    unsafe extern "win64" fn(*mut DEVICE_OBJECT, *mut IRP, *mut c_void) -> NTSTATUS;
/// An interrupt service routine; not 0 if the interrupt was its device's.
pub type KSERVICE_ROUTINE = unsafe extern "win64" fn(*mut KINTERRUPT, *mut c_void) -> u8;
/// An interrupt service routine for messages.
pub type KMESSAGE_SERVICE_ROUTINE =
    unsafe extern "win64" fn(*mut KINTERRUPT, *mut c_void, u32) -> u8;
/// Takes or drops a reference of an interface.
pub type INTERFACE_REFERENCE = unsafe extern "win64" fn(*mut c_void);

/// An interrupt object; opaque to drivers.
#[repr(C)]
pub struct KINTERRUPT {
    _opaque: [u8; 0],
}

/// The result of a request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IO_STATUS_BLOCK {
    /// How it ended.
    pub Status: NTSTATUS,
    /// Depends on the request: often a count of bytes.
    pub Information: usize,
}

/// An entry of a device queue.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KDEVICE_QUEUE_ENTRY {
    pub DeviceListEntry: LIST_ENTRY,
    pub SortKey: u32,
    pub Inserted: u8,
}

/// A device queue.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KDEVICE_QUEUE {
    pub Type: i16,
    pub Size: i16,
    pub DeviceListHead: LIST_ENTRY,
    pub Lock: usize,
    pub Busy: u8,
}

/// An asynchronous procedure call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KAPC {
    pub Type: u8,
    pub AllFlags: u8,
    pub Size: u8,
    pub SpareByte1: u8,
    pub SpareLong0: u32,
    pub Thread: *mut c_void,
    pub ApcListEntry: LIST_ENTRY,
    pub Reserved: [*mut c_void; 3],
    pub NormalContext: *mut c_void,
    pub SystemArgument1: *mut c_void,
    pub SystemArgument2: *mut c_void,
    pub ApcStateIndex: i8,
    pub ApcMode: i8,
    pub Inserted: u8,
}

/// What a device object keeps of a DMA channel's wait.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WAIT_CONTEXT_BLOCK {
    pub WaitQueueEntry: KDEVICE_QUEUE_ENTRY,
    pub DeviceRoutine: *mut c_void,
    pub DeviceContext: *mut c_void,
    pub NumberOfMapRegisters: u32,
    pub DeviceObject: *mut c_void,
    pub CurrentIrp: *mut c_void,
    pub BufferChainingDpc: *mut KDPC,
}

/// `DEVICE_OBJECT.Queue`.
#[repr(C)]
pub union DEVICE_OBJECT_QUEUE {
    pub ListEntry: LIST_ENTRY,
    pub Wcb: WAIT_CONTEXT_BLOCK,
}

/// A device object.
#[repr(C, align(16))]
pub struct DEVICE_OBJECT {
    pub Type: i16,
    pub Size: u16,
    pub ReferenceCount: i32,
    pub DriverObject: *mut DRIVER_OBJECT,
    pub NextDevice: *mut DEVICE_OBJECT,
    pub AttachedDevice: *mut DEVICE_OBJECT,
    pub CurrentIrp: *mut IRP,
    pub Timer: *mut c_void,
    pub Flags: u32,
    pub Characteristics: u32,
    pub Vpb: *mut VPB,
    pub DeviceExtension: *mut c_void,
    pub DeviceType: u32,
    pub StackSize: i8,
    pub Queue: DEVICE_OBJECT_QUEUE,
    pub AlignmentRequirement: u32,
    pub DeviceQueue: KDEVICE_QUEUE,
    pub Dpc: KDPC,
    pub ActiveThreadCount: u32,
    pub SecurityDescriptor: *mut c_void,
    pub DeviceLock: KEVENT,
    pub SectorSize: u16,
    pub Spare1: u16,
    pub DeviceObjectExtension: *mut DEVOBJ_EXTENSION,
    pub Reserved: *mut c_void,
}

/// The system's part of a device object.
#[repr(C)]
pub struct DEVOBJ_EXTENSION {
    pub Type: i16,
    pub Size: u16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub PowerFlags: u32,
    pub Dope: *mut c_void,
    pub ExtensionFlags: u32,
    /// The device node, for a PDO.
    pub DeviceNode: *mut c_void,
    /// The device object below.
    pub AttachedTo: *mut DEVICE_OBJECT,
    pub StartIoCount: i32,
    pub StartIoKey: i32,
    pub StartIoFlags: u32,
    pub Vpb: *mut VPB,
    pub DependencyNode: *mut c_void,
    pub InterruptContext: *mut c_void,
    pub InterruptCount: i32,
    pub VerifierContext: *mut c_void,
}

/// A volume parameter block.
#[repr(C)]
pub struct VPB {
    pub Type: i16,
    pub Size: i16,
    pub Flags: u16,
    pub VolumeLabelLength: u16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub RealDevice: *mut DEVICE_OBJECT,
    pub SerialNumber: u32,
    pub ReferenceCount: u32,
    pub VolumeLabel: [u16; 32],
}

/// A driver object.
#[repr(C)]
pub struct DRIVER_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Flags: u32,
    pub DriverStart: *mut c_void,
    pub DriverSize: u32,
    pub DriverSection: *mut c_void,
    pub DriverExtension: *mut DRIVER_EXTENSION,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: *mut UNICODE_STRING,
    pub FastIoDispatch: *mut c_void,
    pub DriverInit: Option<DRIVER_INITIALIZE>,
    pub DriverStartIo: Option<DRIVER_STARTIO>,
    pub DriverUnload: Option<DRIVER_UNLOAD>,
    pub MajorFunction: [Option<DRIVER_DISPATCH>; 28],
}

/// A driver object's extension.
#[repr(C)]
pub struct DRIVER_EXTENSION {
    pub DriverObject: *mut DRIVER_OBJECT,
    pub AddDevice: Option<DRIVER_ADD_DEVICE>,
    pub Count: u32,
    pub ServiceKeyName: UNICODE_STRING,
}

/// `IRP.AssociatedIrp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_ASSOCIATED {
    pub MasterIrp: *mut IRP,
    pub IrpCount: i32,
    pub SystemBuffer: *mut c_void,
}

/// The `Overlay` arm of `IRP.Tail`, with its inner unions flattened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IRP_TAIL_OVERLAY {
    pub DriverContext: [*mut c_void; 4],
    pub Thread: *mut c_void,
    pub AuxiliaryBuffer: *mut c_void,
    pub ListEntry: LIST_ENTRY,
    pub CurrentStackLocation: *mut IO_STACK_LOCATION,
    pub OriginalFileObject: *mut FILE_OBJECT,
}

/// `IRP.Tail`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_TAIL {
    pub Overlay: IRP_TAIL_OVERLAY,
    pub Apc: KAPC,
    pub CompletionKey: *mut c_void,
}

/// `IRP.Overlay`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IRP_OVERLAY {
    /// `UserApcRoutine`, or the low half of `AllocationSize`.
    pub UserApcRoutine: *mut c_void,
    pub UserApcContext: *mut c_void,
}

/// An I/O request packet. Its stack locations follow it in memory.
#[repr(C, align(16))]
pub struct IRP {
    pub Type: i16,
    pub Size: u16,
    pub MdlAddress: *mut super::mm::MDL,
    pub Flags: u32,
    pub AssociatedIrp: IRP_ASSOCIATED,
    pub ThreadListEntry: LIST_ENTRY,
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: i8,
    pub PendingReturned: u8,
    pub StackCount: i8,
    pub CurrentLocation: i8,
    pub Cancel: u8,
    pub CancelIrql: u8,
    pub ApcEnvironment: i8,
    pub AllocationFlags: u8,
    pub UserIosb: *mut IO_STATUS_BLOCK,
    pub UserEvent: *mut KEVENT,
    pub Overlay: IRP_OVERLAY,
    pub CancelRoutine: Option<DRIVER_CANCEL>,
    pub UserBuffer: *mut c_void,
    pub Tail: IRP_TAIL,
}

/// `Parameters.Read` and `.Write`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_READ_WRITE {
    pub Length: u32,
    _pad: u32,
    pub Key: u32,
    pub Flags: u32,
    pub ByteOffset: LARGE_INTEGER,
}

/// `Parameters.DeviceIoControl`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_DEVICE_IO_CONTROL {
    pub OutputBufferLength: u32,
    _pad0: u32,
    pub InputBufferLength: u32,
    _pad1: u32,
    pub IoControlCode: u32,
    _pad2: u32,
    pub Type3InputBuffer: *mut c_void,
}

/// `Parameters.QueryInterface`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_QUERY_INTERFACE {
    pub InterfaceType: *const GUID,
    pub Size: u16,
    pub Version: u16,
    _pad: u32,
    pub Interface: *mut INTERFACE,
    pub InterfaceSpecificData: *mut c_void,
}

/// `Parameters.ReadWriteConfig`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_READ_WRITE_CONFIG {
    pub WhichSpace: u32,
    _pad0: u32,
    pub Buffer: *mut c_void,
    pub Offset: u32,
    _pad1: u32,
    pub Length: u32,
    _pad2: u32,
}

/// `Parameters.QueryDeviceText`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_QUERY_DEVICE_TEXT {
    pub DeviceTextType: u32,
    _pad: u32,
    pub LocaleId: u32,
    _pad1: u32,
}

/// `Parameters.UsageNotification`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_USAGE_NOTIFICATION {
    pub InPath: u8,
    pub Reserved: [u8; 3],
    _pad: u32,
    pub Type: u32,
    _pad1: u32,
}

/// `Parameters.Power`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_POWER {
    pub SystemContext: u32,
    _pad: u32,
    pub Type: u32,
    _pad1: u32,
    pub State: POWER_STATE,
    _pad2: u32,
    pub ShutdownType: u32,
    _pad3: u32,
}

/// `Parameters.StartDevice`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_START_DEVICE {
    pub AllocatedResources: *mut CM_RESOURCE_LIST,
    pub AllocatedResourcesTranslated: *mut CM_RESOURCE_LIST,
}

/// `Parameters.Others`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ISL_OTHERS {
    pub Argument1: *mut c_void,
    pub Argument2: *mut c_void,
    pub Argument3: *mut c_void,
    pub Argument4: *mut c_void,
}

/// `IO_STACK_LOCATION.Parameters`, the arms in use here.
#[repr(C)]
#[derive(Clone, Copy)]
pub union ISL_PARAMETERS {
    pub Read: ISL_READ_WRITE,
    pub Write: ISL_READ_WRITE,
    pub DeviceIoControl: ISL_DEVICE_IO_CONTROL,
    pub Srb: *mut c_void,
    pub QueryDeviceRelationsType: u32,
    pub QueryInterface: ISL_QUERY_INTERFACE,
    pub Capabilities: *mut DEVICE_CAPABILITIES,
    pub IoResourceRequirementList: *mut IO_RESOURCE_REQUIREMENTS_LIST,
    pub ReadWriteConfig: ISL_READ_WRITE_CONFIG,
    pub QueryIdType: u32,
    pub QueryDeviceText: ISL_QUERY_DEVICE_TEXT,
    pub UsageNotification: ISL_USAGE_NOTIFICATION,
    pub Power: ISL_POWER,
    pub StartDevice: ISL_START_DEVICE,
    pub Others: ISL_OTHERS,
}

/// One driver's part of an IRP.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_STACK_LOCATION {
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    pub Control: u8,
    pub Parameters: ISL_PARAMETERS,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub FileObject: *mut FILE_OBJECT,
    pub CompletionRoutine: Option<IO_COMPLETION_ROUTINE>,
    pub Context: *mut c_void,
}

/// An open file or device.
#[repr(C)]
pub struct FILE_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Vpb: *mut VPB,
    pub FsContext: *mut c_void,
    pub FsContext2: *mut c_void,
    pub SectionObjectPointer: *mut c_void,
    pub PrivateCacheMap: *mut c_void,
    pub FinalStatus: NTSTATUS,
    pub RelatedFileObject: *mut FILE_OBJECT,
    pub LockOperation: u8,
    pub DeletePending: u8,
    pub ReadAccess: u8,
    pub WriteAccess: u8,
    pub DeleteAccess: u8,
    pub SharedRead: u8,
    pub SharedWrite: u8,
    pub SharedDelete: u8,
    pub Flags: u32,
    pub FileName: UNICODE_STRING,
    pub CurrentByteOffset: LARGE_INTEGER,
    pub Waiters: u32,
    pub Busy: u32,
    pub LastLock: *mut c_void,
    pub Lock: KEVENT,
    pub Event: KEVENT,
    pub CompletionContext: *mut c_void,
    pub IrpListLock: usize,
    pub IrpList: LIST_ENTRY,
    pub FileObjectExtension: *mut c_void,
}

/// One assigned resource; the meaning of `u` depends on `Type`.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_PARTIAL_RESOURCE_DESCRIPTOR {
    pub Type: u8,
    pub ShareDisposition: u8,
    pub Flags: u16,
    pub u: CM_PARTIAL_U,
}

/// `Start` and `Length` of a port or memory range.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_RANGE {
    pub Start: LARGE_INTEGER,
    pub Length: u32,
}

/// A line interrupt, and a message interrupt's translated form.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_INTERRUPT {
    /// On x64 the IRQL (translated) or the line's level (raw); `Group` is its upper half.
    pub Level: u16,
    pub Group: u16,
    pub Vector: u32,
    pub Affinity: usize,
}

/// A message interrupt's raw form.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_MESSAGE_RAW {
    pub Group: u16,
    pub MessageCount: u16,
    pub Vector: u32,
    pub Affinity: usize,
}

/// The body of a [`CM_PARTIAL_RESOURCE_DESCRIPTOR`].
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub union CM_PARTIAL_U {
    pub Range: CM_RANGE,
    pub Interrupt: CM_INTERRUPT,
    pub MessageRaw: CM_MESSAGE_RAW,
    pub DevicePrivate: [u32; 3],
    /// Start, Length, Reserved.
    pub BusNumber: [u32; 3],
}

/// A list of assigned resources; `Count` descriptors follow.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_PARTIAL_RESOURCE_LIST {
    pub Version: u16,
    pub Revision: u16,
    pub Count: u32,
    pub PartialDescriptors: [CM_PARTIAL_RESOURCE_DESCRIPTOR; 1],
}

/// Resources on one bus.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_FULL_RESOURCE_DESCRIPTOR {
    pub InterfaceType: i32,
    pub BusNumber: u32,
    pub PartialResourceList: CM_PARTIAL_RESOURCE_LIST,
}

/// The resources of a device; `Count` full descriptors follow each other.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_RESOURCE_LIST {
    pub Count: u32,
    pub List: [CM_FULL_RESOURCE_DESCRIPTOR; 1],
}

/// A wanted port or memory range.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_RANGE {
    pub Length: u32,
    pub Alignment: u32,
    pub MinimumAddress: LARGE_INTEGER,
    pub MaximumAddress: LARGE_INTEGER,
}

/// A wanted interrupt.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_INTERRUPT {
    pub MinimumVector: u32,
    pub MaximumVector: u32,
    /// With groups: the low half is the policy, the high half the group.
    pub AffinityPolicy: u16,
    pub Group: u16,
    pub PriorityPolicy: u32,
    pub TargetedProcessors: usize,
}

/// The body of an [`IO_RESOURCE_DESCRIPTOR`].
#[repr(C)]
#[derive(Clone, Copy)]
pub union IO_RESOURCE_U {
    pub Range: IO_RANGE,
    pub Interrupt: IO_INTERRUPT,
    pub DevicePrivate: [u32; 3],
    /// Length, MinBusNumber, MaxBusNumber, Reserved.
    pub BusNumber: [u32; 4],
    /// Priority, Reserved1, Reserved2.
    pub ConfigData: [u32; 3],
}

/// One wanted resource.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_RESOURCE_DESCRIPTOR {
    pub Option: u8,
    pub Type: u8,
    pub ShareDisposition: u8,
    pub Spare1: u8,
    pub Flags: u16,
    pub Spare2: u16,
    pub u: IO_RESOURCE_U,
}

/// One alternative of a requirements list.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_RESOURCE_LIST {
    pub Version: u16,
    pub Revision: u16,
    pub Count: u32,
    pub Descriptors: [IO_RESOURCE_DESCRIPTOR; 1],
}

/// What resources a device can use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_RESOURCE_REQUIREMENTS_LIST {
    pub ListSize: u32,
    pub InterfaceType: i32,
    pub BusNumber: u32,
    pub SlotNumber: u32,
    pub Reserved: [u32; 3],
    pub AlternativeLists: u32,
    pub List: [IO_RESOURCE_LIST; 1],
}

/// What a device can do; the bit fields of C are `Bits`, see [`caps`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DEVICE_CAPABILITIES {
    pub Size: u16,
    pub Version: u16,
    pub Bits: u32,
    pub Address: u32,
    pub UINumber: u32,
    pub DeviceState: [i32; 7],
    pub SystemWake: i32,
    pub DeviceWake: i32,
    pub D1Latency: u32,
    pub D2Latency: u32,
    pub D3Latency: u32,
}

/// Bits of [`DEVICE_CAPABILITIES::Bits`].
pub mod caps {
    #![allow(missing_docs)]
    pub const EJECT_SUPPORTED: u32 = 1 << 3;
    pub const REMOVABLE: u32 = 1 << 4;
    pub const UNIQUE_ID: u32 = 1 << 6;
    pub const SILENT_INSTALL: u32 = 1 << 7;
    pub const RAW_DEVICE_OK: u32 = 1 << 8;
    pub const SURPRISE_REMOVAL_OK: u32 = 1 << 9;
    pub const HARDWARE_DISABLED: u32 = 1 << 14;
}

/// The head of every interface asked for with IRP_MN_QUERY_INTERFACE.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct INTERFACE {
    pub Size: u16,
    pub Version: u16,
    pub Context: *mut c_void,
    pub InterfaceReference: Option<INTERFACE_REFERENCE>,
    pub InterfaceDereference: Option<INTERFACE_REFERENCE>,
}

/// Reads or writes a device's configuration space; the number of bytes done.
pub type GET_SET_DEVICE_DATA =
    unsafe extern "win64" fn(*mut c_void, u32, *mut c_void, u32, u32) -> u32;
/// Translates a bus address; not 0 if it could.
pub type TRANSLATE_BUS_ADDRESS =
    unsafe extern "win64" fn(*mut c_void, LARGE_INTEGER, u32, *mut u32, *mut LARGE_INTEGER) -> u8;

/// GUID_BUS_INTERFACE_STANDARD.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BUS_INTERFACE_STANDARD {
    pub Head: INTERFACE,
    pub TranslateBusAddress: Option<TRANSLATE_BUS_ADDRESS>,
    pub GetDmaAdapter: *mut c_void,
    pub SetBusData: Option<GET_SET_DEVICE_DATA>,
    pub GetBusData: Option<GET_SET_DEVICE_DATA>,
}

/// A system or a device power state.
#[repr(C)]
#[derive(Clone, Copy)]
pub union POWER_STATE {
    pub SystemState: i32,
    pub DeviceState: i32,
}

/// CONNECT_FULLY_SPECIFIED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
    pub PhysicalDeviceObject: *mut DEVICE_OBJECT,
    pub InterruptObject: *mut *mut KINTERRUPT,
    pub ServiceRoutine: Option<KSERVICE_ROUTINE>,
    pub ServiceContext: *mut c_void,
    pub SpinLock: *mut usize,
    pub SynchronizeIrql: u8,
    pub FloatingSave: u8,
    pub ShareVector: u8,
    pub Vector: u32,
    pub Irql: u8,
    pub InterruptMode: u32,
    pub ProcessorEnableMask: usize,
    pub Group: u16,
}

/// CONNECT_LINE_BASED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS {
    pub PhysicalDeviceObject: *mut DEVICE_OBJECT,
    pub InterruptObject: *mut *mut KINTERRUPT,
    pub ServiceRoutine: Option<KSERVICE_ROUTINE>,
    pub ServiceContext: *mut c_void,
    pub SpinLock: *mut usize,
    pub SynchronizeIrql: u8,
    pub FloatingSave: u8,
}

/// CONNECT_MESSAGE_BASED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS {
    pub PhysicalDeviceObject: *mut DEVICE_OBJECT,
    /// `InterruptMessageTable`, or `InterruptObject` if it falls back to a line.
    pub ConnectionContext: *mut *mut c_void,
    pub MessageServiceRoutine: Option<KMESSAGE_SERVICE_ROUTINE>,
    pub ServiceContext: *mut c_void,
    pub SpinLock: *mut usize,
    pub SynchronizeIrql: u8,
    pub FloatingSave: u8,
    pub FallBackServiceRoutine: Option<KSERVICE_ROUTINE>,
}

/// The body of [`IO_CONNECT_INTERRUPT_PARAMETERS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub union IO_CONNECT_U {
    pub FullySpecified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS,
    pub LineBased: IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS,
    pub MessageBased: IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS,
}

/// What IoConnectInterruptEx takes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_PARAMETERS {
    pub Version: u32,
    pub u: IO_CONNECT_U,
}

/// What IoDisconnectInterruptEx takes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_DISCONNECT_INTERRUPT_PARAMETERS {
    pub Version: u32,
    /// `InterruptObject` or `InterruptMessageTable`.
    pub ConnectionContext: *mut c_void,
}

/// One connected message.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_INTERRUPT_MESSAGE_INFO_ENTRY {
    pub MessageAddress: LARGE_INTEGER,
    pub TargetProcessorSet: usize,
    pub InterruptObject: *mut KINTERRUPT,
    pub MessageData: u32,
    pub Vector: u32,
    pub Irql: u8,
    pub Mode: u32,
    pub Polarity: u32,
}

/// The connected messages of a device.
#[repr(C)]
pub struct IO_INTERRUPT_MESSAGE_INFO {
    pub UnifiedIrql: u8,
    pub MessageCount: u32,
    pub MessageInfo: [IO_INTERRUPT_MESSAGE_INFO_ENTRY; 1],
}

/// A remove lock, free builds' form and the head of the checked form.
#[repr(C)]
pub struct IO_REMOVE_LOCK {
    pub Removed: u8,
    pub Reserved: [u8; 3],
    pub IoCount: i32,
    pub RemoveEvent: KEVENT,
}

/// What IRP_MN_QUERY_BUS_INFORMATION answers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PNP_BUS_INFORMATION {
    pub BusTypeGuid: GUID,
    pub LegacyBusType: i32,
    pub BusNumber: u32,
}

/// What IRP_MN_QUERY_DEVICE_RELATIONS answers; `Count` pointers follow.
#[repr(C)]
pub struct DEVICE_RELATIONS {
    pub Count: u32,
    pub Objects: [*mut DEVICE_OBJECT; 1],
}

macro_rules! layout {
    ($($t:ty: $size:literal, $align:literal $(, $f:ident @ $off:literal)*;)*) => {$(
        const _: () = {
            assert!(size_of::<$t>() == $size);
            assert!(align_of::<$t>() == $align);
            $(assert!(offset_of!($t, $f) == $off);)*
        };
    )*};
}

layout! {
    DEVICE_OBJECT: 336, 16, DriverObject @ 8, Flags @ 48, DeviceExtension @ 64, StackSize @ 76,
        Queue @ 80, AlignmentRequirement @ 152, DeviceQueue @ 160, Dpc @ 200, DeviceLock @ 280,
        DeviceObjectExtension @ 312;
    DEVOBJ_EXTENSION: 112, 8, DeviceNode @ 40, AttachedTo @ 48, VerifierContext @ 104;
    VPB: 96, 8, VolumeLabel @ 32;
    DRIVER_OBJECT: 336, 8, DriverStart @ 24, DriverExtension @ 48, DriverName @ 56,
        DriverUnload @ 104, MajorFunction @ 112;
    DRIVER_EXTENSION: 40, 8, AddDevice @ 8, ServiceKeyName @ 24;
    IRP: 208, 16, MdlAddress @ 8, AssociatedIrp @ 24, IoStatus @ 48, RequestorMode @ 64,
        CurrentLocation @ 67, Cancel @ 68, UserIosb @ 72, UserEvent @ 80, Overlay @ 88,
        CancelRoutine @ 104, UserBuffer @ 112, Tail @ 120;
    IRP_TAIL_OVERLAY: 80, 8, Thread @ 32, ListEntry @ 48, CurrentStackLocation @ 64,
        OriginalFileObject @ 72;
    IO_STACK_LOCATION: 72, 8, Parameters @ 8, DeviceObject @ 40, FileObject @ 48,
        CompletionRoutine @ 56, Context @ 64;
    ISL_PARAMETERS: 32, 8;
    ISL_READ_WRITE: 24, 8, Key @ 8, Flags @ 12, ByteOffset @ 16;
    ISL_DEVICE_IO_CONTROL: 32, 8, InputBufferLength @ 8, IoControlCode @ 16, Type3InputBuffer @ 24;
    ISL_QUERY_INTERFACE: 32, 8, Size @ 8, Version @ 10, Interface @ 16,
        InterfaceSpecificData @ 24;
    ISL_READ_WRITE_CONFIG: 32, 8, Buffer @ 8, Offset @ 16, Length @ 24;
    ISL_POWER: 32, 4, Type @ 8, State @ 16, ShutdownType @ 24;
    FILE_OBJECT: 216, 8, FinalStatus @ 56, Flags @ 80, FileName @ 88, Lock @ 128, Event @ 152,
        IrpList @ 192;
    CM_PARTIAL_RESOURCE_DESCRIPTOR: 20, 4, u @ 4;
    CM_INTERRUPT: 16, 4, Group @ 2, Vector @ 4, Affinity @ 8;
    CM_MESSAGE_RAW: 16, 4, MessageCount @ 2, Vector @ 4, Affinity @ 8;
    CM_PARTIAL_RESOURCE_LIST: 28, 4, PartialDescriptors @ 8;
    CM_FULL_RESOURCE_DESCRIPTOR: 36, 4, PartialResourceList @ 8;
    CM_RESOURCE_LIST: 40, 4, List @ 4;
    IO_RESOURCE_DESCRIPTOR: 32, 8, Flags @ 4, u @ 8;
    IO_INTERRUPT: 24, 8, AffinityPolicy @ 8, PriorityPolicy @ 12, TargetedProcessors @ 16;
    IO_RESOURCE_LIST: 40, 8, Descriptors @ 8;
    IO_RESOURCE_REQUIREMENTS_LIST: 72, 8, AlternativeLists @ 28, List @ 32;
    DEVICE_CAPABILITIES: 64, 4, Bits @ 4, DeviceState @ 16, SystemWake @ 44, D3Latency @ 60;
    INTERFACE: 32, 8, Context @ 8, InterfaceReference @ 16;
    BUS_INTERFACE_STANDARD: 64, 8, TranslateBusAddress @ 32, SetBusData @ 48, GetBusData @ 56;
    POWER_STATE: 4, 4;
    IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS: 72, 8, SynchronizeIrql @ 40, Vector @ 44,
        Irql @ 48, InterruptMode @ 52, ProcessorEnableMask @ 56, Group @ 64;
    IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS: 48, 8, SynchronizeIrql @ 40;
    IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS: 56, 8, FallBackServiceRoutine @ 48;
    IO_CONNECT_INTERRUPT_PARAMETERS: 80, 8, u @ 8;
    IO_DISCONNECT_INTERRUPT_PARAMETERS: 16, 8, ConnectionContext @ 8;
    IO_INTERRUPT_MESSAGE_INFO_ENTRY: 48, 8, InterruptObject @ 16, Vector @ 28, Irql @ 32;
    IO_INTERRUPT_MESSAGE_INFO: 56, 8, MessageCount @ 4, MessageInfo @ 8;
    IO_REMOVE_LOCK: 32, 8, IoCount @ 4, RemoveEvent @ 8;
    PNP_BUS_INFORMATION: 24, 4, LegacyBusType @ 16, BusNumber @ 20;
    DEVICE_RELATIONS: 16, 8, Objects @ 8;
    KAPC: 88, 8, NormalContext @ 56, Inserted @ 82;
    KDEVICE_QUEUE: 40, 8, Lock @ 24, Busy @ 32;
    KDEVICE_QUEUE_ENTRY: 24, 8, Inserted @ 20;
    WAIT_CONTEXT_BLOCK: 72, 8, DeviceRoutine @ 24, BufferChainingDpc @ 64;
    IO_STATUS_BLOCK: 16, 8, Information @ 8;
}

/// Numbers of the I/O manager's and PnP manager's protocol.
pub mod consts;
pub use consts::*;
