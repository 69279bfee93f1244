//! GNTTAB: grants of pages to other domains, and maps of theirs.
//!
//! An entry is a reference in disguise; the table checks every use of it. The lock that a consumer gives for its
//! cache is not needed: caches have their own, so `locked` makes no difference.

use core::ffi::{CStr, c_char, c_void};

use rust_alloc::boxed::Box;
use rust_alloc::vec::Vec;
use wdm::status::Status;
use wdm::sync::SpinLock;
use xen_abi::DomId;
use xen_guest::gnttab::{GrantError, Reference};
use xen_guest::hypercall::{GrantTableOps, SchedOps};
use xenbus_interface::cache::Lock;
use xenbus_interface::gnttab::{Cache, Entry, GnttabV2, GnttabV3, GnttabV4};
use xenbus_interface::{Boolean, Interface, NtStatus, Pfn};

use super::memory::Hole;
use super::running::Running;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 3] = [
    Offer::of::<GnttabV2>(),
    Offer::of::<GnttabV3>(),
    Offer::of::<GnttabV4>(),
];

/// How often a revocation is tried while the peer still maps the page.
const REVOKE_TRIES: u32 = 100;
/// References that a cache may keep ready, at most.
const MAX_RESERVATION: u32 = 4096;
/// Foreign pages of one map, at most.
const MAX_FOREIGN_PAGES: u32 = 256;

/// State of the interface.
#[derive(Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
    foreign: SpinLock<Vec<Foreign>>,
}

/// Pages of another domain that are mapped here.
struct Foreign {
    hole: Hole,
    handles: Vec<u32>,
}

/// One consumer's account.
struct Account {
    name: [u8; 32],
    cap: u32,
    state: SpinLock<AccountState>,
}

struct AccountState {
    /// References that are kept ready.
    ready: Vec<Reference>,
    granted: u32,
}

impl Template for GnttabV2 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            create_cache: create_cache_v1,
            permit_foreign_access,
            revoke_foreign_access,
            get_reference,
            destroy_cache,
            map_foreign_pages,
            unmap_foreign_pages,
        }
    }
}

impl Template for GnttabV3 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            create_cache: create_cache_v1,
            permit_foreign_access,
            revoke_foreign_access,
            get_reference,
            query_reference,
            destroy_cache,
            map_foreign_pages,
            unmap_foreign_pages,
        }
    }
}

impl Template for GnttabV4 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            create_cache,
            permit_foreign_access,
            revoke_foreign_access,
            get_reference,
            query_reference,
            destroy_cache,
            map_foreign_pages,
            unmap_foreign_pages,
        }
    }
}

/// The status for a failed grant operation.
fn status(error: &GrantError) -> NtStatus {
    match error {
        GrantError::Full { .. } | GrantError::Xen(_) => Status::INSUFFICIENT_RESOURCES,
        GrantError::InUse { .. } => Status::DEVICE_BUSY,
        GrantError::Frame { .. } | GrantError::Domain(_) | GrantError::State { .. } => {
            Status::INVALID_PARAMETER
        }
    }
    .0
}

fn to_entry(reference: Reference) -> *mut Entry {
    core::ptr::without_provenance_mut(reference.number() as usize + 1)
}

/// A null or foreign pointer becomes a number that no table holds.
fn from_entry(entry: *mut Entry) -> Reference {
    Reference::from_number(u32::try_from(entry.addr().wrapping_sub(1)).unwrap_or(u32::MAX))
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.gnttab.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.gnttab.references.release("GNTTAB");
}

unsafe extern "system" fn create_cache_v1(
    interface: *mut Interface,
    name: *const c_char,
    reservation: u32,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus {
    // SAFETY: the same arguments, without a cap.
    unsafe {
        create_cache(
            interface,
            name,
            reservation,
            0,
            acquire_lock,
            release_lock,
            argument,
            cache,
        )
    }
}

unsafe extern "system" fn create_cache(
    interface: *mut Interface,
    name: *const c_char,
    reservation: u32,
    cap: u32,
    _acquire_lock: Lock,
    _release_lock: Lock,
    _argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { providers(interface) }).running() else {
        return Status::DEVICE_NOT_READY.0;
    };
    let mut account_name = [0; 32];
    if !name.is_null() {
        // SAFETY: the consumer passes a C string.
        let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
        account_name
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
    }
    match Account::new(running, account_name, reservation.min(MAX_RESERVATION), cap) {
        Ok(account) => {
            // SAFETY: the consumer passes a place for the cache.
            unsafe { cache.write(Box::into_raw(account).cast()) };
            0
        }
        Err(status) => status,
    }
}

