//! Unwinding by `.pdata`, as x64 images describe their frames:
//! <https://learn.microsoft.com/cpp/build/exception-handling-x64>.

use super::modules::{self, ModuleInfo};
use crate::nt::ke::{CONTEXT, PVOID};

/// `UNW_FLAG_CHAININFO`.
const CHAINED: u8 = 4;
/// Handler flags (`UNW_FLAG_EHANDLER`, `UNW_FLAG_UHANDLER`).
const HANDLER: u8 = 3;

/// `RUNTIME_FUNCTION`: three RVAs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RUNTIME_FUNCTION {
    pub BeginAddress: u32,
    pub EndAddress: u32,
    pub UnwindData: u32,
}

/// The general registers by their numbers in unwind codes.
fn register(context: &mut CONTEXT, number: u8) -> &mut u64 {
    match number {
        0 => &mut context.Rax,
        1 => &mut context.Rcx,
        2 => &mut context.Rdx,
        3 => &mut context.Rbx,
        4 => &mut context.Rsp,
        5 => &mut context.Rbp,
        6 => &mut context.Rsi,
        7 => &mut context.Rdi,
        8 => &mut context.R8,
        9 => &mut context.R9,
        10 => &mut context.R10,
        11 => &mut context.R11,
        12 => &mut context.R12,
        13 => &mut context.R13,
        14 => &mut context.R14,
        _ => &mut context.R15,
    }
}

/// Reads the stack: bug checks unwind stacks that may be broken, so every read is checked first.
fn stack(address: u64) -> Option<u64> {
    let at = address as usize;
    if !at.is_multiple_of(8) || !crate::mm::is_mapped(at) {
        return None;
    }
    // SAFETY: mapped, and aligned, so on one page.
    Some(unsafe { (at as *const u64).read() })
}

/// A function's unwind information.
struct Info {
    flags: u8,
    prolog: u8,
    count: u8,
    frame_register: u8,
    frame_offset: u64,
    codes: *const u16,
}

impl Info {
    /// # Safety
    /// `rva` must be unwind information of the image at `base`.
    unsafe fn read(base: usize, rva: u32) -> Self {
        let p = (base + rva as usize) as *const u8;
        Self {
            flags: *p >> 3,
            prolog: *p.add(1),
            count: *p.add(2),
            frame_register: *p.add(3) & 15,
            frame_offset: u64::from(*p.add(3) >> 4) * 16,
            codes: p.add(4).cast(),
        }
    }

    unsafe fn code(&self, index: u8) -> u16 {
        if index < self.count {
            *self.codes.add(usize::from(index))
        } else {
            0
        }
    }

    /// What follows the codes (they are padded to an even count).
    unsafe fn tail(&self) -> *const u32 {
        self.codes
            .add(usize::from(self.count).next_multiple_of(2))
            .cast()
    }
}

/// Undoes what the prologue did as far as `offset` (from the function's start) had got. True if a machine frame was found,
/// which has restored Rip and Rsp.
unsafe fn undo(info: &Info, offset: u64, frame: u64, context: &mut CONTEXT) -> Option<bool> {
    let mut index = 0;
    while index < info.count {
        let code = info.code(index);
        let (at, op, arg) = (code as u8, (code >> 8) as u8 & 15, (code >> 12) as u8);
        let slots = match (op, arg) {
            (1, 0) | (4, _) | (8, _) => 2,
            (1, _) | (5, _) | (9, _) => 3,
            _ => 1,
        };
        if u64::from(at) <= offset {
            let (low, high) = (
                u64::from(info.code(index + 1)),
                u64::from(info.code(index + 2)),
            );
            match op {
                0 => {
                    *register(context, arg) = stack(context.Rsp)?;
                    context.Rsp += 8;
                }
                1 if arg == 0 => context.Rsp += low * 8,
                1 => context.Rsp += low | high << 16,
                2 => context.Rsp += u64::from(arg) * 8 + 8,
                3 => {
                    context.Rsp =
                        (*register(context, info.frame_register)).wrapping_sub(info.frame_offset)
                }
                4 => *register(context, arg) = stack(frame + low * 8)?,
                5 => *register(context, arg) = stack(frame + (low | high << 16))?,
                8 => restore_xmm(context, arg, frame + low * 16)?,
                9 => restore_xmm(context, arg, frame + (low | high << 16))?,
                10 => {
                    let at = context.Rsp + u64::from(arg) * 8;
                    context.Rip = stack(at)?;
                    context.Rsp = stack(at + 24)?;
                    return Some(true);
                }
                _ => {}
            }
        }
        index += slots;
    }
    Some(false)
}

fn restore_xmm(context: &mut CONTEXT, number: u8, at: u64) -> Option<()> {
    let xmm = context.Xmm.get_mut(usize::from(number))?;
    xmm.Low = stack(at)?;
    xmm.High = stack(at + 8)? as i64;
    Some(())
}

