//! The static table (RFC 7541, appendix A) and its lookup.

use super::hash::hash;
use super::table::Entry;
use crate::http::{Field, Name};

/// The number of entries; the indices of the dynamic table follow.
pub(super) const COUNT: u32 = ENTRIES.len() as u32;

macro_rules! entries {
    ($($name:literal $value:literal),* $(,)?) => {
        [$(Entry {
            id: Name::of($name.as_bytes()),
            joined: concat!($name, $value).as_bytes(),
            name_len: $name.len(),
        }),*]
    };
}

static ENTRIES: [Entry<'static>; 61] = TABLE;
const TABLE: [Entry<'static>; 61] = entries![
    ":authority" "",
    ":method" "GET",
    ":method" "POST",
    ":path" "/",
    ":path" "/index.html",
    ":scheme" "http",
    ":scheme" "https",
    ":status" "200",
    ":status" "204",
    ":status" "206",
    ":status" "304",
    ":status" "400",
    ":status" "404",
    ":status" "500",
    "accept-charset" "",
    "accept-encoding" "gzip, deflate",
    "accept-language" "",
    "accept-ranges" "",
    "accept" "",
    "access-control-allow-origin" "",
    "age" "",
    "allow" "",
    "authorization" "",
    "cache-control" "",
    "content-disposition" "",
    "content-encoding" "",
    "content-language" "",
    "content-length" "",
    "content-location" "",
    "content-range" "",
    "content-type" "",
    "cookie" "",
    "date" "",
    "etag" "",
    "expect" "",
    "expires" "",
    "from" "",
    "host" "",
    "if-match" "",
    "if-modified-since" "",
    "if-none-match" "",
    "if-range" "",
    "if-unmodified-since" "",
    "last-modified" "",
    "link" "",
    "location" "",
    "max-forwards" "",
    "proxy-authenticate" "",
    "proxy-authorization" "",
    "range" "",
    "referer" "",
    "refresh" "",
    "retry-after" "",
    "server" "",
    "set-cookie" "",
    "strict-transport-security" "",
    "transfer-encoding" "",
    "user-agent" "",
    "vary" "",
    "via" "",
    "www-authenticate" "",
];

/// The entry with an index from 1 on.
pub(super) fn entry(index: u32) -> Option<Entry<'static>> {
    ENTRIES.get((index as usize).wrapping_sub(1)).copied()
}

/// A name in the form in which the encoder's tables are searched.
#[derive(Clone, Copy)]
pub(super) struct NameKey {
    /// Its id if it has one, which saves reading it, or else a hash of it.
    pub(super) key: u64,
    /// The first of its entries here.
    pub(super) first: Option<u32>,
}

impl NameKey {
    pub(super) fn of(field: &Field<'_>) -> NameKey {
        let key = key(field.id, field.name);
        let first = match field.id {
            Name::Other => by_name(field.name, key),
            id => BY_ID.get(id as usize).copied().unwrap_or_default(),
        };
        NameKey { key, first: (first != 0).then_some(first.into()) }
    }

    /// The index of the entry with this name and the value of `field`.
    pub(super) fn with_value(&self, field: &Field<'_>) -> Option<u32> {
        (self.first?..=COUNT)
            .map_while(|index| Some((index, entry(index)?)))
            .take_while(|(_, entry)| entry.has_name_of(field))
            .find(|(_, entry)| entry.value() == field.value)
            .map(|(index, _)| index)
    }
}

const fn key(id: Name, name: &[u8]) -> u64 {
    match id {
        Name::Other => hash(0, name),
        id => id as u64,
    }
}

fn by_name(name: &[u8], key: u64) -> u8 {
    let mut slot = key as usize % SLOTS;
    loop {
        let index = BY_NAME[slot];
        match entry(index.into()) {
            Some(found) if found.name() != name => slot = (slot + 1) % SLOTS,
            _ => return index,
        }
    }
}

/// First index by id, 0 for names without one.
const BY_ID: [u8; Name::COUNT] = {
    let mut by_id = [0; Name::COUNT];
    let mut index = TABLE.len();
    while index > 0 {
        by_id[TABLE[index - 1].id as usize] = index as u8;
        index -= 1;
    }
    by_id
};

const SLOTS: usize = 256;

/// First index of the names without an id, by hash and then linear probing; 0 ends a probe.
static BY_NAME: [u8; SLOTS] = {
    let mut slots = [0; SLOTS];
    let mut index = 1;
    while index <= TABLE.len() {
        let entry = TABLE[index - 1];
        if matches!(entry.id, Name::Other) {
            let (name, _) = entry.joined.split_at(entry.name_len);
            let mut slot = key(entry.id, name) as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = index as u8;
        }
        index += 1;
    }
    slots
};
