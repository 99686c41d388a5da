//! Names to addresses, for all workers of the process.
//!
//! One thread asks, and whoever wants the same name at the same time waits for the same answer. An
//! answer is used again for a few seconds. Look-ups are bounded in number and in time, and names
//! whose servers are silent do not hold up the others. Nobody waits for a look-up to end when the
//! process does.

mod desk;
mod lanes;
mod system;
mod transport;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::spawn_local;

use crate::tasks::{Task, Tasks, infallible};
use desk::Desk;
use system::System;

/// Questions that wait to be taken note of.
const WAITING: usize = 1024;

/// What became of a question.
pub type Answer = Result<Arc<[IpAddr]>, LookupError>;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name servers say so.
    #[error("the name is unknown, or has no address")]
    Unknown,
    /// No name server has answered, or the look-up had to give way to others.
    #[error("the name servers do not answer")]
    Silent,
    /// They, or the way to them, failed.
    #[error("the name could not be resolved: {0}")]
    Failed(Arc<str>),
}

/// What was looked up.
#[derive(Clone, Debug)]
struct Found {
    addresses: Arc<[IpAddr]>,
    /// How long it may be used, as its owner says.
    ttl: Duration,
}

struct Question {
    name: Arc<str>,
    answer: oneshot::Sender<Answer>,
}

/// The way to the thread that resolves names. It ends with the last of these.
#[derive(Clone, Debug)]
pub struct Resolver {
    questions: mpsc::Sender<Question>,
}

impl Resolver {
    /// Starts the thread. It asks `servers`; those of `/etc/resolv.conf` if that is empty.
    ///
    /// # Errors
    /// When there can be no thread.
    pub async fn start(servers: Vec<SocketAddr>, tasks: &Arc<Tasks>) -> io::Result<Resolver> {
        let runtime =
            move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (questions, inbox) = mpsc::channel(WAITING);
        let (started, start) = oneshot::channel();
        let tasks = Arc::clone(tasks);
        std::thread::Builder::new().name("resolver".into()).spawn(move || match runtime() {
            Ok(runtime) => {
                let _ = started.send(Ok(())); // who has given up asks nothing, and it ends
                runtime.block_on(answer_all(tasks, servers, inbox));
            }
            Err(error) => drop(started.send(Err(error))), // as above
        })?;
        start.await.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")))?;
        Ok(Resolver { questions })
    }

    /// The addresses of `name`.
    ///
    /// # Errors
    /// When there is none now.
    pub async fn resolve(&self, name: &str) -> Answer {
        let (answer, answered) = oneshot::channel();
        let ended = || LookupError::Failed("the resolver has ended".into());
        let question = Question { name: name.to_ascii_lowercase().into(), answer };
        self.questions.send(question).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Answers until nobody can ask any more. Who answers may fail; the questions stay.
async fn answer_all(tasks: Arc<Tasks>, servers: Vec<SocketAddr>, inbox: mpsc::Receiver<Question>) {
    let inbox = Rc::new(Mutex::new(inbox));
    let answer = || {
        let (servers, inbox) = (servers.clone(), Rc::clone(&inbox));
        spawn_local(async move {
            let mut inbox = inbox.lock().await;
            infallible(Desk::new(System::new(servers)).run(&mut inbox)).await
        })
    };
    tasks.supervise(Task::Resolver, answer).await;
}

/// How a name is looked up.
trait LookUp: 'static {
    /// What is known without asking anybody.
    fn known(&self, name: &str) -> Option<Found>;

    /// Asks.
    fn look_up(
        self: Rc<Self>,
        name: Arc<str>,
    ) -> impl Future<Output = Result<Found, LookupError>> + 'static;
}
