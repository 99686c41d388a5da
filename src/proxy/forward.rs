//! The whole story of a request: route, pick, open, splice, outcome.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use super::attempt::{Attempt, Start};
use super::fields::RequestHead;
use super::front::Proxy;
use super::key::{Asker, Issued};
use super::reject::{Asked, Failure, reply};
use super::request_line::RequestLine;
use super::tally::Destination;
use super::target::{Target, View};
use super::tried::Tried;
use super::{fields, filter, forwarded, mirror};
use crate::http2::{ErrorCode, Headers, Name};
use crate::model::route::{Filters, Forward, Route, RouteQuery, Share};
use crate::model::{ExchangeClass, Time};
use crate::net::Stream;
use crate::upstream::{Pool, Version};

/// Heads larger than this are not kept for a second try: many of them would be a burden.
const REPLAY_HEAD: usize = 8 << 10;

/// What a request is, from the moment it came.
pub struct Request {
    pub proxy: Rc<Proxy>,
    pub front: Rc<Stream>,
    /// Empty once a response has begun: no second try will need it.
    pub head: RefCell<Headers>,
    /// The head was all.
    pub end: bool,
    /// What kind of answer is wanted.
    asked: Asked,
    pub grpc: bool,
    pub started: Time,
    /// Trailers of the request have gone to a backend, and are not kept.
    pub sent_trailers: Cell<bool>,
    /// The client was told to send the body.
    pub invited: Cell<bool>,
    /// What its route does to it, if anything.
    pub filters: OnceCell<Arc<Filters>>,
    /// What the log says of it, where it does.
    pub line: RequestLine,
    /// The cookie that the client is given with the response.
    pub issued: OnceCell<Issued>,
}

impl Request {
    /// The request that came on `front`.
    pub fn new(proxy: &Rc<Proxy>, front: Rc<Stream>, head: Headers, end: bool) -> Request {
        let asked = Asked::by(&head, front.conn());
        if asked == Asked::Grpc {
            front.count_messages();
        }
        Request {
            asked,
            grpc: asked == Asked::Grpc,
            started: proxy.worker.now(),
            line: RequestLine::of(&head),
            proxy: Rc::clone(proxy),
            front,
            head: RefCell::new(head),
            end,
            sent_trailers: Cell::new(false),
            invited: Cell::new(false),
            filters: OnceCell::new(),
            issued: OnceCell::new(),
        }
    }

    /// Carries it from its head to its outcome.
    pub async fn carry(&self) {
        if let Err(failure) = self.run().await {
            self.line.failed(failure, self.grpc);
            reply(&self.front, self.asked, failure);
        }
        self.finish().await;
        self.line.write(self.proxy.worker.now().since(self.started));
        self.drop_head();
    }

    /// Finds a backend that answers, and relays its answer. An error means that no head of a
    /// response was sent; it is counted.
    async fn run(&self) -> Result<(), Failure> {
        forwarded::note(&self.front, &mut self.head.borrow_mut(), self.grpc);
        let Some(to) = self.route()? else { return Ok(()) };
        to.target().count_request();
        let mut tried = Tried::none();
        let mut last = Failure::NoBackend;
        let mut refused = false;
        while !tried.is_full() {
            let view = to.target().view();
            let again = last == Failure::BackendRefused;
            let start = self.starts_as(&view);
            let Some(index) = self.pick(&view, start.class, &tried, again) else { break };
            tried.push(view.endpoint(index));
            let attempt = Attempt::begin(view, index, start, &self.proxy.worker);
            let back = match self.open(&attempt).await {
                Ok(Some(back)) => back,
                Ok(None) => {
                    to.give_up();
                    return Ok(());
                }
                Err(failure) => {
                    attempt.blame(failure.ending(), self.proxy.worker.now());
                    if !failure.ending().may_be_sent_again() {
                        return Err(to.refuse(failure));
                    }
                    last = failure;
                    continue;
                }
            };
            let result = self.relay(&attempt, &back, refused).await;
            back.detach();
            match result {
                Err(failure)
                    if failure.ending().may_be_sent_again()
                        && !refused
                        && self.may_retry(to.target()) =>
                {
                    attempt.blame(failure.ending(), self.proxy.worker.now());
                    refused = true;
                    last = failure;
                }
                Err(failure) => {
                    self.end(&attempt, failure.code(self.grpc), failure.ending(), None);
                    return Err(failure);
                }
                Ok(()) => return Ok(()),
            }
        }
        Err(to.refuse(last))
    }

