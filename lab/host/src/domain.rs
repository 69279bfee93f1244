//! A domain, by way of xl: made, looked at, destroyed.

use crate::disk::Disk;
use crate::nic::Nic;
use crate::session::Session;
use anyhow::Context;
use lab_protocol::plan::Guest;
use std::fmt::Write;
use std::time::Duration;

/// How long xl may take to make or destroy a domain.
const XL_LIMIT: Duration = Duration::from_secs(120);

/// The first part of the names of the two FIFOs that are the guest's first serial port.
const SERIAL: &str = "/run/lab/com1";

/// A domain that was made and is not yet destroyed.
#[derive(Debug)]
pub struct Domain {
    /// Its number
    pub id: u32,
}

/// What a domain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, waits or is paused.
    Alive,
    /// It has shut down, for the reason that Xen gives (SHUTDOWN_*).
    Shutdown(u8),
    /// It is not there.
    Gone,
}

/// SHUTDOWN_poweroff
pub const POWER_OFF: u8 = 0;
/// SHUTDOWN_reboot
pub const REBOOT: u8 = 1;

/// xl's configuration of a guest whose kernel and bundle lie in `folder`, as dom0 sees it. A domain that ends is kept until it is looked at.
///
/// The guest reads the time stamp counter of the machine's only processor. By default each reading would be an exit, for Xen does
/// not trust this processor's counter, and one that Xen decodes the instruction for: TCG does not say where the next one begins.
pub fn configuration(
    folder: &str,
    guest: &Guest,
    disks: &[(String, &Disk)],
    nics: &[Nic],
) -> String {
    let mut text = format!(
        "name=\"lab\"\ntype=\"hvm\"\nkernel=\"{folder}/guest.elf\"\nramdisk=\"{folder}/bundle.bin\"\n\
         memory={}\nvcpus={}\ntsc_mode=\"native\"\nserial=\"pipe:{SERIAL}\"\nvga=\"none\"\nxen_platform_pci=1\n\
         on_poweroff=\"preserve\"\non_reboot=\"preserve\"\non_crash=\"preserve\"\non_watchdog=\"preserve\"\n\
         device_model_override=\"/usr/libexec/xen-qemu-system-i386\"\ndisk=[",
        guest.memory.0 >> 20,
        guest.vcpus
    );
    for (device, disk) in disks {
        let access = if disk.readonly { 'r' } else { 'w' };
        // Writing to a text cannot fail.
        let _ok = write!(
            text,
            "'format=raw,vdev={},access={access},backendtype={},target={device}',",
            disk.vdev,
            disk.backend.name()
        );
    }
    let nics: Vec<String> = nics
        .iter()
        .map(|nic| format!("'{}'", nic.configuration()))
        .collect();
    text += &format!("]\nvif=[{}]\n", nics.join(","));
    if guest.vendor_device {
        text += "vendor_device=\"xenserver\"\n";
    }
    if let Some(vendor) = &guest.cpu_vendor {
        text += &format!("cpuid=[\"{}\"]\n", vendor_leaf(vendor));
    }
    text
}

/// Leaf 0 of CPUID with another vendor, in the form of xl.cfg(5): a register's bits from 31 down to 0. The name's letters are
/// those of EBX, EDX and ECX, the first in the lowest byte.
fn vendor_leaf(vendor: &str) -> String {
    let registers: Vec<String> = ["ebx", "edx", "ecx"]
        .iter()
        .zip(vendor.as_bytes().chunks(4))
        .map(|(name, letters)| {
            let bits: String = letters
                .iter()
                .rev()
                .map(|letter| format!("{letter:08b}"))
                .collect();
            format!("{name}={bits}")
        })
        .collect();
    format!("0:{}", registers.join(","))
}

