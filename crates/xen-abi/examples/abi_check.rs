//! Compares every size, offset and constant of this crate with Xen's C headers (Debian: libxen-dev).
//!
//! Writes a C program that prints the headers' values, compiles it with `$CC` (else `cc`), runs it and
//! compares line by line. Exit status 0: all agree; 1: differences, or no C compiler or headers.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use xen_abi::{Claim, Subject};

/// The interface version whose names are compared: the latest that the headers know.
const PROLOGUE: &str = r#"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/hvm/pvdrivers.h>
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

static const struct { const char *name; int number; } products[] = {
#define PRODUCT(name, number) { name, number },
    PVDRIVERS_PRODUCT_LIST(PRODUCT)
};
static long long product(const char *name)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (!strcmp(products[i].name, name)) return products[i].number;
    return -1;
}
static long long xs_error(const char *name)
{
    for (size_t i = 0; i < sizeof xsd_errors / sizeof *xsd_errors; i++)
        if (!strcmp(xsd_errors[i].errstring, name)) return xsd_errors[i].errnum;
    return -1;
}
int main(void)
{
"#;

/// One comparison: a C expression and what the crate says it is.
struct Check {
    expression: String,
    expected: Claim,
}

fn checks() -> Vec<Check> {
    let facts = xen_abi::facts().map(|fact| Check {
        expression: match fact.subject {
            Subject::Size(of) => format!("sizeof({of})"),
            Subject::Offset(of, field) => format!("offsetof({of}, {field})"),
            Subject::Value(value) => value.to_owned(),
        },
        expected: fact.claim,
    });
    let products = xen_abi::pvdrivers::Product::FACTS
        .iter()
        .filter_map(|fact| match fact.subject {
            Subject::Value(name) => Some(Check {
                expression: format!("product(\"{name}\")"),
                expected: fact.claim,
            }),
            _ => None,
        });
    let errors = xen_abi::xs_wire::ERRORS.iter().map(|(name, errno)| Check {
        expression: format!("xs_error(\"{name}\")"),
        expected: Claim::Number(i64::from(errno.0)),
    });
    let counts = [
        (
            "sizeof products / sizeof *products",
            xen_abi::pvdrivers::Product::FACTS.len(),
        ),
        (
            "sizeof xsd_errors / sizeof *xsd_errors",
            xen_abi::xs_wire::ERRORS.len(),
        ),
    ];
    let counts = counts.into_iter().map(|(expression, count)| Check {
        expression: expression.to_owned(),
        expected: Claim::Number(count as i64),
    });
    facts.chain(products).chain(errors).chain(counts).collect()
}

fn program(checks: &[Check]) -> String {
    let mut c = PROLOGUE.to_owned();
    for check in checks {
        let line = match check.expected {
            Claim::Number(_) => format!(
                "    printf(\"%lld\\n\", (long long)({}));",
                check.expression
            ),
            Claim::Text(_) => format!("    printf(\"%s\\n\", {});", check.expression),
        };
        let _ = writeln!(c, "{line}");
    }
    c.push_str("    return 0;\n}\n");
    c
}

fn run_c(source: &str, dir: &Path) -> Result<String, String> {
    let (c, exe) = (dir.join("abi.c"), dir.join("abi"));
    std::fs::write(&c, source).map_err(|e| format!("cannot write {}: {e}", c.display()))?;
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    output(
        Command::new(&cc)
            .args(["-std=gnu11", "-o"])
            .arg(&exe)
            .arg(&c),
    )
    .map_err(|e| {
        format!(
            "{e}\n(needs a C compiler and Xen's headers: apt-get install gcc libc6-dev libxen-dev)"
        )
    })?;
    output(&mut Command::new(&exe))
}

fn output(command: &mut Command) -> Result<String, String> {
    let done = command
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if !done.status.success() {
        return Err(format!(
            "{command:?} failed: {}\n{}",
            done.status,
            String::from_utf8_lossy(&done.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn compare(checks: &[Check], printed: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut lines = printed.lines();
    for check in checks {
        let expected = match check.expected {
            Claim::Number(number) => number.to_string(),
            Claim::Text(text) => text.to_owned(),
        };
        let found = lines.next().unwrap_or("nothing");
        if found != expected {
            wrong.push(format!(
                "{}: the headers say {found}, xen-abi says {expected}",
                check.expression
            ));
        }
    }
    wrong
}

fn main() -> ExitCode {
    let checks = checks();
    let result = tempfile::tempdir()
        .map_err(|e| format!("cannot make a temporary directory: {e}"))
        .and_then(|dir| run_c(&program(&checks), dir.path()));
    let wrong = match result {
        Ok(printed) => compare(&checks, &printed),
        Err(error) => {
            eprintln!("abi_check: {error}");
            return ExitCode::FAILURE;
        }
    };
    for line in &wrong {
        println!("{line}");
    }
    println!(
        "{} sizes, offsets and constants compared, {} differences",
        checks.len(),
        wrong.len()
    );
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
