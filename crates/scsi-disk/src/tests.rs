use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::command::{Extent, Operation, parse};
use crate::disk::{Discard, Disk, Identity};
use crate::sense::Sense;
use crate::{response, unmap};

fn disk() -> Disk {
    Disk {
        blocks: 1000,
        block_size: 512,
        physical_exponent: 3,
        read_only: false,
        removable: false,
        write_cache: true,
        discard: Some(Discard {
            granularity: 8,
            alignment: 0,
            maximum_descriptors: 4,
        }),
        maximum_transfer_blocks: 512,
        identity: Identity::new(*b"XENSRC  ", *b"PVDISK          ", *b"2.0 ", b"abc-123"),
    }
}

fn answer(disk: &Disk, cdb: &[u8], room: usize) -> Vec<u8> {
    let mut buffer = vec![0xEE; room];
    match parse(disk, cdb) {
        Ok(Operation::Respond(response)) => {
            let length = response::write(disk, &response, &mut buffer);
            assert!(buffer[length..].iter().all(|byte| *byte == 0xEE));
            buffer.truncate(length);
            buffer
        }
        other => panic!("{other:?} is no response"),
    }
}

fn cdb10(op: u8, lba: u32, blocks: u16) -> Vec<u8> {
    let mut cdb = vec![op, 0];
    cdb.extend(lba.to_be_bytes());
    cdb.push(0);
    cdb.extend(blocks.to_be_bytes());
    cdb.push(0);
    cdb
}

fn cdb16(op: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = vec![op, 0];
    cdb.extend(lba.to_be_bytes());
    cdb.extend(blocks.to_be_bytes());
    cdb.extend([0, 0]);
    cdb
}

fn list(header: (u16, u16), descriptors: &[(u64, u32)]) -> Vec<u8> {
    let mut data = Vec::new();
    data.extend(header.0.to_be_bytes());
    data.extend(header.1.to_be_bytes());
    data.extend([0; 4]);
    for (lba, blocks) in descriptors {
        data.extend(lba.to_be_bytes());
        data.extend(blocks.to_be_bytes());
        data.extend([0; 4]);
    }
    data
}

#[test]
fn reads_of_all_four_sizes_name_the_same_blocks() {
    let extent = Extent {
        lba: 0x123,
        blocks: 7,
    };
    let mut disk = disk();
    disk.blocks = 1 << 40;
    for cdb in [
        vec![0x08, 0x00, 0x01, 0x23, 7, 0],
        cdb10(0x28, 0x123, 7),
        vec![0xA8, 0, 0, 0, 1, 0x23, 0, 0, 0, 7, 0, 0],
        cdb16(0x88, 0x123, 7),
    ] {
        assert_eq!(parse(&disk, &cdb), Ok(Operation::Read(extent)), "{cdb:x?}");
        let mut cdb = cdb;
        cdb[0] |= 2;
        assert_eq!(
            parse(&disk, &cdb),
            Ok(Operation::Write { extent, fua: false }),
            "{cdb:x?}"
        );
    }
}

#[test]
fn a_six_byte_length_of_zero_is_256_blocks() {
    // SBC-3 5.10
    let read = parse(&disk(), &[0x08, 0, 0, 4, 0, 0]);
    assert_eq!(
        read,
        Ok(Operation::Read(Extent {
            lba: 4,
            blocks: 256
        }))
    );
}

#[test]
fn a_longer_command_of_no_blocks_is_no_error() {
    // SBC-3 5.11: a transfer length of zero is not an error
    let read = parse(&disk(), &cdb10(0x28, 1000, 0));
    assert_eq!(
        read,
        Ok(Operation::Read(Extent {
            lba: 1000,
            blocks: 0
        }))
    );
    assert_eq!(
        parse(&disk(), &cdb10(0x28, 1001, 0)),
        Err(Sense::LBA_OUT_OF_RANGE)
    );
}

