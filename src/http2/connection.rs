//! The connection state machine: its state, queries and commands.

mod cancel;
mod control;
mod credit;
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
use crate::http::{ConnectionError, ErrorCode, Key, Limits, Output, Refusals, Role, Width};

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
    unheard: u32,

    /// Client: the next stream id.
    next_id: u32,
    /// Server: the highest stream id opened by the peer.
    last_peer_id: u32,
    /// Streams above this are ignored: the last-stream-id of our final GOAWAY.
    last_accepted: u32,
    /// The peer has sent GOAWAY.
    peer_left: bool,
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
    /// Streams reset by us lately, on which frames of the peer may still be in flight.
    reset_by_us: VecDeque<u32>,
    refusals: Refusals,
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
            decoder: Decoder::new(limits.header_table_size).patient_with(role == Role::Client),
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
            unheard: 0,
            next_id: 1,
            last_peer_id: 0,
            last_accepted: MAX_31,
            peer_left: false,
            failed: false,
            block: None,
            queue: VecDeque::new(),
            pending_bytes: 0,
            held_up: false,
            discarded: 0,
            drained: Vec::new(),
            unprocessed: Vec::new(),
            refusals: Refusals::default(),
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

    /// The output buffer.
    pub fn output(&mut self) -> &mut Output {
        &mut self.frames.output
    }

    /// Bytes in the output buffer.
    pub fn output_len(&self) -> usize {
        self.frames.output.len()
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Number of open streams.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether any open stream matters: for a client, one that it has not discarded.
    pub fn is_busy(&self) -> bool {
        match self.role {
            Role::Server => self.streams.len() > 0,
            Role::Client => self.streams.len() > self.discarded,
        }
    }

    /// Client or server.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Bytes queued for slow readers.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// The stream with the most queued bytes, and how many.
    pub fn slowest(&self) -> Option<(usize, Key)> {
        self.streams.iter().map(|(key, stream)| (stream.pending.data.len(), key)).max()
    }

    /// Whether the peer's first SETTINGS have come.
    pub fn settings_seen(&self) -> bool {
        self.settings_seen
    }

    /// Whether the peer has acknowledged our SETTINGS.
    pub fn settings_acked(&self) -> bool {
        self.settings_acked
    }

    /// Whether a header block has begun and not ended.
    pub fn in_header_block(&self) -> bool {
        self.block.is_some()
    }

    /// Streams that may be opened now, by MAX_CONCURRENT_STREAMS. None before the peer's SETTINGS
    /// have come, or when the connection [is leaving](Connection::is_leaving).
    pub fn available(&self) -> usize {
        if !self.settings_seen || self.is_leaving() {
            return 0;
        }
        (self.peer.max_streams as usize).saturating_sub(self.streams.len())
    }

    /// Takes the refusals since the last call.
    pub fn take_refusals(&mut self) -> Refusals {
        std::mem::take(&mut self.refusals)
    }

    /// Sends a PING.
    pub fn ping(&mut self, payload: [u8; 8]) {
        self.frames.ping(payload, false);
    }

    /// Frees memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        self.frames.output.shrink();
        self.decode_cache.clear();
        self.encode_cache.clear();
        self.unsent.shrink(self.frames.output.gone());
        self.drained.shrink_to_fit();
        self.queue.shrink_to_fit();
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
        const MOST: u32 = 4096;
        if self.role == Role::Client {
            return;
        }
        // All that were open and all that were refused may be reset at once.
        let enough = self.limits.max_streams.saturating_add(self.limits.errors).min(MOST);
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
