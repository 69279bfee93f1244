//! A miniport that behaves as it is told, and what NDIS finds wrong with it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::adapter::{self, Adapter, New};
use super::protocol::{Binding, Client, Pause, Status};
use super::state::State;
use super::*;
use crate::nt::io::DRIVER_OBJECT;
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::sync::Lock;
use crate::testing::Turn;

mod tcpip;

/// What the miniport does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sin {
    None,
    NoGeneralAttributes,
    GeneralFirst,
    RegistrationTwice,
    OidPendingTwice,
    OidWritesTooMuch,
    PauseFails,
    PauseCompletesTwice,
    HaltKeepsPool,
    CompletesTwice,
    Relinks,
    Invents,
    RestartFails,
}

static SIN: Lock<Sin> = Lock::new(Sin::None);
static HANDLE: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(core::ptr::null_mut());
static POOL: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(core::ptr::null_mut());
/// The calls that the miniport got.
static HEARD: Lock<Vec<&'static str>> = Lock::new(Vec::new());
static RETURNED: AtomicU32 = AtomicU32::new(0);
static NUMBER: AtomicU32 = AtomicU32::new(0);

fn sin(which: Sin) -> bool {
    *SIN.lock() == which
}

fn hear(what: &'static str) {
    HEARD.lock().push(what);
}

fn zeroed<T>() -> T {
    // SAFETY: used for plain structures of numbers and pointers only.
    unsafe { core::mem::zeroed() }
}

fn handle() -> PVOID {
    HANDLE.load(Ordering::Relaxed)
}

const OWN: [u8; 6] = [0, 0x16, 0x3e, 1, 2, 3];

unsafe fn set_registration() -> NDIS_STATUS {
    let mut a: NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES = zeroed();
    a.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
        2,
        NDIS_SIZEOF_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_2,
    );
    a.AttributeFlags = NDIS_MINIPORT_ATTRIBUTES_NDIS_WDM;
    NdisMSetMiniportAttributes(handle(), (&raw const a.Header).cast())
}

unsafe fn set_general() -> NDIS_STATUS {
    let mut power: NDIS_PM_CAPABILITIES = zeroed();
    power.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_DEFAULT,
        2,
        NDIS_SIZEOF_NDIS_PM_CAPABILITIES_REVISION_2,
    );
    let mut oids = [OID_GEN_STATISTICS];
    let mut g: NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES = zeroed();
    g.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
        2,
        NDIS_SIZEOF_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_2,
    );
    g.PhysicalMediumType = 14;
    g.IfType = 6;
    g.MtuSize = 1500;
    g.MaxMulticastListSize = 32;
    g.MacAddressLength = 6;
    g.PermanentMacAddress[..6].copy_from_slice(&OWN);
    g.CurrentMacAddress[..6].copy_from_slice(&OWN);
    g.MediaConnectState = MediaConnectStateConnected;
    g.SupportedPacketFilters = 0x2f;
    g.PowerManagementCapabilitiesEx = &mut power;
    g.SupportedOidList = oids.as_mut_ptr();
    g.SupportedOidListLength = 4;
    NdisMSetMiniportAttributes(handle(), (&raw const g.Header).cast())
}

unsafe extern "win64" fn initialize(
    adapter: PVOID,
    _: PVOID,
    _: *mut NDIS_MINIPORT_INIT_PARAMETERS,
) -> NDIS_STATUS {
    HANDLE.store(adapter, Ordering::Relaxed);
    if sin(Sin::GeneralFirst) {
        return set_general();
    }
    assert_eq!(set_registration(), NDIS_STATUS_SUCCESS);
    if sin(Sin::RegistrationTwice) {
        return set_registration();
    }
    if sin(Sin::NoGeneralAttributes) {
        return NDIS_STATUS_SUCCESS;
    }
    assert_eq!(set_general(), NDIS_STATUS_SUCCESS);
    let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_DEFAULT,
            1,
            NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        ),
        ProtocolId: 0,
        fAllocateNetBuffer: 1,
        ContextSize: 16,
        PoolTag: 0,
        DataSize: 0,
        Flags: 0,
    };
    POOL.store(
        NdisAllocateNetBufferListPool(adapter, &parameters),
        Ordering::Relaxed,
    );
    NDIS_STATUS_SUCCESS
}

