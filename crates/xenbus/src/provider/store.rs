//! STORE: xenstore, for the children and for the bus itself.

use core::ffi::{CStr, c_char, c_void};
use core::time::Duration;

use rust_alloc::vec::Vec;
use wdm::event::{Event, Kind};
use wdm::irql;
use wdm::status::Status;
use wdm::sync::SpinLock;
use wdm::time;
use xen_abi::xs_wire::DomainInterface;
use xen_abi::{DomId, Errno};
use xen_guest::Shared;
use xen_guest::hypercall::{EventChannelOps, Guest, Native, SchedOps};
use xen_guest::store::{Client, Engine, Link, Path, Patience, StoreError, Transaction, WatchId};
use xenbus_interface::store::{self as table, PERM_READ, PERM_WRITE, Permission, StoreV2, Watch};
use xenbus_interface::{Boolean, Interface, NtStatus};

use super::printf;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 1] = [Offer::of::<StoreV2>()];

/// How long a call waits for its reply at PASSIVE_LEVEL.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it spins for it at DISPATCH_LEVEL.
const PATIENCE_AT_DISPATCH: Duration = Duration::from_secs(5);
/// One step of waiting at PASSIVE_LEVEL; the event ends it earlier.
const STEP: Duration = Duration::from_millis(100);
/// One step when another caller's reply keeps the event signalled.
const SHORT_STEP: Duration = Duration::from_millis(1);
/// One step of spinning, in microseconds.
const SPIN: u32 = 5;
/// Longest value that Printf makes, as in the C drivers.
const PRINTF: usize = 1024;
/// Permissions of one call, at most.
const MAX_PERMISSIONS: usize = 64;

/// Calls to xenstore.
pub type Store = Client<StoreLink>;

/// State of the interface.
#[derive(Debug, Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
}

/// The one connection.
pub struct StoreLink {
    xen: Guest<Native>,
    port: u32,
    engine: SpinLock<Engine>,
    /// Signalled when a request was completed.
    completed: Event,
}

impl StoreLink {
    /// Takes over the ring behind `port`.
    pub fn new(
        xen: Guest<Native>,
        page: Shared<DomainInterface>,
        port: u32,
    ) -> wdm::status::Result<Self> {
        let engine =
            Engine::new(page, time::interrupt_time() as u32).map_err(|error| status(&error))?;
        Ok(Self {
            xen,
            port,
            engine: SpinLock::new(engine),
            completed: Event::new(Kind::Notification)?,
        })
    }
}

impl Link for StoreLink {
    fn with<T>(&self, f: impl FnOnce(&mut Engine) -> T) -> T {
        f(&mut self.engine.lock())
    }

    fn notify(&self) {
        if let Err(error) = self.xen.send(self.port) {
            wdm::error!("xenstore: {error}");
        }
    }

    fn completed(&self) {
        self.completed.set();
    }

    fn fired(&self, cookie: usize) {
        let event = core::ptr::with_exposed_provenance_mut::<c_void>(cookie);
        // SAFETY: the watch's owner keeps its KEVENT until it has removed the watch, which takes the engine's lock
        // that is held here.
        unsafe { wdm::event::set_foreign(event) };
    }

    fn patience(&self) -> impl Patience {
        let waits = irql::current() < irql::DISPATCH_LEVEL;
        let limit = if waits {
            PATIENCE
        } else {
            PATIENCE_AT_DISPATCH
        };
        Wait {
            link: self,
            waits,
            limit,
            start: time::interrupt_time(),
            cleared: false,
        }
    }
}

/// One caller's wait.
struct Wait<'a> {
    link: &'a StoreLink,
    /// Below DISPATCH_LEVEL.
    waits: bool,
    limit: Duration,
    start: u64,
    cleared: bool,
}

impl Patience for Wait<'_> {
    fn arm(&mut self) {
        if self.waits {
            let engine = self.link.engine.lock();
            // The event is everybody's: it stays signalled while someone has not yet fetched his reply.
            self.cleared = !engine.has_untaken();
            if self.cleared {
                self.link.completed.clear();
            }
        }
    }

    fn wait(&mut self) -> bool {
        if time::since(self.start) >= self.limit {
            wdm::error!("xenstore has not answered for {} s", self.limit.as_secs());
            return false;
        }
        match (self.waits, self.cleared) {
            (true, true) => {
                self.link.completed.wait(STEP);
            }
            (true, false) => time::sleep(SHORT_STEP),
            (false, _) => {
                self.link.xen.yield_cpu();
                time::stall(SPIN);
            }
        }
        true
    }
}

