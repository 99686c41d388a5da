//! The journal's file: opened, appended to, and written anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::counters::{Counters, Failure};
use super::disk::{Disk, Lock, LogFile};
use super::error::JournalError;
use super::image::Image;
use super::line::{self, MAX_LINE, Now};
use super::replay::{Replay, replay};
use crate::clock::{self, Clock};
use crate::overrides::{ChangeRecord, NotKept, RecordKind};

/// Maximum size of the file. It is written anew long before.
const MAX_FILE: u64 = 256 << 20;
/// From this size on it is written anew once it is this many times what it was when it was new.
const SMALL: u64 = 1 << 20;
const GROWTH: u64 = 4;

/// Changes that wait to be kept together.
pub(super) type Records = Vec<Arc<ChangeRecord>>;

/// Whether those who wait for a batch still do.
#[derive(Debug, Default)]
pub(super) struct Patience(AtomicU8);

impl Patience {
    const WAITING: u8 = 0;
    const DONE: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn settle(&self, to: u8) -> bool {
        let order = Ordering::AcqRel;
        self.0.compare_exchange(Patience::WAITING, to, order, Ordering::Acquire).is_ok()
    }

    /// Gives up, unless the batch is kept already.
    pub(super) fn give_up(&self) -> bool {
        self.settle(Patience::GIVEN_UP)
    }
}

/// The file, and what it holds.
#[derive(Debug)]
pub(super) struct JournalFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) image: Image,
    /// `None` after a failure, until a whole new file stands.
    log: Option<Box<dyn LogFile>>,
    /// Its bytes.
    size: u64,
    /// Its bytes when it was written anew.
    new_size: u64,
    /// Held until the end.
    _lock: Box<dyn Lock>,
}

