//! How much a peer may have under way on a stream, and held here while its reader is slow.
//!
//! A backend's stream begins with little, as its reader may never take any of it, and there may be
//! many such. Once more has left than the buffers on the way to a reader hold, the window doubles, and
//! again whenever as much as it is wide was taken, up to its ceiling: so who reads is soon sent as much
//! as the way to the backend can hold, and who does not read has cost little.

use super::Role;
use super::limits::Limits;

/// What a backend may send ahead of a reader who has not taken anything.
pub const FIRST: u32 = 32 << 10;

/// What sockets and the system take for a reader who takes nothing.
const BUFFERS: u32 = 96 << 10;

/// The width of one stream's window.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    size: u32,
    ceiling: u32,
    /// Bytes to be taken until it grows.
    left: u32,
}

impl Window {
    /// The window of a new stream on this end.
    pub fn new(role: Role, limits: &Limits) -> Window {
        let ceiling = limits.stream_window;
        let size = match role {
            Role::Client => FIRST.min(ceiling),
            Role::Server => ceiling,
        };
        Window { size, ceiling, left: BUFFERS }
    }

    /// How wide it is now.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Notes that the reader has taken `bytes`. By how much the window has grown for that.
    pub fn take(&mut self, bytes: u32) -> u32 {
        if self.size >= self.ceiling {
            return 0;
        }
        self.left = self.left.saturating_sub(bytes);
        if self.left > 0 {
            return 0;
        }
        let by = self.size.min(self.ceiling - self.size);
        self.size += by;
        self.left = self.size;
        by
    }
}
