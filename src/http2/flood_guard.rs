//! Flood protection: budgets for frames of a peer that are not useful work.
//!
//! Every flood that HTTP/2 is known for is a kind of frame that costs the sender less than the
//! receiver. Each kind has a budget for a span of time, some enlarged by useful work.
//!
//! If a client's budget is spent, its connection is closed. A backend's connection carries the calls
//! of many clients, who are not at fault: it is retired, so that it finishes its open streams. Only
//! PING and SETTINGS, which belong to no call, close it at once.

use std::sync::Arc;

use crate::http::{ConnectionError, Fault, Limits, Millis, Role};

const SHORT_MS: Millis = 10_000;
const LONG_MS: Millis = 30_000;
/// Empty DATA frames in [`SHORT_MS`] for each open stream: a heartbeat each second.
const EMPTY_OF_OPEN: u32 = 10;
const PREMATURE_MS: Millis = 1_000;

/// The counts of one connection.
#[derive(Debug)]
pub struct FloodGuard {
    limits: Arc<Limits>,
    /// Which end counts.
    role: Role,
    /// The first budget that a backend has spent.
    retired: Option<Fault>,
    short: ShortWindow,
    long: LongWindow,
    streams: u32,
    premature: u32,
}

/// Counts that are reset after [`SHORT_MS`].
#[derive(Debug, Default)]
struct ShortWindow {
    began: Millis,
    pings: u32,
    settings: u32,
    idle_frames: u32,
    window_updates: u32,
    empty_data: u32,
    /// Bytes of DATA and header blocks, framing and padding included.
    bytes: u64,
    /// Bytes of their payload.
    payload: u64,
    work: Work,
    /// Work of the previous interval: responses to it may arrive only now.
    work_before: Work,
}

/// Useful work, which entitles the peer to more frames.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    streams: u32,
    data_sent: u32,
    /// DATA and header blocks with a payload.
    carriers: u32,
    resets_sent: u32,
}

/// Counts that are reset after [`LONG_MS`].
#[derive(Debug, Default)]
struct LongWindow {
    began: Millis,
    resets: u32,
    errors: u32,
}

impl ShortWindow {
    /// A budget of `base`, and `each` for every piece of work.
    fn budget(&self, base: u32, each: Work) -> u32 {
        let Work { streams, data_sent, carriers, resets_sent } = each;
        [self.work, self.work_before].into_iter().fold(base, |budget, work| {
            budget
                .saturating_add(work.streams.saturating_mul(streams))
                .saturating_add(work.data_sent.saturating_mul(data_sent))
                .saturating_add(work.carriers.saturating_mul(carriers))
                .saturating_add(work.resets_sent.saturating_mul(resets_sent))
        })
    }
}

type Verdict = Result<(), ConnectionError>;

/// Counts one more, and whether that is within the budget.
fn within(count: &mut u32, budget: u32) -> bool {
    *count = count.saturating_add(1);
    *count <= budget
}

impl FloodGuard {
    pub fn new(limits: Arc<Limits>, role: Role) -> FloodGuard {
        FloodGuard {
            limits,
            role,
            retired: None,
            short: ShortWindow::default(),
            long: LongWindow::default(),
            streams: 0,
            premature: 0,
        }
    }

    /// Why the connection is retired, if it is.
    pub fn retired(&self) -> Option<Fault> {
        self.retired
    }

    /// Records that a budget is spent: retires or closes the connection.
    #[cold]
    fn spent(&mut self, fault: Fault, detail: &'static str) -> Verdict {
        if self.role == Role::Client && !matches!(fault, Fault::Pings | Fault::Settings) {
            self.retired.get_or_insert(fault);
            return Ok(());
        }
        Err(ConnectionError::calm(fault, detail))
    }

    fn short(&mut self, now: Millis) -> &mut ShortWindow {
        if now.saturating_sub(self.short.began) >= SHORT_MS {
            self.short =
                ShortWindow { began: now, work_before: self.short.work, ..ShortWindow::default() };
        }
        &mut self.short
    }

    fn long(&mut self, now: Millis) -> &mut LongWindow {
        if now.saturating_sub(self.long.began) >= LONG_MS {
            self.long = LongWindow { began: now, ..LongWindow::default() };
        }
        &mut self.long
    }

    /// Counts a DATA frame or header block of `bytes`, of which `payload` are neither framing nor
    /// padding. Other frames are counted by their kind.
    pub fn carried(&mut self, bytes: usize, payload: usize, now: Millis) -> Verdict {
        let counts = &mut self.short;
        counts.bytes += bytes as u64;
        counts.payload += payload as u64;
        counts.work.carriers = counts.work.carriers.wrapping_add(u32::from(payload > 0)); // of 10 s
        if counts.bytes / 8 > counts.payload + u64::from(self.limits.overhead_slack) {
            return self.too_little(now);
        }
        Ok(())
    }

