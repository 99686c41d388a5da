//! File descriptor budget (RLIMIT_NOFILE), and what the last descriptors are reserved for.
//!
//! The kernel gives a new descriptor the lowest free number, so the number of a new socket is a
//! lower bound of how many are open: no counting is needed.

use std::os::fd::{AsFd, AsRawFd};

use rlimit::Resource;

/// Upper and lower bound of the shares of control, metrics and the reserve.
const CONTROL: (usize, usize) = (1024, 4);
const METRICS: (usize, usize) = (64, 4);
const SPARE: (usize, usize) = (64, 4);

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The process' limit.
    pub limit: usize,
    /// Connections to the control API.
    pub control: usize,
    /// Connections to the metrics and health.
    pub metrics: usize,
    /// Descriptors from this number on are refused to backend connections.
    backends: usize,
    /// Descriptors from this number on are refused to clients; so also a cap on their number.
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
    /// The shares under the process' current limit.
    pub fn now() -> Descriptors {
        // An unknown limit counts as unlimited: the kernel enforces it anyway.
        let limit = Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
        Descriptors::of(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// A quarter is reserved for backends. What control, health and files need is reserved from both
    /// clients and backends.
    fn of(limit: usize) -> Descriptors {
        let share = |(most, least): (usize, usize)| (limit / 16).clamp(least, most);
        let (control, metrics) = (share(CONTROL), share(METRICS));
        let backends = limit.saturating_sub(control + metrics + share(SPARE));
        let clients = backends.saturating_sub(limit / 4);
        Descriptors { limit, control, metrics, backends, clients }
    }

    /// A lower bound of the descriptors open now.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn open() -> std::io::Result<usize> {
        let next = std::io::stderr().as_fd().try_clone_to_owned()?;
        Ok(usize::try_from(next.as_raw_fd()).unwrap_or(usize::MAX))
    }

    /// Whether a newly opened descriptor is within the share of its purpose.
    pub fn spare(&self, opened: &impl AsFd, purpose: Purpose) -> bool {
        let number = usize::try_from(opened.as_fd().as_raw_fd()).unwrap_or(usize::MAX);
        number
            < match purpose {
                Purpose::Client => self.clients,
                Purpose::Backend => self.backends,
            }
    }
}

/// Raises the soft RLIMIT_NOFILE to the hard one.
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
