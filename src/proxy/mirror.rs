//! Request mirroring (shadowing): copies of requests for a second service. Failures are counted,
//! and neither delay nor change the client's response.

use std::cell::{OnceCell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::exchange::{
    Attempt, Elapsed, Exchange, InitialClass, Limit, Outcome, Timeouts, grpc_code,
};
use super::fields::{self, RequestHead};
use super::forwarded_headers::source_address;
use super::hash_key::KeyContext;
use super::worker_routing::WorkerRouting;
use super::worker_service::WorkerService;
use super::worker_snapshot::WorkerSnapshot;
use crate::http::Headers;
use crate::model::{AttemptFailure, AttemptOutcome, Code, MirrorOutcome, Peer, Time};
use crate::net::{Cut, Stream, Tee, Worker};
use crate::route::Mirror;
use crate::upstream::{OpenError, Version};

/// Response timeout of a mirror, from the end of the request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Mirrors the request, if it is sampled and the limit of concurrent copies allows.
pub fn start(exchange: &Exchange, mirror: &Mirror, worker_routing: &WorkerRouting) {
    let worker = &exchange.proxy.worker;
    let chosen = worker.rng().borrow_mut().u32(..1_000_000) < mirror.per_million;
    let Some(worker_service) = worker_routing.worker_service(mirror.service).filter(|_| chosen)
    else {
        return;
    };
    if worker_service.mirrored().get() >= mirror.max_in_flight {
        return worker_service.service().copies().increment(MirrorOutcome::Crowded, worker.index());
    }
    worker_service.mirrored().set(worker_service.mirrored().get() + 1);
    let tee = (!exchange.end).then(|| Tee::new(worker, mirror.buffer));
    if let Some(tee) = &tee {
        exchange.front.copy_to(tee);
    }
    let mirrored = MirrorRequest {
        worker: Rc::clone(worker),
        worker_service: Rc::clone(worker_service),
        head: exchange.head.borrow().clone(),
        source: source_address(&exchange.front, &exchange.head.borrow()),
        grpc: exchange.grpc,
        started: worker.now(),
        timeouts: RefCell::new(exchange.mirror_timeouts()),
        tee,
    };
    worker.spawn(mirrored.run());
}

/// A mirrored request in flight.
struct MirrorRequest {
    worker: Rc<Worker>,
    worker_service: Rc<WorkerService>,
    head: Headers,
    source: Peer,
    grpc: bool,
    started: Time,
    timeouts: RefCell<Timeouts>,
    /// Source of its body, if it has one.
    tee: Option<Rc<Tee>>,
}

impl MirrorRequest {
    async fn run(self) {
        let copied = self.serve().await;
        self.worker_service.service().copies().increment(copied, self.worker.index());
        self.worker_service.mirrored().set(self.worker_service.mirrored().get() - 1);
    }

    async fn serve(&self) -> MirrorOutcome {
        let view = self.worker_service.view();
        let key_cx = KeyContext {
            head: &self.head,
            source: self.source,
            affinity_cookie: &OnceCell::new(), // the mirror's cookie is discarded
            rng: self.worker.rng(),
        };
        let initial = self.initial_class(&view);
        let Some(picked) = view.pick(&self.worker, &key_cx, initial.class, &[]) else {
            return MirrorOutcome::Failed;
        };
        let attempt = Attempt::begin(view, picked, initial, &self.worker);
        let back = match self.open(&attempt).await {
            Ok(back) => back,
            Err(copied) => return copied,
        };
        attempt.sent_on(Rc::clone(&back));
        back.drain();
        if self.grpc {
            back.count_messages();
        }
        if let Some(tee) = &self.tee {
            tee.begin(&back);
        }
        let (copied, outcome) = self.answer(&attempt, &back).await;
        attempt.on_end(&self.worker, self.started, &outcome);
        attempt.cancel();
        copied
    }

    fn initial_class(&self, view: &WorkerSnapshot) -> InitialClass {
        match self.grpc {
            true => view.initial_class(&self.head),
            false => InitialClass::HTTP,
        }
    }

    /// Opens a stream to the backend, unless the copy is cut short before.
    async fn open(&self, attempt: &Attempt) -> Result<Rc<Stream>, MirrorOutcome> {
        let pool = attempt.pool();
        if self.grpc && pool.version() == Version::Http1 {
            return Err(MirrorOutcome::Failed);
        }
        let deadline = self.timeouts.borrow().deadline();
        let head = RequestHead::new(&self.head, pool, self.grpc).until(deadline, &self.worker);
        let mut open = pin!(pool.open(head, self.tee.is_none(), None));
        poll_fn(|cx| {
            if let Some(copied) = self.cut_short(cx).or_else(|| self.poll_timeouts(cx)) {
                return Poll::Ready(Err(copied));
            }
            open.as_mut().poll(cx).map_err(|error| {
                if error == OpenError::Connect {
                    attempt.record_failure(
                        AttemptOutcome::Failed(AttemptFailure::Unreachable),
                        self.worker.now(),
                    );
                }
                MirrorOutcome::Failed
            })
        })
        .await
    }

    /// Waits for the end of the response, discarding it.
    async fn answer(&self, attempt: &Attempt, back: &Rc<Stream>) -> (MirrorOutcome, Outcome) {
        let mut status = None;
        poll_fn(|cx| {
            back.register(cx);
            if let Some(code) = self.read(attempt, back, &mut status) {
                return Poll::Ready((MirrorOutcome::Answered, Outcome::answered(code, None)));
            }
            if back.over().is_some() {
                let lost = Outcome::failed(attempt.lost(), self.grpc);
                return Poll::Ready((MirrorOutcome::Failed, lost));
            }
            attempt.detect_stream(cx, &self.worker, None, back);
            match self.cut_short(cx).or_else(|| self.poll_timeouts(cx)) {
                Some(copied) => Poll::Ready((copied, Outcome::cancelled(self.grpc))),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Discards what has arrived of the response; returns the status at its end.
    fn read(&self, attempt: &Attempt, back: &Stream, status: &mut Option<Code>) -> Option<Code> {
        if let Some(head) = back.take_informational() {
            self.worker.recycle(head);
        }
        if let Some((head, _)) = back.take_head() {
            attempt.on_head(&self.worker, back, self.grpc);
            let http = Code::Http(fields::status(&head));
            *status = Some(if self.grpc { grpc_code(&head) } else { http });
            self.worker.recycle(head);
        }
        if let Some(trailers) = back.take_trailers() {
            let code = if self.grpc { Some(grpc_code(&trailers)) } else { *status };
            self.worker.recycle(trailers);
            return code;
        }
        status.filter(|_| back.has_ended())
    }

    /// Why the copy of the body was cut short, if it was.
    fn cut_short(&self, cx: &mut Context<'_>) -> Option<MirrorOutcome> {
        let tee = self.tee.as_ref()?;
        tee.register(cx);
        tee.cut().map(|cut| match cut {
            Cut::Slow => MirrorOutcome::Slow,
            Cut::Abandoned => MirrorOutcome::Abandoned,
        })
    }

    /// Whether the original's deadline or the mirror's response timeout has expired.
    fn poll_timeouts(&self, cx: &mut Context<'_>) -> Option<MirrorOutcome> {
        let mut timeouts = self.timeouts.borrow_mut();
        if self.tee.as_ref().is_none_or(|tee| tee.has_ended()) {
            timeouts.end_by(self.worker.now() + RESPONSE_TIMEOUT, Limit::Route);
        }
        let elapsed = timeouts.poll(cx, &self.worker, || self.worker.now())?;
        matches!(elapsed, Elapsed::Deadline(_)).then_some(MirrorOutcome::Slow)
    }
}
