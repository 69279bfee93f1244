//! The engine and the client against a server in memory, and against one that lies.

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::rc::Rc;
use std::string::{String, ToString};
use std::sync::atomic::Ordering::SeqCst;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xen_abi::xs_wire::{DomainInterface, Header, MessageType, PAYLOAD_MAX, RING_SIZE};
use xen_abi::{DomId, Errno};
use zerocopy::{FromBytes, IntoBytes};

use super::*;
use crate::Shared;

/// A xenstored with one client, moving at most `chunk` bytes a step each way.
struct Server {
    page: Shared<DomainInterface>,
    chunk: usize,
    inbox: Vec<u8>,
    outbox: VecDeque<u8>,
    tree: BTreeMap<String, Vec<u8>>,
    watches: Vec<(String, String)>,
    transactions: BTreeMap<u32, BTreeMap<String, Vec<u8>>>,
    next_transaction: u32,
    /// Answers `EAGAIN` to this many commits.
    conflicts: u32,
    /// Does not answer.
    silent: bool,
    seen: Vec<(MessageType, Vec<u8>)>,
}

impl Server {
    fn new(chunk: usize) -> Self {
        Self {
            page: Shared::from_static(Box::leak(Box::default())),
            chunk,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            tree: BTreeMap::new(),
            watches: Vec::new(),
            transactions: BTreeMap::new(),
            next_transaction: 1,
            conflicts: 0,
            silent: false,
            seen: Vec::new(),
        }
    }

    fn step(&mut self) {
        let (prod, cons) = (
            self.page.req_prod.load(SeqCst),
            self.page.req_cons.load(SeqCst),
        );
        let count = (prod.wrapping_sub(cons) as usize).min(self.chunk);
        for n in 0..count {
            self.inbox
                .push(self.page.req[(cons as usize + n) % RING_SIZE].load(SeqCst));
        }
        self.page
            .req_cons
            .store(cons.wrapping_add(count as u32), SeqCst);
        self.answer();
        let (prod, cons) = (
            self.page.rsp_prod.load(SeqCst),
            self.page.rsp_cons.load(SeqCst),
        );
        let room = RING_SIZE - prod.wrapping_sub(cons) as usize;
        let count = room.min(self.chunk).min(self.outbox.len());
        for (n, byte) in self.outbox.drain(..count).enumerate() {
            self.page.rsp[(prod as usize + n) % RING_SIZE].store(byte, SeqCst);
        }
        self.page
            .rsp_prod
            .store(prod.wrapping_add(count as u32), SeqCst);
    }

    fn answer(&mut self) {
        while self.inbox.len() >= 16 {
            let header = Header::read_from_bytes(&self.inbox[..16]).expect("16 bytes");
            assert!(
                header.len as usize <= PAYLOAD_MAX,
                "the client keeps the limit"
            );
            let total = 16 + header.len as usize;
            if self.inbox.len() < total {
                return;
            }
            let body: Vec<u8> = self.inbox.drain(..total).skip(16).collect();
            self.seen.push((header.kind, body.clone()));
            if self.silent {
                continue;
            }
            match self.act(&header, &body) {
                Ok(reply) => self.put(header.kind, header.req_id, header.tx_id, &reply),
                Err(name) => self.put(
                    MessageType::ERROR,
                    header.req_id,
                    header.tx_id,
                    format!("{name}\0").as_bytes(),
                ),
            }
        }
    }

    fn put(&mut self, kind: MessageType, req_id: u32, tx_id: u32, body: &[u8]) {
        let header = Header {
            kind,
            req_id,
            tx_id,
            len: body.len() as u32,
        };
        self.outbox.extend(header.as_bytes());
        self.outbox.extend(body);
    }

    fn event(&mut self, path: &str, token: &str) {
        self.put(
            MessageType::WATCH_EVENT,
            0,
            0,
            format!("{path}\0{token}\0").as_bytes(),
        );
    }

