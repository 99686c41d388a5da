//! Requests that the codecs refuse themselves.

use super::Codec;
use crate::http::Refusals;

impl Codec {
    /// The requests that were refused since this was last asked.
    pub fn take_refusals(&mut self) -> Refusals {
        match self {
            Codec::H2(h2) => h2.take_refusals(),
            Codec::H1(h1) => h1.take_refusals(),
            Codec::Undecided(_) => Refusals::default(),
        }
    }
}
