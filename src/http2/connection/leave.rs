//! The graceful end of a connection: who takes no more streams, and why.

use super::Connection;
use crate::http::{ErrorCode, Fault, Role};
use crate::http2::frame::MAX_31;

impl Connection {
    /// Whether no stream will ever be opened here again: either side has sent GOAWAY, the ids are
    /// spent, or it [is retired](Connection::retired).
    pub fn is_leaving(&self) -> bool {
        let spent = self.next_id > MAX_31 || self.last_accepted < MAX_31;
        self.peer_left || self.failed || spent || self.retired().is_some()
    }

    /// Which budget the backend has spent. Its connection takes no new streams then, and those
    /// that it has go on: they may be of clients who have no part in that.
    pub fn retired(&self) -> Option<Fault> {
        self.meter.retired()
    }

    /// Announces that no streams are wanted soon, without refusing any: the first of the two
    /// phases of a graceful end (RFC 9113, section 6.8). The PING's answer says that every
    /// stream opened before the peer heard of it has arrived.
    pub fn announce_leave(&mut self, ping: [u8; 8]) {
        if !self.failed && self.last_accepted == MAX_31 {
            self.frames.go_away(MAX_31, ErrorCode::NO_ERROR, "");
            self.frames.ping(ping, false);
        }
    }

    /// Takes no more streams: those that are open go on, later ones are not looked at. A server on
    /// which streams are open is not told: some close the connection as soon as these have ended,
    /// with frames of ours unread, and the system then drops what it has not sent of a response.
    pub fn leave(&mut self, code: ErrorCode, detail: &str) {
        if !self.failed && self.last_accepted == MAX_31 {
            self.last_accepted = self.last_peer_id;
            if self.role == Role::Server || self.streams.len() == 0 {
                self.frames.go_away(self.last_peer_id, code, detail);
            }
        }
    }
}