    fn act(&mut self, header: &Header, body: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut parts = body.splitn(2, |byte| *byte == 0);
        let path =
            String::from_utf8(parts.next().unwrap_or_default().to_vec()).map_err(|_| "EINVAL")?;
        let rest = parts.next().unwrap_or_default().to_vec();
        let tree = match header.tx_id {
            0 => &mut self.tree,
            id => self.transactions.get_mut(&id).ok_or("ENOENT")?,
        };
        let ok = Ok(b"OK\0".to_vec());
        match header.kind {
            MessageType::READ => tree.get(&path).cloned().ok_or("ENOENT"),
            MessageType::WRITE => {
                tree.insert(path.clone(), rest);
                for (watched, token) in self.watches.clone() {
                    if path.starts_with(&watched) {
                        self.event(&path, &token);
                    }
                }
                ok
            }
            MessageType::DIRECTORY => {
                let below = format!("{path}/");
                let names = tree
                    .keys()
                    .filter_map(|key| key.strip_prefix(&below))
                    .filter(|name| !name.contains('/'));
                Ok(names
                    .flat_map(|name| format!("{name}\0").into_bytes())
                    .collect())
            }
            MessageType::RM => tree.remove(&path).map(|_| b"OK\0".to_vec()).ok_or("ENOENT"),
            MessageType::SET_PERMS => ok,
            MessageType::TRANSACTION_START => {
                let id = self.next_transaction;
                self.next_transaction += 1;
                let copy = self.tree.clone();
                self.transactions.insert(id, copy);
                Ok(format!("{id}\0").into_bytes())
            }
            MessageType::TRANSACTION_END => {
                let tree = self.transactions.remove(&header.tx_id).ok_or("ENOENT")?;
                if path == "T" && self.conflicts > 0 {
                    self.conflicts -= 1;
                    return Err("EAGAIN");
                }
                if path == "T" {
                    self.tree = tree;
                }
                ok
            }
            MessageType::WATCH => {
                let token = String::from_utf8_lossy(&rest)
                    .trim_end_matches('\0')
                    .to_string();
                // The event may come before the reply, as xenstored's does.
                self.event(&path, &token);
                self.watches.push((path, token));
                ok
            }
            MessageType::UNWATCH => {
                let token = String::from_utf8_lossy(&rest)
                    .trim_end_matches('\0')
                    .to_string();
                let before = self.watches.len();
                self.watches
                    .retain(|watch| *watch != (path.clone(), token.clone()));
                if self.watches.len() == before {
                    Err("ENOENT")
                } else {
                    ok
                }
            }
            MessageType::RESET_WATCHES => {
                self.watches.clear();
                self.transactions.clear();
                ok
            }
            _ => Err("ENOSYS"),
        }
    }
}

/// Engine and server in one thread: waiting lets the server move.
struct Bench {
    engine: RefCell<Engine>,
    server: Rc<RefCell<Server>>,
    fired: RefCell<Vec<usize>>,
    notified: Cell<u32>,
    steps: u32,
}

fn bench(chunk: usize) -> Client<Bench> {
    let server = Rc::new(RefCell::new(Server::new(chunk)));
    let engine = Engine::new(server.borrow().page, 0).expect("memory");
    Client::new(Bench {
        engine: RefCell::new(engine),
        server,
        fired: RefCell::default(),
        notified: Cell::new(0),
        steps: 20_000,
    })
}

struct Steps<'a>(&'a Bench, u32);

impl Patience for Steps<'_> {
    fn arm(&mut self) {}
    fn wait(&mut self) -> bool {
        self.0.server.borrow_mut().step();
        self.1 -= 1;
        self.1 > 0
    }
}

impl Link for Bench {
    fn with<T>(&self, f: impl FnOnce(&mut Engine) -> T) -> T {
        f(&mut self.engine.borrow_mut())
    }
    fn notify(&self) {
        self.notified.set(self.notified.get() + 1);
    }
    fn completed(&self) {}
    fn fired(&self, cookie: usize) {
        self.fired.borrow_mut().push(cookie);
    }
    fn patience(&self) -> impl Patience {
        Steps(self, self.steps)
    }
}

