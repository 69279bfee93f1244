//! `offload`: OID_TCP_OFFLOAD_PARAMETERS.

use alloc::format;
use alloc::string::String;

use lab_protocol::plan::net::Offload;

use super::super::main::pause;
use super::{Adapter, microseconds};
use crate::net::offload::{Direction, Offloads};
use crate::nt::ndis::*;

/// How long frames that are under way may take.
const UNDER_WAY: u64 = 5_000_000;

/// The value of a checksum field: what is asked for, and for what is not, what is on.
fn checksum(asked: &Offload, now: Direction, hardware: Direction) -> u8 {
    if asked.tx_checksum.is_none() && asked.rx_checksum.is_none() {
        return NDIS_OFFLOAD_PARAMETERS_NO_CHANGE;
    }
    let wanted = wanted(asked, now, hardware);
    match (wanted.send, wanted.receive) {
        (false, false) => NDIS_OFFLOAD_PARAMETERS_TX_RX_DISABLED,
        (true, false) => NDIS_OFFLOAD_PARAMETERS_TX_ENABLED_RX_DISABLED,
        (false, true) => NDIS_OFFLOAD_PARAMETERS_RX_ENABLED_TX_DISABLED,
        (true, true) => NDIS_OFFLOAD_PARAMETERS_TX_RX_ENABLED,
    }
}

/// A checksum's directions after the change: nothing is switched on that the hardware has not.
fn wanted(asked: &Offload, now: Direction, hardware: Direction) -> Direction {
    Direction {
        send: asked.tx_checksum.unwrap_or(now.send) && hardware.send,
        receive: asked.rx_checksum.unwrap_or(now.receive) && hardware.receive,
    }
}

fn switch(asked: Option<bool>, hardware: bool, off: u8, on: u8) -> u8 {
    match asked {
        None => NDIS_OFFLOAD_PARAMETERS_NO_CHANGE,
        Some(true) if hardware => on,
        Some(_) => off,
    }
}

fn parameters(asked: &Offload, now: &Offloads, hardware: &Offloads) -> NDIS_OFFLOAD_PARAMETERS {
    let large = |hardware: bool| {
        switch(
            asked.lso,
            hardware,
            NDIS_OFFLOAD_PARAMETERS_LSOV2_DISABLED,
            NDIS_OFFLOAD_PARAMETERS_LSOV2_ENABLED,
        )
    };
    let coalesce = |hardware: bool| {
        switch(
            asked.rsc,
            hardware,
            NDIS_OFFLOAD_PARAMETERS_RSC_DISABLED,
            NDIS_OFFLOAD_PARAMETERS_RSC_ENABLED,
        )
    };
    NDIS_OFFLOAD_PARAMETERS {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_DEFAULT,
            3,
            NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_3,
        ),
        IPv4Checksum: checksum(asked, now.ip, hardware.ip),
        TCPIPv4Checksum: checksum(asked, now.tcp4, hardware.tcp4),
        UDPIPv4Checksum: checksum(asked, now.udp4, hardware.udp4),
        TCPIPv6Checksum: checksum(asked, now.tcp6, hardware.tcp6),
        UDPIPv6Checksum: checksum(asked, now.udp6, hardware.udp6),
        LsoV2IPv4: large(hardware.large4.is_some()),
        LsoV2IPv6: large(hardware.large6.is_some()),
        RscIPv4: coalesce(hardware.coalesce4),
        RscIPv6: coalesce(hardware.coalesce6),
        ..NDIS_OFFLOAD_PARAMETERS::default()
    }
}

