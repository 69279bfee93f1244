//! NdisMIndicateStatusEx: link states, offload configurations, and what else miniports report.
//! <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndismindicatestatusex>

use alloc::format;
use alloc::string::String;

use super::adapter::Adapter;
use super::protocol::{Link, Status};
use super::{offload, oid, rules};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;

/// What a status buffer says, by its code.
///
/// # Errors
/// What is wrong with it.
///
/// # Safety
/// The buffer is readable as `indication` says.
unsafe fn read(indication: &NDIS_STATUS_INDICATION, version: (u8, u8)) -> Result<Status, String> {
    let (at, size) = (indication.StatusBuffer, indication.StatusBufferSize);
    if at.is_null() && size != 0 {
        return Err("a status buffer of NULL with a size".into());
    }
    match indication.StatusCode {
        NDIS_STATUS_LINK_STATE => {
            let wanted = NDIS_SIZEOF_LINK_STATE_REVISION_1;
            if size < u32::from(wanted) {
                return Err(format!(
                    "NDIS_STATUS_LINK_STATE with a buffer of {size} bytes"
                ));
            }
            let link = at.cast::<NDIS_LINK_STATE>().read_unaligned();
            if link.Header.Type != NDIS_OBJECT_TYPE_DEFAULT
                || link.Header.Revision < 1
                || link.Header.Size < wanted
            {
                return Err(format!("NDIS_LINK_STATE begins with {:?}", link.Header));
            }
            if link.MediaConnectState > MediaConnectStateDisconnected {
                return Err(format!(
                    "MediaConnectState {} is no such state",
                    link.MediaConnectState
                ));
            }
            Ok(Status::Link(Link {
                connected: link.MediaConnectState == MediaConnectStateConnected,
                xmit_speed: link.XmitLinkSpeed,
                rcv_speed: link.RcvLinkSpeed,
            }))
        }
        NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG => {
            let (_, wanted) = offload::revision(version);
            if size < u32::from(wanted) {
                return Err(format!(
                    "NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG with a buffer of {size} bytes"
                ));
            }
            offload::copy(at.cast(), version).map(Status::Offload)
        }
        other => Ok(Status::Other(other)),
    }
}

/// NdisMIndicateStatusEx. At most DISPATCH_LEVEL, from the registration attributes until MiniportHaltEx returns.
pub(super) unsafe extern "win64" fn NdisMIndicateStatusEx(
    handle: PVOID,
    indication: *const NDIS_STATUS_INDICATION,
) {
    const CALL: &str = "NdisMIndicateStatusEx";
    let Some(adapter) = Adapter::of(handle, CALL) else {
        return;
    };
    let broken = |what: core::fmt::Arguments<'_>| rules::broken(adapter, CALL, rules::STATUS, what);
    if adapter.attributes.lock().is_none() {
        broken(format_args!("called before the registration attributes"));
        return;
    }
    let i = &*indication;
    if i.Header.Type != NDIS_OBJECT_TYPE_STATUS_INDICATION
        || i.Header.Revision < 1
        || i.Header.Size < NDIS_SIZEOF_STATUS_INDICATION_REVISION_1
    {
        broken(format_args!("the indication begins with {:?}", i.Header));
        return;
    }
    if i.SourceHandle != adapter.handle() {
        broken(format_args!(
            "SourceHandle of status {:#x} is not the adapter's",
            i.StatusCode
        ));
    }
    match read(i, adapter.version()) {
        Ok(status) => {
            match status {
                Status::Link(link) => *adapter.link.lock() = link,
                Status::Offload(config) => oid::took_configuration(adapter, config),
                Status::Other(_) => {}
            }
            if let Some(client) = adapter.client() {
                client.status(status);
            }
        }
        Err(why) => broken(format_args!("{why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indication(code: NDIS_STATUS, at: PVOID, size: u32) -> NDIS_STATUS_INDICATION {
        // SAFETY: every field may be zero.
        let zero: NDIS_STATUS_INDICATION = unsafe { core::mem::zeroed() };
        NDIS_STATUS_INDICATION {
            StatusCode: code,
            StatusBuffer: at,
            StatusBufferSize: size,
            ..zero
        }
    }

    fn link(state: u32) -> NDIS_LINK_STATE {
        NDIS_LINK_STATE {
            Header: NDIS_OBJECT_HEADER::new(
                NDIS_OBJECT_TYPE_DEFAULT,
                1,
                NDIS_SIZEOF_LINK_STATE_REVISION_1,
            ),
            MediaConnectState: state,
            MediaDuplexState: MediaDuplexStateFull,
            XmitLinkSpeed: 10_000_000_000,
            RcvLinkSpeed: 1_000_000_000,
            PauseFunctions: 0,
            AutoNegotiationFlags: 0,
        }
    }

    #[test]
    fn a_link_state_is_read_with_its_speeds() {
        let mut up = link(MediaConnectStateConnected);
        let i = indication(NDIS_STATUS_LINK_STATE, (&raw mut up).cast(), 40);
        // SAFETY: the buffer is whole.
        let status = unsafe { read(&i, (6, 84)) };
        assert_eq!(
            status,
            Ok(Status::Link(Link {
                connected: true,
                xmit_speed: 10_000_000_000,
                rcv_speed: 1_000_000_000
            }))
        );
    }

    #[test]
    fn sizes_that_are_swapped_are_found() {
        let mut up = link(MediaConnectStateConnected);
        let mut small = link(MediaConnectStateConnected);
        small.Header.Size = NDIS_SIZEOF_STATUS_INDICATION_REVISION_1 - 80;
        let (at, bad): (PVOID, PVOID) = ((&raw mut up).cast(), (&raw mut small).cast());
        // SAFETY: the buffers are as long as is said, or not read beyond their size.
        unsafe {
            assert!(read(&indication(NDIS_STATUS_LINK_STATE, at, 39), (6, 84)).is_err());
            assert!(
                read(
                    &indication(NDIS_STATUS_LINK_STATE, core::ptr::null_mut(), 40),
                    (6, 84)
                )
                .is_err()
            );
            let i = indication(NDIS_STATUS_LINK_STATE, bad, 112);
            assert!(read(&i, (6, 84)).is_err());
        }
    }

    #[test]
    fn other_codes_pass() {
        let i = indication(NDIS_STATUS_NETWORK_CHANGE, core::ptr::null_mut(), 0);
        // SAFETY: there is no buffer.
        let status = unsafe { read(&i, (6, 84)) };
        assert_eq!(status, Ok(Status::Other(NDIS_STATUS_NETWORK_CHANGE)));
    }
}
