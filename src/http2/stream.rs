//! Per-stream state: half-closed states, windows, queued output.

use super::flow::{RecvWindow, SendWindow};
use crate::http::{Headers, Millis, SendQueue, Width, Window};

/// State of one direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No head yet, or only informational ones.
    Head,
    /// The head has passed; DATA and trailers may follow.
    Body,
    /// END_STREAM has passed.
    Done,
}

/// One open stream.
#[derive(Debug)]
pub struct Stream {
    pub id: u32,
    pub opened: Millis,
    /// The receiving direction.
    pub receiving: Progress,
    /// The sending direction, queued data included.
    pub sending: Progress,
    pub send_window: SendWindow,
    pub recv_window: RecvWindow,
    /// Its adaptive size.
    pub window: Window,
    /// Bytes still expected by the declared content-length.
    pub expected: Option<u64>,
    /// Client: the request was HEAD.
    pub head_method: bool,
    /// Further DATA is discarded: the request is cancelled.
    pub discarding: bool,
    pub pending: Pending,
    /// Whether it is in the connection's send queue.
    pub queued: bool,
}

/// Output queued for window or room.
#[derive(Debug, Default)]
pub struct Pending {
    pub data: SendQueue,
    /// END_STREAM follows the data.
    pub end: bool,
    /// Trailers follow the data.
    pub trailers: Option<Headers>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && !self.end && self.trailers.is_none()
    }
}

impl Stream {
    pub fn new(id: u32, opened: Millis, send_window: u32, recv_window: u32) -> Stream {
        Stream {
            id,
            opened,
            receiving: Progress::Head,
            sending: Progress::Head,
            send_window: SendWindow::new(send_window),
            recv_window: RecvWindow::new(recv_window),
            window: Window::default(),
            expected: None,
            head_method: false,
            discarding: false,
            pending: Pending::default(),
            queued: false,
        }
    }

    /// Returns `bytes` of credit. The WINDOW_UPDATE to send, once it is half of the window or the
    /// window grows.
    pub fn release(&mut self, bytes: usize, width: Width) -> Option<u32> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.recv_window.owe(self.window.take(bytes, width));
        if self.receiving == Progress::Done {
            return None;
        }
        self.recv_window.grant((self.window.size(width) / 2).max(1))
    }

    /// Bytes received but not released.
    pub fn held(&self, width: Width) -> usize {
        self.recv_window.held(self.window.size(width))
    }

    /// Whether everything queued has been sent.
    pub fn sent_all(&self) -> bool {
        self.sending == Progress::Done && self.pending.is_empty()
    }

    /// Queued bytes that both windows allow now.
    pub fn sendable(&self, connection: SendWindow) -> usize {
        let window = self.send_window.available().min(connection.available());
        window.min(self.pending.data.len())
    }
}
