//! Retries and hedging in a run: the settings of routes and services, and the attempts that fail so
//! that another may succeed.

use std::time::Duration;

use super::exchange::{Exchange, Habits, Route};

/// A larger limit of an attempt than this is never met by one that a backend answers.
const AMPLE: Duration = Duration::from_secs(5);

/// The settings of a world with retries or hedging, of some routes.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    pub retry: Option<Retry>,
    pub hedge: Option<Hedge>,
    /// Retries and hedges by request, in hundredths.
    pub ratio: u32,
    /// Retries and hedges in a second.
    pub min_per_second: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub attempts: u32,
    /// Besides `unavailable` and `503`.
    pub on: &'static [&'static str],
    pub per_attempt_timeout: Option<Duration>,
    /// Of the pauses, in milliseconds.
    pub first: u64,
    pub max: u64,
    pub buffer: usize,
    pub hold: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Hedge {
    pub after: Duration,
    pub attempts: u32,
}

/// How the first attempts of a request go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fails {
    /// How many of them do.
    pub times: usize,
    pub how: Fail,
    /// Before the backend has read the request.
    pub at_once: bool,
    /// The backend's `grpc-retry-pushback-ms`.
    pub pushback: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// With a trailers-only UNAVAILABLE, or 503.
    Unavailable,
    /// With UNAVAILABLE so long after a head.
    AfterHead(Duration),
    /// With a reset.
    Reset,
    /// There is no answer.
    Silent,
    /// The answer is good, and late by this.
    Slow(Duration),
}

impl Retries {
    /// Those of this seed, if its world has any.
    pub fn draw(seed: u64) -> Option<Retries> {
        if seed / 5 % 3 != 1 {
            return None;
        }
        let rng = &mut fastrand::Rng::with_seed(seed ^ 0x7265_7472_6965_7300);
        let millis = |range, rng: &mut fastrand::Rng| Duration::from_millis(rng.u64(range));
        let retry = (rng.u8(..5) > 0).then(|| {
            let on: [&[&str]; 4] =
                [&["connect", "reset", "timeout"], &["connect", "reset"], &["reset"], &[]];
            Retry {
                attempts: rng.u32(1..6),
                on: on[rng.usize(..4)],
                per_attempt_timeout: match rng.u8(..5) {
                    0 => Some(millis(20..300, rng)),
                    1 | 2 => Some(AMPLE + millis(0..5000, rng)),
                    _ => None,
                },
                first: rng.u64(1..30),
                max: rng.u64(1..100),
                buffer: [0, 1000, 64 << 10, 1 << 20][rng.usize(..4)],
                hold: millis(0..40, rng),
            }
        });
        let hedge = (retry.is_none() || rng.bool())
            .then(|| Hedge { after: millis(1..15, rng), attempts: rng.u32(2..5) });
        let (ratio, min_per_second) = match rng.bool() {
            true => (100, 1000),
            false => ([0, 10, 50][rng.usize(..3)], rng.u32(..2)),
        };
        Some(Retries { retry, hedge, ratio, min_per_second })
    }

    /// For a route.
    pub fn of_route(&self) -> String {
        let mut yaml = String::new();
        if let Some(retry) = self.retry {
            let on = [&["unavailable", "503"], retry.on].concat().join(", ");
            let limit = retry.per_attempt_timeout;
            let limit = limit.map_or(String::new(), |limit| {
                format!("per_attempt_timeout: {}ms, ", limit.as_millis())
            });
            yaml += &format!(
                ", retry: {{ attempts: {}, on: [ {on} ], {limit}backoff: {{ first: {}ms, max: {}ms }}, \
                 buffer: {}, hold: {}ms }}",
                retry.attempts,
                retry.first,
                retry.max.max(retry.first),
                retry.buffer,
                retry.hold.as_millis(),
            );
        }
        if let Some(Hedge { after, attempts }) = self.hedge {
            yaml += &format!(", hedge: {{ after: {}ms, attempts: {attempts} }}", after.as_millis());
        }
        yaml
    }