impl Account {
    fn new(
        running: &Running,
        name: [u8; 32],
        reservation: u32,
        cap: u32,
    ) -> Result<Box<Self>, NtStatus> {
        let mut ready = Vec::new();
        ready
            .try_reserve_exact(reservation as usize)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES.0)?;
        let state = SpinLock::new(AccountState { ready, granted: 0 });
        let account = wdm::alloc::try_box(Self { name, cap, state }).map_err(|status| status.0)?;
        for _ in 0..reservation {
            match running.hold_reference() {
                Ok(reference) => account.state.lock().ready.push(reference),
                Err(error) => {
                    account.close(running);
                    return Err(status(&error));
                }
            }
        }
        Ok(account)
    }

    fn name(&self) -> &str {
        let end = self
            .name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.name.len());
        core::str::from_utf8(self.name.get(..end).unwrap_or_default()).unwrap_or("?")
    }

    fn permit(
        &self,
        running: &Running,
        domain: DomId,
        pfn: u64,
        readonly: bool,
    ) -> Result<Reference, GrantError> {
        let mut state = self.state.lock();
        if self.cap != 0 && state.granted >= self.cap {
            return Err(GrantError::Full {
                references: self.cap,
            });
        }
        let reference = match state.ready.pop() {
            Some(reference) => reference,
            None => running.hold_reference()?,
        };
        let permitted = running.grants().permit(reference, domain, pfn, readonly);
        match permitted {
            Ok(()) => state.granted += 1,
            Err(_) => Self::keep(&mut state, running, reference),
        }
        permitted.map(|()| reference)
    }

    fn revoke(&self, running: &Running, reference: Reference) -> Result<(), GrantError> {
        for _ in 1..REVOKE_TRIES {
            // The table is not locked any more when its answer is looked at.
            let result = running.grants().revoke(reference);
            let Err(GrantError::InUse { .. }) = result else {
                return self.revoked(running, reference, result);
            };
            running.xen().yield_cpu();
        }
        let last = running.grants().revoke(reference);
        self.revoked(running, reference, last)
    }

    fn revoked(
        &self,
        running: &Running,
        reference: Reference,
        result: Result<(), GrantError>,
    ) -> Result<(), GrantError> {
        if result.is_ok() {
            let mut state = self.state.lock();
            state.granted = state.granted.saturating_sub(1);
            Self::keep(&mut state, running, reference);
        }
        result
    }

    /// Keeps a held reference ready, or gives it back where enough are.
    fn keep(state: &mut AccountState, running: &Running, reference: Reference) {
        if state.ready.len() < state.ready.capacity() {
            state.ready.push(reference);
        } else if let Err(error) = running.grants().give_back(reference) {
            wdm::error!("{error}");
        }
    }

    fn close(&self, running: &Running) {
        let mut state = self.state.lock();
        for reference in state.ready.drain(..) {
            if let Err(error) = running.grants().give_back(reference) {
                wdm::error!("{error}");
            }
        }
        if state.granted != 0 {
            wdm::error!("{}: {} pages are still granted", self.name(), state.granted);
        }
    }
}

/// # Safety
/// `cache` came from [`create_cache`] and has not been destroyed.
unsafe fn account<'a>(cache: *mut Cache) -> &'a Account {
    // SAFETY: the caller's promise.
    unsafe { &*cache.cast_const().cast::<Account>() }
}

unsafe extern "system" fn permit_foreign_access(
    interface: *mut Interface,
    cache: *mut Cache,
    _locked: Boolean,
    domain: u16,
    pfn: Pfn,
    read_only: Boolean,
    entry: *mut *mut Entry,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { providers(interface) }).running() else {
        return Status::DEVICE_NOT_READY.0;
    };
    // SAFETY: the consumer passes a cache of its own.
    let account = unsafe { account(cache) };
    match account.permit(running, DomId(domain), pfn as u64, read_only != 0) {
        Ok(reference) => {
            // SAFETY: the consumer passes a place for the entry.
            unsafe { entry.write(to_entry(reference)) };
            0
        }
        Err(error) => {
            wdm::error!("{}: {error}", account.name());
            status(&error)
        }
    }
}

/// On failure the entry remains the consumer's and remains granted: it may try again, and may not use the page for
/// anything else until it has succeeded.
unsafe extern "system" fn revoke_foreign_access(
    interface: *mut Interface,
    cache: *mut Cache,
    _locked: Boolean,
    entry: *mut Entry,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { providers(interface) }).running() else {
        return Status::DEVICE_NOT_READY.0;
    };
    // SAFETY: the consumer passes a cache of its own.
    let account = unsafe { account(cache) };
    match account.revoke(running, from_entry(entry)) {
        Ok(()) => 0,
        Err(error) => {
            wdm::warn!("{}: {error}", account.name());
            status(&error)
        }
    }
}

