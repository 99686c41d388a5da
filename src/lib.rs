//! Equipoise: a gateway for gRPC microservices that balances every request.
//!
//! Two one-way streams meet at one immutable value:
//!
//! ```text
//! cold:  configuration, control API --> one writer per service --> Snapshot
//! hot:   listener -> route -> Snapshot.pick -> upstream stream -> relay -> outcome
//! ```
//!
//! # Architecture
//!
//! - **Workers** ([`net`], [`app`]). N threads, each a single-threaded runtime that shares nothing
//!   with the others on the hot path: a connection lives and dies on its worker, and each worker
//!   has its own connections to the backends. One more thread runs all that is cold: the control
//!   API, the metrics, the writers of the services. Finding the addresses of names, checking the
//!   health of backends and writing the log, which may have to wait for others, have threads of
//!   their own, and so has building pickers, which may take long.
//! - **Codecs without I/O** ([`http2`], [`http1`]). Bytes in, events out; commands in, bytes out.
//!   They know no clock and no runtime, never panic, and count what a peer may make us do: only
//!   where frames are parsed can a gateway bound that. Heads leave both in one form, and
//!   both are an [`http::Connection`], so drivers, streams and the relay do not ask which of the
//!   two they move.
//! - **A request is one small async function** (`proxy/exchange.rs`) that reads from top to bottom:
//!   route, pick, open, send, classify. Once the response has begun, the two streams are spliced:
//!   the connections' drivers move the data, and the function sleeps until the end.
//! - **One write a turn.** A driver reads what is there; all that follows from it is appended to
//!   the outputs of other connections, and each of these is flushed once at the end of the turn.
//! - **Backpressure by credit.** A sender may send more only when its bytes have left for the
//!   other side. A stalled reader holds its own streams' windows and nobody else's connection.
//! - **A snapshot a service** ([`service`]). Endpoints, weights and the built picker are one
//!   immutable value. Endpoints that may take no request are not in it, or known to the picker as
//!   out where members have places that they find again, so the hot path does not ask. When a change has been answered, no later request is balanced without it.
//! - **A reload is one swap** ([`app`]). Routes and all snapshots are one immutable value too, so
//!   that a request goes by one configuration. A service that stays keeps its endpoints, what was
//!   learnt of them, and its connections; a request keeps what it began with. What operators have
//!   changed is a layer of its own, above the file's.
//! - **Feedback is atomics on the endpoint** ([`model`]): in flight, latency, outcomes. Workers
//!   write them, pickers and metrics read them. They outlive every change of weights.
//!
//! # Layers
//!
//! Imports go one way, from the right to the left, and not between neighbours; a test holds that.
//!
//! ```text
//! text, stats, http, grpc, tasks <- model, http1, http2 <- route, clock, balance, net, telemetry
//!   <- upstream <- health <- service <- proxy, config <- control <- app, cli
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`text`] | parsing and formatting: addresses, units, keyed settings, redaction, did-you-mean |
//! | [`stats`] | histograms, sliding windows, single-writer counters; generic |
//! | [`model`] | value types shared by all layers; no async, no I/O, no clock |
//! | [`route`] | routing: the table, matches, splits, filters |
//! | [`http`] | what both codecs speak: header lists, the rules of messages, events, errors, limits, trait `Connection` |
//! | [`http2`] | the codec of HTTP/2: frames, HPACK, flow control, both roles of a connection |
//! | [`http1`] | the codec of HTTP/1.1, in the shape of the other: one exchange at a time |
//! | [`grpc`] | the parts of gRPC that a gateway reads: message frames, deadlines |
//! | [`clock`] | the clock and log throttle; everything else is passed the time |
//! | [`tasks`] | supervision of background tasks: counted, logged, restarted with backoff |
//! | [`balance`] | the policies: pure, synchronous; **a new balancer is one file and one row here** |
//! | [`net`] | a worker's I/O: accepting, TLS, connection drivers, streams, splice, timers |
//! | [`telemetry`] | metrics exporter with its cardinality limit, health endpoints, the log |
//! | [`upstream`] | connections to one endpoint on one worker |
//! | [`health`] | active health checks: one checker per address for all services, on a thread of its own |
//! | [`service`] | one service at run time: its writer, its snapshot, its view for people |
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
//! - No health branch, no clock and no randomness in a picker: the set is eligible, the others are
//!   passed in.
//! - No registry that fills itself: what can be plugged in stands in a table that one can read.

pub mod app;
pub mod balance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod grpc;
pub mod health;
pub mod http;
pub mod http1;
pub mod http2;
pub mod model;
pub mod net;
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
