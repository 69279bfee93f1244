//! A run's network: bridges in dom0, and what dom0 does for the steps about adapters.

use crate::nic::Kind;
use crate::nic::Nic;
use crate::report::Report;
use crate::session::Session;
use anyhow::Context;
use anyhow::bail;
use capture::Capture;
use jobs::Jobs;
use lab_protocol::plan::Plan;
use lab_protocol::plan::Step;
use lab_protocol::plan::net::Address;
use lab_protocol::record::Phase;
use peers::Peers;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

mod bridges;
mod capture;
mod frames;
mod jobs;
mod keep;
mod linux;
mod peers;
mod ping;

pub use linux::MEMORY as LINUX_MEMORY;
pub use linux::Pieces as LinuxPieces;

/// The network of a run.
pub struct Net<'a> {
    session: &'a Session,
    plan: &'a Plan,
    nics: &'a [Nic],
    linux: LinuxPieces<'a>,
    jobs: Jobs<'a>,
    /// dom0's ends of the step that goes on
    peers: Peers,
    /// By adapter
    captures: BTreeMap<u32, Capture>,
    /// Module parameters as they were
    parameters: Vec<(String, String)>,
    keeper: Option<keep::Keeper>,
}

impl<'a> Net<'a> {
    /// Sets up dom0: bridges with their addresses, DHCP where the plan asks for it, netback's parameters. Without adapters nothing is done.
    ///
    /// # Errors
    /// If dom0 does not do it.
    pub fn set_up(
        session: &'a Session,
        plan: &'a Plan,
        nics: &'a [Nic],
        linux: LinuxPieces<'a>,
        pcap: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let jobs = Jobs::new(session);
        let mut net = Self {
            session,
            plan,
            nics,
            linux,
            jobs,
            peers: Peers::default(),
            captures: BTreeMap::new(),
            parameters: Vec::new(),
            keeper: None,
        };
        if nics.is_empty() {
            return Ok(net);
        }
        let emulated = nics.iter().any(|nic| nic.kind == Kind::Ioemu);
        bridges::make(session, nics, emulated).context("dom0's bridges cannot be made")?;
        for (name, value) in &plan.dom0.netback {
            let old = bridges::set_parameter(session, name, value)?;
            net.parameters.push((name.clone(), old));
        }
        for nic in nics.iter().filter(|nic| wants_dhcp(plan, nic)) {
            bridges::serve_dhcp(&net.jobs, nic)?;
        }
        net.keeper = pcap.map(keep::Keeper::new).transpose()?;
        Ok(net)
    }

    /// A domain was made and does not run yet.
    ///
    /// # Errors
    /// If dom0 does not do what is needed.
    pub fn domain_made(&mut self, domain: u32) -> anyhow::Result<()> {
        if let Some(keeper) = &mut self.keeper {
            keeper.begin(&self.jobs, self.nics, domain)?;
        }
        Ok(())
    }

    /// A domain has ended and is still there.
    ///
    /// # Errors
    /// If dom0 does not do what is needed.
    pub fn domain_ended(&mut self) -> anyhow::Result<()> {
        if let Some(keeper) = &mut self.keeper {
            keeper.end(&self.jobs, self.session)?;
        }
        self.captures.clear();
        Ok(())
    }

    /// Ends what still goes on in dom0, puts netback's parameters back, and writes the file of `--pcap`.
    ///
    /// # Errors
    /// If dom0 does not do it.
    pub fn tear_down(mut self) -> anyhow::Result<()> {
        if self.nics.is_empty() {
            return Ok(());
        }
        self.jobs.end_all()?;
        for (name, value) in &self.parameters {
            bridges::set_parameter(self.session, name, value)?;
        }
        match self.keeper.take() {
            Some(keeper) => keeper.write(self.nics, &self.session.share()),
            None => Ok(()),
        }
    }

    /// Does a step, or a phase of one, that is about adapters. `false` if it is not about any.
    ///
    /// # Errors
    /// What went wrong.
    pub fn perform(
        &mut self,
        domain: u32,
        number: u32,
        phase: Phase,
        report: &mut Report,
    ) -> anyhow::Result<bool> {
        let plan = self.plan;
        let Some(step) = plan.step.get(number as usize) else {
            return Ok(false);
        };
        let parts = match step {
            Step::Parallel(steps) => steps.as_slice(),
            step => std::slice::from_ref(step),
        };
        let mut done = false;
        for part in parts {
            done |= self
                .part(domain, number, phase, part, report)
                .with_context(|| part.name())?;
        }
        if phase == Phase::End {
            let peers = std::mem::take(&mut self.peers);
            peers.end(&self.jobs, number, report)?;
        }
        Ok(done)
    }

