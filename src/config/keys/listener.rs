//! Keys of listeners: for clients, metrics.

use std::time::Duration;

use ipnet::IpNet;

use super::texts::{ASKED_NAME, BUCKET, LISTEN, MODE, NETWORK, TOKEN_FILE};
use super::{CLIENT_LIMITS, HOUR, SERVER_TLS};
use crate::config::listener::{mode, proxy};
use crate::config::metrics::{MAX_BUCKETS, MAX_METHODS, bound};
use crate::config::read;
use crate::http::{Ambiguity, Limits, Paths, Underscores};
use crate::model::{CertificateField, ForwardedHeaders, SocketAddress};
use crate::net::Others;
use crate::telemetry::{AllowedHost, ResponseStart};
use crate::text::keys::{
    Absent, Form, Key, List, Many, Part, Setting, Shape, Short, Word, boolean, duration, number,
    section, text, word,
};
use crate::text::units::show_duration;

/// Presets of a listener's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For trusted clients.
    Internal,
    /// For untrusted clients.
    Edge,
}

impl Word for Profile {
    const WORDS: &'static [(&'static str, Profile)] =
        &[("internal", Profile::Internal), ("edge", Profile::Edge)];
}

impl Profile {
    /// The preset's limits.
    pub fn limits(self) -> Limits {
        match self {
            Profile::Internal => Limits::internal(),
            Profile::Edge => Limits::edge(),
        }
    }

    /// Whether the listener's clients are strangers.
    pub fn is_for_strangers(self) -> bool {
        self == Profile::Edge
    }

    /// What the preset does with ambiguous requests.
    pub fn ambiguity(self) -> Ambiguity {
        match self {
            Profile::Internal => Ambiguity::internal(),
            Profile::Edge => Ambiguity::edge(),
        }
    }
}

pub(super) const fn socket_address() -> Form<SocketAddress> {
    text(&LISTEN, SocketAddress::parse, ToString::to_string)
}

pub(super) const fn socket_mode() -> Form<u32> {
    text(&MODE, mode, |mode| format!("{mode:04o}"))
}

section! {
    /// A listener for clients.
    pub static LISTENER: Listener = "listeners[]", short Short::Key("address");

    address: Key<SocketAddress> = socket_address(), Absent::Required("add `address: 0.0.0.0:8080`"),
        "`0.0.0.0:8080`, or `[::]:8080` for IPv6 and IPv4, or both, each for its own, or a \
         [Unix socket](#unix-sockets); HTTP/1.1 and HTTP/2 are told apart by what the client sends";
    mode: Key<u32> = socket_mode(), Absent::Words("the umask's"),
        "who may connect to a Unix socket, as for `chmod`: `0660` for an owner and a group, `0666` \
         for all";
    tls: Part = Shape::Mapping(&SERVER_TLS), Absent::Nothing, "serve TLS; clear text without";
    proxy_protocol: Part = Shape::Mapping(&PROXY_PROTOCOL), Absent::Nothing,
        "load balancers that begin each connection with a header of the PROXY protocol";
    profile: Setting<Profile> = word(), Profile::Internal,
        "where `limits`, `paths` and `underscores` start: for trusted services, or for strangers";
    max_connections: Setting<usize> = number(1..=10_000_000), 20_000,
        "open at a time; more are closed at once, and \
         [counted](operating.md#why-connections-are-refused)";
    limits: Part = Shape::Mapping(&CLIENT_LIMITS), Absent::Nothing, "what one connection may take";
    paths: Key<Paths> = word(), Absent::Words("`as_is`; with profile `edge` `normalise`"),
        "[paths that a backend may read differently](#paths): `as_is`: routed and forwarded as they \
         come; `normalise`: rewritten to their normal form, or refused if they have none; `strict`: \
         refused";
    underscores: Key<Underscores> = word(), Absent::Words("`pass`; with profile `edge` `refuse`"),
        "header fields with an underscore in their name, which [some servers take for a \
         dash](#paths): `pass`, `drop` or `refuse` the request";
    forwarded: Part = Shape::Mapping(&FORWARDED), Absent::Nothing,
        "what backends are told about clients";
}

impl Word for Others {
    const WORDS: &'static [(&'static str, Others)] =
        &[("refuse", Others::Refuse), ("pass", Others::Pass)];
}

section! {
    /// The PROXY protocol.
    pub static PROXY_PROTOCOL: ProxyProtocolKeys = "listeners[].proxy_protocol";

    trust: List<Option<IpNet>> = text(&NETWORK, proxy, |proxy| format!("{proxy:?}")), Many::Some,
        Absent::Required("add `trust: [ 10.0.0.0/8 ]`, the networks of the load balancers"),
        "networks of load balancers, such as `10.0.0.0/8`, or `unix` for all who come by a Unix socket: \
         each of their connections begins with a header, version 1 or 2, and its client is the one \
         that the header names";
    others: Setting<Others> = word(), Others::Refuse,
        "connections from elsewhere: `refuse` closes them, `pass` serves them without a header";
}