    /// What its exchange begins as.
    fn starts_as(&self, view: &View) -> Start {
        if !self.grpc {
            return Start::HTTP;
        }
        view.starts_as(self.head.borrow().get(Name::Path).unwrap_or_default())
    }

    /// Picks a backend. One that could not be reached is not asked again; one that refused may
    /// be, if there is no other.
    fn pick(&self, view: &View, class: ExchangeClass, tried: &Tried, again: bool) -> Option<usize> {
        let already = tried.indices(view);
        let worker = &self.proxy.worker;
        let asker = Asker {
            head: &self.head.borrow(),
            source: forwarded::source_address(&self.front, &self.head.borrow()),
            issued: &self.issued,
            rng: worker.rng(),
        };
        let index = view.pick(worker, &asker, class, already.as_slice())?;
        (again || !already.as_slice().contains(&index)).then_some(index)
    }

    /// Gives the head's memory back.
    pub(super) fn drop_head(&self) {
        self.proxy.worker.recycle(self.head.take());
    }

    /// The service that the request goes to, or nothing if its route has answered it. The head is
    /// then as the backend is to get it. An error is counted.
    fn route(&self) -> Result<Option<Destination>, Failure> {
        let head = self.head.borrow();
        if self.front.conn().is_http1() && fields::is_grpc(&head) {
            return Err(self.proxy.refuse(Failure::GrpcOverHttp1));
        }
        if head.get(Name::Method) == Some(b"CONNECT") {
            return Err(self.proxy.refuse(Failure::ConnectMethod));
        }
        let query = RouteQuery {
            authority: fields::authority(&head),
            path: head.get(Name::Path).unwrap_or_default(),
            method: head.get(Name::Method).unwrap_or_default(),
            grpc: self.grpc,
            fields: &fields::Asked(&head),
        };
        let routed = self.proxy.router.current();
        let nowhere = || self.proxy.refuse(Failure::no_route(&head));
        let (number, route) = routed.routes().find_numbered(&query).ok_or_else(nowhere)?;
        let tally = routed.tally(number).ok_or_else(nowhere)?;
        self.line.took(|| Some(tally.route()));
        let (share, target, mirror) = match route {
            Route::Redirect(_) if self.grpc => {
                return Err(self.proxy.refuse_on(tally, Failure::GrpcRedirect));
            }
            Route::Redirect(redirect) => {
                return match filter::redirect(&self.front, redirect, &head) {
                    Ok(()) => Ok(None),
                    Err(failure) => Err(self.proxy.refuse_on(tally, failure)),
                };
            }
            Route::Forward(forward) => {
                let nobody = || self.proxy.refuse_on(tally, Failure::NoBackend);
                let share = self.choose(forward, &head).ok_or_else(nobody)?;
                let target = routed.target(share.service).ok_or_else(nowhere)?;
                (share, target, forward.mirror.as_ref())
            }
        };
        drop(head);
        self.line.is_for(target.service().name());
        if let Some(filters) = &share.filters {
            filter::request(filters, &mut self.head.borrow_mut(), &self.proxy.worker);
            let _ = self.filters.set(Arc::clone(filters)); // a request is routed once
        }
        // What another protocol brings is no body that could be copied.
        if let Some(mirror) = mirror.filter(|_| !self.is_upgrade()) {
            mirror::start(self, mirror, &routed);
        }
        Ok(Some(Destination::new(target, tally)))
    }

