//! A simulated request and its response, both derived from the request's number.

use std::time::Duration;

use equipoise::grpc::parse_timeout;

use super::retries::{Fails, Retries};

/// The route that a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Calls of `orders`.
    Orders,
    /// Calls of which a share goes to `canary`.
    Split,
    /// Calls that are mirrored to `shadow`.
    Mirrored,
    /// Calls of `web`, whose backends may not speak gRPC.
    Web,
    /// Calls that no route matches.
    Unknown,
    /// HTTP requests to `web`.
    Page,
    /// HTTP requests that are redirected.
    Moved,
    /// HTTP requests that no route matches.
    Missing,
}

impl Route {
    fn draw(http1: bool, rng: &mut fastrand::Rng) -> Route {
        match rng.u8(if http1 { 13..20 } else { 0..20 }) {
            0..5 => Route::Orders,
            5..8 => Route::Split,
            8..11 => Route::Mirrored,
            11 => Route::Web,
            12 => Route::Unknown,
            13..18 => Route::Page,
            18 => Route::Moved,
            _ => Route::Missing,
        }
    }

    /// Whether it is gRPC.
    pub fn is_grpc(self) -> bool {
        !matches!(self, Route::Page | Route::Moved | Route::Missing)
    }

    /// Whether the route leads to a service.
    pub fn is_served(self) -> bool {
        !matches!(self, Route::Unknown | Route::Moved | Route::Missing)
    }

    /// The path that clients request.
    pub fn path(self) -> &'static str {
        match self {
            Route::Page => "/pages/one",
            Route::Moved => "/old/page",
            Route::Missing => "/missing",
            _ => self.path_at_backend(),
        }
    }

    /// The path after the route's rewrite.
    pub fn path_at_backend(self) -> &'static str {
        match self {
            Route::Orders => "/shop.Orders/Get",
            Route::Split => "/shop.Split/Get",
            Route::Mirrored => "/shop.Mirrored/Get",
            Route::Web => "/shop.Web/Get",
            Route::Unknown => "/shop.Unknown/Get",
            _ => "/site/one",
        }
    }

    /// The services that may receive it.
    pub fn services(self) -> &'static [&'static str] {
        match self {
            Route::Orders | Route::Mirrored => &["orders"],
            Route::Split => &["orders", "canary"],
            Route::Web | Route::Page => &["web"],
            Route::Unknown | Route::Moved | Route::Missing => &[],
        }
    }
}

/// The result that the client expects if nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The `grpc-status`, or the HTTP status; `None` if the response is aborted.
    pub status: Option<&'static str>,
    /// Length of the body, if known.
    pub bytes: Option<usize>,
    /// Whether a backend sent a complete response.
    pub answered: bool,
}

/// How a backend answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With a complete response.
    Whole,
    /// With a trailers-only NOT_FOUND.
    TrailersOnly,
    /// It refuses the stream unprocessed.
    Refused,
    /// With a reset before the head.
    ResetEarly,
    /// With a reset in the middle of the response.
    ResetLate,
    /// With a complete response, before it has read the request.
    Early,
}

/// How the client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It reads everything at once.
    Reads,
    /// It returns flow-control credit after this delay.
    Slow(Duration),
    /// It cancels after this time.
    GivesUp(Duration),
    /// It sets this deadline, and waits beyond it.
    Says(Duration),
}

/// What may happen in a run.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Without faults no client cancels, and every backend answers.
    pub faults: bool,
    /// Whether the backends of `web` speak HTTP/1.1.
    pub web_http1: bool,
    /// How long an exchange may be idle, if there is a limit.
    pub idle: Option<Duration>,
    /// The client's initial stream window.
    pub window: u32,
    /// The timeout of the routes that have one, if any.
    pub limit: Option<Duration>,
    /// Retries and hedging, if there are any.
    pub retries: Option<Retries>,
    /// Connections deliver at once.
    pub quiet: bool,
    /// All backends that implement the methods of `orders` may be ejected.
    pub lacks: bool,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub id: u64,
    pub route: Route,
    /// Total size of the client's messages.
    pub asks: usize,
    /// The number of messages.
    pub asked_in: usize,
    /// Total size of the backend's messages.
    pub answers: usize,
    /// The number of messages.
    pub answered_in: usize,
    pub answer: Answer,
    pub patience: Patience,
    /// The backend returns flow-control credit after this delay.
    pub dawdles: Option<Duration>,
    /// Delay before the backend answers.
    pub thinks: Duration,
    /// Pause between two messages, in either direction.
    pub pause: Duration,
    /// It is idle for longer than the idle timeout.
    pub idles: bool,
    /// How its first attempts go wrong, if they do.
    pub fails: Option<Fails>,
    /// Which attempt this is, from 0 on: each is answered with other bytes.
    pub attempt: u8,
}

