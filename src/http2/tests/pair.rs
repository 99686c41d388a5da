//! A client's and a server's end that talk to each other through pipes, controlled by a script. For
//! any script, bytes and events are conserved, and neither reports an error of the other.

use std::sync::Arc;

use super::end::End;
use super::exchange::Left;
use super::script::Script;
use super::tap::Tap;
use crate::http::{Connection as _, ErrorCode, Limits, Role};
use crate::http2::{Connection, PREFACE};

/// Runs a script to its end, completes all open streams, and checks that nothing is left over.
pub fn run(script: &[u8]) {
    let mut script = Script(script);
    let mut pair = Pair::new(&mut script);
    while let Some(op) = script.next() {
        pair.step(op, &mut script);
        pair.client.check();
        pair.server.check();
    }
    pair.finish();
}

struct Pair {
    client: End,
    server: End,
    /// The output of the client and of the server.
    taps: [Tap; 2],
    now: u64,
}

/// Limits of which no count is ever exceeded; windows and tables have any size.
fn limits(script: &mut Script<'_>) -> Arc<Limits> {
    Arc::new(Limits {
        max_streams: script.one_of(&[1, 3, 100]),
        stream_window: script.one_of(&[256, 5_000, 65_535, 1 << 20]),
        connection_window: script.one_of(&[65_535, 100_000, 1 << 24]),
        max_frame_size: script.one_of(&[16_384, 40_000]),
        header_table_size: script.one_of(&[0, 4096, 10_000]),
        header_size: 64 << 10,
        resets: u32::MAX,
        premature_reset_streams: u32::MAX,
        errors: u32::MAX,
        pings: u32::MAX,
        settings: u32::MAX,
        idle_frames: u32::MAX,
        window_updates: u32::MAX,
        overhead_slack: u32::MAX,
        ..Limits::edge()
    })
}

impl Pair {
    fn new(script: &mut Script<'_>) -> Pair {
        let (ours, theirs) = (limits(script), limits(script));
        let taps = [Tap::new(&theirs, PREFACE.len()), Tap::new(&ours, 0)];
        let client = End::new(Connection::client(ours));
        Pair { client, server: End::new(Connection::server(theirs)), taps, now: 0 }
    }

    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        let role = if op & 1 == 0 { Role::Client } else { Role::Server };
        let now = self.now;
        let end = match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        };
        match (op >> 1) % 16 {
            0..=2 => self.carry(role, script.short() + 1, script.short() + 1),
            3 => self.carry(role, usize::from(script.byte()), usize::from(script.byte())),
            4 if role == Role::Client => end.open(script.byte(), now),
            5 => self.now += 100 * u64::from(script.byte()),
            6 => end.ping(script.byte()),
            7 => match script.byte() {
                0 => end.announce_leave(),
                1 => end.leave(),
                2 => end.conn.shrink(),
                3..=40 => end.conn.set_narrow(script.flip()),
                _ => self.resettle(role, script),
            },
            op => match end.pick(script.byte()) {
                Some(id) => exchange(end, op, id, script),
                None => end.pump(),
            },
        }
    }

    /// Takes up to `leave` bytes from one end, and delivers up to `arrive` bytes in flight to the other.
    fn carry(&mut self, from: Role, leave: usize, arrive: usize) {
        let Pair { client, server, taps: [up, down], now } = self;
        let (sender, receiver, tap, back) = match from {
            Role::Client => (client, server, up, down),
            Role::Server => (server, client, down, up),
        };
        let bytes = sender.conn.output().bytes();
        let bytes = bytes[..leave.min(bytes.len())].to_vec();
        sender.conn.output().advance(bytes.len());
        tap.watch(&bytes, back);
        receiver.inbox.extend(&bytes);
        sender.pump();
        receiver.receive(arrive, *now);
    }

    /// Sends the end of `role` SETTINGS of its peer that allow less than before.
    fn resettle(&mut self, role: Role, script: &mut Script<'_>) {
        let (speaker, listener) = match role {
            Role::Client => (&self.server, &mut self.client),
            Role::Server => (&self.client, &mut self.server),
        };
        if !listener.may_be_told() {
            return;
        }
        let limits = speaker.conn.limits();
        let window = limits.stream_window / u32::from(script.byte()).max(1);
        let table = u32::from(script.byte()) * 16;
        let frame = script.one_of(&[limits.max_frame_size, 16_384]);
        listener.tell(&[(4, window), (1, table), (5, frame)]);
        if script.flip() {
            listener.tell(&[(4, limits.stream_window)]);
        }
        listener.shrunk = Some(limits.stream_window);
    }

    fn finish(&mut self) {
        loop {
            self.client.bring_to_end();
            self.server.bring_to_end();
            let before = self.progress();
            self.carry(Role::Client, usize::MAX, usize::MAX);
            self.carry(Role::Server, usize::MAX, usize::MAX);
            self.client.check();
            self.server.check();
            let silent = self.client.conn.output_len() + self.server.conn.output_len() == 0;
            if silent && self.progress() == before {
                break;
            }
        }
        self.conclude();
    }

    /// The bytes in flight.
    fn progress(&self) -> [usize; 4] {
        let [up, down] = &self.taps;
        [up.seen(), down.seen(), self.client.inbox.len(), self.server.inbox.len()]
    }

    fn conclude(&self) {
        for end in [&self.client, &self.server] {
            assert!(end.inbox.is_empty(), "half a frame is left");
            assert_eq!(end.conn.open_streams(), 0, "a stream never ends");
            assert_eq!(end.conn.pending_bytes(), 0);
            assert_eq!(end.pings, 0, "a PING was not answered");
            assert!(!end.conn.is_busy());
        }
        let (client, server) = (&self.client, &self.server);
        for (id, ours) in &client.streams {
            let Some(theirs) = server.streams.get(id) else {
                assert!(ours.left != Left::Whole, "stream {id} was answered by nobody");
                continue;
            };
            assert!(ours.left != Left::TakenBack, "stream {id} was taken back, and sent");
            if ours.left == Left::Whole && theirs.left == Left::Whole {
                assert_eq!((ours.sent, ours.trailers_sent), (theirs.received, theirs.trailers));
                assert_eq!((theirs.sent, theirs.trailers_sent), (ours.received, ours.trailers));
            }
        }
        let [up, down] = &self.taps;
        up.compare(client, server, down);
        down.compare(server, client, up);
    }
}

/// Does something on one stream.
fn exchange(end: &mut End, op: u8, id: u32, script: &mut Script<'_>) {
    match op {
        4 => end.send_informational(id),
        8 | 9 => end.send_head(id, script.byte() > 240),
        10 | 11 => end.send_data(id, script.length(), script.byte() > 200),
        12 => end.send_trailers(id),
        13 => end.release(id, usize::MAX),
        14 => end.release(id, script.length()),
        _ => match script.byte() {
            0..24 => end.reset(id, ErrorCode::CANCEL),
            24..48 => end.take_back(id),
            48..64 => end.discard(id),
            _ => end.pump(),
        },
    }
}
