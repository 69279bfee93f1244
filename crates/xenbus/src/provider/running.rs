//! Xen's services while they run: bring-up, events, shut-down.

use core::ffi::c_void;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::SeqCst;

use rust_alloc::boxed::Box;
use rust_alloc::vec::Vec;
use wdm::alloc::{Once, try_box};
use wdm::cpu;
use wdm::dpc::Dpc;
use wdm::irql::Raised;
use wdm::pages::Pages;
use wdm::status::{Result, Status};
use wdm::sync::{SpinGuard, SpinLock};
use xen_abi::grant_table::{RESERVED_CONSOLE, RESERVED_XENSTORE};
use xen_abi::hvm::{
    PARAM_CALLBACK_IRQ, PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN,
    PARAM_STORE_PFN,
};
use xen_abi::memory::{SPACE_GRANT_TABLE, SPACE_SHARED_INFO};
use xen_abi::shared_info::{SharedInfo, VcpuInfo};
use xen_guest::console::ConsoleRing;
use xen_guest::cpuid::{NativeCpu, Xen};
use xen_guest::evtchn::{
    ChannelId, Channels, EventAbi, EventPage, Fifo, OpenChannel, TwoLevel, VcpuBlock,
    reset_channels,
};
use xen_guest::gnttab::{FrameMapper, GrantError, GrantFrame, GrantTable, Reference};
use xen_guest::hypercall::{EventChannelOps, GrantTableOps, Guest, HvmOps, Native, VersionOps};
use xen_guest::{Shared, XenError, shared_info};

use super::evtchn::{call, close_channel};
use super::memory::{Hole, Mapping};
use super::store::{Store, StoreLink};
use super::{Config, Providers};

/// Event channels at most.
const CHANNELS: u16 = 2048;
/// Grant frames at most: their frames are set aside at the start.
const GRANT_FRAMES: u32 = 64;
/// Events that one poll hands out.
const POLL_BUDGET: u32 = 1024;
/// Polls in one interrupt.
const POLL_ROUNDS: u32 = 64;
/// The highest device IRQL of x64: what interrupt routines may be run at outside of interrupts.
const DEVICE_LEVEL: u8 = 12;
/// Where the toolstack says that `XS_RESET_WATCHES` works.
const RESET_WATCHES: &str = "control/platform-feature-xs_reset_watches";

/// An interrupt vector of a processor.
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    /// The processor's index.
    pub cpu: u32,
    /// The vector in its interrupt descriptor table.
    pub vector: u8,
}

/// What the bus device was given.
#[derive(Debug)]
pub struct StartInfo {
    /// The GSI of its line interrupt.
    pub line: Option<u32>,
    /// Its connected messages, at most one a processor.
    pub messages: Vec<Vector>,
}

/// A processor as Xen knows it.
#[derive(Debug)]
struct Processor {
    vcpu: u32,
    /// Hears of events by a vector of its own.
    vector: AtomicBool,
}

/// Who is told in a DPC.
#[derive(Clone, Copy, Debug)]
enum Target {
    Store,
    Console,
    Debug,
    /// Events that an interrupt left behind.
    Leftover(u32),
}

/// The providers, from a DPC.
struct Back {
    providers: *const Providers,
    target: Target,
}

// SAFETY: `Providers` is Sync, and outlives its DPCs: they are dropped with `Running`, which it owns.
unsafe impl Send for Back {}
// SAFETY: as above.
unsafe impl Sync for Back {}

/// A service of the bus's own: a channel and the DPC that it queues.
struct Service {
    dpc: Dpc<Back>,
    channel: ChannelId,
}

/// Xen's services.
pub struct Running {
    xen: Guest<Native>,
    processors: Vec<Processor>,
    info: Shared<SharedInfo>,
    info_hole: SpinLock<Hole>,
    abi: EventAbi,
    channels: Channels,
    grants: SpinLock<GrantTable>,
    frames: SpinLock<Hole>,
    // Dropped before what their routines use: dropping a DPC waits until it runs no more.
    leftover: Once<Vec<Dpc<Back>>>,
    services: [Once<Box<Service>>; 3],
    store: Once<Store>,
    console: Once<SpinLock<ConsoleRing>>,
    console_port: Once<u32>,
    down: AtomicBool,
    // Last: what the fields above point into.
    _event_pages: Option<Pages>,
    mappings: [Once<Mapping>; 2],
}

