//! In-memory connections for tests and the simulation: a socket pair whose faults (stalls, resets,
//! small reads) are injected through its [`Wire`].
//!
//! Deterministic: without system calls, threads and time, the same operations have the same effect,
//! to the byte.

mod listener;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use self::listener::{Dial, MemoryListener};

/// One end of an in-memory connection.
#[derive(Debug)]
pub struct Memory {
    wire: Wire,
    /// The direction that it writes to.
    out: PipeDirection,
}

/// A direction of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeDirection {
    /// From the first end to the second.
    Forward,
    /// From the second end to the first.
    Backward,
}

impl PipeDirection {
    const fn other(self) -> PipeDirection {
        match self {
            PipeDirection::Forward => PipeDirection::Backward,
            PipeDirection::Backward => PipeDirection::Forward,
        }
    }
}

/// The link between both ends, for injecting faults.
#[derive(Clone, Debug)]
#[expect(clippy::disallowed_types)] // the lock is held for one copy, and almost always by one thread
pub struct Wire(Arc<std::sync::Mutex<State>>);

#[derive(Debug)]
struct State {
    /// One pipe for each direction.
    pipes: [Pipe; 2],
    reset: bool,
    /// Wakers to wake after the lock is released: waking may drop a task, and with it an end of the
    /// connection.
    woken: Vec<Waker>,
}

/// One direction and the bytes in transit.
#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Its capacity.
    capacity: usize,
    /// Maximum of bytes per read or write.
    limit: usize,
    /// Stalled: nothing is delivered for now.
    stalled: bool,
    /// The writer has shut down.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    /// Its writer resets the connection on close (SO_LINGER 0).
    reset_on_close: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(capacity: usize) -> Pipe {
        Pipe {
            bytes: VecDeque::new(),
            capacity,
            limit: usize::MAX,
            stalled: false,
            ended: false,
            abandoned: false,
            reset_on_close: false,
            reader: None,
            writer: None,
        }
    }

    /// Takes the wakers of reader and writer.
    fn take_both(&mut self) -> impl Iterator<Item = Waker> {
        [self.reader.take(), self.writer.take()].into_iter().flatten()
    }
}

impl State {
    fn pipe(&mut self, direction: PipeDirection) -> &mut Pipe {
        let [forth, back] = &mut self.pipes;
        match direction {
            PipeDirection::Forward => forth,
            PipeDirection::Backward => back,
        }
    }

    fn reset(&mut self) {
        self.reset = true;
        for pipe in &mut self.pipes {
            pipe.bytes.clear();
            self.woken.extend(pipe.take_both());
        }
    }

    /// Wakes the reader and the writer of this direction.
    fn wake(&mut self, direction: PipeDirection) {
        let [forth, back] = &mut self.pipes;
        let pipe = if direction == PipeDirection::Forward { forth } else { back };
        self.woken.extend(pipe.take_both());
    }

    /// The end that writes this direction is closed. As with TCP, if input was or will be left
    /// unread here the other end gets a reset, which destroys what it has not read.
    fn close(&mut self, out: PipeDirection) {
        let back = self.pipe(out.other());
        back.abandoned = true;
        if !back.bytes.is_empty() || self.pipe(out).reset_on_close {
            return self.reset();
        }
        self.pipe(out).ended = true;
        self.wake(out);
    }
}

impl Wire {
    /// Runs `act` on the locked state, then wakes the collected wakers.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut state);
        let woken = std::mem::take(&mut state.woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Stalls a direction, or resumes it. Meanwhile writes are buffered up to its capacity.
    pub fn stall(&self, direction: PipeDirection, stalled: bool) {
        self.with(|state| {
            state.pipe(direction).stalled = stalled;
            state.wake(direction);
        });
    }

    /// Limits each read and write of a direction to `limit` bytes.
    pub fn limit_reads_and_writes(&self, direction: PipeDirection, limit: usize) {
        self.with(|state| state.pipe(direction).limit = limit.max(1));
    }

    /// Resets the connection: both ends fail from now on, and bytes in transit are lost.
    pub fn reset(&self) {
        self.with(State::reset);
    }

    /// Bytes in transit.
    pub fn in_transit(&self, direction: PipeDirection) -> usize {
        self.with(|state| state.pipe(direction).bytes.len())
    }
}

impl Memory {
    /// A connected pair with a capacity of `capacity` bytes each way, at least one.
    #[expect(clippy::disallowed_types)] // as above
    pub fn pair(capacity: usize) -> (Memory, Memory) {
        let pipes = [(); 2].map(|()| Pipe::new(capacity.max(1)));
        let wire =
            Wire(Arc::new(std::sync::Mutex::new(State { pipes, reset: false, woken: Vec::new() })));
        (
            Memory { wire: wire.clone(), out: PipeDirection::Forward },
            Memory { wire, out: PipeDirection::Backward },
        )
    }

    /// The link to the other end.
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// Whether the connection was reset.
    pub(super) fn has_failed(&self) -> bool {
        self.wire.with(|state| state.reset)
    }

