//! What a driver may import: from whom, and which names.

use super::image::Imported;
use lab_facts::{Module, OLDEST_SUPPORTED};

/// Adds a finding for each import that the oldest supported Windows does not have, or that the driver may not use.
pub fn check(imports: &[Imported], port: Option<Module>, findings: &mut Vec<String>) {
    findings.extend(imports.iter().filter_map(|import| finding(import, port)));
    if imports.is_empty() {
        findings.push("it imports nothing: a driver calls the kernel".to_owned());
    }
}

fn finding(import: &Imported, port: Option<Module>) -> Option<String> {
    let Imported { module, name } = import;
    let allowed = match Module::from_file_name(module) {
        Some(from @ (Module::Storport | Module::Ndis)) => (port == Some(from)).then_some(from),
        other => other,
    };
    let Some(from) = allowed else {
        let also = match port {
            Some(port) => format!(", HAL.dll and {}", port.file_name()),
            None => " and HAL.dll".to_owned(),
        };
        let name = name.as_deref().unwrap_or("a number");
        return Some(format!(
            "imports {name} from {module}; allowed are ntoskrnl.exe{also}"
        ));
    };
    let Some(name) = name else {
        return Some(format!(
            "imports from {module} by number: numbers differ between versions of Windows"
        ));
    };
    let Some(function) = lab_facts::function(name) else {
        return Some(format!(
            "imports {name} from {module}: not in the list of what Windows exports"
        ));
    };
    if function.module != from {
        return Some(format!(
            "imports {name} from {module}: {} exports it",
            function.module.file_name()
        ));
    }
    (function.since > OLDEST_SUPPORTED).then(|| {
        format!(
            "imports {name}, which exists since {}: it does not load on {OLDEST_SUPPORTED}",
            function.since
        )
    })
}