/// The handler that a frame has, and its data.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// The routine
    pub routine: usize,
    /// Its data
    pub data: usize,
}

/// One step from `context` to its caller; gives the frame's establisher and its handler.
unsafe fn step(
    module: &ModuleInfo,
    function: RUNTIME_FUNCTION,
    context: &mut CONTEXT,
) -> Option<(u64, Option<Handler>)> {
    let mut function = function;
    let mut offset = context
        .Rip
        .wrapping_sub(module.base as u64 + u64::from(function.BeginAddress));
    let mut info = Info::read(module.base, function.UnwindData);
    let frame = if info.frame_register != 0 && offset >= u64::from(info.prolog) {
        (*register(context, info.frame_register)).wrapping_sub(info.frame_offset)
    } else {
        context.Rsp
    };
    let in_body = offset >= u64::from(info.prolog);
    let handler =
        (info.flags & HANDLER != 0 && info.flags & CHAINED == 0 && in_body).then(|| Handler {
            routine: module.base + *info.tail() as usize,
            data: info.tail().add(1) as usize,
        });
    loop {
        if undo(&info, offset, frame, context)? {
            return Some((frame, handler));
        }
        if info.flags & CHAINED == 0 {
            break;
        }
        function = info.tail().cast::<RUNTIME_FUNCTION>().read_unaligned();
        offset = u64::MAX;
        info = Info::read(module.base, function.UnwindData);
    }
    context.Rip = stack(context.Rsp)?;
    context.Rsp += 8;
    Some((frame, handler))
}

/// The entry for `address` in its module's table.
fn lookup(
    module: &ModuleInfo,
    address: usize,
) -> Option<(*mut RUNTIME_FUNCTION, RUNTIME_FUNCTION)> {
    let count = module.pdata_len as usize / size_of::<RUNTIME_FUNCTION>();
    let table = (module.base + module.pdata_rva as usize) as *mut RUNTIME_FUNCTION;
    let rva = (address - module.base) as u32;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        // SAFETY: within the image's table.
        let f = unsafe { table.add(middle).read() };
        if rva < f.BeginAddress {
            high = middle;
        } else if rva >= f.EndAddress {
            low = middle + 1;
        } else {
            return Some((table.wrapping_add(middle), f));
        }
    }
    None
}

/// One frame outwards, in whatever module; `None` where the walk ends. A function without an entry is a leaf.
pub fn unwind(context: &mut CONTEXT) -> Option<()> {
    let module = modules::find(context.Rip as usize)?;
    match lookup(&module, context.Rip as usize) {
        // SAFETY: the entry is the module's.
        Some((_, function)) => unsafe { step(&module, function, context) }.map(|_| ()),
        None => {
            context.Rip = stack(context.Rsp)?;
            context.Rsp += 8;
            Some(())
        }
    }
}

/// Fills `frames` with return addresses, from `context` outwards: by unwind data in images that have it; elsewhere (the
/// executive's own code) by looking for return addresses on the stack, which may find old ones too. Gives the count.
pub fn walk(context: &CONTEXT, frames: &mut [u64]) -> usize {
    let mut context = *context;
    let mut count = 0;
    for _ in 0..256 {
        let Some(slot) = frames.get_mut(count) else {
            break;
        };
        *slot = context.Rip;
        // What the scan finds again and again is not a recursion but what the stack happens to hold.
        if count == 0 || frames[count - 1] != context.Rip {
            count += 1;
        }
        let described = modules::find(context.Rip as usize).is_some_and(|m| m.pdata_len != 0);
        let next = if described {
            unwind(&mut context)
        } else {
            scan(&mut context)
        };
        if next.is_none() || context.Rip == 0 {
            break;
        }
    }
    count
}

/// Looks upwards on the stack for a return address, for at most 4 KiB.
fn scan(context: &mut CONTEXT) -> Option<()> {
    let begin = context.Rsp & !7;
    for at in (begin..begin + 4096).step_by(8) {
        let value = stack(at)?;
        if is_return_address(value as usize) {
            context.Rip = value;
            context.Rsp = at + 8;
            return Some(());
        }
    }
    None
}

/// Is `address` in an image, behind a call? `E8` with 4 bytes, or `FF /2` with 2 to 7 bytes in all.
fn is_return_address(address: usize) -> bool {
    let Some(module) = modules::find(address) else {
        return false;
    };
    if address < module.base + 8
        || !crate::mm::is_mapped(address - 8)
        || !crate::mm::is_mapped(address)
    {
        return false;
    }
    // SAFETY: mapped, both ends.
    let code = unsafe { ((address - 8) as *const [u8; 8]).read() };
    let indirect = |len: usize| code[8 - len] == 0xFF && code[9 - len] >> 3 & 7 == 2;
    code[3] == 0xE8 || (2..=7).any(indirect)
}