/// Logs what Xen refused.
fn failed(what: &str, error: &XenError) -> Status {
    wdm::error!("{what}: {error}");
    match error {
        XenError::OutOfMemory { .. } => Status::INSUFFICIENT_RESOURCES,
        _ => Status::UNSUCCESSFUL,
    }
}

xen_guest::hypercall_page!();

/// The way into Xen.
fn enter(config: &Config) -> Result<(Xen, Guest<Native>)> {
    let Some(xen) = Xen::detect(&NativeCpu) else {
        wdm::error!("this machine is no guest of Xen");
        return Err(Status::NOT_SUPPORTED);
    };
    // SAFETY: Xen was found.
    let by_instruction = unsafe { Native::by_instruction(&xen, &NativeCpu) };
    let native = match by_instruction {
        Ok(native) if !config.hypercall_page => native,
        by_instruction => {
            let why = match by_instruction {
                Ok(_) => "as UseHypercallPage asks",
                Err(_) => "since the CPU's vendor is unknown",
            };
            wdm::info!("hypercalls go through the page, {why}");
            let page = hypercall_page();
            let address = core::ptr::with_exposed_provenance_mut::<c_void>(page);
            // SAFETY: an address within this image, which is resident.
            let physical = unsafe { wdk_sys::ntddk::MmGetPhysicalAddress(address) };
            // SAFETY: the union's one meaning on x64.
            let physical = unsafe { physical.QuadPart } as u64;
            // SAFETY: Xen was found; the page is part of this image's code and used for nothing else.
            unsafe { Native::by_page(&xen, page, physical) }
        }
    };
    Ok((xen, Guest::new(native)))
}

/// Xen's ids of the processors, by their indexes.
fn processors(xen: &Xen) -> Result<Vec<Processor>> {
    let count = cpu::count();
    let mut processors = Vec::new();
    processors
        .try_reserve_exact(count as usize)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..count {
        let vcpu = cpu::run_on(index, || xen.vcpu_id(&NativeCpu))?.unwrap_or(index);
        processors.push(Processor {
            vcpu,
            vector: AtomicBool::new(false),
        });
    }
    Ok(processors)
}

/// The FIFO ABI with its pages, started; `None`: Xen has none, or does not want this.
fn fifo(xen: &Guest<Native>, processors: &[Processor]) -> Option<(Fifo, Pages)> {
    let pages = Pages::new(Fifo::PAGES + processors.len()).ok()?;
    let page = |index: usize| Some((pages.page(index)?, *pages.pfns().get(index)? as u64));
    let mut events = [None; Fifo::PAGES];
    for (index, place) in events.iter_mut().enumerate() {
        let (address, gfn) = page(index)?;
        // SAFETY: zeroed pages of ours, which live as long as `Running`; an `EventPage` is atomics.
        *place = Some((unsafe { Shared::<EventPage>::new(address.cast()) }, gfn));
    }
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(processors.len()).ok()?;
    for (index, processor) in processors.iter().enumerate() {
        let (address, gfn) = page(Fifo::PAGES + index)?;
        let vcpu = processor.vcpu;
        // SAFETY: as above; a control block is atomics too.
        let block = unsafe { Shared::new(address.cast()) };
        blocks.push(VcpuBlock { vcpu, block, gfn });
    }
    let [Some(a), Some(b), Some(c), Some(d)] = events else {
        return None;
    };
    let fifo = Fifo::new([a, b, c, d], &blocks).ok()?;
    match fifo.start(xen) {
        Ok(()) => Some((fifo, pages)),
        Err(error) => {
            wdm::warn!("no FIFO event channels: {error}");
            // Xen may have taken some of the pages.
            match reset_channels(xen) {
                Ok(_) => {}
                Err(error) => {
                    wdm::error!("event channels: {error}; {} pages are lost", pages.count());
                    core::mem::forget(pages);
                }
            }
            None
        }
    }
}

/// Places grant frames into their hole.
struct Mapper<'a>(SpinGuard<'a, Hole>);

impl FrameMapper for Mapper<'_> {
    fn map(&mut self, index: u32) -> core::result::Result<Shared<GrantFrame>, XenError> {
        let page = index as usize;
        self.0.place(page, SPACE_GRANT_TABLE, index.into())?;
        // SAFETY: a grant frame was placed there; the hole lives as long as the table, in `Running`.
        unsafe { self.0.shared(page) }.ok_or(XenError::OutOfRange {
            what: "grant frame",
            value: index.into(),
        })
    }
}

