//! Two ends of a connection in memory, each with its driver, on one thread and in virtual time.

#![allow(clippy::unwrap_used)]

pub mod wakes;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::*;
use crate::clock::Clock;
use crate::http::{ErrorCode, Headers, Limits, RefusedRequests};
use crate::model::{Peer, Time};

const PEER: Peer = Peer::Ip(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
/// Idle timeout of the clients.
const CLIENT_IDLE: Duration = Duration::from_secs(100);
const REQUEST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/shop.Orders/Get"), ("te", "trailers")];
const RESPONSE: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];
const TRAILERS: [(&str, &str); 1] = [("grpc-status", "0")];

/// The callbacks that one end of a connection has made to its owner.
#[derive(Default)]
struct Told {
    /// How many messages a request is answered with; a server's end only.
    messages: usize,
    /// The answer is sent before the callback returns.
    at_once: bool,
    requests: Cell<usize>,
    closed: Cell<Option<Closed>>,
    news: Notify,
}

impl Told {
    async fn closed(&self) -> Closed {
        loop {
            let news = self.news.notified();
            if let Some(why) = self.closed.get() {
                return why;
            }
            news.await;
        }
    }
}

impl Front for Told {
    fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool) {
        self.requests.set(self.requests.get() + 1);
        stream.conn().worker().recycle(headers);
        if self.at_once {
            return reply(&stream, self.messages);
        }
        let messages = self.messages;
        let worker = Rc::clone(stream.conn().worker());
        worker.spawn(async move {
            if !end {
                stream.drain();
                until(&stream, Stream::is_whole).await;
            }
            answer(&stream, messages).await;
        });
    }

    fn oversized(&self, stream: Rc<Stream>, _: Headers) {
        stream.reset(ErrorCode::ENHANCE_YOUR_CALM);
        stream.detach();
    }

    fn refused(&self, _: RefusedRequests) {}

    fn opened(&self) {}

    fn closed(&self, why: Closed) {
        self.closed.set(Some(why));
        self.news.notify_waiters();
    }
}

impl Upstream for Told {
    fn keepalive(&self) -> Keepalive {
        Keepalive::defaults()
    }

    fn too_many_pings(&self) {}

    fn note_received(&self, _: Time) {}

    fn last_received(&self) -> Time {
        Time::ZERO
    }

    fn frozen(&self, _: Time) {}

    fn changed(&self) {
        self.news.notify_waiters();
    }

    fn opened(&self) {}

    fn closed(&self, why: Closed, _: bool) {
        Front::closed(self, why);
    }
}

/// Answers a request with this many messages, at once.
fn reply(stream: &Stream, messages: usize) {
    stream.send_head(&headers(&RESPONSE), false).unwrap();
    for n in 0..messages {
        stream.send_data(&message(n), false).unwrap();
    }
    stream.send_trailers(&headers(&TRAILERS)).unwrap();
    assert!(stream.conn().is_ready());
    stream.detach();
}

/// Answers a request with this many messages.
async fn answer(stream: &Rc<Stream>, messages: usize) {
    if stream.over().is_none() {
        stream.send_head(&headers(&RESPONSE), false).unwrap();
        for n in 0..messages {
            stream.send_data(&message(n), false).unwrap();
        }
        let _ = stream.send_trailers(&headers(&TRAILERS));
    }
    until(stream, |stream| !stream.is_open()).await;
    stream.detach();
}

fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    fields.iter().for_each(|(name, value)| headers.add_named(name.as_bytes(), value.as_bytes()));
    headers
}

/// The gRPC message of this number; each has another length.
fn message(n: usize) -> Vec<u8> {
    let len = 100 * n + 1;
    [&[0][..], &u32::try_from(len).unwrap().to_be_bytes(), &vec![7; len]].concat()
}

/// Waits until that is so of the stream, or it is over.
async fn until(stream: &Stream, is: impl Fn(&Stream) -> bool) {
    poll_fn(|cx| {
        stream.register(cx);
        if is(stream) || stream.over().is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn in_virtual_time(test: impl Future<Output = ()>) {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true);
    runtime.build_local(LocalOptions::default()).unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(600), test).await.unwrap();
    });
}

struct Pair {
    worker: Rc<Worker>,
    wire: Wire,
    client: Rc<Conn>,
    client_owner: Rc<Told>,
    server_owner: Rc<Told>,
}

