//! What the port keeps of an adapter, and how a miniport's device extension leads to it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use super::completion::CpuQueue;
use super::outstanding::Outstanding;
use super::queue::Gate;
use super::request::Request;
use super::srb::Address;
use super::timeout::Reset;
use super::timers::{HwTimerCall, PortTimer};
use super::unit::Unit;
use crate::nt::io::{DEVICE_OBJECT, DRIVER_OBJECT, KINTERRUPT};
use crate::nt::ke::{KDPC, KIRQL, KSPIN_LOCK, KTIMER};
use crate::nt::storport::{
    AccessRange, HwBoolean, HwInitializationData, PortConfigurationInformation,
};
use crate::sync::Lock;

/// Where an adapter is in its life, as the rules on calls need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Phase {
    /// Made by AddDevice, or stopped
    Idle,
    /// In HwFindAdapter
    Finding,
    /// Between HwFindAdapter and HwInitialize
    Found,
    /// In HwInitialize
    Initializing,
    /// In HwPassiveInitializeRoutine
    PassiveInitializing,
    /// Takes requests
    Running,
    /// Stopping: nothing goes out any more
    Stopping,
}

impl Phase {
    fn from_raw(raw: u32) -> Self {
        [
            Self::Idle,
            Self::Finding,
            Self::Found,
            Self::Initializing,
            Self::PassiveInitializing,
            Self::Running,
            Self::Stopping,
        ]
        .into_iter()
        .find(|phase| *phase as u32 == raw)
        .unwrap_or(Self::Idle)
    }
}

/// What is shared between processors and interrupt levels.
pub(crate) struct State {
    /// What the miniport owns, by SRB
    pub outstanding: Outstanding<*mut Request>,
    /// SRBs that the miniport completed and whose DPC has not come to them yet
    pub gate: Gate,
    /// Until LinkUp, or the time out
    pub link_down: Option<u64>,
    /// The units that the last scan found, or that still have a device object
    pub units: Vec<*mut Unit>,
    /// The reset under way
    pub reset: Option<Reset>,
    /// The next request tag
    pub tag: u32,
    /// The address that the scan asks now, and the depth that the miniport set for it
    pub probe: Option<(Address, Option<u32>)>,
}

/// Register windows that the miniport mapped.
pub(crate) struct Mapping {
    pub address: *mut c_void,
    pub length: usize,
    pub io_space: bool,
}

/// What StorPortInitializePerfOpts set.
#[derive(Default)]
pub(crate) struct Performance {
    pub flags: AtomicU32,
    pub channels: AtomicU32,
}

/// An adapter.
pub(crate) struct Adapter {
    pub fdo: *mut DEVICE_OBJECT,
    pub pdo: *mut DEVICE_OBJECT,
    pub lower: *mut DEVICE_OBJECT,
    pub driver: *mut DRIVER_OBJECT,
    pub name: alloc::string::String,
    pub number: u32,
    pub init: HwInitializationData,
    pub phase: AtomicU32,
    /// HwDeviceExtension; null before the first start
    pub extension: AtomicPtr<c_void>,
    pub config: Box<PortConfigurationInformation>,
    pub access_ranges: Vec<AccessRange>,
    pub mappings: Lock<Vec<Mapping>>,
    pub uncached: AtomicPtr<c_void>,
    pub uncached_size: AtomicU32,
    pub passive: Lock<Option<HwBoolean>>,
    pub controls: AtomicU32,
    pub unit_controls: AtomicU32,
    pub bus_type: AtomicU32,
    pub performance: Performance,
    pub state: Lock<State>,
    pub start_io_lock: KSPIN_LOCK,
    pub interrupt_lock: KSPIN_LOCK,
    pub dpc_lock: KSPIN_LOCK,
    pub interrupt: *mut KINTERRUPT,
    pub dirql: KIRQL,
    #[expect(clippy::vec_box, reason = "the queued DPC objects must not move")]
    pub completions: Vec<Box<CpuQueue>>,
    pub tick: Box<(KTIMER, KDPC)>,
    pub timer_call: Box<HwTimerCall>,
    pub timers: Lock<Vec<*mut PortTimer>>,
    pub initialized_dpcs: Lock<Vec<usize>>,
    /// Blocks that StorPortAllocatePool gave and that were not given back
    pub pool: Lock<Vec<usize>>,
    pub rescan: AtomicBool,
    /// Requests stay in their queues: the adapter is about to be stopped, and is not started again yet
    pub holding: AtomicBool,
    pub removed: AtomicBool,
}