/// Xenstore for the bus itself: the same calls, with statuses.
#[derive(Clone, Copy)]
pub struct BusStore<'a>(Option<&'a Store>);

impl<'a> BusStore<'a> {
    pub(super) const fn new(client: Option<&'a Store>) -> Self {
        Self(client)
    }

    fn call<T>(&self, f: impl FnOnce(&Store) -> Result<T, StoreError>) -> wdm::status::Result<T> {
        let client = self.0.ok_or(Status::DEVICE_NOT_READY)?;
        f(client).map_err(|error| status(&error))
    }

    /// A node's children: names, each ended by a NUL.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is no such node, and as [`status`] says.
    pub fn directory(&self, path: &[u8]) -> wdm::status::Result<Vec<u8>> {
        self.call(|client| client.directory(Path::from_bytes(&[], path), None))
    }

    /// Writes a value to the first of the paths that has no node, and says which one that is; `None`: all have one. A
    /// transaction keeps others from taking the same.
    ///
    /// # Errors
    /// As [`status`] says.
    pub fn write_first_free<P: AsRef<[u8]>>(
        &self,
        paths: impl Iterator<Item = P> + Clone,
        value: &[u8],
    ) -> wdm::status::Result<Option<usize>> {
        self.call(|client| {
            client.transaction(|transaction| {
                for (index, path) in paths.clone().enumerate() {
                    let path = Path::from_bytes(&[], path.as_ref());
                    match client.read_with(path, Some(transaction), |_| ()) {
                        Ok(()) => {}
                        Err(StoreError::Server(Errno::ENOENT)) => {
                            client.write(path, value, Some(transaction))?;
                            return Ok(Some(index));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(None)
            })
        })
    }

    /// Removes a node and all below it.
    ///
    /// # Errors
    /// As for [`BusStore::directory`].
    pub fn remove(&self, path: &[u8]) -> wdm::status::Result {
        self.call(|client| client.remove(Path::from_bytes(&[], path), None))
    }

    /// Has an event signalled, at once and for each change at or below the path. The event stays until
    /// [`BusStore::unwatch`].
    ///
    /// # Errors
    /// As [`status`] says.
    pub fn watch(&self, path: &[u8], event: &Event) -> wdm::status::Result<WatchId> {
        self.call(|client| {
            client.watch(
                Path::from_bytes(&[], path),
                event.as_ptr().expose_provenance(),
            )
        })
    }

    /// Ends a watch; afterwards its event is not signalled any more.
    pub fn unwatch(&self, watch: WatchId) {
        if let Err(status) = self.call(|client| client.unwatch(watch)) {
            wdm::warn!("a watch was removed, and the server says {status}");
        }
    }
}

/// The status for a failed request, as the C drivers choose them.
pub fn status(error: &StoreError) -> Status {
    match error {
        StoreError::Server(Errno::EINVAL) | StoreError::Path(_) | StoreError::TooLong(_) => {
            Status::INVALID_PARAMETER
        }
        StoreError::Server(Errno::EACCES | Errno::EPERM | Errno::EROFS) => Status::ACCESS_DENIED,
        StoreError::Server(Errno::ENOENT) => Status::OBJECT_NAME_NOT_FOUND,
        StoreError::Server(Errno::ENOMEM | Errno::ENOSPC | Errno::E2BIG) => {
            Status::INSUFFICIENT_RESOURCES
        }
        StoreError::Server(Errno::EAGAIN) | StoreError::Reset => Status::RETRY,
        StoreError::Server(Errno::ENOSYS) => Status::NOT_IMPLEMENTED,
        StoreError::Server(Errno::EBUSY) | StoreError::Busy => Status::DEVICE_BUSY,
        StoreError::Timeout => Status::IO_TIMEOUT,
        StoreError::OutOfMemory => Status::NO_MEMORY,
        StoreError::Broken(_) | StoreError::Reply => Status::DEVICE_PROTOCOL_ERROR,
        _ => Status::UNSUCCESSFUL,
    }
}

impl Template for StoreV2 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            free,
            read,
            printf: printf::STORE_PRINTF,
            permissions_set,
            remove,
            directory,
            transaction_start,
            transaction_end,
            watch_add,
            watch_remove,
            poll,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.store.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.store.references.release("STORE");
}

/// The connection.
///
/// # Safety
/// As for [`providers`].
unsafe fn client<'a>(interface: *mut Interface) -> Result<&'a Store, StoreError> {
    // SAFETY: the caller's promise.
    unsafe { providers(interface) }
        .client()
        .ok_or(StoreError::Reset)
}

fn done(result: Result<(), StoreError>) -> NtStatus {
    result.map_or_else(|error| status(&error).0, |()| 0)
}

/// A C string's bytes; null is empty.
///
/// # Safety
/// `text` is null or a C string that outlives the result.
unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// # Safety
/// As for [`bytes`].
unsafe fn path<'a>(prefix: *const c_char, node: *const c_char) -> Path<'a> {
    // SAFETY: the caller's promise.
    let prefix = unsafe { bytes(prefix) };
    // SAFETY: the caller's promise.
    Path::from_bytes(prefix, unsafe { bytes(node) })
}

/// A consumer's transaction; null is none.
fn transaction(transaction: *mut table::Transaction) -> Option<Transaction> {
    (!transaction.is_null()).then(|| Transaction::from_number(transaction.addr() as u64))
}

/// A copy in nonpaged memory, with `ends` NULs behind it.
fn copy(body: &[u8], ends: usize) -> Result<*mut c_char, StoreError> {
    let mut text = Vec::<u8>::new();
    // The length goes in front, so that Free can make the vector's layout again.
    let total = LENGTH + body.len() + ends;
    text.try_reserve_exact(total)
        .map_err(|_| StoreError::OutOfMemory)?;
    text.extend_from_slice(&total.to_le_bytes());
    text.extend_from_slice(&[0; LENGTH - size_of::<usize>()]);
    text.extend_from_slice(body);
    text.resize(total, 0);
    let text = rust_alloc::boxed::Box::into_raw(text.into_boxed_slice()).cast::<u8>();
    // SAFETY: within the allocation.
    Ok(unsafe { text.add(LENGTH) }.cast())
}

/// Bytes before a buffer of [`copy`]: keeps the pool's alignment.
const LENGTH: usize = 16;

unsafe extern "system" fn free(_interface: *mut Interface, buffer: *mut c_char) {
    if buffer.is_null() {
        return;
    }
    // SAFETY: the consumer gives back what `copy` made.
    let start = unsafe { buffer.cast::<u8>().sub(LENGTH) };
    // SAFETY: `copy` put the length there.
    let total = unsafe { start.cast::<usize>().read_unaligned() };
    let slice = core::ptr::slice_from_raw_parts_mut(start, total);
    // SAFETY: the box that `copy` made, once.
    drop(unsafe { rust_alloc::boxed::Box::from_raw(slice) });
}

/// Fetches a value or a list and hands a copy out.
///
/// # Safety
/// As for the methods.
unsafe fn fetch(
    result: Result<Result<*mut c_char, StoreError>, StoreError>,
    buffer: *mut *mut c_char,
) -> NtStatus {
    match result.and_then(|copied| copied) {
        Ok(text) => {
            // SAFETY: the consumer passes a place for the buffer.
            unsafe { buffer.write(text) };
            0
        }
        Err(error) => status(&error).0,
    }
}

unsafe extern "system" fn read(
    interface: *mut Interface,
    transaction_: *mut table::Transaction,
    prefix: *const c_char,
    node: *const c_char,
    buffer: *mut *mut c_char,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    // SAFETY: the consumer passes C strings.
    let path = unsafe { path(prefix, node) };
    let result = client
        .and_then(|client| client.read_with(path, transaction(transaction_), |body| copy(body, 1)));
    // SAFETY: the consumer's place.
    unsafe { fetch(result, buffer) }
}

/// An empty directory is no success, as in the C drivers.
unsafe extern "system" fn directory(
    interface: *mut Interface,
    transaction_: *mut table::Transaction,
    prefix: *const c_char,
    node: *const c_char,
    buffer: *mut *mut c_char,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    // SAFETY: the consumer passes C strings.
    let path = unsafe { path(prefix, node) };
    let result = client.and_then(|client| {
        client.directory_with(path, transaction(transaction_), |body| {
            if body.is_empty() {
                Ok(None)
            } else {
                copy(body, 2).map(Some)
            }
        })
    });
    match result {
        Ok(Ok(None)) => Status::OBJECT_PATH_NOT_FOUND.0,
        Ok(Ok(Some(text))) => {
            // SAFETY: the consumer passes a place for the buffer.
            unsafe { buffer.write(text) };
            0
        }
        Ok(Err(error)) | Err(error) => status(&error).0,
    }
}

/// What the stub of [`printf`] calls.
///
/// # Safety
/// As for the method; `arguments` points at the words that the format takes.
pub unsafe extern "system" fn printf_va(
    interface: *mut Interface,
    transaction_: *mut table::Transaction,
    prefix: *const c_char,
    node: *const c_char,
    format: *const c_char,
    arguments: *const c_void,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    // SAFETY: the consumer passes C strings.
    let path = unsafe { path(prefix, node) };
    // SAFETY: the caller's promise.
    let text = unsafe { printf::Text::<PRINTF>::print(format, arguments) };
    if text.is_truncated() {
        return Status::BUFFER_OVERFLOW.0;
    }
    done(client.and_then(|client| client.write(path, text.bytes(), transaction(transaction_))))
}

unsafe extern "system" fn permissions_set(
    interface: *mut Interface,
    transaction_: *mut table::Transaction,
    prefix: *const c_char,
    node: *const c_char,
    permissions: *const Permission,
    number_permissions: u32,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    // SAFETY: the consumer passes C strings.
    let path = unsafe { path(prefix, node) };
    let count = number_permissions as usize;
    if count == 0 || count > MAX_PERMISSIONS {
        return Status::INVALID_PARAMETER.0;
    }
    // SAFETY: the consumer passes that many.
    let given = unsafe { core::slice::from_raw_parts(permissions, count) };
    let none = xen_guest::store::Permission {
        domain: DomId(0),
        read: false,
        write: false,
    };
    let mut list = [none; MAX_PERMISSIONS];
    for (to, from) in list.iter_mut().zip(given) {
        *to = xen_guest::store::Permission {
            domain: DomId(from.domain),
            read: from.mask & PERM_READ != 0,
            write: from.mask & PERM_WRITE != 0,
        };
    }
    let list = list.get(..count).unwrap_or_default();
    done(client.and_then(|client| client.set_permissions(path, list, transaction(transaction_))))
}

unsafe extern "system" fn remove(
    interface: *mut Interface,
    transaction_: *mut table::Transaction,
    prefix: *const c_char,
    node: *const c_char,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    // SAFETY: the consumer passes C strings.
    let path = unsafe { path(prefix, node) };
    done(client.and_then(|client| client.remove(path, transaction(transaction_))))
}

unsafe extern "system" fn transaction_start(
    interface: *mut Interface,
    place: *mut *mut table::Transaction,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    match client.and_then(Client::start) {
        Ok(started) => {
            let handle = core::ptr::without_provenance_mut(started.number() as usize);
            // SAFETY: the consumer passes a place for the transaction.
            unsafe { place.write(handle) };
            0
        }
        Err(error) => status(&error).0,
    }
}

unsafe extern "system" fn transaction_end(
    interface: *mut Interface,
    transaction_: *mut table::Transaction,
    commit: Boolean,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    let Some(started) = transaction(transaction_) else {
        return Status::INVALID_PARAMETER.0;
    };
    done(client.and_then(|client| client.end(started, commit != 0)))
}

unsafe extern "system" fn watch_add(
    interface: *mut Interface,
    prefix: *const c_char,
    node: *const c_char,
    event: *mut c_void,
    watch: *mut *mut Watch,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    // SAFETY: the consumer passes C strings.
    let path = unsafe { path(prefix, node) };
    match client.and_then(|client| client.watch(path, event.expose_provenance())) {
        Ok(id) => {
            let handle = core::ptr::without_provenance_mut(id.number() as usize);
            // SAFETY: the consumer passes a place for the watch.
            unsafe { watch.write(handle) };
            0
        }
        Err(error) => status(&error).0,
    }
}

/// After this the event is not signalled any more, whatever the status.
unsafe extern "system" fn watch_remove(interface: *mut Interface, watch: *mut Watch) -> NtStatus {
    // SAFETY: called through a table of ours.
    let client = unsafe { client(interface) };
    let id = WatchId::from_number(watch.addr() as u32);
    done(client.and_then(|client| client.unwatch(id)))
}

unsafe extern "system" fn poll(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    if let Ok(client) = unsafe { client(interface) } {
        client.poll();
    }
}
