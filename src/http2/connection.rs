//! The connection state machine: its state, queries and commands.

mod cancel;
mod control;
mod credit;
mod interface;
mod leave;
mod messages;
mod receive;
mod send;

use std::collections::VecDeque;
use std::sync::Arc;

use super::decode_cache::DecodeCache;
use super::encode_cache::EncodeCache;
use super::flood_guard::FloodGuard;
use super::flow::{RecvWindow, SendWindow};
use super::frame::{DEFAULT_WINDOW, MAX_31, PREFACE, flag, kind};
use super::frame_writer::FrameWriter;
use super::hpack::{Decoder, Encoder};
use super::settings::Settings;
use super::stream::Progress;
use super::streams::Streams;
use super::unsent::Unsent;
use crate::http::{ConnectionError, ErrorCode, Key, Limits, RefusedRequests, Role, Width};

/// One end of an HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Arc<Limits>,
    frames: FrameWriter,
    streams: Streams,
    encoder: Encoder,
    decoder: Decoder,
    decode_cache: DecodeCache,
    encode_cache: EncodeCache,
    unsent: Unsent,
    flood_guard: FloodGuard,

    peer: Settings,
    settings_seen: bool,
    settings_acked: bool,
    preface_left: usize,

    send_window: SendWindow,
    recv_window: RecvWindow,
    width: Width,
    /// SETTINGS changes that the peer has not acknowledged.
    unacked_settings: u32,

    /// Client: the next stream id.
    next_id: u32,
    /// Server: the highest stream id opened by the peer.
    last_peer_id: u32,
    /// Streams above this are ignored: the last-stream-id of our final GOAWAY.
    last_accepted: u32,
    /// The peer has sent GOAWAY.
    peer_left: bool,
    /// HEADERS or DATA were received since the last query.
    received_message: bool,
    failed: bool,

    block: Option<Block>,
    /// Streams with queued output, served round robin.
    queue: VecDeque<Key>,
    pending_bytes: usize,
    /// The socket is full: DATA stays queued.
    held_up: bool,
    /// Number of open streams whose further DATA is discarded.
    discarded: usize,
    drained: Vec<(Key, usize)>,
    unprocessed: Vec<Key>,
    /// Streams that we reset recently, on which frames of the peer may still be in flight.
    reset_by_us: VecDeque<u32>,
    refusals: RefusedRequests,
}

/// A header block that awaits CONTINUATION.
#[derive(Debug)]
struct Block {
    stream: u32,
    end_stream: bool,
    depends_on_itself: bool,
    bytes: Vec<u8>,
    pieces: u32,
}

impl Connection {
    /// A client; its preface and SETTINGS are in the output.
    pub fn client(limits: Arc<Limits>) -> Connection {
        let mut connection = Connection::new(Role::Client, limits);
        connection.frames.output.raw(PREFACE);
        connection.introduce();
        connection
    }

    /// A server; its SETTINGS are in the output.
    pub fn server(limits: Arc<Limits>) -> Connection {
        let mut connection = Connection::new(Role::Server, limits);
        connection.introduce();
        connection
    }

    fn new(role: Role, limits: Arc<Limits>) -> Connection {
        Connection {
            role,
            frames: FrameWriter::default(),
            streams: Streams::default(),
            encoder: Encoder::new(),
            decoder: Decoder::new(limits.header_table_size).trusting(role == Role::Client),
            decode_cache: DecodeCache::default(),
            encode_cache: EncodeCache::default(),
            unsent: Unsent::default(),
            flood_guard: FloodGuard::new(Arc::clone(&limits), role),
            peer: Settings::default(),
            settings_seen: false,
            settings_acked: false,
            preface_left: if role == Role::Server { PREFACE.len() } else { 0 },
            send_window: SendWindow::new(DEFAULT_WINDOW),
            recv_window: RecvWindow::new(limits.connection_window.max(DEFAULT_WINDOW)),
            width: Width::new(role, &limits),
            unacked_settings: 0,
            next_id: 1,
            last_peer_id: 0,
            last_accepted: MAX_31,
            peer_left: false,
            received_message: false,
            failed: false,
            block: None,
            queue: VecDeque::new(),
            pending_bytes: 0,
            held_up: false,
            discarded: 0,
            drained: Vec::new(),
            unprocessed: Vec::new(),
            refusals: RefusedRequests::default(),
            reset_by_us: VecDeque::new(),
            limits,
        }
    }

    fn introduce(&mut self) {
        let ours = Settings {
            header_table_size: self.limits.header_table_size,
            enable_push: self.role == Role::Server,
            max_streams: if self.role == Role::Server { self.limits.max_streams } else { u32::MAX },
            initial_window: self.width.base(),
            max_frame_size: self.limits.max_frame_size,
            max_header_list: self.limits.header_size,
        };
        self.frames.frame(kind::SETTINGS, 0, 0, &ours.payload());
        let extra = self.limits.connection_window.saturating_sub(DEFAULT_WINDOW);
        if extra > 0 {
            self.frames.window_update(0, extra);
        }
    }

    /// Sends a PING.
    pub fn ping(&mut self, payload: [u8; 8]) {
        self.frames.ping(payload, false);
    }

    /// Whether HEADERS or DATA were received since the last call.
    pub fn take_received_message(&mut self) -> bool {
        std::mem::take(&mut self.received_message)
    }

    /// Fails the connection; the GOAWAY is in the output.
    fn fail(&mut self, error: ConnectionError) {
        if !self.failed {
            self.failed = true;
            // It never grows from one GOAWAY to the next (RFC 9113, section 6.8).
            let last = self.last_peer_id.min(self.last_accepted);
            self.frames.go_away(last, error.code, error.detail);
        }
    }

    /// Removes a stream and its queued output.
    fn remove(&mut self, key: Key) {
        if let Some(stream) = self.streams.remove(key) {
            self.pending_bytes -= stream.pending.data.len();
            self.discarded -= usize::from(stream.discarding);
        }
    }

    /// Remembers a stream reset by us, since frames sent before the peer saw the reset are no
    /// error. Clients need not: late frames on their streams are always ignored.
    fn remember_reset(&mut self, id: u32) {
        const MAX_REMEMBERED: u32 = 4096;
        if self.role == Role::Client {
            return;
        }
        // All that were open and all that were refused may be reset at once.
        let enough = self.limits.max_streams.saturating_add(self.limits.errors).min(MAX_REMEMBERED);
        if self.reset_by_us.len() >= enough as usize {
            self.reset_by_us.pop_front();
        }
        self.reset_by_us.push_back(id);
    }

    /// Removes a stream that is closed on both sides; resets one that is half-closed and discarded.
    fn settle(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let received = stream.receiving == Progress::Done;
        match (received, stream.sent_all(), stream.discarding) {
            (true, true, _) => self.remove(key),
            (false, true, true) if self.role == Role::Server => {
                self.reset(key, ErrorCode::NO_ERROR);
            }
            _ => {}
        }
    }

    fn ack_settings(&mut self) {
        self.frames.frame(kind::SETTINGS, flag::ACK, 0, &[]);
    }
}

#[cfg(test)]
impl Connection {
    /// For tests: starts near the end of the stream ids.
    pub(super) fn begin_at(&mut self, id: u32) {
        self.next_id = id;
    }
}
