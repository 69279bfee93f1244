//! The steps, in the order in which they fail fastest.

use super::{Lane, Outcome, Step, wine, workflows};
use crate::check_inf;
use crate::check_sys;
use crate::doctor;
use crate::drivers::{self, DRIVERS, Scope};
use crate::guest;
use crate::lab;
use crate::layouts;
use crate::package;
use crate::reproducible;
use crate::run::{self, host_cargo};
use crate::toolchain::Toolchain;
use lab_host::packages;
use std::fs;

/// The step that runs the plans of the lab.
pub const PLANS: &str = "lab: plans";

/// All steps.
pub const STEPS: &[Step] = &[
    Step {
        name: "tools",
        lane: Lane::Alone,
        run: |_| tools(),
    },
    Step {
        name: "formatting",
        lane: Lane::Alone,
        run: |_| formatting(),
    },
    Step {
        name: "lints, workflows",
        lane: Lane::Alone,
        run: |_| workflows::lint(),
    },
    Step {
        name: "lints, host",
        lane: Lane::Host,
        run: |_| lints_of_the_host(),
    },
    Step {
        name: "tests, host",
        lane: Lane::Host,
        run: |_| tests_of_the_host(),
    },
    Step {
        name: "ABI against Xen's headers",
        lane: Lane::Host,
        run: |_| abi(),
    },
    Step {
        name: "layouts against headers",
        lane: Lane::Host,
        run: |_| layouts::test(),
    },
    Step {
        name: "dom0 image",
        lane: Lane::Host,
        run: |_| dom0(),
    },
    Step {
        name: "lints, drivers",
        lane: Lane::Drivers,
        run: |_| lints_of_the_drivers(),
    },
    Step {
        name: "lints, lab guest",
        lane: Lane::Guest,
        run: |_| lints_of_the_guest(),
    },
    Step {
        name: "driver images",
        lane: Lane::Drivers,
        run: |_| images(),
    },
    Step {
        name: "the same bytes in another folder",
        lane: Lane::Drivers,
        run: |_| same_bytes(),
    },
    Step {
        name: "driver package",
        lane: Lane::Drivers,
        run: |_| the_package(),
    },
    Step {
        name: "driver images in Wine",
        lane: Lane::Drivers,
        run: |_| wine::second_opinion(),
    },
    Step {
        name: "lab guest image",
        lane: Lane::Guest,
        run: |_| guest_image(),
    },
    Step {
        name: "lab: demo",
        lane: Lane::Alone,
        run: |_| lab::tests::demo(),
    },
    Step {
        name: PLANS,
        lane: Lane::Alone,
        run: |args| lab::tests::plans(&args.plan),
    },
];

/// All packages at once, so that no later step waits for them.
fn tools() -> anyhow::Result<Outcome> {
    Toolchain::provide()?;
    packages::ensure(doctor::ABI)?;
    packages::ensure(packages::LAB)?;
    packages::ensure(workflows::NEEDS)?;
    packages::ensure(wine::NEEDS)?;
    Ok(Outcome::PASSED)
}

fn formatting() -> anyhow::Result<Outcome> {
    run::step("formatting", host_cargo("fmt").args(["--all", "--check"]))?;
    Ok(Outcome::PASSED)
}

fn lints_of_the_host() -> anyhow::Result<Outcome> {
    let mut command = host_cargo("clippy");
    command.args(["--all-targets", "--locked", "--", "-D", "warnings"]);
    run::step("lints of the host", &mut command)?;
    Ok(Outcome::PASSED)
}

/// Every test of the default members, counted one by one.
fn tests_of_the_host() -> anyhow::Result<Outcome> {
    let title = "tests of the host";
    let mut command = host_cargo("test");
    command.args(["--locked", "--no-fail-fast"]);
    let finished = run::to_end(title, &mut command)?;
    let outcome = counted(&fs::read_to_string(&finished.log)?);
    let succeeded = finished.succeeded(title);
    match succeeded {
        Ok(_) => Ok(outcome),
        // What did not compile has no tests that failed: the error is the failure.
        Err(error) if outcome.failed == 0 => Err(error),
        Err(error) => {
            println!("{error:#}");
            Ok(outcome)
        }
    }
}

/// Adds up what the test programs say of themselves.
pub fn counted(log: &str) -> Outcome {
    let mut sum = Outcome::default();
    for line in log
        .lines()
        .filter_map(|line| line.strip_prefix("test result: "))
    {
        let number = |word: &str| {
            let before = line.split(word).next()?;
            before
                .rsplit([' ', '.'])
                .find(|part| !part.is_empty())?
                .parse()
                .ok()
        };
        sum += Outcome {
            passed: number(" passed").unwrap_or(0),
            failed: number(" failed").unwrap_or(0),
        };
    }
    sum
}

fn abi() -> anyhow::Result<Outcome> {
    let mut command = host_cargo("run");
    command.args([
        "--quiet",
        "--locked",
        "--package",
        "xen-abi",
        "--example",
        "abi_check",
    ]);
    run::step("ABI comparison", &mut command)?;
    Ok(Outcome::PASSED)
}

fn lints_of_the_drivers() -> anyhow::Result<Outcome> {
    drivers::clippy(&Scope::default())?;
    Ok(Outcome::PASSED)
}

fn lints_of_the_guest() -> anyhow::Result<Outcome> {
    guest::clippy(&guest::Args::default())?;
    Ok(Outcome::PASSED)
}

/// The drivers are built, and each image and each INF keeps all rules.
fn images() -> anyhow::Result<Outcome> {
    let folder = drivers::build(&drivers::Args::default())?;
    let all = |suffix: &str| {
        let files = DRIVERS.iter();
        files
            .map(|name| folder.join(format!("{name}.{suffix}")))
            .collect()
    };
    check_inf::run(&check_inf::Args { files: all("inf") })?;
    let files = all("sys");
    check_sys::run(&check_sys::Args {
        files,
        storport: false,
        ndis: false,
    })?;
    Ok(Outcome {
        passed: DRIVERS.len(),
        failed: 0,
    })
}

/// The drivers are built again in another folder.
fn same_bytes() -> anyhow::Result<Outcome> {
    let folder = drivers::build(&drivers::Args::default())?;
    reproducible::check(&folder)?;
    Ok(Outcome::PASSED)
}

/// What the package's command refuses, and a package, signatures and catalogs checked.
fn the_package() -> anyhow::Result<Outcome> {
    let passed = package::refusals::check()?;
    package::run(&package::Args::default())?;
    Ok(Outcome {
        passed: passed + 1,
        failed: 0,
    })
}

fn dom0() -> anyhow::Result<Outcome> {
    lab::dom0()?;
    Ok(Outcome::PASSED)
}

fn guest_image() -> anyhow::Result<Outcome> {
    guest::build(&guest::Args::default())?;
    Ok(Outcome::PASSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_programs_are_added_up() {
        let log = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out\n\
                   test result: FAILED. 12 passed; 2 failed; 0 ignored\nother\n";
        assert_eq!(
            counted(log),
            Outcome {
                passed: 15,
                failed: 2
            }
        );
        assert_eq!(counted("error: could not compile"), Outcome::default());
    }
}