unsafe extern "win64" fn halt(_: PVOID, _: u32) {
    hear("halt");
    let pool = POOL.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if !pool.is_null() && !sin(Sin::HaltKeepsPool) {
        NdisFreeNetBufferListPool(pool);
    }
}

unsafe extern "win64" fn unload(_: *mut DRIVER_OBJECT) {}

unsafe extern "win64" fn pause(_: PVOID, _: *mut NDIS_MINIPORT_PAUSE_PARAMETERS) -> NDIS_STATUS {
    hear("pause");
    if sin(Sin::PauseFails) {
        return NDIS_STATUS_FAILURE;
    }
    if sin(Sin::PauseCompletesTwice) {
        NdisMPauseComplete(handle());
    }
    NDIS_STATUS_SUCCESS
}

unsafe extern "win64" fn restart(
    _: PVOID,
    parameters: *mut NDIS_MINIPORT_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    hear("restart");
    let list = (*parameters).RestartAttributes;
    assert_eq!((*list).Oid, OID_GEN_MINIPORT_RESTART_ATTRIBUTES);
    let general = (&raw mut (*list).Data).cast::<NDIS_RESTART_GENERAL_ATTRIBUTES>();
    assert_eq!((*general).MtuSize, 1500);
    if sin(Sin::RestartFails) {
        return NDIS_STATUS_FAILURE;
    }
    NDIS_STATUS_SUCCESS
}

unsafe extern "win64" fn oid(_: PVOID, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let data = &mut (*request).DATA;
    if sin(Sin::OidWritesTooMuch) {
        let end = data
            .InformationBuffer
            .byte_add(data.InformationBufferLength as usize);
        end.cast::<u8>().write(0);
    }
    data.BytesDone = data.InformationBufferLength;
    if sin(Sin::OidPendingTwice) {
        NdisMOidRequestComplete(handle(), request, NDIS_STATUS_SUCCESS);
        NdisMOidRequestComplete(handle(), request, NDIS_STATUS_SUCCESS);
        return NDIS_STATUS_PENDING;
    }
    NDIS_STATUS_SUCCESS
}

unsafe extern "win64" fn send(_: PVOID, lists: *mut NET_BUFFER_LIST, _: u32, _: u32) {
    hear("send");
    if sin(Sin::Relinks) {
        (*(*lists).FirstNetBuffer).MdlChain = core::ptr::null_mut();
    }
    if sin(Sin::Invents) {
        let mut other: Box<NET_BUFFER_LIST> = Box::new(zeroed());
        NdisMSendNetBufferListsComplete(handle(), &mut *other, 0);
    }
    NdisMSendNetBufferListsComplete(handle(), lists, 0);
    if sin(Sin::CompletesTwice) {
        NdisMSendNetBufferListsComplete(handle(), lists, 0);
    }
}

unsafe extern "win64" fn give_back(_: PVOID, lists: *mut NET_BUFFER_LIST, _: u32) {
    let all: Vec<_> = chain::lists(lists).collect();
    RETURNED.fetch_add(all.len() as u32, Ordering::Relaxed);
    for list in all {
        NdisFreeNetBufferList(list);
    }
}

unsafe extern "win64" fn cancel(_: PVOID, _: PVOID) {}
unsafe extern "win64" fn event(_: PVOID, event: *mut NET_DEVICE_PNP_EVENT) {
    hear(match (*event).DevicePnPEvent {
        NdisDevicePnPEventSurpriseRemoved => "surprise",
        _ => "power profile",
    });
}
unsafe extern "win64" fn shutdown(_: PVOID, _: u32) {
    hear("shutdown");
}

fn handlers() -> NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
        InitializeHandlerEx: Some(initialize),
        HaltHandlerEx: Some(halt),
        UnloadHandler: Some(unload),
        PauseHandler: Some(pause),
        RestartHandler: Some(restart),
        OidRequestHandler: Some(oid),
        SendNetBufferListsHandler: Some(send),
        ReturnNetBufferListsHandler: Some(give_back),
        CancelSendHandler: Some(cancel),
        DevicePnPEventNotifyHandler: Some(event),
        ShutdownHandlerEx: Some(shutdown),
        CancelOidRequestHandler: Some(cancel),
        ..zeroed()
    }
}

