//! Lookup cache by head tag: equal tags mean equal heads, and comparing two tags is far cheaper
//! than looking up a route or a method.

use std::cell::RefCell;

use crate::http::{Headers, Tag};

/// Capacity; direct-mapped, so a new entry replaces the one in its slot.
const SLOTS: usize = 64;

/// A direct-mapped cache of lookup results by head tag.
pub struct HeadCache<T>(RefCell<Vec<Option<(Tag, T)>>>);

impl<T> Default for HeadCache<T> {
    fn default() -> HeadCache<T> {
        HeadCache(RefCell::default())
    }
}

impl<T: Copy> HeadCache<T> {
    /// The cached result for `head`, or that of `find`, which is cached unless it is `None`.
    pub fn get_or_find(&self, head: &Headers, find: impl FnOnce() -> Option<T>) -> Option<T> {
        let Some(tag) = head.tag() else { return find() };
        match self.0.borrow().get(tag.slot(SLOTS)) {
            Some(Some((known, found))) if *known == tag => return Some(*found),
            _ => {}
        }
        let found = find()?;
        let mut slots = self.0.borrow_mut();
        if slots.is_empty() {
            slots.resize(SLOTS, None);
        }
        if let Some(slot) = slots.get_mut(tag.slot(SLOTS)) {
            *slot = Some((tag, found));
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderPool, Name};

    fn head(path: &[u8], tag: bool) -> Headers {
        let mut head = Headers::new();
        head.add(Name::Path, path);
        if tag {
            HeaderPool::default().tag(&mut head);
        }
        head
    }

    #[test]
    fn what_was_found_for_a_head_is_known_for_its_equals() {
        let (cache, head) = (HeadCache::default(), head(b"/a", true));
        assert_eq!(cache.get_or_find(&head, || None), None);
        assert_eq!(cache.get_or_find(&head, || Some(1)), Some(1));
        assert_eq!(cache.get_or_find(&head.clone(), || Some(2)), Some(1));
        let mut other = head.clone();
        other.add(Name::Te, b"trailers");
        assert_eq!(cache.get_or_find(&other, || Some(3)), Some(3), "it was changed");
        assert_eq!(cache.get_or_find(&head, || Some(4)), Some(1));
    }

    #[test]
    fn of_heads_without_a_tag_nothing_is_known() {
        let (cache, head) = (HeadCache::default(), head(b"/a", false));
        assert_eq!(cache.get_or_find(&head, || Some(1)), Some(1));
        assert_eq!(cache.get_or_find(&head, || Some(2)), Some(2));
    }

    #[test]
    fn the_next_takes_the_place_of_another() {
        let cache = HeadCache::default();
        let heads: Vec<_> = (0..2 * SLOTS).map(|_| head(b"/a", true)).collect();
        for (number, head) in heads.iter().enumerate() {
            assert_eq!(cache.get_or_find(head, || Some(number)), Some(number));
        }
        let (first, last) = (heads.first().unwrap(), heads.last().unwrap());
        assert_eq!(cache.get_or_find(last, || Some(9)), Some(2 * SLOTS - 1));
        assert_eq!(cache.get_or_find(first, || Some(9)), Some(9));
        assert_eq!(cache.0.borrow().len(), SLOTS);
    }
}
