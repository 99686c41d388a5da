//! Keys of keepalive.

use std::time::Duration;

use super::{DAY, MS};
use crate::net::Keepalive;
use crate::text::keys::{Setting, boolean, duration, section};

const DEFAULTS: Keepalive = Keepalive::defaults();

section! {
    /// When silent backends are asked whether they are alive.
    pub static KEEPALIVE: KeepaliveKeys = "services.*.keepalive";

    interval: Setting<Duration> = duration(MS..=DAY), DEFAULTS.interval,
        "so long an answer is owed on a connection and nothing comes before a PING is sent";
    timeout: Setting<Duration> = duration(MS..=DAY), DEFAULTS.timeout,
        "how long the answer to it may take; then the connection is closed, and its requests fail";
    permitted: Setting<bool> = boolean(), false,
        "whether the backends permit a PING at each interval. Else there are two at most after the last \
         HEADERS or DATA of the backend, and then one in 5 min 10 s: gRPC servers close connections \
         with more, unless they are told otherwise (`permit_keepalive_time`)";
}
