//! Rejected requests (answered by the gateway, not a backend), counted by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::outcome::Class;
use crate::stats::{increment, of_worker};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $text:literal $class:ident,)*) => {
        /// Why a request was rejected by the gateway.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RejectReason { $($(#[$doc])* $variant),* }

        impl RejectReason {
            /// All reasons, in the order of their discriminants.
            pub const ALL: &'static [RejectReason] = &[$(RejectReason::$variant),*];

            /// The value of the label.
            pub const fn name(self) -> &'static str {
                match self { $(RejectReason::$variant => $text),* }
            }

            /// The client's view of it, by the code that it was sent.
            pub const fn class(self) -> Class {
                match self { $(RejectReason::$variant => Class::$class),* }
            }
        }
    };
}

reasons! {
    /// No route matches it.
    NoRoute "no_route" Failure,
    /// Its service has no eligible backend.
    NoBackend "no_backend" Failure,
    /// Connecting to a backend failed.
    Connect "connect" Failure,
    /// No stream slot became free in time, or too many requests were waiting.
    Overloaded "overloaded" Failure,
    /// Its service had as many requests in flight as it may have.
    Limited "limited" Failure,
    /// The rate limit of its route was reached.
    RateLimited "rate_limited" Success,
    /// A backend refused it unprocessed, and there was no other.
    Refused "refused" Failure,
    /// It timed out before a backend had it.
    Deadline "deadline" Failure,
    /// The client cancelled before a backend had it.
    Cancelled "cancelled" Cancelled,
    /// It violates HTTP or gRPC.
    Malformed "malformed" Success,
    /// Its path may be read in more than one way.
    Path "path" Success,
    /// A field has an underscore in its name.
    Underscores "underscores" Success,
    /// Its head exceeds the limit.
    TooLarge "too_large" Success,
    /// Its client reached the limit of concurrent streams.
    TooManyStreams "too_many_streams" Failure,
    /// Its method is CONNECT.
    ConnectMethod "connect_method" Success,
    /// Its route is for other clients.
    Forbidden "forbidden" Success,
    /// A gRPC request for a backend that speaks only HTTP/1.1.
    HttpVersion "http_version" Failure,
    /// It came after its connection was told to go away (GOAWAY).
    ShuttingDown "shutting_down" Failure,
}

impl RejectReason {
    /// Whether this can happen before the request has a route.
    pub const fn precedes_routes(self) -> bool {
        use RejectReason::{
            ConnectMethod, HttpVersion, Malformed, NoRoute, Path, ShuttingDown, TooLarge,
            TooManyStreams, Underscores,
        };
        matches!(
            self,
            NoRoute
                | Malformed
                | Path
                | Underscores
                | TooLarge
                | TooManyStreams
                | ConnectMethod
                | HttpVersion
                | ShuttingDown
        )
    }
}

/// Counts by reason, indexed by discriminant.
pub type RejectTotals = [u64; RejectReason::ALL.len()];

/// Counters of one route's rejected requests for one service.
#[derive(Debug)]
pub struct RejectCounts(Box<[Cells]>);

/// One worker's shard.
#[derive(Debug)]
#[repr(align(128))] // a pair of cache lines, against false sharing
struct Cells([AtomicU64; RejectReason::ALL.len()]);

impl RejectCounts {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> RejectCounts {
        let cells = || Cells([const { AtomicU64::new(0) }; _]);
        RejectCounts((0..workers.max(1)).map(|_| cells()).collect())
    }

    /// Counts a rejection. Only worker `worker` may pass its number.
    pub fn increment(&self, reason: RejectReason, worker: usize) {
        let Cells(cells) = of_worker(&self.0, worker);
        increment(&cells[reason as usize]);
    }

    /// Sums over all workers.
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
        let names: HashSet<_> = RejectReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), RejectReason::ALL.len());
        for (number, reason) in RejectReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
    }

    #[test]
    fn each_reason_is_counted_for_itself_over_all_workers() {
        let counts = RejectCounts::new(2);
        for (number, reason) in RejectReason::ALL.iter().enumerate() {
            (0..=number).for_each(|_| counts.increment(*reason, number % 2));
        }
        let expected: Vec<u64> = (1..=RejectReason::ALL.len() as u64).collect();
        assert_eq!(counts.totals().to_vec(), expected);
    }
}