// SAFETY: the fields that change after the start are atomics, behind locks, or NT objects with their own rules.
unsafe impl Sync for Adapter {}
// SAFETY: see above; raw pointers in the locked state name requests and units that the port itself owns.
unsafe impl Send for State {}
// SAFETY: an address of mapped memory, and its length.
unsafe impl Send for Mapping {}

/// What lies right before a miniport's device extension.
#[repr(C, align(16))]
struct ExtensionHead {
    magic: u64,
    adapter: *mut Adapter,
}
const MAGIC: u64 = u64::from_le_bytes(*b"StorPort");

impl Adapter {
    /// The phase.
    pub fn phase(&self) -> Phase {
        Phase::from_raw(self.phase.load(Ordering::Acquire))
    }

    /// Enters a phase.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Release);
    }

    /// The start value of the phase field.
    pub fn idle() -> AtomicU32 {
        AtomicU32::new(Phase::Idle as u32)
    }

    /// HwDeviceExtension.
    pub fn hw(&self) -> *mut c_void {
        self.extension.load(Ordering::Acquire)
    }

    /// True if the miniport takes STORAGE_REQUEST_BLOCKs.
    pub fn extended(&self) -> bool {
        self.config.srb_type == crate::nt::storport::SRB_TYPE_STORAGE_REQUEST_BLOCK
    }

    /// True if HwAdapterControl claimed a control type.
    pub fn controls(&self, control: u32) -> bool {
        control < 32 && self.controls.load(Ordering::Acquire) & (1 << control) != 0
    }

    /// True if HwUnitControl claimed a control type.
    pub fn unit_controls(&self, control: u32) -> bool {
        control < 32 && self.unit_controls.load(Ordering::Acquire) & (1 << control) != 0
    }

    /// The size of the block that holds a device extension of `size` bytes.
    pub fn extension_block(size: u32) -> usize {
        size_of::<ExtensionHead>() + size as usize
    }

    /// Sets up a zeroed block as a device extension of this adapter.
    ///
    /// # Safety
    /// `block` must be of [`Adapter::extension_block`] bytes.
    pub unsafe fn adopt_extension(&self, block: *mut c_void) -> *mut c_void {
        // SAFETY: by the caller's word.
        unsafe {
            block.cast::<ExtensionHead>().write(ExtensionHead {
                magic: MAGIC,
                adapter: core::ptr::from_ref(self).cast_mut(),
            });
            block.cast::<ExtensionHead>().add(1).cast()
        }
    }

    /// The block that a device extension lies in.
    ///
    /// # Safety
    /// `extension` must come from [`Adapter::adopt_extension`].
    pub unsafe fn block_of(extension: *mut c_void) -> *mut c_void {
        // SAFETY: by the caller's word.
        unsafe { extension.cast::<ExtensionHead>().sub(1).cast() }
    }

    /// The adapter that a miniport's device extension belongs to; `None`, and a broken rule, if it is none.
    ///
    /// # Safety
    /// The 16 bytes before `extension` must be readable, unless it is null.
    pub unsafe fn of<'a>(extension: *mut c_void) -> Option<&'a Self> {
        if extension.is_null() {
            crate::check::violation("STORPORT", format_args!("the device extension is NULL"));
            return None;
        }
        // SAFETY: by the caller's word; the magic number says that the port made the block.
        unsafe {
            let head = extension.cast::<ExtensionHead>().sub(1);
            if (*head).magic != MAGIC {
                crate::check::violation(
                    "STORPORT",
                    format_args!("{extension:p} is no device extension"),
                );
                return None;
            }
            Some(&*(*head).adapter)
        }
    }

    /// The unit at an address, if it is known.
    pub fn unit(&self, address: Address) -> Option<*mut Unit> {
        // SAFETY: units in the list are alive.
        self.state
            .lock()
            .units
            .iter()
            .copied()
            .find(|unit| unsafe { (**unit).address == address })
    }
}
