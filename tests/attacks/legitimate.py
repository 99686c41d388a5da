"""What looks like an attack and is none: it must live."""

import time

import wire as w
from attack import attack


@attack("legitimate: 64 streams of 3-byte messages, reader paused 2 s", answer=True)
def tokens(t):
    """A backend streams tokens, its reader sleeps for two seconds, then takes all of them."""
    streams, each = 64, t.many(2000)
    conn = t.connect((w.INITIAL_WINDOW_SIZE, 1 << 20))
    conn.send(w.window_update(0, 1 << 28))
    for i in range(streams):
        conn.send(t.open(conn, 2 * i + 1, ("x-tokens", str(each)), end=True))
    time.sleep(2)
    left, got, ended = streams, {}, 0
    end = time.monotonic() + 30
    try:
        while left and time.monotonic() < end:
            frame = conn.recv(5)
            if frame is None:
                break
            if frame.kind == w.DATA:
                got[frame.stream] = got.get(frame.stream, 0) + len(frame.data)
            if frame.ends:
                left -= 1
                ended += 1
            if frame.kind in (w.RST_STREAM, w.GOAWAY):
                t.note = str(frame)
    except w.Closed as error:
        t.note = t.note or f"closed: {error}"
    whole = sum(1 for n in got.values() if n == each * 8)
    t.verdict = whole == streams and ended == streams
    t.note = f"{whole} of {streams} whole, {ended} ended" + (f"; {t.note}" if t.note else "")


@attack("legitimate: 200 PINGs over a busy minute's calls", answer=True)
def pings(t):
    """A client that pings now and then while it calls stays connected."""
    conn = t.connect()
    calls = 60
    answered = 0
    try:
        for i in range(calls):
            conn.send(t.open(conn, 2 * i + 1), w.data(2 * i + 1, w.message(b"x"), end=True))
            if i % 2 == 0:
                conn.send(w.ping())
            while (frame := conn.recv(2)) is not None:
                if frame.ends and frame.stream == 2 * i + 1:
                    answered += 1
                    break
    except w.Closed:
        pass
    t.verdict = answered == calls
    t.note = f"{answered} of {calls} answered"


@attack("legitimate: empty DATA frames around the message of each of 1,000 calls", answer=True)
def empty_data(t):
    """Some libraries end or begin each message with a frame that carries nothing."""
    conn = t.connect()
    calls = t.many(1000) + 200  # more than are allowed without any work
    answered = 0
    try:
        for i in range(calls):
            stream = 2 * i + 1
            conn.send(t.open(conn, stream), w.data(stream, b""), w.data(stream, w.message(b"x")), w.data(stream, b""),
                      w.data(stream, b"", end=True))
            while (frame := conn.recv(2)) is not None:
                if frame.ends and frame.stream == stream:
                    answered += 1
                    break
    except w.Closed as error:
        t.note = f"closed: {error}; "
    t.verdict = answered == calls
    t.note += f"{answered} of {calls} answered"
