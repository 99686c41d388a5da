//! What a head says to the gateway, and how it is passed on.

use super::key::SetCookie;
use crate::grpc::TimeoutText;
use crate::http::{Field, Headers, Indexing, Name, Outgoing, Tag, Varying};
use crate::model::Time;
use crate::net::Worker;
use crate::route::Fields;
use crate::upstream::{Pool, Version};

const GRPC: &[u8; 16] = b"application/grpc";

/// Whether a content type is gRPC: `application/grpc`, alone or with a suffix or parameters.
/// gRPC-Web is not.
pub fn is_grpc(headers: &Headers) -> bool {
    let Some(value) = headers.get(Name::ContentType) else { return false };
    let Some((kind, rest)) = value.split_first_chunk() else { return false };
    (kind == GRPC || kind.eq_ignore_ascii_case(GRPC))
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Whether a content type is gRPC-Web, which looks like gRPC to people.
pub fn is_grpc_web(headers: &Headers) -> bool {
    const WEB: &[u8; 20] = b"application/grpc-web";
    let kind = headers.get(Name::ContentType).and_then(<[u8]>::split_first_chunk);
    kind.is_some_and(|(kind, _): (&[u8; 20], _)| kind.eq_ignore_ascii_case(WEB))
}

/// Whether a response is one of server-sent events, which go on for as long as anybody listens.
pub fn is_event_stream(head: &Headers) -> bool {
    const EVENTS: &[u8; 17] = b"text/event-stream";
    let kind = head.get(Name::ContentType).and_then(<[u8]>::split_first_chunk);
    kind.is_some_and(|(kind, _): (&[u8; 17], _)| kind.eq_ignore_ascii_case(EVENTS))
}

/// The host that a request is for.
pub fn authority(head: &Headers) -> &[u8] {
    head.get(Name::Authority).or_else(|| head.get(Name::Host)).unwrap_or_default()
}

/// A request's head as routes ask for it.
pub struct Asked<'a>(pub &'a Headers);

impl Fields for Asked<'_> {
    fn values(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
        let named = self.0.iter().filter(|field| field.name == name.as_bytes());
        named.for_each(|field| see(field.value));
    }
}

/// The head of a request as it goes to a backend: everything as it came, but the scheme is that
/// of the connection there, and a gRPC backend is always told that trailers are understood, and
/// how much is left of the time when the head leaves. Of HTTP/2 no other protocol can be asked
/// for, and whether a body is wanted is answered here.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    head: &'a Headers,
    secure: bool,
    http1: bool,
    grpc: bool,
    /// When the time of a call is up, if it is, by the clock of this worker.
    deadline: Option<(Time, &'a Worker)>,
}

impl<'a> RequestHead<'a> {
    /// The head for a backend of `pool`.
    pub fn new(head: &'a Headers, pool: &Pool, grpc: bool) -> RequestHead<'a> {
        let http1 = pool.version() == Version::Http1;
        RequestHead { head, secure: pool.is_secure(), http1, grpc, deadline: None }
    }

    /// The same, where a gRPC backend is to know how much is left until `deadline`. To HTTP/1.1
    /// goes no gRPC.
    pub fn until(self, deadline: Option<Time>, worker: &'a Worker) -> RequestHead<'a> {
        let deadline =
            deadline.filter(|_| self.grpc && !self.http1).map(|deadline| (deadline, worker));
        RequestHead { deadline, ..self }
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
            _ => true,
        });
        let passed = passed.map(move |field| match field.id {
            Name::Scheme => Field { value: scheme, ..field },
            // Two spellings of one host are not passed on for others to compare.
            Name::Host => Field { value: authority(head), ..field },
            // There are few methods, whatever the client's library thinks of paths.
            Name::Path if grpc => Field { indexing: Indexing::Indexed, ..field },
            _ => field,
        });
        passed.chain(te)
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
        let RequestHead { head, secure, http1, grpc, deadline } = self;
        let variant = 1 | u8::from(secure) << 1 | u8::from(http1) << 2 | u8::from(grpc) << 3;
        let variant = variant | u8::from(deadline.is_some()) << 5;
        head.tag().map(|tag| tag.variant(variant))
    }
}

/// A response's head as it goes to the client: `te` speaks of a request and is dropped.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    head: &'a Headers,
    cookie: Option<&'a SetCookie>,
}

impl<'a> ResponseHead<'a> {
    /// The head, and the cookie that is set with it.
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

/// The status of a response's head; the codec has checked that there is one.
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
        let sent =
            RequestHead { head: &head, secure: false, http1: false, grpc: false, deadline: None };
        assert!(sent.fields().all(|field| field.value == b"shop.example"));
        assert_eq!(sent.fields().count(), 2);
    }

    #[test]
    fn a_backend_is_told_that_trailers_are_understood() {
        let mut head = with(b"application/grpc");
        head.add(Name::Scheme, b"https");
        let to =
            |grpc| RequestHead { head: &head, secure: false, http1: false, grpc, deadline: None };
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
