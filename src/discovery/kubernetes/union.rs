//! All EndpointSlices of a service, and the backends that they name together.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};

use super::slice::Member;
use crate::discovery::{Discovered, MAX_DISCOVERED};
use crate::model::Address;

/// Slices that are kept, at most.
const MAX_SLICES: usize = 10_000;

/// Endpoints that are kept, at most; those that drain, and those that stand twice, are among them.
const MAX_MEMBERS: usize = 2 * MAX_DISCOVERED;

/// The slices of a service by name: in their order, the same slices make the same set.
#[derive(Debug, Default)]
pub struct Slices {
    by_name: BTreeMap<Box<str>, Vec<Member>>,
    members: usize,
}

impl Slices {
    /// Adds or replaces a slice.
    ///
    /// # Errors
    /// What is left out as too much.
    pub fn put(&mut self, name: &str, mut members: Vec<Member>) -> Result<(), String> {
        self.remove(name);
        if self.by_name.len() == MAX_SLICES {
            return Err(format!("there are more than {MAX_SLICES} of them: it is left out"));
        }
        let over = (self.members + members.len()).saturating_sub(MAX_MEMBERS);
        members.truncate(members.len().saturating_sub(over));
        members.shrink_to_fit();
        self.members += members.len();
        self.by_name.insert(name.into(), members);
        match over {
            0 => Ok(()),
            _ => Err(format!("{over} endpoints more than the {MAX_MEMBERS} that are kept")),
        }
    }

    /// Removes a slice, if it is there.
    pub fn remove(&mut self, name: &str) {
        self.members -= self.by_name.remove(name).map_or(0, |members| members.len());
    }

    /// The endpoints of a slice.
    pub fn get(&self, name: &str) -> Option<&[Member]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// The backends, each address once: those that are ready first, then those that drain.
    pub fn backends(&self) -> Vec<Discovered> {
        let mut members: Vec<&Member> = Vec::with_capacity(self.members);
        let mut places: HashMap<&Address, usize> = HashMap::with_capacity(self.members);
        for member in self.by_name.values().flatten() {
            match places.entry(&member.backend.address) {
                Entry::Vacant(place) => {
                    place.insert(members.len());
                    members.push(member);
                }
                Entry::Occupied(place) => {
                    if let Some(known) = members.get_mut(*place.get()) {
                        *known = of_both(known, member);
                    }
                }
            }
        }
        // Where some have no hint, a zone might be left with nobody.
        let hinted =
            members.iter().all(|member| member.backend.terminating || member.hint.is_some());
        let backend = |member: &&Member| {
            let mut backend = member.backend.clone();
            if let Some(hint) = member.hint.clone().filter(|_| hinted) {
                backend.zone = Some(hint);
            }
            backend
        };
        let ready = members.iter().filter(|member| !member.backend.terminating).map(backend);
        let draining = members.iter().filter(|member| member.backend.terminating).map(backend);
        ready.chain(draining).collect()
    }
}