    fn part(
        &mut self,
        domain: u32,
        number: u32,
        phase: Phase,
        step: &Step,
        report: &mut Report,
    ) -> anyhow::Result<bool> {
        match (step, phase) {
            (Step::Transfer(transfer), Phase::Begin) => {
                let nic = self.nic(transfer.nic)?;
                let seed = self.plan.guest.seed;
                self.peers.transfer(&self.jobs, nic, transfer, seed)?;
            }
            (Step::Echo(echo), Phase::Begin) => {
                let nic = self.nic(echo.nic)?;
                let address = self.guest_address(nic, number, echo.ipv6)?;
                self.peers.echo(&self.jobs, nic, address, echo)?;
            }
            (Step::UdpFlood(flood), Phase::Begin) => {
                let nic = self.nic(flood.nic)?;
                let address = self.guest_address(nic, number, flood.ipv6)?;
                self.peers.flood(&self.jobs, nic, address, flood)?;
            }
            (Step::TcpdumpStart(of), Phase::Begin) => {
                let nic = self.nic(of.nic)?;
                let before = report.counters.get(&of.nic).cloned();
                let capture = Capture::start(&self.jobs, self.session, nic, domain, before)?;
                self.captures.insert(of.nic, capture);
            }
            (Step::ExpectCounters(of), Phase::Begin) => {
                let nic = self.nic(of.nic)?;
                let after = report.counters.get(&of.nic).cloned();
                let capture = capture_of(&mut self.captures, of.nic)?;
                let text = capture.expect_counters(&self.jobs, self.session, nic, after)?;
                report.notes.push((number, text));
            }
            (
                Step::Transfer(_)
                | Step::Echo(_)
                | Step::UdpFlood(_)
                | Step::TcpdumpStart(_)
                | Step::ExpectCounters(_),
                _,
            ) => {}
            (Step::TcpdumpStop(of), _) => {
                self.nic(of.nic)?;
                let dropped = capture_of(&mut self.captures, of.nic)?.stop(&self.jobs)?;
                if dropped != 0 {
                    bail!("the kernel dropped {dropped} frames before tcpdump read them");
                }
            }
            (Step::TcpdumpExpect(expect), _) => {
                let nic = self.nic(expect.nic)?;
                let filter = self.fill(&expect.filter, domain, number)?;
                let capture = capture_of(&mut self.captures, expect.nic)?;
                let text = capture.expect(&self.jobs, self.session, nic, &filter, expect)?;
                report.notes.push((number, text));
            }
            (Step::Pinged(ping), _) => {
                let nic = self.nic(ping.nic)?;
                let address = self.guest_address(nic, number, ping.ipv6)?;
                let text = ping::pinged(self.session, address, ping)?;
                report.notes.push((number, text));
            }
            (Step::PingedStart(start), _) => {
                let nic = self.nic(start.nic)?;
                let address = self.guest_address(nic, number, false)?;
                ping::start(&self.jobs, address, start)?;
            }
            (Step::PingedStop(stop), _) => {
                self.nic(stop.nic)?;
                let text = ping::stop(&self.jobs, stop)?;
                report.notes.push((number, text));
            }
            (Step::LinuxGuest(step), _) => {
                let nic = self.nic(step.nic)?;
                let measured = linux::measure(self, domain, nic, step)?;
                report.linux.push(measured);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn nic(&self, number: u32) -> anyhow::Result<&'a Nic> {
        self.nics
            .get(number as usize)
            .with_context(|| format!("there is no adapter {number}: give one more --nic"))
    }

    /// The address that the guest has on an adapter at a step: what the last `net-up` before it says.
    fn guest_address(&self, nic: &Nic, number: u32, ipv6: bool) -> anyhow::Result<IpAddr> {
        guest_address(self.plan, nic, number, ipv6)
    }

    /// Puts the values of variables into a text for dom0.
    ///
    /// # Errors
    /// If an address in the plan is none.
    pub fn fill(&self, text: &str, domain: u32, number: u32) -> anyhow::Result<String> {
        let mut filled = text.replace("$DOMID", &domain.to_string());
        for nic in self.nics {
            let n = nic.number;
            let address = self.guest_address(nic, number, false)?;
            for (name, value) in [
                ("VIF", nic.interface(domain)),
                ("BRIDGE", nic.bridge.clone()),
                ("MAC", nic.mac.to_string()),
                ("ADDRESS", address.to_string()),
                ("PEER", nic.peer().to_string()),
            ] {
                filled = filled.replace(&format!("${name}{n}"), &value);
            }
        }
        Ok(filled)
    }
}

fn capture_of(captures: &mut BTreeMap<u32, Capture>, nic: u32) -> anyhow::Result<&mut Capture> {
    captures
        .get_mut(&nic)
        .context("no tcpdump-start was done for this adapter")
}

fn guest_address(plan: &Plan, nic: &Nic, number: u32, ipv6: bool) -> anyhow::Result<IpAddr> {
    if ipv6 {
        return Ok(nic.address6().into());
    }
    let before = plan.step.iter().take(number as usize + 1);
    let last = before.rev().find_map(|step| match step {
        Step::NetUp(up) if up.nic == u32::from(nic.number) => Some(up.address.as_str()),
        _ => None,
    });
    match last.unwrap_or("auto").parse().map_err(anyhow::Error::msg)? {
        Address::Auto | Address::Dhcp => Ok(nic.address().into()),
        Address::Fixed(address, _) => Ok(address.into()),
    }
}

fn wants_dhcp(plan: &Plan, nic: &Nic) -> bool {
    plan.step.iter().any(|step| {
        matches!(step, Step::NetUp(up) if up.nic == u32::from(nic.number) && up.address == "dhcp")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_address_is_what_the_last_net_up_says() {
        let plan: Plan = toml::from_str(
            "[[step]]\nnet-up = {}\n[[step]]\nnet-up = { nic = 1, address = \"dhcp\" }\n\
             [[step]]\nnet-up = { address = \"10.77.0.99/24\" }\n[[step]]\npinged = {}",
        )
        .unwrap();
        let nics = crate::nic::assign(&["".parse().unwrap(), "".parse().unwrap()]).unwrap();
        let address = |nic: usize, step, ipv6| {
            guest_address(&plan, &nics[nic], step, ipv6)
                .unwrap()
                .to_string()
        };
        assert_eq!(address(0, 1, false), "10.77.0.10");
        assert_eq!(address(0, 3, false), "10.77.0.99");
        assert_eq!(address(1, 3, false), "10.77.1.11");
        assert_eq!(address(0, 3, true), "fd77::a");
        assert!(wants_dhcp(&plan, &nics[1]) && !wants_dhcp(&plan, &nics[0]));
    }
}