fn worker() -> Rc<Worker> {
    let worker = Worker::new(WorkerSpec {
        index: 0,
        held_limit: 64 << 20,
        clock: Clock::start(),
        rng: fastrand::Rng::with_seed(1),
        connector: Rc::new(Sockets),
    });
    worker.run(&Arc::default());
    worker
}

fn drive(worker: &Rc<Worker>, codec: Codec, end: Memory, owner: Owner) -> Rc<Conn> {
    let conn = Conn::new(worker, codec, Io::Plain(Socket::Memory(end)), PEER, owner);
    worker.spawn(Rc::clone(&conn).drive());
    conn
}

impl Pair {
    /// A client and a server, with this pipe capacity, that answers with this many messages.
    fn new(capacity: usize, messages: usize) -> Pair {
        Pair::with(capacity, Told { messages, ..Told::default() })
    }

    fn with(capacity: usize, server: Told) -> Pair {
        let (near, far) = Memory::pair(capacity);
        let (worker, wire) = (worker(), near.wire());
        let (client_owner, server_owner) = (Rc::<Told>::default(), Rc::new(server));
        let limits = Limits { idle_timeout: CLIENT_IDLE, ..Limits::upstream() };
        let codec = Codec::http2_client(Arc::new(limits));
        let owner = Owner::Upstream(Rc::clone(&client_owner) as Rc<dyn Upstream>);
        let client = drive(&worker, codec, near, owner);
        let codec = Codec::server(Arc::new(Limits::edge()), b"http", None);
        drive(&worker, codec, far, Owner::Front(Rc::clone(&server_owner) as Rc<dyn Front>));
        Pair { worker, wire, client, client_owner, server_owner }
    }

    /// Until the client may open streams.
    async fn ready(&self) {
        while self.client.available() == 0 {
            self.client_owner.news.notified().await;
        }
    }

    /// A call with this many messages; returns how many were received, if it succeeded.
    async fn call(&self, messages: usize) -> Option<u64> {
        self.ready().await;
        let stream = self.client.open(&headers(&REQUEST), messages == 0).ok()?;
        stream.count_messages();
        stream.drain();
        for n in 0..messages {
            stream.send_data(&message(n), n + 1 == messages).ok()?;
        }
        until(&stream, Stream::is_whole).await;
        let status =
            stream.take_trailers().is_some_and(|all| all.get_named(b"grpc-status").is_some());
        let (came, over) = (stream.messages(), stream.over());
        stream.detach();
        (status && over.is_none()).then_some(came)
    }
}

#[test]
fn calls_go_through_whatever_pieces_they_come_in() {
    for (capacity, piece) in [(1 << 20, usize::MAX), (1 << 20, 1), (7, 7), (100, 3), (1, 1)] {
        in_virtual_time(async {
            let pair = Pair::new(capacity, 9);
            pair.wire.limit_reads_and_writes(PipeDirection::Forward, piece);
            pair.wire.limit_reads_and_writes(PipeDirection::Backward, piece);
            for call in 1..=5 {
                assert_eq!(pair.call(4).await, Some(9), "{capacity}, {piece}");
                assert_eq!(pair.server_owner.requests.get(), call);
            }
            let ends = [PipeDirection::Forward, PipeDirection::Backward]
                .map(|direction| pair.wire.in_transit(direction));
            assert_eq!(ends, [0, 0]);
        });
    }
}

#[test]
fn callbacks_may_use_the_connection() {
    in_virtual_time(async {
        let told = Told { messages: 3, at_once: true, ..Told::default() };
        let pair = Pair::with(4096, told);
        assert_eq!(pair.call(0).await, Some(3));
        assert_eq!(pair.call(0).await, Some(3));
        // More header fields than the server accepts: reported by `oversized`.
        let mut head = headers(&REQUEST);
        (0..200).for_each(|n| head.add_named(format!("x-{n}").as_bytes(), b"y"));
        let stream = pair.client.open(&head, true).unwrap();
        until(&stream, |_| false).await;
        assert!(matches!(stream.over(), Some(Over::Reset { .. })), "{:?}", stream.over());
    });
}

