//! xenstore, through the bus driver. Everything here may be called at or below DISPATCH_LEVEL; the bus may spin meanwhile,
//! so it is called from threads.

use core::ffi::{CStr, c_char};
use core::fmt;
use core::ptr::{NonNull, null, null_mut};

use wdm::event::Event;
use wdm::status::{Result, Status};
use wdm::text::FormatBuffer;
use xenbus_interface::store::{StoreV2, Transaction as RawTransaction, Watch as RawWatch};

use crate::bus::Acquired;

/// Longest path or value that this driver writes.
const LENGTH: usize = 256;
/// Most tries of a transaction that others' writes keep spoiling.
const TRIES: u32 = 20;

/// Formats a path or a value, which must fit.
fn text(arguments: fmt::Arguments<'_>) -> Result<FormatBuffer<LENGTH>> {
    let text = FormatBuffer::format(arguments);
    if text.is_truncated() {
        Err(Status::INVALID_PARAMETER)
    } else {
        Ok(text)
    }
}

/// A buffer that the bus lent.
struct Buffer<'a> {
    store: &'a Acquired<StoreV2>,
    data: NonNull<c_char>,
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: a buffer of this interface's, freed once.
        unsafe { (self.store.free)(self.store.interface(), self.data.as_ptr()) };
    }
}

/// A value of a key.
pub struct Value<'a>(Buffer<'a>);

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bus ends every buffer with a NUL; it lives as long as the value.
        unsafe { CStr::from_ptr(self.0.data.as_ptr()) }.to_bytes()
    }
}

/// The names in a directory.
pub struct Names<'a>(Buffer<'a>);

impl Names<'_> {
    /// The names, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.0.data.as_ptr().cast_const();
        core::iter::from_fn(move || {
            // SAFETY: NUL-terminated names, an empty one at the end, which is not passed.
            let name = unsafe { CStr::from_ptr(at) }.to_bytes();
            if !name.is_empty() {
                // SAFETY: the name's NUL is followed by the next name or by the empty one that ends the list.
                at = unsafe { at.add(name.len() + 1) };
            }
            (!name.is_empty()).then_some(name)
        })
    }
}

/// xenstore with or without a transaction.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    store: &'a Acquired<StoreV2>,
    transaction: *mut RawTransaction,
}

impl<'a> Store<'a> {
    /// Without a transaction.
    pub fn new(store: &'a Acquired<StoreV2>) -> Self {
        Self {
            store,
            transaction: null_mut(),
        }
    }

    fn fetch(
        &self,
        path: fmt::Arguments<'_>,
        method: xenbus_interface::store::Read,
    ) -> Result<Buffer<'a>> {
        let path = text(path)?;
        let mut data = null_mut();
        let interface = self.store.interface();
        // SAFETY: a method of an acquired table; the path and the receiving pointer outlive the call.
        Status::check(unsafe {
            method(
                interface,
                self.transaction,
                null(),
                path.as_ptr(),
                &raw mut data,
            )
        })?;
        let data = NonNull::new(data).ok_or(Status::INTERNAL_ERROR)?;
        Ok(Buffer {
            store: self.store,
            data,
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// What xenstore says; OBJECT_NAME_NOT_FOUND where there is no such key.
    pub fn read(&self, path: fmt::Arguments<'_>) -> Result<Value<'a>> {
        self.fetch(path, self.store.read).map(Value)
    }

    /// Lists a directory.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn directory(&self, path: fmt::Arguments<'_>) -> Result<Names<'a>> {
        self.fetch(path, self.store.directory).map(Names)
    }

    /// Writes a key.
    ///
    /// # Errors
    /// What xenstore says; QUOTA_EXCEEDED among it.
    pub fn write(&self, path: fmt::Arguments<'_>, value: fmt::Arguments<'_>) -> Result {
        let (path, value) = (text(path)?, text(value)?);
        let interface = self.store.interface();
        // SAFETY: a method of an acquired table; the format takes one NUL-terminated string; all outlive the call.
        Status::check(unsafe {
            (self.store.printf)(
                interface,
                self.transaction,
                null(),
                path.as_ptr(),
                c"%s".as_ptr(),
                value.as_ptr(),
            )
        })
    }

    /// Removes a key and what is below it.
    ///
    /// # Errors
    /// What xenstore says.
    pub fn remove(&self, path: fmt::Arguments<'_>) -> Result {
        let path = text(path)?;
        let interface = self.store.interface();
        // SAFETY: a method of an acquired table; the path outlives the call.
        Status::check(unsafe {
            (self.store.remove)(interface, self.transaction, null(), path.as_ptr())
        })
    }

    /// Runs `body` in a transaction, again while others spoil it.
    ///
    /// # Errors
    /// The body's error, or RETRY where it was spoilt too often.
    pub fn transaction(&self, body: impl Fn(Store<'a>) -> Result) -> Result {
        for _ in 0..TRIES {
            let mut transaction = null_mut();
            let interface = self.store.interface();
            // SAFETY: a method of an acquired table; the receiving pointer outlives the call.
            Status::check(unsafe {
                (self.store.transaction_start)(interface, &raw mut transaction)
            })?;
            let outcome = body(Store {
                store: self.store,
                transaction,
            });
            // SAFETY: a method of an acquired table; the transaction was started above and ends here.
            let end = Status::check(unsafe {
                (self.store.transaction_end)(interface, transaction, u8::from(outcome.is_ok()))
            });
            match (outcome, end) {
                (Err(status), _) => return Err(status),
                (Ok(()), Err(Status::RETRY)) => {}
                (Ok(()), end) => return end,
            }
        }
        Err(Status::RETRY)
    }

    /// Has `event` set whenever something at or below `path` changes, and once at the start.
    ///
    /// # Errors
    /// What xenstore says.
    pub fn watch<'e>(&self, path: fmt::Arguments<'_>, event: &'e Event) -> Result<Watch<'e>>
    where
        'a: 'e,
    {
        let path = text(path)?;
        let mut watch = null_mut();
        let interface = self.store.interface();
        // SAFETY: a method of an acquired table; the event outlives the watch by its lifetime.
        Status::check(unsafe {
            (self.store.watch_add)(
                interface,
                null(),
                path.as_ptr(),
                event.as_ptr().cast(),
                &raw mut watch,
            )
        })?;
        Ok(Watch {
            store: self.store,
            watch,
            _event: event,
        })
    }
}

/// A watch; removed when dropped.
pub struct Watch<'e> {
    store: &'e Acquired<StoreV2>,
    watch: *mut RawWatch,
    _event: &'e Event,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // SAFETY: a method of an acquired table; the watch was added through it and is removed once.
        let status = unsafe { (self.store.watch_remove)(self.store.interface(), self.watch) };
        if let Err(status) = Status::check(status) {
            wdm::warn!("a watch could not be removed: {status}");
        }
    }
}