/// The protocol: it keeps what it hears, and gives everything back at once.
#[derive(Default)]
struct Stack {
    binding: Lock2<Option<Binding>>,
    frames: Lock2<Vec<Vec<u8>>>,
    completed: Lock2<Vec<NDIS_STATUS>>,
    calls: Lock2<Vec<&'static str>>,
}

/// A lock with a start value.
struct Lock2<T>(Lock<T>);
impl<T: Default> Default for Lock2<T> {
    fn default() -> Self {
        Self(Lock::new(T::default()))
    }
}

impl Client for Stack {
    fn receive(&self, lists: *mut NET_BUFFER_LIST, count: u32, flags: u32) {
        // SAFETY: as the trait says.
        unsafe {
            let all: Vec<_> = chain::lists(lists).collect();
            assert_eq!(all.len(), count as usize);
            for list in all {
                let nb = (*list).FirstNetBuffer;
                let mut bytes = alloc::vec![0; (*nb).DataLength as usize];
                assert_eq!(buffer::copy_out(nb, 0, &mut bytes), bytes.len());
                self.frames.0.lock().push(bytes);
            }
            let binding = *self.binding.0.lock();
            if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 {
                binding.expect("bound").return_lists(lists, 0);
            }
        }
    }
    fn send_complete(&self, lists: *mut NET_BUFFER_LIST, _: u32) {
        // SAFETY: the lists are the protocol's again.
        unsafe {
            for list in chain::lists(lists) {
                self.completed.0.lock().push((*list).Status);
            }
        }
    }
    fn status(&self, status: Status) {
        if let Status::Link(link) = status {
            self.calls.0.lock().push(if link.connected {
                "link up"
            } else {
                "link down"
            });
        }
    }
    fn pause(&self, _: Pause) {
        self.calls.0.lock().push("pause");
    }
    fn restart(&self) {
        self.calls.0.lock().push("restart");
    }
    fn unbind(&self) {
        self.calls.0.lock().push("unbind");
    }
}

/// One adapter of the miniport, initialised.
struct Bench {
    adapter: &'static Adapter,
    stack: Arc<Stack>,
    turn: Turn,
}

impl Bench {
    /// An adapter that is initialised; `None` with what was found if that fails.
    fn new(which: Sin) -> Result<Self, Vec<String>> {
        Self::with(which, handlers())
    }

    fn with(
        which: Sin,
        handlers: NDIS_MINIPORT_DRIVER_CHARACTERISTICS,
    ) -> Result<Self, Vec<String>> {
        let turn = crate::testing::machine();
        *SIN.lock() = which;
        HEARD.lock().clear();
        RETURNED.store(0, Ordering::Relaxed);
        let key =
            String::from(r"\Registry\Machine\System\CurrentControlSet\Control\Class\test\0000");
        for (name, value) in [
            ("*IfType", "6"),
            ("*MediaType", "0"),
            ("*PhysicalMediaType", "14"),
        ] {
            config::put_string(&key, name, value);
        }
        // A rule that a driver breaks again and again is not reported each time.
        let name = alloc::format!("fake{}.sys", NUMBER.fetch_add(1, Ordering::Relaxed));
        let driver = Box::leak(Box::new(driver::Driver::fake(&name, handlers)));
        let null = core::ptr::null_mut();
        let adapter = adapter::create(New {
            driver,
            fdo: null,
            pdo: null,
            lower: null,
            instance: "TEST\\0".into(),
            class_key: key,
        });
        let stack = Arc::new(Stack::default());
        let bench = Self {
            adapter,
            stack,
            turn,
        };
        if life::begin(adapter) != NDIS_STATUS_SUCCESS {
            return Err(bench.found());
        }
        Ok(bench)
    }

    /// What goes on in a work item after the initialisation.
    fn bring_up(&self) {
        *self.stack.binding.0.lock() = Some(Binding::new(self.adapter));
        *self.adapter.client.lock() = Some(self.stack.clone());
        life::bring_up(self.adapter, self.adapter.generation());
    }

