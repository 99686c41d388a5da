//! Requests that got no answer of a backend, by the reason, and how many of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::outcome::Class;
use crate::stats::{increment, of_worker};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $text:literal $class:ident,)*) => {
        /// Why a request got no answer of a backend.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rejected { $($(#[$doc])* $variant),* }

        impl Rejected {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Rejected] = &[$(Rejected::$variant),*];

            /// The value of the label.
            pub const fn name(self) -> &'static str {
                match self { $(Rejected::$variant => $text),* }
            }

            /// How the request ended for who asked, by the code that it was told.
            pub const fn class(self) -> Class {
                match self { $(Rejected::$variant => Class::$class),* }
            }
        }
    };
}

reasons! {
    /// No route matches it.
    NoRoute "no_route" Failure,
    /// Its service has no backend that may take requests.
    NoBackend "no_backend" Failure,
    /// No connection to a backend could be made.
    Connect "connect" Failure,
    /// All streams were taken for as long as it could wait, or too many were waiting.
    Overloaded "overloaded" Failure,
    /// A backend gave it back unprocessed, and there was no other.
    Refused "refused" Failure,
    /// Its time was up before a backend had it.
    Deadline "deadline" Failure,
    /// Its client gave up before a backend had it.
    Cancelled "cancelled" Cancelled,
    /// It breaks the rules of HTTP or of gRPC.
    Malformed "malformed" Success,
    /// Its head is larger than the limit.
    TooLarge "too_large" Success,
    /// Its client had as many streams open as it may.
    TooManyStreams "too_many_streams" Failure,
    /// Its method is CONNECT.
    ConnectMethod "connect_method" Success,
    /// gRPC where there is HTTP/1.1 alone.
    HttpVersion "http_version" Failure,
    /// It came after its client had been asked to go.
    ShuttingDown "shutting_down" Failure,
}

impl Rejected {
    /// Whether a request may be rejected for this before it has a route.
    pub const fn precedes_routes(self) -> bool {
        use Rejected::{
            ConnectMethod, HttpVersion, Malformed, NoRoute, ShuttingDown, TooLarge, TooManyStreams,
        };
        matches!(
            self,
            NoRoute
                | Malformed
                | TooLarge
                | TooManyStreams
                | ConnectMethod
                | HttpVersion
                | ShuttingDown
        )
    }
}

/// How often each reason was met, by [`Rejected`]'s numbers.
pub type RejectTotals = [u64; Rejected::ALL.len()];

/// Requests of one route for one service that got no answer of a backend.
#[derive(Debug)]
pub struct RejectCounts(Box<[Cells]>);

/// What one worker counts.
#[derive(Debug)]
#[repr(align(128))] // a cache line pair of its own: workers must not share its traffic
struct Cells([AtomicU64; Rejected::ALL.len()]);

impl RejectCounts {
    /// None yet, for this many workers.
    pub fn new(workers: usize) -> RejectCounts {
        let cells = || Cells([const { AtomicU64::new(0) }; _]);
        RejectCounts((0..workers.max(1)).map(|_| cells()).collect())
    }

    /// Counts one. Only worker `worker` may call this with its number.
    pub fn increment(&self, reason: Rejected, worker: usize) {
        let Cells(cells) = of_worker(&self.0, worker);
        increment(&cells[reason as usize]);
    }

    /// The sums over all workers.
    pub fn totals(&self) -> RejectTotals {
        let of = |number: usize| self.0.iter().map(|cells| cells.0[number].load(Relaxed)).sum();
        std::array::from_fn(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_name_and_number() {
        let names: HashSet<_> = Rejected::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Rejected::ALL.len());
        for (number, reason) in Rejected::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
    }

    #[test]
    fn each_reason_is_counted_for_itself_over_all_workers() {
        let counts = RejectCounts::new(2);
        for (number, reason) in Rejected::ALL.iter().enumerate() {
            (0..=number).for_each(|_| counts.increment(*reason, number % 2));
        }
        let expected: Vec<u64> = (1..=Rejected::ALL.len() as u64).collect();
        assert_eq!(counts.totals().to_vec(), expected);
    }
}
