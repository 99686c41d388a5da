//! Writing what a connection has to say, to its end.

use std::task::{Context, Poll};
use std::time::Duration;

use super::super::io::Io;
use super::super::socket::unsent;
use super::{Closed, Core, Phase};
use crate::http1;
use crate::model::Time;

/// The longest time between two writes of a flow.
const FLOW_GAP: Duration = Duration::from_millis(5);

impl Core {
    /// Writes what there is, as far as the socket takes it.
    pub fn write(&mut self, cx: &mut Context<'_>, now: Time) -> std::io::Result<()> {
        if matches!(self.phase, Phase::Closed(_)) {
            return Ok(());
        }
        self.guard();
        let written = self.write_out(cx, now)?;
        if self.codec.http1().is_some_and(http1::Connection::is_broken_off) {
            self.end(self.reason());
        } else if written {
            self.guard();
            let lingers = |phase| matches!(phase, Phase::Lingering(..));
            let half_closed = self.codec.http1().is_some_and(http1::Connection::is_half_closed);
            if self.finish(now) || lingers(self.phase) || half_closed {
                let _ = self.io.poll_shutdown(cx)?; // a pending one is cut short by the linger time
            }
        }
        Ok(())
    }

    /// Writes what the socket takes; whether that was all.
    fn write_out(&mut self, cx: &mut Context<'_>, now: Time) -> std::io::Result<bool> {
        loop {
            self.codec.pump();
            let waiting = self.codec.output_len();
            if waiting == 0 {
                break;
            }
            if self.deaf {
                self.codec.output().advance(waiting);
                continue;
            }
            match self.io.poll_write(cx, self.codec.output().bytes()) {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.codec.output().advance(n);
                    self.codec.hold(n < waiting);
                    self.lend()?;
                    (self.written, self.has_spoken) = (now, false);
                    if matches!(self.io, Io::Plain(_)) {
                        self.stalled = None; // under TLS it has only been taken to be sent
                    }
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.codec.hold(true);
                    self.note_stalled(now);
                    return Ok(false);
                }
            }
        }
        if self.deaf {
            return Ok(true);
        }
        match self.io.poll_flush(cx) {
            Poll::Ready(result) => {
                self.stalled = None;
                result?;
                Ok(true)
            }
            Poll::Pending => {
                self.note_stalled(now);
                Ok(false)
            }
        }
    }

    /// Has the system take more ahead of a client that has read much.
    fn lend(&mut self) -> std::io::Result<()> {
        let now = unsent(self.codec.output().gone());
        match &mut self.unsent {
            Some(before) if *before < now => {
                *before = now;
                self.io.bound_unsent(now)
            }
            _ => Ok(()),
        }
    }

    /// Sees to it that a message which ends with the connection is not taken for whole if the
    /// connection ends before, for whatever reason.
    fn guard(&mut self) {
        let open = self.codec.http1().is_some_and(|h1| {
            h1.ends_by_close() && (h1.is_busy() || h1.is_broken_off() || h1.output_len() > 0)
        });
        if open != self.guarded {
            self.io.reset_on_close(open);
            self.guarded = open;
        }
    }

    /// The peer takes nothing.
    fn note_stalled(&mut self, now: Time) {
        if self.stalled.is_none() {
            self.stalled = Some(now);
            self.alarm.note(now + self.codec.limits().write_stall_timeout);
        }
    }

    /// Notes whether any stream is open. Whether that was all: none is, and none will be.
    fn finish(&mut self, now: Time) -> bool {
        if self.codec.is_busy() {
            self.idle = None;
            if self.codec.http1().is_some_and(http1::Connection::is_discarding) {
                self.note_unfinished(now);
            }
            return false;
        }
        self.note_idle(now);
        if self.phase == Phase::Open && self.codec.is_leaving() && self.codec.output_len() == 0 {
            self.linger(self.reason(), now);
            return true;
        }
        false
    }

    /// Why a connection ends that has no more to carry.
    pub fn reason(&self) -> Closed {
        match (self.codec.retired(), self.leaving) {
            (Some(fault), _) => Closed::Fault(fault),
            (None, Some((_, why))) => why,
            (None, None) => Closed::Peer,
        }
    }

    /// How much output there is, if it is a piece of what goes on and on while the peer says
    /// nothing.
    pub fn flow(&self, now: Time) -> Option<usize> {
        let goes_on = now.since(self.written) < FLOW_GAP && !self.has_spoken;
        goes_on.then(|| self.codec.output_len())
    }
}