#[test]
fn many_at_a_time_end_each_with_its_own() {
    in_virtual_time(async {
        let pair = Rc::new(Pair::new(4096, 20));
        let done = Rc::new(RefCell::new(Vec::new()));
        for messages in 1..=50 {
            let (pair, done) = (Rc::clone(&pair), Rc::clone(&done));
            let call = async move {
                let came = pair.call(messages).await;
                done.borrow_mut().push(came);
            };
            tokio::task::spawn_local(call);
        }
        while done.borrow().len() < 50 {
            pair.worker.sleep(Duration::from_millis(5)).await;
        }
        assert!(done.borrow().iter().all(|came| *came == Some(20)), "{done:?}");
    });
}

#[test]
fn a_reset_ends_what_is_on_the_connection() {
    in_virtual_time(async {
        let pair = Rc::new(Pair::new(4096, 9));
        pair.ready().await;
        pair.wire.stall(PipeDirection::Backward, true);
        let calling = Rc::clone(&pair);
        let call = tokio::task::spawn_local(async move { calling.call(4).await });
        pair.worker.sleep(Duration::from_secs(1)).await;
        pair.wire.reset();
        assert_eq!(call.await.unwrap(), None);
        assert_eq!(pair.client_owner.closed().await, Closed::Io);
        assert_eq!(pair.server_owner.closed().await, Closed::Io);
    });
}

#[test]
fn deadlines_pass_in_virtual_time() {
    in_virtual_time(async {
        let limits = Limits::edge();
        let clock = Clock::start();
        let owner = Rc::<Told>::default();
        // A client that says nothing.
        let (silent, far) = Memory::pair(4096);
        let codec = Codec::server(Arc::new(limits.clone()), b"http", None);
        drive(&worker(), codec, far, Owner::Front(Rc::clone(&owner) as Rc<dyn Front>));
        assert_eq!(owner.closed().await, Closed::PrefaceTimeout);
        let late = clock.now().since(Time::ZERO + limits.preface_timeout);
        assert!(late < Duration::from_millis(20), "{late:?}");
        drop(silent);
    });
}

#[test]
fn a_peer_that_reads_nothing_is_closed() {
    in_virtual_time(async {
        let pair = Pair::new(1000, 90);
        let clock = Clock::start();
        pair.ready().await;
        pair.wire.stall(PipeDirection::Backward, true);
        let stream = pair.client.open(&headers(&REQUEST), true).unwrap();
        assert_eq!(pair.server_owner.closed().await, Closed::WriteStall);
        let late = clock.now().since(Time::ZERO + Limits::edge().write_stall_timeout);
        assert!(late < Duration::from_secs(2), "{late:?}");
        assert_eq!(pair.client_owner.closed().await, Closed::Keepalive, "it was owed an answer");
        assert_eq!(stream.over(), Some(Over::Lost));
    });
}

#[test]
fn a_half_closed_peer_that_reads_nothing_causes_no_busy_loop() {
    in_virtual_time(async {
        let clock = Clock::start();
        let (mut near, far) = Memory::pair(1000);
        let told = Rc::new(Told { messages: 90, at_once: true, ..Told::default() });
        let codec = Codec::server(Arc::new(Limits::edge()), b"http", None);
        drive(&worker(), codec, far, Owner::Front(Rc::clone(&told) as Rc<dyn Front>));
        near.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(told.closed().await, Closed::WriteStall);
        let late = clock.now().since(Time::ZERO + Limits::edge().write_stall_timeout);
        assert!(late < Duration::from_millis(20), "{late:?}");
    });
}

#[test]
fn an_idle_connection_is_closed_after_its_timeout() {
    in_virtual_time(async {
        let pair = Pair::new(4096, 3);
        let clock = Clock::start();
        assert_eq!(pair.call(1).await, Some(3));
        pair.client_owner.closed().await;
        pair.server_owner.closed().await;
        let after = clock.now().since(Time::ZERO);
        assert!(after >= CLIENT_IDLE && after < CLIENT_IDLE + Duration::from_secs(2), "{after:?}");
    });
}

#[test]
fn one_that_is_kept_stays() {
    in_virtual_time(async {
        let pair = Pair::new(4096, 3);
        pair.client.keep(true);
        assert_eq!(pair.call(1).await, Some(3));
        tokio::time::sleep(3 * CLIENT_IDLE).await;
        assert!(!pair.client.is_leaving());
        assert_eq!(pair.call(1).await, Some(3));
        pair.client.keep(false);
        pair.client_owner.closed().await;
    });
}
