//! The attempts of requests, as backends saw them, and the invariants that they must satisfy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::exchange::{Exchange, Habits, Route};
use super::ledger::Place;
use super::retries::Retries;

/// In this time a loser is told after the head of the winner.
const TOLD: Duration = Duration::from_millis(10);

/// No stream is reset sooner after its head: a server might not have accepted it yet.
const RESETTABLE: Duration = Duration::from_millis(30);

/// The time in which the gateway's sliding window forgets nothing.
const WINDOW: Duration = Duration::from_secs(10);

/// The attempts of one request.
#[derive(Default)]
pub struct Attempts {
    all: Vec<Attempt>,
    /// Which one the client has the response of, and since when.
    head: Option<(usize, Duration)>,
}

struct Attempt {
    backend: usize,
    begun: Duration,
    /// The backend has read all of the request.
    whole: bool,
    /// When the backend was done with it.
    ended: Option<Duration>,
}

impl Attempts {
    /// A backend begins one; returns how many were before it.
    pub fn begun(&mut self, backend: usize, at: Duration) -> usize {
        self.all.push(Attempt { backend, begun: at, whole: false, ended: None });
        self.all.len() - 1
    }

    /// The backend has read all of the request.
    pub fn whole(&mut self, attempt: usize) {
        self.all[attempt].whole = true;
    }

    /// The backend is done.
    pub fn ended(&mut self, attempt: usize, at: Duration) {
        self.all[attempt].ended = Some(at);
    }

    /// The client has the head of this one's response.
    pub fn head(&mut self, attempt: usize, at: Duration) {
        self.head = Some((attempt, at));
    }

    /// The backends, in order.
    pub fn backends(&self) -> Vec<usize> {
        self.all.iter().map(|attempt| attempt.backend).collect()
    }

    /// What is wrong with them. `stand` are the backends of `orders` that could take requests all
    /// the time.
    pub fn check(
        &self,
        exchange: &Exchange,
        habits: Habits,
        stand: &BTreeSet<Place>,
    ) -> Vec<String> {
        let leave = habits.retries.filter(|_| Retries::concern(exchange.route));
        let leave = leave.map_or(1, |retries| retries.attempts());
        let most = leave + usize::from(exchange.may_be_repeated(habits));
        let mut wrong = Vec::new();
        if self.all.len() > most {
            wrong.push("begun too often".to_owned());
        }
        if !exchange.route.is_served() && !self.all.is_empty() {
            wrong.push("it leads to no backend".to_owned());
        }
        let of_orders = matches!(exchange.route, Route::Orders | Route::Mirrored);
        if of_orders && !habits.faults && self.comes_again(stand) {
            wrong.push("it came again to a backend, and another stood".to_owned());
        }
        if let Some((winner, at)) = self.head.filter(|_| habits.quiet && of_orders) {
            let due = |it: &Attempt| (at + TOLD).max(it.begun + RESETTABLE);
            let late = |it: &Attempt| it.ended.is_none_or(|ended| ended > due(it));
            let late = self.all.iter().enumerate().find(|(n, it)| *n != winner && late(it));
            if let Some((n, Attempt { ended, .. })) = late {
                wrong.push(format!("{n} lost at {at:?}, told at {ended:?}, {exchange:?}"));
            }
        }
        wrong
    }

    /// Whether one came to a backend again while another had none.
    fn comes_again(&self, stand: &BTreeSet<Place>) -> bool {
        let mut tried = BTreeSet::new();
        self.all.iter().any(|attempt| {
            let again = !tried.insert(Place::Backend(attempt.backend));
            again && stand.difference(&tried).next().is_some()
        })
    }

    /// What is wrong with an answer that is as expected.
    pub fn check_answer(
        &self,
        exchange: &Exchange,
        backend: Option<usize>,
    ) -> Option<&'static str> {
        let Some((winner, _)) = self.head else { return Some("answered by nobody") };
        match self.all.get(winner) {
            Some(it) if Some(it.backend) != backend => Some("answered by another backend"),
            Some(it) if it.whole || exchange.is_answered_early() => None,
            Some(_) => Some("answered, and the backend had not all of it"),
            None => Some("answered by nobody"),
        }
    }
}

/// The retry budget of `orders`, as far as it can be seen from outside.
#[derive(Default)]
pub struct Budget {
    requests: u64,
    /// Retries and hedges by request.
    spent: BTreeMap<u64, u64>,
}

impl Budget {
    /// A client sends a request.
    pub fn sent(&mut self, route: Route) {
        self.requests += u64::from(route.services().contains(&"orders"));
    }

    /// A backend has a request after so many attempts; returns what is wrong.
    pub fn begun(
        &mut self,
        exchange: &Exchange,
        previous: u64,
        retries: Option<Retries>,
        at: Duration,
    ) -> Option<String> {
        let spent = self.spent.entry(exchange.id).or_default();
        *spent = previous.max(*spent);
        let retries = retries.filter(|_| Retries::concern(exchange.route));
        if previous > 0 && retries.is_none_or(|it| previous >= it.attempts() as u64) {
            return Some(format!("it is told of {previous} attempts"));
        }
        let (requests, spent) = (self.requests, self.spent.values().sum::<u64>());
        let allowed = retries.map_or(0, |retries| retries.allowed(requests));
        (spent > allowed && previous > 0 && at < WINDOW)
            .then(|| format!("{spent} retries and hedges of {requests} requests"))
    }
}
