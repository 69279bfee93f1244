//! What a driver's image file says: the parts of the PE format that a kernel loader uses. The parsing is the `object`
//! crate's; nothing here writes outside of the buffer that it is given.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{
    ImageNtHeaders, ImageOptionalHeader, Import as PeImport, PeFile64, ResourceDirectoryEntryData,
};

use crate::machine::{PAGE_SIZE, Protection};

/// Why an image cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// Not a PE file, or a broken one.
    #[error("not an image that can be loaded: {0}")]
    Malformed(String),
    /// A PE file that is no x64 kernel driver.
    #[error("not a 64-bit kernel driver: {0}")]
    NotADriver(&'static str),
    /// A section that may be written and executed.
    #[error("section {0} is both writable and executable")]
    WritableCode(String),
}

impl From<object::Error> for PeError {
    fn from(e: object::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

fn malformed<T>(what: &str) -> Result<T, PeError> {
    Err(PeError::Malformed(what.to_string()))
}

/// An import of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The image that exports it, as the import table spells it
    pub module: String,
    /// Its name
    pub name: String,
    /// Where its address goes, from the image's start
    pub slot: u32,
}

/// A driver's image file.
pub struct Pe<'a> {
    file: PeFile64<'a>,
    data: &'a [u8],
}

/// The largest image that is believed.
const MOST: u32 = 64 << 20;