fn settle(client: &Client<Bench>) {
    for _ in 0..2_000 {
        client.poll();
        client.link().server.borrow_mut().step();
    }
}

#[test]
fn what_was_written_is_read_however_the_bytes_are_split() {
    for chunk in [1, 3, 16, 17, 1024] {
        let client = bench(chunk);
        let long = vec![b'x'; 4000];
        client.write("a/b".into(), b"1", None).expect("writes");
        client
            .write(Path::join("a", "long"), &long, None)
            .expect("writes");
        assert_eq!(client.read("a/b".into(), None).expect("reads"), b"1");
        assert_eq!(client.read("a/long".into(), None).expect("reads"), long);
        assert_eq!(
            client.directory("a".into(), None).expect("lists"),
            b"b\0long\0"
        );
        assert!(client.link().notified.get() > 0);
    }
}

#[test]
fn errors_come_by_name() {
    let client = bench(1024);
    assert_eq!(
        client.read("none".into(), None),
        Err(StoreError::Server(Errno::ENOENT))
    );
    assert_eq!(message::error(b"EQUOTA\0"), StoreError::UnknownError);
    assert_eq!(message::error(b"ENOSPC"), StoreError::Server(Errno::ENOSPC));
    assert_eq!(message::error(b""), StoreError::UnknownError);
}

#[test]
fn paths_and_messages_beyond_the_limits_never_leave() {
    let client = bench(1024);
    let long = "p".repeat(2048);
    for bad in [
        Path::new(""),
        Path::new(&long),
        Path::join("", ""),
        Path::from_bytes(b"a", b"b\0c"),
    ] {
        assert!(
            matches!(client.read(bad, None), Err(StoreError::Path(_))),
            "{bad:?}"
        );
    }
    let absolute = format!("/{}", "p".repeat(3000));
    assert_eq!(
        client.read(Path::new(&absolute), None),
        Err(StoreError::Server(Errno::ENOENT))
    );
    let value = vec![0; PAYLOAD_MAX - 1];
    assert_eq!(
        client.write("a".into(), &value, None),
        Err(StoreError::TooLong(PAYLOAD_MAX + 1))
    );
    client
        .write("a".into(), &value[..PAYLOAD_MAX - 2], None)
        .expect("just fits");
    assert_eq!(client.link().server.borrow().seen.len(), 2);
}

#[test]
fn many_requests_in_flight_get_their_own_replies() {
    let client = bench(50);
    for n in 0..12 {
        client
            .write(
                Path::new(&format!("n{n}")),
                format!("value {n}").as_bytes(),
                None,
            )
            .expect("writes");
    }
    let tickets: Vec<Ticket> = (0..12)
        .map(|n| {
            let path = format!("n{n}");
            client
                .link()
                .with(|engine| engine.submit(&Request::Read(Path::new(&path)), None))
                .expect("submits")
        })
        .collect();
    settle(&client);
    for (n, ticket) in tickets.into_iter().enumerate().rev() {
        let value = client
            .link()
            .with(|engine| engine.take(ticket, <[u8]>::to_vec));
        assert_eq!(value, Some(Ok(format!("value {n}").into_bytes())));
    }
}

#[test]
fn when_all_slots_are_busy_the_engine_says_so() {
    let client = bench(1024);
    let submit = || {
        client
            .link()
            .with(|engine| engine.submit(&Request::Read(Path::new("a")), None))
    };
    while submit().is_ok() {}
    assert_eq!(submit(), Err(StoreError::Busy));
}

#[test]
fn a_transaction_is_tried_again_after_a_conflict() {
    let client = bench(100);
    client.link().server.borrow_mut().conflicts = 3;
    let mut tries = 0;
    let result = client.transaction(|transaction| {
        tries += 1;
        client.write("a".into(), b"1", Some(transaction))
    });
    assert_eq!((result, tries), (Ok(()), 4));
    assert_eq!(client.read("a".into(), None).expect("committed"), b"1");
}

