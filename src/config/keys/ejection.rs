//! When backends are ejected for what they answer.

use std::time::Duration;

use super::texts::PERCENTAGE;
use super::{HOUR, MS};
use crate::config::health::percentage;
use crate::service::Ejection;
use crate::text::keys::{Form, Setting, Short, boolean, duration, number, section, text};

const USUAL: Ejection = Ejection::usual();

const fn lasting() -> Form<Duration> {
    duration(MS..=HOUR)
}

section! {
    /// When backends are ejected.
    pub static EJECTION: EjectionKeys = "services.*.ejection", short Short::Key("enabled");

    enabled: Setting<bool> = boolean(), true,
        "whether any is; `ejection: false` turns it off";
    consecutive: Setting<u32> = number(1..=1000), USUAL.consecutive,
        "so many faults in a row eject a backend";
    time: Setting<Duration> = lasting(), USUAL.time,
        "how long it then gets no new requests; twice as long at each relapse";
    max_time: Setting<Duration> = lasting(), USUAL.max_time,
        "how long at most; who stands for so long after an ejection begins anew with `time`";
    max_ejected: Setting<u8> = text(&PERCENTAGE, percentage, |part| format!("{part}%")), USUAL.max_ejected,
        "the part of the backends, rounded down, that may be out, those counted that cannot be reached \
         or are UNHEALTHY; a single one is never ejected";
}
