//! A PE32+ image, as far as the rules look at it. Everything is read through the `object` crate with its bounds checks.

use anyhow::{Context as _, bail};
use object::pe::{
    self, ImageDebugDirectory, ImageFileHeader, ImageNtHeaders64, ImageOptionalHeader64,
    ImageSectionHeader,
};
use object::read::pe::{Import, PeFile64};
use object::{LittleEndian as LE, pod};

/// An image and its bytes.
pub struct Image<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    file: PeFile64<'a>,
}

/// An imported name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Who exports it.
    pub module: String,
    /// Its name, or `None` if it is imported by number.
    pub name: Option<String>,
}

impl<'a> Image<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// If the bytes are no PE32+ image.
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Self> {
        if !bytes.starts_with(b"MZ") {
            bail!("it does not start with MZ: it is no PE image at all");
        }
        let file = PeFile64::parse(bytes).context("it is no 64-bit PE image (PE32+)")?;
        Ok(Self { bytes, file })
    }

    /// The file header.
    pub fn header(&self) -> &ImageFileHeader {
        &self.file.nt_headers().file_header
    }

    /// The optional header.
    pub fn optional(&self) -> &ImageOptionalHeader64 {
        &self.file.nt_headers().optional_header
    }

    /// Where the checksum lies in the file.
    pub fn checksum_offset(&self) -> usize {
        let nt = self.file.dos_header().nt_headers_offset() as usize;
        // The signature, the file header, and what stands before the checksum in the optional header.
        nt + 4 + size_of::<ImageFileHeader>() + 64
    }

    /// The section headers.
    pub fn sections(&self) -> impl Iterator<Item = &ImageSectionHeader> {
        self.file.section_table().iter()
    }

    /// The section that holds an address (RVA).
    pub fn section_of(&self, address: u32) -> Option<&ImageSectionHeader> {
        self.sections().find(|section| {
            let start = section.virtual_address.get(LE);
            let size = section
                .virtual_size
                .get(LE)
                .max(section.size_of_raw_data.get(LE));
            address
                .checked_sub(start)
                .is_some_and(|offset| offset < size)
        })
    }

    /// The bytes of a section from an address (RVA) on, as far as the file has them.
    pub fn at(&self, address: u32) -> Option<&'a [u8]> {
        let section = self.section_of(address)?;
        let start = section.pointer_to_raw_data.get(LE);
        let offset = start.checked_add(address - section.virtual_address.get(LE))?;
        let end = start.checked_add(section.size_of_raw_data.get(LE))?;
        self.bytes.get(offset as usize..end as usize)
    }

    /// The address and size of a data directory; zero where there is none.
    pub fn directory(&self, index: usize) -> (u32, u32) {
        self.file
            .data_directory(index)
            .map_or((0, 0), pe::ImageDataDirectory::address_range)
    }

    /// The bytes of a data directory; empty where there is none.
    pub fn directory_bytes(&self, index: usize) -> anyhow::Result<&'a [u8]> {
        match self.file.data_directory(index) {
            Some(directory) if self.directory(index) != (0, 0) => directory
                .data(self.bytes, &self.file.section_table())
                .with_context(|| format!("data directory {index} lies in no section")),
            _ => Ok(&[]),
        }
    }

    /// The entries of the debug directory, each with its data.
    pub fn debug_entries(&self) -> anyhow::Result<Vec<(u32, &'a [u8])>> {
        let bytes = self.directory_bytes(pe::IMAGE_DIRECTORY_ENTRY_DEBUG)?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let entries = pod::slice_from_all_bytes::<ImageDebugDirectory>(bytes)
            .ok()
            .context("the debug directory is no list of entries")?;
        let data = |entry: &ImageDebugDirectory| {
            let start = entry.pointer_to_raw_data.get(LE) as usize;
            let end = start.checked_add(entry.size_of_data.get(LE) as usize)?;
            Some((entry.typ.get(LE), self.bytes.get(start..end)?))
        };
        entries
            .iter()
            .map(|entry| data(entry).context("a debug entry lies beyond the file"))
            .collect()
    }

    /// All imports.
    pub fn imports(&self) -> anyhow::Result<Vec<Imported>> {
        let mut imports = Vec::new();
        let Some(table) = self
            .file
            .import_table()
            .context("the import table cannot be read")?
        else {
            return Ok(imports);
        };
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            let module = table
                .name(descriptor.name.get(LE))
                .context("a module's name")?;
            let module = String::from_utf8_lossy(module).into_owned();
            let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
            while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
                let name = match table.import::<ImageNtHeaders64>(thunk)? {
                    Import::Ordinal(_) => None,
                    Import::Name(_, name) => Some(String::from_utf8_lossy(name).into_owned()),
                };
                imports.push(Imported {
                    module: module.clone(),
                    name,
                });
            }
        }
        Ok(imports)
    }

    /// The names of all exports.
    pub fn exports(&self) -> anyhow::Result<Vec<String>> {
        let Some(table) = self
            .file
            .export_table()
            .context("the export table cannot be read")?
        else {
            return Ok(Vec::new());
        };
        table
            .name_iter()
            .map(|(name, _)| {
                Ok(String::from_utf8_lossy(table.name_from_pointer(name)?).into_owned())
            })
            .collect()
    }
}