    fn binding(&self) -> Binding {
        self.stack.binding.0.lock().expect("bound")
    }

    /// The rules that were broken since the last time.
    fn found(&self) -> Vec<String> {
        let rules = [
            rules::ATTRIBUTES,
            rules::STATE,
            rules::OWNERSHIP,
            rules::INDICATION,
            rules::OID,
            rules::OFFLOAD,
            rules::STATUS,
            rules::DISPATCH,
            rules::LEAK,
            rules::OBJECT,
        ];
        let log = self.turn.log();
        log.iter()
            .flat_map(|line| {
                rules
                    .iter()
                    .filter(move |rule| {
                        line.contains(&self.adapter.name)
                            && line.contains(&alloc::format!("\"{rule}\""))
                    })
                    .map(|rule| String::from(*rule))
            })
            .collect()
    }

    /// A frame to an address, as the miniport indicates it.
    fn frame(
        &self,
        to: &[u8; 6],
        length: usize,
    ) -> (*mut NET_BUFFER_LIST, Box<crate::storport::os::Buffer>) {
        let mut memory =
            Box::new(crate::storport::os::Buffer::new(length.max(64)).expect("memory"));
        memory.bytes()[..6].copy_from_slice(to);
        // SAFETY: the pool is the miniport's, the MDL lives as long as the buffer.
        let list = unsafe {
            NdisAllocateNetBufferAndNetBufferList(
                POOL.load(Ordering::Relaxed),
                0,
                0,
                memory.mdl,
                0,
                length,
            )
        };
        // SAFETY: just allocated.
        unsafe { (*list).SourceHandle = self.adapter.handle() };
        (list, memory)
    }

    fn indicate(&self, list: *mut NET_BUFFER_LIST, count: u32, flags: u32) {
        // SAFETY: the lists are whole.
        unsafe { NdisMIndicateReceiveNetBufferLists(self.adapter.handle(), list, 0, count, flags) };
    }

    fn take_down(&self) {
        life::take_down(self.adapter, Pause::Removal, NdisHaltDeviceDisabled);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        adapter::forget(self.adapter);
    }
}

fn running(which: Sin) -> Bench {
    let bench = Bench::new(which).unwrap_or_else(|found| panic!("{found:?}"));
    bench.bring_up();
    assert_eq!(bench.adapter.state(), State::Running);
    assert_eq!(
        bench.binding().set_packet_filter(NDIS_PACKET_TYPE_DIRECTED),
        Ok(())
    );
    bench
}

#[test]
fn a_miniport_that_keeps_the_rules_lives_without_a_finding() {
    let b = running(Sin::None);
    let (list, _memory) = b.frame(&OWN, 60);
    b.indicate(list, 1, 0);
    assert_eq!(b.stack.frames.0.lock().len(), 1);
    assert_eq!(RETURNED.load(Ordering::Relaxed), 1);
    let (out, _memory) = b.frame(&[9; 6], 60);
    // SAFETY: the list is whole.
    unsafe { b.binding().send(out, 0) };
    assert_eq!(*b.stack.completed.0.lock(), [NDIS_STATUS_SUCCESS]);
    // SAFETY: it came back.
    unsafe { NdisFreeNetBufferList(out) };
    b.take_down();
    assert_eq!(b.adapter.state(), State::Halted);
    assert_eq!(b.found(), Vec::<String>::new());
    assert_eq!(
        *HEARD.lock(),
        ["power profile", "restart", "send", "pause", "halt"]
    );
    assert_eq!(
        *b.stack.calls.0.lock(),
        ["restart", "link up", "pause", "unbind"]
    );
    assert_eq!(b.binding().info().map(|i| i.mtu), None);
}

#[test]
fn attributes_out_of_order_fail_the_initialisation() {
    for which in [
        Sin::GeneralFirst,
        Sin::RegistrationTwice,
        Sin::NoGeneralAttributes,
    ] {
        let found = Bench::new(which).err().expect("it fails");
        assert_eq!(
            found.first().map(String::as_str),
            Some(rules::ATTRIBUTES),
            "{which:?}"
        );
    }
}