/// `RtlLookupFunctionEntry`. Any IRQL.
pub unsafe extern "win64" fn RtlLookupFunctionEntry(
    ControlPc: u64,
    ImageBase: *mut u64,
    _HistoryTable: PVOID,
) -> *mut RUNTIME_FUNCTION {
    let Some(module) = modules::find(ControlPc as usize) else {
        return core::ptr::null_mut();
    };
    if !ImageBase.is_null() {
        *ImageBase = module.base as u64;
    }
    lookup(&module, ControlPc as usize).map_or(core::ptr::null_mut(), |(entry, _)| entry)
}

/// `RtlVirtualUnwind`: `ContextRecord` becomes the caller's. `HandlerType` 0 asks for no handler. Where the stack cannot
/// be read Rip becomes 0, which ends a walk.
pub unsafe extern "win64" fn RtlVirtualUnwind(
    HandlerType: u32,
    ImageBase: u64,
    _ControlPc: u64,
    FunctionEntry: *mut RUNTIME_FUNCTION,
    ContextRecord: *mut CONTEXT,
    HandlerData: *mut PVOID,
    EstablisherFrame: *mut u64,
    _ContextPointers: PVOID,
) -> PVOID {
    let context = &mut *ContextRecord;
    let Some(module) = modules::find(ImageBase as usize) else {
        context.Rip = 0;
        return core::ptr::null_mut();
    };
    let Some((frame, handler)) = step(&module, *FunctionEntry, context) else {
        context.Rip = 0;
        return core::ptr::null_mut();
    };
    *EstablisherFrame = frame;
    match handler {
        Some(h) if HandlerType != 0 => {
            *HandlerData = h.data as PVOID;
            h.routine as PVOID
        }
        _ => core::ptr::null_mut(),
    }
}

/// Saves the caller's registers as they are when this returns to it.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub unsafe extern "win64" fn RtlCaptureContext(ContextRecord: *mut CONTEXT) {
    core::arch::naked_asm!(
        "mov [rcx + 120], rax",
        "mov [rcx + 128], rcx",
        "mov [rcx + 136], rdx",
        "mov [rcx + 144], rbx",
        "lea rax, [rsp + 8]",
        "mov [rcx + 152], rax",
        "mov [rcx + 160], rbp",
        "mov [rcx + 168], rsi",
        "mov [rcx + 176], rdi",
        "mov [rcx + 184], r8",
        "mov [rcx + 192], r9",
        "mov [rcx + 200], r10",
        "mov [rcx + 208], r11",
        "mov [rcx + 216], r12",
        "mov [rcx + 224], r13",
        "mov [rcx + 232], r14",
        "mov [rcx + 240], r15",
        "mov rax, [rsp]",
        "mov [rcx + 248], rax",
        "fxsave [rcx + 256]",
        "stmxcsr [rcx + 52]",
        "mov word ptr [rcx + 56], cs",
        "mov word ptr [rcx + 58], ds",
        "mov word ptr [rcx + 60], es",
        "mov word ptr [rcx + 62], fs",
        "mov word ptr [rcx + 64], gs",
        "mov word ptr [rcx + 66], ss",
        "pushfq",
        "pop rax",
        "mov [rcx + 68], eax",
        "mov dword ptr [rcx + 48], 0x10000F",
        "mov rax, [rcx + 120]",
        "ret",
    )
}

/// `RtlCaptureStackBackTrace`: return addresses after the first `FramesToSkip`. At most APC_LEVEL by its page; works at any.
pub unsafe extern "win64" fn RtlCaptureStackBackTrace(
    FramesToSkip: u32,
    FramesToCapture: u32,
    BackTrace: *mut PVOID,
    BackTraceHash: *mut u32,
) -> u16 {
    let mut context = core::mem::MaybeUninit::<CONTEXT>::uninit();
    RtlCaptureContext(context.as_mut_ptr());
    let mut frames = [0u64; 64];
    let count = walk(context.assume_init_ref(), &mut frames);
    let images = frames[..count]
        .iter()
        .filter(|&&f| modules::find(f as usize).is_some());
    let mut hash = 0u32;
    let mut taken = 0;
    for (i, &frame) in images
        .skip(FramesToSkip as usize)
        .take(FramesToCapture as usize)
        .enumerate()
    {
        *BackTrace.add(i) = frame as PVOID;
        hash = hash.wrapping_add(frame as u32);
        taken += 1;
    }
    if !BackTraceHash.is_null() {
        *BackTraceHash = hash;
    }
    taken
}

exports! { pub static EXPORTS;
    Ntoskrnl { RtlLookupFunctionEntry, RtlVirtualUnwind, RtlCaptureContext, RtlCaptureStackBackTrace }
}