#[test]
fn a_transaction_that_always_conflicts_ends_with_the_conflict() {
    let client = bench(1024);
    client.link().server.borrow_mut().conflicts = u32::MAX;
    let result = client.transaction(|_| Ok(()));
    assert_eq!(result, Err(StoreError::Server(Errno::EAGAIN)));
}

#[test]
fn a_transaction_and_a_watch_have_numbers_that_are_not_zero() {
    let client = bench(1024);
    let transaction = client.start().expect("starts");
    assert_ne!(transaction.number(), 0);
    assert_eq!(Transaction::from_number(transaction.number()), transaction);
    let watch = client.watch("a".into(), 1).expect("watches");
    assert_ne!(watch.number(), 0);
    assert_eq!(WatchId::from_number(watch.number()), watch);
}

#[test]
fn a_failed_transaction_leaves_nothing() {
    let client = bench(1024);
    let result: Result<(), _> = client.transaction(|transaction| {
        client.write("a".into(), b"1", Some(transaction))?;
        client.read("none".into(), Some(transaction)).map(drop)
    });
    assert_eq!(result, Err(StoreError::Server(Errno::ENOENT)));
    assert!(client.link().server.borrow().tree.is_empty());
    assert!(client.link().server.borrow().transactions.is_empty());
}

#[test]
fn a_watch_fires_at_once_and_on_each_change_until_it_is_removed() {
    let client = bench(7);
    let watch = client.watch("a".into(), 77).expect("watches");
    settle(&client);
    assert_eq!(client.link().fired.take(), [77]);
    client.write("a/b".into(), b"1", None).expect("writes");
    settle(&client);
    assert_eq!(client.link().fired.take(), [77]);
    client.unwatch(watch).expect("unwatches");
    client.write("a/b".into(), b"2", None).expect("writes");
    settle(&client);
    assert_eq!(client.link().fired.take(), []);
    assert!(client.unwatch(watch).is_err());
    assert!(client.link().server.borrow().watches.is_empty());
}

#[test]
fn an_event_of_a_removed_watch_does_not_reach_the_next_one_in_its_place() {
    let client = bench(1024);
    let first = client.watch("a".into(), 1).expect("watches");
    client.unwatch(first).expect("unwatches");
    client.watch("b".into(), 2).expect("watches");
    settle(&client);
    client.link().fired.take();
    let server = &client.link().server;
    server.borrow_mut().event("a", &first.number().to_string());
    server.borrow_mut().event("a", "TOK|0xffff|0001");
    server.borrow_mut().event("a", "");
    settle(&client);
    assert_eq!(client.link().fired.take(), []);
    assert_eq!(
        client
            .link()
            .with(|engine| engine.counters().strange_events),
        3
    );
}

#[test]
fn a_predecessors_watches_can_be_removed() {
    let client = bench(1024);
    client
        .link()
        .server
        .borrow_mut()
        .watches
        .push(("a".into(), "old".into()));
    client.reset_watches().expect("resets");
    assert!(client.link().server.borrow().watches.is_empty());
}

#[test]
fn permissions_are_written_as_letters_and_domains() {
    let client = bench(1024);
    let all = [
        (7, false, false),
        (0, true, false),
        (1, false, true),
        (2, true, true),
    ]
    .map(|(domain, read, write)| Permission {
        domain: DomId(domain),
        read,
        write,
    });
    client
        .set_permissions("a".into(), &all, None)
        .expect("sets");
    let seen = client.link().server.borrow().seen.clone();
    assert_eq!(
        seen,
        [(MessageType::SET_PERMS, b"a\0n7\0r0\0w1\0b2\0".to_vec())]
    );
}

#[test]
fn a_response_with_an_unknown_id_is_swallowed_and_counted() {
    let client = bench(5);
    for id in [0, 1, 17, 4711, u32::MAX] {
        client.link().server.borrow_mut().put(
            MessageType::READ,
            id,
            0,
            b"stale reply of a predecessor",
        );
    }
    client
        .link()
        .server
        .borrow_mut()
        .put(MessageType::ERROR, 3, 0, b"");
    client
        .write("a".into(), b"1", None)
        .expect("works all the same");
    assert_eq!(
        client
            .link()
            .with(|engine| engine.counters().strange_replies),
        6
    );
}

