//! Each operation reaches Xen with its number, command and struct.

use std::cell::RefCell;
use std::vec::Vec;

use xen_abi::event_channel::ChannelStatus;
use xen_abi::{DomId, Errno, hypercall as number};

use super::*;
use crate::XenError;

/// Records calls, and answers with a function of the argument's bytes.
struct Recorder {
    calls: RefCell<Vec<(u32, u64)>>,
    size: usize,
    answer: fn(&mut [u8]) -> i64,
}

// SAFETY: touches only `size` bytes of the argument, which the test knows to be its struct's size.
unsafe impl RawHypercall for Recorder {
    unsafe fn call(&self, number: u32, args: [u64; 3]) -> i64 {
        self.calls.borrow_mut().push((number, args[0]));
        if self.size == 0 {
            return (self.answer)(&mut []);
        }
        let place = core::ptr::with_exposed_provenance_mut::<u8>(args[1] as usize);
        // SAFETY: the operation under test passes the address of a struct of this size.
        (self.answer)(unsafe { core::slice::from_raw_parts_mut(place, self.size) })
    }
}

fn xen(size: usize, answer: fn(&mut [u8]) -> i64) -> Guest<Recorder> {
    Guest::new(Recorder {
        calls: RefCell::default(),
        size,
        answer,
    })
}

fn calls(xen: &Guest<Recorder>) -> Vec<(u32, u64)> {
    xen.raw().calls.borrow().clone()
}

#[test]
fn an_unbound_port_is_ours_and_for_the_remote() {
    let xen = xen(8, |arg| {
        assert_eq!(arg, [0xf0, 0x7f, 3, 0, 0, 0, 0, 0]);
        arg[4] = 9;
        0
    });
    assert_eq!(xen.alloc_unbound(DomId(3)), Ok(9));
    assert_eq!(calls(&xen), [(number::EVENT_CHANNEL_OP, 6)]);
}

#[test]
fn a_negative_result_is_an_errno_with_the_name_of_the_call() {
    let xen = xen(4, |_| -22);
    let error = xen.send(5).expect_err("fails");
    assert_eq!(
        error,
        XenError::Hypercall {
            call: "EVTCHNOP_send",
            errno: Errno::EINVAL
        }
    );
    assert_eq!(std::format!("{error}"), "EVTCHNOP_send failed: XEN_EINVAL");
}

#[test]
fn an_absurd_result_is_no_errno() {
    let xen = xen(4, |_| i64::MIN);
    assert_eq!(
        xen.send(5),
        Err(XenError::Answer {
            call: "EVTCHNOP_send",
            value: i64::MIN
        })
    );
}

#[test]
fn a_status_is_taken_apart() {
    let xen = xen(24, |arg| {
        arg[8] = 2;
        arg[12] = 1;
        arg[16] = 7;
        arg[20] = 33;
        0
    });
    let expected = ChannelState {
        status: ChannelStatus::INTERDOMAIN,
        vcpu: 1,
        remote_dom: DomId(7),
        remote_port: 33,
    };
    assert_eq!(xen.status(2), Ok(expected));
}

#[test]
fn a_grant_operation_fails_by_its_own_status() {
    let xen = xen(32, |arg| {
        arg[18..20].copy_from_slice(&(-3i16).to_le_bytes());
        0
    });
    assert!(matches!(
        xen.map(DomId(0), 8, 0x1000, true),
        Err(XenError::Grant { .. })
    ));
}

#[test]
fn xen_cannot_have_done_more_frames_than_there_were() {
    let one = xen(32, |_| 1);
    assert_eq!(one.decrease_reservation(&[5, 6]), Ok(1));
    let three = xen(32, |_| 3);
    assert!(matches!(
        three.populate_physmap(&mut [5, 6]),
        Err(XenError::Answer { .. })
    ));
}

#[test]
fn a_cancelled_suspend_says_so() {
    assert_eq!(xen(4, |_| 1).shutdown(2), Ok(true));
    assert_eq!(xen(4, |_| 0).shutdown(2), Ok(false));
}

#[test]
fn the_version_is_split_in_two() {
    assert_eq!(xen(0, |_| 0x0004_0011).xen_version(), Ok((4, 17)));
}
