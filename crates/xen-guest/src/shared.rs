//! Memory that someone else writes too.

use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

/// A reference to a struct of atomics in a page that Xen or another domain also writes.
///
/// It is a plain address: whoever made it keeps the page mapped (see [`Shared::new`]).
pub struct Shared<T: Sync + 'static>(NonNull<T>);

impl<T: Sync + 'static> Shared<T> {
    /// Wraps a mapped page.
    ///
    /// # Safety
    /// `place` is aligned for `T` and points at memory of at least its size, which stays mapped for
    /// as long as any copy of the result is used. `T` consists of atomics only, so that writes from
    /// outside are no data races.
    pub const unsafe fn new(place: NonNull<T>) -> Self {
        Self(place)
    }

    /// Wraps something that lives for ever.
    pub const fn from_static(place: &'static T) -> Self {
        Self(NonNull::from_ref(place))
    }
}

impl<T: Sync + 'static> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the contract of `new` the place is valid for reads, and shared writes go
        // through atomics.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Sync + 'static> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Sync + 'static> Copy for Shared<T> {}

impl<T: Sync + 'static> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

// SAFETY: the value behaves like a `&'static T` to its user, and `T` is `Sync`.
unsafe impl<T: Sync + 'static> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync + 'static> Sync for Shared<T> {}