impl Running {
    /// Brings up all that needs no interrupt. PASSIVE_LEVEL.
    pub fn new(config: &Config) -> Result<Box<Self>> {
        let (found, xen) = enter(config)?;
        wdm::info!("Xen {}.{}, {:?}", found.major, found.minor, xen.raw().way());
        xen.xen_version()
            .map_err(|error| failed("the first hypercall", &error))?;
        let processors = processors(&found)?;

        let mut info_hole = Hole::new(xen, 1)?;
        info_hole
            .place(0, SPACE_SHARED_INFO, 0)
            .map_err(|error| failed("shared info", &error))?;
        // SAFETY: the shared info page was placed there; the hole lives in `Running`.
        let page: Shared<SharedInfo> =
            unsafe { info_hole.shared(0) }.ok_or(Status::INTERNAL_ERROR)?;
        shared_info::mask_all(&page);

        // A predecessor, or the firmware, may have left channels open.
        let rebound = reset_channels(&xen).map_err(|error| failed("event channels", &error))?;
        wdm::info!(
            "channels: xenstore {:?}, console {:?}",
            rebound.store,
            rebound.console
        );
        let (abi, event_pages) = match config.fifo.then(|| fifo(&xen, &processors)).flatten() {
            Some((fifo, pages)) => (EventAbi::Fifo(fifo), Some(pages)),
            None => (EventAbi::TwoLevel(TwoLevel::new(page)), None),
        };
        let channels = Channels::new(CHANNELS).map_err(|error| failed("channels", &error));
        let grants =
            channels.and_then(|channels| Self::grant_table(xen).map(|grants| (channels, grants)));
        let (channels, (table, frames)) =
            grants.inspect_err(|_| release_pages(&xen, &event_pages))?;
        let running = try_box(Self {
            xen,
            processors,
            info: page,
            info_hole: SpinLock::new(info_hole),
            abi,
            channels,
            grants: SpinLock::new(table),
            frames: SpinLock::new(frames),
            leftover: Once::new(),
            store: Once::new(),
            console: Once::new(),
            console_port: Once::new(),
            services: [const { Once::new() }; 3],
            down: AtomicBool::new(false),
            _event_pages: event_pages,
            mappings: [const { Once::new() }; 2],
        })?;
        running.first_grant_frame()?;
        Ok(running)
    }

    /// A table of version 1, empty, and the hole for its frames.
    fn grant_table(xen: Guest<Native>) -> Result<(GrantTable, Hole)> {
        let size = xen
            .query_size()
            .map_err(|error| failed("grant table", &error))?;
        if xen.version() != Ok(1) {
            xen.set_version(1)
                .map_err(|error| failed("grant table version 1", &error))?;
        }
        let frames = size.max_frames.min(GRANT_FRAMES);
        let table = GrantTable::new(frames).map_err(|error| failed("grant table", &error))?;
        Ok((table, Hole::new(xen, frames as usize)?))
    }

    fn first_grant_frame(&self) -> Result {
        let mut table = self.grants.lock();
        table
            .grow(&mut Mapper(self.frames.lock_at_dispatch()))
            .map_err(|error| {
                wdm::error!("grant table: {error}");
                Status::UNSUCCESSFUL
            })?;
        let left = table.statistics().quarantined;
        if left != 0 {
            wdm::warn!("{left} grants of a predecessor are still mapped by a backend");
        }
        Ok(())
    }

    /// Brings up delivery, xenstore, and the console. PASSIVE_LEVEL.
    pub fn connect(&self, providers: &Providers, config: &Config, info: &StartInfo) -> Result {
        self.prepare_leftovers(providers)?;
        self.deliver_events(config, info)?;
        self.connect_store(providers)?;
        self.connect_console(providers);
        self.connect_debug(providers);
        Ok(())
    }

    fn prepare_leftovers(&self, providers: &Providers) -> Result {
        let mut dpcs = Vec::new();
        dpcs.try_reserve_exact(self.processors.len())
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        for index in 0..self.processors.len() as u32 {
            let dpc = Dpc::new(
                Back {
                    providers,
                    target: Target::Leftover(index),
                },
                run,
            )?;
            let processor = cpu::number_of(index)?;
            dpc.set_processor(processor.Group, processor.Number)?;
            dpcs.push(dpc);
        }
        self.leftover.set(dpcs);
        Ok(())
    }

