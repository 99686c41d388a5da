//! DNS cache and query coalescing.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Answer, LookUp, Question};
use crate::dns::{Found, LookupError, LookupSlots};

/// Minimum time that an answer is cached, whatever its TTL: changes show soon, and a burst of
/// connections is one query.
const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(5);

/// Negative caching time.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// How long a query waits for a fresh answer before it gets the stale one.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// Stale answers are served this long while name servers fail.
const MAX_STALE: Duration = Duration::from_secs(3600);

/// Names not queried for this long are dropped.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(7200);

/// Sweep interval for that.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Cache and pending queries of the process. There are as many names as endpoints have, and as many
/// pending queries of each as connection attempts.
pub struct Cache<L> {
    source: Rc<L>,
    slots: Rc<LookupSlots>,
    names: HashMap<Arc<str>, NameEntry>,
    tasks: JoinSet<Event>,
    /// The name that a look-up task is for.
    looked_up: HashMap<Id, Arc<str>>,
}

struct NameEntry {
    last_queried: Instant,
    in_progress: bool,
    waiting: Vec<oneshot::Sender<Answer>>,
    last: Option<CachedAnswer>,
    failure: Option<(LookupError, Instant)>,
    /// The last look-up timed out.
    slow: bool,
}

struct CachedAnswer {
    found: Found,
    at: Instant,
}

enum Event {
    Found(Result<Found, LookupError>),
    ServeStale(Arc<str>),
}

impl<L: LookUp> Cache<L> {
    pub fn new(source: L) -> Cache<L> {
        Cache {
            source: Rc::new(source),
            slots: Rc::default(),
            names: HashMap::new(),
            tasks: JoinSet::new(),
            looked_up: HashMap::new(),
        }
    }

    /// Serves queries until all handles are gone; pending look-ups are dropped then.
    pub async fn run(mut self, inbox: &mut mpsc::Receiver<Question>) {
        let mut sweep = interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                question = inbox.recv() => match question {
                    Some(question) => self.take(question),
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.note(ended),
                now = sweep.tick() => self.forget(now),
            }
        }
    }

    fn take(&mut self, Question { name, answer }: Question) {
        let now = Instant::now();
        let entry = self.names.entry(Arc::clone(&name)).or_insert_with(|| NameEntry::new(now));
        entry.last_queried = now;
        if let Some(known) = entry.known(now) {
            let _ = answer.send(known); // the caller may be gone
            return;
        }
        if !entry.in_progress
            && let Some(found) = self.source.known(&name)
        {
            let _ = answer.send(Ok(Arc::clone(&found.addresses)));
            return entry.end(Ok(found), now);
        }
        entry.waiting.retain(|waiting| !waiting.is_closed());
        entry.waiting.push(answer);
        if entry.last.is_some() {
            let name = Arc::clone(&name);
            self.tasks.spawn_local(async move {
                sleep(STALE_AFTER).await;
                Event::ServeStale(name)
            });
        }
        if !std::mem::replace(&mut entry.in_progress, true) {
            let (slow, slots) = (entry.slow, Rc::clone(&self.slots));
            let look_up = Rc::clone(&self.source).look_up(Arc::clone(&name));
            let task = async move {
                Event::Found(slots.run(slow, look_up).await.unwrap_or(Err(LookupError::Silent)))
            };
            self.looked_up.insert(self.tasks.spawn_local(task).id(), name);
        }
    }

    fn note(&mut self, ended: Result<(Id, Event), JoinError>) {
        let now = Instant::now();
        let (id, result) = match ended {
            Ok((_, Event::ServeStale(name))) => {
                let entry = self.names.get_mut(&name).filter(|entry| entry.in_progress);
                return entry.into_iter().for_each(|entry| entry.answer_stale(now));
            }
            Ok((id, Event::Found(result))) => (id, result),
            Err(error) => {
                tracing::error!(%error, "a look-up of a name broke off");
                (error.id(), Err(LookupError::Failed("the look-up broke off".into())))
            }
        };
        let name = self.looked_up.remove(&id);
        if let Some(entry) = name.and_then(|name| self.names.get_mut(&name)) {
            entry.end(result, now);
        }
    }

    fn forget(&mut self, now: Instant) {
        self.names.retain(|_, name| name.in_progress || now - name.last_queried < UNUSED_TIMEOUT);
    }
}

impl NameEntry {
    fn new(last_queried: Instant) -> NameEntry {
        NameEntry {
            last_queried,
            in_progress: false,
            waiting: Vec::new(),
            last: None,
            failure: None,
            slow: false,
        }
    }

    /// The cached answer, if it is fresh.
    fn known(&self, now: Instant) -> Option<Answer> {
        if let Some((failure, at)) = &self.failure {
            let recent = now - *at < NEGATIVE_TTL;
            return recent.then(|| self.stale(now).unwrap_or_else(|| Err(failure.clone())));
        }
        let last = self.last.as_ref()?;
        let fresh = now - last.at < last.found.ttl.clamp(MIN_TTL, MAX_TTL);
        fresh.then(|| Ok(Arc::clone(&last.found.addresses)))
    }

    /// The stale answer, if it is not too old.
    fn stale(&self, now: Instant) -> Option<Answer> {
        let last = self.last.as_ref().filter(|last| now - last.at < MAX_STALE)?;
        Some(Ok(Arc::clone(&last.found.addresses)))
    }

    fn answer_stale(&mut self, now: Instant) {
        if let Some(stale) = self.stale(now) {
            self.answer(&stale);
        }
    }

    fn end(&mut self, result: Result<Found, LookupError>, now: Instant) {
        self.in_progress = false;
        self.slow = matches!(result, Err(LookupError::Silent));
        match result {
            Ok(found) => {
                self.failure = None;
                let answer = Ok(Arc::clone(&found.addresses));
                self.last = Some(CachedAnswer { found, at: now });
                self.answer(&answer);
            }
            Err(error) => {
                if error == LookupError::Unknown {
                    self.last = None; // authoritative: not a failure to query
                }
                self.failure = Some((error.clone(), now));
                let answer = self.stale(now).unwrap_or(Err(error));
                self.answer(&answer);
            }
        }
    }

    fn answer(&mut self, answer: &Answer) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(answer.clone()); // the caller may be gone
        }
    }
}

#[cfg(test)]
mod tests;
