//! Look-ups for those who follow names: all addresses, bounded in number and time.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use hickory_resolver::proto::rr::Name;

use super::transport::FirstPart;
use super::{Families, LookupError, LookupSlots, Records, Srv, System};

/// What earlier look-ups of a name have shown.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The last one took too long.
    slow: bool,
    /// The name that was found, of those in the search list.
    known: Option<Name>,
}

/// A look-up under way.
pub type LookingUp<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who answers look-ups.
pub trait Dns: Debug + Send + Sync {
    /// All addresses of a name.
    fn addresses<'a>(&'a self, name: &'a str, past: &'a mut Past) -> LookingUp<'a, Families>;

    /// All hosts that offer a service, whose `name` is such as `_grpc._tcp.orders.example`.
    fn hosts<'a>(
        &'a self,
        name: &'a str,
        past: &'a mut Past,
    ) -> LookingUp<'a, Result<Records<Srv>, LookupError>>;
}

/// Never answers: for simulations, which must not depend on the network.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Dns for Nobody {
    fn addresses<'a>(&'a self, _: &'a str, _: &'a mut Past) -> LookingUp<'a, Families> {
        Box::pin(std::future::pending())
    }

    fn hosts<'a>(
        &'a self,
        _: &'a str,
        _: &'a mut Past,
    ) -> LookingUp<'a, Result<Records<Srv>, LookupError>> {
        Box::pin(std::future::pending())
    }
}

/// Look-ups as the system is configured.
#[derive(Debug)]
pub struct Lookups {
    system: System,
    slots: LookupSlots,
}

impl Lookups {
    /// With these `servers`, or those of `/etc/resolv.conf` if empty.
    pub fn new(servers: Vec<SocketAddr>) -> Lookups {
        // What an answer lacks is no more: the first part of one would say so of what is there.
        let system = System::new(servers, FirstPart::Refused);
        Lookups { system, slots: LookupSlots::default() }
    }
}

impl Dns for Lookups {
    fn addresses<'a>(&'a self, name: &'a str, past: &'a mut Past) -> LookingUp<'a, Families> {
        Box::pin(async move {
            let look_up = self.system.families(name, &mut past.known);
            let found = self.slots.run(past.slow, look_up).await;
            let found = found.unwrap_or_else(|| Families::failed(&LookupError::Silent));
            past.slow = !found.any() && found.error() == Some(&LookupError::Silent);
            found
        })
    }

    fn hosts<'a>(
        &'a self,
        name: &'a str,
        past: &'a mut Past,
    ) -> LookingUp<'a, Result<Records<Srv>, LookupError>> {
        Box::pin(async move {
            let look_up = self.system.services(name, &mut past.known);
            let found = self.slots.run(past.slow, look_up).await;
            let found = found.unwrap_or(Err(LookupError::Silent));
            past.slow = matches!(found, Err(LookupError::Silent));
            found
        })
    }
}
