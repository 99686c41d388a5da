//! Rejection counters of one service by route: requests that the gateway answered itself.

use std::sync::Arc;

use dashmap::DashMap;

use crate::model::{RejectCounts, RejectReason, RejectTotals};

/// Maximum of routes with counters of their own, those of earlier configurations included; further
/// ones are counted as [`OTHER`].
const MAX_ROUTES: usize = 1024;

/// Name under which all other routes are counted.
const OTHER: &str = "other";

/// Rejection counters by route. They outlive the routes, as counters must not go back.
#[derive(Debug)]
pub struct Rejections {
    workers: usize,
    routes: DashMap<Box<str>, Arc<RejectCounts>>,
}

impl Rejections {
    /// Creates empty counters for this many workers.
    pub fn new(workers: usize) -> Rejections {
        Rejections { workers, routes: DashMap::new() }
    }

    /// Counters of a route. Looked up by name, so workers cache the result.
    pub fn of(&self, route: &str) -> Arc<RejectCounts> {
        if let Some(counts) = self.routes.get(route) {
            return Arc::clone(&counts);
        }
        let name = if self.routes.len() < MAX_ROUTES { route } else { OTHER };
        let new = || Arc::new(RejectCounts::new(self.workers));
        Arc::clone(&self.routes.entry(name.into()).or_insert_with(new))
    }

    /// Totals by route, sorted by name.
    pub fn by_route(&self) -> Vec<(Box<str>, RejectTotals)> {
        let totals = self.routes.iter().map(|entry| (entry.key().clone(), entry.totals()));
        let mut totals: Vec<_> = totals.collect();
        totals.sort_unstable();
        totals
    }

    /// Totals over all routes.
    pub fn totals(&self) -> RejectTotals {
        let mut sums = [0; RejectReason::ALL.len()];
        for entry in &self.routes {
            sums.iter_mut().zip(entry.totals()).for_each(|(sum, more)| *sum += more);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_counted_apart_and_their_number_is_bounded() {
        let rejections = Rejections::new(1);
        for route in 0..2 * MAX_ROUTES {
            rejections.of(&format!("route-{route}")).increment(RejectReason::NoBackend, 0);
        }
        rejections.of("route-7").increment(RejectReason::Connect, 0);
        let by_route = rejections.by_route();
        assert_eq!(by_route.len(), MAX_ROUTES + 1);
        let of = |name: &str| by_route.iter().find(|(route, _)| &**route == name).unwrap().1;
        let (connect, no_backend) =
            (RejectReason::Connect as usize, RejectReason::NoBackend as usize);
        assert_eq!((of("route-7")[no_backend], of("route-7")[connect]), (1, 1));
        assert_eq!(of(OTHER)[no_backend], MAX_ROUTES as u64);
        assert_eq!(rejections.totals()[no_backend], 2 * MAX_ROUTES as u64);
    }
}
