//! Weighted split of a route's requests over several services.

use std::collections::HashMap;
use std::sync::Arc;

use super::filters::Filters;
use crate::model::{rehashed, stable_hash};

/// Services with their shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    shares: Box<[Share]>,
    /// The hash seed of each share: by service, and by occurrence within that service.
    seeds: Box<[u64]>,
    total: u64,
}

/// The maximum weight of a share.
pub const MAX_SHARE_WEIGHT: u32 = 1_000_000;

/// The share of one service. Equality is by service name, as indices differ between tables.
#[derive(Clone, Debug, Eq)]
pub struct Share {
    /// The service's index.
    pub service: usize,
    /// The service's name.
    pub name: Box<str>,
    /// Its weight, relative to the sum of all weights.
    pub weight: u32,
    /// Filters that replace the route's.
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
    /// A split over services by weight.
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

    /// All shares, including those of weight 0.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// A key for each share: the service's name, or `service#2` and so on for further shares of it.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        self.shares.iter().map(move |share| {
            let nth = seen.entry(&share.name).or_default();
            *nth += 1;
            if *nth == 1 { share.name.to_string() } else { format!("{}#{nth}", share.name) }
        })
    }

    /// A copy with other weights, one a share.
    pub fn with_weights(&self, weights: impl IntoIterator<Item = u32>) -> Split {
        let shares = self.shares.iter().cloned().zip(weights);
        Split::new(shares.map(|(share, weight)| Share { weight, ..share }))
    }

    /// Whether any weight is above 0.
    pub fn serves(&self) -> bool {
        self.total > 0
    }

    /// Picks a share: by the key's hash if there is one, else at random; `None` if all weights are
    /// 0.
    ///
    /// Keys use weighted rendezvous hashing: each share has a hash score for the key, scaled by its
    /// weight, and the best one wins. When a weight is raised, that share wins keys from the others,
    /// which exchange none among themselves. It is consistent over workers, gateways and restarts.
    pub fn choose(&self, key: Option<&[u8]>, rng: &mut fastrand::Rng) -> Option<usize> {
        match (&*self.shares, key) {
            _ if self.total == 0 => None,
            ([_], _) => Some(0),
            (_, None) => self.draw(rng.u64(..self.total)),
            (shares, Some(key)) => {
                let key = stable_hash(key, 0);
                let cost = |(number, (share, seed)): (usize, (&Share, &u64))| {
                    let lot = rehashed(key ^ seed);
                    // In the open interval (0, 1), so that the logarithm is finite and not 0.
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
