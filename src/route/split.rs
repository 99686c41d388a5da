//! Which of several services a request goes to, by weight.

use std::collections::HashMap;
use std::sync::Arc;

use super::filters::Filters;
use crate::model::{rehashed, stable_hash};

/// Services with their shares of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    shares: Box<[Share]>,
    /// What each share's lots are drawn from: the service, and which of its shares it is.
    seeds: Box<[u64]>,
    total: u64,
}

/// The largest weight in a split.
pub const MAX_SHARE_WEIGHT: u32 = 1_000_000;

/// A service's share. Two are equal that have the same service by name: its index is where one
/// table has it.
#[derive(Clone, Debug, Eq)]
pub struct Share {
    /// The index of the service.
    pub service: usize,
    /// Its name.
    pub name: Box<str>,
    /// The part of the requests that it gets, of all weights together.
    pub weight: u32,
    /// What changes on the way, where that is something else than on the rest of the route.
    pub filters: Option<Arc<Filters>>,
}

impl PartialEq for Share {
    fn eq(&self, other: &Share) -> bool {
        let Share { service: _, name, weight, filters } = self;
        (name, weight, filters) == (&other.name, &other.weight, &other.filters)
    }
}

impl Share {
    /// A share without filters.
    pub fn new(service: usize, name: &str, weight: u32) -> Share {
        Share { service, name: name.into(), weight, filters: None }
    }
}

impl Split {
    /// Requests spread over services by weight.
    pub fn new(shares: impl IntoIterator<Item = Share>) -> Split {
        let shares: Box<[Share]> = shares.into_iter().collect();
        let total = shares.iter().map(|share| u64::from(share.weight)).sum();
        let mut seen = HashMap::new();
        let seed = |share: &Share| {
            let nth: &mut u32 = seen.entry(share.name.clone()).or_default();
            *nth += 1;
            stable_hash(share.name.as_bytes(), *nth)
        };
        let seeds = shares.iter().map(seed).collect();
        Split { shares, seeds, total }
    }

    /// All shares, those of weight 0 too.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// What each share is called: its service, and where a service has several `service#2` and so
    /// on.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        self.shares.iter().map(move |share| {
            let nth = seen.entry(&share.name).or_default();
            *nth += 1;
            if *nth == 1 { share.name.to_string() } else { format!("{}#{nth}", share.name) }
        })
    }

    /// The same with other weights, one for each share.
    pub fn with_weights(&self, weights: impl IntoIterator<Item = u32>) -> Split {
        let shares = self.shares.iter().cloned().zip(weights);
        Split::new(shares.map(|(share, weight)| Share { weight, ..share }))
    }

    /// Whether a weight is above 0.
    pub fn serves(&self) -> bool {
        self.total > 0
    }

    /// The number of the share that one request goes to: with a key always the same, else by chance; none when
    /// no weight is above 0.
    ///
    /// Keys are spread by weighted rendezvous: each service draws a lot for the key, scaled by its
    /// weight, and the best one wins. A service whose weight is raised wins keys from the others
    /// and they none from each other, on every worker, in every gateway, after every restart.
    pub fn choose(&self, key: Option<&[u8]>, rng: &mut fastrand::Rng) -> Option<usize> {
        match (&*self.shares, key) {
            _ if self.total == 0 => None,
            ([_], _) => Some(0),
            (_, None) => self.draw(rng.u64(..self.total)),
            (shares, Some(key)) => {
                let key = stable_hash(key, 0);
                let cost = |(number, (share, seed)): (usize, (&Share, &u64))| {
                    let lot = rehashed(key ^ seed);
                    // In (0, 1), so that the logarithm is finite and not 0.
                    let lot = ((lot >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                    let weight = f64::from(share.weight);
                    (-lot.ln() / weight, number)
                };
                let costs = shares.iter().zip(&self.seeds).enumerate().map(cost);
                costs.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, number)| number)
            }
        }
    }

    fn draw(&self, mut ticket: u64) -> Option<usize> {
        self.shares.iter().position(|share| {
            let left = ticket.checked_sub(u64::from(share.weight));
            ticket = left.unwrap_or_default();
            left.is_none()
        })
    }
}
