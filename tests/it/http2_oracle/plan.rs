//! One exchange, as both ends know it.

use equipoise::http::{Headers, Limits, Name};
use fastrand::Rng;

/// How an exchange goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both bodies are sent.
    Whole,
    /// Trailers follow each of them.
    Trailers,
    /// The request was HEAD.
    Head,
    /// The response is 204.
    NoContent,
    /// The server answers without a look at the body.
    Early,
    /// The client resets where the body would end.
    ClientResets,
    /// The server resets where the body would end.
    ServerResets,
}

/// What is sent in one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub way: Way,
    seed: u8,
    up: usize,
    down: usize,
    /// Fields besides; hundreds of them need CONTINUATION.
    fields: usize,
}

const WAYS: [Way; 7] = [
    Way::Whole,
    Way::Trailers,
    Way::Head,
    Way::NoContent,
    Way::Early,
    Way::ClientResets,
    Way::ServerResets,
];

fn size(rng: &mut Rng) -> usize {
    match rng.u8(0..4) {
        0 => 0,
        1 => rng.usize(1..100),
        2 => rng.usize(1..20_000),
        _ => rng.usize(1..200 << 10),
    }
}

impl Plan {
    pub fn random(rng: &mut Rng) -> Plan {
        Plan {
            // The ordinary ways more often.
            way: WAYS[rng.usize(0..12) % 7],
            seed: rng.u8(..),
            up: size(rng),
            down: size(rng),
            fields: if rng.u8(0..8) == 0 { rng.usize(0..400) } else { rng.usize(0..5) },
        }
    }

    /// As the value of a field.
    pub fn text(self) -> String {
        let way = WAYS.iter().position(|way| *way == self.way).unwrap();
        format!("{way} {} {} {} {}", self.seed, self.up, self.down, self.fields)
    }

    pub fn parse(text: &[u8]) -> Plan {
        let numbers: Vec<usize> = std::str::from_utf8(text)
            .unwrap()
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let [way, seed, up, down, fields] = numbers[..] else { panic!("not a plan: {numbers:?}") };
        Plan { way: WAYS[way], seed: seed as u8, up, down, fields }
    }

    pub fn request_body(self) -> Vec<u8> {
        let none = self.way == Way::Head;
        body(self.seed, if none { 0 } else { self.up })
    }

    pub fn response_body(self) -> Vec<u8> {
        let none = matches!(self.way, Way::Head | Way::NoContent);
        body(!self.seed, if none { 0 } else { self.down })
    }

    pub fn method(self) -> &'static str {
        if self.way == Way::Head { "HEAD" } else { "POST" }
    }

    pub fn status(self) -> &'static str {
        if self.way == Way::NoContent { "204" } else { "200" }
    }

    /// The fields that either head has besides.
    pub fn fields(self) -> impl Iterator<Item = (String, String)> {
        (0..self.fields).map(move |nth| {
            // Some come again on other streams, some never.
            let value = if nth % 3 == 0 { usize::from(self.seed) * nth } else { nth };
            (format!("x-{}", nth % 50), format!("{value:030}"))
        })
    }

    /// The value of the trailer.
    pub fn trailer(self) -> String {
        self.seed.to_string()
    }

    pub fn trailers(self) -> Headers {
        let mut headers = Headers::new();
        headers.add_named(b"x-trailer", self.trailer().as_bytes());
        headers
    }

    /// Sees that the fields of a head are those of the plan.
    pub fn check_fields<'a>(self, found: impl Iterator<Item = (&'a str, &'a [u8])>) {
        // Each name's own order is kept; h2 groups them by name.
        let mut found: Vec<(String, Vec<u8>)> = found
            .filter(|(name, _)| name.starts_with("x-") && *name != "x-plan")
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect();
        let mut expected: Vec<_> =
            self.fields().map(|(name, value)| (name, value.into_bytes())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected);
    }

    pub fn request(self) -> Headers {
        let mut headers = Headers::new();
        headers.add(Name::Method, self.method().as_bytes());
        headers.add(Name::Scheme, b"http");
        headers.add(Name::Authority, b"oracle");
        headers.add(Name::Path, b"/");
        self.finish(headers)
    }

    pub fn response(self) -> Headers {
        let mut headers = Headers::new();
        headers.add(Name::Status, self.status().as_bytes());
        self.finish(headers)
    }

    fn finish(self, mut headers: Headers) -> Headers {
        headers.add_named(b"x-plan", self.text().as_bytes());
        for (name, value) in self.fields() {
            headers.add_named(name.as_bytes(), value.as_bytes());
        }
        headers
    }
}

fn body(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8 ^ seed).collect()
}

/// Limits of our end: windows and tables of any size, no count that this load could pass.
pub fn limits(rng: &mut Rng) -> Limits {
    Limits {
        max_streams: rng.u32(1..50),
        stream_window: rng.u32(500..300_000),
        connection_window: rng.u32(65_535..1_000_000),
        max_frame_size: rng.u32(16_384..100_000),
        header_table_size: rng.choice([4096, 10_000, 65_536]).unwrap(),
        resets: u32::MAX,
        premature_reset_streams: u32::MAX,
        settings: u32::MAX,
        ..Limits::internal()
    }
}
