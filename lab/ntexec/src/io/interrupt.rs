//! IoConnectInterruptEx: line based, fully specified and message based, on the resources that PnP assigned.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ffi::c_void;

use crate::check::violation;
use crate::ke::interrupt::{Connect, connect, disconnect};
use crate::machine::LineConfig;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;
use crate::pnp::resources::Interrupt;
use crate::sync::Lock;

/// What raises a vector.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// True for a level-triggered line
    pub level: bool,
    /// The line; `None` for messages, and for lines that no hardware has
    pub line: Option<LineConfig>,
}

/// What is behind vectors, as the arbiter gave them out.
static SOURCES: Lock<BTreeMap<u8, Source>> = Lock::new(BTreeMap::new());

/// Notes what raises a vector.
pub fn set_source(vector: u8, source: Option<Source>) {
    match source {
        Some(source) => SOURCES.lock().insert(vector, source),
        None => SOURCES.lock().remove(&vector),
    };
}

fn source(vector: u8) -> Option<Source> {
    SOURCES.lock().get(&vector).copied()
}

/// The connections that one call made, by what the driver got for it.
static MADE: Lock<BTreeMap<usize, Vec<usize>>> = Lock::new(BTreeMap::new());

fn service(
    routine: Option<KSERVICE_ROUTINE>,
) -> Result<crate::ke::interrupt::ServiceRoutine, NTSTATUS> {
    let routine = routine.ok_or(STATUS_INVALID_PARAMETER)?;
    // SAFETY: on x64 a routine of two parameters may be called with three: the third is in a volatile register.
    Ok(unsafe {
        core::mem::transmute::<KSERVICE_ROUTINE, crate::ke::interrupt::ServiceRoutine>(routine)
    })
}

