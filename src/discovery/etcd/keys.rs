//! The keys below a prefix as they are known, and the backends that they stand for.

use std::collections::{BTreeMap, HashMap};

use super::decode::decode;
use super::proto::mvccpb::event::EventType;
use super::proto::mvccpb::{Event, KeyValue};
use crate::discovery::{Discovered, MAX_DISCOVERED};
use crate::model::Address;

/// Backends that are kept, keys without any counted as one each. More than are taken of a service, as
/// an instance may be registered under two keys for a while.
const MAX_KEPT: usize = 2 * MAX_DISCOVERED;

/// What is kept of why one cannot be used, in characters.
const MAX_FAULT: usize = 256;

/// Something that cannot be used: the key, and why.
pub(super) type Fault = (String, String);

/// The keys below a prefix.
#[derive(Debug, Default)]
pub(super) struct Keys {
    known: Known,
    /// What `known` counts as, of [`MAX_KEPT`].
    kept: usize,
    /// The revision of the last full read: older changes are in.
    read: i64,
    /// The revision of the newest change that was applied, or of the last full read.
    seen: i64,
}

/// Keys with what is known of them.
pub(super) type Known = BTreeMap<Box<[u8]>, Key>;

/// What is known of a key.
#[derive(Debug)]
pub(super) struct Key {
    created: i64,
    modified: i64,
    /// Boxed, as there are many keys, and a list would keep room for more.
    backends: Box<[Discovered]>,
}

impl Key {
    fn counts(&self) -> usize {
        self.backends.len().max(1)
    }
}

impl Keys {
    /// The newest revision that is known of: no later read may be older.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// Whether there is no room for more.
    pub fn are_full(&self) -> bool {
        self.kept >= MAX_KEPT
    }

    /// Empties them for a full read, whose pages are to follow; returns those that were known.
    pub fn start_over(&mut self) -> Known {
        self.kept = 0;
        std::mem::take(&mut self.known)
    }

    /// Takes a page of a full read at `revision`; `before` are those that were known. Returns what cannot
    /// be used.
    pub fn take(&mut self, page: Vec<KeyValue>, revision: i64, before: &mut Known) -> Vec<Fault> {
        (self.read, self.seen) = (revision, revision);
        let mut faults = Vec::new();
        for kv in page {
            // What has not changed is not read again, and its faults are not told again.
            match before.remove(&*kv.key) {
                Some(key) if key.modified == kv.mod_revision => {
                    self.kept += key.counts();
                    self.known.insert(kv.key.into(), key);
                }
                _ => self.put(kv, &mut faults),
            }
        }
        faults
    }

    /// Applies changes, but those that the last full read has had; returns what cannot be used.
    pub fn apply(&mut self, events: Vec<Event>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for event in events {
            let deleted = event.r#type() == EventType::Delete;
            let Some(kv) = event.kv.filter(|kv| kv.mod_revision > self.read) else { continue };
            self.seen = self.seen.max(kv.mod_revision);
            match deleted {
                true => self.remove(&kv.key),
                false => self.put(kv, &mut faults),
            }
        }
        faults
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(key) = self.known.remove(key) {
            self.kept -= key.counts();
        }
    }

    fn put(&mut self, kv: KeyValue, faults: &mut Vec<Fault>) {
        self.remove(&kv.key);
        let instance = match kv.lease {
            0 => format!("r{}", kv.create_revision),
            lease => format!("{lease:x}"),
        };
        let name = || String::from_utf8_lossy(&kv.key).into_owned();
        let decoded = decode(&kv.value, &instance);
        let clip = |fault: String| fault.chars().take(MAX_FAULT).collect();
        faults.extend(decoded.faults.into_iter().map(|fault| (name(), clip(fault))));
        let (created, modified) = (kv.create_revision, kv.mod_revision);
        let key = Key { created, modified, backends: decoded.backends.into() };
        if self.kept + key.counts() > MAX_KEPT {
            let fault = format!("there are more than {MAX_KEPT} keys: it is left out");
            return faults.push((name(), fault));
        }
        self.kept += key.counts();
        self.known.insert(kv.key.into(), key);
    }

    /// All backends, each address once: of several keys that name it the one that was made last
    /// counts, as the others belong to lives that are over.
    pub fn backends(&self) -> Vec<Discovered> {
        let mut newest: HashMap<&Address, i64> = HashMap::with_capacity(self.kept);
        for (backend, created) in self.each() {
            let known = newest.entry(&backend.address).or_insert(created);
            *known = created.max(*known);
        }
        let counts = |(backend, created): &(&Discovered, i64)| {
            newest.get(&backend.address).is_some_and(|newest| newest == created)
        };
        self.each().filter(counts).map(|(backend, _)| backend.clone()).collect()
    }

