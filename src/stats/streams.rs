//! Totals of streams: opened, ended, and their messages.

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the backend.
    Request,
    /// From the backend to the client.
    Response,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Request, Direction::Response];

    /// The label value on metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Request => "request",
            Direction::Response => "response",
        }
    }
}

/// Totals of an endpoint's streams since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Exchanges that were streams from the start or became streams.
    pub opened: u64,
    /// Streams that have ended.
    pub ended: u64,
    /// Messages on streams, by [`Direction`].
    pub messages: [u64; 2],
}

impl StreamTotals {
    /// Adds the totals of `other`.
    pub fn add(&mut self, other: &StreamTotals) {
        self.opened += other.opened;
        self.ended += other.ended;
        for (sum, count) in self.messages.iter_mut().zip(other.messages) {
            *sum += count;
        }
    }

    /// The difference to `earlier`, an older snapshot.
    pub fn since(&self, earlier: &StreamTotals) -> StreamTotals {
        let [requests, responses] = self.messages;
        let [earlier_requests, earlier_responses] = earlier.messages;
        StreamTotals {
            opened: self.opened.wrapping_sub(earlier.opened),
            ended: self.ended.wrapping_sub(earlier.ended),
            messages: [
                requests.wrapping_sub(earlier_requests),
                responses.wrapping_sub(earlier_responses),
            ],
        }
    }
}
