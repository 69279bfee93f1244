//! The platform device's interrupts: its line, and one message a processor.
//!
//! The device has no MSI capability. The messages are interrupt vectors that the HAL hands out because
//! `FILTER_RESOURCE_REQUIREMENTS` asked for them; Xen is told their numbers and raises them. So they are hidden
//! from the PCI driver when the device is started.

use rust_alloc::vec::Vec;
use wdm::alloc::{Paged, Shared};
use wdm::cpu;
use wdm::interrupt::Interrupt;
use wdm::resources::{self, DEVICE_PRIVATE, Requirement};
use wdm::status::{Result, Status};

use crate::fdo::Fdo;
use crate::provider::{StartInfo, Vector};

/// An interrupt that was assigned.
struct Assigned {
    translated: resources::Interrupt,
    /// The line's number at the interrupt controller (GSI).
    raw_vector: u32,
    /// The processor that it interrupts.
    cpu: u32,
}

/// The interrupts assigned to the device.
#[derive(Default)]
pub struct Vectors {
    line: Option<Assigned>,
    messages: Vec<Assigned>,
}

impl Vectors {
    /// Takes the interrupts out of a start request's lists and hides the messages from the drivers below.
    /// PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    ///
    /// # Safety
    /// The lists are those of the start request, which correspond to each other element by element.
    pub unsafe fn take(raw: *mut u8, translated: *mut u8) -> Result<Self> {
        let mut raws = Vec::new();
        let mut result = Ok(());
        // SAFETY: the caller's promise.
        unsafe {
            resources::for_each(raw, |_, descriptor| {
                match raws.try_reserve(1) {
                    Ok(()) => raws.push(*descriptor),
                    Err(_) => result = Err(Status::INSUFFICIENT_RESOURCES),
                }
                hide_message(descriptor);
            });
        }
        result?;
        let mut vectors = Self::default();
        // SAFETY: the caller's promise.
        unsafe {
            resources::for_each(translated, |index, descriptor| {
                let raw = raws.get(index).and_then(resources::Descriptor::interrupt);
                if let (Some(translated), Some(raw)) = (descriptor.interrupt(), raw) {
                    vectors.add(translated, raw.vector);
                }
                hide_message(descriptor);
            });
        }
        Ok(vectors)
    }

    fn add(&mut self, translated: resources::Interrupt, raw_vector: u32) {
        let number = translated.affinity.trailing_zeros() as u8;
        let Some(cpu) = cpu::index_of(translated.group, number) else {
            wdm::warn!(
                "vector {:#x} is for no processor of ours",
                translated.vector
            );
            return;
        };
        let assigned = Assigned {
            translated,
            raw_vector,
            cpu,
        };
        if !translated.message {
            self.line = Some(assigned);
        } else if self.messages.try_reserve(1).is_ok() {
            self.messages.push(assigned);
        }
    }

    /// What Xen is told.
    pub fn start_info(&self, interrupts: &Interrupts) -> StartInfo {
        let connected = |assigned: &&Assigned| interrupts.has_message(assigned.translated.vector);
        let mut messages = Vec::new();
        if messages.try_reserve_exact(self.messages.len()).is_ok() {
            let vectors = self.messages.iter().filter(connected);
            messages.extend(vectors.map(|one| Vector {
                cpu: one.cpu,
                vector: one.translated.vector as u8,
            }));
        }
        StartInfo {
            line: self.line.as_ref().map(|line| line.raw_vector),
            messages,
        }
    }
}

fn hide_message(descriptor: &mut resources::Descriptor) {
    if descriptor
        .interrupt()
        .is_some_and(|interrupt| interrupt.message)
    {
        descriptor.kind = DEVICE_PRIVATE;
    }
}

/// The device's requirements with one message for each processor, and the line on the first. PASSIVE_LEVEL.
///
/// # Errors
/// `INSUFFICIENT_RESOURCES`, or `INVALID_PARAMETER` if the list cannot be read.
///
/// # Safety
/// `list` is the list of a `FILTER_RESOURCE_REQUIREMENTS` request.
pub unsafe fn extend(list: *const u8) -> Result<Paged> {
    let first = cpu::number_of(0)?;
    let mut messages = Vec::new();
    let count = cpu::count();
    messages
        .try_reserve_exact(count as usize)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..count {
        let number = cpu::number_of(index)?;
        messages.push(Requirement::message_on(number.Group, number.Number));
    }
    let pin = |requirement: &Requirement| {
        if requirement.is_line_interrupt() {
            requirement.on_processor(first.Group, first.Number)
        } else {
            *requirement
        }
    };
    // The list of an earlier start may come again; it has its messages already.
    // SAFETY: the caller's promise.
    if unsafe { resources::any_requirement(list, Requirement::is_message_interrupt) }? {
        messages.clear();
    }
    // SAFETY: the caller's promise.
    unsafe { resources::extend_requirements(list, pin, &messages) }
}

/// What an interrupt routine needs.
struct Context {
    fdo: Shared<Fdo>,
    cpu: u32,
}

/// The connected interrupts; dropping them disconnects.
pub struct Interrupts {
    _line: Option<Interrupt<Context>>,
    messages: Vec<(u32, Interrupt<Context>)>,
}

impl Interrupts {
    /// Connects the line and as many messages as there are. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The line cannot be connected, or there is no interrupt at all.
    pub fn connect(fdo: &Shared<Fdo>, vectors: &Vectors) -> Result<Self> {
        let connect = |assigned: &Assigned| {
            let context = Context {
                fdo: fdo.clone(),
                cpu: assigned.cpu,
            };
            Interrupt::connect(fdo.physical(), &assigned.translated, context, interrupted)
        };
        let line = vectors.line.as_ref().map(connect).transpose()?;
        let mut messages = Vec::new();
        let count = vectors.messages.len();
        messages
            .try_reserve_exact(count)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        for assigned in &vectors.messages {
            let vector = assigned.translated.vector;
            match connect(assigned) {
                Ok(interrupt) => messages.push((vector, interrupt)),
                Err(status) => wdm::warn!("vector {vector:#x} is not used: {status}"),
            }
        }
        if line.is_none() && messages.is_empty() {
            wdm::error!("the platform device was given no interrupt");
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let gsi = vectors.line.as_ref().map(|line| line.raw_vector);
        wdm::info!(
            "interrupts: line {gsi:?}, {} of {count} messages",
            messages.len()
        );
        Ok(Self {
            _line: line,
            messages,
        })
    }

    fn has_message(&self, vector: u32) -> bool {
        self.messages.iter().any(|message| message.0 == vector)
    }
}

/// The interrupt routine, at device IRQL.
fn interrupted(context: &Context) -> bool {
    context.fdo.providers().interrupt(context.cpu)
}
