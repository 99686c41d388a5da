//! The static table (RFC 7541, appendix A) and how a field is found in it.

use super::hash::hash;
use super::table::Entry;
use crate::http2::headers::{Field, Name};

/// How many entries there are; the dynamic table begins one above.
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

/// The first index of a name; `name_key` as of [`name_key`].
pub(super) fn first_of_name(field: &Field<'_>, name_key: u64) -> Option<u32> {
    let index = match field.id {
        Name::Other => {
            let mut slot = name_key as usize % SLOTS;
            loop {
                let index = BY_NAME[slot];
                match entry(index.into()) {
                    Some(found) if found.name() != field.name => slot = (slot + 1) % SLOTS,
                    _ => break index,
                }
            }
        }
        id => *BY_ID.get(id as usize)?,
    };
    (index != 0).then_some(index.into())
}

/// The index of the entry with the value of `field`, given the first one with its name.
pub(super) fn with_value(field: &Field<'_>, first: u32) -> Option<u32> {
    let mut index = first;
    loop {
        let entry = entry(index)?;
        if entry.name() != field.name {
            return None;
        }
        if entry.value() == field.value {
            return Some(index);
        }
        index += 1;
    }
}

/// What stands for a name in hashes: its id if it has one, which saves the reading of it.
pub(super) const fn name_key(id: Name, name: &[u8]) -> u64 {
    match id {
        Name::Other => hash(0, name),
        id => id as u64,
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
            let mut slot = name_key(entry.id, name) as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = index as u8;
        }
        index += 1;
    }
    slots
};
