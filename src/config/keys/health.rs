//! Keys of health checks.

use std::time::Duration;

use super::texts::{AUTHORITY, HEADER_EDIT, HEADER_VALUE, HEALTH_SERVICE, PATH, STATUSES};
use super::{HOUR, MINUTE, MS};
use crate::config::filter::path;
use crate::config::health::{Statuses, authority, grpc_service, show_statuses, statuses};
use crate::text::keys::{
    Absent, Key, Part, Setting, Shape, Short, ValueKind, Word, boolean, duration, number, section,
    text, word,
};

const SECOND: Duration = Duration::from_secs(1);

/// The state of a backend before its first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    Healthy,
    Unhealthy,
}

impl Word for Initial {
    const WORDS: &'static [(&'static str, Initial)] =
        &[("healthy", Initial::Healthy), ("unhealthy", Initial::Unhealthy)];
}

section! {
    /// A service's health checks.
    pub static HEALTH: HealthKeys = "services.*.health";

    grpc: Part = Shape::Mapping(&HEALTH_GRPC), Absent::Nothing,
        "`grpc.health.v1`: its `Watch`, and its `Check` each time; `grpc: {}` asks about the whole \
         process. Needs HTTP/2. A check has this, `http` or `tcp`";
    http: Part = Shape::Mapping(&HEALTH_HTTP), Absent::Nothing,
        "a page, in the service's protocol";
    tcp: Part = Shape::Mapping(&HEALTH_TCP), Absent::Nothing,
        "`tcp: {}`: a connection, with TLS if the service has it, and nothing is sent on it";
    interval: Setting<Duration> = duration(Duration::from_millis(100)..=HOUR), Duration::from_secs(5),
        "from one check to the next, give or take a twentieth";
    timeout: Setting<Duration> = duration(MS..=MINUTE), SECOND,
        "what a check may take, with the connection";
    rise: Setting<u32> = number(1..=100), 2,
        "so many checks in a row that succeed make a backend healthy again; the first of all does at \
         once";
    fall: Setting<u32> = number(1..=100), 3,
        "so many that fail make it UNHEALTHY; the first of all does at once, and so does what it says \
         of itself: NOT_SERVING";
    initial: Setting<Initial> = word(), Initial::Healthy,
        "what it is before the first check: `healthy`, so that a start waits for nothing, or \
         `unhealthy`";
    port: Key<u16> = number(1..=65_535), Absent::Words("the backend's"),
        "the port to ask; backends at Unix sockets are asked there";
    authority: Key<Box<str>> = text(&AUTHORITY, authority, ToString::to_string),
        Absent::Words("the backend's address"),
        "the `:authority`, or `Host`, of what is asked";
    headers: Part = Shape::NamedValues(&HEADER_EDIT, ValueKind::Text(&HEADER_VALUE)), Absent::Nothing,
        "more headers, or metadata, of what is asked";
    tls: Setting<bool> = boolean(), true,
        "whether the service's `tls` holds for checks too; `false` where the port asked is in clear \
         text";
}

section! {
    /// A check by `grpc.health.v1`.
    pub static HEALTH_GRPC: HealthGrpc = "services.*.health.grpc", short Short::Key("service");

    service: Key<Box<str>> = text(&HEALTH_SERVICE, grpc_service, ToString::to_string),
        Absent::Words("the whole process"),
        "the name that is asked about, as the backend's health service has it";
}

section! {
    /// A check by an HTTP request.
    pub static HEALTH_HTTP: HealthHttp = "services.*.health.http", short Short::Key("path");

    path: Key<Box<str>> = text(&PATH, path, ToString::to_string),
        Absent::Required("add `path: /healthz`"), "what is asked for, by GET";
    status: Key<Statuses> = text(&STATUSES, statuses, show_statuses), Absent::value("200-299"),
        "the statuses of a backend that is well: one, or from one to another";
}

section! {
    /// A check by a TCP connection.
    pub static HEALTH_TCP: HealthTcp = "services.*.health.tcp";
}
