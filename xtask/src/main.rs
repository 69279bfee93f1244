//! One command line for building, checking, running and testing: `cargo xtask --help`.

mod check_inf;
mod check_sys;
#[cfg(unix)]
mod demo;
#[cfg(unix)]
mod doctor;
mod drivers;
#[cfg(unix)]
mod guest;
mod jobs;
#[cfg(unix)]
mod lab;
mod layouts;
mod package;
#[cfg(unix)]
mod reproducible;
mod run;
mod stamp;
#[cfg(unix)]
mod test;
#[cfg(unix)]
mod toolchain;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about, version)]
enum Command {
    /// Build the Windows drivers: DIR/{xenbus,xenvbd}.{sys,pdb,inf}
    Build(drivers::Args),
    /// Build the lab's guest, the NT executive as a bare-metal kernel
    #[cfg(unix)]
    BuildGuest(guest::Args),
    /// Check INF files by the rules of InfVerif that matter, and their ids against the bus driver's
    CheckInf(check_inf::Args),
    /// Check that Windows would load driver images, on 10 1607 and later and with memory integrity
    CheckSys(check_sys::Args),
    /// Compare what the crates declare of Windows' kernel with the headers of a WDK
    CheckLayouts(layouts::Args),
    /// Show the drivers at work on real Xen: they serve a disk and a network adapter, and what passed is compared at both ends
    #[cfg(unix)]
    Demo(demo::Args),
    /// Run a plan on real Xen, with any driver packages and disks
    #[cfg(unix)]
    Lab(lab::Args),
    /// Make the driver package: a signed folder and archive to install from
    Package(package::Args),
    /// Say what is missing on this machine and how to get it
    #[cfg(unix)]
    Doctor,
    /// Run all tests: formatting, lints, units, ABI, images, the lab on real Xen
    #[cfg(unix)]
    Test(test::Args),
    /// Run clippy over the drivers, for their own target
    ClippyDrivers(drivers::Scope),
    /// Run clippy over the lab's guest, for its own target
    #[cfg(unix)]
    ClippyGuest(guest::Args),
}

fn main() -> ExitCode {
    #[cfg(unix)]
    if let Some(code) = toolchain::shim::run() {
        return code;
    }
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let is_error = error.use_stderr();
            // Nothing sensible is left to do if this cannot be printed.
            let _ = error.print();
            return if is_error {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match execute(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Build(args) => drivers::build(&args).map(|_| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::BuildGuest(args) => guest::build(&args).map(|_| ExitCode::SUCCESS),
        Command::CheckInf(args) => check_inf::run(&args).map(|()| ExitCode::SUCCESS),
        Command::CheckSys(args) => check_sys::run(&args).map(|()| ExitCode::SUCCESS),
        Command::CheckLayouts(args) => layouts::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::Demo(args) => demo::run(&args),
        #[cfg(unix)]
        Command::Lab(args) => lab::run(&args),
        Command::Package(args) => package::run(&args).map(|_| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::Doctor => doctor::run(),
        #[cfg(unix)]
        Command::Test(args) => test::run(&args),
        Command::ClippyDrivers(scope) => drivers::clippy(&scope).map(|()| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::ClippyGuest(args) => guest::clippy(&args).map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_command_line_is_one_that_can_be_parsed() {
        super::Command::command().debug_assert();
    }

    #[test]
    fn what_cargo_make_runs_are_commands_of_this_program() {
        let file = crate::run::workspace().join("Makefile.toml");
        let text = std::fs::read_to_string(file).expect("the makefile");
        let makefile: toml::Table = text.parse().expect("TOML");
        let tasks = makefile["tasks"].as_table().expect("tasks");
        let default = tasks["default"]["alias"].as_str().expect("a name");
        assert_eq!(default, "package");
        for (name, task) in tasks.iter().filter(|(name, _)| *name != "default") {
            assert_eq!(task["command"].as_str(), Some("cargo"), "{name}");
            let words = task["args"].as_array().expect("words").iter();
            let words: Vec<&str> = words.filter_map(toml::Value::as_str).collect();
            let [xtask, words @ .., rest] = words.as_slice() else {
                panic!("{name} has too few words");
            };
            assert_eq!((*xtask, *rest), ("xtask", "${@}"), "{name}");
            let parsed = super::Command::try_parse_from([xtask].into_iter().chain(words));
            assert!(parsed.is_ok(), "{name}");
        }
    }
}
