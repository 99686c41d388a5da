//! Protocol sniffing: a client's connection before its first bytes tell HTTP/1.1 from HTTP/2.

use std::sync::Arc;

use super::Codec;
use crate::http::{Limits, Output};
use crate::http2::PREFACE;

/// The arguments for the codec, kept until the protocol is known.
#[derive(Debug)]
pub struct Undecided {
    pub(super) limits: Arc<Limits>,
    scheme: &'static [u8],
    pub(super) output: Output,
}

impl Undecided {
    pub(super) fn new(limits: Arc<Limits>, scheme: &'static [u8]) -> Undecided {
        Undecided { limits, scheme, output: Output::default() }
    }

    /// The codec for the protocol that `input` begins; `None` while both are possible.
    pub(super) fn decide(&self, input: &[u8]) -> Option<Codec> {
        let protocol: &[u8] = match input {
            _ if input.starts_with(PREFACE) => b"h2",
            _ if PREFACE.starts_with(input) => return None,
            _ => b"http/1.1",
        };
        Some(Codec::server(Arc::clone(&self.limits), self.scheme, Some(protocol)))
    }
}
