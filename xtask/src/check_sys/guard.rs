//! Control-flow guard: the compiler's checks, the linker's table, and the load configuration that Windows finds both by.

use super::image::Image;
use super::rules::has;
use anyhow::Context as _;
use object::LittleEndian as LE;
use object::pe;

/// Offsets in IMAGE_LOAD_CONFIG_DIRECTORY64 (winnt.h).
mod at {
    /// `GuardCFDispatchFunctionPointer`
    pub const DISPATCH: usize = 0x78;
    /// `GuardCFFunctionTable`
    pub const TABLE: usize = 0x80;
    /// `GuardCFFunctionCount`
    pub const COUNT: usize = 0x88;
    /// `GuardFlags`
    pub const FLAGS: usize = 0x90;
    /// Behind `GuardFlags`
    pub const END: usize = 0x94;
}

/// IMAGE_GUARD_CF_INSTRUMENTED, IMAGE_GUARD_CF_FUNCTION_TABLE_PRESENT
const INSTRUMENTED: u32 = 0x0000_0100;
const TABLE_PRESENT: u32 = 0x0000_0400;
/// IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_SHIFT: how many bytes follow each address in the table.
const EXTRA_SHIFT: u32 = 28;

/// The rule.
pub fn rule(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let flags = image.optional().dll_characteristics.get(LE);
    if flags & pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF == 0 {
        findings.push("is not marked for control-flow guard: link with /guard:cf".to_owned());
    }
    let configuration = image.directory_bytes(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG)?;
    if configuration.len() < at::END {
        findings.push(
            "has no load configuration, by which Windows finds what control-flow guard needs"
                .to_owned(),
        );
        return Ok(());
    }
    let guard = u32::from_le_bytes(field(configuration, at::FLAGS)?);
    if guard & INSTRUMENTED == 0 || guard & TABLE_PRESENT == 0 {
        findings.push(format!(
            "GuardFlags 0x{guard:X}: its calls are not checked, or there is no table to check them by"
        ));
        return Ok(());
    }
    let base = image.optional().image_base.get(LE);
    let address = |offset| -> anyhow::Result<Option<u32>> {
        let pointer = u64::from_le_bytes(field(configuration, offset)?);
        Ok(pointer
            .checked_sub(base)
            .and_then(|address| u32::try_from(address).ok()))
    };
    let read_only = |address: Option<u32>| {
        address
            .and_then(|address| image.section_of(address))
            .is_some_and(|section| {
                !has(section, pe::IMAGE_SCN_MEM_WRITE) && !has(section, pe::IMAGE_SCN_MEM_EXECUTE)
            })
    };
    if !read_only(address(at::DISPATCH)?) {
        findings.push(
            "the pointer that checked calls go through is not read-only: whoever writes to it is not checked"
                .to_owned(),
        );
    }
    let count = u64::from_le_bytes(field(configuration, at::COUNT)?);
    let table = address(at::TABLE)?;
    match table.filter(|_| read_only(table) && count > 0) {
        None => findings
            .push("the table of functions that may be called is empty or not read-only".to_owned()),
        Some(table) => functions(
            image,
            table,
            count,
            4 + (guard >> EXTRA_SHIFT) as usize,
            findings,
        )?,
    }
    Ok(())
}

/// The table's entries: addresses of code, in order, so that Windows can search them.
fn functions(
    image: &Image<'_>,
    table: u32,
    count: u64,
    stride: usize,
    findings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let bytes = image
        .at(table)
        .context("the table of functions lies in no section")?;
    let size = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(stride));
    let bytes = size
        .and_then(|size| bytes.get(..size))
        .context("the table of functions ends beyond its section")?;
    let mut last = 0;
    for entry in bytes.chunks_exact(stride) {
        let address = u32::from_le_bytes(field(entry, 0)?);
        let section = image.section_of(address);
        if address <= last
            || !section.is_some_and(|section| has(section, pe::IMAGE_SCN_MEM_EXECUTE))
        {
            findings.push(format!(
                "the table of functions that may be called has 0x{address:X}, which is no code or not in order"
            ));
            break;
        }
        last = address;
    }
    Ok(())
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> anyhow::Result<[u8; N]> {
    bytes
        .get(offset..offset + N)
        .and_then(|bytes| bytes.try_into().ok())
        .context("the load configuration ends early")
}
