//! Graceful shutdown (GOAWAY).

use super::Connection;
use crate::http::{ErrorCode, Fault, Role};
use crate::http2::frame::MAX_31;

impl Connection {
    /// Whether no stream can be opened here any more: either side has sent GOAWAY, the stream ids
    /// are used up, or it [is retired](Connection::retired).
    pub fn is_leaving(&self) -> bool {
        let spent = self.next_id > MAX_31 || self.last_accepted < MAX_31;
        self.peer_left || self.failed || spent || self.retired().is_some()
    }

    /// The flood budget that the backend exceeded. Its connection takes no new streams then; open
    /// ones finish, as their clients are not at fault.
    pub fn retired(&self) -> Option<Fault> {
        self.flood_guard.retired()
    }

    /// Phase one of a graceful shutdown (RFC 9113, section 6.8): GOAWAY with the highest id, which
    /// refuses nothing, and a PING. Its ACK says that every stream opened before the peer saw the
    /// GOAWAY has arrived.
    pub fn announce_leave(&mut self, ping: [u8; 8]) {
        if !self.failed && self.last_accepted == MAX_31 {
            self.frames.go_away(MAX_31, ErrorCode::NO_ERROR, "");
            self.frames.ping(ping, false);
        }
    }

    /// Phase two: the final GOAWAY; open streams go on, later ones are ignored. A client with open
    /// streams does not send it: some servers close the connection as soon as those have ended,
    /// with frames of ours unread, and their kernel then drops the rest of a response.
    pub fn leave(&mut self, code: ErrorCode, detail: &str) {
        if !self.failed && self.last_accepted == MAX_31 {
            self.last_accepted = self.last_peer_id;
            if self.role == Role::Server || self.streams.len() == 0 {
                self.frames.go_away(self.last_peer_id, code, detail);
            }
        }
    }
}
