//! What a routine asks of its caller's IRQL.

/// `PASSIVE_LEVEL`: threads, all interrupts allowed.
pub const PASSIVE_LEVEL: u8 = 0;
/// `APC_LEVEL`: no kernel APCs, page faults still allowed.
pub const APC_LEVEL: u8 = 1;
/// `DISPATCH_LEVEL`: no scheduling, no waits, no paged memory.
pub const DISPATCH_LEVEL: u8 = 2;
/// `HIGH_LEVEL` on x64: everything masked.
pub const HIGH_LEVEL: u8 = 15;

/// The levels from `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqlRange {
    /// The lowest level at which the call is allowed.
    pub min: u8,
    /// The highest level at which the call is allowed.
    pub max: u8,
}

/// What a contract depends on: an argument of the call, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The argument is not zero.
    NonZero {
        /// Which argument.
        arg: u8,
    },
    /// At least one of the mask's bits is set in the argument.
    AnyBit {
        /// Which argument.
        arg: u8,
        /// The bits.
        mask: u64,
    },
    /// The argument is a pointer to a timeout (a `LARGE_INTEGER`) and the call may block: the pointer is null or what
    /// it points to is not zero.
    Waits {
        /// Which argument.
        arg: u8,
    },
}

/// The IRQL contract of a routine, as the WDK's annotations state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// The headers say nothing.
    Unstated,
    /// One range, whatever the arguments are.
    Within(IrqlRange),
    /// The range depends on an argument.
    Depends {
        /// The condition.
        on: Condition,
        /// The range where it holds.
        then: IrqlRange,
        /// The range where it does not.
        otherwise: IrqlRange,
    },
}
