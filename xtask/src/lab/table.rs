//! The table at the end of a run.

use lab_host::report::{Report, state_name};
use lab_protocol::plan::Bytes;
use std::collections::BTreeMap;

mod net;

/// Prints what a run came to.
pub fn print(report: &Report) {
    println!();
    for (name, version) in &report.images {
        println!("driver    {name:<16} {version}");
    }
    for (instance, (state, service)) in &report.devices {
        if !service.is_empty() {
            println!("device    {instance}: {service}, {state}");
        }
    }
    for (target, disk) in &report.disks {
        println!(
            "disk      target {target}: {}, {}, {} bytes a block, serial number {:?}",
            disk.inquiry,
            Bytes(disk.capacity),
            disk.block,
            disk.serial
        );
    }
    print_states(report);
    print_io(report);
    for line in net::lines(report) {
        println!("{line}");
    }
    for (disk, length, hash) in &report.compared {
        println!(
            "hash      {disk}, {}: {hash} in the guest and on the host",
            Bytes(*length)
        );
    }
    println!("unload    {} bytes of pool left", report.leaked_bytes());
    if report.books_read {
        println!(
            "          {} grants, {} event channels left by Xen's books",
            report.leaked_grants, report.leaked_channels
        );
    }
    println!(
        "time      {:.1} s, {} boot{}",
        report.time.as_secs_f64(),
        report.boots,
        if report.boots == 1 { "" } else { "s" }
    );
}

/// A line for each end of each disk and adapter: the states with the milliseconds since the first.
fn print_states(report: &Report) {
    let mut ends: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let of_devices = report.states.iter().filter(|change| {
        ["/vbd/", "/qdisk/", "/vif/"]
            .iter()
            .any(|class| change.path.contains(class))
    });
    let mut start = None;
    for change in of_devices {
        let start = *start.get_or_insert(change.microseconds);
        ends.entry(&change.path).or_default().push(format!(
            "{} {}",
            state_name(&change.value),
            (change.microseconds - start) / 1000
        ));
    }
    for (path, states) in ends {
        let path = path.trim_start_matches("/local/domain/");
        println!(
            "states    {} (ms): {}",
            path.trim_end_matches("/state"),
            states.join(", ")
        );
    }
}

fn print_io(report: &Report) {
    for done in &report.steps {
        for io in done.io.iter().filter(|io| io.requests != 0) {
            let seconds = io.microseconds.max(1) as f64 / 1e6;
            let bytes = io.bytes_read + io.bytes_written;
            println!(
                "step {:<4} target {}: read {}, wrote {}, {:.0} IOPS, {:.1} MB/s",
                done.step + 1,
                io.target,
                Bytes(io.bytes_read),
                Bytes(io.bytes_written),
                io.requests as f64 / seconds,
                bytes as f64 / 1e6 / seconds
            );
        }
    }
}