unsafe extern "system" fn get_reference(_interface: *mut Interface, entry: *mut Entry) -> u32 {
    from_entry(entry).number()
}

unsafe extern "system" fn query_reference(
    interface: *mut Interface,
    reference: u32,
    pfn: *mut Pfn,
    read_only: *mut Boolean,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let Some(running) = (unsafe { providers(interface) }).running() else {
        return Status::DEVICE_NOT_READY.0;
    };
    let Some(grant) = running.grants().query(reference) else {
        return Status::INVALID_PARAMETER.0;
    };
    if !pfn.is_null() {
        // SAFETY: not null: the consumer passes a place for the frame.
        unsafe { pfn.write(grant.gfn as Pfn) };
    }
    if !read_only.is_null() {
        // SAFETY: not null: the consumer passes a place for the flag.
        unsafe { read_only.write(grant.readonly.into()) };
    }
    0
}

unsafe extern "system" fn destroy_cache(interface: *mut Interface, cache: *mut Cache) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    // SAFETY: made by `create_cache` from a box; the consumer gives it back once.
    let account = unsafe { Box::from_raw(cache.cast::<Account>()) };
    if let Some(running) = providers.running() {
        account.close(running);
    }
}

unsafe extern "system" fn map_foreign_pages(
    interface: *mut Interface,
    domain: u16,
    number_pages: u32,
    references: *const u32,
    read_only: Boolean,
    address: *mut i64,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    let Some(running) = providers.running() else {
        return Status::DEVICE_NOT_READY.0;
    };
    if number_pages == 0 || number_pages > MAX_FOREIGN_PAGES {
        return Status::INVALID_PARAMETER.0;
    }
    // SAFETY: the consumer passes that many references.
    let references = unsafe { core::slice::from_raw_parts(references, number_pages as usize) };
    match map(running, DomId(domain), references, read_only != 0) {
        Ok(foreign) => {
            let first = foreign.hole.gfn(0).unwrap_or_default();
            let mut list = providers.gnttab.foreign.lock();
            if list.try_reserve(1).is_err() {
                drop(list);
                let _ = unmap(running, foreign);
                return Status::INSUFFICIENT_RESOURCES.0;
            }
            list.push(foreign);
            // SAFETY: the consumer passes a place for the address.
            unsafe { address.write((first << 12) as i64) };
            0
        }
        Err(status) => status.0,
    }
}

fn map(
    running: &Running,
    domain: DomId,
    references: &[u32],
    readonly: bool,
) -> wdm::status::Result<Foreign> {
    let mut handles = Vec::new();
    handles
        .try_reserve_exact(references.len())
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    let hole = Hole::contiguous(*running.xen(), references.len())?;
    let mut foreign = Foreign { hole, handles };
    for (index, reference) in references.iter().enumerate() {
        let address = foreign.hole.gfn(index).unwrap_or_default() << 12;
        match running.xen().map(domain, *reference, address, readonly) {
            Ok(handle) => foreign.handles.push(handle),
            Err(error) => {
                wdm::warn!("grant {reference} of domain {}: {error}", domain.0);
                let _ = unmap(running, foreign);
                return Err(Status::UNSUCCESSFUL);
            }
        }
    }
    Ok(foreign)
}

/// Undoes a map. Where Xen refuses, the hole is never given back.
fn unmap(running: &Running, foreign: Foreign) -> NtStatus {
    let mut failed = false;
    for (index, handle) in foreign.handles.iter().enumerate() {
        let address = foreign.hole.gfn(index).unwrap_or_default() << 12;
        if let Err(error) = running.xen().unmap(*handle, address) {
            wdm::error!("foreign page at {address:#x}: {error}");
            failed = true;
        }
    }
    if failed {
        core::mem::forget(foreign);
        return Status::UNSUCCESSFUL.0;
    }
    drop(foreign);
    0
}

unsafe extern "system" fn unmap_foreign_pages(interface: *mut Interface, address: i64) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    let Some(running) = providers.running() else {
        return Status::DEVICE_NOT_READY.0;
    };
    let gfn = address as u64 >> 12;
    let mut list = providers.gnttab.foreign.lock();
    let Some(index) = list
        .iter()
        .position(|foreign| foreign.hole.gfn(0) == Some(gfn))
    else {
        return Status::INVALID_PARAMETER.0;
    };
    let foreign = list.swap_remove(index);
    drop(list);
    unmap(running, foreign)
}
