//! A hash that is stable across builds and machines.

use std::hash::{BuildHasher, Hasher};

use hashring::DefaultHashBuilder;

/// Hashes `key`; each `salt` yields an independent hash.
///
/// SipHash-2-4 of the key and the salt, unkeyed. It must not change: sticky requests would move to
/// other backends with the upgrade.
pub fn stable_hash(key: &[u8], salt: u32) -> u64 {
    let mut hasher = DefaultHashBuilder.build_hasher();
    hasher.write(key);
    hasher.write_u32(salt); // little-endian
    hasher.finish()
}

/// Derives another hash from `hash` at a fraction of the cost: the finalizer of SplitMix64
/// (Stafford's variant 13). It must not change either.
pub const fn rehashed(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::{rehashed, stable_hash};

    #[test]
    fn it_never_changes() {
        assert_eq!(stable_hash(b"", 0), 8_932_149_140_933_809_816);
        assert_eq!(stable_hash(b"user-1", 0), 9_538_341_000_299_919_286);
        assert_eq!(stable_hash(b"user-1", 1), 13_340_402_752_668_381_869);
        // The first two that SplitMix64 gives for the seed 0.
        assert_eq!(rehashed(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rehashed(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }
}
