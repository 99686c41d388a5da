//! Counts what a peer does besides useful work, and says when it is too much.
//!
//! Every flood that HTTP/2 is known for is a kind of frame that costs the sender less than the
//! receiver. Each kind has a budget for a span of time, some enlarged by useful work.

use std::sync::Arc;

use super::Millis;
use super::error::{ConnectionError, Fault};
use super::limits::Limits;

const SHORT_MS: Millis = 10_000;
const LONG_MS: Millis = 30_000;
const PREMATURE_MS: Millis = 1_000;

/// The counts of one connection.
#[derive(Debug)]
pub struct Meter {
    limits: Arc<Limits>,
    short: Span<Short>,
    long: Span<Long>,
    bytes: u64,
    payload: u64,
    streams: u32,
    premature: u32,
}

/// Counts that begin anew when their time is over.
#[derive(Debug, Default)]
struct Span<T> {
    began: Millis,
    counts: T,
}

impl<T: Default> Span<T> {
    fn at(&mut self, now: Millis, length: Millis) -> &mut T {
        if now.saturating_sub(self.began) >= length {
            *self = Span { began: now, counts: T::default() };
        }
        &mut self.counts
    }
}

#[derive(Debug, Default)]
struct Short {
    pings: u32,
    settings: u32,
    idle_frames: u32,
    streams: u32,
    window_updates: u32,
    data_sent: u32,
    empty_data: u32,
}

#[derive(Debug, Default)]
struct Long {
    resets: u32,
    errors: u32,
}

type Verdict = Result<(), ConnectionError>;

fn check(count: &mut u32, budget: u32, fault: Fault, detail: &'static str) -> Verdict {
    *count = count.saturating_add(1);
    if *count > budget { Err(ConnectionError::calm(fault, detail)) } else { Ok(()) }
}

impl Meter {
    pub fn new(limits: Arc<Limits>) -> Meter {
        Meter {
            limits,
            short: Span::default(),
            long: Span::default(),
            bytes: 0,
            payload: 0,
            streams: 0,
            premature: 0,
        }
    }

    /// A frame came: `payload` of its `bytes` are DATA or header block.
    pub fn frame(&mut self, bytes: usize, payload: usize) -> Verdict {
        self.bytes += bytes as u64;
        self.payload += payload as u64;
        if self.bytes / 8 > self.payload + u64::from(self.limits.overhead_slack) {
            return Err(ConnectionError::calm(
                Fault::Overhead,
                "too little payload for the framing",
            ));
        }
        Ok(())
    }

    pub fn ping(&mut self, now: Millis) -> Verdict {
        let count = &mut self.short.at(now, SHORT_MS).pings;
        check(count, self.limits.pings, Fault::Pings, "too_many_pings")
    }

    pub fn settings(&mut self, now: Millis) -> Verdict {
        let count = &mut self.short.at(now, SHORT_MS).settings;
        check(count, self.limits.settings, Fault::Settings, "too many SETTINGS frames")
    }

    /// PRIORITY, an unknown type, or a late frame for a stream that is gone.
    pub fn idle_frame(&mut self, now: Millis) -> Verdict {
        let counts = self.short.at(now, SHORT_MS);
        let budget = self.limits.idle_frames.saturating_add(counts.streams.saturating_mul(2));
        check(&mut counts.idle_frames, budget, Fault::IdleFrames, "too many idle frames")
    }

    pub fn window_update(&mut self, now: Millis) -> Verdict {
        let counts = self.short.at(now, SHORT_MS);
        let earned = counts.data_sent.saturating_mul(10).saturating_add(counts.streams);
        let budget = self.limits.window_updates.saturating_add(earned);
        let detail = "too many WINDOW_UPDATE frames";
        check(&mut counts.window_updates, budget, Fault::WindowUpdates, detail)
    }

    /// A DATA frame was sent, which may be answered by WINDOW_UPDATE.
    pub fn data_sent(&mut self) {
        let sent = &mut self.short.counts.data_sent;
        *sent = sent.saturating_add(1);
    }

    pub fn empty_data(&mut self, now: Millis) -> Verdict {
        let count = &mut self.short.at(now, SHORT_MS).empty_data;
        check(count, self.limits.empty_data, Fault::EmptyData, "too many empty DATA frames")
    }

    /// The peer opened a stream.
    pub fn opened(&mut self, now: Millis) {
        let short = &mut self.short.at(now, SHORT_MS).streams;
        *short = short.saturating_add(1);
        self.streams = self.streams.saturating_add(1);
        // Halving both keeps the ratio and lets the distant past fade.
        if self.streams > self.limits.premature_reset_streams.saturating_mul(8) {
            self.streams /= 2;
            self.premature /= 2;
        }
    }

    /// The peer reset a stream that it had opened at `opened`.
    pub fn reset(&mut self, opened: Millis, now: Millis) -> Verdict {
        let count = &mut self.long.at(now, LONG_MS).resets;
        check(count, self.limits.resets, Fault::Resets, "too many resets")?;
        if now.saturating_sub(opened) < PREMATURE_MS {
            self.premature = self.premature.saturating_add(1);
        }
        let enough = self.streams >= self.limits.premature_reset_streams;
        if enough && self.premature > self.streams / 2 {
            let detail = "too many premature resets";
            return Err(ConnectionError::calm(Fault::PrematureResets, detail));
        }
        Ok(())
    }

    /// We had to reset a stream for an error of the peer.
    pub fn error(&mut self, now: Millis) -> Verdict {
        let count = &mut self.long.at(now, LONG_MS).errors;
        check(count, self.limits.errors, Fault::Errors, "too many stream errors")
    }
}
