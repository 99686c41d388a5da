//! Per-connection limits against resource exhaustion, with defaults in two profiles.

use std::time::Duration;

/// The limits of one connection. Timeouts are enforced by the driver, the others by the connection
/// itself. Each says what happens beyond it; where that is GOAWAY because of a count, other than of
/// PING and SETTINGS, a backend's connection is retired instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Streams open at a time; more are refused (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub max_streams: u32,
    /// Receive window of a stream, which is also what the stream can hold here while its reader is
    /// slow; beyond: stream error. Backends get less while slow readers hold much (`Window`).
    pub stream_window: u32,
    /// Receive window of the connection; beyond: GOAWAY.
    pub connection_window: u32,
    /// Payload of one frame; beyond: GOAWAY (`SETTINGS_MAX_FRAME_SIZE`).
    pub max_frame_size: u32,
    /// Size of the table for header compression (`SETTINGS_HEADER_TABLE_SIZE`).
    pub header_table_size: u32,
    /// Size of one header list, 32 bytes added for each field; beyond: a request is refused with
    /// 431, a response is reset. Beyond four times as much: GOAWAY to a client; to a backend only
    /// if it is beyond 1 MiB too.
    pub header_size: u32,
    /// Fields in one header list, crumbs of cookies counted each; beyond: as `header_size`.
    pub header_count: u32,
    /// Bytes the slow streams of one connection may hold here; beyond, they are reset.
    pub connection_buffer: u32,
    /// Streams that the peer may reset in 30 s; beyond: GOAWAY.
    pub resets: u32,
    /// Streams since the start from which on it is GOAWAY when more than half were reset
    /// within a second of their opening.
    pub premature_reset_streams: u32,
    /// Streams that we may have to reset for errors of the peer in 30 s; beyond: GOAWAY.
    pub errors: u32,
    /// PING frames in 10 s, with 1 more for each DATA frame sent, whose round trip a peer may
    /// measure; beyond: GOAWAY.
    pub pings: u32,
    /// SETTINGS frames in 10 s; beyond: GOAWAY.
    pub settings: u32,
    /// PRIORITY, unknown, late and other idle frames in 10 s, with 2 more for each stream opened and
    /// 100 more for each that we reset, as the peer may not know that yet; beyond: GOAWAY.
    pub idle_frames: u32,
    /// WINDOW_UPDATE frames in 10 s, with 1 more for each stream opened and 10 more for each DATA
    /// frame sent; beyond: GOAWAY.
    pub window_updates: u32,
    /// DATA frames without payload that do not end a stream, in 10 s, with 10 more for each stream
    /// that is open, 4 for each that was opened and 2 for each DATA frame and header block that
    /// carries something; beyond: GOAWAY.
    pub empty_data: u32,
    /// Slack for framing and padding of DATA and header blocks in 10 s; beyond
    /// `bytes / 8 > payload + slack`: GOAWAY.
    pub overhead_slack: u32,
    /// Time for the TLS handshake; beyond: closed.
    pub handshake_timeout: Duration,
    /// Time for preface and first SETTINGS, and for the acknowledgement of ours; beyond: closed.
    pub preface_timeout: Duration,
    /// Time for the rest of a frame or header block once it has begun; beyond: closed.
    pub frame_timeout: Duration,
    /// Time in which a peer must read at least a byte of pending output; beyond: closed.
    pub write_stall_timeout: Duration,
    /// Time a stream may go without a head, a byte of a body or trailers in either direction; beyond:
    /// reset. 0 is for ever. Empty DATA, padding and WINDOW_UPDATE do not count.
    pub stream_idle_timeout: Duration,
    /// Time a connection may go without a stream; beyond: GOAWAY.
    pub idle_timeout: Duration,
    /// Maximum age, plus or minus 10 % jitter, after which a connection is drained; 0 is never.
    pub max_age: Duration,
}

impl Limits {
    /// For untrusted clients: the limits that edge proxies recommend.
    pub const fn edge() -> Limits {
        Limits {
            max_streams: 100,
            stream_window: 64 << 10,
            connection_window: 1 << 20,
            max_frame_size: 16 << 10,
            header_table_size: 4096,
            header_size: 16 << 10,
            header_count: 100,
            connection_buffer: 4 << 20,
            resets: 200,
            premature_reset_streams: 100,
            errors: 256,
            pings: 100,
            settings: 20,
            idle_frames: 1000,
            window_updates: 1000,
            empty_data: 100,
            overhead_slack: 1 << 20,
            handshake_timeout: Duration::from_secs(10),
            preface_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(30),
            stream_idle_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(900),
            max_age: Duration::from_secs(3600),
        }
    }

    /// For services that trust each other: many streams, large windows, long-lived connections.
    pub const fn internal() -> Limits {
        Limits {
            max_streams: 1000,
            stream_window: 1 << 20,
            connection_window: 16 << 20,
            header_size: 64 << 10,
            header_count: 1000,
            connection_buffer: 64 << 20,
            resets: 5000,
            premature_reset_streams: 5000,
            errors: 1024,
            stream_idle_timeout: Duration::ZERO,
            max_age: Duration::ZERO,
            ..Limits::edge()
        }
    }

    /// For connections to backends, which are trusted but may be broken.
    pub const fn upstream() -> Limits {
        Limits {
            max_streams: 0,
            stream_window: 256 << 10,
            connection_window: 4 << 20,
            header_size: 64 << 10,
            header_count: 1000,
            resets: u32::MAX,
            premature_reset_streams: u32::MAX,
            errors: 1024,
            // Some backends pad every frame to the maximum, to hide lengths.
            overhead_slack: u32::MAX >> 1,
            ..Limits::internal()
        }
    }
}
