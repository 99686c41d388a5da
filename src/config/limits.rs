//! Reads protocol limits.

use super::keys::{CLIENT_LIMITS, LIMITS};
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use crate::http::Limits;

/// The peer that limits apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client of a listener.
    Client,
    /// A backend; it opens no streams, so their number is not configurable.
    Backend,
}

/// `defaults`, overridden by `node`.
pub fn read(node: &Node, defaults: Limits, peer: Peer, problems: &Problems) -> Limits {
    let mut limits = defaults;
    let fields = match peer {
        Peer::Client => Fields::of(node, &CLIENT_LIMITS, problems),
        Peer::Backend => Fields::of(node, &LIMITS, problems),
    };
    // Exhaustive (no `..`), so that a new limit cannot be forgotten here.
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
        fields.set(&CLIENT_LIMITS.max_streams, max_streams);
    }
    fields.set(&LIMITS.stream_window, stream_window);
    fields.set(&LIMITS.connection_window, connection_window);
    fields.set(&LIMITS.max_frame_size, max_frame_size);
    fields.set(&LIMITS.header_table_size, header_table_size);
    fields.set(&LIMITS.header_size, header_size);
    fields.set(&LIMITS.header_count, header_count);
    fields.set(&LIMITS.connection_buffer, connection_buffer);
    fields.set(&LIMITS.resets, resets);
    fields.set(&LIMITS.premature_reset_streams, premature_reset_streams);
    fields.set(&LIMITS.errors, errors);
    fields.set(&LIMITS.pings, pings);
    fields.set(&LIMITS.settings, settings);
    fields.set(&LIMITS.idle_frames, idle_frames);
    fields.set(&LIMITS.window_updates, window_updates);
    fields.set(&LIMITS.empty_data, empty_data);
    fields.set(&LIMITS.overhead_slack, overhead_slack);
    fields.set(&LIMITS.handshake_timeout, handshake_timeout);
    fields.set(&LIMITS.preface_timeout, preface_timeout);
    fields.set(&LIMITS.frame_timeout, frame_timeout);
    fields.set(&LIMITS.write_stall_timeout, write_stall_timeout);
    fields.set(&LIMITS.idle_timeout, idle_timeout);
    fields.set(&LIMITS.stream_idle_timeout, stream_idle_timeout);
    fields.set(&LIMITS.max_age, max_age);
    fields.finish();
    limits
}
