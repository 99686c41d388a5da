//! Graceful shutdown (GOAWAY).

use super::Connection;
use crate::http::{ErrorCode, Role};
use crate::http2::frame::MAX_31;

impl Connection {
    /// Phase one of a graceful shutdown (RFC 9113, section 6.8): GOAWAY with the highest id, which
    /// refuses nothing, and a PING. Its ACK says that every stream opened before the peer saw the
    /// GOAWAY has arrived.
    pub(super) fn announce_leave(&mut self, ping: [u8; 8]) {
        if !self.failed && self.last_accepted == MAX_31 {
            self.frames.go_away(MAX_31, ErrorCode::NO_ERROR, "");
            self.frames.ping(ping, false);
        }
    }

    /// Phase two: the final GOAWAY; open streams go on, later ones are ignored. A client with open
    /// streams does not send it: some servers close the connection as soon as those have ended,
    /// with frames of ours unread, and their kernel then drops the rest of a response.
    pub(super) fn leave(&mut self) {
        if !self.failed && self.last_accepted == MAX_31 {
            self.last_accepted = self.last_peer_id;
            if self.role == Role::Server || self.streams.len() == 0 {
                self.frames.go_away(self.last_peer_id, ErrorCode::NO_ERROR, "");
            }
        }
    }
}
