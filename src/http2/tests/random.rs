//! Properties that hold for random input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{credit, feed, pair};
use crate::http::Role;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_ends_understand_each_other(script in vec(any::<u8>(), 0..3000)) {
        pair::run(&script);
    }

    #[test]
    fn no_credit_is_lost_however_windows_are_narrowed_and_widened(
        ceiling in 1_u32..2_000_000,
        script in vec((0_u8..7, 0_usize..200_000), 0..300),
    ) {
        credit::run(ceiling, &script);
    }

    #[test]
    fn it_does_not_matter_how_bytes_are_cut(script in vec(any::<u8>(), 0..600), raw in any::<bool>()) {
        for role in [Role::Client, Role::Server] {
            let bytes = if raw { script.clone() } else { feed::frames(role, &script) };
            feed::in_any_pieces(role, &bytes, &script);
        }
    }
}
