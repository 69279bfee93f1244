//! Bridges, DHCP and netback's parameters in dom0.

use super::jobs::FOLDER;
use super::jobs::Jobs;
use crate::nic::Nic;
use crate::session::Session;
use anyhow::Context;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Makes the bridges that are not there yet. They are quiet: nothing is on them but what a plan asks for, so that frames can be counted.
pub fn make(session: &Session, nics: &[Nic], emulated: bool) -> anyhow::Result<()> {
    session.shell(&script(nics, emulated)).map(drop)
}

fn script(nics: &[Nic], emulated: bool) -> String {
    let mut bridges: BTreeMap<&str, Vec<&Nic>> = BTreeMap::new();
    for nic in nics {
        bridges.entry(&nic.bridge).or_default().push(nic);
    }
    let tun = if emulated { " tun" } else { "" };
    let mut text = format!(
        "set -e\nmodprobe -a bridge xen-netback{tun}\ncd /proc/sys/net/ipv6/conf\necho 1 >default/disable_ipv6\n"
    );
    for (name, nics) in bridges {
        let nic = nics[0];
        let mtu = nics.iter().map(|nic| nic.mtu).max().unwrap_or(nic.mtu);
        // A MAC address that is set stays when ports come and go; without an address of the link's own nothing is sent unasked.
        let _ok = write!(
            text,
            "if [ ! -e /sys/class/net/{name} ]; then\n\
             ip link add {name} address 02:00:00:4c:42:{network:02x} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             fi\n\
             ip address flush dev {name}\n\
             echo 0 >{name}/disable_ipv6; echo 0 >{name}/accept_ra; echo 0 >{name}/router_solicitations; echo 1 >{name}/addr_gen_mode\n\
             ip address add {v4}/{prefix} dev {name}\n\
             ip link set {name} mtu {mtu} up\n\
             ip -6 address add {v6}/{prefix6} dev {name} nodad\n\
             ip neighbour flush dev {name}\n\
             ip neighbour flush dev {name} nud permanent\n",
            network = nic.network,
            v4 = nic.peer(),
            v6 = nic.peer6(),
            prefix = Nic::PREFIX,
            prefix6 = Nic::PREFIX6,
        );
    }
    text
}

/// Sets a parameter of xen-netback and returns what it was.
pub fn set_parameter(session: &Session, name: &str, value: &str) -> anyhow::Result<String> {
    let file = format!("/sys/module/xen_netback/parameters/{name}");
    let old = session
        .shell(&format!(
            "cat {file} && echo {} >{file}",
            super::jobs::quote(value)
        ))
        .with_context(|| format!("netback's parameter {name}"))?;
    Ok(old.trim().to_owned())
}

/// A DHCP server on an adapter's bridge, which has the adapter's address to give and no other.
pub fn serve_dhcp(jobs: &Jobs<'_>, nic: &Nic) -> anyhow::Result<()> {
    let name = format!("dhcp{}", nic.number);
    let configuration = format!(
        "start {address}\nend {address}\nmax_leases 1\ninterface {bridge}\nlease_file {FOLDER}/{name}.leases\n\
         pidfile {FOLDER}/{name}.daemon\noption subnet 255.255.255.0\noption router {peer}\noption lease 3600\n",
        address = nic.address(),
        bridge = nic.bridge,
        peer = nic.peer(),
    );
    let file = format!("{FOLDER}/{name}.conf");
    jobs.start(
        &name,
        &format!(
            "touch {FOLDER}/{name}.leases; printf %s {} >{file}; exec udhcpd -f {file}",
            super::jobs::quote(&configuration)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_made_once_with_the_largest_mtu_of_its_adapters() {
        let options = ["bridge=a", "bridge=a,mtu=9000", "bridge=b"];
        let options: Vec<_> = options.iter().map(|text| text.parse().unwrap()).collect();
        let nics = crate::nic::assign(&options).unwrap();
        let text = script(&nics, false);
        assert_eq!(text.matches("ip link add").count(), 2);
        assert!(text.contains("ip link set a mtu 9000 up"), "{text}");
        assert!(text.contains("ip address add 10.77.1.1/24 dev b"), "{text}");
        assert!(!text.contains(" tun"));
        assert!(script(&nics, true).contains("modprobe -a bridge xen-netback tun"));
    }
}
