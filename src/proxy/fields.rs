//! Reads heads (content type, authority, status), and adapts them to the connection that they are
//! forwarded on.

use super::hash_key::SetCookie;
use crate::grpc::TimeoutText;
use crate::http::{Field, Headers, Indexing, Name, Outgoing, Tag, Varying};
use crate::model::Time;
use crate::net::Worker;
use crate::route::Fields;
use crate::upstream::{Pool, Version};

const GRPC: &[u8; 16] = b"application/grpc";

/// Whether the content type is gRPC: `application/grpc`, alone or with a suffix or parameters.
/// gRPC-Web is not.
pub fn is_grpc(headers: &Headers) -> bool {
    let Some(value) = headers.get(Name::ContentType) else { return false };
    let Some((kind, rest)) = value.split_first_chunk() else { return false };
    (kind == GRPC || kind.eq_ignore_ascii_case(GRPC))
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Whether the content type is gRPC-Web, which is often mistaken for gRPC.
pub fn is_grpc_web(headers: &Headers) -> bool {
    const WEB: &[u8; 20] = b"application/grpc-web";
    let kind = headers.get(Name::ContentType).and_then(<[u8]>::split_first_chunk);
    kind.is_some_and(|(kind, _): (&[u8; 20], _)| kind.eq_ignore_ascii_case(WEB))
}

/// Whether a response is a stream of server-sent events.
pub fn is_event_stream(head: &Headers) -> bool {
    const EVENTS: &[u8; 17] = b"text/event-stream";
    let kind = head.get(Name::ContentType).and_then(<[u8]>::split_first_chunk);
    kind.is_some_and(|(kind, _): (&[u8; 17], _)| kind.eq_ignore_ascii_case(EVENTS))
}

/// The authority of a request: `:authority`, or `host`.
pub fn authority(head: &Headers) -> &[u8] {
    head.get(Name::Authority).or_else(|| head.get(Name::Host)).unwrap_or_default()
}

/// Adapts a request head to the field conditions of routes.
pub struct HeadFields<'a>(pub &'a Headers);

impl Fields for HeadFields<'_> {
    fn values(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
        let named = self.0.iter().filter(|field| field.name == name.as_bytes());
        named.for_each(|field| see(field.value));
    }
}

/// A request head as forwarded to a backend. The scheme is that of the backend's connection; gRPC
/// always gets `te: trailers`, and a `grpc-timeout` of the time left when the head is sent.
/// `upgrade` and `expect` are forwarded over HTTP/1.1 only: HTTP/2 has no upgrade, and the gateway
/// answers `expect` itself.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    head: &'a Headers,
    secure: bool,
    http1: bool,
    grpc: bool,
    /// The call's deadline, and the worker whose clock it is measured by.
    deadline: Option<(Time, &'a Worker)>,
    /// Attempts before this one, up to 9.
    previous: usize,
}

/// The field that tells a backend how many attempts were made before (gRFC A6).
const PREVIOUS_ATTEMPTS: &[u8] = b"grpc-previous-rpc-attempts";

impl<'a> RequestHead<'a> {
    /// The head for a backend of `pool`, without a deadline.
    pub fn new(head: &'a Headers, pool: &Pool, grpc: bool) -> RequestHead<'a> {
        let http1 = pool.version() == Version::Http1;
        RequestHead { head, secure: pool.is_secure(), http1, grpc, deadline: None, previous: 0 }
    }

    /// The same, with the time left until `deadline` as `grpc-timeout`, for gRPC over HTTP/2 only.
    pub fn until(self, deadline: Option<Time>, worker: &'a Worker) -> RequestHead<'a> {
        let deadline =
            deadline.filter(|_| self.grpc && !self.http1).map(|deadline| (deadline, worker));
        RequestHead { deadline, ..self }
    }

    /// The same, with the number of attempts before, for gRPC.
    pub fn after(self, previous: u32) -> RequestHead<'a> {
        let previous = if self.grpc { previous.min(9) as usize } else { 0 };
        RequestHead { previous, ..self }
    }
}

impl<'a> Outgoing<'a> for RequestHead<'a> {
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone {
        let RequestHead { head, secure, http1, grpc, .. } = self;
        let scheme: &[u8] = if secure { b"https" } else { b"http" };
        let te =
            Field { id: Name::Te, name: b"te", value: b"trailers", indexing: Indexing::Indexed };
        let te = (grpc || head.get(Name::Te).is_some()).then_some(te);
        let passed = head.iter().filter(move |field| match field.id {
            Name::Te => false,
            Name::Upgrade | Name::Expect => http1,
            Name::GrpcTimeout => self.deadline.is_none(),
            _ => self.previous == 0 || field.name != PREVIOUS_ATTEMPTS,
        });
        let passed = passed.map(move |field| match field.id {
            Name::Scheme => Field { value: scheme, ..field },
            // `host` is replaced by the authority, so that no backend routes by another host.
            Name::Host => Field { value: authority(head), ..field },
            // gRPC paths are few, so they are indexed even if the client's library did not.
            Name::Path if grpc => Field { indexing: Indexing::Indexed, ..field },
            _ => field,
        });
        passed.chain(te).chain(self.previous_attempts())
    }

