//! The life of a device as the PnP manager and the power manager see it, as tables.
//!
//! The states are those of the documentation's device state diagram; which request moves a device where
//! is in [`State::after`], the rest follows from the state.

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum State {
    /// Added (a function device) or reported (a physical one), not started.
    #[default]
    NotStarted,
    /// Started.
    Started,
    /// Asked whether it may stop; it was [`State::Started`].
    StopPending,
    /// Stopped to be given other resources; requests are held until the next start.
    Stopped,
    /// Asked whether it may be removed; what it goes back to if not is in the value.
    RemovePending(Before),
    /// Gone, but not yet removed.
    SurpriseRemoved,
    /// Removed; only a physical device that is still present lives on, as not started.
    Removed,
}

/// The state to which a cancelled removal leads back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// [`State::NotStarted`].
    NotStarted,
    /// [`State::Started`].
    Started,
    /// [`State::Stopped`].
    Stopped,
}

/// A request that moves a device, at the moment when it has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `IRP_MN_START_DEVICE`.
    Start,
    /// `IRP_MN_QUERY_STOP_DEVICE`.
    QueryStop,
    /// `IRP_MN_CANCEL_STOP_DEVICE`.
    CancelStop,
    /// `IRP_MN_STOP_DEVICE`.
    Stop,
    /// `IRP_MN_QUERY_REMOVE_DEVICE`.
    QueryRemove,
    /// `IRP_MN_CANCEL_REMOVE_DEVICE`.
    CancelRemove,
    /// `IRP_MN_SURPRISE_REMOVAL`.
    SurpriseRemoval,
    /// `IRP_MN_REMOVE_DEVICE`.
    Remove,
}

/// `IRP_MN_START_DEVICE` and its like.
const MINORS: [(u8, Request); 8] = [
    (0x00, Request::Start),
    (0x01, Request::QueryRemove),
    (0x02, Request::Remove),
    (0x03, Request::CancelRemove),
    (0x04, Request::Stop),
    (0x05, Request::QueryStop),
    (0x06, Request::CancelStop),
    (0x17, Request::SurpriseRemoval),
];

impl Request {
    /// The request of an `IRP_MJ_PNP` minor function, if it is one that moves a device.
    pub fn from_minor(minor: u8) -> Option<Self> {
        MINORS.iter().find(|row| row.0 == minor).map(|row| row.1)
    }

    /// Whether no driver may fail it.
    pub const fn must_succeed(self) -> bool {
        !matches!(self, Self::Start | Self::QueryStop | Self::QueryRemove)
    }
}

impl State {
    /// The state after a request. Requests that the diagram does not have in this state leave it as it is:
    /// a cancel also reaches drivers that never saw the query, and a device that was not started may be
    /// asked to stop.
    #[must_use]
    pub const fn after(self, request: Request) -> Self {
        match (self, request) {
            (Self::Removed, _) | (_, Request::Remove) => Self::Removed,
            (Self::SurpriseRemoved, _) | (_, Request::SurpriseRemoval) => Self::SurpriseRemoved,
            (_, Request::Start) => Self::Started,
            (Self::Started, Request::QueryStop) => Self::StopPending,
            (Self::StopPending, Request::CancelStop) => Self::Started,
            (Self::StopPending | Self::Started, Request::Stop) => Self::Stopped,
            (Self::NotStarted, Request::QueryRemove) => Self::RemovePending(Before::NotStarted),
            (Self::Started, Request::QueryRemove) => Self::RemovePending(Before::Started),
            (Self::Stopped, Request::QueryRemove) => Self::RemovePending(Before::Stopped),
            (Self::RemovePending(before), Request::CancelRemove) => before.state(),
            (state, _) => state,
        }
    }

    /// Whether the device's hardware is in use.
    pub const fn is_running(self) -> bool {
        matches!(
            self,
            Self::Started | Self::StopPending | Self::RemovePending(Before::Started)
        )
    }

    /// Whether a new handle may be opened.
    pub const fn admits_creates(self) -> bool {
        matches!(self, Self::Started | Self::StopPending | Self::Stopped)
    }

    /// Whether the device is gone for everyone but PnP and power requests, closes and cleanups.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::SurpriseRemoved | Self::Removed)
    }
}

impl Before {
    const fn state(self) -> State {
        match self {
            Self::NotStarted => State::NotStarted,
            Self::Started => State::Started,
            Self::Stopped => State::Stopped,
        }
    }
}

/// `DEVICE_POWER_STATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DevicePower {
    /// On.
    D0 = 1,
    /// A light sleep.
    D1 = 2,
    /// A deeper sleep.
    D2 = 3,
    /// Off.
    D3 = 4,
}

