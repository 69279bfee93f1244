//! Frames through lists and back, on the host's machine.

use super::*;
use crate::net::headers::test_frame;
use crate::net::offload::{Offloads, prepare};
use crate::net::receive;
use proptest::prelude::*;
use std::vec;

fn ready(frame: &[u8], segment: Option<usize>) -> Ready<Buffer> {
    let mut buffer = <Buffer as Frame>::new(frame.len()).expect("memory");
    buffer.bytes_mut().copy_from_slice(frame);
    let work = prepare(buffer.bytes_mut(), &Offloads::default(), segment);
    Ready {
        frame: buffer,
        work,
    }
}

/// The frames of a chain, as an adapter reads them, with the slot of their large send.
unsafe fn read(mut list: *mut NET_BUFFER_LIST) -> Vec<(Vec<u8>, usize)> {
    let mut frames = Vec::new();
    while !list.is_null() {
        let slot = (*list).NetBufferListInfo[TcpLargeSendNetBufferListInfo] as usize;
        let mut buffer = (*list).FirstNetBuffer;
        while !buffer.is_null() {
            // Reading takes the first buffer of a list: a list of its own for each.
            let mut one = *list;
            one.FirstNetBuffer = buffer;
            let brought = receive::take(&mut one, false);
            let frame = brought.frame.expect("a chain as long as its frame");
            frames.push((frame.as_ref().to_vec(), slot));
            if slot != 0 {
                let headers = Headers::parse(frame.as_ref()).expect("headers");
                let here = (*(*buffer).CurrentMdl).ByteCount - (*buffer).CurrentMdlOffset;
                assert!(
                    here as usize >= headers.payload(),
                    "headers of a large send are cut"
                );
            }
            buffer = (*buffer).Next;
        }
        list = (*list).Next;
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_adapter_reads_the_frames_that_the_stack_sent(seed: u64, lengths in proptest::collection::vec((0usize..3000, any::<bool>(), any::<bool>()), 1..12), large in 2000usize..60_000, backfill in 0usize..40) {
        let _turn = crate::testing::machine();
        prop_assert!(make_pool());
        let mut builder = Builder::new(seed);
        builder.backfill = backfill;
        let mut frames = Vec::new();
        for (index, (length, v6, _)) in lengths.iter().enumerate() {
            let payload = vec![index as u8; *length];
            frames.push(ready(&test_frame(*v6, &payload), None));
        }
        let sent = test_frame(false, &vec![9; large]);
        frames.push(ready(&sent, Some(1000)));
        frames.push(ready(&[7; 60], None));
        let wanted: Vec<Vec<u8>> = frames.iter().map(|ready| ready.frame.bytes().to_vec()).collect();
        let count = frames.len();
        let (chain, dropped) = builder.build(&mut frames);
        prop_assert_eq!(dropped, 0);
        // SAFETY: the chain was just built.
        let got = unsafe { read(chain.first) };
        prop_assert_eq!(got.len(), count);
        for (index, ((bytes, slot), wanted)) in got.iter().zip(&wanted).enumerate() {
            prop_assert_eq!(bytes, wanted);
            prop_assert_eq!(*slot != 0, index == count - 2);
        }
        // SAFETY: as above; it is read by nobody any more.
        let returned = unsafe { take_back(chain.first) };
        prop_assert_eq!(returned, Returned { frames: count, ..Returned::default() });
    }
}

#[test]
fn frames_of_different_connections_share_no_list() {
    let _turn = crate::testing::machine();
    assert!(make_pool());
    let mut most = 0;
    for seed in 0..20 {
        let mut builder = Builder::new(seed);
        let mut other = test_frame(false, b"other");
        other[34] ^= 1;
        let mut frames = Vec::from([
            ready(&test_frame(false, b"one"), None),
            ready(&test_frame(false, b"two"), None),
            ready(&other, None),
            ready(&test_frame(true, b"six"), None),
        ]);
        let (chain, _) = builder.build(&mut frames);
        // SAFETY: the chain was just built.
        unsafe {
            let first = (*chain.first).FirstNetBuffer;
            let mut list = chain.first;
            let mut lists = 1;
            while !(*list).Next.is_null() {
                list = (*list).Next;
                lists += 1;
            }
            let joined = !(*first).Next.is_null();
            assert_eq!(lists, if joined { 3 } else { 4 });
            most = most.max(usize::from(joined));
            take_back(chain.first);
        }
    }
    assert_eq!(
        most, 1,
        "frames of one connection share a list now and then"
    );
}
