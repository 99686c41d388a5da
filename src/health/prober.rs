//! Probes one target over a kept connection, and watches the status that it reports there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use h2::client::ResponseFuture;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tonic_health::pb::health_check_response::ServingStatus;

use super::connection::{AbortOnDrop, Connection};
use super::failure::Failure;
use super::grpc::Responses;
use super::request::ProbeRequests;
use super::target::Target;
use super::{Check, CheckTarget, Probe};
use crate::upstream::{Dialer, Settings};

/// Shortest interval between watched statuses, so that a target cannot flood the checker.
const MIN_UPDATE_INTERVAL: Duration = Duration::from_millis(20);

/// Probes one target.
pub(super) struct Prober {
    target: Rc<Target>,
    check: Arc<Check>,
    requests: ProbeRequests,
    dialer: Arc<Dialer>,
    settings: Settings,
    open: Option<OpenConnection>,
}

/// A kept connection.
struct OpenConnection {
    connection: Connection,
    watch: Option<WatchStream>,
}

/// A Watch stream, until the target ends it.
struct WatchStream {
    task: AbortOnDrop,
    /// The target does not implement Watch.
    unsupported: Rc<Cell<bool>>,
}

impl Prober {
    pub fn new(target: &Rc<Target>, dialer: &Arc<Dialer>) -> Prober {
        let CheckTarget { address, place, check } = target.target();
        let settings = Settings {
            version: check.version,
            connect_timeout: check.timeout,
            tls: check.tls.clone(),
            ..Settings::default()
        };
        Prober {
            target: Rc::clone(target),
            check: Arc::clone(check),
            requests: ProbeRequests::new(address, place.as_deref(), check),
            dialer: Arc::clone(dialer),
            settings,
            open: None,
        }
    }

    /// Makes one check.
    pub async fn ask(&mut self) -> Result<(), Failure> {
        let result = timeout(self.check.timeout, self.ask_in_time()).await;
        let result = result.unwrap_or_else(|_| Err(Failure::timeout()));
        if result.as_ref().is_err_and(|failure| !failure.responded) {
            self.open = None;
        }
        result
    }

    async fn ask_in_time(&mut self) -> Result<(), Failure> {
        if let Some(open) = self.open.as_mut().filter(|open| open.connection.is_open()) {
            match open.ask(&self.check, &self.requests, &self.target).await {
                Err(failure) if !failure.responded => {} // it may have closed just now; reconnect
                responded => return responded,
            }
        }
        self.open = None;
        let (address, place) = (self.requests.address(), self.requests.place());
        let stream = self.dialer.connect_probe(address, place, &self.settings).await?;
        if self.check.probe == Probe::Tcp {
            return Ok(());
        }
        let connection = Connection::open(stream, self.check.version).await?;
        let open = self.open.insert(OpenConnection { connection, watch: None });
        open.ask(&self.check, &self.requests, &self.target).await
    }
}

impl OpenConnection {
    async fn ask(
        &mut self,
        check: &Check,
        requests: &ProbeRequests,
        target: &Rc<Target>,
    ) -> Result<(), Failure> {
        match &check.probe {
            Probe::Tcp => Ok(()),
            Probe::Http(path, wanted) => {
                let status = self.connection.get_status(requests.get(path)?).await?;
                if wanted.contains(&status) { Ok(()) } else { Err(Failure::http(status)) }
            }
            Probe::Grpc(_) => {
                let (request, body) = requests.check()?;
                let answer = self.connection.ask(request, Some(body)).await?.await;
                let answer = answer.map_err(|error| Failure::broken(&error))?;
                let status = Responses::of(answer)?.only().await?;
                self.open_watch(requests, target).await?;
                match status {
                    ServingStatus::Serving => Ok(()),
                    ServingStatus::NotServing => Err(Failure::declared()),
                    other => Err(Failure::answer(other.as_str_name())),
                }
            }
        }
    }

    /// Opens a Watch stream unless one is open, or the target does not support it.
    async fn open_watch(
        &mut self,
        requests: &ProbeRequests,
        target: &Rc<Target>,
    ) -> Result<(), Failure> {
        let goes_on = |it: &WatchStream| it.unsupported.get() || !it.task.0.is_finished();
        if self.watch.as_ref().is_some_and(goes_on) || !self.connection.allows_watch() {
            return Ok(());
        }
        let (request, body) = requests.watch()?;
        let answer = self.connection.ask(request, Some(body)).await?;
        let unsupported = Rc::new(Cell::new(false));
        let (target, flag) = (Rc::clone(target), Rc::clone(&unsupported));
        let task = spawn_local(async move {
            if let Err(Failure { why, .. }) = watch_statuses(answer, &target).await {
                flag.set(&*why == "UNIMPLEMENTED"); // other errors show in the checks
            }
        });
        self.watch = Some(WatchStream { task: AbortOnDrop(task), unsupported });
        Ok(())
    }
}

/// Reads the statuses of a Watch stream.
async fn watch_statuses(answer: ResponseFuture, target: &Target) -> Result<(), Failure> {
    let answer = answer.await.map_err(|error| Failure::broken(&error))?;
    let mut answers = Responses::of(answer)?;
    while let Some(status) = answers.next().await? {
        match status {
            ServingStatus::Serving => target.record_status(true),
            ServingStatus::NotServing => target.record_status(false),
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => {}
        }
        sleep(MIN_UPDATE_INTERVAL).await;
    }
    answers.end().await
}