unsafe fn fully_specified(p: &IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS) -> NTSTATUS {
    let Ok(vector) = u8::try_from(p.Vector) else {
        return STATUS_INVALID_PARAMETER;
    };
    let Some(Source { level, line }) = source(vector) else {
        violation(
            "interrupt parameters",
            format_args!("vector {vector:#x} was assigned to no device"),
        );
        return STATUS_INVALID_PARAMETER;
    };
    let expected = if level { LevelSensitive } else { Latched };
    if p.InterruptMode != expected || p.Irql > p.SynchronizeIrql {
        violation(
            "interrupt parameters",
            format_args!(
                "vector {vector:#x}: mode {} irql {}",
                p.InterruptMode, p.Irql
            ),
        );
        return STATUS_INVALID_PARAMETER;
    }
    let made = service(p.ServiceRoutine).and_then(|routine| {
        connect(&Connect {
            routine,
            context: p.ServiceContext,
            lock: p.SpinLock,
            vector,
            synchronize_irql: p.SynchronizeIrql,
            message: 0,
            line,
        })
    });
    match made {
        Ok(interrupt) => {
            *p.InterruptObject = interrupt.cast();
            MADE.lock()
                .insert(interrupt as usize, Vec::from([interrupt as usize]));
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

unsafe fn line_based(p: &IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS) -> NTSTATUS {
    let interrupts = crate::pnp::interrupts(p.PhysicalDeviceObject);
    let Some(i) = interrupts.iter().find(|i| !i.message) else {
        return STATUS_NOT_FOUND;
    };
    fully_specified(&IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
        PhysicalDeviceObject: p.PhysicalDeviceObject,
        InterruptObject: p.InterruptObject,
        ServiceRoutine: p.ServiceRoutine,
        ServiceContext: p.ServiceContext,
        SpinLock: p.SpinLock,
        SynchronizeIrql: p.SynchronizeIrql.max(i.irql),
        FloatingSave: p.FloatingSave,
        ShareVector: 1,
        Vector: i.vector.into(),
        Irql: i.irql,
        InterruptMode: if i.level { LevelSensitive } else { Latched },
        ProcessorEnableMask: i.affinity,
        Group: 0,
    })
}

unsafe fn connect_messages(
    p: &IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS,
    messages: &[Interrupt],
) -> Result<*mut c_void, NTSTATUS> {
    let routine = p.MessageServiceRoutine.ok_or(STATUS_INVALID_PARAMETER)?;
    let unified = messages
        .iter()
        .map(|m| m.irql)
        .max()
        .unwrap_or(0)
        .max(p.SynchronizeIrql);
    let mut made: Vec<usize> = Vec::new();
    for (n, m) in messages.iter().enumerate() {
        let one = connect(&Connect {
            routine: core::mem::transmute::<
                KMESSAGE_SERVICE_ROUTINE,
                crate::ke::interrupt::ServiceRoutine,
            >(routine),
            context: p.ServiceContext,
            lock: p.SpinLock,
            vector: m.vector,
            synchronize_irql: if p.SpinLock.is_null() {
                m.irql.max(p.SynchronizeIrql)
            } else {
                unified
            },
            message: n as u32,
            line: None,
        });
        match one {
            Ok(i) => made.push(i as usize),
            Err(status) => {
                for i in made {
                    disconnect(i as *mut crate::ke::interrupt::KINTERRUPT);
                }
                return Err(status);
            }
        }
    }
    let head = size_of::<IO_INTERRUPT_MESSAGE_INFO>();
    let bytes = head + messages.len() * size_of::<IO_INTERRUPT_MESSAGE_INFO_ENTRY>();
    let table = Box::leak(alloc::vec![0u64; bytes.div_ceil(8)].into_boxed_slice()).as_mut_ptr();
    let info = table.cast::<IO_INTERRUPT_MESSAGE_INFO>();
    (*info).UnifiedIrql = unified;
    (*info).MessageCount = messages.len() as u32;
    let entries = (&raw mut (*info).MessageInfo).cast::<IO_INTERRUPT_MESSAGE_INFO_ENTRY>();
    for (n, (m, i)) in messages.iter().zip(&made).enumerate() {
        entries.add(n).write(IO_INTERRUPT_MESSAGE_INFO_ENTRY {
            MessageAddress: 0,
            TargetProcessorSet: m.affinity,
            InterruptObject: *i as *mut KINTERRUPT,
            MessageData: m.vector.into(),
            Vector: m.vector.into(),
            Irql: m.irql,
            Mode: Latched,
            Polarity: 0,
        });
    }
    MADE.lock().insert(table as usize, made);
    Ok(table.cast())
}

unsafe fn message_based(parameters: *mut IO_CONNECT_INTERRUPT_PARAMETERS) -> NTSTATUS {
    let p = (*parameters).u.MessageBased;
    let messages: Vec<Interrupt> = crate::pnp::interrupts(p.PhysicalDeviceObject)
        .into_iter()
        .filter(|i| i.message)
        .collect();
    if !messages.is_empty() {
        return match connect_messages(&p, &messages) {
            Ok(table) => {
                *p.ConnectionContext = table;
                STATUS_SUCCESS
            }
            Err(status) => status,
        };
    }
    if p.FallBackServiceRoutine.is_none() {
        return STATUS_NOT_FOUND;
    }
    let status = line_based(&IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS {
        PhysicalDeviceObject: p.PhysicalDeviceObject,
        InterruptObject: p.ConnectionContext.cast(),
        ServiceRoutine: p.FallBackServiceRoutine,
        ServiceContext: p.ServiceContext,
        SpinLock: p.SpinLock,
        SynchronizeIrql: p.SynchronizeIrql,
        FloatingSave: p.FloatingSave,
    });
    if status == STATUS_SUCCESS {
        // The driver learns that it has a line, and disconnects with this version.
        (*parameters).Version = CONNECT_LINE_BASED;
    }
    status
}

/// IoConnectInterruptEx: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoConnectInterruptEx(
    parameters: *mut IO_CONNECT_INTERRUPT_PARAMETERS,
) -> NTSTATUS {
    match (*parameters).Version {
        CONNECT_FULLY_SPECIFIED => fully_specified(&(*parameters).u.FullySpecified),
        CONNECT_FULLY_SPECIFIED_GROUP if (*parameters).u.FullySpecified.Group == 0 => {
            fully_specified(&(*parameters).u.FullySpecified)
        }
        CONNECT_LINE_BASED => line_based(&(*parameters).u.LineBased),
        CONNECT_MESSAGE_BASED => message_based(parameters),
        _ => STATUS_INVALID_PARAMETER,
    }
}

/// IoDisconnectInterruptEx: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoDisconnectInterruptEx(
    parameters: *mut IO_DISCONNECT_INTERRUPT_PARAMETERS,
) {
    let context = (*parameters).ConnectionContext;
    let Some(made) = MADE.lock().remove(&(context as usize)) else {
        violation(
            "interrupt",
            format_args!("IoDisconnectInterruptEx of {context:p}, which is not connected"),
        );
        return;
    };
    let table = (*parameters).Version == CONNECT_MESSAGE_BASED;
    if table == (made.first() == Some(&(context as usize))) {
        violation(
            "0xCA/9 wrong version",
            format_args!("disconnected with version {}", (*parameters).Version),
        );
    }
    for i in &made {
        disconnect(*i as *mut crate::ke::interrupt::KINTERRUPT);
    }
    if made.first() != Some(&(context as usize)) {
        let bytes = size_of::<IO_INTERRUPT_MESSAGE_INFO>()
            + made.len() * size_of::<IO_INTERRUPT_MESSAGE_INFO_ENTRY>();
        let words = core::ptr::slice_from_raw_parts_mut(context.cast::<u64>(), bytes.div_ceil(8));
        drop(Box::from_raw(words));
    }
}

/// How many interrupt connections there are.
pub fn connections() -> usize {
    MADE.lock().len()
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl { IoConnectInterruptEx, IoDisconnectInterruptEx }
}

#[cfg(test)]
mod tests;
