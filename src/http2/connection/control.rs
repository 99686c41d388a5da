//! Control frames from the peer: RST_STREAM, SETTINGS, WINDOW_UPDATE, PING, GOAWAY.
//!
//! Their handlers are not inlined: they are rare compared to DATA, and would cost it registers.

use super::Connection;
use super::receive::{Cx, Received, on_stream};
use crate::http::{Cause, ConnectionError, ErrorCode, Event, Role};
use crate::http2::flow::Overflow;
use crate::http2::frame::{Head, flag, read_31};
use crate::http2::settings;

/// The debug data of a gRPC server's GOAWAY to a client that sent too many PINGs.
const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

impl Connection {
    #[inline(never)]
    pub(super) fn rst_stream(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        on_stream(head)?;
        let Ok(code) = <[u8; 4]>::try_from(payload) else {
            return Err(ConnectionError::frame_size("RST_STREAM is not 4 bytes"));
        };
        let Some(key) = self.streams.key(head.stream) else {
            return self.late(head, cx);
        };
        let opened = self.streams.get(key).map_or(0, |stream| stream.opened);
        self.remove(key);
        self.flood_guard.reset(opened, cx.now)?;
        let code = ErrorCode(u32::from_be_bytes(code));
        cx.emit(Event::Reset { key, code, cause: Cause::Peer })
    }

    #[inline(never)]
    pub(super) fn priority(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        on_stream(head)?;
        self.flood_guard.idle_frame(cx.now)?;
        if payload.len() != 5 {
            return Err(ConnectionError::frame_size("PRIORITY is not 5 bytes"));
        }
        if read_31(payload) != Some(head.stream) {
            return Ok(()); // priorities are deprecated and ignored here
        }
        match self.streams.key(head.stream) {
            Some(key) => self.malformed(key, "stream depends on itself", cx),
            None => Err(ConnectionError::protocol("stream depends on itself")),
        }
    }

    #[inline(never)]
    pub(super) fn settings(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream"));
        }
        self.flood_guard.settings(cx.now)?;
        if head.has(flag::ACK) {
            self.settings_acked = true;
            self.unacked_settings = self.unacked_settings.saturating_sub(1);
            self.grant_credit();
            let empty = payload.is_empty();
            let error = ConnectionError::frame_size("acknowledgement with a payload");
            return if empty { Ok(()) } else { Err(error) };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(ConnectionError::frame_size("SETTINGS is not a multiple of 6 bytes"));
        }
        let before = self.peer;
        self.peer.apply(payload)?;
        if self.role == Role::Client && settings::enable_push(payload) {
            return Err(ConnectionError::protocol("a server sent ENABLE_PUSH"));
        }
        for size in settings::table_sizes(payload) {
            self.encoder.set_max_table_size(size);
        }
        self.resize_windows(before.initial_window)?;
        self.settings_seen = true;
        self.ack_settings();
        cx.emit(Event::Settings)
    }

    /// INITIAL_WINDOW_SIZE changes the window of every open stream (RFC 9113, section 6.9.2).
    fn resize_windows(&mut self, before: u32) -> Result<(), ConnectionError> {
        let now = self.peer.initial_window;
        if now == before {
            return Ok(());
        }
        let mut widened = Vec::new();
        for (key, stream) in self.streams.iter_mut() {
            if stream.send_window.resize(before, now).is_err() {
                let detail = "INITIAL_WINDOW_SIZE overflows a window";
                return Err(ConnectionError::flow_control(detail));
            }
            if now > before && !stream.pending.is_empty() {
                widened.push(key);
            }
        }
        for key in widened {
            self.enqueue(key);
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn ping_frame(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream"));
        }
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(ConnectionError::frame_size("PING is not 8 bytes"));
        };
        self.flood_guard.ping(cx.now)?;
        if head.has(flag::ACK) {
            return cx.emit(Event::Pong(payload));
        }
        self.frames.ping(payload, true);
        Ok(())
    }

    #[inline(never)]
    pub(super) fn go_away(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream"));
        }
        self.flood_guard.idle_frame(cx.now)?;
        let (Some(last), Some(code)) = (read_31(payload), payload.get(4..8)) else {
            return Err(ConnectionError::frame_size("GOAWAY is shorter than 8 bytes"));
        };
        let code = code.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        self.peer_left = true;
        if self.role == Role::Client {
            self.unprocessed
                .extend(self.streams.iter().map(|(key, _)| key).filter(|k| k.id > last));
            for at in 0..self.unprocessed.len() {
                if let Some(&key) = self.unprocessed.get(at) {
                    self.remove(key);
                }
            }
        }
        let code = ErrorCode(code);
        let too_many_pings =
            code == ErrorCode::ENHANCE_YOUR_CALM && payload.get(8..) == Some(TOO_MANY_PINGS);
        cx.emit(Event::GoAway { code, too_many_pings })
    }

    #[inline(never)]
    pub(super) fn window_update(
        &mut self,
        head: Head,
        payload: &[u8],
        cx: &mut Cx<'_>,
    ) -> Received {
        let (4, Some(by)) = (payload.len(), read_31(payload)) else {
            return Err(ConnectionError::frame_size("WINDOW_UPDATE is not 4 bytes"));
        };
        self.flood_guard.window_update(cx.now)?;
        if head.stream == 0 {
            if by == 0 {
                return Err(ConnectionError::protocol("WINDOW_UPDATE by 0"));
            }
            let widened = self.send_window.widen(by);
            let overflow = ConnectionError::flow_control("WINDOW_UPDATE overflows the window");
            return widened.map_err(|Overflow| overflow);
        }
        let Some(key) = self.streams.key(head.stream) else {
            return self.late(head, cx);
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        if by == 0 {
            return self.malformed(key, "WINDOW_UPDATE by 0", cx);
        }
        if stream.send_window.widen(by).is_err() {
            let code = ErrorCode::FLOW_CONTROL_ERROR;
            return self.stream_error(key, code, "WINDOW_UPDATE overflows the window", cx);
        }
        self.enqueue(key);
        Ok(())
    }
}
