//! The waiting requests of one worker, in the order of their tags.

use std::collections::BTreeMap;

use super::Ticket;

/// Entries with tickets: the lowest tag first, and among equal ones who came first.
#[derive(Debug)]
pub struct FairQueue<T> {
    entries: BTreeMap<Place, T>,
    joined: u64,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    tag: u64,
    number: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue { entries: BTreeMap::new(), joined: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Adds an entry.
    pub fn push(&mut self, ticket: Ticket, entry: T) -> Place {
        let place = Place { tag: ticket.tag(), number: self.joined };
        self.joined += 1;
        self.entries.insert(place, entry);
        place
    }

    /// Takes the first entry.
    pub fn pop(&mut self) -> Option<T> {
        self.entries.pop_first().map(|(_, entry)| entry)
    }

    /// Takes the entry at `place`, if it is still there.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        self.entries.remove(&place)
    }

    /// The tag of the first entry; the highest there is if it is empty.
    pub fn head(&self) -> u64 {
        self.entries.first_key_value().map_or(u64::MAX, |(place, _)| place.tag)
    }
}
