//! The retry and hedging policies of a route.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::model::{GRPC_CODES, GrpcCode};
use crate::text::units::show_duration;

/// Retries of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at most, the first included.
    pub attempts: u32,
    /// What is retried.
    pub on: Box<[RetryOn]>,
    /// How long an attempt may take until its response head.
    pub per_attempt_timeout: Option<Duration>,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// Bytes of a request body that are kept for further attempts.
    pub buffer: usize,
    /// How long a call's response head waits for the first message, as a failure may follow instead.
    pub hold: Duration,
    /// The gRPC methods that are retried, as paths; empty for all.
    pub methods: Box<[String]>,
}

/// Exponential back-off with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The upper bound of the first pause; of each further one it is twice that.
    pub first: Duration,
    /// The upper bound of every pause.
    pub max: Duration,
}

/// A failure that is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// A gRPC status.
    Grpc(GrpcCode),
    /// An HTTP status.
    Http(u16),
    /// No connection could be made.
    Connect,
    /// The stream was reset or the connection lost, before a response head.
    Reset,
    /// An attempt took longer than `per_attempt_timeout`.
    Timeout,
}

/// Hedging of a route's requests: a second attempt while the first is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgePolicy {
    /// When the next attempt begins.
    pub after: HedgeDelay,
    /// Attempts at most, the first included.
    pub attempts: u32,
    /// The gRPC methods that are hedged, as paths; empty for all.
    pub methods: Box<[String]>,
}

/// How long to wait for an attempt before the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeDelay {
    /// A fixed time.
    Fixed(Duration),
    /// The 95th percentile of the method's durations.
    P95,
}

impl RetryPolicy {
    /// The failures that are retried by default.
    pub const USUALLY_ON: [RetryOn; 3] =
        [RetryOn::Grpc(GrpcCode::Unavailable), RetryOn::Connect, RetryOn::Reset];

    /// The defaults.
    pub fn usual() -> RetryPolicy {
        RetryPolicy {
            attempts: 3,
            on: RetryPolicy::USUALLY_ON.into(),
            per_attempt_timeout: None,
            backoff: Backoff { first: Duration::from_millis(25), max: Duration::from_millis(250) },
            buffer: 64 << 10,
            hold: Duration::from_millis(20),
            methods: Box::default(),
        }
    }
}

/// For people: what is retried, and how often.
impl Display for RetryPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let on: Vec<String> = self.on.iter().map(ToString::to_string).collect();
        write!(f, "up to {} attempts, on {}", self.attempts, on.join(", "))?;
        if let Some(limit) = self.per_attempt_timeout {
            write!(f, ", each within {}", show_duration(limit))?;
        }
        write_methods(f, &self.methods)
    }
}

/// For people: when the next attempt begins.
impl Display for HedgePolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "up to {} attempts at a time, the next after {}", self.attempts, self.after)?;
        write_methods(f, &self.methods)
    }
}

impl Display for HedgeDelay {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            HedgeDelay::Fixed(delay) => f.write_str(&show_duration(*delay)),
            HedgeDelay::P95 => f.write_str("p95"),
        }
    }
}

fn write_methods(f: &mut Formatter<'_>, methods: &[String]) -> fmt::Result {
    if methods.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = methods.iter().map(|path| path.trim_start_matches('/')).collect();
    write!(f, ", of {}", names.join(", "))
}

/// Whether a policy for these gRPC methods, or for all if it names none, applies to a gRPC call.
pub fn names_call(methods: &[String], path: &[u8]) -> bool {
    methods.is_empty() || methods.iter().any(|method| method.as_bytes() == path)
}

/// Whether requests with this HTTP method may be sent twice (RFC 9110, section 9.2.2).
pub fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

impl Backoff {
    /// The pause after this many failed attempts; `chance` is a random number from 0 to 1.
    pub fn pause(&self, failed: u32, chance: f64) -> Duration {
        let bound = self.first.saturating_mul(1 << failed.saturating_sub(1).min(20));
        bound.min(self.max).mul_f64(chance)
    }
}

const HELP: &str = "write a gRPC code such as `unavailable`, an HTTP status of `500` to `599`, `connect`, \
                    `reset` or `timeout`";