impl Exchange {
    /// The request of this number, drawn from `seed`, of an HTTP/1.1 client or not. In some worlds
    /// with faults all clients are hasty: many requests, half of them cancelled.
    pub fn draw(seed: u64, id: u64, http1: bool, habits: Habits) -> Exchange {
        let mut rng = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let Habits { faults, idle, .. } = habits;
        let hasty = faults && seed.is_multiple_of(5);
        let mut size = || match rng.u8(if hasty { 10 } else { 0 }..20) {
            0 => 0,
            1..14 => rng.usize(1..300),
            14..19 => rng.usize(300..40_000),
            _ => rng.usize(40_000..400_000),
        };
        let (asks, answers) = (size(), size());
        let mut parts = || if rng.u8(..4) == 0 { rng.usize(2..6) } else { 1 };
        let (asked_in, answered_in) = (parts(), parts());
        let answer = match rng.u8(..if faults { 20 } else { 12 }) {
            10 => Answer::TrailersOnly,
            11 => Answer::Early,
            12 => Answer::ResetEarly,
            13 => Answer::ResetLate,
            14 | 15 => Answer::Refused,
            _ => Answer::Whole,
        };
        let mut short = |most: u64| Duration::from_millis(rng.u64(..most));
        let (thinks, pause, patience) = (short(40), short(20), short(120));
        let patience = match rng.u8(..10) {
            0 if faults => Patience::GivesUp(patience),
            5.. if hasty => Patience::GivesUp(patience),
            1 => Patience::Slow(pause),
            _ => Patience::Reads,
        };
        let dawdles = (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(..20)));
        let mut drawn = Exchange {
            id,
            route: Route::draw(http1, &mut rng),
            asks,
            asked_in,
            answers,
            answered_in,
            answer,
            patience,
            dawdles,
            thinks,
            pause,
            idles: false,
            fails: None,
            attempt: 0,
        };
        if !drawn.route.is_grpc() {
            // An empty body has no messages.
            drawn.asked_in = if asks == 0 { 1 } else { asked_in };
            drawn.answered_in = if answers == 0 { 1 } else { answered_in };
        }
        match idle {
            Some(idle) if rng.u8(..3) == 0 => drawn.be_slow(idle, habits.window, &mut rng),
            _ => {}
        }
        if drawn.patience == Patience::Reads && drawn.route.is_grpc() && rng.u8(..8) == 0 {
            drawn.patience = Patience::Says(Duration::from_millis(rng.u64(..200)));
        }
        drawn.fails = habits.retries.and_then(|retries| retries.fails(&drawn, habits, seed));
        drawn
    }

    /// Makes it idle for nearly the idle timeout, and sometimes for longer.
    fn be_slow(&mut self, idle: Duration, window: u32, rng: &mut fastrand::Rng) {
        let mut near = || idle.mul_f64(0.3 + 0.5 * rng.f64());
        (self.thinks, self.pause) = (near(), near());
        let slow = near();
        if rng.bool() && self.answers < 8 * window as usize {
            self.patience = Patience::Slow(slow);
        }
        if rng.u8(..6) == 0 {
            let beyond = idle.mul_f64(1.3 + rng.f64());
            let pauses = self.asked_in.max(self.answered_in) > 1 && rng.bool();
            *(if pauses { &mut self.pause } else { &mut self.thinks }) = beyond;
            (self.answer, self.patience, self.idles) = (Answer::Whole, Patience::Reads, true);
        }
    }

    /// Its host, unique to it.
    pub fn host(&self) -> String {
        format!("r{}.shop.example", self.id)
    }

    /// The result that its client expects if nothing goes wrong.
    pub fn expected(&self, habits: Habits) -> Expected {
        let status = |status, bytes, answered| Expected { status: Some(status), bytes, answered };
        let grpc = self.route.is_grpc();
        match self.route {
            Route::Unknown => return status("12", Some(0), false),
            Route::Web if habits.web_http1 => return status("12", Some(0), false),
            Route::Moved => return status("302", Some(0), false),
            Route::Missing => return status("404", None, false),
            _ => {}
        }
        let pauses = habits.idle.is_some_and(|idle| self.pause > idle);
        match self.answer {
            _ if self.idles && grpc => status("4", None, false),
            // Once a response has begun, only aborting it can report an error.
            _ if self.idles && pauses && self.asked_in == 1 => {
                Expected { status: None, bytes: None, answered: false }
            }
            _ if self.idles => status("504", None, false),
            Answer::TrailersOnly => status(if grpc { "5" } else { "404" }, Some(0), true),
            _ => {
                let bytes = Some(self.body(false).len());
                status(if grpc { "0" } else { "200" }, bytes, true)
            }
        }
    }

    /// Whether it may be repeated, being idempotent: a reused HTTP/1.1 connection may close at any
    /// time.
    pub fn may_be_repeated(&self, habits: Habits) -> bool {
        let idempotent = self.asks == 0 || habits.retries.is_some();
        self.route == Route::Page && idempotent && habits.web_http1
    }

    /// Whether its client may see a failure though nothing breaks: there are attempts that fail.
    pub fn may_fail(&self, habits: Habits) -> bool {
        let retries = habits.retries.filter(|_| Retries::concern(self.route));
        retries.is_some_and(|retries| retries.may_fail(self, habits))
    }

    /// Whether its route keeps its body for further attempts.
    pub fn is_held(&self, habits: Habits) -> bool {
        let retries = habits.retries.filter(|_| Retries::concern(self.route));
        let buffer = retries.and_then(|retries| Some(retries.retry?.buffer));
        buffer.is_none_or(|buffer| self.body(true).len() <= buffer)
    }

    /// Whether its backend may answer early.
    pub fn is_answered_early(&self) -> bool {
        matches!(self.answer, Answer::Early | Answer::TrailersOnly)
    }

    /// Whether requests may be pipelined behind it.
    pub fn is_plain(&self) -> bool {
        let gives_up = matches!(self.patience, Patience::GivesUp(_));
        self.route == Route::Page && self.answer != Answer::Early && !self.idles && !gives_up
    }

    /// The HTTP method of a request with a body. With PUT it may be retried.
    pub fn method(&self, habits: Habits) -> &'static str {
        let put = self.route == Route::Page && habits.retries.is_some();
        if put { "PUT" } else { "POST" }
    }

    /// The client's `grpc-timeout`.
    pub fn timeout(&self) -> Option<String> {
        match self.patience {
            Patience::GivesUp(after) | Patience::Says(after) => {
                Some(format!("{}m", after.as_millis()))
            }
            Patience::Reads | Patience::Slow(_) => None,
        }
    }

    /// Its deadline, if it has one.
    pub fn limit(&self, habits: Habits) -> Option<Duration> {
        let said = match self.patience {
            Patience::GivesUp(after) | Patience::Says(after) => Some(after),
            Patience::Reads | Patience::Slow(_) => None,
        };
        let said = said.filter(|_| self.route.is_grpc());
        let limited = matches!(self.route, Route::Orders | Route::Mirrored | Route::Page);
        said.into_iter().chain(habits.limit.filter(|_| limited)).min()
    }

    /// Whether this is a valid remaining time for its backend: positive, and not more than its
    /// deadline. Only gRPC's is checked.
    pub fn allows(&self, told: Option<String>, habits: Habits) -> bool {
        if !self.route.is_grpc() {
            return told == self.timeout();
        }
        let told = told.map(|text| parse_timeout(text.as_bytes()).expect("it can be read"));
        match (self.limit(habits), told) {
            (Some(limit), Some(told)) => !told.is_zero() && told <= limit,
            (limit, told) => limit == told,
        }
    }

    /// The messages of one direction on the wire; unique to the request.
    pub fn messages(&self, asked: bool) -> Vec<Vec<u8>> {
        let (bytes, parts) =
            if asked { (self.asks, self.asked_in) } else { (self.answers, self.answered_in) };
        let attempt = if asked { 0 } else { self.attempt.wrapping_mul(53) };
        let salt = self.id.wrapping_mul(31) as u8 ^ u8::from(asked) ^ attempt;
        let message = |part: usize| {
            let len = bytes / parts + usize::from(part == 0) * (bytes % parts);
            let prefix = (len as u32).to_be_bytes();
            let bytes: Vec<u8> =
                (0..=255u8).map(|at| at.wrapping_mul(7) ^ salt ^ part as u8).collect();
            [&[0][..], &prefix, &bytes.repeat(len / 256 + 1)[..len]].concat()
        };
        let none = !self.route.is_grpc() && bytes == 0;
        (0..if none { 0 } else { parts }).map(message).collect()
    }

    /// All bytes of one direction.
    pub fn body(&self, asked: bool) -> Vec<u8> {
        self.messages(asked).concat()
    }
}