    /// For a service.
    pub fn of_service(&self) -> String {
        let (ratio, min) = (f64::from(self.ratio) / 100.0, self.min_per_second);
        format!("    retry_budget: {{ ratio: {ratio}, min_per_second: {min} }}\n")
    }

    /// Whether requests of this route are retried and hedged.
    pub fn concern(route: Route) -> bool {
        matches!(route, Route::Orders | Route::Mirrored | Route::Page)
    }

    /// Attempts of a request at most.
    pub fn attempts(&self) -> usize {
        let (retry, hedge) = (self.retry.map(|it| it.attempts), self.hedge.map(|it| it.attempts));
        retry.or(hedge).unwrap_or(1) as usize
    }

    /// Retries and hedges that a service may have had in less than ten seconds with these requests.
    pub fn allowed(&self, requests: u64) -> u64 {
        (requests * u64::from(self.ratio) / 100).max(10 * u64::from(self.min_per_second))
    }

    /// How a request goes wrong, if it does.
    pub fn fails(&self, exchange: &Exchange, habits: Habits, seed: u64) -> Option<Fails> {
        let mut rng = fastrand::Rng::with_seed(!seed ^ exchange.id.wrapping_mul(0x9e37_79b9));
        if !Retries::concern(exchange.route) || exchange.idles || rng.bool() {
            return None;
        }
        let bounded = habits.idle.is_none();
        let ends = self.retry.is_some_and(|retry| retry.per_attempt_timeout.is_some());
        let late = Duration::from_millis(rng.u64(..60));
        let how = match rng.u8(..8) {
            0..3 => Fail::Unavailable,
            3 if exchange.route.is_grpc() => Fail::AfterHead(late),
            4 => Fail::Reset,
            5 if ends && bounded => Fail::Silent,
            6 | 7 if bounded => Fail::Slow(Duration::from_millis(rng.u64(50..1000))),
            _ => Fail::Unavailable,
        };
        let attempts = self.attempts();
        let times = match habits.faults {
            true => rng.usize(1..6),
            // Where nothing else goes wrong, one is left that succeeds.
            false if attempts < 2 && !matches!(how, Fail::Slow(_)) => return None,
            false => rng.usize(1..attempts.max(2)),
        };
        let pushback = (rng.u8(..4) == 0).then(|| rng.u64(..50));
        Some(Fails { times, how, at_once: rng.bool(), pushback })
    }

    /// Whether the client may see a failure though nothing else goes wrong.
    pub fn may_fail(&self, exchange: &Exchange, habits: Habits) -> bool {
        let Some(retry) = self.retry else {
            return exchange.fails.is_some_and(|it| !matches!(it.how, Fail::Slow(_)));
        };
        // Where exchanges may be idle, some are for seconds.
        let ample = |limit| limit >= AMPLE && habits.idle.is_none();
        if retry.per_attempt_timeout.is_some_and(|limit| !ample(limit)) {
            return true;
        }
        let Some(fails) = exchange.fails else { return false };
        let retried = match fails.how {
            Fail::Slow(_) => return false,
            Fail::Unavailable => true,
            Fail::AfterHead(_) => false, // it may be a stream
            // Over HTTP/1.1 the connection ends, and nobody may be reached for a while.
            Fail::Reset if exchange.route == Route::Page && habits.web_http1 => false,
            Fail::Reset => retry.on.contains(&"reset"),
            Fail::Silent => exchange.route.is_grpc() || retry.on.contains(&"timeout"),
        };
        let held = exchange.is_held(habits);
        let in_time = exchange.limit(habits).is_none();
        let implemented = exchange.route == Route::Page || !habits.lacks;
        !(retried && held && in_time && implemented && self.min_per_second >= 1000)
    }
}
