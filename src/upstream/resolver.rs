//! DNS resolver for all workers of the process.
//!
//! One thread resolves; concurrent queries for a name are coalesced, and answers cached for a few
//! seconds. Look-ups are bounded in number and time, names whose servers are silent do not delay
//! others, and shutdown does not wait for look-ups.

mod cache;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::spawn_local;

use crate::dns::{FirstPart, Found, LookupError, System};
use crate::tasks::{Task, Tasks, infallible};
use cache::Cache;

/// Capacity of the query channel.
const QUEUE_CAPACITY: usize = 1024;

/// The result of a query.
pub type Answer = Result<Arc<[IpAddr]>, LookupError>;

struct Question {
    name: Arc<str>,
    answer: oneshot::Sender<Answer>,
}

/// Handle of the resolver thread, which ends with the last handle.
#[derive(Clone, Debug)]
pub struct Resolver {
    questions: mpsc::Sender<Question>,
}

impl Resolver {
    /// Starts the thread, with these `servers`, or those of `/etc/resolv.conf` if empty.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub async fn start(servers: Vec<SocketAddr>, tasks: &Arc<Tasks>) -> io::Result<Resolver> {
        let runtime =
            move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (questions, inbox) = mpsc::channel(QUEUE_CAPACITY);
        let (started, start) = oneshot::channel();
        let tasks = Arc::clone(tasks);
        std::thread::Builder::new().name("resolver".into()).spawn(move || match runtime() {
            Ok(runtime) => {
                let _ = started.send(Ok(())); // a dropped handle ends the thread
                runtime.block_on(answer_all(tasks, servers, inbox));
            }
            Err(error) => drop(started.send(Err(error))), // as above
        })?;
        start.await.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")))?;
        Ok(Resolver { questions })
    }

    /// Resolves `name`.
    ///
    /// # Errors
    /// When resolution fails.
    pub async fn resolve(&self, name: &str) -> Answer {
        let (answer, answered) = oneshot::channel();
        let ended = || LookupError::Failed("the resolver has ended".into());
        let question = Question { name: name.to_ascii_lowercase().into(), answer };
        self.questions.send(question).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Serves queries until all handles are gone; restarted on a panic, keeping the queued queries.
async fn answer_all(tasks: Arc<Tasks>, servers: Vec<SocketAddr>, inbox: mpsc::Receiver<Question>) {
    let inbox = Rc::new(Mutex::new(inbox));
    let answer = || {
        let (servers, inbox) = (servers.clone(), Rc::clone(&inbox));
        spawn_local(async move {
            let mut inbox = inbox.lock().await;
            infallible(Cache::new(System::new(servers, FirstPart::Used)).run(&mut inbox)).await
        })
    };
    tasks.supervise(Task::Resolver, answer).await;
}

/// A source of addresses.
trait LookUp: 'static {
    /// Answers without a network query (`/etc/hosts`).
    fn known(&self, name: &str) -> Option<Found>;

    /// Queries the name servers.
    fn look_up(
        self: Rc<Self>,
        name: Arc<str>,
    ) -> impl Future<Output = Result<Found, LookupError>> + 'static;
}

impl LookUp for System {
    fn known(&self, name: &str) -> Option<Found> {
        System::known(self, name)
    }

    async fn look_up(self: Rc<Self>, name: Arc<str>) -> Result<Found, LookupError> {
        System::look_up(&self, &name).await
    }
}