#[test]
fn a_surprise_removal_is_told_before_everything_ends() {
    let b = running(Sin::None);
    life::surprise(b.adapter);
    assert_eq!(
        *HEARD.lock(),
        ["power profile", "restart", "surprise", "pause", "halt"]
    );
    assert_eq!(b.found(), Vec::<String>::new());
}

#[test]
fn after_a_shutdown_nothing_is_called_any_more() {
    let b = running(Sin::None);
    life::shutdown(b.adapter);
    assert_eq!(b.adapter.state(), State::Shutdown);
    b.take_down();
    assert_eq!(*HEARD.lock(), ["power profile", "restart", "shutdown"]);
    let pool = POOL.swap(core::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: the pool was not freed, since the miniport was not halted.
    unsafe { NdisFreeNetBufferListPool(pool) };
}

#[test]
fn what_a_miniport_does_wrong_is_found() {
    for (which, rule) in [
        (Sin::PauseFails, rules::STATE),
        (Sin::PauseCompletesTwice, rules::STATE),
        (Sin::HaltKeepsPool, rules::LEAK),
    ] {
        let b = running(which);
        assert_eq!(b.found(), Vec::<String>::new(), "{which:?}");
        b.take_down();
        assert_eq!(b.found(), [rule], "{which:?}");
    }
}

#[test]
fn sends_come_back_once_and_as_they_went() {
    for which in [Sin::CompletesTwice, Sin::Relinks, Sin::Invents] {
        let b = running(which);
        let (out, _memory) = b.frame(&[9; 6], 60);
        // SAFETY: the list is whole.
        unsafe { b.binding().send(out, 0) };
        assert_eq!(b.found(), [rules::OWNERSHIP], "{which:?}");
        assert_eq!(b.stack.completed.0.lock().len(), 1);
        // SAFETY: it came back.
        unsafe { NdisFreeNetBufferList(out) };
        b.take_down();
    }
}

#[test]
fn oid_requests_end_once_and_keep_to_their_buffer() {
    for which in [Sin::OidPendingTwice, Sin::OidWritesTooMuch] {
        let b = Bench::new(which).unwrap_or_else(|found| panic!("{found:?}"));
        b.bring_up();
        assert!(b.binding().statistics().is_ok());
        assert!(b.found().contains(&String::from(rules::OID)), "{which:?}");
        b.take_down();
    }
}

#[test]
fn what_is_sent_while_it_may_not_be_comes_back_with_the_reason() {
    let b = running(Sin::None);
    let binding = b.binding();
    b.take_down();
    b.found();
    *b.adapter.client.lock() = Some(b.stack.clone());
    let mut list: Box<NET_BUFFER_LIST> = Box::new(zeroed());
    // SAFETY: an empty list that nothing sends.
    unsafe { binding.send(&mut *list, 0) };
    assert_eq!(*b.stack.completed.0.lock(), [NDIS_STATUS_ADAPTER_REMOVED]);
    assert_eq!(
        binding.set_packet_filter(0),
        Err(NDIS_STATUS_ADAPTER_REMOVED)
    );
}

#[test]
fn indications_that_are_wrong_are_found() {
    type Spoil = unsafe fn(*mut NET_BUFFER_LIST);
    const PERFECT: u32 = NDIS_RECEIVE_FLAGS_PERFECT_FILTERED;
    let cases: [(&str, Spoil, u32, u32, &str); 7] = [
        ("count", nothing, 2, 0, rules::INDICATION),
        (
            "dispatch",
            nothing,
            1,
            NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL,
            rules::DISPATCH,
        ),
        ("source", no_source, 1, 0, rules::INDICATION),
        ("split", split, 1, 0, rules::INDICATION),
        ("length", too_long, 1, 0, rules::INDICATION),
        ("verdict", verdict, 1, 0, rules::INDICATION),
        ("perfect", to_another, 1, PERFECT, rules::INDICATION),
    ];
    for (name, spoil, count, flags, rule) in cases {
        let b = running(Sin::None);
        let (list, _memory) = b.frame(&OWN, 60);
        // SAFETY: the list is whole.
        unsafe { spoil(list) };
        b.indicate(list, count, flags);
        assert_eq!(b.found(), [rule], "{name}");
        assert_eq!(RETURNED.load(Ordering::Relaxed), 1);
        b.take_down();
    }
}

unsafe fn nothing(_: *mut NET_BUFFER_LIST) {}
unsafe fn no_source(list: *mut NET_BUFFER_LIST) {
    (*list).SourceHandle = core::ptr::null_mut();
}
unsafe fn split(list: *mut NET_BUFFER_LIST) {
    (*list).NblFlags = NDIS_NBL_FLAGS_HD_SPLIT;
}
unsafe fn too_long(list: *mut NET_BUFFER_LIST) {
    (*(*list).FirstNetBuffer).DataLength = 5000;
}
unsafe fn verdict(list: *mut NET_BUFFER_LIST) {
    const TCP_SUCCEEDED: usize = 1 << 3;
    (*list).NetBufferListInfo[TcpIpChecksumNetBufferListInfo] = TCP_SUCCEEDED as PVOID;
}
unsafe fn to_another(list: *mut NET_BUFFER_LIST) {
    let mdl = (*(*list).FirstNetBuffer).MdlChain;
    *crate::storport::os::mdl_system_address(mdl) = 0x02;
}

#[test]
fn nothing_is_indicated_while_paused_or_without_a_filter() {
    let b = Bench::new(Sin::None).unwrap_or_else(|found| panic!("{found:?}"));
    let (list, _memory) = b.frame(&OWN, 60);
    b.indicate(list, 1, 0);
    assert_eq!(b.found(), [rules::STATE, rules::INDICATION]);
    b.bring_up();
    let (list, _memory) = b.frame(&OWN, 60);
    b.indicate(list, 1, 0);
    assert_eq!(b.found(), [rules::INDICATION]);
    assert_eq!(b.stack.frames.0.lock().len(), 0);
    assert_eq!(RETURNED.load(Ordering::Relaxed), 2);
    b.take_down();
}

#[test]
fn frames_that_are_short_of_resources_stay_the_miniports_in_their_order() {
    let b = running(Sin::None);
    let (first, _one) = b.frame(&OWN, 60);
    let (second, _two) = b.frame(&[1; 6], 60);
    // SAFETY: the lists are whole.
    unsafe { (*first).Next = second };
    b.indicate(first, 2, NDIS_RECEIVE_FLAGS_RESOURCES);
    assert_eq!(b.stack.frames.0.lock().len(), 2);
    assert_eq!(RETURNED.load(Ordering::Relaxed), 0);
    // SAFETY: they are the miniport's again.
    unsafe {
        assert_eq!((*first).Next, second);
        NdisFreeNetBufferList(first);
        NdisFreeNetBufferList(second);
    }
    b.take_down();
    assert_eq!(b.found(), Vec::<String>::new());
}

#[test]
fn a_restart_that_fails_leaves_the_adapter_paused() {
    let b = Bench::new(Sin::RestartFails).unwrap_or_else(|found| panic!("{found:?}"));
    b.bring_up();
    assert_eq!(b.adapter.state(), State::Paused);
    assert_eq!(*b.stack.calls.0.lock(), Vec::<&str>::new());
    b.take_down();
    assert_eq!(b.found(), Vec::<String>::new());
}

#[test]
fn a_halted_adapter_may_call_nothing() {
    let b = running(Sin::None);
    b.take_down();
    b.found();
    // SAFETY: the handle was the adapter's.
    unsafe { NdisMPauseComplete(b.adapter.handle()) };
    assert_eq!(b.found(), [rules::STATE]);
}

#[test]
fn a_pool_tells_what_was_freed_twice_and_what_was_not_freed() {
    let b = running(Sin::None);
    let (list, _memory) = b.frame(&OWN, 60);
    let pool = POOL.load(Ordering::Relaxed);
    // SAFETY: the second call names a block that rests, and is still memory.
    unsafe {
        NdisFreeNetBufferList(list);
        (*list).NdisPoolHandle = pool;
        NdisFreeNetBufferList(list);
    }
    assert_eq!(b.found(), [rules::OBJECT]);
    let (_kept, _memory) = b.frame(&OWN, 60);
    b.take_down();
    // The pool is freed with a list in it; the block that was written to after it was freed is seen as well.
    assert_eq!(b.found(), [rules::OBJECT, rules::OBJECT]);
}
