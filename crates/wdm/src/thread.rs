//! System threads.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::time::Duration;

use rust_alloc::boxed::Box;
use wdk_sys::ntddk::{
    ObReferenceObjectByHandle, ObfDereferenceObject, PsCreateSystemThread, PsTerminateSystemThread,
    ZwClose,
};
use wdk_sys::{HANDLE, THREAD_ALL_ACCESS};

use crate::alloc::{Shared, try_box};
use crate::event::{self, Event, Kind, wait_raw};
use crate::status::{Result, Status};
use crate::time;

/// How long [`Thread::stop`] waits between two lines in the log.
const PATIENCE: Duration = Duration::from_secs(10);
/// From a thread's last signal to its last instruction in the driver.
const GRACE: Duration = Duration::from_millis(100);

/// What a thread is told through.
pub struct Signals {
    stop: Event,
    wake: Event,
    ended: Event,
}

impl Signals {
    /// Waits until someone calls [`Thread::wake`], or `limit` has passed; false when the thread is to end.
    /// IRQL <= APC_LEVEL.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        event::wait_any([&self.stop, &self.wake], limit) != Some(0)
    }

    /// The event that [`Thread::wake`] sets, for those who take a `KEVENT`.
    pub fn wake_event(&self) -> &Event {
        &self.wake
    }

    /// Whether the thread is to end. IRQL <= DISPATCH_LEVEL.
    pub fn is_stopping(&self) -> bool {
        self.stop.wait(Duration::ZERO)
    }
}

/// A system thread. It must be stopped before the driver goes; dropping it stops it.
pub struct Thread {
    name: &'static str,
    object: NonNull<c_void>,
    signals: Shared<Signals>,
}

// SAFETY: the object is a counted reference, usable from any thread.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

struct Start<F> {
    body: F,
    signals: Shared<Signals>,
}

impl Thread {
    /// Starts a thread that runs `body` at PASSIVE_LEVEL. The body returns soon after its signals say so.
    /// PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What `PsCreateSystemThread` says.
    pub fn spawn<F>(name: &'static str, body: F) -> Result<Self>
    where
        F: FnOnce(&Signals) + Send + 'static,
    {
        let stop = Event::new(Kind::Notification)?;
        let wake = Event::new(Kind::Synchronization)?;
        let ended = Event::new(Kind::Notification)?;
        let signals = Shared::new(Signals { stop, wake, ended })?;
        let start = try_box(Start {
            body,
            signals: signals.clone(),
        })?;
        let start = Box::into_raw(start);
        let handle = create(Some(run::<F>), start.cast()).inspect_err(|_| {
            // SAFETY: no thread has taken it.
            drop(unsafe { Box::from_raw(start) });
        })?;
        let object = reference(handle);
        // SAFETY: the handle is not used any more; the reference keeps the object.
        let _ = unsafe { ZwClose(handle) };
        if object.is_err() {
            // A fresh handle with full access always has its object. Were it otherwise, the thread would be
            // told to end, and given the time to.
            signals.stop.set();
            signals.ended.wait(PATIENCE);
            time::sleep(GRACE);
        }
        Ok(Self {
            name,
            object: object?,
            signals,
        })
    }

    /// Wakes the thread from [`Signals::wait`]. IRQL <= DISPATCH_LEVEL.
    pub fn wake(&self) {
        self.signals.wake.set();
    }

    /// The thread's signals.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Tells the thread to end and waits for it, with a log line every ten seconds. PASSIVE_LEVEL.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.signals.stop.set();
        let mut waited = 0;
        loop {
            let mut timeout = time::relative(PATIENCE);
            // SAFETY: a referenced thread object; the timeout outlives the call.
            let status = unsafe { wait_raw(self.object.as_ptr(), &raw mut timeout) };
            if status != wdk_sys::STATUS_TIMEOUT {
                break;
            }
            waited += PATIENCE.as_secs();
            crate::warn!("thread {} has not ended after {waited} s", self.name);
        }
        // SAFETY: the reference taken by create.
        unsafe { ObfDereferenceObject(self.object.as_ptr()) };
    }
}

fn create(routine: wdk_sys::PKSTART_ROUTINE, context: *mut c_void) -> Result<HANDLE> {
    let mut handle: HANDLE = null_mut();
    // SAFETY: all optional parameters are null; the thread takes over the context.
    Status::check(unsafe {
        PsCreateSystemThread(
            &raw mut handle,
            THREAD_ALL_ACCESS,
            null_mut(),
            null_mut(),
            null_mut(),
            routine,
            context,
        )
    })?;
    Ok(handle)
}

/// A reference to the thread object behind a handle.
fn reference(handle: HANDLE) -> Result<NonNull<c_void>> {
    let mut object = null_mut();
    // SAFETY: a kernel handle that was just opened; a null type takes any object.
    Status::check(unsafe {
        ObReferenceObjectByHandle(
            handle,
            THREAD_ALL_ACCESS,
            null_mut(),
            wdk_sys::_MODE::KernelMode as i8,
            &raw mut object,
            null_mut(),
        )
    })?;
    NonNull::new(object).ok_or(Status::INTERNAL_ERROR)
}

unsafe extern "C" fn run<F: FnOnce(&Signals)>(context: *mut c_void) {
    {
        // SAFETY: the box that spawn gave away.
        let start = *unsafe { Box::from_raw(context.cast::<Start<F>>()) };
        (start.body)(&start.signals);
        start.signals.ended.set();
    }
    // SAFETY: a system thread at PASSIVE_LEVEL with nothing left to drop.
    let _ = unsafe { PsTerminateSystemThread(0) };
}
