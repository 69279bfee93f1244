extern crate std;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use xenbus_interface::identity::Class;

fn vif(number: u32) -> Child {
    Child::of_device(Class::new(b"vif").unwrap(), number).unwrap()
}

fn wanted(numbers: &[u32]) -> Wanted {
    let mut wanted = Wanted::new();
    for number in numbers {
        assert!(wanted.insert(vif(*number)));
    }
    wanted
}

#[test]
fn every_event_leads_where_the_rules_say() {
    use Life::*;
    let owed = Event::ParentRemoved { remove_owed: true };
    let free = Event::ParentRemoved { remove_owed: false };
    // After a list, leaving xenstore, REMOVE, and the bus' end without and with a REMOVE owed.
    let table = [
        (New, [Listed, Over, Over, Over, Over]),
        (Listed, [Listed, Leaving, Listed, Over, Dropped]),
        (Leaving, [Dropped, Leaving, Leaving, Over, Dropped]),
        (Dropped, [Dropped, Dropped, Over, Over, Dropped]),
        (Over, [Over; 5]),
    ];
    for (life, expected) in table {
        let events = [Event::List, Event::Left, Event::Removed, free, owed];
        for (event, expected) in events.into_iter().zip(expected) {
            assert_eq!(life.after(event), expected, "{life:?} {event:?}");
        }
    }
}

/// A roster with one child, whose device is 1.
fn one() -> Roster<u32> {
    let mut roster = Roster::new();
    assert_eq!(roster.arrival(&vif(0)), Arrival::New);
    assert!(roster.reserve());
    roster.insert(vif(0), 1).unwrap();
    roster
}

fn listed(roster: &mut Roster<u32>) -> Vec<u32> {
    let mut list = Vec::new();
    let present = roster.present();
    roster.list(|device| list.push(*device));
    assert_eq!(list.len(), present);
    list
}

#[test]
fn a_child_that_pnp_never_heard_of_goes_at_once() {
    let mut roster = one();
    let mut left = Vec::new();
    roster.retain(&wanted(&[]), |child| left.push(*child));
    assert_eq!((left, roster.take_over()), (std::vec![vif(0)], Some(1)));
    assert_eq!(roster.arrival(&vif(0)), Arrival::New);
}

#[test]
fn a_child_that_pnp_knows_goes_with_the_remove_after_a_list_without_it() {
    let mut roster = one();
    assert_eq!(listed(&mut roster), [1]);
    roster.retain(&wanted(&[]), |_| {});
    assert_eq!(roster.take_over(), None);
    // The user disables it before PnP asks again: the last list has it, so it stays.
    assert_eq!(roster.removed(|device| *device == 1), None);
    assert_eq!(listed(&mut roster), []);
    assert_eq!(roster.removed(|device| *device == 1), Some(1));
}

#[test]
fn a_child_that_comes_back_waits_for_the_end_of_its_old_device() {
    let mut roster = one();
    listed(&mut roster);
    roster.retain(&wanted(&[]), |_| {});
    assert_eq!(roster.arrival(&vif(0)), Arrival::HeldBack);
    listed(&mut roster);
    assert_eq!(roster.arrival(&vif(0)), Arrival::HeldBack);
    roster.removed(|device| *device == 1);
    assert_eq!(roster.arrival(&vif(0)), Arrival::New);
}

#[test]
fn an_ejected_child_stays_away_until_xenstore_loses_it() {
    let mut roster = one();
    listed(&mut roster);
    roster.eject(|device| *device == 1);
    listed(&mut roster);
    assert_eq!(roster.removed(|device| *device == 1), Some(1));
    roster.retain(&wanted(&[0]), |_| {});
    assert_eq!(roster.arrival(&vif(0)), Arrival::Ejected);
    roster.retain(&wanted(&[]), |_| {});
    assert_eq!(roster.arrival(&vif(0)), Arrival::New);
}

#[test]
fn children_go_with_the_bus_but_for_one_whose_remove_is_still_to_come() {
    let mut roster = one();
    assert!(roster.reserve());
    roster.insert(vif(1), 2).unwrap();
    listed(&mut roster);
    roster.parent_removed(|device| *device == 2);
    assert_eq!((roster.take_over(), roster.take_over()), (Some(1), None));
    assert_eq!(roster.removed(|device| *device == 2), Some(2));
}

