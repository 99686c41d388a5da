//! Feeds bytes, hostile or not, into one end, whose user answers the requests.

use std::sync::Arc;

use super::script::Script;
use crate::http::{
    Connection as _, ErrorCode, Event, HeaderPool, Headers, Key, Limits, Name, Role,
};
use crate::http2::{Connection, PREFACE};

/// How many streams a client opens before it listens.
const STREAMS: usize = 4;

/// The events as text, and the output.
#[derive(Debug, PartialEq, Eq)]
pub struct Log {
    pub events: Vec<String>,
    pub output: Vec<u8>,
}

/// Feeds `bytes` in pieces whose lengths `cut` gives. A server's preface and either side's first
/// SETTINGS are in `bytes`.
pub fn feed(role: Role, bytes: &[u8], mut cut: impl FnMut() -> usize) -> Log {
    let mut conn = begin(role, Limits::edge());
    let mut log = Log { events: Vec::new(), output: Vec::new() };
    let mut pool = HeaderPool::default();
    let mut opened = false;
    let (mut start, mut end) = (0, 0);
    while end < bytes.len() {
        end = (end + cut().max(1)).min(bytes.len());
        let mut input = &bytes[start..end];
        loop {
            let events = &mut log.events;
            let received = conn.receive(&mut input, 0, &mut pool, |key, payload, end| {
                events.push(format!("Data {key:?} {payload:?} {end}"));
                payload.len()
            });
            match received {
                Ok(Some(event)) => {
                    log.events.push(format!("{event:?}"));
                    answer(&mut conn, &event);
                }
                Ok(None) => break,
                Err(error) => {
                    log.events.push(format!("{error:?}"));
                    break;
                }
            }
            if role == Role::Client && conn.is_ready() && !opened {
                opened = true;
                open(&mut conn);
            }
        }
        assert!(input.len() < 9 + (1 << 24), "more is left than one frame");
        start = end - input.len();
    }
    conn.pump();
    assert!(conn.open_streams() <= Limits::edge().max_streams as usize);
    log.output = conn.output().bytes().to_vec();
    check_frames(role, &log.output);
    log
}

fn begin(role: Role, limits: Limits) -> Connection {
    match role {
        Role::Client => Connection::client(Arc::new(limits)),
        Role::Server => Connection::server(Arc::new(limits)),
    }
}

fn open(conn: &mut Connection) {
    for nth in 0..STREAMS {
        let mut head = Headers::new();
        head.add(Name::Method, if nth == 1 { b"HEAD" } else { b"POST" });
        head.add(Name::Scheme, b"http");
        head.add(Name::Path, b"/");
        if let Ok(key) = conn.open(&head, nth == 2, 0) {
            let _ = conn.send_data(key, b"request", nth == 3);
        }
    }
}

/// Answers each request according to its stream.
fn answer(conn: &mut Connection, event: &Event) {
    match event {
        Event::Request { key, end, .. } => respond(conn, *key, *end),
        Event::Oversized { key, .. } => {
            respond(conn, *key, false);
            conn.discard(*key);
        }
        Event::Reset { key, .. } => assert!(!conn.is_open(*key)),
        _ => {}
    }
}

fn respond(conn: &mut Connection, key: Key, end: bool) {
    let mut head = Headers::new();
    head.add(Name::Status, b"200");
    match key.id() / 2 % 4 {
        0 => drop(conn.send_head(key, &head, end)),
        1 => {
            let _ = conn.send_head(key, &head, false);
            let _ = conn.send_data(key, &[7; 40_000], false);
            let _ = conn.send_trailers(key, &Headers::new());
        }
        2 => conn.reset(key, ErrorCode::CANCEL),
        _ => conn.discard(key),
    }
}

/// What is written is whole frames, none too long, and header blocks are not interrupted.
fn check_frames(role: Role, output: &[u8]) {
    let mut rest = output;
    if role == Role::Client {
        rest = rest.strip_prefix(PREFACE).expect("the preface comes first");
    }
    let mut block = None;
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<9>().expect("a whole frame head");
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(len <= 16_384 || role == Role::Server || len < 1 << 24);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        assert_eq!(block, (kind == 9).then_some(id), "a header block is interrupted");
        if matches!(kind, 1 | 9) {
            block = (flags & 4 == 0).then_some(id);
        }
        rest = after.get(len..).expect("a whole frame");
    }
}

/// Frames that are mostly well-formed, made from a script: hostile bytes alone seldom get past
/// a frame's head.
pub fn frames(role: Role, script: &[u8]) -> Vec<u8> {
    let mut script = Script(script);
    let mut bytes = Vec::new();
    if role == Role::Server {
        bytes.extend(PREFACE);
    }
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    while let Some(kind) = script.next() {
        let (flags, id) = (script.byte(), script.byte() % 16);
        let head: &[u8] = if role == Role::Server {
            b"\x83\x86\x84\x41\x01a" // POST, http, /, authority a
        } else {
            b"\x88" // status 200
        };
        let (kind, flags, payload) = match kind % 16 {
            kind @ 0..=11 => {
                let len = usize::from(script.byte() % 32);
                (kind, flags, (0..len).map(|_| script.byte()).collect())
            }
            12 => (0, flags & 1, vec![1; script.short() % 17_000]),
            13 => (8, 0, u32::from(script.byte()).to_be_bytes().to_vec()),
            14 => (1, 5, head.to_vec()),
            _ => (1, 4, head.to_vec()),
        };
        bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend([kind, flags, 0, 0, 0, id]);
        bytes.extend(payload);
    }
    bytes
}

/// The same bytes in one piece, in single bytes and as the script cuts them: the same happens.
pub fn in_any_pieces(role: Role, bytes: &[u8], script: &[u8]) {
    let whole = feed(role, bytes, || usize::MAX >> 1);
    assert_eq!(whole, feed(role, bytes, || 1));
    let mut script = Script(script);
    assert_eq!(whole, feed(role, bytes, || usize::from(script.byte())));
}
