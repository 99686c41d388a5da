//! Top-level keys, `dns`, `log`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::texts::{JOURNAL_FILE, NAME_SERVER, SERVICE_NAME, ZONE};
use super::{CONTROL, DAY, HOUR, LISTENER, METRICS, MS, ROUTE, SERVICE};
use crate::config::plan::LogFormat;
use crate::config::read;
use crate::config::service::zone;
use crate::telemetry::log;
use crate::text::address;
use crate::text::keys::{
    Absent, Key, List, Many, Part, Setting, Shape, Short, Word, boolean, duration, number, section,
    size, text, word, words,
};

section! {
    /// The top level of the file.
    pub static TOP: Top = "";

    listeners: Part = Shape::Mappings(&LISTENER, Many::Some),
        Absent::Required("add `listeners: [ { address: 0.0.0.0:8080 } ]`"),
        "where clients connect";
    services: Part = Shape::Named(&SERVICE_NAME, &SERVICE, Many::Any),
        Absent::Required("add `services:` with the backends of each under its name"),
        "the backends, by service";
    routes: Part = Shape::Mappings(&ROUTE, Many::Any),
        Absent::Required("add `routes: [ { service: NAME } ]` to send everything to one service"),
        "which request goes to which service";
    [restart] workers: Key<usize> = number(1..=1024), Absent::Words("the cores"),
        "threads that carry requests";
    drain_delay: Setting<Duration> = duration(Duration::ZERO..=HOUR), Duration::ZERO,
        "after SIGTERM: how long it says that it is not ready and yet serves on, for \
         [load balancers](operating.md#restarts-and-draining) to take notice";
    drain_timeout: Setting<Duration> = duration(Duration::ZERO..=DAY), Duration::from_secs(30),
        "after SIGTERM: how long requests in flight may take; then they end with UNAVAILABLE";
    [restart] worker_buffer: Setting<usize> = size(1 << 20..=1 << 40), 256 << 20,
        "what all slow streams of one worker may hold; beyond, some are reset";
    [restart] flow_pause: Setting<Duration> = duration(Duration::ZERO..=MS), Duration::from_micros(160),
        "the longest that a worker waits before it looks at its sockets again while it carries \
         nothing but streams that go on and on: it then moves more at a time, with less CPU, and \
         whatever else comes waits as long, and some 50 us that the system adds; `0ms` for none, \
         where calls beside such streams must not wait";
    zone: Key<Option<Arc<str>>> = text(&ZONE, zone, |zone| zone.as_deref().unwrap_or_default().into()),
        Absent::Nothing,
        "the gateway's own [zone](operating.md#zones), as backends' are written: `zone: ${NODE_ZONE}`; empty for none";
    [restart] dns: Part = Shape::Mapping(&DNS), Absent::Nothing,
        "who is asked for the names of endpoints; by default the name servers of `/etc/resolv.conf`";
    [restart] log: Part = Shape::Mapping(&LOG), Absent::Nothing, "the log on the standard error";
    [restart] overrides: Part = Shape::Mapping(&OVERRIDES), Absent::Nothing,
        "where [what operators change](operating.md#what-outlives-a-restart) is kept; in memory, and so \
         until the process ends, without";
    [restart] audit: Part = Shape::Mapping(&AUDIT), Absent::Nothing,
        "the file in which [every change and refusal](control.md#the-audit) has a line; none without";
    control: Part = Shape::Mapping(&CONTROL), Absent::Nothing,
        "[the control API](control.md), and who may steer";
    metrics: Part = Shape::Mapping(&METRICS), Absent::Nothing,
        "metrics and health over HTTP";
}

section! {
    /// Name servers.
    pub static DNS: Dns = "dns";

    servers: List<SocketAddr> = text(&NAME_SERVER, address::name_server, ToString::to_string), Many::Any,
        Absent::Required("add `servers: [ 127.0.0.1:8600 ]`"),
        "name servers, each an IP and a port unless it is 53; they are asked instead of those of \
         `/etc/resolv.conf`, whose `search` and `options` hold";
}

section! {
    /// What operators change.
    pub static OVERRIDES: Overrides = "overrides";

    journal: Part = Shape::Mapping(&JOURNAL), Absent::Nothing,
        "every change is written to a file before it takes effect, and is in effect again after a restart";
}

section! {
    /// The journal of what operators change.
    pub static JOURNAL: Journal = "overrides.journal";

    path: Key<String> = text(&JOURNAL_FILE, read::text, Clone::clone),
        Absent::Required("add `path: overrides.jsonl`"),
        "the file, of one gateway alone; `.lock` and `.new` beside it are the gateway's too";
}

section! {
    /// The audit.
    pub static AUDIT: Audit = "audit", short Short::Key("path");

    path: Key<String> = text(&JOURNAL_FILE, read::text, Clone::clone),
        Absent::Required("add `path: audit.jsonl`"),
        "the file, of one gateway alone, which is appended to; once it is renamed, a new one is begun";
    strict: Setting<bool> = boolean(), false,
        "a change that cannot be written there, and synced, is not made";
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat)] =
        &[("text", LogFormat::Text), ("json", LogFormat::Json)];
}

section! {
    /// Log settings.
    pub static LOG: Log = "log";

    format: Key<LogFormat> = word(), Absent::value("text"), "the form of a line";
    level: Key<LevelFilter> = words(log::levels, log::level, ToString::to_string), Absent::value("info"),
        "[what is logged](operating.md#the-log) at least; the environment's EQUIPOISE_LOG overrides \
         it, and `ctl log-level` changes it at run time";
    buffer: Key<usize> = size(64 << 10..=1 << 30), Absent::value("1MiB"),
        "lines that wait for whoever reads them; beyond, they are dropped and counted";
}
