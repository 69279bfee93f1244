//! AddService directives.

use crate::document::{Document, Line};
use crate::error::{Error, Problem};
use crate::registry;
use crate::text::number32;
use lab_protocol::bundle::Service;

/// SPSVCINST_ASSOCSERVICE: the service is the device's function driver.
const ASSOC_SERVICE: u32 = 0x0000_0002;

/// The services that a DDInstall.Services section makes.
pub(crate) fn services(document: &Document, lines: &[Line]) -> Result<Vec<Service>, Error> {
    lines
        .iter()
        // `AddService=,2` says that the device needs no function driver.
        .filter(|line| line.is("AddService") && !line.value(0).is_empty())
        .map(|line| service(document, line))
        .collect()
}

fn service(document: &Document, line: &Line) -> Result<Service, Error> {
    let flags = match line.value(1) {
        "" => 0,
        text => document.on(line, number32(text))?,
    };
    let section = line.value(2);
    if section.is_empty() {
        let problem = Problem::NoValue {
            entry: format!("AddService={}", line.value(0)),
            what: "a service-install section: AddService=name,flags,section",
        };
        return Err(document.error(line.number, problem));
    }
    let entries = document.required(section, line.number)?;
    let optional = |entry: &'static str| entries.iter().find(|line| line.is(entry));
    let required = |entry: &'static str| {
        optional(entry)
            .filter(|line| !line.value(0).is_empty())
            .ok_or_else(|| {
                let section = section.to_owned();
                document.error(line.number, Problem::NoEntry { section, entry })
            })
    };
    let number = |entry: &'static str| {
        let line = required(entry)?;
        document.on(line, number32(line.value(0)))
    };
    let boot_flags = optional("BootFlags")
        .map(|line| document.on(line, number32(line.value(0))))
        .transpose()?;
    Ok(Service {
        name: line.value(0).to_owned(),
        function_driver: flags & ASSOC_SERVICE != 0,
        service_type: number("ServiceType")?,
        start_type: number("StartType")?,
        error_control: number("ErrorControl")?,
        binary: file_name(required("ServiceBinary")?.value(0)).to_owned(),
        load_order_group: optional("LoadOrderGroup").map(|line| line.value(0).to_owned()),
        boot_flags,
        registry: registry::changes(document, entries)?,
    })
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('\\').next().unwrap_or(path)
}
