//! Tests both roles against each other, and against bytes as peers send them.

mod bodies;
mod client;
mod heads;
mod pair;
mod server;

use std::sync::Arc;

use super::Connection;
use crate::http::{Connection as _, Event, HeaderPool, Headers, Key, Limits};

/// An end of a connection, and its events as text.
struct End {
    codec: Connection,
    input: Vec<u8>,
    said: Vec<String>,
    key: Option<Key>,
}

fn note_data(said: &mut Vec<String>, payload: &[u8], end: bool) {
    let text = String::from_utf8_lossy(payload);
    match said.last_mut() {
        Some(last) if last.starts_with("data ") => last.push_str(&text),
        _ if payload.is_empty() => {}
        _ => said.push(format!("data {text}")),
    }
    if end {
        said.push("end".into());
    }
}

impl End {
    fn server() -> End {
        End::of(Connection::server(Arc::new(Limits::edge()), b"http"))
    }

    fn client() -> End {
        End::of(Connection::client(Arc::new(Limits::edge())))
    }

    /// A client that has sent this request.
    fn asking(fields: &[(&str, &str)]) -> End {
        let mut end = End::client();
        end.open(fields, true);
        end.written();
        end
    }

    fn of(codec: Connection) -> End {
        End { codec, input: Vec::new(), said: Vec::new(), key: None }
    }

    fn open(&mut self, fields: &[(&str, &str)], end: bool) -> Key {
        let key = self.codec.open(&head(fields), end, 0).unwrap();
        self.key = Some(key);
        key
    }

    fn key(&self) -> Key {
        self.key.unwrap()
    }

    /// A response to what was asked last.
    fn answer(&mut self, fields: &[(&str, &str)], body: Option<&[u8]>) {
        self.codec.send_head(self.key(), &head(fields), body.is_none()).unwrap();
        if let Some(body) = body {
            self.codec.send_data(self.key(), body, true).unwrap();
        }
    }

    /// Feeds more bytes, as far as they are parsed.
    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        loop {
            let said = &mut self.said;
            let received =
                self.codec.receive(&mut rest, 0, &mut HeaderPool::default(), |_, payload, end| {
                    note_data(said, payload, end);
                    payload.len()
                });
            match received {
                Ok(Some(event)) => self.note(event),
                Ok(None) => break,
                Err(error) => break self.said.push(format!("error: {}", error.detail)),
            }
        }
        self.input = rest.to_vec();
    }

    fn note(&mut self, event: Event) {
        let end = match event {
            Event::Request { key, headers, end } => {
                self.key = Some(key);
                self.said.push(format!("request {}", shown(&headers)));
                end
            }
            Event::Response { headers, end, .. } => {
                self.said.push(format!("response {}", shown(&headers)));
                end
            }
            Event::Informational { headers, .. } => {
                self.said.push(format!("informational {}", shown(&headers)));
                false
            }
            Event::End { .. } => true,
            Event::Trailers { headers, .. } => {
                self.said.push(format!("trailers {}", shown(&headers)));
                true
            }
            Event::Reset { cause, .. } => return self.said.push(format!("reset {cause:?}")),
            other => panic!("{other:?}"),
        };
        if end {
            self.said.push("end".into());
        }
    }

    /// The peer sends nothing more.
    fn end_of_input(&mut self) {
        if let Some(event) = self.codec.end_of_input() {
            self.note(event);
        }
    }

    /// Its output.
    fn written(&mut self) -> String {
        self.codec.pump();
        let bytes = self.codec.output().bytes().to_vec();
        self.codec.output().advance(bytes.len());
        String::from_utf8(bytes).unwrap()
    }

    /// Its events, on one line.
    fn told(&mut self) -> String {
        std::mem::take(&mut self.said).join(" | ")
    }
}

/// The events of `end` for `input` in one piece, cut in two anywhere, and byte by byte: checks that
/// they are the same.
fn told_of(end: impl Fn() -> End, input: &[u8]) -> String {
    let told = |pieces: &[&[u8]]| {
        let mut end = end();
        pieces.iter().for_each(|piece| end.feed(piece));
        end.end_of_input();
        end.told()
    };
    let whole = told(&[input]);
    for cut in 1..input.len() {
        assert_eq!(told(&[&input[..cut], &input[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(told(&input.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    whole
}

fn head(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    fields
        .iter()
        .for_each(|(name, value)| headers.push_lowercased(name.as_bytes(), value.as_bytes()));
    headers
}

fn shown(headers: &Headers) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines: Vec<_> =
        headers.iter().map(|f| format!("{}={}", text(f.name), text(f.value))).collect();
    lines.join(" ")
}

const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/")];
const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":authority", "h"), (":path", "/")];
