//! What a peer may use of us, each bound by its name.

use std::time::Duration;

use super::node::Node;
use super::read::{Fields, count, duration, size};
use super::report::Problems;
use crate::http2::Limits;

/// Which peer the limits are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client of a listener.
    Client,
    /// A backend, which may open no streams: the number of those is not for setting.
    Backend,
}

/// `defaults`, with what `node` says otherwise.
pub fn read(node: &Node, defaults: Limits, peer: Peer, problems: &Problems) -> Limits {
    const WINDOW: u64 = (1 << 31) - 1;
    const FRAME: u64 = (1 << 24) - 1;
    let some = || duration(Duration::from_millis(1)..=Duration::from_secs(86_400));
    let any_count = || count(1..=u64::from(u32::MAX));
    let mut limits = defaults;
    let mut fields = Fields::of(node, problems);
    // Without `..`, so that a new limit cannot be forgotten here.
    let Limits {
        max_streams,
        stream_window,
        connection_window,
        max_frame_size,
        header_table_size,
        header_size,
        header_count,
        connection_buffer,
        resets,
        premature_reset_streams,
        errors,
        pings,
        settings,
        idle_frames,
        window_updates,
        empty_data,
        overhead_slack,
        handshake_timeout,
        preface_timeout,
        frame_timeout,
        write_stall_timeout,
        stream_idle_timeout,
        idle_timeout,
        max_age,
    } = &mut limits;
    if peer == Peer::Client {
        fields.set("max_streams", max_streams, count(1..=WINDOW));
    }
    fields.set("stream_window", stream_window, size(1024..=WINDOW));
    fields.set("connection_window", connection_window, size(65_535..=WINDOW));
    fields.set("max_frame_size", max_frame_size, size(16_384..=FRAME));
    fields.set("header_table_size", header_table_size, size(0..=1 << 20));
    fields.set("header_size", header_size, size(1024..=16 << 20));
    fields.set("header_count", header_count, count(16..=100_000));
    fields.set("connection_buffer", connection_buffer, size(1024..=WINDOW));
    fields.set("resets", resets, any_count());
    fields.set("premature_reset_streams", premature_reset_streams, any_count());
    fields.set("errors", errors, any_count());
    fields.set("pings", pings, any_count());
    fields.set("settings", settings, any_count());
    fields.set("idle_frames", idle_frames, any_count());
    fields.set("window_updates", window_updates, any_count());
    fields.set("empty_data", empty_data, any_count());
    fields.set("overhead_slack", overhead_slack, size(1024..=WINDOW));
    fields.set("handshake_timeout", handshake_timeout, some());
    fields.set("preface_timeout", preface_timeout, some());
    fields.set("frame_timeout", frame_timeout, some());
    fields.set("write_stall_timeout", write_stall_timeout, some());
    fields.set("idle_timeout", idle_timeout, some());
    let never_or_some = || duration(Duration::ZERO..=Duration::from_secs(30 * 86_400));
    fields.set("stream_idle_timeout", stream_idle_timeout, never_or_some());
    fields.set("max_age", max_age, never_or_some());
    fields.finish();
    limits
}
