//! A device object's extension: which kind of device it is, and a counted reference to it.

use core::ffi::c_void;

use wdm::alloc::Shared;
use wdm::device::Device;

use crate::fdo::Fdo;
use crate::pdo::Pdo;

/// What a device object stands for. The value is a counted reference: while it is held, the device's
/// state lives, even if its object is deleted meanwhile.
pub enum Target {
    /// The platform device's function device.
    Fdo(Shared<Fdo>),
    /// A child.
    Pdo(Shared<Pdo>),
}

const FDO: usize = 0x4644_4F20;
const PDO: usize = 0x5044_4F20;

/// The extension's contents.
#[repr(C)]
pub struct Extension {
    kind: usize,
    target: *const c_void,
}

/// Bytes to ask for when a device object is created.
pub const SIZE: usize = size_of::<Extension>();

/// Puts a reference into a fresh device object's extension.
///
/// # Safety
/// The device was created by this driver with an extension of [`SIZE`] bytes, and has none yet.
pub unsafe fn install(device: Device, target: Target) {
    let (kind, target) = match target {
        Target::Fdo(fdo) => (FDO, fdo.into_raw()),
        Target::Pdo(pdo) => (PDO, pdo.into_raw()),
    };
    // SAFETY: the caller's promise.
    unsafe {
        device
            .extension()
            .cast::<Extension>()
            .write(Extension { kind, target })
    };
}

/// The target of a device object; `None` if it was taken out.
///
/// # Safety
/// The device was created by this driver with an extension of [`SIZE`] bytes, and exists.
pub unsafe fn target(device: Device) -> Option<Target> {
    // SAFETY: the caller's promise.
    let extension = unsafe { &*device.extension().cast::<Extension>() };
    match extension.kind {
        FDO => {
            // SAFETY: put there by install; the extension keeps its own reference.
            let own = unsafe { Shared::<Fdo>::from_raw(extension.target) };
            let target = Target::Fdo(own.clone());
            core::mem::forget(own);
            Some(target)
        }
        PDO => {
            // SAFETY: put there by install; the extension keeps its own reference.
            let own = unsafe { Shared::<Pdo>::from_raw(extension.target) };
            let target = Target::Pdo(own.clone());
            core::mem::forget(own);
            Some(target)
        }
        _ => None,
    }
}

/// Takes the reference out again, right before the device object is deleted.
///
/// # Safety
/// As for [`target`]; no request reaches the device any more.
pub unsafe fn uninstall(device: Device) -> Option<Target> {
    // SAFETY: the caller's promise.
    let extension = unsafe { &mut *device.extension().cast::<Extension>() };
    let (kind, target) = (extension.kind, extension.target);
    *extension = Extension {
        kind: 0,
        target: core::ptr::null(),
    };
    match kind {
        // SAFETY: put there by install and taken out once.
        FDO => Some(Target::Fdo(unsafe { Shared::from_raw(target) })),
        // SAFETY: put there by install and taken out once.
        PDO => Some(Target::Pdo(unsafe { Shared::from_raw(target) })),
        _ => None,
    }
}