    fn each(&self) -> impl Iterator<Item = (&Discovered, i64)> {
        self.known.values().flat_map(|key| key.backends.iter().map(|it| (it, key.created)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str, revision: i64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        }
    }

    fn replace(keys: &mut Keys, read: Vec<KeyValue>, revision: i64) -> Vec<Fault> {
        let mut before = keys.start_over();
        let mut faults = Vec::new();
        for page in read.chunks(2) {
            faults.extend(keys.take(page.to_vec(), revision, &mut before));
        }
        faults
    }

    fn put(key: &str, value: &str, revision: i64) -> Event {
        Event { r#type: EventType::Put.into(), kv: Some(kv(key, value, revision)) }
    }

    fn delete(key: &str, revision: i64) -> Event {
        Event { r#type: EventType::Delete.into(), kv: Some(kv(key, "", revision)) }
    }

    /// Addresses with instances.
    fn told(keys: &Keys) -> Vec<String> {
        let show = |it: &Discovered| {
            format!("{} {}", it.address, it.instance.as_deref().unwrap_or_default())
        };
        keys.backends().iter().map(show).collect()
    }

    #[test]
    fn changes_are_applied_to_what_was_read() {
        let mut keys = Keys::default();
        let read = vec![kv("p/a", "a:1", 5), kv("p/b", "nonsense", 6), kv("p/c", "c:1", 7)];
        let faults = replace(&mut keys, read, 9);
        assert_eq!((faults.len(), &*faults[0].0), (1, "p/b"));
        assert_eq!(told(&keys), ["a:1 r5", "c:1 r7"]);
        let faults = keys.apply(vec![put("p/b", "b:1", 10), delete("p/a", 11), delete("p/x", 11)]);
        assert_eq!(faults, []);
        assert_eq!(told(&keys), ["b:1 r10", "c:1 r7"]);
        keys.apply(vec![put("p/a", "a:2", 11), Event::default()]);
        assert_eq!(told(&keys), ["a:2 r11", "b:1 r10", "c:1 r7"], "the rest of revision 11");
        assert_eq!(keys.seen(), 11);
    }

    #[test]
    fn a_full_read_heals_and_is_not_undone_by_older_changes() {
        let mut keys = Keys::default();
        replace(
            &mut keys,
            vec![kv("p/a", "a:1", 5), kv("p/ghost", "g:1", 6), kv("p/bad", "", 7)],
            9,
        );
        let faults = replace(&mut keys, vec![kv("p/a", "a:1", 5), kv("p/bad", "", 7)], 20);
        assert_eq!(faults, [], "they were told");
        assert_eq!(told(&keys), ["a:1 r5"]);
        keys.apply(vec![delete("p/a", 15), put("p/ghost", "g:1", 20)]);
        assert_eq!((told(&keys), keys.seen()), (vec!["a:1 r5".to_owned()], 20));
        assert_eq!(
            replace(&mut keys, vec![kv("p/bad", "", 21)], 22).len(),
            1,
            "it was written anew"
        );
    }

    #[test]
    fn of_two_keys_with_one_address_the_later_one_counts() {
        let mut keys = Keys::default();
        let leased =
            |lease, revision| KeyValue { lease, ..kv(&format!("p/{lease}"), "a:1", revision) };
        replace(&mut keys, vec![leased(0x99, 5), leased(0x11, 8)], 9);
        assert_eq!(told(&keys), ["a:1 11"]);
        let mut keys = Keys::default();
        replace(&mut keys, vec![leased(0x99, 8), leased(0x11, 5)], 9);
        assert_eq!(told(&keys), ["a:1 99"]);
        keys.apply(vec![delete(&format!("p/{}", 0x99), 10)]);
        assert_eq!(told(&keys), ["a:1 11"]);
    }

    #[test]
    fn keys_are_bounded() {
        let mut keys = Keys::default();
        let many = |from: usize, to: usize| {
            let at = |n: usize| kv(&format!("p/{n:06}"), &format!("a{n}:1"), n as i64 + 1);
            (from..to).map(at).collect::<Vec<_>>()
        };
        let faults = replace(&mut keys, many(0, MAX_KEPT + 3), 1);
        assert_eq!((faults.len(), keys.backends().len()), (3, MAX_KEPT));
        keys.apply(vec![delete("p/000000", 100_000), put("p/zz", "z:1", 100_001)]);
        assert_eq!(keys.backends().len(), MAX_KEPT);
        assert_eq!(keys.apply(vec![put("p/zzz", "z:2", 100_002)]).len(), 1);
        assert!(keys.are_full());
    }
}
