//! The writer of the audit: a task that appends what all ask for, in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::counters::{AuditCounters, AuditFailure};
use super::entry::{Entry, Event};
use super::file::{AuditError, AuditFile};
use super::inbox::{Inbox, Purpose, Request, Written};
use super::recovery;
use crate::clock::Clock;
use crate::overrides::{Author, ChangeRecord, NotKept, Store};

/// Requests that wait to be written.
const QUEUE: usize = 1024;
/// Requests that share a sync.
const MAX_BATCH: usize = 256;
/// How long a change waits for the disk in strict mode, and else, each before and after it.
const PATIENCE: Duration = Duration::from_secs(5);
const LAX_PATIENCE: Duration = Duration::from_secs(1);

/// The audit.
#[derive(Debug)]
pub struct Audit {
    strict: bool,
    requests: mpsc::Sender<Request>,
    inbox: Mutex<Inbox>,
    file: Arc<Mutex<AuditFile>>,
    counters: Arc<AuditCounters>,
    clock: Clock,
}

impl Audit {
    /// Opens the file, or begins it, and writes what became of the changes that have no result there:
    /// `store` knows. Blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(
        path: &Path,
        strict: bool,
        store: &dyn Store,
        clock: Clock,
    ) -> Result<Audit, AuditError> {
        let mut file = AuditFile::open(path)?;
        let tail = file.tail();
        let left = recovery::read(&tail.map_err(|error| file.error(error))?);
        ChangeRecord::number_above(left.sequence);
        let mut lines = Entry::opened("the gateway starts").line();
        lines.extend(left.results(store).iter().map(Entry::line));
        let written = file.append(&lines, strict);
        written.map_err(|error| file.error(error))?;
        let (requests, receiver) = mpsc::channel(QUEUE);
        Ok(Audit {
            strict,
            requests,
            inbox: Mutex::new(Inbox::new(receiver, clock)),
            file: Arc::new(Mutex::new(file)),
            counters: Arc::default(),
            clock,
        })
    }

    /// Counters of failures.
    pub fn counters(&self) -> &Arc<AuditCounters> {
        &self.counters
    }

    /// Writes that changes are about to be made. In strict mode that is on the disk afterwards.
    ///
    /// # Errors
    /// In strict mode: it is not, and they must not be made.
    pub async fn intend(&self, intents: Vec<Entry>) -> Result<(), NotKept> {
        let written = self.written(Purpose::Intent, intents).await;
        match written {
            Err(why) if self.strict => Err(NotKept(format!(
                "the change is not in effect: the audit, which is strict, cannot be written: {why}"
            ))),
            _ => Ok(()),
        }
    }

    /// Writes what became of changes. It is written afterwards, and in strict mode on the disk, or the
    /// log says that it is not yet.
    pub async fn conclude(&self, results: Vec<Entry>) {
        // What is done is done.
        let _ = self.written(Purpose::Other, results).await;
    }

    /// Writes a line that nobody waits for; it is given up when too many wait already.
    pub fn note(&self, entry: Entry) {
        let request = Request { purpose: Purpose::Other, entries: vec![entry], answer: None };
        if self.requests.try_send(request).is_err() {
            self.counters.count(AuditFailure::Lost);
        }
    }

    /// Notes that the configuration was reloaded, or why it could not be.
    pub fn reloaded(&self, told: &str, error: Option<&str>) {
        let entry = Entry::by(&Author::from(""), Event::Reload).about(told, "", "");
        self.note(match error {
            Some(error) => entry.because(error),
            None => entry,
        });
    }

    /// Waits until everything that was noted is written.
    pub async fn flush(&self) {
        let _ = self.written(Purpose::Other, Vec::new()).await;
    }

    async fn written(&self, purpose: Purpose, entries: Vec<Entry>) -> Written {
        let patience = if self.strict { PATIENCE } else { LAX_PATIENCE };
        let (answer, mut answered) = oneshot::channel();
        let request = Request { purpose, entries, answer: Some(answer) };
        let writing = async {
            self.requests.send(request).await.ok()?;
            (&mut answered).await.ok()
        };
        let written = match timeout(patience, writing).await {
            Ok(written) => written,
            Err(_) => {
                // Either this one knows that it is written, or the writer that nobody waits for it.
                answered.close();
                match answered.try_recv() {
                    Ok(written) => Some(written),
                    Err(_) => return Err(self.stuck(patience)),
                }
            }
        };
        written.unwrap_or_else(|| Err("the gateway shuts down".into()))
    }

    fn stuck(&self, patience: Duration) -> String {
        self.counters.count(AuditFailure::Stuck);
        self.counters.set_up(false);
        let error = format!("the disk has not answered for {} s", patience.as_secs());
        tracing::error!(error, strict = self.strict, "the audit cannot be written");
        error
    }

    /// Writes what is asked for, for ever. One such task is needed.
    pub async fn run(&self) {
        let mut inbox = self.inbox.lock().await;
        loop {
            let due = inbox.due();
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                first = inbox.requests.recv() => match first {
                    Some(first) => batch.push(first),
                    None => return,
                },
                () = self.clock.sleep_until(due.unwrap_or_default()), if due.is_some() => {}
            }
            while batch.len() < MAX_BATCH
                && let Ok(another) = inbox.requests.try_recv()
            {
                batch.push(another);
            }
            self.serve(batch, &mut inbox).await;
        }
    }

    async fn serve(&self, mut batch: Vec<Request>, inbox: &mut Inbox) {
        let lines = inbox.lines(&mut batch, self.strict, &self.counters);
        let (file, strict) = (Arc::clone(&self.file), self.strict);
        let written = match lines.is_empty() {
            true => Ok(()),
            false => {
                let append = move || file.blocking_lock().append(&lines, strict);
                match spawn_blocking(append).await {
                    Ok(written) => written.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            }
        };
        inbox.settle(batch, &written, self.strict, &self.counters);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::overrides::Memory;

    struct Site {
        folder: TempDir,
        audit: Arc<Audit>,
    }

    impl Site {
        fn new(strict: bool) -> Site {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.jsonl");
            let audit = Audit::open(&path, strict, &Memory, Clock::start()).unwrap();
            let audit = Arc::new(audit);
            let running = Arc::clone(&audit);
            tokio::spawn(async move { running.run().await });
            Site { folder, audit }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("audit.jsonl")
        }

        /// The events of the file.
        fn events(&self) -> Vec<String> {
            let text = fs::read_to_string(self.path()).unwrap();
            let event = |line: &str| -> String {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["event"].as_str().unwrap().into()
            };
            text.lines().map(event).collect()
        }

        /// Has no line be written any more.
        fn break_it(&self) {
            fs::remove_file(self.path()).unwrap();
            fs::create_dir(self.path()).unwrap();
        }

        fn mend(&self) {
            fs::remove_dir(self.path()).unwrap();
        }
    }

    fn entry(event: Event) -> Entry {
        Entry::by(&Author::from("192.0.2.1:1"), event)
    }

    #[tokio::test]
    async fn in_strict_mode_what_cannot_be_written_is_told_and_has_lines_later() {
        let site = Site::new(true);
        site.audit.intend(vec![entry(Event::Intent)]).await.unwrap();
        site.audit.conclude(vec![entry(Event::Done)]).await;
        assert_eq!(site.events(), ["opened", "intent", "done"]);
        site.break_it();
        let error = site.audit.intend(vec![entry(Event::Intent)]).await.unwrap_err().to_string();
        assert!(error.contains("not in effect") && error.contains("not a file"), "{error}");
        site.audit.conclude(vec![entry(Event::Done)]).await;
        assert!(!site.audit.counters().is_up());
        assert!(site.audit.counters().failures(AuditFailure::Write) >= 2);
        site.mend();
        site.audit.intend(vec![entry(Event::Intent)]).await.unwrap();
        // In order: what failed, what had been done, and then what is new.
        let events = site.events();
        assert_eq!(events[events.len() - 3..], ["failed", "done", "intent"], "{events:?}");
        assert!(site.audit.counters().is_up());
    }

    #[tokio::test]
    async fn without_strict_a_disk_that_fails_stops_nobody() {
        let site = Site::new(false);
        site.break_it();
        site.audit.intend(vec![entry(Event::Intent)]).await.unwrap();
        site.audit.conclude(vec![entry(Event::Done)]).await;
        assert!(!site.audit.counters().is_up());
        site.mend();
        site.audit.flush().await;
        let events = site.events();
        assert_eq!(events[events.len() - 2..], ["intent", "done"], "{events:?}");
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_is_not_waited_for_for_ever() {
        let site = Site::new(true);
        let stuck = site.audit.file.clone().lock_owned().await;
        tokio::time::pause();
        let audit = Arc::clone(&site.audit);
        let waiting = tokio::spawn(async move { audit.intend(vec![entry(Event::Intent)]).await });
        for _ in 0..100 {
            tokio::task::yield_now().await; // until the writer has begun
        }
        tokio::time::advance(PATIENCE * 2).await;
        let error = waiting.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("has not answered for 5 s"), "{error}");
        assert_eq!(site.audit.counters().failures(AuditFailure::Stuck), 1);
        tokio::time::resume();
        drop(stuck);
        site.audit.flush().await;
        site.audit.intend(vec![entry(Event::Intent)]).await.unwrap();
        // Its line was under way: it is told that it came to nothing.
        let events = site.events();
        let failed = events.iter().filter(|event| *event == "failed").count();
        assert_eq!((failed, events.last().map(|it| &**it)), (1, Some("intent")), "{events:?}");
    }

    #[tokio::test]
    async fn a_flood_of_refused_calls_has_few_lines() {
        let site = Site::new(false);
        for _ in 0..500 {
            site.audit.note(entry(Event::Denied));
        }
        site.audit.intend(vec![entry(Event::Intent)]).await.unwrap();
        let denied = site.events().iter().filter(|event| *event == "denied").count();
        assert!((200..300).contains(&denied), "{denied}");
        assert_eq!(site.events().last().map(|it| &**it), Some("intent"));
    }

    #[tokio::test]
    async fn what_has_no_result_gets_one_at_the_next_start() {
        let site = Site::new(true);
        let intent = entry(Event::Intent).on("orders").numbered(4_000_000);
        site.audit.intend(vec![intent]).await.unwrap();
        let other = Audit::open(&site.path(), true, &Memory, Clock::start()).unwrap_err();
        assert!(other.to_string().contains("another gateway"), "{other}");
        let copy = site.folder.path().join("copy.jsonl");
        fs::copy(site.path(), &copy).unwrap();
        Audit::open(&copy, true, &Memory, Clock::start()).unwrap();
        let text = fs::read_to_string(&copy).unwrap();
        let last = text.lines().last().unwrap();
        assert!(last.contains("recovered") && last.contains("\"kept\":false"), "{text}");
        Audit::open(&copy, true, &Memory, Clock::start()).unwrap();
        let text = fs::read_to_string(&copy).unwrap();
        assert_eq!(text.matches("recovered").count(), 1, "{text}");
    }
}
