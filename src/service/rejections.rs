//! What the gateway answered itself in the name of one service, by the route that it came by.

use std::sync::Arc;

use dashmap::DashMap;

use crate::model::{RejectCounts, RejectTotals, Rejected};

/// Routes that are counted apart, those of earlier configurations included; the requests of
/// further ones are counted under [`OTHER`].
const MOST_ROUTES: usize = 1024;

/// The route of what has no place of its own.
const OTHER: &str = "other";

/// Requests that got no answer of a backend. What was counted stays when routes come and go.
#[derive(Debug)]
pub struct Rejections {
    workers: usize,
    routes: DashMap<Box<str>, Arc<RejectCounts>>,
}

impl Rejections {
    /// None yet, for this many workers.
    pub fn new(workers: usize) -> Rejections {
        Rejections { workers, routes: DashMap::new() }
    }

    /// Those of a route, which workers keep: to find them again takes a look-up by name.
    pub fn of(&self, route: &str) -> Arc<RejectCounts> {
        if let Some(counts) = self.routes.get(route) {
            return Arc::clone(&counts);
        }
        let name = if self.routes.len() < MOST_ROUTES { route } else { OTHER };
        let new = || Arc::new(RejectCounts::new(self.workers));
        Arc::clone(&self.routes.entry(name.into()).or_insert_with(new))
    }

    /// All that was counted, by route, in the order of their names.
    pub fn by_route(&self) -> Vec<(Box<str>, RejectTotals)> {
        let totals = self.routes.iter().map(|entry| (entry.key().clone(), entry.totals()));
        let mut totals: Vec<_> = totals.collect();
        totals.sort_unstable();
        totals
    }

    /// The sums over all routes.
    pub fn totals(&self) -> RejectTotals {
        let mut sums = [0; Rejected::ALL.len()];
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
        for route in 0..2 * MOST_ROUTES {
            rejections.of(&format!("route-{route}")).increment(Rejected::NoBackend, 0);
        }
        rejections.of("route-7").increment(Rejected::Connect, 0);
        let by_route = rejections.by_route();
        assert_eq!(by_route.len(), MOST_ROUTES + 1);
        let of = |name: &str| by_route.iter().find(|(route, _)| &**route == name).unwrap().1;
        let (connect, no_backend) = (Rejected::Connect as usize, Rejected::NoBackend as usize);
        assert_eq!((of("route-7")[no_backend], of("route-7")[connect]), (1, 1));
        assert_eq!(of(OTHER)[no_backend], MOST_ROUTES as u64);
        assert_eq!(rejections.totals()[no_backend], 2 * MOST_ROUTES as u64);
    }
}