/// What is on once the change is made.
fn after(asked: &Offload, now: &Offloads, hardware: &Offloads) -> Offloads {
    let large = |now, hardware| match asked.lso {
        None => now,
        Some(true) => hardware,
        Some(false) => None,
    };
    let coalesce = |now: bool, hardware: bool| asked.rsc.unwrap_or(now) && (now || hardware);
    Offloads {
        ip: wanted(asked, now.ip, hardware.ip),
        tcp4: wanted(asked, now.tcp4, hardware.tcp4),
        udp4: wanted(asked, now.udp4, hardware.udp4),
        tcp6: wanted(asked, now.tcp6, hardware.tcp6),
        udp6: wanted(asked, now.udp6, hardware.udp6),
        large4: large(now.large4, hardware.large4),
        large6: large(now.large6, hardware.large6),
        coalesce4: coalesce(now.coalesce4, hardware.coalesce4),
        coalesce6: coalesce(now.coalesce6, hardware.coalesce6),
    }
}

/// Does the step: what is switched off is not used any more before the adapter is told.
pub(super) fn run(step: &Offload) -> Result<(), String> {
    let adapter = Adapter::find(step.nic)?;
    let endpoint = &adapter.endpoint;
    let info = endpoint.binding.info().ok_or("the adapter is gone")?;
    let (now, hardware) = (Offloads::of(&info.offload), Offloads::of(&info.hardware));
    let goal = after(step, &now, &hardware);
    endpoint.use_only(&goal);
    let until = microseconds() + UNDER_WAY;
    while endpoint.has_unsent() && microseconds() < until {
        pause(5);
    }
    endpoint
        .binding
        .set_offload(&parameters(step, &now, &hardware))
        .map_err(|status| format!("OID_TCP_OFFLOAD_PARAMETERS: status {status:#x}"))?;
    endpoint.refresh();
    let info = endpoint.binding.info().ok_or("the adapter is gone")?;
    let on = Offloads::of(&info.offload);
    if on != goal {
        return Err(format!(
            "these offloads were to be on: {:?}; the adapter says {:?}",
            goal.names(),
            on.names()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::offload::Large;

    const BOTH: Direction = Direction {
        send: true,
        receive: true,
    };

    fn all() -> Offloads {
        let large = Some(Large {
            size: 60000,
            segments: 2,
        });
        Offloads {
            ip: BOTH,
            tcp4: BOTH,
            udp4: BOTH,
            tcp6: BOTH,
            udp6: BOTH,
            large4: large,
            large6: large,
            coalesce4: false,
            coalesce6: false,
        }
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let asked = Offload {
            lso: Some(false),
            ..Offload::default()
        };
        let made = parameters(&asked, &all(), &all());
        assert_eq!(made.IPv4Checksum, NDIS_OFFLOAD_PARAMETERS_NO_CHANGE);
        assert_eq!(made.RscIPv4, NDIS_OFFLOAD_PARAMETERS_NO_CHANGE);
        assert_eq!(made.LsoV2IPv4, NDIS_OFFLOAD_PARAMETERS_LSOV2_DISABLED);
        let goal = after(&asked, &all(), &all());
        assert_eq!(
            goal,
            Offloads {
                large4: None,
                large6: None,
                ..all()
            }
        );
    }

    #[test]
    fn one_direction_of_a_checksum_leaves_the_other() {
        let asked = Offload {
            tx_checksum: Some(false),
            ..Offload::default()
        };
        let made = parameters(&asked, &all(), &all());
        assert_eq!(
            made.TCPIPv6Checksum,
            NDIS_OFFLOAD_PARAMETERS_RX_ENABLED_TX_DISABLED
        );
    }

    #[test]
    fn nothing_is_switched_on_that_the_hardware_has_not() {
        let asked = Offload {
            lso: Some(true),
            tx_checksum: Some(true),
            rx_checksum: Some(true),
            rsc: Some(true),
            ..Offload::default()
        };
        let none = Offloads::default();
        assert_eq!(after(&asked, &none, &none), none);
        let made = parameters(&asked, &none, &none);
        assert_eq!(made.LsoV2IPv4, NDIS_OFFLOAD_PARAMETERS_LSOV2_DISABLED);
        assert_eq!(made.TCPIPv4Checksum, NDIS_OFFLOAD_PARAMETERS_TX_RX_DISABLED);
    }
}
