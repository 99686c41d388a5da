//! Probes one target over a kept connection, and watches the status that it reports there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use h2::client::ResponseFuture;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tonic_health::pb::health_check_response::ServingStatus;

use super::connection::{Connection, Running};
use super::failure::Failure;
use super::grpc::Answers;
use super::patient::Patient;
use super::question::Question;
use super::{Check, Kind, Subject};
use crate::upstream::{Dialer, Settings};

/// Shortest interval between watched statuses, so that a target cannot flood the checker.
const BREATH: Duration = Duration::from_millis(20);

/// Probes one target.
pub(super) struct Prober {
    patient: Rc<Patient>,
    check: Arc<Check>,
    question: Question,
    dialer: Arc<Dialer>,
    settings: Settings,
    open: Option<Open>,
}

/// A kept connection.
struct Open {
    connection: Connection,
    listening: Option<Listening>,
}

/// A Watch stream, until the target ends it.
struct Listening {
    task: Running,
    /// The target does not implement Watch.
    in_vain: Rc<Cell<bool>>,
}

impl Prober {
    pub fn new(patient: &Rc<Patient>, dialer: &Arc<Dialer>) -> Prober {
        let Subject { address, check } = patient.subject();
        let settings = Settings {
            version: check.version,
            connect_timeout: check.timeout,
            tls: check.tls.clone(),
            ..Settings::default()
        };
        Prober {
            patient: Rc::clone(patient),
            check: Arc::clone(check),
            question: Question::new(address, check),
            dialer: Arc::clone(dialer),
            settings,
            open: None,
        }
    }

    /// Makes one check.
    pub async fn ask(&mut self) -> Result<(), Failure> {
        let result = timeout(self.check.timeout, self.ask_in_time()).await;
        let result = result.unwrap_or_else(|_| Err(Failure::timeout()));
        if result.as_ref().is_err_and(|failure| !failure.answered) {
            self.open = None;
        }
        result
    }

    async fn ask_in_time(&mut self) -> Result<(), Failure> {
        if let Some(open) = self.open.as_mut().filter(|open| open.connection.is_open()) {
            match open.ask(&self.check, &self.question, &self.patient).await {
                Err(failure) if !failure.answered => {} // it may have closed just now; reconnect
                answered => return answered,
            }
        }
        self.open = None;
        let stream = self.dialer.connect_probe(self.question.address(), &self.settings).await?;
        if self.check.kind == Kind::Tcp {
            return Ok(());
        }
        let connection = Connection::open(stream, self.check.version).await?;
        let open = self.open.insert(Open { connection, listening: None });
        open.ask(&self.check, &self.question, &self.patient).await
    }
}

impl Open {
    async fn ask(
        &mut self,
        check: &Check,
        question: &Question,
        patient: &Rc<Patient>,
    ) -> Result<(), Failure> {
        match &check.kind {
            Kind::Tcp => Ok(()),
            Kind::Http(path, wanted) => {
                let status = self.connection.page(question.page(path)?).await?;
                if wanted.contains(&status) { Ok(()) } else { Err(Failure::http(status)) }
            }
            Kind::Grpc(_) => {
                let (request, body) = question.check()?;
                let answer = self.connection.ask(request, Some(body)).await?.await;
                let answer = answer.map_err(|error| Failure::broken(&error))?;
                let status = Answers::of(answer)?.only().await?;
                self.listen(question, patient).await?;
                match status {
                    ServingStatus::Serving => Ok(()),
                    ServingStatus::NotServing => Err(Failure::declared()),
                    other => Err(Failure::answer(other.as_str_name())),
                }
            }
        }
    }

    /// Opens a Watch stream unless one is open, or the target does not support it.
    async fn listen(&mut self, question: &Question, patient: &Rc<Patient>) -> Result<(), Failure> {
        let goes_on = |it: &Listening| it.in_vain.get() || !it.task.0.is_finished();
        if self.listening.as_ref().is_some_and(goes_on) || !self.connection.has_room_for_two() {
            return Ok(());
        }
        let (request, body) = question.watch()?;
        let answer = self.connection.ask(request, Some(body)).await?;
        let in_vain = Rc::new(Cell::new(false));
        let (patient, vain) = (Rc::clone(patient), Rc::clone(&in_vain));
        let task = spawn_local(async move {
            if let Err(Failure { why, .. }) = hear(answer, &patient).await {
                vain.set(&*why == "UNIMPLEMENTED"); // other errors show in the checks
            }
        });
        self.listening = Some(Listening { task: Running(task), in_vain });
        Ok(())
    }
}

/// Reads the statuses of a Watch stream.
async fn hear(answer: ResponseFuture, patient: &Patient) -> Result<(), Failure> {
    let answer = answer.await.map_err(|error| Failure::broken(&error))?;
    let mut answers = Answers::of(answer)?;
    while let Some(status) = answers.next().await? {
        match status {
            ServingStatus::Serving => patient.told(true),
            ServingStatus::NotServing => patient.told(false),
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => {}
        }
        sleep(BREATH).await;
    }
    answers.end().await
}