    /// Tells Xen by which interrupts events come.
    fn deliver_events(&self, config: &Config, info: &StartInfo) -> Result {
        let vectors: &[Vector] = if config.upcall_vectors {
            &info.messages
        } else {
            &[]
        };
        let mut working = 0;
        for vector in vectors {
            let Some(processor) = self.processors.get(vector.cpu as usize) else {
                continue;
            };
            match self.xen.set_upcall_vector(processor.vcpu, vector.vector) {
                Ok(()) => {
                    working += u32::from(!processor.vector.swap(true, SeqCst));
                }
                Err(error) => wdm::warn!("processor {}: {error}", vector.cpu),
            }
        }
        let line = info.line.unwrap_or(0);
        if line != 0 {
            let set = self.xen.set_param(PARAM_CALLBACK_IRQ, line.into());
            set.map_err(|error| failed("event interrupt", &error))?;
        } else if working == 0 {
            wdm::error!("no interrupt for events");
            return Err(Status::DEVICE_NOT_READY);
        }
        let abi = match self.abi {
            EventAbi::Fifo(_) => "FIFO",
            EventAbi::TwoLevel(_) => "2-level",
        };
        wdm::info!(
            "events: {abi}, {working} of {} processors by vector, GSI {line}",
            self.processors.len()
        );
        Ok(())
    }

    /// A page that the toolstack made: by its grant, else by its parameter.
    fn toolstack_page(&self, reference: u32, parameter: u32) -> Option<u64> {
        if let Some(grant) = self.grants.lock().query(reference) {
            return Some(grant.gfn.into());
        }
        self.xen.param(parameter).ok().filter(|gfn| *gfn != 0)
    }

    fn toolstack_port(&self, parameter: u32) -> Option<u32> {
        let port = u32::try_from(self.xen.param(parameter).ok()?).ok()?;
        EventAbi::is_valid(port).then_some(port)
    }

    fn connect_store(&self, providers: &Providers) -> Result {
        let gfn = self.toolstack_page(RESERVED_XENSTORE, PARAM_STORE_PFN);
        let (Some(gfn), Some(port)) = (gfn, self.toolstack_port(PARAM_STORE_EVTCHN)) else {
            wdm::error!("there is no xenstore");
            return Err(Status::DEVICE_NOT_READY);
        };
        let [mapping, _] = &self.mappings;
        mapping.set(Mapping::new(gfn)?);
        let mapping = mapping.get().ok_or(Status::INTERNAL_ERROR)?;
        // SAFETY: xenstore's page by the toolstack's word; the mapping lives in `Running`.
        let page = unsafe { mapping.shared() };
        self.store
            .set(Store::new(StoreLink::new(self.xen, page, port)?));
        self.open_service(providers, Target::Store, port, false)?;
        let store = self.store().ok_or(Status::INTERNAL_ERROR)?;
        let known = store.read(RESET_WATCHES.into(), None);
        match known {
            Ok(value) if value == b"1" => {
                if let Err(error) = store.reset_watches() {
                    wdm::warn!("a predecessor's watches stay: {error}");
                }
            }
            Ok(_) | Err(xen_guest::store::StoreError::Server(_)) => {}
            Err(error) => {
                wdm::error!("{error}");
                return Err(super::store::status(&error));
            }
        }
        Ok(())
    }

    /// A guest need not have a console.
    fn connect_console(&self, providers: &Providers) {
        let gfn = self.toolstack_page(RESERVED_CONSOLE, PARAM_CONSOLE_PFN);
        let (Some(gfn), Some(port)) = (gfn, self.toolstack_port(PARAM_CONSOLE_EVTCHN)) else {
            wdm::info!("there is no console");
            return;
        };
        let [_, place] = &self.mappings;
        let Ok(mapping) = Mapping::new(gfn) else {
            return wdm::warn!("the console's page cannot be mapped");
        };
        place.set(mapping);
        let Some(mapping) = place.get() else { return };
        // SAFETY: the console's page by the toolstack's word; the mapping lives in `Running`.
        let page = unsafe { mapping.shared() };
        self.console.set(SpinLock::new(ConsoleRing::new(page)));
        self.console_port.set(port);
        if let Err(status) = self.open_service(providers, Target::Console, port, false) {
            wdm::warn!("the console tells no news: {status}");
        }
    }