/// Which of two endpoints at one address counts. A pod is in two slices for a moment when it is moved;
/// one that terminates does not come back. Of two pods the one that is ready has got the address.
fn of_both<'a>(known: &'a Member, other: &'a Member) -> &'a Member {
    let same_pod = known.backend.instance == other.backend.instance;
    match (known.backend.terminating, other.backend.terminating) {
        (false, true) if same_pod => other,
        (true, false) if !same_pod => other,
        _ => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(address: &str) -> Member {
        Member { backend: Discovered::at(address).unwrap(), hint: None }
    }

    fn ending(member: Member) -> Member {
        Member { backend: Discovered { terminating: true, ..member.backend }, ..member }
    }

    fn pod(address: &str, uid: &str) -> Member {
        Member { backend: Discovered::at(address).unwrap().as_instance(uid), hint: None }
    }

    fn hinted(address: &str, zone: &str, hint: Option<&str>) -> Member {
        let backend = Discovered::at(address).unwrap().in_zone(zone);
        Member { backend, hint: hint.map(Into::into) }
    }

    fn set(slices: &[&[Member]]) -> Vec<Discovered> {
        let mut all = Slices::default();
        for (number, members) in slices.iter().enumerate() {
            all.put(&number.to_string(), members.to_vec()).unwrap();
        }
        all.backends()
    }

    fn shown(set: &[Discovered]) -> Vec<String> {
        let shown =
            |it: &Discovered| format!("{}{}", it.address, if it.terminating { "-" } else { "" });
        set.iter().map(shown).collect()
    }

    #[test]
    fn slices_are_united_and_each_address_stands_once() {
        let set = set(&[
            &[member("a:1"), ending(member("d:1")), member("b:1")],
            &[member("b:1"), member("b:2"), member("c:1")],
        ]);
        assert_eq!(shown(&set), ["a:1", "b:1", "b:2", "c:1", "d:1-"]);
    }

    #[test]
    fn slices_are_replaced_and_removed_by_name() {
        let mut slices = Slices::default();
        slices.put("x", vec![member("a:1"), member("b:1")]).unwrap();
        slices.put("y", vec![member("b:1")]).unwrap();
        slices.put("x", vec![member("c:1")]).unwrap();
        assert_eq!(shown(&slices.backends()), ["c:1", "b:1"]);
        slices.remove("x");
        slices.remove("z");
        assert_eq!((shown(&slices.backends()), slices.members), (vec!["b:1".into()], 1));
        assert_eq!(slices.get("y").map(<[_]>::len), Some(1));
        assert_eq!(slices.get("x"), None);
    }

    #[test]
    fn of_two_at_one_address_the_one_that_has_it_now_counts() {
        let ready = |uid| pod("a:1", uid);
        let ends = |uid| ending(pod("a:1", uid));
        for (one, other, expected) in [
            (ready("1"), ends("1"), ["a:1-"]), // it is about to end
            (ends("1"), ready("1"), ["a:1-"]),
            (ends("1"), ready("2"), ["a:1"]), // the address has a new pod
            (ready("2"), ends("1"), ["a:1"]),
        ] {
            assert_eq!(shown(&set(&[&[one], &[other]])), expected);
        }
    }

    #[test]
    fn hints_count_if_every_ready_endpoint_has_one() {
        let zones = |members: &[Member]| -> Vec<String> {
            let set = set(&[members]);
            set.iter().map(|it| it.zone.as_deref().unwrap_or_default().to_owned()).collect()
        };
        let (a, b) = (hinted("a:1", "x", Some("y")), hinted("b:1", "x", Some("x")));
        assert_eq!(zones(&[a.clone(), b.clone()]), ["y", "x"]);
        assert_eq!(zones(&[a.clone(), hinted("c:1", "z", None), b.clone()]), ["x", "z", "x"]);
        assert_eq!(zones(&[a, b, ending(hinted("c:1", "z", None))]), ["y", "x", "z"]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut slices = Slices::default();
        let many = |count: usize| vec![member("a:1"); count];
        slices.put("x", many(MAX_MEMBERS - 1)).unwrap();
        assert!(slices.put("y", many(3)).unwrap_err().starts_with("2 endpoints more"));
        assert_eq!(slices.members, MAX_MEMBERS);
        slices.put("x", many(1)).unwrap();
        slices.put("z", many(3)).unwrap();
        for number in 0..MAX_SLICES - 3 {
            slices.put(&number.to_string(), Vec::new()).unwrap();
        }
        assert!(slices.put("more", Vec::new()).unwrap_err().contains("left out"));
        slices.put("x", many(2)).unwrap();
        assert_eq!(slices.members, 2 + 1 + 3);
    }

    #[test]
    fn ten_thousand_endpoints_make_the_same_set_each_time() {
        let mut slices = Slices::default();
        let at = |n: usize| member(&format!("10.0.{}.{}:80", n / 250, n % 250 + 1));
        for slice in 0..100 {
            slices
                .put(&slice.to_string(), (slice * 100..(slice + 1) * 100).map(at).collect())
                .unwrap();
        }
        let set = slices.backends();
        assert_eq!(set.len(), MAX_DISCOVERED);
        assert_eq!(slices.backends(), set);
    }
}
