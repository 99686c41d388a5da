//! Names as backends: one endpoint for each address that a name resolves to.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Backend, Desired};
use crate::model::{Address, Endpoint};
use crate::service::MAX_BACKENDS;
use crate::service::membership::{Intent, Layer, MergedIntent, merge};

/// A member of the service.
pub(super) struct Member {
    /// Of a name, one of the addresses that it resolves to.
    pub address: Address,
    /// The name that was resolved.
    pub name: Option<Address>,
    /// How many addresses share its weight.
    pub shared_by: u32,
    pub intent: MergedIntent,
}

impl Backend {
    /// What no two backends of a service have in common: several names may resolve to one address.
    pub(in crate::service) fn identity(&self) -> (&Address, Option<&Address>) {
        (&self.address, self.name.as_ref())
    }

    /// What operators call it: its address, and its name if it has one.
    pub(super) fn called(&self) -> impl Iterator<Item = &Address> {
        [Some(&self.address), self.name.as_ref()].into_iter().flatten()
    }
}

impl Desired {
    /// A new endpoint at `address`, to which `name` resolves, if that is given.
    pub(super) fn endpoint(&self, address: &Address, name: Option<&Address>) -> Endpoint {
        let new = |text: &str| Endpoint::new(text, self.workers, self.now());
        match name {
            None => new(address.as_str()),
            Some(name) => new(name.as_str()).at(address.as_str()),
        }
    }

    /// Follows the names among the members, and no others.
    pub(super) fn follow_names(&mut self, overrides: &Layer) {
        let members = self.below.iter().chain(overrides.iter());
        let hosts: HashSet<&str> =
            members.filter_map(|(address, _)| Some(address.name()?.0)).collect();
        let same = hosts.len() == self.names.len();
        if self.preview || (same && hosts.iter().all(|it| self.names.contains_key(*it))) {
            return;
        }
        let names = self.discovery.names();
        // Those that stay are watched anew before the old subscriptions end.
        let watch = |host: &str| (host.into(), names.watch(host, &self.name_subscriber));
        self.names = Arc::new(hosts.into_iter().map(watch).collect());
    }

    /// The members by all layers, names resolved as far as that is known. What `overrides` say of a name
    /// holds for all of its addresses, and what they say of an address for that one.
    pub(super) fn members_of(&self, overrides: &Layer) -> Vec<Member> {
        let merged = merge([&*self.below, overrides]);
        let mut members = Vec::with_capacity(merged.len());
        for (address, intent) in merged {
            let places = self.resolved(&address);
            if places.is_empty() {
                members.push(Member { address, name: None, shared_by: 1, intent });
                continue;
            }
            let shared_by = u32::try_from(places.len()).unwrap_or(u32::MAX);
            members.extend(places.into_iter().filter_map(|place| {
                let intent =
                    overrides.get(&place).map_or(Some(intent), |own| own.refine(intent))?;
                Some(Member { address: place, name: Some(address.clone()), shared_by, intent })
            }));
        }
        members.truncate(MAX_BACKENDS); // names may resolve to any number of addresses
        members
    }

    /// The addresses of the names of `members`, of which operators may want something, as a layer that
    /// adds none.
    pub(super) fn places(&self, members: &Layer) -> Layer {
        let places = members.iter().flat_map(|(address, _)| self.resolved(address));
        places.map(|place| (place, Intent::default())).collect()
    }

    /// What a name resolves to; nothing if that is not known, or it is no name.
    fn resolved(&self, address: &Address) -> Vec<Address> {
        let Some((host, port)) = address.name() else { return Vec::new() };
        let known = self.names.get(host).and_then(|name| name.addresses());
        let ips: Arc<[_]> = known.unwrap_or_default();
        ips.iter().map(|ip| Address::of(SocketAddr::new(ip.to_canonical(), port))).collect()
    }
}

impl Intent {
    /// What one address of a name is to do, of which this is said in particular. `None` if it is removed.
    fn refine(self, name: MergedIntent) -> Option<MergedIntent> {
        (self.present != Some(false)).then(|| MergedIntent {
            weight: self.weight.unwrap_or(name.weight),
            drained: self.drained.unwrap_or(name.drained),
            ..name
        })
    }
}
