//! Requests refused by the codecs themselves.

use super::Codec;
use crate::http::Refusals;

impl Codec {
    /// Takes the refusals since the last call.
    pub fn take_refusals(&mut self) -> Refusals {
        match self {
            Codec::H2(h2) => h2.take_refusals(),
            Codec::H1(h1) => h1.take_refusals(),
            Codec::Undecided(_) => Refusals::default(),
        }
    }
}
