//! What the executive finds in drivers that were built elsewhere, and what was judged to be theirs (docs/findings.md).
//!
//! A finding that is in this list does not fail a test; one that is not does. Nothing of this project's own is in it.

/// A finding that is the driver's own fault.
struct Allowed {
    /// The image
    driver: &'static str,
    /// The routine in whose place the finding is reported
    call: &'static str,
    /// What the finding says
    finding: &'static str,
    /// Why it is the driver's
    reason: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        driver: "xenvbd.sys",
        call: "DriverUnload",
        finding: "pool leak",
        reason: "rings are made for MaxQueues and destroyed for NumQueues",
    },
    Allowed {
        driver: "xenvbd.sys",
        call: "left",
        finding: "tag \"XRng\"",
        reason: "rings are made for MaxQueues and destroyed for NumQueues",
    },
    Allowed {
        driver: "xenvbd.sys",
        call: "DriverUnload",
        finding: "threads go on",
        reason: "the watchdog thread of a ring that is never destroyed",
    },
    Allowed {
        driver: "xenvbd.sys",
        call: "left",
        finding: "tag \"XThr\"",
        reason: "the watchdog thread of a ring that is never destroyed",
    },
    Allowed {
        driver: "xenbus.sys",
        call: "dispatch: 0xC9/23E marked pending",
        finding: "major 0x16 minor 0x2: 0x0 returned",
        reason: "a set-power IRP for the state that it believes the system to be in is marked pending, and the lower driver's status returned",
    },
    Allowed {
        driver: "xennet.sys",
        call: "NdisMIndicateReceiveNetBufferLists",
        finding: "are possible without RSC",
        reason: "its LROIPv4 and LROIPv6 keywords, on by default, hand large packets up that no RSC was offered for",
    },
    Allowed {
        driver: "xennet.sys",
        call: "NdisMIndicateReceiveNetBufferLists",
        finding: "PERFECT_FILTERED with a frame to [33, 33",
        reason: "xenvif has received multicasts before it had the list; xennet says PERFECT_FILTERED of everything",
    },
    Allowed {
        driver: "xennet.sys",
        call: "NdisMIndicateStatusEx",
        finding: "SourceHandle of status",
        reason: "its offload indications have NULL there",
    },
];

/// Why a failure of a run is no failure of the executive; `None`: it is one. The images named in `own` are this project's, which
/// have the same names.
pub fn reason(failure: &str, own: &[&str]) -> Option<&'static str> {
    ALLOWED
        .iter()
        .filter(|allowed| !own.contains(&allowed.driver))
        .find(|allowed| {
            failure
                .strip_prefix(allowed.driver)
                .is_some_and(|rest| rest.contains(allowed.call) && rest.contains(allowed.finding))
        })
        .map(|allowed| allowed.reason)
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn only_what_was_judged_is_allowed() {
        let judged = [
            "xenvbd.sys broke a rule: DriverUnload: pool leak: 1569 bytes were not freed",
            "xenvbd.sys left 400 bytes in 2 blocks of pool, tag \"XRng\"",
        ];
        let power = "xenbus.sys broke a rule: dispatch: 0xC9/23E marked pending: IRP 0x1: major 0x16 minor 0x2: 0x0 returned";
        assert!(reason(power, &[]).is_some());
        assert!(reason(power, &["xenbus.sys"]).is_none());
        assert!(judged.iter().all(|f| reason(f, &[]).is_some()));
        assert!(judged.iter().all(|f| reason(f, &["xenbus.sys"]).is_some()));
        assert!(judged.iter().all(|f| reason(f, &["xenvbd.sys"]).is_none()));
        let not_judged = [
            "xenbus.sys broke a rule: DriverUnload: pool leak: 200 bytes were not freed",
            "xenvbd.sys left 400 bytes in 2 blocks of pool, tag \"rust\"",
            "xenvbd.sys broke a rule: KeSetEvent: IRQL: 9 is above 2",
            "2 grants are left, by Xen's books",
        ];
        assert!(not_judged.iter().all(|f| reason(f, &[]).is_none()));
    }
}
