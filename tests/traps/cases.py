"""The traps, by their rows in the list of gRPC traps. A case starts its backend and says what the client must see."""

import threading
import time

import client
import wire as w
from backend import Backend

CASES = []
# What gRPC clients make of a reset, and of an HTTP status without grpc-status.
OF_RESET = {0: "INTERNAL", 1: "INTERNAL", 2: "INTERNAL", 3: "INTERNAL", 4: "INTERNAL", 6: "INTERNAL", 9: "INTERNAL", 10: "INTERNAL",
            7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}
OF_HTTP = {400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED", 429: "UNAVAILABLE", 431: "INTERNAL",
           500: "UNKNOWN", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "UNAVAILABLE"}


class Wrong(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Wrong(" ".join(map(str, what)))


def case(row, what):
    def register(run):
        CASES.append((row, what, run))
        return run
    return register


def eventually(condition, timeout=5.0):
    """Seconds until it holds, None if it never does."""
    started = time.monotonic()
    while time.monotonic() - started < timeout:
        if condition():
            return time.monotonic() - started
        time.sleep(0.002)
    return None


@case(1, "trailers-only stays trailers-only")
def _(start):
    front, _ = start(Backend(on_end=lambda s: s.head(("grpc-status", "5"), ("grpc-message", "no such thing"), end=True)))
    got = client.call(front)
    kinds = [f.kind for f in got.frames if f.kind != w.WINDOW_UPDATE]
    check(kinds == [w.HEADERS] and got.ended, "one HEADERS with END_STREAM wanted:", got)
    check(got.status == "5" and got.field("grpc-message") == "no such thing", got)
    added = {n.decode() for n, _ in got.blocks[0]} & {"content-length", "date", "server", "transfer-encoding"}
    check(not added, "fields were added:", added)


@case(2, "complete response, then RST_STREAM(NO_ERROR), tiny client window, request open")
def _(start):
    size = 1 << 20
    front, _ = start(Backend(on_request=lambda s: s.head().data(w.message(bytes(size))).trailers().rst(w.NO_ERROR)))
    conn = client.connect(front, (w.INITIAL_WINDOW_SIZE, 1024))
    client.open_stream(conn)
    got = client.read(conn, timeout=20)
    check(len(got.data) == size + 5, f"{len(got.data)} of {size + 5} bytes came:", got)
    check(got.ended and got.status == "0", "trailers wanted:", got)
    after = client.read(conn, timeout=2)
    check(after.rst in (None, w.NO_ERROR), "then RST_STREAM(NO_ERROR) or nothing:", after)


def grpcio(front, wanted, direct=None, **options):
    """A grpcio client gets one of the codes, or what it would get from the backend itself."""
    if direct is not None:
        wanted = [*wanted, client.grpc_call(("127.0.0.1", direct.port), **options)[0]]
    code, details = client.grpc_call(front.plain, **options)
    check(code in wanted, f"{' or '.join(dict.fromkeys(wanted))} wanted, got {code}: {details}")


def truncated(what, act, allowed):
    @case(3, f"truncated by {what}")
    def _(start):
        front, _ = start(Backend(on_end=act))
        got = client.call(front)
        check(not got.ended or got.status not in ("", "0"), "a truncated response ended as if whole:", got)
        grpcio(front, allowed)


truncated("RST_STREAM(NO_ERROR)", lambda s: s.head().data(w.message(b"part")).rst(0), ["INTERNAL"])
truncated("RST_STREAM(CANCEL)", lambda s: s.head().data(w.message(b"part")).rst(8), ["CANCELLED"])
truncated("half a message, then RST_STREAM(NO_ERROR)", lambda s: s.head().data(w.message(b"part")[:6]).rst(0), ["INTERNAL"])
truncated("a closed connection", lambda s: (s.head().data(w.message(b"part")), s.conn.sock.shutdown(2)), ["UNAVAILABLE", "INTERNAL"])
truncated("a closed connection before the head", lambda s: s.conn.sock.shutdown(2), ["UNAVAILABLE"])


@case(3, "END_STREAM without trailers is no success")
def _(start):
    front, backend = start(Backend(on_end=lambda s: s.head().data(w.message(b"part"), end=True)))
    grpcio(front, ["UNKNOWN", "INTERNAL"], backend)


@case(4, "HTTP status without grpc-status")
def _(start):
    front, backend = start(Backend(on_end=lambda s: s.head(status=s.get("x-status"), kind="text/plain").data(b"no", end=True)))
    for status, wanted in OF_HTTP.items():
        grpcio(front, [wanted], backend, metadata=[("x-status", str(status))])


@case(4, "backend down: trailers-only UNAVAILABLE")
def _(start):
    backend = Backend()
    backend.stop()
    front, _ = start(backend)
    got = client.call(front)
    check(got.field(":status", 0) == "200" and got.status == "14" and got.ended, got)


def every_reset(moment, act):
    @case(5, f"every reset code, {moment}")
    def _(start):
        front, backend = start(Backend(on_end=lambda s: act(s).rst(int(s.get("x-code")))))
        wrong = []
        for number in range(14):
            wanted = [OF_RESET[number]] if number in OF_RESET else ["UNKNOWN", "INTERNAL"]
            try:
                grpcio(front, wanted, backend, metadata=[("x-code", str(number))])
            except Wrong as reason:
                wrong.append(f"{number}: {reason}")
        check(not wrong, "; ".join(wrong))


every_reset("before the head", lambda s: s)
every_reset("after the head", lambda s: s.head())
every_reset("mid message", lambda s: s.head().data(w.message(b"message")[:7]))


@case(6, "half-close: both directions are independent")
def _(start):
    front, backend = start(Backend(on_request=lambda s: s.head().data(w.message(b"first")), on_end=lambda s: s.trailers()))
    conn = client.connect(front)
    client.open_stream(conn)
    got = client.read(conn, until=lambda r: len(r.data) == 10)
    check(bytes(got.data) == w.message(b"first"), "the message before the half-close:", got)
    check(not backend.streams[0].ended, "the backend saw an end that was not sent")
    conn.send(w.data(1, b"", end=True))
    check(eventually(lambda: backend.streams[0].ended, 2), "the half-close never reached the backend")
    check(client.read(conn).status == "0", "no trailers after the half-close")


@case(7, "50 stalled readers hold no one else up")
def _(start):
    front, _ = start(Backend(on_end=lambda s: s.head().data(bytes(1 << 20)).trailers() if s.get("x-big") else s.ok()))
    slow = client.connect(front, (w.INITIAL_WINDOW_SIZE, 0))
    for i in range(50):
        client.open_stream(slow, 2 * i + 1, client.request(("x-big", "1")), end=True)
    time.sleep(0.5)
    worst = 0
    for _ in range(30):
        started = time.monotonic()
        got = client.call(front, timeout=3)
        check(got.status == "0", "a call beside stalled readers:", got)
        worst = max(worst, time.monotonic() - started)
    check(worst < 1, f"the slowest call took {worst:.2f} s")
    check(front.rss() < 300 << 20, f"{front.rss() >> 20} MiB resident")


@case(7, "50 stalled uploads hold no one else up")
def _(start):
    # The backend reads nothing of them: their windows stay shut behind the gateway.
    front, _ = start(Backend(on_end=lambda s: s.ok()))
    slow = client.connect(front)
    for i in range(50):
        client.open_stream(slow, 2 * i + 1)
        slow.send(w.data(2 * i + 1, bytes(1000)))
    for _ in range(20):
        check(client.call(front, timeout=3).status == "0", "a call beside stalled uploads")


def messages(data):
    """The messages in one frame: a gateway that was kept from the processor may have merged some."""
    while len(data) >= 5:
        end = 5 + int.from_bytes(data[1:5], "big")
        yield data[5:end]
        data = data[end:]


@case(7, "a message a moment passes at once")
def _(start):
    def drip(stream):
        def run():
            stream.head()
            for _ in range(10):
                stream.data(w.message(str(time.monotonic()).encode()))
                time.sleep(0.05)
            stream.trailers()
        threading.Thread(target=run, daemon=True).start()
    front, _ = start(Backend(on_request=drip))
    conn = client.connect(front)
    client.open_stream(conn, end=True)
    got = client.read(conn)
    late = sorted(f.at - float(m) for f in got.frames if f.kind == w.DATA for m in messages(f.data))
    check(len(late) == 10 and got.status == "0", got)
    check(late[5] < 0.05, f"the median message took {1000 * late[5]:.0f} ms")


def cancelled(what, act, head=True):
    @case(8, f"cancellation reaches the backend: {what}")
    def _(start):
        front, backend = start(Backend(on_request=lambda s: s.head() if head else None))
        conn = client.connect(front)
        client.open_stream(conn)
        check(eventually(lambda: backend.streams), "the request never came")
        if head:
            client.read(conn, until=lambda r: r.blocks)
        sent = time.monotonic()
        act(conn)
        check(eventually(lambda: backend.streams[0].reset_at), "the backend saw no reset")
        took = backend.streams[0].reset_at - sent
        check(took < 0.25, f"it took {1000 * took:.0f} ms")
        check(backend.streams[0].reset in (w.CANCEL, None), f"reset code {backend.streams[0].reset}")


cancelled("RST_STREAM before the head", lambda c: c.send(w.rst(1)), head=False)
cancelled("RST_STREAM with the request open", lambda c: c.send(w.rst(1)))
cancelled("the client's connection lost", lambda c: c.close())


@case(8, "1,000 calls cancelled: nothing stays open")
def _(start):
    front, backend = start(Backend(on_request=lambda s: None if s.get("x-hang") else s.ok()))
    for _ in range(20):  # fewer on each connection than any limit on resets
        conn = client.connect(front)
        for i in range(50):
            client.open_stream(conn, 2 * i + 1, client.request(("x-hang", "1")))
        time.sleep(0.05)
        conn.send(*[w.rst(2 * i + 1) for i in range(50)])
        time.sleep(0.02)
        conn.close()
    left = lambda: sum(1 for s in backend.streams if s.reset_at is None and s.get("x-hang"))
    check(eventually(lambda: left() == 0), f"{left()} streams are still open at the backend")
    check(client.call(front).status == "0", "a call afterwards")


@case(10, "GOAWAY after every fifth call: none fails")
def _(start):
    def answer(stream):
        stream.ok()
        if sum(1 for s in stream.conn.streams.values() if s.ended) == 5:
            stream.conn.send(w.goaway(stream.number, w.NO_ERROR))
    front, backend = start(Backend(on_end=answer))
    conn = client.connect(front)
    for i in range(100):
        client.open_stream(conn, 2 * i + 1)
        conn.send(w.data(2 * i + 1, w.message(b"x"), end=True))
        got = client.read(conn, 2 * i + 1)
        check(got.status == "0", f"call {i}:", got)
    check(len(backend.conns) >= 20, f"{len(backend.conns)} connections for 20 GOAWAYs")


@case(10, "GOAWAY: what is in flight finishes")
def _(start):
    def later(stream):
        stream.conn.send(w.goaway(0x7FFFFFFF, w.NO_ERROR), w.goaway(stream.number, w.NO_ERROR))
        threading.Timer(0.5, stream.ok).start()
    front, _ = start(Backend(on_end=later))
    check(client.call(front).status == "0", "the call that was in flight")


@case(10, "GOAWAY below the stream: unprocessed calls go elsewhere")
def _(start):
    first = []

    def refuse(stream):
        if not first:
            first.append(stream)
            stream.conn.send(w.goaway(0, w.NO_ERROR))
        else:
            stream.ok()
    front, _ = start(Backend(on_end=refuse))
    got = client.call(front)
    check(got.status in ("0", "14"), "OK by a second attempt, or UNAVAILABLE:", got)
    check(client.call(front).status == "0", "the next call")


@case(11, "REFUSED_STREAM on every second stream: retried once")
def _(start):
    count = []

    def answer(stream):
        count.append(stream)
        stream.rst(w.REFUSED_STREAM) if len(count) % 2 else stream.ok()
    front, _ = start(Backend(on_end=answer))
    outcomes = [client.call(front).status for _ in range(20)]
    check(outcomes == ["0"] * 20, f"{outcomes.count('0')} of 20 succeeded")


def limited(limit):
    @case(12, f"MAX_CONCURRENT_STREAMS {limit}: nothing fails, the limit is kept")
    def _(start):
        most, lock, open_now = [0], threading.Lock(), {}

        def begin(stream):
            with lock:
                open_now[stream.conn] = open_now.get(stream.conn, 0) + 1
                most[0] = max(most[0], open_now[stream.conn])

        def finish(stream):
            def done():
                with lock:
                    open_now[stream.conn] -= 1
                stream.ok()
            threading.Timer(0.01, done).start()
        front, _ = start(Backend(on_request=begin, on_end=finish, settings=((w.MAX_CONCURRENT_STREAMS, limit),)))
        client.call(front)  # the limit is known from here on
        most[0] = 0
        conn = client.connect(front)
        for i in range(30):
            client.open_stream(conn, 2 * i + 1)
            conn.send(w.data(2 * i + 1, w.message(b"x"), end=True))
        ended, failed, deadline = set(), [], time.monotonic() + 10
        while len(ended) < 30 and time.monotonic() < deadline:
            frame = conn.recv(1)
            if frame is not None and frame.ends:
                ended.add(frame.stream)
            if frame is not None and frame.kind == w.HEADERS and dict(conn.decode(frame.data)).get(b"grpc-status", b"0") != b"0":
                failed.append(frame.stream)
        check(len(ended) == 30 and not failed, f"{len(ended) - len(failed)} of 30 succeeded")
        check(most[0] <= limit, f"{most[0]} streams were open at a time on one connection")


limited(1)
limited(3)


@case(15, "te: trailers is sent to the backend, and not to the client")
def _(start):
    front, backend = start(Backend(on_end=lambda s: s.head(("te", "trailers")).data(w.message(b"x")).trailers()))
    for te in (True, False):
        got = client.call(front, fields=client.request(te=te))
        check(backend.streams[-1].get("te") == "trailers", f"the client sent te: {te}, the backend got {backend.streams[-1].get('te')!r}")
        check(got.status == "0" and not got.field("te", 0), got)


@case(16, "content types: what is gRPC and what is not")
def _(start):
    backend = Backend()
    backend.stop()
    front, _ = start(backend)
    for kind, is_grpc in (("application/grpc", True), ("application/grpc+proto", True), ("application/grpc+json", True),
                          ("application/grpc;charset=utf-8", True), ("application/grpc-web", False), ("application/grpc-web+proto", False),
                          ("application/grpc-web-text", False), ("application/grpcfoo", False), ("application/json", False)):
        got = client.call(front, fields=client.request(kind=kind))
        told = got.field(":status", 0) == "200" and got.status == "14"
        check(told == is_grpc, f"{kind}: gRPC is {is_grpc}, answered :status {got.field(':status', 0)}, {got}")


METADATA = [("x-one", "a"), ("x-two", "b"), ("x-one", "c"), ("x-data-bin", "AP8H"), ("x-data-bin", "AAEC,/v8"), ("grpc-encoding", "gzip"),
            ("grpc-accept-encoding", "identity, gzip"), ("x-space", "a  b"), ("x-empty", ""), ("user-agent", "grpc-test/1"),
            ("grpc-timeout", "5S"), ("x-latin", b"\xe9\xff".decode("latin-1"))]


def only(fields, wanted):
    names = {n for n, _ in wanted}
    return [(n.decode(), v.decode("latin-1")) for n, v in fields if n.decode() in names]


@case(17, "metadata, -bin, duplicates and their order, percent bytes, compressed flag")
def _(start):
    answer = [m for m in METADATA if m[0] not in ("user-agent", "grpc-timeout", "grpc-accept-encoding")]
    tail = [("grpc-message", "50%25 off%0A"), ("grpc-status-details-bin", "CAUSAP8"), *answer[:5]]
    compressed = b"\1\0\0\0\4\x1f\x8b\0\0"
    raw = [(n, v.encode("latin-1")) for n, v in METADATA]
    front, backend = start(Backend(on_end=lambda s: s.head(*[(n, v.encode("latin-1")) for n, v in answer]).data(compressed).trailers(*tail, status="3")))
    conn = client.connect(front)
    client.open_stream(conn, fields=client.request(*raw))
    conn.send(w.data(1, compressed, end=True))
    got = client.read(conn)
    sent = backend.streams[0]
    change = lambda fields: [f for f in fields if f[0] != "grpc-timeout"]
    check(change(only(sent.fields, METADATA)) == change(METADATA), "the backend got", only(sent.fields, METADATA))
    check(sent.get("grpc-timeout"), "no grpc-timeout reached the backend")
    check(bytes(sent.body) == compressed and bytes(got.data) == compressed, "the message changed")
    check(only(got.blocks[0], answer) == answer, "the client's head:", only(got.blocks[0], answer))
    check(only(got.blocks[-1], tail) == tail and got.status == "3", "the client's trailers:", only(got.blocks[-1], tail))


@case(18, "large metadata: whole or refused, never a hang")
def _(start):
    def answer(stream):
        size = int(stream.get("x-size") or 0)
        stream.head().data(w.message(b"x"))
        blocks = w.block([("grpc-status", "0"), ("x-large", "y" * size)])
        parts = [blocks[i:i + 16000] for i in range(0, len(blocks), 16000)]
        stream.queue.append(w.headers(stream.number, parts[0], end=True, end_headers=len(parts) == 1)
                            + b"".join(w.continuation(stream.number, p, end_headers=i == len(parts) - 2) for i, p in enumerate(parts[1:])))
        stream.conn.pump()
    front, backend = start(Backend(on_end=answer))
    for size in (7900, 8100, 15900, 16100, 65536, 200000):
        got = client.call(front, fields=client.request(("x-size", str(size))))
        whole = got.ended and got.status == "0" and len(got.field("x-large")) == size
        refused = got.rst is not None or got.ended and got.status not in ("", "0")
        check(whole or refused, f"{size} bytes of trailers:", got)
        count = len(backend.streams)
        got = client.call(front, fields=client.request(("x-large", "y" * size)))
        whole = got.status == "0" and len(backend.streams) > count and len(backend.streams[-1].get("x-large")) == size
        refused = got.closed or got.goaway is not None or got.rst is not None or got.field(":status", 0) == "431" or got.status not in ("", "0")
        check(whole or refused, f"{size} bytes of metadata:", got)
    check(client.call(front).status == "0", "a plain call afterwards")


@case(19, "a message of 64 MiB each way: whole, and not kept in memory")
def _(start):
    size = 64 << 20
    front, backend = start(Backend(on_request=lambda s: s.head().data(bytes(size)).trailers()))
    before = front.rss()
    conn = client.connect(front, (w.INITIAL_WINDOW_SIZE, 1 << 20))
    conn.send(w.window_update(0, 1 << 24))
    client.open_stream(conn, end=True)
    peak = [0]
    got = client.read(conn, timeout=60, until=lambda r: (peak.append(front.rss()) if len(r.data) % (1 << 23) < 16384 else None) and False)
    check(len(got.data) == size and got.status == "0", f"{len(got.data)} of {size} bytes, ", got.status)
    check(max(peak) - before < 32 << 20, f"memory grew by {(max(peak) - before) >> 20} MiB")


@case(21, "informational responses, HEAD, 204 and 304")
def _(start):
    def answer(stream):
        if stream.get(":method") == "HEAD":
            stream.head(("content-length", "5"), kind="text/plain", end=True)
        elif stream.get("x-status"):
            stream.head(status=stream.get("x-status"), kind=None, end=True)
        else:
            for status in ("100", "103"):
                stream.queue.append(w.headers(stream.number, w.block([(":status", status)])))
            stream.ok()
    front, _ = start(Backend(on_end=answer))
    code, details = client.grpc_call(front.plain)
    check(code == "OK", f"a gRPC call after 100 and 103: {code} {details}")
    for fields, status in ((client.request(method="HEAD", kind=None), "200"), (client.request(("x-status", "204"), method="GET", kind=None), "204"),
                           (client.request(("x-status", "304"), method="GET", kind=None), "304")):
        conn = client.connect(front)
        client.open_stream(conn, fields=fields, end=True)
        got = client.read(conn)
        check(got.ended and got.field(":status", 0) == status and not got.data, f"{status}:", got)


@case(23, "a failed stream does not poison the next on its connection")
def _(start):
    def answer(stream):
        how = stream.get("x-how")
        if how == "rst":
            stream.head().rst(w.INTERNAL_ERROR)
        elif how == "half":
            stream.head().data(w.message(b"half")[:6]).rst(w.NO_ERROR)
        elif how == "close":
            stream.conn.sock.shutdown(2)
        else:
            stream.ok()
    front, _ = start(Backend(on_end=answer))
    conn = client.connect(front)
    number = 1
    for how in ("rst", "", "half", "", "close", "", "rst", "close", ""):
        client.open_stream(conn, number, client.request(("x-how", how)))
        conn.send(w.data(number, w.message(b"x"), end=True))
        got = client.read(conn, number)
        check((got.status == "0") == (how == ""), f"call {number} ({how or 'plain'}):", got)
        check(got.ended or got.rst is not None, f"call {number} never ended:", got)
        number += 2


@case(24, "DATA padding is stripped")
def _(start):
    front, _ = start(Backend(on_end=lambda s: s.head().data(w.message(b"x" * 50), pad=200).data(b"", pad=10).trailers()))
    got = client.call(front)
    check(got.status == "0" and bytes(got.data) == w.message(b"x" * 50), got)
    check(not any(f.flags & w.PADDED for f in got.frames if f.kind == w.DATA), "padding came through:", got)
    code, details = client.grpc_call(front.plain)
    check(code == "OK", f"grpcio: {code} {details}")