impl JournalFile {
    /// Opens or creates the journal, and reads it.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Result<JournalFile, JournalError> {
        let fail = |what, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { what, path, source }
        };
        let lock_path = beside(path, ".lock");
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => JournalError::Locked { path: path.to_owned() },
            _ => fail("lock", &lock_path)(error),
        })?;
        let content = disk.read(path, MAX_FILE).map_err(fail("read", path))?;
        let now = Now { time: clock.now(), wall: clock::wall() };
        let is_new = content.is_none();
        let content = content.unwrap_or_default();
        let read = replay(&content, now);
        let read =
            read.map_err(|version| JournalError::Newer { path: path.to_owned(), version })?;
        if read.good == 0 && !line::is_journal(&content) {
            return Err(JournalError::Foreign { path: path.to_owned() });
        }
        let size = content.len() as u64;
        let is_damaged = read.torn > 0 || read.damages > 0 || read.good == 0;
        let mut file = JournalFile {
            disk,
            path: path.to_owned(),
            clock,
            counters,
            image: Image::default(),
            log: None,
            size,
            new_size: SMALL,
            _lock: lock,
        };
        if !is_new {
            file.tell(&read).map_err(fail("set aside", path))?;
        }
        file.image = read.image;
        if is_damaged {
            file.write_anew().map_err(fail("write", path))?;
        } else {
            file.log = Some(file.disk.open(path).map_err(fail("open", path))?);
        }
        Ok(file)
    }

    /// Tells what is damaged. A file with damage in its midst is set aside.
    fn tell(&self, read: &Replay) -> std::io::Result<()> {
        let (path, bytes) = (self.path.display(), read.torn);
        if bytes > 0 {
            self.counters.count(Failure::Torn);
            tracing::warn!(
                %path,
                bytes,
                "the last line of the journal of overrides was not written to its end, and is cut \
                 off: a change that nobody was told of",
            );
        }
        if read.damages > 0 {
            self.counters.count(Failure::Corrupt);
            let aside = self.aside();
            self.disk.set_aside(&self.path, &aside)?;
            self.disk.sync_folder(&self.path)?;
            let numbers: Vec<String> = read.damaged.iter().map(ToString::to_string).collect();
            let (lines, count, good) = (numbers.join(", "), read.damages, read.good);
            let aside = aside.display();
            tracing::error!(
                %path,
                lines,
                count,
                good,
                %aside,
                "the journal of overrides is damaged: its good lines are in effect, and the file is \
                 kept aside",
            );
        }
        Ok(())
    }

    /// Whether changes can be kept.
    pub(super) fn is_up(&self) -> bool {
        self.log.is_some()
    }

    /// After a failure that has left who knows what: nothing is appended until a whole new file stands.
    pub(super) fn distrust(&mut self) {
        self.log = None;
    }

    /// Appends the changes of several callers, and syncs once; a result for each. Where nobody waits
    /// any more, they are not kept.
    pub(super) fn append(
        &mut self,
        batch: &[Records],
        patience: &Patience,
    ) -> Vec<Result<(), NotKept>> {
        let mut lines = Vec::new();
        let encoded: Vec<Result<bool, NotKept>> =
            batch.iter().map(|records| self.encode(records, &mut lines)).collect();
        let written = if lines.is_empty() { Ok(()) } else { self.write(&lines, patience) };
        if let Ok(()) = &written {
            for (records, encoded) in batch.iter().zip(&encoded) {
                if encoded.is_ok() {
                    records.iter().for_each(|record| self.image.apply(record));
                }
            }
            return encoded.into_iter().map(|encoded| encoded.map(drop)).collect();
        }
        // What is no longer configured has ended in any case.
        let ends = batch.iter().flatten().filter(|record| record.kind != RecordKind::Change);
        ends.for_each(|record| self.image.apply(record));
        // So that no change is found in the file after a restart that was answered with a failure.
        let anew = self.write_anew();
        let result = |(records, encoded): (&Records, Result<bool, NotKept>)| {
            let ended = records.iter().all(|record| record.kind != RecordKind::Change);
            match (encoded, &written) {
                (Err(error), _) => Err(error),
                (Ok(_), _) if ended && anew.is_ok() => Ok(()),
                (Ok(_), Err(error)) => Err(error.clone()),
                (Ok(_), Ok(())) => Ok(()),
            }
        };
        batch.iter().zip(encoded).map(result).collect()
    }

    /// Adds the lines of changes to `lines`, unless one is too long. An end of what the journal does
    /// not hold needs no line.
    fn encode(&self, records: &Records, lines: &mut Vec<u8>) -> Result<bool, NotKept> {
        let before = lines.len();
        for record in records {
            if record.kind == RecordKind::Gone && !self.image.has(&record.subject) {
                continue;
            }
            let line = line::record(record, false).map_err(|error| NotKept(error.to_string()))?;
            if line.len() > MAX_LINE {
                lines.truncate(before);
                let message =
                    "the change is too large for the journal of overrides: make it in parts";
                return Err(NotKept(message.into()));
            }
            lines.extend(line.as_bytes());
        }
        Ok(lines.len() > before)
    }

    /// Writes lines, and syncs them.
    fn write(&mut self, lines: &[u8], patience: &Patience) -> Result<(), NotKept> {
        self.reclaim()?;
        self.make_room(lines.len() as u64)?;
        let Some(log) = &mut self.log else { return Err(self.down()) };
        let written = log.append(lines).map_err(|error| (Failure::Write, error));
        let synced = written.and_then(|()| log.sync().map_err(|error| (Failure::Sync, error)));
        if let Err((failure, error)) = synced {
            self.counters.count(failure);
            self.log = None;
            return Err(self.failed(&error));
        }
        if !patience.settle(Patience::DONE) {
            self.log = None;
            return Err(self.down());
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Writes the file anew if it is not as it was left. What is in its place now is set aside.
    fn reclaim(&mut self) -> Result<(), NotKept> {
        if self.log.as_ref().is_none_or(|log| log.is_at(&self.path, self.size)) {
            return Ok(());
        }
        self.counters.count(Failure::Corrupt);
        let aside = self.aside();
        let kept = match self.disk.set_aside(&self.path, &aside) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        let (path, aside) = (self.path.display(), aside.display());
        tracing::error!(
            %path,
            %aside,
            "somebody else has removed or changed the journal of overrides: it is written anew, and \
             what was there is kept aside",
        );
        let written = kept.and_then(|()| self.write_anew());
        if written.is_err() {
            self.log = None;
        }
        written.map_err(|error| self.failed(&error))
    }

    /// Where a damaged file is kept.
    fn aside(&self) -> PathBuf {
        let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        beside(&self.path, &format!(".damaged-{}", since.as_millis()))
    }

    /// Has a whole file stand that is small enough for `more` bytes.
    fn make_room(&mut self, more: u64) -> Result<(), NotKept> {
        let grown = self.size + more > SMALL.max(GROWTH * self.new_size);
        if self.log.is_some() && !grown {
            return Ok(());
        }
        match self.write_anew() {
            Ok(()) => {}
            Err(error) if self.log.is_none() => return Err(self.failed(&error)),
            Err(_) => self.new_size = self.size, // it stands, and is tried again when it has grown
        }
        if self.size + more > MAX_FILE {
            let message = format!(
                "the journal of overrides {} is full: take changes back with `ctl reset`",
                self.path.display()
            );
            return Err(NotKept(message));
        }
        Ok(())
    }

    /// Writes a new file and puts it in the place of the old one.
    fn write_anew(&mut self) -> std::io::Result<()> {
        let written = self.replace();
        if let Err(error) = &written {
            self.counters.count(Failure::Rewrite);
            let path = self.path.display();
            tracing::error!(%path, %error, "cannot write the journal of overrides anew");
        }
        written
    }

    fn replace(&mut self) -> std::io::Result<()> {
        let lines = self.image.lines(self.clock.now(), clock::wall())?;
        let new = beside(&self.path, ".new");
        let mut log = self.disk.create(&new)?;
        log.append(&lines)?;
        log.sync()?;
        self.disk.rename(&new, &self.path)?;
        // From here on either file may be found after a loss of power, until the folder is synced.
        self.log = None;
        self.disk.sync_folder(&self.path)?;
        self.log = Some(log);
        (self.size, self.new_size) = (lines.len() as u64, lines.len() as u64);
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> NotKept {
        NotKept(format!(
            "the change is not in effect: the journal of overrides {} cannot be written: {error}; \
             should the gateway die before it can be, the change may be in effect afterwards",
            self.path.display()
        ))
    }

    fn down(&self) -> NotKept {
        self.failed(&std::io::Error::other("it does not answer"))
    }
}

/// The path with something added to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