    /// There was too little payload, unless the counts are of an earlier interval.
    #[cold]
    fn too_little(&mut self, now: Millis) -> Verdict {
        if self.short(now).bytes == 0 {
            return Ok(());
        }
        self.spent(Fault::Overhead, "too little payload for the framing")
    }

    /// Counts a PING. A peer that measures round trips sends one for each DATA frame that it receives.
    pub fn ping(&mut self, now: Millis) -> Verdict {
        let base = self.limits.pings;
        let counts = self.short(now);
        let budget = counts.budget(base, Work { data_sent: 1, ..Work::default() });
        if within(&mut counts.pings, budget) {
            return Ok(());
        }
        self.spent(Fault::Pings, "too_many_pings")
    }

    pub fn settings(&mut self, now: Millis) -> Verdict {
        let budget = self.limits.settings;
        if within(&mut self.short(now).settings, budget) {
            return Ok(());
        }
        self.spent(Fault::Settings, "too many SETTINGS frames")
    }

    /// Counts PRIORITY, GOAWAY, an unknown type, or a late frame for a closed stream.
    pub fn idle_frame(&mut self, now: Millis) -> Verdict {
        let base = self.limits.idle_frames;
        let counts = self.short(now);
        let each = Work { streams: 2, resets_sent: 100, ..Work::default() };
        let budget = counts.budget(base, each);
        if within(&mut counts.idle_frames, budget) {
            return Ok(());
        }
        self.spent(Fault::IdleFrames, "too many idle frames")
    }

    pub fn window_update(&mut self, now: Millis) -> Verdict {
        let base = self.limits.window_updates;
        let counts = self.short(now);
        let budget = counts.budget(base, Work { streams: 1, data_sent: 10, ..Work::default() });
        if within(&mut counts.window_updates, budget) {
            return Ok(());
        }
        self.spent(Fault::WindowUpdates, "too many WINDOW_UPDATE frames")
    }

    /// Records a DATA frame that was sent, which may be answered by WINDOW_UPDATE and PING.
    pub fn data_sent(&mut self) {
        let sent = &mut self.short.work.data_sent;
        *sent = sent.saturating_add(1);
    }

    /// Records that we reset a stream on which frames may be in flight.
    pub fn reset_sent(&mut self) {
        let sent = &mut self.short.work.resets_sent;
        *sent = sent.saturating_add(1);
    }

    /// Counts a DATA frame without payload and END_STREAM. Some peers send one before or after each
    /// message, or at both ends of each call.
    pub fn empty_data(&mut self, open: usize, now: Millis) -> Verdict {
        let beats = EMPTY_OF_OPEN.saturating_mul(u32::try_from(open).unwrap_or(u32::MAX));
        let base = self.limits.empty_data.saturating_add(beats);
        let counts = self.short(now);
        let budget = counts.budget(base, Work { streams: 4, carriers: 2, ..Work::default() });
        if within(&mut counts.empty_data, budget) {
            return Ok(());
        }
        self.spent(Fault::EmptyData, "too many empty DATA frames")
    }

    /// Counts a stream opened by either side.
    pub fn opened(&mut self, now: Millis) {
        let short = &mut self.short(now).work.streams;
        *short = short.saturating_add(1);
        self.streams = self.streams.saturating_add(1);
        // Halving both keeps the ratio and lets old counts fade.
        if self.streams > self.limits.premature_reset_streams.saturating_mul(8) {
            self.streams /= 2;
            self.premature /= 2;
        }
    }

    /// Counts a reset by the peer of a stream that was opened at `opened`.
    pub fn reset(&mut self, opened: Millis, now: Millis) -> Verdict {
        let budget = self.limits.resets;
        if !within(&mut self.long(now).resets, budget) {
            return self.spent(Fault::Resets, "too many resets");
        }
        if now.saturating_sub(opened) < PREMATURE_MS {
            self.premature = self.premature.saturating_add(1);
        }
        let enough = self.streams >= self.limits.premature_reset_streams;
        if enough && self.premature > self.streams / 2 {
            return self.spent(Fault::PrematureResets, "too many premature resets");
        }
        Ok(())
    }

    /// Counts a stream that we had to reset for an error of the peer.
    pub fn error(&mut self, now: Millis) -> Verdict {
        let budget = self.limits.errors;
        if within(&mut self.long(now).errors, budget) {
            return Ok(());
        }
        self.spent(Fault::Errors, "too many stream errors")
    }
}
