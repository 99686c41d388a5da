//! Keys of protocol limits.

use std::time::Duration;

use super::{DAY, MS};
use crate::text::keys::{Absent, Key, duration, number, section, size};

const WINDOW: u64 = (1 << 31) - 1;
const FRAME: u64 = (1 << 24) - 1;
const ANY: u64 = u32::MAX as u64;
const NEVER: Duration = Duration::ZERO;
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

const fn by(internal: &'static str, edge: &'static str, backends: &'static str) -> Absent {
    Absent::Profiles([internal, edge, backends])
}

section! {
    /// Limits of clients alone: backends open no streams.
    pub static CLIENT_LIMITS: ClientLimits = "listeners[].limits", also &LIMITS;

    max_streams: Key<u32> = number(1..=WINDOW), by("1000", "100", "none"),
        "streams open at a time; more are refused";
}

section! {
    /// Limits of all peers.
    pub static LIMITS: PeerLimits = "services.*.limits";

    stream_window: Key<u32> = size(1024..=WINDOW), by("1MiB", "64KiB", "256KiB"),
        "bytes under way on one stream; stream reset. While more than 2 MiB wait for slow clients on a \
         worker, a backend's streams begin with 16 KiB and are given more, up to this, as their \
         clients take what comes";
    connection_window: Key<u32> = size(65_535..=WINDOW), by("16MiB", "1MiB", "4MiB"),
        "bytes under way on the connection; closed";
    max_frame_size: Key<u32> = size(16_384..=FRAME), by("16KiB", "16KiB", "16KiB"),
        "payload of one frame; closed";
    header_table_size: Key<u32> = size(0..=1 << 20), by("4KiB", "4KiB", "4KiB"),
        "table for header compression; closed";
    header_size: Key<u32> = size(1024..=16 << 20), by("64KiB", "16KiB", "64KiB"),
        "one header list, 32 bytes added for each field; 431, or a response reset; from four times \
         as much on closed, of a backend only above 1 MiB";
    header_count: Key<u32> = number(16..=100_000), by("1000", "100", "1000"),
        "fields in one header list; as `header_size`";
    connection_buffer: Key<u32> = size(1024..=WINDOW), by("64MiB", "4MiB", "64MiB"),
        "held for all slow streams of the connection; streams reset";
    resets: Key<u32> = number(1..=ANY), by("5000", "200", "4294967295"),
        "streams that the peer resets in 30 s; closed";
    premature_reset_streams: Key<u32> = number(1..=ANY), by("5000", "100", "4294967295"),
        "from this many streams on, more than half of them reset within 1 s; closed";
    errors: Key<u32> = number(1..=ANY), by("1024", "256", "1024"),
        "streams reset for errors of the peer in 30 s; closed";
    pings: Key<u32> = number(1..=ANY), by("100", "100", "100"),
        "PING frames in 10 s, one more for each DATA frame sent; closed";
    settings: Key<u32> = number(1..=ANY), by("20", "20", "20"), "SETTINGS frames in 10 s; closed";
    idle_frames: Key<u32> = number(1..=ANY), by("1000", "1000", "1000"),
        "PRIORITY, late and unknown frames in 10 s; closed";
    window_updates: Key<u32> = number(1..=ANY), by("1000", "1000", "1000"),
        "WINDOW_UPDATE frames in 10 s, ten more for each DATA frame sent; closed";
    empty_data: Key<u32> = number(1..=ANY), by("100", "100", "100"),
        "DATA frames without payload in 10 s, ten more for each open stream, four for each that was \
         opened and two for each frame that carries something; closed";
    overhead_slack: Key<u32> = size(1024..=WINDOW), by("1MiB", "1MiB", "2147483647"),
        "framing and padding in 10 s before it is held against the payload; closed";
    handshake_timeout: Key<Duration> = duration(MS..=DAY), by("10s", "10s", "10s"),
        "the TLS handshake; closed";
    preface_timeout: Key<Duration> = duration(MS..=DAY), by("5s", "5s", "5s"),
        "the start of HTTP/2, or the answer to our settings; closed";
    frame_timeout: Key<Duration> = duration(MS..=DAY), by("10s", "10s", "10s"),
        "the rest of a frame or head that has begun; closed";
    write_stall_timeout: Key<Duration> = duration(MS..=DAY), by("30s", "30s", "30s"),
        "time in which the peer must take at least a byte; closed";
    stream_idle_timeout: Key<Duration> = duration(NEVER..=MONTH), by("0s", "5m", "0s"),
        "a stream on which nothing of its messages comes or goes: no head, no byte of a body, no \
         trailers; reset. Empty DATA, padding, WINDOW_UPDATE and frames of the connection do not \
         count. 0s is never";
    idle_timeout: Key<Duration> = duration(MS..=DAY), by("15m", "15m", "15m"),
        "a connection without a stream; asked to go. One that `preconnect` keeps stays";
    max_age: Key<Duration> = duration(NEVER..=MONTH), by("0s", "1h", "0s"),
        "age, a tenth more or less; asked to go, streams finish. 0s is never";
}
