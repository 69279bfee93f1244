//! What a child can do (`IRP_MN_QUERY_CAPABILITIES`).

use wdm::pnp::DevicePower;
use wdm::status::Status;
use xenbus_core::children::may_be_taken_out;

use super::Pdo;
use super::pnp::Outcome;

/// `DEVICE_CAPABILITIES`, version 1.
#[repr(C)]
struct Capabilities {
    size: u16,
    version: u16,
    bits: u32,
    address: u32,
    ui_number: u32,
    device_state: [u32; 7],
    system_wake: u32,
    device_wake: u32,
    latencies: [u32; 3],
}

const _: () = {
    assert!(size_of::<Capabilities>() == 64 && align_of::<Capabilities>() == 4);
    assert!(core::mem::offset_of!(Capabilities, bits) == 4);
    assert!(core::mem::offset_of!(Capabilities, device_state) == 16);
    assert!(core::mem::offset_of!(Capabilities, system_wake) == 44);
    assert!(core::mem::offset_of!(Capabilities, latencies) == 52);
};

const EJECT_SUPPORTED: u32 = 1 << 3;
const REMOVABLE: u32 = 1 << 4;
const UNIQUE_ID: u32 = 1 << 6;
const SILENT_INSTALL: u32 = 1 << 7;
const SURPRISE_REMOVAL_OK: u32 = 1 << 9;

/// No address, no number on the case.
const NONE: u32 = u32::MAX;
/// `PowerDeviceUnspecified`, `PowerSystemUnspecified`.
const UNSPECIFIED: u32 = 0;

impl Pdo {
    pub(super) fn query_capabilities(&self, parameters: [usize; 4]) -> Outcome {
        let target = core::ptr::with_exposed_provenance_mut::<Capabilities>(parameters[0]);
        // SAFETY: PnP passes a structure of at least its header.
        let size = unsafe { (*target).size };
        // SAFETY: as above.
        let version = unsafe { (*target).version };
        if version != 1 || usize::from(size) < size_of::<Capabilities>() {
            return Outcome::Failed(Status::INVALID_PARAMETER);
        }
        let class = self.child.class();
        let default = u32::from(may_be_taken_out(&class));
        let allowed = |name: &str| self.parent.class_option(&class, name).unwrap_or(default) != 0;
        let mut bits = UNIQUE_ID | SILENT_INSTALL;
        if allowed("AllowPdoRemove") {
            bits |= REMOVABLE | SURPRISE_REMOVAL_OK;
        }
        if allowed("AllowPdoEject") {
            bits |= EJECT_SUPPORTED;
        }
        // On while the system works, off in every sleep state. Index 0 stands for no state.
        let state_of = |system| match system {
            0 => UNSPECIFIED,
            _ => DevicePower::for_system(system) as u32,
        };
        let capabilities = Capabilities {
            size,
            version,
            bits,
            // The number below device/vif, by which the driver above knows its interface.
            address: self.child.number().unwrap_or(NONE),
            ui_number: NONE,
            device_state: core::array::from_fn(|system| state_of(system as u32)),
            system_wake: UNSPECIFIED,
            device_wake: UNSPECIFIED,
            latencies: [0; 3],
        };
        // SAFETY: PnP passes a structure of the size that it says, which was checked.
        unsafe { target.write(capabilities) };
        Outcome::Done(0)
    }
}