    fn choose<'f>(&self, forward: &'f Forward, head: &Headers) -> Option<&'f Share> {
        let key = forward.split_by.as_deref().and_then(|name| head.get_named(name.as_bytes()));
        let key = key.filter(|key| !key.is_empty());
        forward.split.choose(key, &mut self.proxy.worker.rng().borrow_mut())
    }

    /// Sends the head to the backend; `None` when the client went away meanwhile.
    async fn open(&self, attempt: &Attempt) -> Result<Option<Rc<Stream>>, Failure> {
        if self.front.over().is_some() {
            return Ok(None);
        }
        let pool = attempt.pool();
        if self.grpc && pool.version() == Version::Http1 {
            return Err(Failure::GrpcToHttp1);
        }
        let at_once = {
            let head = self.head.borrow();
            let client = Some(&**self.front.conn());
            pool.try_open(RequestHead::new(&head, pool, self.grpc), self.ends_for(pool), client)
        };
        let opened = match at_once {
            Some(opened) => opened.map(Some).map_err(Failure::from),
            // Waiting is rare, and its state large: every task would carry it.
            None => {
                let opened = Box::pin(self.wait_open(attempt)).await;
                attempt.on_sent_late(self.proxy.worker.now());
                opened
            }
        };
        if let (Ok(Some(back)), true) = (&opened, self.grpc) {
            back.count_messages();
        }
        opened
    }

    /// Whether nothing follows the head as a backend gets it: HTTP/2 has no other protocols.
    fn ends_for(&self, pool: &Pool) -> bool {
        self.end || (pool.version() == Version::Http2 && self.is_upgrade())
    }

    /// Whether another protocol is asked for, which what comes behind the head may be of.
    pub(super) fn is_upgrade(&self) -> bool {
        self.front.conn().is_http1() && self.head.borrow().get(Name::Upgrade).is_some()
    }

    async fn wait_open(&self, attempt: &Attempt) -> Result<Option<Rc<Stream>>, Failure> {
        let pool = attempt.pool();
        let head = self.head.borrow().clone();
        let head = RequestHead::new(&head, pool, self.grpc);
        let client = Some(&**self.front.conn());
        let mut open = pin!(pool.open(head, self.ends_for(pool), client));
        poll_fn(|cx| {
            if self.front.over().is_some() {
                return Poll::Ready(Ok(None));
            }
            if self.proxy.worker.is_cut_off() {
                return Poll::Ready(Err(Failure::ShuttingDown));
            }
            self.front.register(cx);
            open.as_mut().poll(cx).map_ok(Some).map_err(Failure::from)
        })
        .await
    }

    /// Whether what the backend has refused may be sent again: it is all still here, and the
    /// service's budget has room.
    fn may_retry(&self, target: &Target) -> bool {
        let replay = self.front.replay();
        let whole = replay.is_some() || self.end;
        if self.head.borrow().list_size() > REPLAY_HEAD || self.sent_trailers.get() || !whole {
            return false;
        }
        let granted = target.may_retry();
        if granted {
            self.front.rewind(replay.unwrap_or_default());
        }
        granted
    }

    /// Waits until the client has taken everything, or does not for too long.
    async fn finish(&self) {
        let timeout = self.front.conn().stream_idle_timeout();
        let mut idle = pin!(timeout.map(|timeout| self.proxy.worker.sleep(timeout)));
        poll_fn(|cx| {
            if !self.front.is_open() || self.front.over().is_some() {
                return Poll::Ready(());
            }
            self.front.register(cx);
            while let Some(sleep) = idle.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
                let quiet = self.proxy.worker.now().since(self.front.last_active());
                let left = timeout.unwrap_or_default().saturating_sub(quiet);
                if left.is_zero() {
                    return Poll::Ready(());
                }
                idle.set(Some(self.proxy.worker.sleep(left)));
            }
            Poll::Pending
        })
        .await;
        if self.front.is_open() {
            self.front.reset(ErrorCode::CANCEL);
        }
        self.front.detach();
    }
}
