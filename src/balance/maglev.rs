//! `maglev`: consistent hashing by a lookup table; one memory access a pick.
//!
//! After Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer": every
//! member has its own permutation of the table entries, derived from its address. Members take
//! turns, and each takes the first free entry of its permutation. As in Envoy, turns are as
//! frequent as the weights say, and everybody's first comes before anybody's second, so every
//! member has an entry. The order of turns depends on addresses and weights alone: every worker,
//! every gateway and every restart agrees on the table, in whatever order the members were given.
//!
//! Shares are exact to an entry or two, where those of a ring vary by chance; but when the set
//! changes, a few keys of other members move too. With a hundred members and a hundred entries
//! each, when one leaves, these are about half as many as must move, and fewer with more entries.
//!
//! Filling takes as many steps as it takes to find free entries at random, about `n ln n` for `n`
//! entries: some milliseconds for 65,537, whatever the members and their weights.
//!
//! Keys, fallbacks and unavailable members are handled in [`hashing`](super::hashing).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::hashing::{HASHING, HashSettings, Places};
use super::{Factory, KeySpec, Picker, Policy};
use crate::model::{EndpointSet, stable_hash};
use crate::text::keys::{Keys, Setting, number, section};
use crate::text::{BadParams, Params};

/// The paper's small table.
const DEFAULT_SIZE: u64 = 65_537;
/// Limits a table to 4 MiB, and the time to build it to a tenth of a second.
const MAX_SIZE: u64 = 1_048_573;
const MIN_SIZE: u64 = 101;

section! {
    /// The settings.
    static SETTINGS: TableKeys = "balancer: maglev", also &HASHING;

    table_size: Setting<u64> = number(MIN_SIZE..=MAX_SIZE), DEFAULT_SIZE,
        "entries of the table, a prime; a hundred for each backend at least";
}

/// The policy.
#[derive(Debug)]
pub struct Maglev;

impl Policy for Maglev {
    fn name(&self) -> &'static str {
        "maglev"
    }

    fn settings(&self) -> Option<&'static dyn Keys> {
        Some(&SETTINGS)
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let settings = HashSettings::read(&params);
        let size = params.value(&SETTINGS.table_size);
        if let Some(prime) = (size..).find(|&size| is_prime(size)).filter(|&p| p != size) {
            let message = format!("{size} is not prime: the next that is, is {prime}");
            params.reject(&SETTINGS.table_size, message);
        }
        params.finish()?;
        Ok(Arc::new(MaglevFactory { settings, size }))
    }
}

fn is_prime(number: u64) -> bool {
    (2..).take_while(|divisor| divisor * divisor <= number).all(|d| !number.is_multiple_of(d))
}

#[derive(Debug)]
struct MaglevFactory {
    settings: HashSettings,
    size: u64,
}

impl Factory for MaglevFactory {
    fn build(&self, set: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
        let table = Table(filled(&set, self.size));
        self.settings.picker(set, table)
    }

    fn key(&self) -> Option<&KeySpec> {
        Some(&self.settings.key)
    }
}

/// The owner of each entry.
struct Table(Box<[u32]>);

impl Places for Table {
    fn owner(&self, hash: u64) -> usize {
        self.0[(hash % self.0.len() as u64) as usize] as usize
    }
}

fn filled(set: &EndpointSet, size: u64) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    let mut table = vec![FREE; size as usize];
    let mut turns = turns(set, size);
    for _ in 0..size {
        let Some(mut turn) = turns.peek_mut() else { break };
        let owner = turn.owner;
        let free = turn.walk.find(|&entry| table[entry as usize] == FREE);
        if let Some(entry) = free {
            table[entry as usize] = owner;
        }
        turn.taken += 1; // dropping `turn` makes the heap sift it down
    }
    table.into()
}

/// The initial heap of turns.
fn turns(set: &EndpointSet, size: u64) -> BinaryHeap<Turn> {
    let mut members: Vec<_> = set.members().iter().zip(0u32..).collect();
    members.sort_unstable_by_key(|(member, _)| member.endpoint.place());
    let turn = |((member, owner), rank): ((&crate::model::Member, u32), u32)| {
        let address = member.endpoint.place().as_bytes();
        let start = stable_hash(address, 0) % size;
        let step = 1 + stable_hash(address, 1) % (size - 1);
        let walk = Walk { next: start, step, size };
        Turn { taken: 0, weight: member.weight.into(), rank, owner, walk }
    };
    members.into_iter().zip(0..).map(turn).collect()
}

/// A member's next turn; the fewer taken for its weight, the sooner.
struct Turn {
    taken: u64,
    weight: u64,
    /// Rank by address, as the tie-break.
    rank: u32,
    owner: u32,
    walk: Walk,
}

impl Ord for Turn {
    /// Reversed: the soonest is the greatest, for the max-heap.
    fn cmp(&self, other: &Turn) -> Ordering {
        // `taken / weight`, in whole numbers: a table's size times a weight of 32 bits.
        let (own, others) = (self.taken * other.weight, other.taken * self.weight);
        others.cmp(&own).then(other.rank.cmp(&self.rank))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Turn) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Turn) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

/// A member's permutation of the table entries: every entry once, as the size is prime.
struct Walk {
    next: u64,
    step: u64,
    size: u64,
}

impl Iterator for Walk {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let entry = self.next;
        self.next = (entry + self.step) % self.size;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, EwmaParams, Member, Time};

    fn set(weights: impl IntoIterator<Item = u32>) -> EndpointSet {
        let ewma = EwmaParams::default();
        let member = |(number, weight)| {
            let address = format!("10.0.0.{number}:50051");
            Member { endpoint: Arc::new(Endpoint::new(&address, 1, Time::ZERO)), weight }
        };
        let members: Vec<_> = (0..).zip(weights).map(member).collect();
        EndpointSet::new(members, ewma)
    }

    fn entries(set: &EndpointSet, size: u64) -> Vec<u64> {
        let mut entries = vec![0; set.len()];
        filled(set, size).iter().for_each(|owner| entries[*owner as usize] += 1);
        entries
    }

    #[test]
    fn shares_are_off_by_two_entries_at_most() {
        let cases: [Vec<u32>; 5] = [
            vec![1; 7],
            (0..100).map(|n| 1 + n % 5).collect(),
            vec![1000, 1, 1],
            vec![80, 20],
            vec![1],
        ];
        for weights in cases {
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let entries = entries(&set(weights.iter().copied()), DEFAULT_SIZE);
            for (&entries, &weight) in entries.iter().zip(&weights) {
                let due = DEFAULT_SIZE as f64 * f64::from(weight) / total as f64;
                assert!((entries as f64 - due).abs() <= 2.0, "{weight} of {total}: {entries}");
            }
        }
    }

    #[test]
    fn every_member_has_an_entry_while_there_are_enough() {
        for members in [100, 101, 150] {
            let weights = (0..members).map(|n| if n == 0 { u32::MAX } else { 1 });
            let entries = entries(&set(weights), MIN_SIZE);
            let with_one = entries.iter().filter(|entries| **entries > 0).count();
            assert_eq!(with_one, members.min(101));
        }
    }

    #[test]
    fn primes_are_told_from_the_rest() {
        let primes: Vec<_> = (2..30).filter(|number| is_prime(*number)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        for size in [MIN_SIZE, DEFAULT_SIZE, MAX_SIZE] {
            assert!(is_prime(size), "{size}");
        }
        assert!((MAX_SIZE + 1..1 << 20).all(|size| !is_prime(size)));
    }
}
