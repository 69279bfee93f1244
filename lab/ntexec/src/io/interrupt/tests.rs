//! The three ways to connect, on a device that PnP gave a line, messages, or both.

use super::*;
use crate::nt::ke::PVOID;
use crate::pnp::resources::want_line;
use crate::testing::{Turn, machine};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};

/// Calls of the service routines: of the line's, and of the messages' by number.
static LINE: AtomicU32 = AtomicU32::new(0);
static MESSAGES: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

unsafe extern "win64" fn line(_: *mut KINTERRUPT, _: PVOID) -> u8 {
    LINE.fetch_add(1, Ordering::Relaxed);
    1
}

unsafe extern "win64" fn message(_: *mut KINTERRUPT, _: PVOID, number: u32) -> u8 {
    MESSAGES[number as usize].fetch_add(1, Ordering::Relaxed);
    1
}

/// A device with interrupts.
struct Device {
    pdo: *mut DEVICE_OBJECT,
    interrupts: Vec<Interrupt>,
    turn: Turn,
}

impl Device {
    /// One line, and two messages if they are wanted.
    fn new(messages: bool) -> Self {
        let turn = machine();
        let message = |processor: usize| {
            let mut d = want_line(CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN);
            d.Flags = CM_RESOURCE_INTERRUPT_LATCHED | CM_RESOURCE_INTERRUPT_MESSAGE;
            d.u.Interrupt.AffinityPolicy = IrqPolicySpecifiedProcessors;
            d.u.Interrupt.TargetedProcessors = processor;
            d
        };
        let list = [want_line(300), message(1), message(1)];
        let list = crate::pnp::resources::io_list(PCIBus, 0, 0, &list);
        let mut aligned = alloc::vec![0u64; list.len().div_ceil(8)];
        // SAFETY: a copy into a buffer of at least that size; the list is well formed; this test has the machine.
        let (pdo, interrupts) = unsafe {
            core::ptr::copy_nonoverlapping(list.as_ptr(), aligned.as_mut_ptr().cast(), list.len());
            let assigned = crate::pnp::resources::arbitrate(
                aligned.as_ptr().cast(),
                messages,
                &mut crate::pnp::arbiter::Machine,
            )
            .unwrap();
            let interrupts = assigned.interrupts.clone();
            (crate::pnp::tests::device_with(assigned), interrupts)
        };
        LINE.store(0, Ordering::Relaxed);
        MESSAGES.iter().for_each(|m| m.store(0, Ordering::Relaxed));
        Self {
            pdo,
            interrupts,
            turn,
        }
    }

    /// All that the device can raise is raised once; the calls of the line's routine and of the messages'.
    fn raise(&self) -> (u32, [u32; 2]) {
        for i in &self.interrupts {
            let old = crate::ke::KfRaiseIrql(i.irql);
            crate::ke::interrupt::dispatch(i.vector);
            crate::ke::pcr::set_irql(i.irql);
            crate::ke::KeLowerIrql(old);
        }
        let read = |count: &AtomicU32| count.swap(0, Ordering::Relaxed);
        (read(&LINE), [read(&MESSAGES[0]), read(&MESSAGES[1])])
    }

    fn disconnect(&self, version: u32, context: *mut c_void) {
        let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
            Version: version,
            ConnectionContext: context,
        };
        // SAFETY: what was connected before.
        unsafe { IoDisconnectInterruptEx(&mut parameters) };
    }

    fn messages(
        &self,
        context: *mut *mut c_void,
        fallback: bool,
    ) -> IO_CONNECT_INTERRUPT_PARAMETERS {
        IO_CONNECT_INTERRUPT_PARAMETERS {
            Version: CONNECT_MESSAGE_BASED,
            u: IO_CONNECT_U {
                MessageBased: IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS {
                    PhysicalDeviceObject: self.pdo,
                    ConnectionContext: context,
                    MessageServiceRoutine: Some(message),
                    ServiceContext: null_mut(),
                    SpinLock: null_mut(),
                    SynchronizeIrql: 0,
                    FloatingSave: 0,
                    FallBackServiceRoutine: fallback.then_some(line as KSERVICE_ROUTINE),
                },
            },
        }
    }

    fn complaints(&self) -> usize {
        let log = self.turn.log();
        log.iter().filter(|l| l.contains("violation")).count()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: made by `device_with`; nothing is connected any more.
        unsafe { crate::pnp::tests::drop_device(self.pdo) };
    }
}

