use super::*;
use alloc::vec;

#[derive(Default)]
struct Simple {
    next: u8,
    no_ports: bool,
}

impl Arbiter for Simple {
    fn line(&mut self, range: (u32, u32), level: bool) -> Option<(u32, Interrupt)> {
        self.next += 1;
        let i = Interrupt {
            vector: 0x50 + self.next,
            irql: 5,
            affinity: 3,
            message: false,
            level,
        };
        Some((range.0, i))
    }
    fn message(&mut self, processors: usize) -> Option<Interrupt> {
        self.next += 1;
        Some(Interrupt {
            vector: 0x60 + self.next,
            irql: 6,
            affinity: processors,
            message: true,
            level: false,
        })
    }
    fn memory(&mut self, _length: u32, _alignment: u32, range: (u64, u64)) -> Option<u64> {
        Some(range.0)
    }
    fn ports(&mut self, _length: u32, _alignment: u32, range: (u64, u64)) -> Option<u64> {
        (!self.no_ports).then_some(range.0)
    }
}

fn want_message(processors: usize) -> IO_RESOURCE_DESCRIPTOR {
    let mut d = want_line(CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN);
    d.Flags = CM_RESOURCE_INTERRUPT_LATCHED
        | CM_RESOURCE_INTERRUPT_MESSAGE
        | CM_RESOURCE_INTERRUPT_POLICY_INCLUDED;
    d.u.Interrupt.AffinityPolicy = IrqPolicySpecifiedProcessors;
    d.u.Interrupt.TargetedProcessors = processors;
    d
}

fn aligned(list: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; list.len().div_ceil(8)];
    for (i, b) in list.iter().enumerate() {
        words[i / 8] |= u64::from(*b) << (8 * (i % 8));
    }
    words
}

fn run(descriptors: &[IO_RESOURCE_DESCRIPTOR], arbiter: &mut Simple) -> Option<Assigned> {
    let list = aligned(&io_list(PCIBus, 0, 0, descriptors));
    // SAFETY: a well-formed list.
    unsafe { arbitrate(list.as_ptr().cast(), true, arbiter) }
}

fn descriptors(list: &[u8]) -> Vec<CM_PARTIAL_RESOURCE_DESCRIPTOR> {
    let head = 4 + 16;
    list[head..]
        .chunks_exact(20)
        // SAFETY: 20 bytes of plain data.
        .map(|c| unsafe {
            c.as_ptr()
                .cast::<CM_PARTIAL_RESOURCE_DESCRIPTOR>()
                .read_unaligned()
        })
        .collect()
}

#[test]
fn a_line_and_one_message_a_processor_are_assigned_in_order() {
    let list = [
        want_range(CmResourceTypePort, 1, 256, (0xc000, 0xc0ff)),
        want_line(28),
        want_message(1),
        want_message(2),
    ];
    let a = run(&list, &mut Simple::default()).unwrap();
    let (raw, translated) = (descriptors(&a.raw), descriptors(&a.translated));
    assert_eq!((raw.len(), translated.len()), (4, 4));
    // SAFETY: the forms that the types stand for.
    unsafe {
        assert_eq!({ raw[0].u.Range.Start }, 0xc000);
        assert_eq!(
            ({ raw[1].u.Interrupt.Vector }, {
                translated[1].u.Interrupt.Vector
            }),
            (28, 0x51)
        );
        assert_eq!(
            ({ raw[2].u.MessageRaw.MessageCount }, {
                raw[2].u.MessageRaw.Vector
            }),
            (1, 0x62)
        );
        assert_eq!(
            ({ translated[3].u.Interrupt.Level }, {
                translated[3].u.Interrupt.Affinity
            }),
            (6, 2)
        );
    }
    assert_eq!(
        { translated[2].Flags },
        CM_RESOURCE_INTERRUPT_LATCHED | CM_RESOURCE_INTERRUPT_MESSAGE
    );
    assert_eq!(a.interrupts.iter().filter(|i| i.message).count(), 2);
}

#[test]
fn a_device_that_is_not_to_have_messages_gets_its_line_only() {
    let list = [want_line(28), want_message(1), want_message(2)];
    let list = aligned(&io_list(PCIBus, 0, 0, &list));
    // SAFETY: a well-formed list.
    let a = unsafe { arbitrate(list.as_ptr().cast(), false, &mut Simple::default()) }.unwrap();
    assert_eq!(descriptors(&a.raw).len(), 1);
    assert!(a.interrupts.iter().all(|i| !i.message));
}

#[test]
fn an_alternative_is_taken_only_when_the_preferred_cannot_be_had() {
    let mut other = want_range(CmResourceTypeMemory, 0, 0x1000, (0xf000_0000, 0xf000_0fff));
    other.Option = IO_RESOURCE_ALTERNATIVE;
    let list = [want_range(CmResourceTypePort, 1, 8, (0x300, 0x307)), other];
    let kinds = |a: Assigned| {
        descriptors(&a.raw)
            .iter()
            .map(|d| d.Type)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(run(&list, &mut Simple::default()).unwrap()),
        [CmResourceTypePort]
    );
    let mut poor = Simple {
        no_ports: true,
        ..Simple::default()
    };
    assert_eq!(
        kinds(run(&list, &mut poor).unwrap()),
        [CmResourceTypeMemory]
    );
    assert_eq!(
        run(
            &list[..1],
            &mut Simple {
                no_ports: true,
                ..Simple::default()
            }
        ),
        None
    );
}

#[test]
fn a_list_that_claims_more_than_it_holds_is_read_to_its_end_only() {
    let mut bytes = io_list(PCIBus, 0, 0, &[want_line(5)]);
    bytes[36] = 200;
    let list = aligned(&bytes);
    // SAFETY: ListSize covers what is there.
    assert_eq!(unsafe { alternatives(list.as_ptr().cast()) }[0].len(), 1);
}

#[test]
fn private_data_comes_through_unchanged() {
    let mut d = want_line(0);
    d.Type = CmResourceTypeDevicePrivate;
    d.u.DevicePrivate = [1, 2, 3];
    let a = run(&[d], &mut Simple::default()).unwrap();
    // SAFETY: private data.
    let private = unsafe { descriptors(&a.translated)[0].u.DevicePrivate };
    assert_eq!(private, [1, 2, 3]);
}