impl RetryOn {
    /// Parses `unavailable`, `503`, `connect`, `reset`, `timeout`.
    ///
    /// # Errors
    /// If `text` is none of these.
    pub fn parse(text: &str) -> Result<RetryOn, String> {
        let status = || text.parse().ok().filter(|status| (500..600).contains(status));
        match text {
            "connect" => Ok(RetryOn::Connect),
            "reset" => Ok(RetryOn::Reset),
            "timeout" => Ok(RetryOn::Timeout),
            _ => code(text).map(RetryOn::Grpc).or_else(|| status().map(RetryOn::Http)).ok_or_else(
                || match RetryOn::parse_small(text) {
                    Some(small) => format!("`{text}` is written in small letters: `{small}`"),
                    None => format!("`{text}` is nothing to retry on: {HELP}"),
                },
            ),
        }
    }

    fn parse_small(text: &str) -> Option<RetryOn> {
        let small = text.to_ascii_lowercase();
        (small != text).then(|| RetryOn::parse(&small).ok()).flatten()
    }

    /// The gRPC codes that may be written, in small letters.
    pub fn codes() -> impl Iterator<Item = String> {
        GRPC_CODES.iter().skip(1).map(|code| code.name().to_ascii_lowercase())
    }
}

/// The gRPC code of this name in small letters, but for OK.
fn code(text: &str) -> Option<GrpcCode> {
    let mut codes = GRPC_CODES.iter().skip(1).copied();
    codes.find(|code| code.name().to_ascii_lowercase() == text)
}

impl Display for RetryOn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            RetryOn::Grpc(code) => f.write_str(&code.name().to_ascii_lowercase()),
            RetryOn::Http(status) => write!(f, "{status}"),
            RetryOn::Connect => f.write_str("connect"),
            RetryOn::Reset => f.write_str("reset"),
            RetryOn::Timeout => f.write_str("timeout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_retried_is_written_in_small_letters() {
        for text in
            ["unavailable", "deadline_exceeded", "503", "599", "connect", "reset", "timeout"]
        {
            assert_eq!(RetryOn::parse(text).unwrap().to_string(), text);
        }
        for text in ["ok", "UNAVAILABLE", "499", "600", "5xx", ""] {
            assert!(RetryOn::parse(text).is_err(), "{text}");
        }
        assert_eq!(RetryOn::codes().count(), 16);
    }

    #[test]
    fn policies_are_told_in_words() {
        let usual = RetryPolicy::usual();
        assert_eq!(usual.to_string(), "up to 3 attempts, on unavailable, connect, reset");
        let methods: Box<[String]> = ["/shop.Orders/Get".into()].into();
        let limit = Some(Duration::from_millis(500));
        let narrow = RetryPolicy { per_attempt_timeout: limit, methods: methods.clone(), ..usual };
        let told = "up to 3 attempts, on unavailable, connect, reset, each within 500ms, of shop.Orders/Get";
        assert_eq!(narrow.to_string(), told);
        let hedge = HedgePolicy { after: HedgeDelay::P95, attempts: 2, methods: Box::default() };
        assert_eq!(hedge.to_string(), "up to 2 attempts at a time, the next after p95");
    }

    #[test]
    fn pauses_grow_to_a_bound_and_chance_shortens_them() {
        let backoff = RetryPolicy::usual().backoff;
        let most = |failed| backoff.pause(failed, 1.0).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 1000].map(most), [25, 50, 100, 200, 250, 250]);
        assert_eq!(backoff.pause(3, 0.5), Duration::from_millis(50));
        assert_eq!(backoff.pause(9, 0.0), Duration::ZERO);
    }

    #[test]
    fn methods_narrow_it_and_http_has_to_be_idempotent() {
        let some = ["/shop.Orders/Get".into()];
        assert!(names_call(&[], b"/shop.Orders/Buy"));
        assert!(names_call(&some, b"/shop.Orders/Get"));
        assert!(!names_call(&some, b"/shop.Orders/Buy"));
        assert!(is_idempotent(b"PUT") && !is_idempotent(b"POST"));
    }
}
