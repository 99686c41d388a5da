//! Builds frames, valid or not.

use crate::http2::frame::{Head, kind};

/// The smallest head of a request: POST, http, /, authority `a`.
pub const REQUEST: &[u8] = b"\x83\x86\x84\x41\x01a";

/// The smallest head of a response: status 200.
pub const RESPONSE: &[u8] = b"\x88";

/// No flags.
pub const NONE: u8 = 0;
/// END_STREAM.
pub const END: u8 = 1;
/// END_HEADERS.
pub const WHOLE: u8 = 4;
/// PADDED.
pub const PADDED: u8 = 8;
/// END_STREAM and END_HEADERS.
pub const ALL: u8 = END | WHOLE;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = Head { len: payload.len() as u32, kind, flags, stream };
    [&head.bytes()[..], payload].concat()
}

pub fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, payload)
}

pub fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, block)
}

pub fn continuation(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::CONTINUATION, flags, stream, block)
}

pub fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(kind::PRIORITY, NONE, stream, &[&on.to_be_bytes()[..], &[16]].concat())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, NONE, stream, &code.to_be_bytes())
}

pub fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = entries
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(kind::SETTINGS, NONE, 0, &payload)
}

pub fn ack() -> Vec<u8> {
    frame(kind::SETTINGS, END, 0, &[])
}

pub fn push(stream: u32, promised: u32) -> Vec<u8> {
    frame(kind::PUSH_PROMISE, WHOLE, stream, &[&promised.to_be_bytes()[..], REQUEST].concat())
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(kind::PING, NONE, 0, payload)
}

pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(kind::PING, END, 0, payload)
}

pub fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, NONE, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, NONE, stream, &by.to_be_bytes())
}

/// A header block of literals that touch no table. Names and values are below 127 bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.extend([0, name.len() as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    block
}

/// A well-formed request with these fields besides.
pub fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    [REQUEST, &block(fields)].concat()
}

/// A well-formed response with these fields besides.
pub fn response(fields: &[(&str, &str)]) -> Vec<u8> {
    [RESPONSE, &block(fields)].concat()
}

/// A frame that was sent, and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Sent {
    /// The number that a payload begins with.
    pub fn number(&self) -> u32 {
        self.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The error code of GOAWAY.
    pub fn code(&self) -> u32 {
        self.payload[4..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

/// The frames in `bytes`, all of them whole.
pub fn parse(mut bytes: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let Head { len, kind, flags, stream } = Head::parse(head);
        let (payload, rest) = rest.split_at(len as usize);
        frames.push(Sent { kind, flags, stream, payload: payload.to_vec() });
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}
