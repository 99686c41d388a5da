//! Writing the output to the socket, up to the shutdown.

use std::task::{Context, Poll};
use std::time::Duration;

use super::super::io::Io;
use super::super::socket::unsent;
use super::{Closed, ConnState, Phase};
use crate::http::Connection;
use crate::http1;
use crate::model::Time;

/// Writes further apart than this do not count as a bulk stream.
const BULK_GAP: Duration = Duration::from_millis(5);

impl ConnState {
    /// Writes what the socket accepts.
    pub fn write(&mut self, cx: &mut Context<'_>, now: Time) -> std::io::Result<()> {
        if matches!(self.phase, Phase::Closed(_)) {
            return Ok(());
        }
        self.arm_reset();
        let written = self.write_out(cx, now)?;
        if self.codec.http1().is_some_and(http1::Connection::is_truncated) {
            self.end(self.reason());
        } else if written {
            self.arm_reset();
            let lingers = |phase| matches!(phase, Phase::Lingering(..));
            let half_closed = self.codec.http1().is_some_and(http1::Connection::is_half_closed);
            if self.finish(now) || lingers(self.phase) || half_closed {
                let _ = self.io.poll_shutdown(cx)?; // the linger timeout bounds a pending one
            }
        }
        Ok(())
    }

    /// Writes what the socket accepts; whether that was all.
    fn write_out(&mut self, cx: &mut Context<'_>, now: Time) -> std::io::Result<bool> {
        loop {
            self.codec.pump();
            let waiting = self.codec.output_len();
            if waiting == 0 {
                break;
            }
            if self.write_closed {
                self.codec.output().advance(waiting);
                continue;
            }
            match self.io.poll_write(cx, self.codec.output().bytes()) {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.codec.output().advance(n);
                    self.codec.hold(n < waiting);
                    self.raise_unsent_bound()?;
                    (self.written, self.peer_active) = (now, false);
                    if matches!(self.io, Io::Plain(_)) {
                        self.stalled = None; // under TLS it was only taken into the record buffer
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
        if self.write_closed {
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

    /// Raises TCP_NOTSENT_LOWAT for a client that has proved to read.
    fn raise_unsent_bound(&mut self) -> std::io::Result<()> {
        let now = unsent(self.codec.output().total_written());
        match &mut self.unsent {
            Some(before) if *before < now => {
                *before = now;
                self.io.bound_unsent(now)
            }
            _ => Ok(()),
        }
    }

    /// Arms a TCP RST on close while a message delimited by end of connection is incomplete, so that it is
    /// never mistaken for a complete one.
    fn arm_reset(&mut self) {
        let open = self.codec.http1().is_some_and(|h1| {
            h1.ends_by_close() && (h1.is_busy() || h1.is_truncated() || h1.output_len() > 0)
        });
        if open != self.reset_armed {
            self.io.reset_on_close(open);
            self.reset_armed = open;
        }
    }

    /// Starts the write-stall timeout.
    fn note_stalled(&mut self, now: Time) {
        if self.stalled.is_none() {
            self.stalled = Some(now);
            self.alarm.note(now + self.codec.limits().write_stall_timeout);
        }
    }

    /// Updates the idle state. Whether the connection is done: no stream is open and none will be.
    fn finish(&mut self, now: Time) -> bool {
        if self.codec.is_busy() {
            if self.idle.take().is_some() {
                self.note_owed(now);
            }
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

    /// The close reason of a connection that has nothing more to carry.
    pub fn reason(&self) -> Closed {
        match (self.codec.retired(), self.leaving) {
            (Some(fault), _) => Closed::Fault(fault),
            (None, Some((_, why))) => why,
            (None, None) => Closed::Peer,
        }
    }

    /// Pending bytes if this is a bulk stream with no recent peer input.
    pub fn bulk_output(&self, now: Time) -> Option<usize> {
        let goes_on = now.since(self.written) < BULK_GAP && !self.peer_active;
        goes_on.then(|| self.codec.output_len())
    }
}
