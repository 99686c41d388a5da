//! When backends are ejected for what they answer.

use std::time::Duration;

use super::texts::PERCENTAGE;
use super::{HOUR, MS};
use crate::config::health::percentage;
use crate::service::Ejection;
use crate::text::keys::{Form, Setting, Short, boolean, duration, number, section, text};

const DEFAULTS: Ejection = Ejection::defaults();

const fn lasting() -> Form<Duration> {
    duration(MS..=HOUR)
}

section! {
    /// When backends are ejected.
    pub static EJECTION: EjectionKeys = "services.*.ejection", short Short::Key("enabled");

    enabled: Setting<bool> = boolean(), true,
        "whether any is; `ejection: false` turns it off";
    consecutive: Setting<u32> = number(1..=1000), DEFAULTS.consecutive,
        "so many faults in a row eject a backend";
    success_ratio: Setting<u8> = text(&PERCENTAGE, percentage, |part| format!("{part}%")), DEFAULTS.success_ratio,
        "a backend is ejected whose requests succeed less often than this part of how often the others' do, \
         other failures than its own faults not counted; `0%` for never";
    latency_factor: Setting<u32> = number(0..=1000), DEFAULTS.latency_factor,
        "a backend is ejected whose calls, in ten seconds, take more than this many times as long as the \
         others', and 100 ms more; 0 for never. Not by policies that hash a key, and not of fewer than 100";
    min_requests: Setting<u64> = number(1..=1_000_000), DEFAULTS.min_requests,
        "a backend that had fewer requests in ten seconds is not compared by `success_ratio`; of few, more have to \
         fail: the ratio has to be low by two standard deviations";
    time: Setting<Duration> = lasting(), DEFAULTS.time,
        "how long it then gets no new requests; twice as long at each relapse. No longer than `max_time`";
    max_time: Setting<Duration> = lasting(), DEFAULTS.max_time,
        "how long at most; who stands for so long after an ejection begins anew with `time`";
    max_ejected: Setting<u8> = text(&PERCENTAGE, percentage, |part| format!("{part}%")), DEFAULTS.max_ejected,
        "the part of the backends, rounded down, that may be out, those counted that cannot be reached \
         or are UNHEALTHY; a single one is never ejected";
}