#[test]
fn a_second_reply_to_one_request_is_not_taken_for_another_ones() {
    let client = bench(1024);
    client.write("a".into(), b"1", None).expect("writes");
    let ticket = client
        .link()
        .with(|engine| engine.submit(&Request::Read("a".into()), None))
        .expect("submits");
    client.poll();
    client.link().server.borrow_mut().step();
    client.poll();
    let next = client.link().with(|engine| engine.take(ticket, |_| ()));
    assert_eq!(next, Some(Ok(())));
    // The same id again, while the slot is used by the next request.
    let ticket2 = client
        .link()
        .with(|engine| engine.submit(&Request::Read("b".into()), None))
        .expect("submits");
    client
        .link()
        .server
        .borrow_mut()
        .put(MessageType::READ, 33, 0, b"again");
    client.link().server.borrow_mut().silent = true;
    settle(&client);
    assert_eq!(
        client.link().with(|engine| engine.take(ticket2, |_| ())),
        None
    );
}

#[test]
fn a_reply_of_another_type_fails_the_request_alone() {
    let client = bench(1024);
    client.link().server.borrow_mut().silent = true;
    let ticket = client
        .link()
        .with(|engine| engine.submit(&Request::Read("a".into()), None))
        .expect("submits");
    settle(&client);
    client
        .link()
        .server
        .borrow_mut()
        .put(MessageType::DIRECTORY, 16, 0, b"x");
    settle(&client);
    assert_eq!(
        client.link().with(|engine| engine.take(ticket, |_| ())),
        Some(Err(StoreError::Reply))
    );
    client.link().server.borrow_mut().silent = false;
    client
        .write("a".into(), b"1", None)
        .expect("the connection goes on");
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let client = bench(1024);
    client.link().server.borrow_mut().silent = true;
    let ticket = client
        .link()
        .with(|engine| engine.submit(&Request::Read("a".into()), None))
        .expect("submits");
    let header = Header {
        kind: MessageType::READ,
        req_id: 16,
        tx_id: 0,
        len: 4097,
    };
    client
        .link()
        .server
        .borrow_mut()
        .outbox
        .extend(header.as_bytes());
    settle(&client);
    let broken = StoreError::Broken(Breach::Length(4097));
    assert_eq!(
        client.link().with(|engine| engine.take(ticket, |_| ())),
        Some(Err(broken))
    );
    assert_eq!(client.read("a".into(), None), Err(broken));
}

#[test]
fn impossible_indices_end_the_connection() {
    let client = bench(1024);
    let page = client.link().server.borrow().page;
    page.rsp_prod.store(RING_SIZE as u32 + 1, SeqCst);
    assert!(matches!(
        client.read("a".into(), None),
        Err(StoreError::Broken(Breach::ReplyIndex { .. }))
    ));
    let client = bench(1024);
    let page = client.link().server.borrow().page;
    page.req_cons.store(1, SeqCst);
    assert!(matches!(
        client.read("a".into(), None),
        Err(StoreError::Broken(Breach::RequestIndex { .. }))
    ));
}

#[test]
fn a_silent_server_costs_a_timeout_and_the_late_reply_is_swallowed() {
    let mut client = bench(1024);
    client = Client::new(Bench {
        steps: 5,
        ..into_bench(client)
    });
    client.link().server.borrow_mut().silent = true;
    assert_eq!(client.read("a".into(), None), Err(StoreError::Timeout));
    client.link().server.borrow_mut().silent = false;
    client
        .link()
        .server
        .borrow_mut()
        .put(MessageType::READ, 16, 0, b"late");
    client.write("a".into(), b"1", None).expect("works");
    let counters = client.link().with(|engine| engine.counters());
    assert_eq!((counters.abandoned, counters.strange_replies), (1, 0));
}