    /// `xl debug-keys q`.
    fn connect_debug(&self, providers: &Providers) {
        let vcpu = self.vcpu(0).unwrap_or(0);
        let opened = match self.xen.bind_virq(xen_abi::hypercall::VIRQ_DEBUG, vcpu) {
            Ok(port) => self.open_service(providers, Target::Debug, port, true),
            Err(error) => Err(failed("debug key", &error)),
        };
        if let Err(status) = opened {
            wdm::warn!("the debug key does nothing: {status}");
        }
    }

    /// Opens a channel that queues a DPC.
    fn open_service(
        &self,
        providers: &Providers,
        target: Target,
        port: u32,
        owns_port: bool,
    ) -> Result {
        let service = match target {
            Target::Store => &self.services[0],
            Target::Console => &self.services[1],
            _ => &self.services[2],
        };
        let dpc = Dpc::new(Back { providers, target }, run)?;
        let mut boxed = try_box(Service {
            dpc,
            channel: ChannelId::from_index(u16::MAX),
        })?;
        let open = OpenChannel {
            port,
            auto_mask: false,
            owns_port,
            vcpu: self.vcpu(0).unwrap_or(0),
            function: queue_dpc as *const () as usize,
            argument: core::ptr::from_ref(&boxed.dpc).expose_provenance(),
        };
        boxed.channel = self
            .channels
            .open(&open)
            .map_err(|error| failed("a service's channel", &error))?;
        service.set(boxed);
        self.unmask(port);
        Ok(())
    }

    /// Unmasks a port; Xen raises what waits.
    fn unmask(&self, port: u32) {
        if !self.abi.try_unmask(port) {
            self.raise(port);
        }
    }

    /// Lets Xen unmask a port and raise what waits. Any IRQL.
    pub fn raise(&self, port: u32) {
        if let Err(error) = self.xen.unmask(port) {
            wdm::error!("port {port}: {error}");
        }
    }

    /// An interrupt of a processor came. True: there were events. DIRQL.
    pub fn service(&self, index: u32) -> bool {
        self.events(index, false)
    }

    fn events(&self, index: u32, mut more: bool) -> bool {
        let (Some(vcpu_info), Some(vcpu)) = (self.vcpu_info(index), self.vcpu(index)) else {
            return false;
        };
        let mut any = false;
        for _ in 0..POLL_ROUNDS {
            if !shared_info::take_upcall(vcpu_info) && !more {
                return any;
            }
            any = true;
            let polled = self.abi.poll(vcpu, POLL_BUDGET, &mut |port| {
                self.channels
                    .deliver(&self.abi, port, |function, argument| {
                        // SAFETY: of an open channel.
                        unsafe { call(function, argument) };
                    });
            });
            more = polled.more;
        }
        // A storm: let the processor do something else in between.
        if let Some(dpc) = self
            .leftover
            .get()
            .and_then(|dpcs| dpcs.get(index as usize))
        {
            dpc.queue();
        }
        any
    }

    /// Closes everything and gives Xen's pages back. Again is fine. PASSIVE_LEVEL.
    pub fn shut_down(&self) {
        if self.down.swap(true, SeqCst) {
            return;
        }
        for service in self.services.iter().filter_map(Once::get) {
            close_channel(self, service.channel);
        }
        for id in self.channels.open_ids() {
            wdm::error!("port {:?} was left open", self.channels.port(id));
            close_channel(self, id);
        }
        shared_info::mask_all(&self.info);
        if let Err(error) = self.xen.set_param(PARAM_CALLBACK_IRQ, 0) {
            wdm::error!("event interrupt: {error}");
        }
        match reset_channels(&self.xen) {
            Ok(rebound) => wdm::info!(
                "channels closed: xenstore {:?}, console {:?}",
                rebound.store,
                rebound.console
            ),
            Err(error) => wdm::error!("event channels: {error}"),
        }
        let mut table = self.grants.lock();
        table.sweep(u32::MAX);
        let left = table.statistics();
        if left.granted != 0 || left.quarantined != 0 {
            wdm::error!(
                "{} pages are still granted, {} in quarantine",
                left.granted,
                left.quarantined
            );
        } else {
            wdm::info!(
                "no page is granted any more, {} references are held",
                left.held
            );
        }
        self.frames.lock_at_dispatch().fill();
        drop(table);
        self.info_hole.lock().fill();
        let (strays, strange) = match &self.abi {
            EventAbi::Fifo(fifo) => (self.channels.strays(), fifo.strange_ports()),
            EventAbi::TwoLevel(_) => (self.channels.strays(), 0),
        };
        wdm::info!("Xen's pages are out of memory; {strays} stray events, {strange} strange ports");
    }