    fn varying(self) -> Option<Varying> {
        let (deadline, worker) = self.deadline?;
        let left = TimeoutText::of(deadline.since(worker.now()));
        Varying::new(Name::GrpcTimeout, left.as_bytes())
    }

    fn asks_for_head(self) -> bool {
        self.head.asks_for_head()
    }

    fn tag(self) -> Option<Tag> {
        let RequestHead { head, secure, http1, grpc, deadline, previous } = self;
        if previous > 0 {
            return None; // rare: not worth a place among the encoded heads that are kept
        }
        let variant = 1 | u8::from(secure) << 1 | u8::from(http1) << 2 | u8::from(grpc) << 3;
        let variant = variant | u8::from(deadline.is_some()) << 5;
        head.tag().map(|tag| tag.variant(variant))
    }
}

impl RequestHead<'_> {
    fn previous_attempts(self) -> Option<Field<'static>> {
        let value =
            b"0123456789".get(self.previous..=self.previous).filter(|_| self.previous > 0)?;
        let indexing = Indexing::Indexed;
        Some(Field { id: Name::Other, name: PREVIOUS_ATTEMPTS, value, indexing })
    }
}

/// A response head as forwarded to the client, without `te`, which is a request field.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    head: &'a Headers,
    cookie: Option<&'a SetCookie>,
}

impl<'a> ResponseHead<'a> {
    /// The head, with a cookie to set.
    pub fn new(head: &'a Headers, cookie: Option<&'a SetCookie>) -> ResponseHead<'a> {
        ResponseHead { head, cookie }
    }
}

impl<'a> Outgoing<'a> for ResponseHead<'a> {
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone {
        let passed = self.head.iter().filter(|field| field.id != Name::Te);
        passed.chain(self.cookie.map(SetCookie::field))
    }

    fn asks_for_head(self) -> bool {
        false
    }

    fn tag(self) -> Option<Tag> {
        let tag = self.head.tag().filter(|_| self.cookie.is_none());
        tag.map(|tag| tag.variant(16))
    }
}

/// The status of a response head; the codec has checked that there is one.
pub fn status(head: &Headers) -> u16 {
    let Some(&[a, b, c]) = head.get(Name::Status) else { return 0 };
    [a, b, c].iter().fold(0, |status, digit| 10 * status + u16::from(digit & 15))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content_type: &[u8]) -> Headers {
        let mut headers = Headers::new();
        headers.add(Name::ContentType, content_type);
        headers
    }

    #[test]
    fn tells_grpc_from_the_rest() {
        for yes in ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"] {
            assert!(is_grpc(&with(yes.as_bytes())), "{yes}");
        }
        assert!(is_grpc(&with(b"Application/GRPC")));
        for no in ["application/grpc-web", "application/grpc-web+proto", "application/json", ""] {
            assert!(!is_grpc(&with(no.as_bytes())), "{no}");
            assert_eq!(is_grpc_web(&with(no.as_bytes())), no.contains("web"), "{no}");
        }
        assert!(is_grpc_web(&with(b"Application/gRPC-Web-Text")));
        assert!(!is_grpc(&Headers::new()));
    }

    #[test]
    fn a_backend_sees_one_spelling_of_the_host() {
        let mut head = Headers::new();
        head.add(Name::Authority, b"shop.example");
        head.add(Name::Host, b"Shop.Example:80");
        let sent = RequestHead {
            head: &head,
            secure: false,
            http1: false,
            grpc: false,
            deadline: None,
            previous: 0,
        };
        assert!(sent.fields().all(|field| field.value == b"shop.example"));
        assert_eq!(sent.fields().count(), 2);
    }

    #[test]
    fn a_backend_is_told_that_trailers_are_understood() {
        let mut head = with(b"application/grpc");
        head.add(Name::Scheme, b"https");
        let to = |grpc| RequestHead {
            head: &head,
            secure: false,
            http1: false,
            grpc,
            deadline: None,
            previous: 0,
        };
        let sent: Vec<_> = to(true).fields().map(|f| (f.id, f.value)).collect();
        assert_eq!(
            sent,
            [
                (Name::ContentType, &b"application/grpc"[..]),
                (Name::Scheme, b"http"),
                (Name::Te, b"trailers")
            ]
        );
        assert!(to(false).fields().all(|f| f.id != Name::Te));
    }
}
