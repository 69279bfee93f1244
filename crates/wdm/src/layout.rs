//! The layouts that this layer relies on, asserted against the WDK's (10.0.26100, x64). The headers that a Linux
//! build uses differ from the WDK's in places; none of those may matter here.

use core::mem::offset_of;

use wdk_sys::{
    BUS_INTERFACE_STANDARD, DEVICE_OBJECT, DRIVER_EXTENSION, DRIVER_OBJECT, GROUP_AFFINITY,
    IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS, IO_CONNECT_INTERRUPT_PARAMETERS,
    IO_DISCONNECT_INTERRUPT_PARAMETERS, IO_REMOVE_LOCK, IO_STACK_LOCATION, IO_STATUS_BLOCK, IRP,
    KDPC, KEVENT, LARGE_INTEGER, MDL, OBJECT_ATTRIBUTES, PROCESSOR_NUMBER, UNICODE_STRING,
};

macro_rules! layout {
    ($($type:ident: $size:literal { $($field:ident: $offset:literal),* })*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size, "a structure's size is not the WDK's");
            $(assert!(offset_of!($type, $field) == $offset, "a field's offset is not the WDK's");)*
        };)*
    };
}

layout! {
    BUS_INTERFACE_STANDARD: 64 { Context: 8, InterfaceDereference: 24, GetBusData: 56 }
    DRIVER_EXTENSION: 40 { AddDevice: 8, ServiceKeyName: 24 }
    DRIVER_OBJECT: 336 { DriverExtension: 48, DriverUnload: 104, MajorFunction: 112 }
    GROUP_AFFINITY: 16 { Mask: 0, Group: 8 }
    IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS: 72 {
        PhysicalDeviceObject: 0, InterruptObject: 8, ServiceRoutine: 16, ServiceContext: 24,
        SpinLock: 32, SynchronizeIrql: 40, FloatingSave: 41, ShareVector: 42, Vector: 44, Irql: 48,
        InterruptMode: 52, ProcessorEnableMask: 56, Group: 64
    }
    IO_CONNECT_INTERRUPT_PARAMETERS: 80 { Version: 0, __bindgen_anon_1: 8 }
    IO_DISCONNECT_INTERRUPT_PARAMETERS: 16 { Version: 0, ConnectionContext: 8 }
    IO_REMOVE_LOCK: 32 {}
    IO_STACK_LOCATION: 72 { Parameters: 8, DeviceObject: 40, CompletionRoutine: 56, Context: 64 }
    IO_STATUS_BLOCK: 16 { Information: 8 }
    KDPC: 64 {}
    KEVENT: 24 {}
    LARGE_INTEGER: 8 {}
    MDL: 48 { MdlFlags: 10, MappedSystemVa: 24, StartVa: 32, ByteCount: 40, ByteOffset: 44 }
    OBJECT_ATTRIBUTES: 48 { RootDirectory: 8, ObjectName: 16, Attributes: 24, SecurityDescriptor: 32 }
    PROCESSOR_NUMBER: 4 { Number: 2 }
    UNICODE_STRING: 16 { Length: 0, MaximumLength: 2, Buffer: 8 }
}

// These two are larger or more aligned in the WDK's headers than in others: they are only ever made by the
// kernel and used through pointers, so the offsets of the fields used are what counts.
const _: () = {
    assert!(offset_of!(DEVICE_OBJECT, DriverObject) == 8);
    assert!(offset_of!(DEVICE_OBJECT, AttachedDevice) == 24);
    assert!(offset_of!(DEVICE_OBJECT, Flags) == 48);
    assert!(offset_of!(DEVICE_OBJECT, DeviceExtension) == 64);
    assert!(offset_of!(DEVICE_OBJECT, StackSize) == 76);
    assert!(offset_of!(IRP, IoStatus) == 48);
    assert!(offset_of!(IRP, PendingReturned) == 65);
    assert!(offset_of!(IRP, CurrentLocation) == 67);
    assert!(size_of::<IRP>() == 208);
};