impl Word for Paths {
    const WORDS: &'static [(&'static str, Paths)] =
        &[("as_is", Paths::AsIs), ("normalise", Paths::Normalise), ("strict", Paths::Strict)];
}

impl Word for Underscores {
    const WORDS: &'static [(&'static str, Underscores)] = &[
        ("pass", Underscores::Pass),
        ("drop", Underscores::Drop),
        ("refuse", Underscores::Refuse),
    ];
}

impl Word for ForwardedHeaders {
    const WORDS: &'static [(&'static str, ForwardedHeaders)] = &[
        ("off", ForwardedHeaders::Off),
        ("x_forwarded", ForwardedHeaders::XForwarded),
        ("forwarded", ForwardedHeaders::Forwarded),
        ("both", ForwardedHeaders::Both),
    ];
}

impl Word for CertificateField {
    const WORDS: &'static [(&'static str, CertificateField)] = &[
        ("hash", CertificateField::Hash),
        ("subject", CertificateField::Subject),
        ("uri", CertificateField::Uri),
        ("dns", CertificateField::Dns),
        ("cert", CertificateField::Cert),
        ("chain", CertificateField::Chain),
    ];
}

section! {
    /// Forwarding headers.
    pub static FORWARDED: Forwarded = "listeners[].forwarded";

    headers: Key<ForwardedHeaders> = word(), Absent::value("x_forwarded"),
        "`off`: fields pass as they come; `x_forwarded`: x-forwarded-for, -proto and -host; \
         `forwarded`: RFC 7239; `both`";
    grpc: Key<bool> = boolean(), Absent::value("false"),
        "gRPC requests get them too, among their metadata";
    trust: List<Option<IpNet>> = text(&NETWORK, proxy, |proxy| format!("{proxy:?}")), Many::Any,
        Absent::Nothing,
        "proxies before the gateway, such as `10.0.0.0/8`, or `unix` for all who come by a Unix \
         socket: their word is kept and added to, and the client's address is what they say; what \
         others say of themselves is dropped";
    client_cert: List<CertificateField> = word(), Many::Some, Absent::Nothing,
        "what `x-forwarded-client-cert` tells, gRPC backends too, of a client's certificate, in Envoy's form: its \
         hash and the gateway's URI in any case. What clients write there themselves is dropped in any case, but that of \
         `trust`, which is kept and added to";
}

impl Word for ResponseStart {
    const WORDS: &'static [(&'static str, ResponseStart)] = &[
        ("service", ResponseStart::Service),
        ("backend", ResponseStart::Backend),
        ("off", ResponseStart::Off),
    ];
}

section! {
    /// Metrics and health over HTTP.
    pub static METRICS: Metrics = "metrics", short Short::Key("address");

    [restart] address: Key<SocketAddress> = socket_address(), Absent::value("127.0.0.1:9901"),
        "where /metrics, /healthz, /readyz and `grpc.health.v1` are served";
    [restart] mode: Key<u32> = socket_mode(), Absent::Words("the umask's"),
        "who may connect to its Unix socket";
    hosts: List<AllowedHost> = text(&ASKED_NAME, AllowedHost::parse, AllowedHost::text), Many::Any,
        Absent::Nothing,
        "names by which it may be asked, such as `gateway.example.com` or `*.example.com`, beside IP \
         addresses, names without a dot and those of `.local`, `.internal`, `.localhost`, `.test` and \
         `.svc`: any other `Host` is refused with 403, as it may be [a \
         trick](operating.md#who-may-ask-the-metrics-port)";
    tls: Part = Shape::Mapping(&SERVER_TLS), Absent::Nothing,
        "TLS; with `client_ca` metrics need a client certificate or a token, and with `client_auth: \
         optional` health needs neither";
    tokens: Key<String> = text(&TOKEN_FILE, read::text, Clone::clone), Absent::Nothing,
        "the file of [tokens](control.md#tokens) that may read metrics, as of `control`: those with the role `read` \
         or more for all services. [Health needs none](operating.md#who-may-ask-the-metrics-port). Off loopback with `tls`";
    [restart] series_budget: Key<usize> = number(10..=1_000_000), Absent::value("200000"),
        "series of all metrics together; the busiest have names, the rest is summed up as `other`. \
         One to two hundred of the gateway's own are there in any case";
    [restart] latency_buckets: List<Duration> = text(&BUCKET, bound, |bound| show_duration(*bound)),
        Many::UpTo(MAX_BUCKETS), Absent::Words("18 of them"),
        "bounds of the latency histograms, ascending; bare numbers are seconds";
    [restart] response_start: Key<ResponseStart> = word(), Absent::value("service"),
        "whose `equipoise_response_start_seconds` is told";
    [restart] keep_removed: Key<Duration> = duration(Duration::ZERO..=HOUR), Absent::value("5m"),
        "how long counters of backends and services that were removed stay; 0ms: they go at once";
    [restart] methods_per_service: Key<usize> = number(0..=MAX_METHODS), Absent::value("256"),
        "gRPC methods that are counted under their names, of each service; further ones are \
         `other`. 0: none is counted";
}