    /// State for `xl debug-keys q`. IRQL <= DISPATCH_LEVEL.
    pub fn dump(&self) {
        let grants = self.grants.lock().statistics();
        wdm::info!(
            "channels {}, strays {}",
            self.channels.open_ids().count(),
            self.channels.strays()
        );
        wdm::info!("grants {grants:?}");
        if let Some(store) = self.store() {
            let odd = xen_guest::store::Link::with(store.link(), |engine| engine.counters());
            wdm::info!("xenstore {odd:?}");
        }
    }

    /// Xen.
    pub fn xen(&self) -> &Guest<Native> {
        &self.xen
    }

    /// The event ABI.
    pub fn abi(&self) -> &EventAbi {
        &self.abi
    }

    /// The open channels.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The shared info page.
    pub fn shared_info(&self) -> Shared<SharedInfo> {
        self.info
    }

    /// Xen's id of a processor.
    pub fn vcpu(&self, index: u32) -> Option<u32> {
        self.processors
            .get(index as usize)
            .map(|processor| processor.vcpu)
    }

    /// Xen's id of a processor that can hear of events: the first always, the others by vector.
    pub fn event_vcpu(&self, index: u32) -> Option<u32> {
        let processor = self.processors.get(index as usize)?;
        (index == 0 || processor.vector.load(SeqCst)).then_some(processor.vcpu)
    }

    /// A processor's event state, if the page has it.
    pub fn vcpu_info(&self, index: u32) -> Option<&VcpuInfo> {
        shared_info::vcpu_info(&self.info, self.vcpu(index)?)
    }

    /// The time of day in units of 100 ns since 1601. Any IRQL.
    pub fn file_time(&self) -> Option<u64> {
        let _raised = Raised::to_dispatch();
        let vcpu = self.vcpu(cpu::current_index())?;
        // SAFETY: RDTSC is not restricted in a kernel.
        shared_info::file_time(&self.info, vcpu, || unsafe { core::arch::x86_64::_rdtsc() })
    }

    /// The grant table. IRQL <= DISPATCH_LEVEL.
    pub fn grants(&self) -> SpinGuard<'_, GrantTable> {
        self.grants.lock()
    }

    /// Takes a reference, growing the table if need be. IRQL <= DISPATCH_LEVEL.
    pub fn hold_reference(&self) -> core::result::Result<Reference, GrantError> {
        let mut table = self.grants.lock();
        table.hold(&mut Mapper(self.frames.lock_at_dispatch()))
    }

    /// Xenstore, while it is there.
    pub fn store(&self) -> Option<&Store> {
        self.store.get().filter(|_| !self.down.load(SeqCst))
    }

    /// The console's ring, if the guest has one.
    pub fn console(&self) -> Option<&SpinLock<ConsoleRing>> {
        self.console.get().filter(|_| !self.down.load(SeqCst))
    }

    /// Tells the console daemon that bytes moved. Any IRQL.
    pub fn notify_console(&self) {
        if let Some(port) = self.console_port.get()
            && let Err(error) = self.xen.send(*port)
        {
            wdm::warn!("console: {error}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Nothing uses the FIFO ABI any more: takes its pages back, or loses them.
fn release_pages(xen: &Guest<Native>, pages: &Option<Pages>) {
    if pages.is_some()
        && let Err(error) = reset_channels(xen)
    {
        wdm::error!("event channels: {error}");
    }
}

/// A service's channel had an event: its argument is the service's DPC. DIRQL.
unsafe extern "system" fn queue_dpc(_interrupt: *mut c_void, argument: *mut c_void) -> u8 {
    // SAFETY: the DPC of a service, which closes its channel before it goes.
    let dpc = unsafe { &*argument.cast_const().cast::<Dpc<Back>>() };
    dpc.queue();
    1
}

/// The DPCs' routine. DISPATCH_LEVEL.
fn run(back: &Back) {
    // SAFETY: the providers outlive the DPC.
    let providers = unsafe { &*back.providers };
    let Some(running) = providers.running() else {
        return;
    };
    match back.target {
        Target::Store => {
            if let Some(store) = running.store() {
                store.poll();
            }
        }
        Target::Console => providers.console.wake(),
        Target::Debug => providers.dump(),
        Target::Leftover(index) => {
            let _raised = Raised::to(DEVICE_LEVEL);
            running.events(index, true);
        }
    }
}