#[test]
fn a_fully_specified_connection_is_to_the_vector_that_it_names() {
    let device = Device::new(true);
    let i = device.interrupts[0];
    let mut object = null_mut();
    let full =
        |vector: u32, mode: u32, object: *mut *mut KINTERRUPT| IO_CONNECT_INTERRUPT_PARAMETERS {
            Version: CONNECT_FULLY_SPECIFIED,
            u: IO_CONNECT_U {
                FullySpecified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
                    PhysicalDeviceObject: device.pdo,
                    InterruptObject: object,
                    ServiceRoutine: Some(line),
                    ServiceContext: null_mut(),
                    SpinLock: null_mut(),
                    SynchronizeIrql: i.irql,
                    FloatingSave: 0,
                    ShareVector: 1,
                    Vector: vector,
                    Irql: i.irql,
                    InterruptMode: mode,
                    ProcessorEnableMask: i.affinity,
                    Group: 0,
                },
            },
        };
    // SAFETY: parameters of this test.
    unsafe {
        let right = IoConnectInterruptEx(&mut full(i.vector.into(), LevelSensitive, &mut object));
        assert_eq!((right, device.complaints()), (STATUS_SUCCESS, 0));
        assert_eq!(device.raise(), (1, [0, 0]));
        device.disconnect(CONNECT_FULLY_SPECIFIED, object.cast());
        assert_eq!(device.raise(), (0, [0, 0]));
        for wrong in [(i.vector.into(), Latched), (0x40, LevelSensitive)] {
            let status = IoConnectInterruptEx(&mut full(wrong.0, wrong.1, &mut object));
            assert_eq!((status, device.complaints()), (STATUS_INVALID_PARAMETER, 1));
        }
    }
}

#[test]
fn a_line_based_connection_finds_the_line_by_the_device() {
    let device = Device::new(true);
    let mut object = null_mut();
    let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
        Version: CONNECT_LINE_BASED,
        u: IO_CONNECT_U {
            LineBased: IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS {
                PhysicalDeviceObject: device.pdo,
                InterruptObject: &mut object,
                ServiceRoutine: Some(line),
                ServiceContext: null_mut(),
                SpinLock: null_mut(),
                SynchronizeIrql: 0,
                FloatingSave: 0,
            },
        },
    };
    // SAFETY: parameters of this test.
    let status = unsafe { IoConnectInterruptEx(&mut parameters) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(device.raise(), (1, [0, 0]));
    device.disconnect(CONNECT_LINE_BASED, object.cast());
    assert_eq!(device.complaints(), 0);
}

#[test]
fn a_message_based_connection_gets_every_message_with_its_number() {
    let device = Device::new(true);
    let mut context = null_mut();
    let mut parameters = device.messages(&mut context, true);
    // SAFETY: parameters of this test.
    let status = unsafe { IoConnectInterruptEx(&mut parameters) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(parameters.Version, CONNECT_MESSAGE_BASED);
    // SAFETY: the table that the call made.
    let count = unsafe { (*context.cast::<IO_INTERRUPT_MESSAGE_INFO>()).MessageCount };
    assert_eq!(count, 2);
    assert_eq!(device.raise(), (0, [1, 1]));
    device.disconnect(CONNECT_MESSAGE_BASED, context);
    assert_eq!((device.raise(), device.complaints()), ((0, [0, 0]), 0));
}

#[test]
fn without_messages_a_message_based_connection_falls_back_to_the_line_if_it_may() {
    let device = Device::new(false);
    let mut context = null_mut();
    // SAFETY: parameters of this test.
    let refused = unsafe { IoConnectInterruptEx(&mut device.messages(&mut context, false)) };
    assert_eq!(refused, STATUS_NOT_FOUND);
    let mut parameters = device.messages(&mut context, true);
    // SAFETY: parameters of this test.
    let status = unsafe { IoConnectInterruptEx(&mut parameters) };
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(parameters.Version, CONNECT_LINE_BASED);
    assert_eq!(device.raise(), (1, [0, 0]));
    device.disconnect(CONNECT_LINE_BASED, context);
    assert_eq!(device.complaints(), 0);
}

#[test]
fn a_disconnection_with_another_version_than_the_connections_is_reported() {
    let device = Device::new(true);
    let mut context = null_mut();
    let mut parameters = device.messages(&mut context, true);
    // SAFETY: parameters of this test.
    let status = unsafe { IoConnectInterruptEx(&mut parameters) };
    assert_eq!(status, STATUS_SUCCESS);
    device.disconnect(CONNECT_LINE_BASED, context);
    assert_eq!(device.complaints(), 1);
}
