//! What can happen to a server, as a number: by it what comes of that is looked up.

const DELIVER: u32 = 0;
const TIMEOUT: u32 = 1 << 28;
const SILENCE: u32 = 5 << 28;
const PROPOSE: u32 = 2 << 28;
const SYNC: u32 = 3 << 28;
const CRASH: u32 = 4 << 28;
pub(super) const RECONFIGURE: u32 = 6 << 28;
const SNAPSHOT: u32 = 7 << 28;

/// What can happen to a server, with a packet by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Deliver(u32),
    Timeout,
    Silence,
    Propose(u8),
    Reconfigure { nth: u8, voters: u8 },
    Snapshot,
    Sync(u8),
    Crash(u8),
}

impl What {
    pub(super) fn number(self) -> u32 {
        match self {
            What::Deliver(packet) => DELIVER | packet,
            What::Timeout => TIMEOUT,
            What::Silence => SILENCE,
            What::Propose(nth) => PROPOSE | u32::from(nth),
            What::Reconfigure { nth, voters } => RECONFIGURE | u32::from(nth) << 8 | u32::from(voters),
            What::Snapshot => SNAPSHOT,
            What::Sync(writes) => SYNC | u32::from(writes),
            What::Crash(kept) => CRASH | u32::from(kept),
        }
    }

    /// What has this number; parcels have numbers up to this one.
    pub(super) fn of_number(number: u32, parcels: usize) -> Option<What> {
        let low = number & 0xff;
        let what = match number >> 28 << 28 {
            DELIVER => What::Deliver(number),
            TIMEOUT => What::Timeout,
            SILENCE => What::Silence,
            PROPOSE => What::Propose(low as u8),
            RECONFIGURE => What::Reconfigure { nth: (number >> 8) as u8, voters: low as u8 },
            SNAPSHOT => What::Snapshot,
            SYNC => What::Sync(low as u8),
            CRASH => What::Crash(low as u8),
            _ => return None,
        };
        let is_there = !matches!(what, What::Deliver(parcel) if parcel == 0 || parcels < parcel as usize);
        (what.number() == number && is_there).then_some(what)
    }
}
