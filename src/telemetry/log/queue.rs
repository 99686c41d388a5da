//! Log queue: bounded in bytes, drained by one writer thread. Logging never blocks and never fails;
//! what does not fit is dropped and counted.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// What a line costs beside its bytes.
const OVERHEAD: usize = 64;

/// Retry interval while the output would block.
const RETRY: Duration = Duration::from_millis(20);

/// The sending half. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Bounded by [`Account::take`], in bytes; a bound in lines would not limit memory.
    sender: Sender<Entry>,
    account: Arc<Account>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Answered when everything before it was written or dropped.
    Flush(SyncSender<()>),
}

/// Queued bytes, and dropped lines.
#[derive(Debug)]
struct Account {
    limit: usize,
    waiting: AtomicUsize,
    full: AtomicU64,
    unwritable: AtomicU64,
}

/// Dropped lines, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The queue was full: the log's reader is too slow, or stopped.
    pub full: u64,
    /// Writing failed: the disk is full, or the log's reader is gone.
    pub unwritable: u64,
}

impl Account {
    fn new(limit: usize) -> Account {
        let (waiting, full, unwritable) = Default::default();
        Account { limit, waiting, full, unwritable }
    }

    /// Reserves room for a line of this cost; false if there is none.
    fn take(&self, cost: usize) -> bool {
        let room = |waiting: usize| waiting.checked_add(cost).filter(|all| *all <= self.limit);
        self.waiting.fetch_update(Relaxed, Relaxed, room).is_ok()
    }

    fn release(&self, cost: usize) {
        self.waiting.fetch_sub(cost, Relaxed);
    }

    fn dropped(&self) -> Dropped {
        Dropped { full: self.full.load(Relaxed), unwritable: self.unwritable.load(Relaxed) }
    }
}

impl Queue {
    /// A queue of at most `limit` bytes, and the thread that drains it into `out`. Once writing
    /// works again, `tell` logs how many lines were dropped.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        limit: usize,
        out: impl Write + Send + 'static,
        tell: fn(u64),
    ) -> io::Result<Queue> {
        let (sender, inbox) = mpsc::channel();
        let account = Arc::new(Account::new(limit));
        let writer = Writer::new(out, Arc::clone(&account), tell);
        thread::Builder::new().name("log".into()).spawn(move || writer.run(&inbox))?;
        Ok(Queue { sender, account })
    }

    fn push(&self, line: &[u8]) {
        let cost = line.len() + OVERHEAD;
        if !self.account.take(cost) {
            self.account.full.fetch_add(1, Relaxed);
        } else if self.sender.send(Entry::Line(line.to_vec())).is_err() {
            self.account.unwritable.fetch_add(1, Relaxed);
            self.account.release(cost);
        }
    }

    /// Waits until everything queued so far was written or dropped, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, flushed) = mpsc::sync_channel(1);
        if self.sender.send(Entry::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(patience); // on timeout the rest is lost
        }
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.account.dropped()
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> &'a Queue {
        self
    }
}

/// One write call is one line.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The receiving half: writes queued lines to the output.
struct Writer<W> {
    out: W,
    account: Arc<Account>,
    /// A line was written in part and lacks its end.
    torn: bool,
    tell: fn(u64),
    /// Dropped lines that were reported, and how many of these reports are known to be written.
    reported: u64,
    read: u64,
}

impl<W: Write> Writer<W> {
    fn new(out: W, account: Arc<Account>, tell: fn(u64)) -> Writer<W> {
        Writer { out, account, torn: false, tell, reported: 0, read: 0 }
    }

    fn run(mut self, inbox: &Receiver<Entry>) {
        while let Ok(entry) = inbox.recv() {
            match entry {
                Entry::Line(line) => self.take(&line),
                Entry::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let written = self.write(line).is_ok();
        self.account.release(line.len() + OVERHEAD);
        if written {
            self.report_dropped();
        } else {
            self.account.unwritable.fetch_add(1, Relaxed);
            self.reported = self.read; // the report itself may have been lost
        }
    }

    fn report_dropped(&mut self) {
        let waiting = self.account.waiting.load(Relaxed);
        if waiting == 0 {
            self.read = self.reported;
        }
        let Dropped { full, unwritable } = self.account.dropped();
        let dropped = full + unwritable;
        // Only while the queue is nearly empty, so that the report itself is not dropped.
        if dropped > self.reported && waiting <= self.account.limit / 2 {
            (self.tell)(dropped - self.reported);
            self.reported = dropped;
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_whole(b"\n")?;
            self.torn = false;
        }
        self.write_whole(line)
    }

    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with limited room; each line sees the room left at that time.
    #[derive(Default)]
    struct Disk {
        room: usize,
        text: String,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            if fits == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= fits;
            self.text.push_str(std::str::from_utf8(&bytes[..fits]).unwrap());
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer(room: usize, tell: fn(u64)) -> Writer<Disk> {
        let disk = Disk { room, ..Disk::default() };
        Writer::new(disk, Arc::new(Account::new(1 << 20)), tell)
    }

    fn take(writer: &mut Writer<Disk>, line: &str) {
        assert!(writer.account.take(line.len() + OVERHEAD));
        writer.take(line.as_bytes());
    }

    #[test]
    fn a_line_that_does_not_fit_is_dropped_and_later_ones_are_not() {
        let mut writer = writer(9, |_| {});
        for line in ["first\n", "second\n", "third\n"] {
            take(&mut writer, line);
        }
        assert_eq!(writer.account.dropped(), Dropped { full: 0, unwritable: 2 });
        writer.out.room = 100;
        take(&mut writer, "fourth\n");
        assert_eq!(writer.out.text, "first\nsec\nfourth\n", "a line begins where a line begins");
        assert_eq!(writer.account.waiting.load(Relaxed), 0);
    }

    #[test]
    fn dropped_lines_are_reported_until_the_report_is_written() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let mut writer = writer(0, |lines| TOLD.store(lines, Relaxed));
        let mut is_told = |line: &str, room: usize| {
            writer.out.room = room;
            TOLD.store(0, Relaxed);
            take(&mut writer, line);
            TOLD.load(Relaxed)
        };
        assert_eq!(is_told("lost\n", 0), 0, "nobody could read it");
        assert_eq!(is_told("there\n", 100), 1);
        assert_eq!(is_told("1 was dropped\n", 0), 0);
        assert_eq!(is_told("there\n", 100), 2, "the word of it was dropped as well");
        assert_eq!(is_told("2 were dropped\n", 100), 0);
        assert_eq!(is_told("there\n", 100), 0, "once");
    }

    #[test]
    fn a_full_queue_drops_lines_without_blocking() {
        let (sender, inbox) = mpsc::channel();
        let queue = Queue { sender, account: Arc::new(Account::new(3 * (10 + OVERHEAD))) };
        for _ in 0..5 {
            (&queue).write_all(b"ten bytes\n").unwrap();
        }
        queue.flush(Duration::from_millis(1)); // nothing drains this queue
        assert_eq!(queue.dropped(), Dropped { full: 2, unwritable: 0 });
        assert_eq!(inbox.try_iter().filter(|e| matches!(e, Entry::Line(_))).count(), 3);
        drop(inbox);
        queue.account.release(3 * (10 + OVERHEAD));
        (&queue).write_all(b"ten bytes\n").unwrap();
        assert_eq!(queue.dropped(), Dropped { full: 2, unwritable: 1 });
    }
}
