//! The states that front and back end go through together.
//!
//! ```text
//!            backend InitWait             backend Connected
//!  Start ------------------> Init --> Published ----------> Connected
//!    | backend in any          \          |                     |
//!    | later state              \ failure | failure             | backend closes, close()
//!    v                           v        v                     v
//!  Closing <----------------------------------------------------+
//!    | backend Closing, Closed
//!    v
//!  Closed --- backend Closed and online ---> Init again, or Finished
//! ```
//! A backend that goes from Connected to InitWait was taken away from the interface and given back (netback's unbind and
//! bind): it finds our state Connected and attaches itself to the rings as they are, so that the connection is kept for
//! a while ([`Phase::Kept`]), and only made anew if that does not happen.
//!
//! Unlike a block frontend this one goes straight from Initialising to Connected, which is what netback answers.
//! [`Connection::advance`] is given the backend's state whenever it may have changed and says what to do next. Every
//! phase that waits for an answer has an end. A backend that is closed and has not said that it wants us again is no
//! failure: the interface stays, without a link, until it does, or until its directory goes.

use xen_abi::xenbus::XenbusState;

pub use xen_front::keys::Backend;

/// How long any phase waits for the backend, in milliseconds: hotplug scripts may take their time.
pub const WAIT_MS: u64 = 30_000;
/// How long a backend that came back may take to attach itself to the rings that it left.
pub const KEEP_MS: u64 = 6_000;
/// How long a backend that this connection never was up with may take to close.
pub const CLOSE_MS: u64 = 10_000;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing written yet.
    Start,
    /// Waits for the backend to let go.
    Closing,
    /// Waits for the backend to have let go.
    Closed,
    /// Waits for the backend's offer.
    Init,
    /// Waits for the backend to take up our offer.
    Published,
    /// In use.
    Connected,
    /// In use, as far as we are concerned: the backend came back and has not yet attached itself.
    Kept,
    /// Over; see [`Connection::failure`].
    Finished,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The backend's directory went away.
    #[error("the backend is gone")]
    Gone,
    /// The `state` key is no state.
    #[error("the backend's state key holds no state")]
    Garbage,
    /// The backend closed instead of connecting.
    #[error("the backend closed instead of connecting")]
    Refused,
    /// The backend did not move in time.
    #[error("the backend did not leave {backend:?} in time, phase {phase:?}")]
    Timeout {
        /// Our phase.
        phase: Phase,
        /// What the backend said last.
        backend: Backend,
    },
    /// The driver could not do its part; it has said why.
    #[error("the frontend could not do its part")]
    Local,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the backend's keys change or the time (of `now`'s clock) comes, if any.
    Wait(Option<u64>),
    /// Write this to the frontend's `state` key.
    Write(XenbusState),
    /// Read [`crate::keys::Offer`], make rings, grants and event channels, post receive buffers and write
    /// [`crate::publication::Publication`]; then call [`Connection::prepared`].
    Prepare,
    /// The backend is connected: start sending, say that there is a link; then call [`Connection::completed`].
    Complete,
    /// The backend has attached itself to the rings as they are. What it was told by requests it does not know any more: how
    /// to spread packets, and which groups to let through. An event of ours may be lost.
    Renew,
    /// Stop sending, say that there is no link: the connection was up and is no more. The backend may still answer
    /// until the next [`Self::Prepare`] or [`Self::Finished`].
    Down,
    /// Over. Rings and grants can be taken back, as far as the backend lets go of them.
    Finished,
}

/// What the table below says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wait,
    Idle,
    Go(XenbusState, Phase),
    Prepare,
    Complete,
    Keep,
    Renew,
    Down,
    Fail(Failure),
    Finish,
}

/// The frontend's side of a connection.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    connect: bool,
    up: bool,
    was_up: bool,
    deadline: u64,
    failure: Option<Failure>,
}

