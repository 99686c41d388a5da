//! Descriptors: how many the process may open, and for whom the last ones are kept.
//!
//! The system gives a new descriptor the lowest number that is free. So the number of a new socket
//! says how many are open at least, whoever opened them, and nothing has to be counted.

use std::os::fd::{AsFd, AsRawFd};

use rlimit::Resource;

/// No share of control, metrics and what is left over is larger, nor smaller than the second.
const CONTROL: (usize, usize) = (1024, 4);
const METRICS: (usize, usize) = (64, 4);
const SPARE: (usize, usize) = (64, 4);

/// Who may take how many of the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// That may be open in all.
    pub limit: usize,
    /// Connections to the control API.
    pub control: usize,
    /// Connections to the metrics and health.
    pub metrics: usize,
    /// From this number on none are left for connections to backends.
    backends: usize,
    /// From this number on none are left for clients, so that there may be hardly as many of them.
    pub clients: usize,
}

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A connection of a client.
    Client,
    /// A connection to a backend.
    Backend,
}

impl Descriptors {
    /// The shares as the process' limit is now.
    pub fn now() -> Descriptors {
        // What cannot be asked for is taken to be without bound: the system still has the last word.
        let limit = Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
        Descriptors::of(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// A quarter is for backends, and what control, health and files need is kept from both.
    fn of(limit: usize) -> Descriptors {
        let share = |(most, least): (usize, usize)| (limit / 16).clamp(least, most);
        let (control, metrics) = (share(CONTROL), share(METRICS));
        let backends = limit.saturating_sub(control + metrics + share(SPARE));
        let clients = backends.saturating_sub(limit / 4);
        Descriptors { limit, control, metrics, backends, clients }
    }

    /// How many are open now, at least.
    ///
    /// # Errors
    /// No further one can be opened.
    pub fn open() -> std::io::Result<usize> {
        let next = std::io::stderr().as_fd().try_clone_to_owned()?;
        Ok(usize::try_from(next.as_raw_fd()).unwrap_or(usize::MAX))
    }

    /// Whether one that was just opened may be kept for this.
    pub fn spare(&self, opened: &impl AsFd, purpose: Purpose) -> bool {
        let number = usize::try_from(opened.as_fd().as_raw_fd()).unwrap_or(usize::MAX);
        number
            < match purpose {
                Purpose::Client => self.clients,
                Purpose::Backend => self.backends,
            }
    }
}

/// Raises the limit of open descriptors as far as this process may.
///
/// # Errors
/// The system refuses, and the limit stays.
pub fn raise_descriptor_limit() -> std::io::Result<()> {
    let (soft, hard) = Resource::NOFILE.get()?;
    if soft < hard { Resource::NOFILE.set(hard, hard) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_control_and_health_may_use_is_never_given_away() {
        for limit in [32, 64, 100, 256, 1024, 4096, 20_000, 1 << 20, usize::MAX] {
            let shares = Descriptors::of(limit);
            assert!(shares.clients < shares.backends, "{shares:?}");
            let reserve = limit - shares.backends;
            assert!(reserve > shares.control + shares.metrics, "{shares:?}");
            assert!(shares.clients >= limit / 4, "{shares:?}");
        }
        let small = Descriptors::of(64);
        assert_eq!((small.clients, small.backends, small.metrics), (36, 52, 4));
        let none = Descriptors::of(0);
        assert_eq!((none.clients, none.backends), (0, 0));
    }

    #[test]
    fn what_is_open_is_seen() {
        let held: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        assert!(Descriptors::open().unwrap() >= held.len() + 3);
    }

    #[test]
    fn the_number_of_a_descriptor_says_whether_it_is_spare() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Descriptors::of(1 << 20).spare(&file, Purpose::Client));
        assert!(!Descriptors::of(0).spare(&file, Purpose::Backend));
    }
}
