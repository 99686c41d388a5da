//! A hash that is the same in every build and on every machine.

use std::hash::{BuildHasher, Hasher};

use hashring::DefaultHashBuilder;

/// Hashes `key`; each `salt` gives another hash of it, independent of the others.
///
/// It is SipHash-2-4 of the key and the salt without a secret, and must stay that: whatever is
/// kept together by it would move on the day of the change.
pub fn stable_hash(key: &[u8], salt: u32) -> u64 {
    let mut hasher = DefaultHashBuilder.build_hasher();
    hasher.write(key);
    hasher.write_u32(salt); // its four bytes, the lowest first
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::stable_hash;

    #[test]
    fn it_never_changes() {
        assert_eq!(stable_hash(b"", 0), 8_932_149_140_933_809_816);
        assert_eq!(stable_hash(b"user-1", 0), 9_538_341_000_299_919_286);
        assert_eq!(stable_hash(b"user-1", 1), 13_340_402_752_668_381_869);
    }
}
