//! Callback objects. <https://learn.microsoft.com/windows-hardware/drivers/kernel/callback-objects>

use crate::nt::base::OBJECT_ATTRIBUTES;
use crate::nt::ke::{BOOLEAN, NTSTATUS, PVOID};
use crate::nt::status::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS,
};
use crate::ob;
use crate::sync::Lock;
use alloc::vec::Vec;
use core::ffi::c_void;

/// `CALLBACK_FUNCTION`.
pub type CallbackFunction =
    unsafe extern "win64" fn(context: PVOID, argument1: PVOID, argument2: PVOID);

struct Registration {
    id: usize,
    object: usize,
    function: CallbackFunction,
    context: usize,
}

struct Callbacks {
    named: Vec<(Vec<u16>, usize)>,
    registrations: Vec<Registration>,
    next: usize,
}

static CALLBACKS: Lock<Callbacks> = Lock::new(Callbacks {
    named: Vec::new(),
    registrations: Vec::new(),
    next: 1,
});

/// `OBJ_CASE_INSENSITIVE` names differ in case only.
fn same(a: &[u16], b: &[u16]) -> bool {
    let lower = |u: &u16| u8::try_from(*u).map_or(*u, |c| u16::from(c.to_ascii_lowercase()));
    a.len() == b.len() && a.iter().map(lower).eq(b.iter().map(lower))
}

unsafe fn destroy(body: *mut c_void) {
    let mut callbacks = CALLBACKS.lock();
    callbacks.named.retain(|n| n.1 != body as usize);
    callbacks
        .registrations
        .retain(|r| r.object != body as usize);
}

/// `ExCreateCallback`: opens the callback object of that name, or makes it where `Create` says so. At most APC_LEVEL. The
/// system's own (`\Callback\PowerState`, `\Callback\ProcessorAdd`, `\Callback\SetSystemTime`) can be opened always; nothing
/// here notifies them, for the lab's machine neither sleeps nor has its clock set.
pub unsafe extern "win64" fn ExCreateCallback(
    CallbackObject: *mut PVOID,
    ObjectAttributes: *mut OBJECT_ATTRIBUTES,
    Create: BOOLEAN,
    _AllowMultipleCallbacks: BOOLEAN,
) -> NTSTATUS {
    let name = match ObjectAttributes
        .as_ref()
        .and_then(|a| a.ObjectName.as_ref())
    {
        Some(n) => n.units().to_vec(),
        None => Vec::new(),
    };
    let known = CALLBACKS
        .lock()
        .named
        .iter()
        .find(|n| !name.is_empty() && same(&n.0, &name))
        .map(|n| n.1);
    if let Some(object) = known {
        ob::ObfReferenceObject(object as *mut c_void);
        *CallbackObject = object as PVOID;
        return STATUS_SUCCESS;
    }
    let system = [
        "\\Callback\\PowerState",
        "\\Callback\\ProcessorAdd",
        "\\Callback\\SetSystemTime",
    ]
    .iter()
    .any(|s| same(&s.encode_utf16().collect::<Vec<_>>(), &name));
    if Create == 0 && !system {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    let object = ob::create(ob::ObjectKind::Callback, 16, destroy);
    if object.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if !name.is_empty() {
        CALLBACKS.lock().named.push((name, object as usize));
    }
    *CallbackObject = object;
    STATUS_SUCCESS
}

/// `ExRegisterCallback`: gives a handle. At most APC_LEVEL.
pub unsafe extern "win64" fn ExRegisterCallback(
    CallbackObject: PVOID,
    CallbackFunction: CallbackFunction,
    CallbackContext: PVOID,
) -> PVOID {
    ob::ObfReferenceObject(CallbackObject);
    let mut callbacks = CALLBACKS.lock();
    let id = callbacks.next;
    callbacks.next += 1;
    callbacks.registrations.push(Registration {
        id,
        object: CallbackObject as usize,
        function: CallbackFunction,
        context: CallbackContext as usize,
    });
    id as PVOID
}

/// `ExUnregisterCallback`. At most APC_LEVEL.
pub unsafe extern "win64" fn ExUnregisterCallback(CallbackRegistration: PVOID) {
    let found = {
        let mut callbacks = CALLBACKS.lock();
        let at = callbacks
            .registrations
            .iter()
            .position(|r| r.id == CallbackRegistration as usize);
        at.map(|i| callbacks.registrations.remove(i).object)
    };
    match found {
        Some(object) => {
            ob::ObfDereferenceObject(object as *mut c_void);
        }
        None => crate::check::violation(
            "a callback that is unregistered was registered",
            format_args!("{CallbackRegistration:p}"),
        ),
    }
}

/// `ExNotifyCallback`: calls what is registered, in order. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn ExNotifyCallback(
    CallbackObject: PVOID,
    Argument1: PVOID,
    Argument2: PVOID,
) {
    let mut last = 0;
    loop {
        let next = CALLBACKS
            .lock()
            .registrations
            .iter()
            .find(|r| r.object == CallbackObject as usize && r.id > last)
            .map(|r| (r.id, r.function, r.context));
        let Some((id, function, context)) = next else {
            return;
        };
        function(context as PVOID, Argument1, Argument2);
        last = id;
    }
}

exports! { pub static EXPORTS;
    Ntoskrnl { ExCreateCallback, ExRegisterCallback, ExUnregisterCallback, ExNotifyCallback }
}
