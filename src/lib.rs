//! Equipoise: a gateway for gRPC microservices that balances every request.
//!
//! Two one-way streams meet at one immutable value:
//!
//! ```text
//! cold:  configuration, sources, control API --> one writer per service --> Snapshot
//! hot:   listener -> route -> Snapshot.pick -> upstream stream -> splice -> outcome
//! ```
//!
//! # Architecture
//!
//! - **Workers** ([`net`], [`app`]). N threads, each a single-threaded runtime that shares nothing
//!   with the others on the hot path: a connection lives and dies on its worker, and each worker
//!   has its own connections to the backends. One more thread runs the cold parts: the control API,
//!   the metrics, the services' writers. Name resolution, health checks and the log have threads of
//!   their own, as they may wait for others; pickers are built on a thread pool, as that may take
//!   long.
//! - **Codecs without I/O** ([`http2`], [`http1`]). Bytes in, events out; commands in, bytes out.
//!   They know no clock and no runtime, never panic, and limit what a peer can make us do, which is
//!   only possible where frames are parsed. Both produce heads in the same form and implement
//!   [`http::Connection`], so drivers and streams are the same for both.
//! - **A request is one small async function** (`proxy/exchange.rs`) that reads from top to bottom:
//!   route, pick, open, send, classify. Once the response has begun, the two streams are spliced:
//!   the connections' drivers move the data, and the function sleeps until the end.
//! - **One write a turn.** A driver reads the available input; the resulting output is appended to
//!   other connections, and each of these is flushed once at the end of the turn.
//! - **Backpressure by credit.** A sender may send more only when its bytes were written to the other
//!   side. A stalled reader blocks the windows of its own streams, and no other stream.
//! - **One snapshot per service** ([`service`]). Endpoints, weights and the built picker are one
//!   immutable value. Its picker never picks an endpoint that may not get requests, so the hot path
//!   does not check. Once a change has been answered, every later request uses it.
//! - **A reload is one swap** ([`app`]). Routes and all snapshots are one immutable value too, so that
//!   a request sees one configuration. A service that stays keeps its endpoints, their statistics and
//!   its connections; a request keeps what it began with. Operators' overrides are a layer of their
//!   own, above the file's.
//! - **Feedback is atomics on the endpoint** ([`model`]): in flight, latency, outcomes. Workers
//!   write them, pickers and metrics read them. They outlive every change of weights.
//!
//! # Layers
//!
//! Imports go one way, from the right to the left, and not between neighbours; a test holds that.
//!
//! ```text
//! text, stats, http, grpc, tasks, dns <- model, access, http1, http2 <- admission, clock <- route, balance, net, telemetry
//!   <- discovery, overrides, upstream <- audit, health <- service <- proxy, config <- control <- app, cli
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`text`] | parsing and formatting: addresses, units, keyed settings, redaction, did-you-mean |
//! | [`access`] | who may steer: identities, roles, tokens, and what each method needs |
//! | [`admission`] | how many requests may be in flight, and who is next: permits, fair queues |
//! | [`stats`] | histograms, sliding windows, single-writer counters; generic |
//! | [`model`] | value types shared by all layers; no async, no I/O, no clock |
//! | [`route`] | routing: the table, matches, splits, filters |
//! | [`http`] | the vocabulary of both codecs: header lists, message validation, events, errors, limits, trait `Connection` |
//! | [`http2`] | the codec of HTTP/2: frames, HPACK, flow control, both roles of a connection |
//! | [`http1`] | the codec of HTTP/1.1, with the same interface: one exchange at a time |
//! | [`grpc`] | the parts of gRPC that a gateway reads: message frames, deadlines |
//! | [`clock`] | the clock and log throttle; everything else is passed the time |
//! | [`tasks`] | supervision of background tasks: counted, logged, restarted with backoff |
//! | [`dns`] | look-ups of names and services, by `/etc/hosts` and the name servers of `/etc/resolv.conf` |
//! | [`balance`] | the policies: pure, synchronous; **a new balancer is one file and one row here** |
//! | [`net`] | a worker's I/O: accepting, TLS, connection drivers, streams, splice, timers |
//! | [`telemetry`] | metrics exporter with its cardinality limit, health endpoints, the log |
//! | [`discovery`] | sources of backends: files, DNS, registries; **a new source is one file and one row here** |
//! | [`overrides`] | what operators changed: records, settings that may hold for a time, stores |
//! | [`audit`] | who has changed what, and who was refused, in a file that is only appended to |
//! | [`upstream`] | connections to one endpoint on one worker |
//! | [`health`] | active health checks: one checker per address for all services, on a thread of its own |
//! | [`service`] | services at run time: writer, snapshot, health and ejection, view for the API and metrics |
//! | [`proxy`] | the data path |
//! | [`config`] | YAML to a validated plan; reports all errors at once |
//! | [`control`] | the control API; knows services, never the data path |
//! | [`app`] | the composition root: the only one that sees every layer; reload |
//! | [`cli`] | `serve`, `check`, `schema`, `ctl`, `demo` |
//!
//! # Invariants
//!
//! 1. Every accepted request ends in exactly one outcome; nothing stays in flight when idle.
//! 2. No byte is added to a gRPC message, no metadata dropped, a trailers-only response stays one,
//!    a truncated response never becomes a complete one.
//! 3. A slow reader or a stuck backend stalls its own streams alone.
//! 4. Memory per stream and per connection is bounded by configuration, whatever a peer does.
//! 5. A bad configuration never stops what serves.
//! 6. The hot path does not allocate in `pick`, takes no lock that workers share, and formats no
//!    text.
//!
//! # What is absent on purpose
//!
//! - No `unsafe`; no `unwrap`, `expect` or `panic!` outside tests; no lock of the standard library.
//!   The lints refuse them.
//! - No channel and no task hop between a client's stream and its backend's.
//! - No health check, clock or random generator in a picker: its set is eligible, time and randomness
//!   are passed in.
//! - No self-registering plug-ins: policies and other plug-ins are rows of a table.

pub mod access;
pub mod admission;
pub mod app;
pub mod audit;
pub mod balance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod discovery;
pub mod dns;
pub mod grpc;
pub mod health;
pub mod http;
pub mod http1;
pub mod http2;
pub mod model;
pub mod net;
pub mod overrides;
pub mod proxy;
pub mod route;
pub mod service;
pub mod stats;
pub mod tasks;
pub mod telemetry;
pub mod text;
pub mod upstream;

/// The README's examples in Rust are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