#[test]
fn without_room_the_device_comes_back() {
    let mut roster = Roster::new();
    assert_eq!(roster.insert(vif(0), 1), Err(1));
}

/// What happens in the world.
#[derive(Clone, Debug)]
enum Act {
    Attach(u32),
    Detach(u32),
    Scan,
    /// PnP asks for a list and deals with it: what is missing is marked for its removal, what is new is noted.
    Ask,
    /// PnP sends the `REMOVE` of a device that it has missed.
    Finish,
    /// A user disables a device.
    Disable(u32),
    Eject(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3_u32).prop_map(Act::Attach),
        (0..3_u32).prop_map(Act::Detach),
        Just(Act::Scan),
        Just(Act::Ask),
        Just(Act::Finish),
        (0..3_u32).prop_map(Act::Disable),
        (0..3_u32).prop_map(Act::Eject),
    ]
}

#[derive(Default)]
struct World {
    roster: Roster<u32>,
    store: Vec<u32>,
    /// Every device object that exists, with its number.
    alive: BTreeMap<u32, u32>,
    /// PnP's last list.
    known: Vec<u32>,
    /// Those that PnP missed and will send `REMOVE`.
    missed: Vec<u32>,
    next: u32,
}

impl World {
    fn delete(&mut self, device: u32) {
        assert!(self.alive.remove(&device).is_some(), "deleted twice");
        assert!(
            !self.known.contains(&device),
            "deleted while PnP's list has it"
        );
    }

    fn scan(&mut self) {
        let wanted = wanted(&self.store);
        self.roster.retain(&wanted, |_| {});
        while let Some(device) = self.roster.take_over() {
            self.delete(device);
        }
        for child in wanted.iter() {
            if self.roster.arrival(&child) == Arrival::New {
                assert!(self.roster.reserve());
                let number = child.number().unwrap();
                assert!(
                    !self.alive.values().any(|one| *one == number),
                    "two of one id"
                );
                self.next += 1;
                self.roster.insert(child, self.next).unwrap();
                self.alive.insert(self.next, number);
            }
        }
    }

    fn remove(&mut self, device: u32) {
        if let Some(device) = self.roster.removed(|one| *one == device) {
            self.delete(device);
        }
    }

    fn ask(&mut self) {
        let list = listed(&mut self.roster);
        let known = core::mem::replace(&mut self.known, list);
        let list = &self.known;
        self.missed
            .extend(known.iter().filter(|device| !list.contains(device)));
    }

    fn finish(&mut self) {
        for device in core::mem::take(&mut self.missed) {
            self.remove(device);
            assert!(
                !self.alive.contains_key(&device),
                "left behind after its REMOVE"
            );
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Attach(number) if !self.store.contains(&number) => self.store.push(number),
            Act::Attach(_) => {}
            Act::Detach(number) => self.store.retain(|one| *one != number),
            Act::Scan => self.scan(),
            Act::Ask => self.ask(),
            Act::Finish => self.finish(),
            Act::Disable(index) => {
                if let Some(device) = self.known.get(index as usize).copied() {
                    self.remove(device);
                }
            }
            Act::Eject(index) => {
                if let Some(device) = self.known.get(index as usize).copied() {
                    self.roster.eject(|one| *one == device);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn pnp_never_holds_a_deleted_device_and_in_the_end_has_what_xenstore_has(
        acts in proptest::collection::vec(act(), 0..80)
    ) {
        let mut world = World::default();
        let ejects = acts.iter().any(|act| matches!(act, Act::Eject(_)));
        for act in acts {
            world.act(act);
        }
        // What a scan holds back comes with the scan after the removal.
        for act in [Act::Scan, Act::Ask, Act::Finish, Act::Scan, Act::Ask] {
            world.act(act);
        }
        let mut there: Vec<u32> = world.known.iter().map(|device| world.alive[device]).collect();
        there.sort_unstable();
        world.store.sort_unstable();
        if ejects {
            prop_assert!(there.iter().all(|number| world.store.contains(number)));
        } else {
            prop_assert_eq!(there, world.store);
        }
    }
}
