//! Requests that wait for their reply, by whatever means the caller has.

use alloc::vec::Vec;

use super::message::is_again;
use super::{Engine, Path, Permission, Request, StoreError, Ticket, Transaction, WatchId};

/// How often a transaction is tried that the server asks to try again.
const TRANSACTION_TRIES: u32 = 64;

/// How the caller reaches and shares an [`Engine`].
pub trait Link {
    /// Runs `f` with the engine, exclusively. At PASSIVE and DISPATCH_LEVEL.
    fn with<T>(&self, f: impl FnOnce(&mut Engine) -> T) -> T;

    /// Tells the server that bytes moved.
    fn notify(&self);

    /// Tells whoever waits that a request was completed.
    fn completed(&self);

    /// A watch fired. Called within [`Link::with`].
    fn fired(&self, cookie: usize);

    /// Begins a wait, before the engine is looked at.
    fn patience(&self) -> impl Patience;
}

/// One wait for one reply.
pub trait Patience {
    /// Forgets what was told so far; called before the engine is looked at.
    fn arm(&mut self);

    /// Waits until something may have changed. False: the time is up.
    fn wait(&mut self) -> bool;
}

/// The calls.
#[derive(Debug)]
pub struct Client<L>(L);

impl<L: Link> Client<L> {
    /// Calls through `link`.
    pub const fn new(link: L) -> Self {
        Self(link)
    }

    /// The link.
    pub const fn link(&self) -> &L {
        &self.0
    }

    /// Takes in what has come, tells watchers and waiters, and sends what is queued. For the event
    /// channel's handler and for who spins. <= DISPATCH_LEVEL.
    pub fn poll(&self) {
        let pumped = self.0.with(|engine| {
            let pumped = engine.pump();
            engine.take_fired(|cookie| self.0.fired(cookie));
            pumped
        });
        if pumped.notify {
            self.0.notify();
        }
        if pumped.completed {
            self.0.completed();
        }
    }

    /// Sends a request and waits for the reply, whose body `read` sees (while the engine is locked).
    pub fn request<T>(
        &self,
        request: &Request<'_>,
        transaction: Option<Transaction>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, StoreError> {
        let mut patience = self.0.patience();
        let ticket = self.submit(request, transaction, &mut patience)?;
        let mut read = Some(read);
        loop {
            patience.arm();
            self.poll();
            let taken = self
                .0
                .with(|engine| engine.take(ticket, |body| read.take().map(|read| read(body))));
            match taken {
                Some(result) => return result?.ok_or(StoreError::Reply),
                None if patience.wait() => {}
                None => {
                    self.0.with(|engine| engine.abandon(ticket));
                    return Err(StoreError::Timeout);
                }
            }
        }
    }

    /// Finds a free slot, waiting for one if need be.
    fn submit(
        &self,
        request: &Request<'_>,
        transaction: Option<Transaction>,
        patience: &mut impl Patience,
    ) -> Result<Ticket, StoreError> {
        loop {
            patience.arm();
            match self.0.with(|engine| engine.submit(request, transaction)) {
                Err(StoreError::Busy) => {
                    self.poll();
                    if !patience.wait() {
                        return Err(StoreError::Timeout);
                    }
                }
                result => return result,
            }
        }
    }

    /// A node's value, shown to `read`.
    pub fn read_with<T>(
        &self,
        path: Path<'_>,
        transaction: Option<Transaction>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, StoreError> {
        self.request(&Request::Read(path), transaction, read)
    }

    /// A node's value.
    pub fn read(
        &self,
        path: Path<'_>,
        transaction: Option<Transaction>,
    ) -> Result<Vec<u8>, StoreError> {
        self.read_with(path, transaction, copy)?
    }

    /// A node's children: names, each ended by a NUL, shown to `read`.
    pub fn directory_with<T>(
        &self,
        path: Path<'_>,
        transaction: Option<Transaction>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, StoreError> {
        self.request(&Request::Directory(path), transaction, read)
    }

    /// A node's children: names, each ended by a NUL.
    pub fn directory(
        &self,
        path: Path<'_>,
        transaction: Option<Transaction>,
    ) -> Result<Vec<u8>, StoreError> {
        self.directory_with(path, transaction, copy)?
    }

    /// Sets a node's value.
    pub fn write(
        &self,
        path: Path<'_>,
        value: &[u8],
        transaction: Option<Transaction>,
    ) -> Result<(), StoreError> {
        self.request(&Request::Write(path, value), transaction, drop_body)
    }

    /// Removes a node and all below it.
    pub fn remove(
        &self,
        path: Path<'_>,
        transaction: Option<Transaction>,
    ) -> Result<(), StoreError> {
        self.request(&Request::Remove(path), transaction, drop_body)
    }

    /// Sets a node's permissions.
    pub fn set_permissions(
        &self,
        path: Path<'_>,
        permissions: &[Permission],
        transaction: Option<Transaction>,
    ) -> Result<(), StoreError> {
        self.request(
            &Request::SetPermissions(path, permissions),
            transaction,
            drop_body,
        )
    }

    /// Starts a transaction.
    pub fn start(&self) -> Result<Transaction, StoreError> {
        let number = self.request(&Request::TransactionStart, None, copy)??;
        self.0.with(|engine| engine.transaction(&number))
    }

    /// Ends a transaction. `EAGAIN`: somebody else was faster, start again.
    pub fn end(&self, transaction: Transaction, commit: bool) -> Result<(), StoreError> {
        self.request(
            &Request::TransactionEnd(commit),
            Some(transaction),
            drop_body,
        )
    }

    /// Runs `f` in a transaction, again when somebody else was faster.
    pub fn transaction<T>(
        &self,
        mut f: impl FnMut(Transaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut last = StoreError::Timeout;
        for _ in 0..TRANSACTION_TRIES {
            let transaction = self.start()?;
            let result = f(transaction);
            let ended = self.end(transaction, result.is_ok());
            match result.and_then(|value| ended.map(|()| value)) {
                Err(error) if is_again(&error) => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// Watches a path: `cookie` is told to [`Link::fired`] once at once and then for each change.
    pub fn watch(&self, path: Path<'_>, cookie: usize) -> Result<WatchId, StoreError> {
        let id = self.0.with(|engine| engine.add_watch(&path, cookie))?;
        let result = self.request(&Request::Watch(path, id.number()), None, drop_body);
        if result.is_err() {
            self.0.with(|engine| engine.remove_watch(id));
        }
        result.map(|()| id)
    }

    /// Stops watching. The cookie is not told any more, whatever the server answers.
    pub fn unwatch(&self, id: WatchId) -> Result<(), StoreError> {
        let path = self
            .0
            .with(|engine| engine.remove_watch(id))
            .ok_or(StoreError::Path(0))?;
        self.request(
            &Request::Unwatch(Path::from_bytes(&[], &path), id.number()),
            None,
            drop_body,
        )
    }

    /// Removes what a predecessor left at the server: watches and transactions.
    pub fn reset_watches(&self) -> Result<(), StoreError> {
        self.request(&Request::ResetWatches, None, drop_body)
    }
}

fn drop_body(_: &[u8]) {}

fn copy(body: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(body.len())
        .map_err(|_| StoreError::OutOfMemory)?;
    bytes.extend_from_slice(body);
    Ok(bytes)
}