impl Domain {
    /// Makes a domain that does not run yet.
    ///
    /// # Errors
    /// What xl says.
    pub fn create(session: &Session, configuration: &str) -> anyhow::Result<Self> {
        // A reader for what the guest may write to its port, so that the device model never waits.
        session.shell(&format!(
            "rm -f {SERIAL}.in {SERIAL}.out && mkfifo {SERIAL}.in {SERIAL}.out && \
             (exec cat {SERIAL}.out >{SERIAL}.log 2>/dev/null </dev/null &)"
        ))?;
        session
            .agent()
            .run(&["xl", "create", "-p", "-q", configuration], XL_LIMIT)
            .context("the guest cannot be made")?;
        let id = session.shell("xl domid lab")?;
        let id = id.trim().parse().context("xl tells no domain number")?;
        Ok(Self { id })
    }

    /// Lets it run.
    ///
    /// # Errors
    /// What xl says.
    pub fn start(&self, session: &Session) -> anyhow::Result<()> {
        session.shell(&format!("xl unpause {}", self.id)).map(drop)
    }

    /// Sends a byte to its first serial port.
    ///
    /// # Errors
    /// If the device model is gone.
    pub fn send(&self, session: &Session, byte: u8) -> anyhow::Result<()> {
        let text = char::from(byte).to_string();
        session.agent().write(&format!("{SERIAL}.in"), &text)
    }

    /// What it does.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn state(&self, session: &Session) -> anyhow::Result<State> {
        let list = session.try_shell(&format!("xl list -v {}", self.id))?;
        Ok(state(&list.stdout))
    }

    /// Ends it and frees all that it has.
    ///
    /// # Errors
    /// What xl says.
    pub fn destroy(self, session: &Session) -> anyhow::Result<()> {
        let id = self.id.to_string();
        session
            .agent()
            .run(&["xl", "destroy", &id], XL_LIMIT)
            .map(drop)
    }
}

/// `Name ID Mem VCPUs State Time(s) UUID Reason-Code Security-Label`
fn state(list: &str) -> State {
    let Some(line) = list.lines().nth(1) else {
        return State::Gone;
    };
    let fields: Vec<&str> = line.split_whitespace().collect();
    let flags = fields.get(4).copied().unwrap_or_default();
    if !flags.contains('s') && !flags.contains('c') {
        return State::Alive;
    }
    let reason = fields.get(7).and_then(|reason| reason.parse().ok());
    State::Shutdown(reason.unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_vendor_is_written_from_the_highest_bit_on() {
        assert_eq!(
            vendor_leaf("GenuineIntel"),
            "0:ebx=01110101011011100110010101000111,edx=01001001011001010110111001101001,\
             ecx=01101100011001010111010001101110"
        );
        let guest = Guest {
            cpu_vendor: Some("GenuineIntel".to_owned()),
            ..Guest::default()
        };
        let text = configuration("/f", &guest, &[], &[]);
        assert!(text.contains("cpuid=[\"0:ebx="), "{text}");
        assert!(!configuration("/f", &Guest::default(), &[], &[]).contains("cpuid"));
    }

    #[test]
    fn a_guest_reads_the_processors_own_counter() {
        let text = configuration("/f", &Guest::default(), &[], &[]);
        assert!(text.lines().any(|line| line == "tsc_mode=\"native\""));
    }

    #[test]
    fn what_a_domain_does_is_read_from_xls_list() {
        let title = "Name ID Mem VCPUs State Time(s) UUID Reason-Code Security Label\n";
        let line = |flags, reason| {
            format!(
                "{title}lab  3  256  2  {flags}  4.5 6d2a7b4e-0000-4000-8000-000000000000  {reason}  -\n"
            )
        };
        assert_eq!(state(&line("r-----", "-")), State::Alive);
        assert_eq!(state(&line("---s--", "0")), State::Shutdown(POWER_OFF));
        assert_eq!(state(&line("---s--", "1")), State::Shutdown(REBOOT));
        assert_eq!(state(&line("---sc-", "3")), State::Shutdown(3));
        assert_eq!(state(title), State::Gone);
        assert_eq!(state(""), State::Gone);
    }
}