fn into_bench(client: Client<Bench>) -> Bench {
    let bench = client.link();
    Bench {
        engine: RefCell::new(Engine::new(bench.server.borrow().page, 0).expect("memory")),
        server: bench.server.clone(),
        fired: RefCell::default(),
        notified: Cell::new(0),
        steps: bench.steps,
    }
}

#[test]
fn a_transaction_or_watch_that_nobody_waits_for_is_ended() {
    let client = bench(1024);
    let submit = |request: &Request<'_>| {
        client
            .link()
            .with(|engine| engine.submit(request, None))
            .expect("submits")
    };
    let start = submit(&Request::TransactionStart);
    let watch = submit(&Request::Watch("a".into(), 5));
    client.poll();
    for ticket in [start, watch] {
        client.link().with(|engine| engine.abandon(ticket));
    }
    settle(&client);
    let server = client.link().server.borrow();
    let kinds: Vec<_> = server.seen.iter().map(|(kind, _)| *kind).collect();
    let expected = [
        MessageType::TRANSACTION_START,
        MessageType::WATCH,
        MessageType::TRANSACTION_END,
        MessageType::UNWATCH,
    ];
    assert_eq!(kinds, expected);
    assert!(server.transactions.is_empty() && server.watches.is_empty());
}

#[test]
fn a_request_given_up_before_it_was_sent_never_is() {
    let client = bench(1024);
    let ticket = client
        .link()
        .with(|engine| engine.submit(&Request::Remove("a".into()), None))
        .expect("submits");
    client.link().with(|engine| engine.abandon(ticket));
    settle(&client);
    assert!(client.link().server.borrow().seen.is_empty());
}

#[test]
fn a_new_connection_fails_what_was_in_flight_and_fires_every_watch() {
    let client = bench(1024);
    client.watch("a".into(), 1).expect("watches");
    settle(&client);
    client.link().fired.take();
    let transaction = client.start().expect("starts");
    let ticket = client
        .link()
        .with(|engine| engine.submit(&Request::Read("a".into()), None))
        .expect("submits");
    let fresh = Server::new(1024);
    client.link().with(|engine| engine.reconnect(fresh.page));
    client.link().server.replace(fresh);
    assert_eq!(
        client.link().with(|engine| engine.take(ticket, |_| ())),
        Some(Err(StoreError::Reset))
    );
    assert_eq!(
        client.write("a".into(), b"", Some(transaction)),
        Err(StoreError::Reset)
    );
    settle(&client);
    assert_eq!(client.link().fired.take(), [1]);
    let watched = client.link().with(|engine| {
        engine
            .watched()
            .map(|(_, path)| path.to_vec())
            .collect::<Vec<_>>()
    });
    assert_eq!(watched, [b"a".to_vec()]);
    client
        .write("a".into(), b"1", None)
        .expect("works on the new connection");
}

proptest! {
    #[test]
    fn values_of_any_length_survive_any_split(chunk in 1usize..1100, value in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let client = bench(chunk);
        client.write("some/path".into(), &value, None).expect("writes");
        prop_assert_eq!(client.read("some/path".into(), None).expect("reads"), value);
    }

    #[test]
    fn garbage_from_the_server_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..3000), chunk in 1usize..1100) {
        let client = Client::new(Bench { steps: 50, ..into_bench(bench(chunk)) });
        client.link().server.borrow_mut().outbox.extend(bytes);
        let _ = client.watch("a".into(), 1);
        let _ = client.read("a".into(), None);
    }

    #[test]
    fn garbage_in_the_indices_is_survived(indices: [u32; 4]) {
        let client = Client::new(Bench { steps: 5, ..into_bench(bench(64)) });
        let page = client.link().server.borrow().page;
        page.req_cons.store(indices[0], SeqCst);
        page.req_prod.store(indices[1], SeqCst);
        page.rsp_cons.store(indices[2], SeqCst);
        page.rsp_prod.store(indices[3], SeqCst);
        client.link().server.borrow_mut().silent = true;
        let mut engine = Engine::new(page, 0).expect("memory");
        let _ = engine.submit(&Request::Read("a".into()), None);
        engine.pump();
        engine.pump();
    }
}
