//! How much a peer may have under way on a stream, and held here while its reader is slow.
//!
//! While little waits for readers, a backend may send a whole window from the first byte on. Once
//! much does, its connection is narrowed: every stream, of those that are open too, has little, as
//! its reader may never take any of it, and there may be many such. A stream then doubles its window
//! once more has left than the buffers on the way to a reader hold, and again whenever as much as it
//! is wide was taken, up to the ceiling: so who reads is soon sent as much as the way to the backend
//! can hold, and who does not read has cost little. When all are widened again, what a stream has
//! grown by is held back from the credit for what its reader takes.

use super::Role;
use super::limits::Limits;

/// What a backend may send on a narrow connection ahead of a reader who has not taken anything.
pub const NARROW: u32 = 16 << 10;

/// What sockets and the system take for a reader who takes nothing.
const BUFFERS: u32 = 96 << 10;

/// Windows of backends are no wider: one that has grown is still one that HTTP/2 knows.
const WIDEST: u32 = 1 << 30;

/// What the streams of a connection have in common.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    ceiling: u32,
    narrow: bool,
}

impl Width {
    /// Of the peer of this end.
    pub fn new(role: Role, limits: &Limits) -> Width {
        let ceiling = match role {
            Role::Client => limits.stream_window.min(WIDEST),
            Role::Server => limits.stream_window,
        };
        Width { ceiling, narrow: false }
    }

    /// The most that any of them may have.
    pub fn ceiling(self) -> u32 {
        self.ceiling
    }

    /// What each has from the beginning.
    pub fn base(self) -> u32 {
        if self.narrow { NARROW.min(self.ceiling) } else { self.ceiling }
    }

    /// Narrows or widens them; whether that makes a difference.
    pub fn set_narrow(&mut self, narrow: bool) -> bool {
        let before = self.base();
        self.narrow = narrow;
        self.base() != before
    }
}

/// The window of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    grown: u32,
    /// Bytes to be taken until it grows.
    left: u32,
}

impl Default for Window {
    /// That of a new stream.
    fn default() -> Window {
        Window { grown: 0, left: BUFFERS }
    }
}

impl Window {
    /// How wide it is.
    pub fn size(self, width: Width) -> u32 {
        width.base() + self.grown
    }

    /// Notes that the reader has taken `bytes`. How much credit the peer is due for that.
    pub fn take(&mut self, bytes: u32, width: Width) -> u32 {
        if !width.narrow {
            let back = self.grown.min(bytes);
            self.grown -= back;
            return bytes - back;
        }
        let size = self.size(width);
        self.left = self.left.saturating_sub(bytes);
        if self.left > 0 || size >= width.ceiling {
            return bytes;
        }
        let by = size.min(width.ceiling - size);
        self.grown += by;
        self.left = size + by;
        bytes.saturating_add(by)
    }
}