impl DevicePower {
    /// The state of a number that Windows passed; what is none counts as off.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::D0,
            2 => Self::D1,
            3 => Self::D2,
            _ => Self::D3,
        }
    }

    /// The device state that goes with a `SYSTEM_POWER_STATE`: on while the system works (S0, number 1), else off.
    pub const fn for_system(system: u32) -> Self {
        if system == 1 { Self::D0 } else { Self::D3 }
    }

    /// Whether going from `self` to `next` switches off, switches on, or neither.
    pub const fn transition(self, next: Self) -> Transition {
        match (self, next) {
            (Self::D0, Self::D0) => Transition::None,
            (Self::D0, _) => Transition::Down,
            (_, Self::D0) => Transition::Up,
            _ => Transition::None,
        }
    }
}

/// What a power request asks of a device that knows only on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Switch on, after the drivers below have.
    Up,
    /// Switch off, before the drivers below do.
    Down,
    /// Nothing.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [State; 9] = [
        State::NotStarted,
        State::Started,
        State::StopPending,
        State::Stopped,
        State::RemovePending(Before::NotStarted),
        State::RemovePending(Before::Started),
        State::RemovePending(Before::Stopped),
        State::SurpriseRemoved,
        State::Removed,
    ];

    fn walk(requests: &[Request]) -> State {
        requests
            .iter()
            .fold(State::NotStarted, |state, request| state.after(*request))
    }

    #[test]
    fn documented_ways_lead_where_the_diagram_says() {
        use Request::*;
        let table: [(&[Request], State); 12] = [
            (&[Start], State::Started),
            (&[Start, QueryStop], State::StopPending),
            (&[Start, QueryStop, CancelStop], State::Started),
            (&[Start, QueryStop, Stop], State::Stopped),
            (&[Start, QueryStop, Stop, Start], State::Started),
            (&[Start, QueryRemove, CancelRemove], State::Started),
            (
                &[Start, QueryStop, Stop, QueryRemove, CancelRemove],
                State::Stopped,
            ),
            (&[QueryRemove, CancelRemove], State::NotStarted),
            (&[Start, QueryRemove, Remove], State::Removed),
            (&[Start, SurpriseRemoval], State::SurpriseRemoved),
            (
                &[Start, QueryStop, Stop, SurpriseRemoval, Remove],
                State::Removed,
            ),
            (&[Remove], State::Removed),
        ];
        for (requests, state) in table {
            assert_eq!(walk(requests), state, "{requests:?}");
        }
    }

    #[test]
    fn a_cancel_without_its_query_changes_nothing() {
        for state in ALL {
            if state != State::StopPending {
                assert_eq!(state.after(Request::CancelStop), state);
            }
            if !matches!(state, State::RemovePending(_)) {
                assert_eq!(state.after(Request::CancelRemove), state);
            }
        }
    }

    #[test]
    fn a_device_asked_to_stop_before_its_start_stays_not_started() {
        assert_eq!(
            walk(&[Request::QueryStop, Request::Stop]),
            State::NotStarted
        );
    }

    #[test]
    fn nothing_leads_back_from_a_surprise_removal_but_removal() {
        for (_, request) in MINORS {
            let next = State::SurpriseRemoved.after(request);
            let removed = request == Request::Remove;
            assert_eq!(next == State::Removed, removed);
            assert_eq!(next == State::SurpriseRemoved, !removed);
            assert_eq!(State::Removed.after(request), State::Removed);
        }
    }

    #[test]
    fn hardware_is_used_only_between_start_and_stop() {
        for state in ALL {
            let running = matches!(
                state,
                State::Started | State::StopPending | State::RemovePending(Before::Started)
            );
            assert_eq!(state.is_running(), running);
            assert!(!(state.is_gone() && (state.is_running() || state.admits_creates())));
        }
    }

    #[test]
    fn minor_functions_have_the_numbers_of_wdm_h() {
        assert_eq!(Request::from_minor(0), Some(Request::Start));
        assert_eq!(Request::from_minor(0x17), Some(Request::SurpriseRemoval));
        assert_eq!(Request::from_minor(0x07), None);
    }

    #[test]
    fn a_device_is_on_only_while_the_system_works() {
        for system in 0..8 {
            let on = DevicePower::for_system(system) == DevicePower::D0;
            assert_eq!(on, system == 1);
        }
        assert_eq!(
            DevicePower::D0.transition(DevicePower::D3),
            Transition::Down
        );
        assert_eq!(DevicePower::D3.transition(DevicePower::D0), Transition::Up);
        assert_eq!(
            DevicePower::D3.transition(DevicePower::D2),
            Transition::None
        );
        assert_eq!(DevicePower::from_raw(77), DevicePower::D3);
    }
}