#[test]
fn blocks_beyond_the_end_are_out_of_range() {
    for cdb in [
        cdb10(0x28, 999, 2),
        cdb10(0x2A, 999, 2),
        cdb10(0x2F, 999, 2),
        cdb10(0x35, 999, 2),
        cdb16(0x88, u64::MAX, 2),
        cdb16(0x8A, u64::MAX, u32::MAX),
        cdb16(0x91, 1001, 0),
    ] {
        assert_eq!(
            parse(&disk(), &cdb),
            Err(Sense::LBA_OUT_OF_RANGE),
            "{cdb:x?}"
        );
    }
    assert!(parse(&disk(), &cdb10(0x28, 998, 2)).is_ok());
}

#[test]
fn a_transfer_longer_than_the_block_limits_page_allows_is_an_invalid_field() {
    // SBC-3 6.5.3
    assert_eq!(
        parse(&disk(), &cdb10(0x28, 0, 513)),
        Err(Sense::invalid_field(7))
    );
    assert_eq!(
        parse(&disk(), &cdb16(0x8A, 0, 513)),
        Err(Sense::invalid_field(10))
    );
}

#[test]
fn every_write_to_a_read_only_disk_is_write_protected() {
    let disk = Disk {
        read_only: true,
        ..disk()
    };
    for cdb in [
        vec![0x0A, 0, 0, 0, 1, 0],
        cdb10(0x2A, 0, 1),
        vec![0xAA, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        cdb16(0x8A, 0, 1),
        vec![0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
    ] {
        assert_eq!(parse(&disk, &cdb), Err(Sense::WRITE_PROTECTED), "{cdb:x?}");
    }
    assert_eq!(answer(&disk, &[0x1A, 0x08, 0x08, 0, 255, 0], 255)[2], 0x90);
    assert!(parse(&disk, &cdb10(0x28, 0, 1)).is_ok());
}

#[test]
fn force_unit_access_is_told_to_the_driver() {
    let mut cdb = cdb10(0x2A, 0, 1);
    cdb[1] = 0x08;
    let extent = Extent { lba: 0, blocks: 1 };
    assert_eq!(
        parse(&disk(), &cdb),
        Ok(Operation::Write { extent, fua: true })
    );
}

#[test]
fn protection_information_is_refused() {
    let mut cdb = cdb10(0x28, 0, 1);
    cdb[1] = 0x20;
    assert_eq!(parse(&disk(), &cdb), Err(Sense::invalid_field(1)));
}

#[test]
fn an_unknown_command_is_an_invalid_opcode() {
    for op in [0x04, 0x15, 0x55, 0x5E, 0x5F, 0x85, 0x89, 0x93, 0xFF] {
        assert_eq!(
            parse(&disk(), &[op, 0, 0, 0, 0, 0]),
            Err(Sense::INVALID_OPCODE),
            "{op:x}"
        );
    }
    assert_eq!(parse(&disk(), &[]), Ok(Operation::Nothing));
}

#[test]
fn standard_inquiry_names_vendor_product_and_revision() {
    let data = answer(&disk(), &[0x12, 0, 0, 0, 255, 0], 255);
    assert_eq!(&data[8..36], b"XENSRC  PVDISK          2.0 ");
    assert_eq!((data[0], data[1], data[4] as usize + 5), (0, 0, data.len()));
    let data = answer(
        &Disk {
            removable: true,
            ..disk()
        },
        &[0x12, 0, 0, 0, 255, 0],
        255,
    );
    assert_eq!(data[1], 0x80);
}

#[test]
fn a_response_is_cut_to_the_allocation_length_and_to_the_buffer() {
    // SPC-4 4.3.4.6
    assert_eq!(answer(&disk(), &[0x12, 0, 0, 0, 5, 0], 255).len(), 5);
    assert_eq!(answer(&disk(), &[0x12, 0, 0, 0, 255, 0], 7).len(), 7);
    assert_eq!(answer(&disk(), &[0x12, 0, 0, 0, 0, 0], 255).len(), 0);
}

#[test]
fn every_listed_page_answers_and_no_other() {
    // SPC-4 7.8.14; classpnp wants page 00h first and the list ascending
    for disk in [
        disk(),
        Disk {
            discard: None,
            ..disk()
        },
    ] {
        let listed = answer(&disk, &[0x12, 1, 0, 0, 255, 0], 255);
        let listed = &listed[4..];
        assert_eq!(listed[0], 0);
        assert!(listed.is_sorted());
        for page in 0..=255u8 {
            let cdb = [0x12, 1, page, 0, 255, 0];
            if listed.contains(&page) {
                let data = answer(&disk, &cdb, 255);
                assert_eq!(data[1], page);
                assert_eq!(usize::from(data[3]) + 4, data.len());
            } else {
                assert_eq!(parse(&disk, &cdb), Err(Sense::invalid_field(2)));
            }
        }
        assert_eq!(listed.contains(&0xB2), disk.discard.is_some());
    }
}

#[test]
fn a_page_code_without_evpd_is_an_invalid_field() {
    assert_eq!(
        parse(&disk(), &[0x12, 0, 0x80, 0, 255, 0]),
        Err(Sense::invalid_field(2))
    );
}

#[test]
fn serial_and_identification_carry_the_same_name() {
    assert_eq!(
        &answer(&disk(), &[0x12, 1, 0x80, 0, 255, 0], 255)[4..],
        b"abc-123"
    );
    let page = answer(&disk(), &[0x12, 1, 0x83, 0, 255, 0], 255);
    assert_eq!(&page[4..8], &[0x02, 0x01, 0, 15]);
    assert_eq!(&page[8..], b"XENSRC  abc-123");
}

#[test]
fn a_toolstack_page_takes_the_place_of_ours_only_if_well_formed() {
    let mut disk = disk();
    assert!(!disk.identity.override_page(&[0, 0x80, 0, 9, b'x']));
    assert!(!disk.identity.override_page(&[0, 0x81, 0, 1, b'x']));
    assert!(!disk.identity.override_page(&[]));
    assert!(!disk.identity.override_page(&[0; 300]));
    assert!(disk.identity.override_page(&[0, 0x80, 0, 2, b'x', b'y']));
    assert_eq!(
        answer(&disk, &[0x12, 1, 0x80, 0, 255, 0], 255),
        [0, 0x80, 0, 2, b'x', b'y']
    );
}

#[test]
fn a_serial_keeps_only_printable_characters() {
    let identity = Identity::new(
        *b"XENSRC  ",
        [b' '; 16],
        *b"2.0 ",
        &[b'a', 0, b' ', 0xFF, b'b'],
    );
    assert_eq!(identity.serial(), b"ab");
    let long = Identity::new(*b"XENSRC  ", [b' '; 16], *b"2.0 ", &[b'z'; 100]);
    assert_eq!(long.serial().len(), crate::disk::SERIAL_MAX);
}

#[test]
fn block_limits_say_what_unmap_may_carry() {
    // SBC-3 6.5.3; without the two maxima a host that follows the standard would not unmap
    let page = answer(&disk(), &[0x12, 1, 0xB0, 0, 255, 0], 255);
    assert_eq!(page.len(), 64);
    assert_eq!(
        &page[20..36],
        &[
            0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 4, 0, 0, 0, 8, 0x80, 0, 0, 0
        ]
    );
    let page = answer(
        &Disk {
            discard: None,
            ..disk()
        },
        &[0x12, 1, 0xB0, 0, 255, 0],
        255,
    );
    assert_eq!(&page[20..36], &[0; 16]);
    assert_eq!(&page[8..12], &512u32.to_be_bytes());
}

#[test]
fn capacity_is_the_last_block_and_the_block_size() {
    assert_eq!(
        answer(&disk(), &cdb10(0x25, 0, 0), 8),
        [0, 0, 3, 0xE7, 0, 0, 2, 0]
    );
    let big = Disk {
        blocks: (1 << 32) + 1,
        ..disk()
    };
    assert_eq!(answer(&big, &cdb10(0x25, 0, 0), 8)[..4], [0xFF; 4]);
    let exact = Disk {
        blocks: 1 << 32,
        ..disk()
    };
    assert_eq!(answer(&exact, &cdb10(0x25, 0, 0), 8)[..4], [0xFF; 4]);
    let mut cdb = cdb16(0x9E, 0, 32);
    cdb[1] = 0x10;
    let data = answer(&big, &cdb, 64);
    assert_eq!(data.len(), 32);
    assert_eq!(&data[..8], &(1u64 << 32).to_be_bytes());
    assert_eq!((data[13], data[14]), (3, 0x80));
    let plain = Disk {
        discard: None,
        ..disk()
    };
    assert_eq!(answer(&plain, &cdb, 64)[14], 0);
}

#[test]
fn the_caching_page_says_whether_there_is_a_write_cache() {
    // SBC-3 6.4.5; PAGE LENGTH does not count itself and the page code
    for (write_cache, byte) in [(true, 0x04), (false, 0)] {
        let disk = Disk {
            write_cache,
            ..disk()
        };
        let data = answer(&disk, &[0x1A, 0x08, 0x08, 0, 255, 0], 255);
        assert_eq!(data[0] as usize + 1, data.len());
        assert_eq!(&data[3..7], &[0, 0x08, 0x12, byte]);
        let data = answer(&disk, &[0x1A, 0x08, 0x48, 0, 255, 0], 255);
        assert_eq!(data[6], 0, "nothing is changeable");
    }
}

#[test]
fn mode_sense_lists_every_page_with_its_length() {
    for ten in [false, true] {
        let cdb: Vec<u8> = if ten {
            vec![0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255, 0]
        } else {
            vec![0x1A, 0, 0x3F, 0, 255, 0]
        };
        let data = answer(&disk(), &cdb, 255);
        let (mut at, mut pages) = (if ten { 16 } else { 12 }, Vec::new());
        while at < data.len() {
            pages.push(data[at]);
            at += 2 + usize::from(data[at + 1]);
        }
        assert_eq!((at, pages), (data.len(), vec![0x08, 0x0A, 0x1C]));
    }
}

#[test]
fn mode_pages_that_the_disk_lacks_and_saved_values_are_refused() {
    assert_eq!(
        parse(&disk(), &[0x1A, 0, 0x02, 0, 255, 0]),
        Err(Sense::invalid_field(2))
    );
    assert_eq!(
        parse(&disk(), &[0x1A, 0, 0xC8, 0, 255, 0]),
        Err(Sense::SAVING_NOT_SUPPORTED)
    );
    assert_eq!(
        parse(&disk(), &[0x1A, 0, 0x08, 1, 255, 0]),
        Err(Sense::invalid_field(3))
    );
}

#[test]
fn report_luns_lists_unit_zero_alone() {
    let data = answer(&disk(), &[0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], 64);
    assert_eq!(data, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn synchronize_cache_flushes_if_there_is_a_cache() {
    assert_eq!(parse(&disk(), &cdb10(0x35, 0, 0)), Ok(Operation::Flush));
    assert_eq!(parse(&disk(), &cdb16(0x91, 5, 5)), Ok(Operation::Flush));
    let disk = Disk {
        write_cache: false,
        ..disk()
    };
    assert_eq!(parse(&disk, &cdb10(0x35, 0, 0)), Ok(Operation::Nothing));
}

#[test]
fn unmap_names_extents_that_lie_on_the_disk() {
    assert_eq!(
        parse(&disk(), &[0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0]),
        Ok(Operation::Unmap { length: 40 })
    );
    let data = list((38, 32), &[(8, 16), (992, 8)]);
    let parsed = unmap::List::parse(disk().unmap_bounds(), &data, 40).unwrap();
    assert_eq!(
        parsed.extents().collect::<Vec<_>>(),
        [
            Extent { lba: 8, blocks: 16 },
            Extent {
                lba: 992,
                blocks: 8
            }
        ]
    );
}

#[test]
fn an_unmap_of_nothing_is_done_at_once() {
    // SBC-3 5.28.1: a parameter list length of zero, and a list of no descriptors, are no errors
    assert_eq!(
        parse(&disk(), &[0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Ok(Operation::Nothing)
    );
    let data = list((6, 0), &[]);
    assert!(
        unmap::List::parse(disk().unmap_bounds(), &data, 8)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_unmap_list_is_bounded_by_its_data_and_by_the_disk() {
    let data = list((38, 32), &[(8, 16), (992, 8)]);
    let check = |data: &[u8], length| unmap::List::parse(disk().unmap_bounds(), data, length).err();
    assert_eq!(
        check(&data, 48),
        Some(Sense::PARAMETER_LIST_LENGTH),
        "more than the buffer"
    );
    assert_eq!(
        check(&data, 24),
        Some(Sense::PARAMETER_LIST_LENGTH),
        "header says more"
    );
    assert_eq!(check(&data, 4), Some(Sense::PARAMETER_LIST_LENGTH));
    assert_eq!(
        check(&list((6, 32), &[]), 8),
        Some(Sense::PARAMETER_LIST_LENGTH),
        "descriptors beyond the list"
    );
    let five = [(0, 1); 5];
    assert_eq!(
        check(&list((86, 80), &five), 88),
        Some(Sense::INVALID_PARAMETER)
    );
    assert_eq!(
        check(&list((22, 16), &[(999, 2)]), 24),
        Some(Sense::LBA_OUT_OF_RANGE)
    );
    assert_eq!(
        check(&list((22, 16), &[(u64::MAX, 2)]), 24),
        Some(Sense::LBA_OUT_OF_RANGE)
    );
}

#[test]
fn a_disk_without_discard_has_no_unmap() {
    let disk = Disk {
        discard: None,
        ..disk()
    };
    let cdb = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0];
    assert_eq!(parse(&disk, &cdb), Err(Sense::INVALID_OPCODE));
}

#[test]
fn fixed_sense_data_points_at_the_field_in_error() {
    // SPC-4 4.5.3
    let data = Sense::invalid_field(7).fixed();
    assert_eq!((data[0], data[2], data[7]), (0x70, 5, 10));
    assert_eq!((data[12], data[13]), (0x24, 0));
    assert_eq!(&data[15..], &[0xC0, 0, 7]);
    assert_eq!(&Sense::WRITE_PROTECTED.fixed()[15..], &[0, 0, 0]);
}

proptest! {
    #[test]
    fn no_cdb_reaches_beyond_the_disk(cdb in proptest::collection::vec(any::<u8>(), 0..20), blocks in 1u64..1 << 40) {
        let disk = Disk { blocks, ..disk() };
        match parse(&disk, &cdb) {
            Ok(Operation::Read(e) | Operation::Write { extent: e, .. }) => {
                prop_assert!(e.lba + u64::from(e.blocks) <= blocks);
                prop_assert!(e.blocks <= disk.maximum_transfer_blocks);
            }
            Ok(Operation::Respond(response)) => {
                let mut buffer = [0; 512];
                let length = response::write(&disk, &response, &mut buffer);
                prop_assert!(length <= response::LENGTH_MAX);
            }
            _ => {}
        }
    }

    #[test]
    fn no_unmap_list_reaches_beyond_the_disk(data in proptest::collection::vec(any::<u8>(), 0..120), length: u16) {
        if let Ok(list) = unmap::List::parse(disk().unmap_bounds(), &data, length) {
            for extent in list.extents() {
                prop_assert!(extent.lba + u64::from(extent.blocks) <= 1000);
            }
        }
    }
}