impl Connection {
    /// A connection that is to be made; `now` in milliseconds.
    pub fn new(now: u64) -> Self {
        Self {
            phase: Phase::Start,
            connect: true,
            up: false,
            was_up: false,
            deadline: now.saturating_add(WAIT_MS),
            failure: None,
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it ended, if not because it was closed.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Closes the connection for good.
    pub fn close(&mut self, now: u64) {
        if self.connect {
            self.connect = false;
            self.deadline = now.saturating_add(WAIT_MS);
        }
    }

    /// Closes the connection and makes it anew.
    pub fn reconnect(&mut self, now: u64) {
        if matches!(self.phase, Phase::Connected | Phase::Kept) {
            self.enter(Phase::Start, now);
        }
    }

    /// The driver has published its rings, or could not.
    pub fn prepared(&mut self, done: bool, now: u64) -> Action {
        if done {
            self.enter(Phase::Published, now);
            Action::Write(XenbusState::CONNECTED)
        } else {
            self.fail(Failure::Local, now)
        }
    }

    /// The driver has taken up the interface, or could not.
    pub fn completed(&mut self, done: bool, now: u64) -> Action {
        self.up = done;
        self.was_up |= done;
        if done {
            self.enter(Phase::Connected, now);
            Action::Wait(None)
        } else {
            self.fail(Failure::Local, now)
        }
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        let closes = matches!(phase, Phase::Closing | Phase::Closed);
        let wait = if closes && !self.was_up {
            CLOSE_MS
        } else {
            WAIT_MS
        };
        self.phase = phase;
        self.deadline = now.saturating_add(wait);
    }

    /// What was up is no more.
    fn down(&mut self, now: u64) -> Action {
        self.up = false;
        if matches!(self.phase, Phase::Connected | Phase::Kept) {
            self.enter(Phase::Start, now);
        }
        Action::Down
    }

    /// Ends with a reason: the backend is told, unless it is gone or does not answer that either.
    fn fail(&mut self, failure: Failure, now: u64) -> Action {
        self.failure.get_or_insert(failure);
        self.connect = false;
        let deaf = matches!(failure, Failure::Gone)
            || matches!(self.phase, Phase::Start | Phase::Closing | Phase::Closed);
        if deaf {
            self.enter(Phase::Finished, now);
            return Action::Finished;
        }
        self.enter(Phase::Closing, now);
        Action::Write(XenbusState::CLOSING)
    }

    /// What to do, given the backend's `state` and what [`crate::keys::online`] says of its `online`; `now` in
    /// milliseconds. To be called again at once unless it says to wait, or that it is finished.
    pub fn advance(&mut self, backend: Backend, online: bool, now: u64) -> Action {
        match step(self.phase, self.connect, online, self.up, backend) {
            Step::Idle => {
                // Whoever waits without end has all the time again when something moves.
                self.deadline = now.saturating_add(WAIT_MS);
                Action::Wait(None)
            }
            Step::Keep => {
                self.enter(Phase::Kept, now);
                self.deadline = now.saturating_add(KEEP_MS);
                Action::Wait(Some(self.deadline))
            }
            Step::Renew => {
                self.enter(Phase::Connected, now);
                Action::Renew
            }
            Step::Wait if now < self.deadline => Action::Wait(Some(self.deadline)),
            Step::Wait if self.phase == Phase::Kept => self.down(now),
            Step::Wait => self.fail(
                Failure::Timeout {
                    phase: self.phase,
                    backend,
                },
                now,
            ),
            Step::Go(state, phase) => {
                self.enter(phase, now);
                Action::Write(state)
            }
            Step::Prepare => Action::Prepare,
            Step::Complete => Action::Complete,
            Step::Down => self.down(now),
            Step::Fail(failure) => self.fail(failure, now),
            Step::Finish => {
                self.enter(Phase::Finished, now);
                Action::Finished
            }
        }
    }
}

/// The table: phase, whether a connection is wanted by us and by the toolstack, whether one was up, the backend's state.
fn step(phase: Phase, connect: bool, online: bool, up: bool, backend: Backend) -> Step {
    use XenbusState as X;
    let go_closing = Step::Go(X::CLOSING, Phase::Closing);
    match (phase, backend) {
        (Phase::Finished, _) => Step::Finish,
        // A connection that was up goes down before anything else is written.
        (Phase::Start, _) if up => Step::Down,
        (Phase::Connected, Backend::State(X::CONNECTED | X::RECONFIGURING | X::RECONFIGURED))
            if connect =>
        {
            Step::Idle
        }
        (Phase::Connected, Backend::State(X::INIT_WAIT)) if connect && online => Step::Keep,
        (Phase::Kept, Backend::State(X::CONNECTED)) if connect => Step::Renew,
        (Phase::Kept, Backend::State(X::INIT_WAIT)) if connect && online => Step::Wait,
        (Phase::Connected | Phase::Kept, _) => Step::Down,
        (_, Backend::Gone) if connect => Step::Fail(Failure::Gone),
        (_, Backend::Gone) => Step::Finish,
        (Phase::Closing, Backend::State(X::CLOSING | X::CLOSED)) => {
            Step::Go(X::CLOSED, Phase::Closed)
        }
        (Phase::Closing, _) => Step::Wait,
        (Phase::Closed, Backend::State(X::CLOSED | X::INIT_WAIT | X::INITIALISING)) => {
            match (connect, online) {
                (true, true) => Step::Go(X::INITIALISING, Phase::Init),
                // The toolstack takes the device away; the directory goes next.
                (true, false) => Step::Idle,
                (false, _) => Step::Finish,
            }
        }
        (Phase::Closed, _) => Step::Wait,
        (_, Backend::Garbage) if connect => Step::Fail(Failure::Garbage),
        (Phase::Start | Phase::Init | Phase::Published, _) if !connect => go_closing,
        (Phase::Start, Backend::State(X::INIT_WAIT | X::CLOSED)) if !online => Step::Idle,
        (Phase::Start, Backend::State(X::INITIALISING)) => Step::Wait,
        (Phase::Start, Backend::State(X::INIT_WAIT | X::CLOSED)) => {
            Step::Go(X::INITIALISING, Phase::Init)
        }
        (Phase::Start, _) => go_closing,
        (Phase::Init, Backend::State(X::INIT_WAIT | X::INITIALISED)) => Step::Prepare,
        // Nobody is there to answer: a driver domain that restarts, a backend that is not bound.
        (Phase::Init, Backend::State(X::CLOSED)) => Step::Idle,
        (Phase::Init, _) => Step::Wait,
        (Phase::Published, Backend::State(X::CONNECTED)) => Step::Complete,
        (Phase::Published, Backend::State(X::CLOSING | X::CLOSED)) => Step::Fail(Failure::Refused),
        (Phase::Published, _) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const S: fn(u32) -> Backend = |n| Backend::State(XenbusState(n));

    /// Feeds a backend's state and collects the actions, until the connection waits or ends.
    fn run(connection: &mut Connection, backend: Backend, now: u64) -> Vec<Action> {
        run_online(connection, backend, true, now)
    }

    fn run_online(c: &mut Connection, backend: Backend, online: bool, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for _ in 0..20 {
            let action = c.advance(backend, online, now);
            actions.push(action);
            match action {
                Action::Wait(_) | Action::Finished => return actions,
                Action::Prepare => actions.push(c.prepared(true, now)),
                Action::Complete => actions.push(c.completed(true, now)),
                _ => {}
            }
        }
        panic!("no end: {actions:?}");
    }

    fn connected() -> Connection {
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        run(&mut connection, S(4), 0);
        assert_eq!(connection.phase(), Phase::Connected);
        connection
    }

    #[test]
    fn a_fresh_backend_is_connected_in_two_writes() {
        let mut connection = Connection::new(0);
        let wait = Action::Wait(Some(WAIT_MS));
        assert_eq!(run(&mut connection, S(1), 0), [wait]);
        assert_eq!(
            run(&mut connection, S(2), 0),
            [
                Action::Write(XenbusState::INITIALISING),
                Action::Prepare,
                Action::Write(XenbusState::CONNECTED),
                wait
            ]
        );
        assert_eq!(
            run(&mut connection, S(4), 0),
            [Action::Complete, Action::Wait(None), Action::Wait(None)]
        );
    }

    #[test]
    fn a_backend_that_someone_left_connected_is_closed_first() {
        for state in [3, 4, 5, 7, 8] {
            let mut connection = Connection::new(0);
            assert_eq!(
                run(&mut connection, S(state), 0)[0],
                Action::Write(XenbusState::CLOSING)
            );
            if state != 5 {
                assert_eq!(
                    run(&mut connection, S(5), 0)[0],
                    Action::Write(XenbusState::CLOSED)
                );
            }
            assert_eq!(
                run(&mut connection, S(6), 0),
                [Action::Write(XenbusState::INITIALISING), Action::Wait(None)]
            );
            run(&mut connection, S(2), 0);
            assert_eq!(connection.phase(), Phase::Published);
        }
    }

    #[test]
    fn closing_goes_through_both_states_and_finishes() {
        let mut connection = connected();
        connection.close(0);
        assert_eq!(
            run(&mut connection, S(4), 0)[..2],
            [Action::Down, Action::Write(XenbusState::CLOSING)]
        );
        assert_eq!(
            run(&mut connection, S(5), 0)[0],
            Action::Write(XenbusState::CLOSED)
        );
        assert_eq!(run(&mut connection, S(6), 0), [Action::Finished]);
        assert_eq!(
            (connection.phase(), connection.failure()),
            (Phase::Finished, None)
        );
    }

    #[test]
    fn a_backend_that_closes_or_restarts_is_connected_anew() {
        for state in [1, 3, 5, 6] {
            let mut connection = connected();
            assert_eq!(
                run(&mut connection, S(state), 0)[0],
                Action::Down,
                "{state}"
            );
            for state in [6, 2, 4] {
                run(&mut connection, S(state), 1);
            }
            assert_eq!(connection.phase(), Phase::Connected, "{state}");
        }
    }

    #[test]
    fn a_backend_that_comes_back_finds_the_rings_as_it_left_them() {
        let mut connection = connected();
        let keep = Action::Wait(Some(KEEP_MS));
        assert_eq!(run(&mut connection, S(2), 0), [keep]);
        assert_eq!(run(&mut connection, S(2), 10), [keep]);
        assert_eq!(
            run(&mut connection, S(4), 20),
            [Action::Renew, Action::Wait(None)]
        );
        assert_eq!(connection.phase(), Phase::Connected);
    }

    #[test]
    fn a_backend_that_comes_back_and_does_not_attach_itself_is_connected_anew() {
        let mut connection = connected();
        run(&mut connection, S(2), 0);
        assert_eq!(
            run(&mut connection, S(2), KEEP_MS)[..3],
            [
                Action::Down,
                Action::Write(XenbusState::INITIALISING),
                Action::Prepare
            ]
        );
        run(&mut connection, S(4), KEEP_MS);
        assert_eq!(connection.phase(), Phase::Connected);
        // And one that closes instead, or whose interface is to go.
        for (state, online) in [(5, true), (6, true), (2, false)] {
            let mut connection = connected();
            run(&mut connection, S(2), 0);
            let actions = run_online(&mut connection, S(state), online, 1);
            assert_eq!(actions[0], Action::Down, "{state}");
        }
    }

    #[test]
    fn a_closed_backend_is_waited_for_without_end() {
        let mut connection = connected();
        run(&mut connection, S(5), 0);
        run(&mut connection, S(6), 0);
        assert_eq!(connection.phase(), Phase::Init);
        for now in [0, WAIT_MS, 100 * WAIT_MS] {
            assert_eq!(run(&mut connection, S(6), now), [Action::Wait(None)]);
        }
        // The wait for its next move has an end again.
        let now = 100 * WAIT_MS;
        assert_eq!(
            run(&mut connection, S(1), now + 1),
            [Action::Wait(Some(now + WAIT_MS))]
        );
        run(&mut connection, S(2), now + 2);
        run(&mut connection, S(4), now + 3);
        assert_eq!(connection.phase(), Phase::Connected);
    }

    #[test]
    fn a_frontend_that_is_to_go_does_not_leave_closed() {
        let mut connection = connected();
        assert_eq!(
            run_online(&mut connection, S(5), false, 0)[..3],
            [
                Action::Down,
                Action::Write(XenbusState::CLOSING),
                Action::Write(XenbusState::CLOSED)
            ]
        );
        assert_eq!(
            run_online(&mut connection, S(6), false, 1),
            [Action::Wait(None)]
        );
        assert_eq!(connection.phase(), Phase::Closed);
        assert_eq!(
            run_online(&mut connection, Backend::Gone, false, 2),
            [Action::Finished]
        );
        assert_eq!(connection.failure(), Some(Failure::Gone));
        let mut connection = Connection::new(0);
        assert_eq!(
            run_online(&mut connection, S(6), false, 1),
            [Action::Wait(None)]
        );
        assert_eq!(connection.phase(), Phase::Start);
    }

    #[test]
    fn a_reconnect_closes_and_opens() {
        let mut connection = connected();
        connection.reconnect(0);
        assert_eq!(
            run(&mut connection, S(4), 0)[..2],
            [Action::Down, Action::Write(XenbusState::CLOSING)]
        );
        for state in [5, 6, 2, 4] {
            run(&mut connection, S(state), 0);
        }
        assert_eq!(connection.phase(), Phase::Connected);
    }

    #[test]
    fn every_wait_for_an_answer_ends() {
        // Start, Init, Published, Closing, Closed with a backend that stays where it is.
        for (before, stuck) in [
            (&[][..], 1),
            (&[2][..], 2),
            (&[4][..], 4),
            (&[4, 5][..], 4),
            (&[2, 3][..], 3),
        ] {
            let mut connection = Connection::new(0);
            for state in before {
                run(&mut connection, S(*state), 0);
            }
            let mut now = 0;
            let mut ended = false;
            for _ in 0..5 {
                now += WAIT_MS;
                ended |= run(&mut connection, S(stuck), now).last() == Some(&Action::Finished);
            }
            assert!(ended, "{before:?} then {stuck}: {:?}", connection.phase());
            assert!(matches!(
                connection.failure(),
                Some(Failure::Timeout { .. })
            ));
        }
    }

    #[test]
    fn a_backend_that_refuses_is_told_and_closed() {
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        assert_eq!(
            run(&mut connection, S(5), 0)[..2],
            [
                Action::Write(XenbusState::CLOSING),
                Action::Write(XenbusState::CLOSED)
            ]
        );
        assert_eq!(connection.failure(), Some(Failure::Refused));
        assert_eq!(run(&mut connection, S(6), 0), [Action::Finished]);
    }

    #[test]
    fn what_the_driver_cannot_do_closes_the_connection() {
        let mut connection = Connection::new(0);
        connection.advance(S(2), true, 0);
        assert_eq!(connection.advance(S(2), true, 0), Action::Prepare);
        assert_eq!(
            connection.prepared(false, 0),
            Action::Write(XenbusState::CLOSING)
        );
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        assert_eq!(connection.advance(S(4), true, 0), Action::Complete);
        assert_eq!(
            connection.completed(false, 0),
            Action::Write(XenbusState::CLOSING)
        );
        assert_eq!(connection.failure(), Some(Failure::Local));
    }

    #[test]
    fn garbage_and_a_missing_directory_fail_the_connection() {
        let mut connection = connected();
        assert_eq!(
            run(&mut connection, Backend::Gone, 0),
            [Action::Down, Action::Finished]
        );
        assert_eq!(connection.failure(), Some(Failure::Gone));
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        assert_eq!(
            run(&mut connection, Backend::Garbage, 0)[0],
            Action::Write(XenbusState::CLOSING)
        );
        assert_eq!(connection.failure(), Some(Failure::Garbage));
    }

    proptest! {
        #[test]
        fn any_sequence_ends_in_a_wait_and_any_close_ends(
            moves: Vec<(u8, bool, bool)>, backend in 0u8..10,
        ) {
            let of = |n: u8| match n % 11 {
                0 => Backend::Gone,
                9 => Backend::Garbage,
                n => S(u32::from(n)),
            };
            let mut connection = Connection::new(0);
            let mut now = 0;
            let mut up = false;
            for (state, online, reconnect) in moves {
                now += 1000;
                if reconnect {
                    connection.reconnect(now);
                }
                for action in run_online(&mut connection, of(state), online, now) {
                    match action {
                        Action::Complete => up = true,
                        Action::Down => {
                            prop_assert!(up, "down without up");
                            up = false;
                        }
                        Action::Prepare => prop_assert!(!up, "a new ring while the old is up"),
                        _ => {}
                    }
                }
            }
            connection.close(now);
            for _ in 0..6 {
                now += WAIT_MS;
                run_online(&mut connection, of(backend), true, now);
            }
            prop_assert_eq!(connection.phase(), Phase::Finished);
        }
    }
}
