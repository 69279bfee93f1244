//! Driver packages: a folder with INF files and what they copy.

use crate::document::{Document, Line};
use crate::error::{Error, Problem};
use crate::install::install;
use crate::models::{self, Windows};
use lab_protocol::bundle::{Image, Model, Package};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// SERVICE_KERNEL_DRIVER and SERVICE_FILE_SYSTEM_DRIVER: what runs in the kernel.
const KERNEL_SERVICES: u32 = 0x0000_0003;

/// Reads each INF of a folder with the images that it copies, in the order of their names.
///
/// # Errors
/// A folder without INFs, an INF with an error in it, an image that is not there.
pub fn read_folder(folder: &Path, windows: Windows) -> Result<Vec<Package>, Error> {
    let error = |problem| Error {
        file: folder.display().to_string(),
        line: 0,
        problem,
    };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> = entries
        .map_err(|cause| error(Problem::Unreadable(cause)))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("inf"))
        })
        .collect();
    if paths.is_empty() {
        return Err(error(Problem::NoInf));
    }
    paths.sort();
    paths.iter().map(|path| read(path, windows)).collect()
}

/// Reads an INF and the images that it copies, which lie beside it.
///
/// # Errors
/// An error in the INF, or an image that is not there.
pub fn read(path: &Path, windows: Windows) -> Result<Package, Error> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|cause| Error {
        file: file.clone(),
        line: 0,
        problem: Problem::Unreadable(cause),
    })?;
    let document = Document::parse(&file, &bytes)?;
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut package = describe(&document, name.unwrap_or_default(), windows)?;
    package.images = images(&document, &package.models, folder)?;
    Ok(package)
}

/// What an INF says, without the images that it copies. `inf` is its file's name.
///
/// # Errors
/// An error in the INF.
pub fn describe(document: &Document, inf: String, windows: Windows) -> Result<Package, Error> {
    let version = document.required("Version", 0)?;
    let entry = |entry: &'static str| {
        version.iter().find(|line| line.is(entry)).ok_or_else(|| {
            let section = "Version".to_owned();
            document.error(0, Problem::NoEntry { section, entry })
        })
    };
    let signature = entry("Signature")?;
    if !["$Windows NT$", "$Chicago$"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(signature.value(0)))
    {
        let problem = Problem::Signature(signature.value(0).to_owned());
        return Err(document.error(signature.number, problem));
    }
    Ok(Package {
        inf,
        class: entry("Class")?.value(0).to_owned(),
        class_guid: entry("ClassGuid")?.value(0).to_owned(),
        provider: entry("Provider")?.value(0).to_owned(),
        driver_version: entry("DriverVer")?.values.join(","),
        models: models(document, windows)?,
        images: Vec::new(),
    })
}

/// The name of the catalog that an INF's package has, if the INF says one.
#[must_use]
pub fn catalog(document: &Document) -> Option<&str> {
    let version = document.section("Version")?;
    let entry = ["CatalogFile", "CatalogFile.NTamd64"]
        .iter()
        .find_map(|name| version.iter().find(|line| line.is(name)))?;
    Some(entry.value(0)).filter(|name| !name.is_empty())
}

fn models(document: &Document, windows: Windows) -> Result<Vec<Model>, Error> {
    let mut models = Vec::new();
    for (_, lines) in models::sections(document, windows)? {
        for line in lines {
            models.push(model(document, line)?);
        }
    }
    Ok(models)
}

/// `description = install section, hardware id[, compatible id…]`
fn model(document: &Document, line: &Line) -> Result<Model, Error> {
    let missing = |what| {
        let entry = line.key.clone().unwrap_or_default();
        document.error(line.number, Problem::NoValue { entry, what })
    };
    let description = line
        .key
        .clone()
        .ok_or_else(|| missing("a device's description before a '='"))?;
    let ids: Vec<String> = line
        .values
        .iter()
        .skip(1)
        .filter(|id| !id.is_empty())
        .cloned()
        .collect();
    if ids.is_empty() {
        return Err(missing(
            "a hardware id: description = install section,hardware id",
        ));
    }
    let section = models::install_section(document, line.value(0), line.number)?;
    Ok(Model {
        description,
        ids,
        install: install(document, &section, line.number)?,
    })
}

/// The kernel images that the models copy, each once, and every service's image is among them.
fn images(document: &Document, models: &[Model], folder: &Path) -> Result<Vec<Image>, Error> {
    let mut images = BTreeMap::new();
    for install in models.iter().map(|model| &model.install) {
        for file in install.files.iter().filter(|file| is_image(file)) {
            images.insert(file.to_lowercase(), file.clone());
        }
        for service in &install.services {
            let runs_in_kernel = service.service_type & KERNEL_SERVICES != 0;
            let copied = install
                .files
                .iter()
                .any(|file| file.eq_ignore_ascii_case(&service.binary));
            if runs_in_kernel && !copied {
                return Err(document.error(0, Problem::NotCopied(service.binary.clone())));
            }
        }
    }
    images
        .into_values()
        .map(|name| {
            let path = find(folder, &name)
                .ok_or_else(|| document.error(0, Problem::NoImage(name.clone())))?;
            let bytes = fs::read(&path).map_err(|cause| Error {
                file: path.display().to_string(),
                line: 0,
                problem: Problem::Unreadable(cause),
            })?;
            Ok(Image { name, bytes })
        })
        .collect()
}

fn is_image(file: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("sys"))
}

/// A file of the folder by its name, without regard to case, as Windows looks.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = folder.join(name);
    if exact.is_file() {
        return Some(exact);
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|own| own.to_string_lossy().eq_ignore_ascii_case(name))
    })
}