impl<'a> Pe<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// If the file is no x64 image of the native subsystem.
    pub fn parse(data: &'a [u8]) -> Result<Self, PeError> {
        let file = PeFile64::parse(data)?;
        let pe = Self { file, data };
        let nt = pe.file.nt_headers();
        if nt.file_header().machine.get(LE) != pe::IMAGE_FILE_MACHINE_AMD64 {
            return Err(PeError::NotADriver("it is for another processor"));
        }
        if nt.optional_header().subsystem() != pe::IMAGE_SUBSYSTEM_NATIVE {
            return Err(PeError::NotADriver("its subsystem is not NATIVE"));
        }
        let size = pe.size();
        if size == 0 || size > MOST || pe.headers() > size {
            return malformed("SizeOfImage");
        }
        Ok(pe)
    }

    fn optional(&self) -> &pe::ImageOptionalHeader64 {
        self.file.nt_headers().optional_header()
    }

    /// Bytes that the image takes, rounded up to pages.
    pub fn size(&self) -> u32 {
        self.optional()
            .size_of_image()
            .checked_next_multiple_of(PAGE_SIZE as u32)
            .unwrap_or(u32::MAX)
    }

    fn headers(&self) -> u32 {
        self.optional().size_of_headers()
    }

    /// The entry point, from the image's start; 0 if there is none.
    pub fn entry(&self) -> u32 {
        self.optional().address_of_entry_point()
    }

    /// The exception directory: start and length.
    pub fn exceptions(&self) -> (u32, u32) {
        self.file
            .data_directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION)
            .map_or((0, 0), |d| d.address_range())
    }

    /// Copies headers and sections to their places. `image` is zeroed and [`Pe::size`] long.
    ///
    /// # Errors
    /// If a section lies outside of the image.
    pub fn map(&self, image: &mut [u8]) -> Result<(), PeError> {
        let head = self.headers() as usize;
        match (image.get_mut(..head), self.data.get(..head)) {
            (Some(to), Some(from)) => to.copy_from_slice(from),
            _ => return malformed("SizeOfHeaders"),
        }
        for section in self.file.section_table().iter() {
            let from = section.pe_data(self.data)?;
            let start = section.virtual_address.get(LE) as usize;
            let Some(to) = start
                .checked_add(from.len())
                .and_then(|end| image.get_mut(start..end))
            else {
                return malformed("a section lies outside of the image");
            };
            to.copy_from_slice(from);
        }
        Ok(())
    }

    /// Adjusts a mapped image to run at `base`.
    ///
    /// # Errors
    /// If a relocation lies outside of the image or is of a kind that x64 images do not have.
    pub fn relocate(&self, image: &mut [u8], base: u64) -> Result<(), PeError> {
        let delta = base.wrapping_sub(self.optional().image_base());
        let blocks = self
            .file
            .data_directories()
            .relocation_blocks(self.data, &self.file.section_table())?;
        let Some(mut blocks) = blocks else {
            return Ok(());
        };
        while let Some(block) = blocks.next()? {
            for r in block {
                match r.typ {
                    pe::IMAGE_REL_BASED_ABSOLUTE => {}
                    pe::IMAGE_REL_BASED_DIR64 => add(image, r.virtual_address, delta)?,
                    other => return malformed(&format!("relocation of type {other}")),
                }
            }
        }
        Ok(())
    }

    /// What the image imports.
    ///
    /// # Errors
    /// If the table is broken, or imports by number, which no kernel image exports by.
    pub fn imports(&self) -> Result<Vec<Import>, PeError> {
        let mut out = Vec::new();
        let Some(table) = self.file.import_table()? else {
            return Ok(out);
        };
        let mut descriptors = table.descriptors()?;
        while let Some(d) = descriptors.next()? {
            let module = String::from_utf8_lossy(table.name(d.name.get(LE))?).into_owned();
            let first = d.first_thunk.get(LE);
            let names = match d.original_first_thunk.get(LE) {
                0 => first,
                names => names,
            };
            let mut thunks = table.thunks(names)?;
            let mut slot = first;
            while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
                match table.import::<pe::ImageNtHeaders64>(thunk)? {
                    PeImport::Name(_, name) => {
                        let name = String::from_utf8_lossy(name).into_owned();
                        out.push(Import {
                            module: module.clone(),
                            name,
                            slot,
                        });
                    }
                    PeImport::Ordinal(n) => {
                        return malformed(&format!("import of {module} by number {n}"));
                    }
                }
                slot = slot.wrapping_add(8);
            }
        }
        Ok(out)
    }

    /// What the image exports: names and places from the image's start. Forwarded names are left out: drivers have none.
    ///
    /// # Errors
    /// If the table is broken.
    pub fn exports(&self) -> Result<BTreeMap<String, u32>, PeError> {
        let mut out = BTreeMap::new();
        let Some(table) = self.file.export_table()? else {
            return Ok(out);
        };
        for (pointer, ordinal) in table.name_iter() {
            let name = String::from_utf8_lossy(table.name_from_pointer(pointer)?).into_owned();
            let address = table.address_by_index(ordinal.into())?;
            if !table.is_forward(address) {
                out.insert(name, address);
            }
        }
        Ok(out)
    }

    /// True if the place lies in code.
    pub fn is_code(&self, address: u32) -> bool {
        self.file.section_table().iter().any(|s| {
            let start = s.virtual_address.get(LE);
            s.characteristics.get(LE) & pe::IMAGE_SCN_MEM_EXECUTE != 0
                && address >= start
                && address - start < s.virtual_size.get(LE).max(s.size_of_raw_data.get(LE))
        })
    }

    /// The protection of each run of pages: start, bytes, access. Headers are read only.
    ///
    /// # Errors
    /// If a section is writable and executable.
    pub fn protections(&self) -> Result<Vec<(u32, u32, Protection)>, PeError> {
        let page = PAGE_SIZE as u32;
        let mut out = Vec::from([(0, self.headers().next_multiple_of(page), Protection::Read)]);
        for s in self.file.section_table().iter() {
            let flags = s.characteristics.get(LE);
            let (write, execute) = (
                flags & pe::IMAGE_SCN_MEM_WRITE != 0,
                flags & pe::IMAGE_SCN_MEM_EXECUTE != 0,
            );
            let protection = match (write, execute) {
                (true, true) => {
                    let name = String::from_utf8_lossy(s.raw_name()).into_owned();
                    return Err(PeError::WritableCode(name));
                }
                (true, false) => Protection::ReadWrite,
                (false, true) => Protection::ReadExecute,
                (false, false) => Protection::Read,
            };
            let size = s.virtual_size.get(LE).max(s.size_of_raw_data.get(LE));
            let start = s.virtual_address.get(LE);
            if start.checked_add(size).is_none_or(|end| end > self.size())
                || !start.is_multiple_of(page)
            {
                return malformed("a section lies outside of the image or off a page");
            }
            out.push((start, size.next_multiple_of(page), protection));
        }
        Ok(out)
    }

    /// FILEVERSION of the version resource, or an empty string.
    pub fn version(&self) -> String {
        self.version_resource().unwrap_or_default()
    }

    fn version_resource(&self) -> Option<String> {
        let sections = self.file.section_table();
        let directory = self
            .file
            .data_directories()
            .resource_directory(self.data, &sections)
            .ok()??;
        let mut table = directory.root().ok()?;
        let mut entry = table
            .entries
            .iter()
            .find(|e| e.name_or_id().id() == Some(pe::RT_VERSION))?;
        let data = loop {
            match entry.data(directory).ok()? {
                ResourceDirectoryEntryData::Table(t) => {
                    table = t;
                    entry = table.entries.first()?;
                }
                ResourceDirectoryEntryData::Data(d) => break d,
            }
        };
        let (start, size) = (data.offset_to_data.get(LE), data.size.get(LE) as usize);
        let bytes = sections.pe_data_at(self.data, start)?.get(..size)?;
        // VS_FIXEDFILEINFO begins with this signature; the version is in its third and fourth number.
        let at = bytes
            .windows(4)
            .position(|w| w == 0xfeef_04bd_u32.to_le_bytes())?;
        let word = |n: usize| {
            let b = bytes.get(at + n..at + n + 2)?;
            Some(u16::from_le_bytes([b[0], b[1]]))
        };
        Some(format!(
            "{}.{}.{}.{}",
            word(10)?,
            word(8)?,
            word(14)?,
            word(12)?
        ))
    }
}

fn add(image: &mut [u8], at: u32, delta: u64) -> Result<(), PeError> {
    let at = at as usize;
    let Some(slot) = at.checked_add(8).and_then(|end| image.get_mut(at..end)) else {
        return malformed("a relocation lies outside of the image");
    };
    let mut old = [0; 8];
    old.copy_from_slice(slot);
    slot.copy_from_slice(&u64::from_le_bytes(old).wrapping_add(delta).to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
