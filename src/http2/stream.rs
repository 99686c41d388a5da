//! One stream: its state, its windows, and what waits to be sent on it.

use super::flow::{RecvWindow, SendWindow};
use crate::http::{Backlog, Headers, Millis, Width, Window};

/// How far one direction of a stream has come.
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
    /// What the peer has sent.
    pub receiving: Progress,
    /// What we have sent, queued data included.
    pub sending: Progress,
    pub send_window: SendWindow,
    pub recv_window: RecvWindow,
    /// How wide that is.
    pub window: Window,
    /// What the declared content-length leaves to come.
    pub expected: Option<u64>,
    /// Client's side: the request was HEAD.
    pub head_method: bool,
    /// DATA that comes is dropped: nobody wants it any more.
    pub discarding: bool,
    pub pending: Pending,
    /// Whether it stands in the connection's queue of streams with something to send.
    pub queued: bool,
}

/// What waits for window or room.
#[derive(Debug, Default)]
pub struct Pending {
    pub data: Backlog,
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

    /// Notes that `bytes` of what came are not held any more. What the peer is to be granted for
    /// them, once that is half of its window or the window grows.
    pub fn release(&mut self, bytes: usize, width: Width) -> Option<u32> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.recv_window.owe(self.window.take(bytes, width));
        if self.receiving == Progress::Done {
            return None;
        }
        self.recv_window.grant((self.window.size(width) / 2).max(1))
    }

    /// Bytes that came and are held, as far as they have not been released.
    pub fn held(&self, width: Width) -> usize {
        self.recv_window.held(self.window.size(width))
    }

    /// Whether everything that we have to send has left.
    pub fn sent_all(&self) -> bool {
        self.sending == Progress::Done && self.pending.is_empty()
    }

    /// Bytes of pending data that window allows now.
    pub fn sendable(&self, connection: SendWindow) -> usize {
        let window = self.send_window.available().min(connection.available());
        window.min(self.pending.data.len())
    }
}
