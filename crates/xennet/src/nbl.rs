//! Net buffer lists and net buffers, as long as they are the miniport's.

use core::ptr::{NonNull, null_mut};

use ndis_sys::NDIS_STATUS;
use ndis_sys::nbl::{NET_BUFFER, NET_BUFFER_LIST};
use wdk_sys::MDL;

/// A net buffer list that is the miniport's now: one that NDIS gave it and it has not completed or indicated yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nbl(NonNull<NET_BUFFER_LIST>);

// SAFETY: whoever has it now may be any thread; there is one at a time.
unsafe impl Send for Nbl {}

/// A net buffer of such a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nb(NonNull<NET_BUFFER>);

/// Reads a field of the structure.
macro_rules! get {
    ($pointer:expr, $($field:tt)+) => {{
        let pointer = $pointer.0.as_ptr();
        // SAFETY: the structure is the miniport's, by the constructor's contract.
        unsafe { (*pointer).$($field)+ }
    }};
}

/// Writes a field of the structure.
macro_rules! set {
    ($pointer:expr, $field:ident, $value:expr) => {{
        let pointer = $pointer.0.as_ptr();
        // SAFETY: the structure is the miniport's, by the constructor's contract.
        unsafe { (*pointer).$field = $value };
    }};
}

impl Nbl {
    /// A list; `None` for a null pointer.
    ///
    /// # Safety
    /// The list is the miniport's, and is not used through the result once it no longer is.
    pub unsafe fn new(list: *mut NET_BUFFER_LIST) -> Option<Self> {
        NonNull::new(list).map(Self)
    }

    /// The list for NDIS.
    pub fn as_ptr(self) -> *mut NET_BUFFER_LIST {
        self.0.as_ptr()
    }

    /// The list behind it in the chain.
    pub fn next(self) -> Option<Self> {
        NonNull::new(get!(self, Next)).map(Self)
    }

    fn set_next(self, next: Option<Self>) {
        set!(self, Next, next.map_or(null_mut(), Self::as_ptr));
    }

    /// Its first net buffer.
    pub fn first(self) -> Option<Nb> {
        NonNull::new(get!(self, FirstNetBuffer)).map(Nb)
    }

    /// Sets its status.
    pub fn set_status(self, status: NDIS_STATUS) {
        set!(self, Status, status);
    }

    /// Sets `NblFlags`.
    pub fn set_flags(self, flags: u32) {
        set!(self, NblFlags, flags);
    }

    /// Sets `SourceHandle`.
    pub fn set_source(self, handle: ndis_sys::NDIS_HANDLE) {
        set!(self, SourceHandle, handle);
    }

    /// The value in a slot of the out-of-band data; all of them are 32 bits wide at most, but for the identifier of a cancel.
    pub fn info(self, slot: usize) -> usize {
        let pointer = self.0.as_ptr();
        // SAFETY: the structure is the miniport's, by the constructor's contract.
        let info = unsafe { &(*pointer).NetBufferListInfo };
        info.get(slot).map_or(0, |value| value.addr())
    }

    /// Sets a slot of the out-of-band data.
    pub fn set_info(self, slot: usize, value: u32) {
        let pointer = self.0.as_ptr();
        // SAFETY: the structure is the miniport's, by the constructor's contract.
        let info = unsafe { &mut (*pointer).NetBufferListInfo };
        if let Some(place) = info.get_mut(slot) {
            *place = core::ptr::without_provenance_mut(value as usize);
        }
    }

    /// The miniport's own words.
    pub fn own(self) -> [usize; 2] {
        get!(self, MiniportReserved).map(|word| word.addr())
    }

    /// Sets the miniport's own words.
    pub fn set_own(self, words: [usize; 2]) {
        set!(
            self,
            MiniportReserved,
            words.map(core::ptr::with_exposed_provenance_mut)
        );
    }
}

impl Nb {
    /// The net buffer behind it in its list.
    pub fn next(self) -> Option<Self> {
        NonNull::new(get!(self, Next)).map(Self)
    }

    /// The net buffer as a number, which [`Self::from_number`] takes back; it is a multiple of 16.
    pub fn number(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    /// The net buffer that [`Self::number`] made a number; `None` for 0.
    ///
    /// # Safety
    /// The number came from there, and the net buffer is the miniport's still.
    pub unsafe fn from_number(number: usize) -> Option<Self> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(number)).map(Self)
    }

    /// Bytes of the frame.
    pub fn length(self) -> u32 {
        get!(self, DataLength)
    }

    /// The MDL in which the frame begins, and where.
    pub fn start(self) -> (*mut MDL, u32) {
        (get!(self, CurrentMdl).cast(), get!(self, CurrentMdlOffset))
    }

    /// Makes a frame of it that begins where the MDLs do.
    pub fn set_data(self, chain: *mut MDL, length: u32) {
        set!(self, MdlChain, chain.cast());
        set!(self, CurrentMdl, chain.cast());
        set!(self, CurrentMdlOffset, 0);
        set!(self, DataOffset, 0);
        set!(self, DataLength, length);
    }

    /// The list that it belongs to, as [`Self::set_list`] said.
    pub fn list(self) -> Option<Nbl> {
        let [list, ..] = get!(self, MiniportReserved);
        NonNull::new(list.cast()).map(Nbl)
    }

    /// Says which list it belongs to.
    pub fn set_list(self, list: Nbl) {
        let pointer = self.0.as_ptr();
        // SAFETY: the structure is the miniport's, by the constructor's contract.
        let [own, ..] = unsafe { &mut (*pointer).MiniportReserved };
        *own = list.as_ptr().cast();
    }
}

/// Lists in order, linked by their own `Next`.
#[derive(Default)]
pub struct Chain {
    ends: Option<(Nbl, Nbl)>,
    count: u32,
}

impl Chain {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            ends: None,
            count: 0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first.
    pub fn first(&self) -> Option<Nbl> {
        self.ends.map(|(first, _)| first)
    }

    /// The first, as NDIS takes a chain.
    pub fn as_ptr(&self) -> *mut NET_BUFFER_LIST {
        self.first().map_or(null_mut(), Nbl::as_ptr)
    }

    /// Puts one behind the others.
    pub fn push(&mut self, list: Nbl) {
        list.set_next(None);
        self.ends = Some(match self.ends {
            Some((first, last)) => {
                last.set_next(Some(list));
                (first, list)
            }
            None => (list, list),
        });
        self.count += 1;
    }

    /// Puts one before the others.
    pub fn push_front(&mut self, list: Nbl) {
        list.set_next(self.first());
        let last = self.ends.map_or(list, |(_, last)| last);
        self.ends = Some((list, last));
        self.count += 1;
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Nbl> {
        let (first, last) = self.ends?;
        self.ends = first.next().map(|next| (next, last));
        first.set_next(None);
        self.count -= 1;
        Some(first)
    }

    /// Takes all.
    pub fn take(&mut self) -> Self {
        core::mem::take(self)
    }
}
