//! Adaptive receive windows: what a peer may send ahead on a stream, and so how much is buffered here
//! while its reader is slow.
//!
//! While readers keep up, every stream has the full window. Once slow readers hold much, the
//! connection is narrowed: all streams, open ones too, get a small window, since their readers may
//! never read anything. A stream then doubles its window once its reader has taken more than kernel
//! buffers hold, and again whenever a whole window was taken, up to the ceiling: so a fast reader
//! soon gets the full bandwidth-delay product, and a stalled one costs little. When the connection is
//! widened again, the growth of a stream's window is withheld from its credit.

use super::Role;
use super::limits::Limits;

/// Initial window of a stream on a narrowed connection.
pub const NARROW: u32 = 16 << 10;

/// What kernel buffers hold for a reader that reads nothing.
const KERNEL_BUFFERS: u32 = 96 << 10;

/// Upper bound of windows, so that a grown one stays within HTTP/2's range.
const MAX_WINDOW: u32 = 1 << 30;

/// The base window of a connection's streams.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    ceiling: u32,
    narrow: bool,
}

impl Width {
    /// The width for this role.
    pub fn new(role: Role, limits: &Limits) -> Width {
        let ceiling = match role {
            Role::Client => limits.stream_window.min(MAX_WINDOW),
            Role::Server => limits.stream_window,
        };
        Width { ceiling, narrow: false }
    }

    /// The largest window.
    pub fn ceiling(self) -> u32 {
        self.ceiling
    }

    /// The initial window.
    pub fn base(self) -> u32 {
        if self.narrow { NARROW.min(self.ceiling) } else { self.ceiling }
    }

    /// Narrows or widens the windows; whether that changes anything.
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
    /// Bytes the reader has to take until it grows.
    left: u32,
}

impl Default for Window {
    /// The window of a new stream.
    fn default() -> Window {
        Window { grown: 0, left: KERNEL_BUFFERS }
    }
}

impl Window {
    /// Its size.
    pub fn size(self, width: Width) -> u32 {
        width.base() + self.grown
    }

    /// The reader has taken `bytes`: returns the credit for the peer.
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
