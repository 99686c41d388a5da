//! What holds whatever is done.

use proptest::collection::vec;
use proptest::prelude::*;

use super::pair;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_ends_understand_each_other(script in vec(any::<u8>(), 0..3000)) {
        pair::run(&script);
    }
}
