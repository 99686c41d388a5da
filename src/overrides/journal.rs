//! The store that keeps changes in a file: a line of JSON for each, synced before the change takes
//! effect.
//!
//! The file is whole at any moment: lines are appended, and once it is much larger than what is in
//! effect, a new one is written and put in its place. After a failure nothing is appended any more,
//! since what the system says of the file later cannot be trusted; a whole new file is written from
//! memory, and until it stands no change is accepted.

mod counters;
mod disk;
mod error;
mod file;
mod image;
mod line;
mod replay;
mod setting_line;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::{ChangeRecord, Kept, KeptState, NotKept, Retired, Store, Subject};
use crate::clock::Clock;
pub use counters::{Counters, Failure};
pub use disk::{Disk, Lock, LogFile, SystemDisk};
pub use error::JournalError;
use file::{JournalFile, Patience, Records};

/// How long a change waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// Callers that wait to be served.
const QUEUE: usize = 1024;
/// Callers that share one sync.
const MAX_BATCH: usize = 256;

/// Keeps changes in a file.
#[derive(Debug)]
pub struct Journal {
    file: Arc<Mutex<JournalFile>>,
    /// What the file held when it was opened, until it is taken.
    kept: DashMap<Subject, KeptState>,
    retired: Retired,
    counters: Arc<Counters>,
    requests: mpsc::Sender<Request>,
    inbox: Mutex<mpsc::Receiver<Request>>,
}

/// Changes to be kept.
#[derive(Debug)]
struct Request {
    records: Records,
    answer: oneshot::Sender<Result<(), NotKept>>,
}

/// What became of a batch: a result for each caller.
type Appended = Result<Vec<Result<(), NotKept>>, JoinError>;

impl Journal {
    /// Opens or creates the journal at `path`, and reads what it holds. Blocks.
    ///
    /// # Errors
    /// Another process has it, it cannot be read or written, or it is none.
    pub fn open(path: &Path, clock: Clock) -> Result<Journal, JournalError> {
        // The new file takes the place of the old one, not of a link to it.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Journal::open_on(Arc::new(SystemDisk), &path, clock)
    }

    /// As [`Journal::open`], on another disk.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        clock: Clock,
    ) -> Result<Journal, JournalError> {
        let counters = Arc::<Counters>::default();
        let file = JournalFile::open(disk, path, clock, Arc::clone(&counters))?;
        ChangeRecord::number_above(file.image.sequence);
        let (requests, inbox) = mpsc::channel(QUEUE);
        Ok(Journal {
            kept: file.image.kept().collect(),
            retired: file.image.retired,
            file: Arc::new(Mutex::new(file)),
            counters,
            requests,
            inbox: Mutex::new(inbox),
        })
    }

    /// Counters of failures.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Keeps what is asked for, for ever. One such task is needed; whoever waits shares a sync with
    /// others who do.
    pub async fn run(&self) {
        let mut inbox = self.inbox.lock().await;
        while let Some(first) = inbox.recv().await {
            let mut requests = vec![first];
            while requests.len() < MAX_BATCH
                && let Ok(another) = inbox.try_recv()
            {
                requests.push(another);
            }
            self.serve(requests, &mut inbox).await;
        }
    }

    async fn serve(&self, requests: Vec<Request>, inbox: &mut mpsc::Receiver<Request>) {
        let (batch, answers): (Vec<Records>, Vec<_>) =
            requests.into_iter().map(|request| (request.records, request.answer)).unzip();
        let patience = Arc::<Patience>::default();
        let (file, waiting) = (Arc::clone(&self.file), Arc::clone(&patience));
        let mut appending = spawn_blocking(move || {
            let mut file = file.blocking_lock();
            let results = file.append(&batch, &waiting);
            (results, file.is_up())
        });
        let appended = timeout(PATIENCE, &mut appending).await;
        let appended = match appended {
            Ok(appended) => self.appended(appended),
            Err(_) if patience.give_up() => {
                self.counters.set_up(false);
                self.counters.count(Failure::Stuck);
                answers.into_iter().for_each(refuse);
                tracing::error!(
                    "the journal of overrides cannot be written: the disk does not answer"
                );
                return self.refuse_until(appending, inbox).await;
            }
            Err(_) => self.appended(appending.await), // it was kept at the last moment
        };
        match appended {
            Ok(results) => {
                for (answer, result) in answers.into_iter().zip(results) {
                    let _ = answer.send(result);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the journal of overrides cannot be written");
                self.file.lock().await.distrust();
                self.counters.set_up(false);
                answers.into_iter().for_each(refuse);
            }
        }
    }

    fn appended(&self, appended: Result<(Vec<Result<(), NotKept>>, bool), JoinError>) -> Appended {
        let (results, up) = appended?;
        self.counters.set_up(up);
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            tracing::error!(%error, "a change of overrides is not kept");
        }
        Ok(results)
    }

    /// Refuses changes until the disk has answered.
    async fn refuse_until(
        &self,
        mut appending: JoinHandle<(Vec<Result<(), NotKept>>, bool)>,
        inbox: &mut mpsc::Receiver<Request>,
    ) {
        loop {
            tokio::select! {
                biased;
                appended = &mut appending => {
                    let up = appended.is_ok_and(|(_, up)| up);
                    self.counters.set_up(up);
                    tracing::info!(up, "the disk of the journal of overrides answers again");
                    return;
                }
                request = inbox.recv() => match request {
                    Some(request) => refuse(request.answer),
                    None => return,
                },
            }
        }
    }
}

fn refuse(answer: oneshot::Sender<Result<(), NotKept>>) {
    let seconds = PATIENCE.as_secs();
    let message = format!(
        "the change is not in effect: the disk of the journal of overrides has not answered for \
         {seconds} s; should the gateway die before it does, the change may be in effect afterwards"
    );
    let _ = answer.send(Err(NotKept(message)));
}

impl Store for Journal {
    fn lasts(&self) -> bool {
        true
    }

    fn take_kept(&self, subject: &Subject) -> Option<KeptState> {
        self.kept.remove(subject).map(|(_, kept)| kept)
    }

    fn subjects(&self) -> Vec<Subject> {
        self.kept.iter().map(|kept| kept.key().clone()).collect()
    }

    fn retired(&self) -> Retired {
        self.retired
    }

    fn holds(&self, subject: &Subject, sequence: u64, revision: Option<u64>) -> Option<bool> {
        let Some(kept) = self.kept.get(subject) else { return Some(false) };
        let records = || kept.log.records().map(|record| record.sequence);
        // Those before the first that is remembered are told by the revision.
        let is_before = records().next().is_none_or(|first| sequence < first);
        let is_past = is_before && revision.is_some_and(|revision| kept.revision >= revision);
        Some(is_past || records().any(|known| known == sequence))
    }

    fn keep(&self, records: Vec<Arc<ChangeRecord>>) -> Kept {
        let requests = self.requests.clone();
        Box::pin(async move {
            let closed = || NotKept("the change is not in effect: the gateway shuts down".into());
            let (answer, answered) = oneshot::channel();
            let sent = requests.send(Request { records, answer }).await;
            sent.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }
}

#[cfg(test)]
mod tests;