    /// Whether closing resets the connection or ends it in order.
    pub(super) fn reset_on_close(&self, reset: bool) {
        self.wire.with(|state| state.pipe(self.out).reset_on_close = reset);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.wire.with(|state| state.close(self.out));
    }
}

impl State {
    fn read(
        &mut self,
        direction: PipeDirection,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let pipe = self.pipe(direction);
        if pipe.stalled || (pipe.bytes.is_empty() && !pipe.ended) {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = pipe.bytes.len().min(pipe.limit).min(buffer.remaining());
        let (first, second) = pipe.bytes.as_slices();
        let first = first.get(..n).unwrap_or(first);
        buffer.put_slice(first);
        buffer.put_slice(second.get(..n - first.len()).unwrap_or_default());
        pipe.bytes.drain(..n);
        let writer = pipe.writer.take();
        self.woken.extend(writer);
        Poll::Ready(Ok(()))
    }

    fn write(
        &mut self,
        direction: PipeDirection,
        cx: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let pipe = self.pipe(direction);
        if pipe.ended {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if pipe.abandoned {
            self.reset();
            return Poll::Ready(Ok(bytes.len())); // as with TCP the write succeeds, and a reset answers it
        }
        let room = pipe.capacity.saturating_sub(pipe.bytes.len());
        if room == 0 && !bytes.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = bytes.len().min(room).min(pipe.limit);
        pipe.bytes.extend(bytes.iter().take(n));
        let reader = pipe.reader.take();
        self.woken.extend(reader);
        Poll::Ready(Ok(n))
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wire.with(|state| state.read(self.out.other(), cx, buffer))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.with(|state| state.write(self.out, cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.with(|state| {
            state.pipe(self.out).ended = true;
            state.wake(self.out);
        });
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn kind<T>(result: impl Future<Output = io::Result<T>>) -> ErrorKind {
        result.await.map(drop).unwrap_err().kind()
    }

    /// Whether `work` is still pending once all other tasks are idle.
    async fn waits<T>(work: impl Future<Output = T>) -> bool {
        tokio::time::timeout(std::time::Duration::from_secs(1), work).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_in_order_and_wait_for_room() {
        let (mut near, mut far) = Memory::pair(8);
        let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let (sent, wanted) = (all.clone(), all.clone());
        let send = tokio::spawn(async move {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut answer = Vec::new();
            near.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, all);
        far.write_all(b"half closed is not closed").await.unwrap();
        drop(far);
        assert_eq!(send.await.unwrap(), b"half closed is not closed");
        assert_eq!(wanted.len(), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_one_takes_no_more() {
        let (mut near, mut far) = Memory::pair(8);
        assert_eq!(near.write(b"0123456789").await.unwrap(), 8);
        assert_eq!(near.wire().in_transit(PipeDirection::Forward), 8);
        assert!(waits(near.write(b"89")).await);
        assert_eq!(far.read(&mut [0; 3]).await.unwrap(), 3);
        assert_eq!(near.write(b"89abcd").await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_stalled_arrives_later() {
        let (mut near, mut far) = Memory::pair(64);
        let wire = far.wire();
        wire.stall(PipeDirection::Forward, true);
        near.write_all(b"hello").await.unwrap();
        assert!(waits(far.read(&mut [0; 8])).await);
        far.write_all(b"the other way goes on").await.unwrap();
        assert_eq!(near.read(&mut [0; 64]).await.unwrap(), 21);
        let read = tokio::spawn(async move { far.read(&mut [0; 8]).await.unwrap() });
        tokio::task::yield_now().await;
        wire.stall(PipeDirection::Forward, false);
        assert_eq!(read.await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn it_moves_in_pieces_if_told_to() {
        let (mut near, mut far) = Memory::pair(64);
        near.wire().limit_reads_and_writes(PipeDirection::Forward, 3);
        assert_eq!(near.write(b"0123456789").await.unwrap(), 3);
        near.write_all(b"3456789").await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_takes_what_was_under_way_and_tells_both() {
        let (mut near, mut far) = Memory::pair(64);
        near.write_all(b"lost").await.unwrap();
        let wire = near.wire();
        let waiting = tokio::spawn(async move { kind(near.read(&mut [0; 8])).await });
        tokio::task::yield_now().await;
        wire.reset();
        assert_eq!(waiting.await.unwrap(), ErrorKind::ConnectionReset);
        assert_eq!(kind(far.read(&mut [0; 8])).await, ErrorKind::ConnectionReset);
        assert_eq!(kind(far.write(b"x")).await, ErrorKind::ConnectionReset);
        assert!(far.has_failed());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_or_resets_as_with_tcp() {
        // An orderly close: what was written arrives, then the end.
        let (mut near, mut far) = Memory::pair(64);
        near.write_all(b"bye").await.unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 3);
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        // Writing to a closed peer fails only afterwards.
        assert_eq!(far.write(b"too late").await.unwrap(), 8);
        assert_eq!(kind(far.write(b"x")).await, ErrorKind::ConnectionReset);

        // Closing with unread input resets.
        let (near, mut far) = Memory::pair(64);
        far.write_all(b"unread").await.unwrap();
        drop(near);
        assert_eq!(kind(far.read(&mut [0; 8])).await, ErrorKind::ConnectionReset);

        // Closing resets where it was asked to.
        let (mut near, mut far) = Memory::pair(64);
        near.write_all(b"half of a message").await.unwrap();
        near.reset_on_close(true);
        drop(near);
        assert_eq!(kind(far.read(&mut [0; 64])).await, ErrorKind::ConnectionReset);
    }

    #[tokio::test(start_paused = true)]
    async fn no_writes_after_shutdown() {
        let (mut near, _far) = Memory::pair(64);
        near.shutdown().await.unwrap();
        assert_eq!(kind(near.write(b"x")).await, ErrorKind::BrokenPipe);
    }
}
