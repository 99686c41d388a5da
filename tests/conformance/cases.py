"""The server cases by the section numbers of h2spec 2.6.0, which are those of RFC 7540 and 7541.

A case is a function of a connected `Wire` with `request` (common header fields), `limit`, `exact`,
`refill` and `body_length`. Groups: generic/1-5, http2/3.5-8.2, hpack/2.3.3-6.3.
"""

import wire as w
from expect import (Skipped, closed, connection_error, data_of, goaway_with, is_kind, pong, response, rst_with, some,
                    stream_end, stream_error, wait)

CASES = []


def case(section, what):
    """Registers a case; its number is its place within the section."""
    def register(run):
        number = 1 + sum(1 for c in CASES if c[0] == section)
        CASES.append((section, number, what, run))
        return run
    return register


def post(c):
    return [(":method", "POST"), *c.request[1:]]


def dummy(number=1, size=4000):
    return [(f"x-dummy{i}", "x" * size) for i in range(number)]


def get(c, stream=1, end=True, fields=(), tail=b"", head=b"", **flags):
    """HEADERS of a request; `tail` and `head` are raw HPACK around it."""
    c.send(w.headers(stream, head + c.encode([*c.request, *fields]) + tail, end=end, **flags))


def start_post(c, stream=1, fields=(), end=False, **flags):
    c.send(w.headers(stream, c.encode([*post(c), *fields]), end=end, **flags))


def answered(c):
    """The response has begun, with a body if there is one."""
    some(c, w.DATA if c.body_length else w.HEADERS)


# generic: what must simply work

@case("generic/1", "client connection preface")
def _(c):
    c.handshake()


@case("generic/2", "PRIORITY on an idle stream")
def _(c):
    c.handshake()
    c.send(w.priority(1), w.ping())
    pong(c, bytes(8))


@case("generic/2", "WINDOW_UPDATE on a half-closed (remote) stream")
def _(c):
    c.handshake()
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 0)))
    get(c)
    c.send(w.window_update(1, 1))
    answered(c)


@case("generic/2", "PRIORITY on a half-closed (remote) stream")
def _(c):
    c.handshake()
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 0)))
    get(c)
    c.send(w.priority(1), w.window_update(1, 1))
    answered(c)


@case("generic/2", "RST_STREAM on a half-closed (remote) stream")
def _(c):
    c.handshake()
    get(c)
    c.send(w.rst(1), w.ping())
    pong(c, bytes(8), or_close=True)


@case("generic/2", "PRIORITY on a closed stream")
def _(c):
    c.handshake()
    get(c)
    stream_end(c)
    c.send(w.priority(1), w.ping())
    pong(c, bytes(8))


@case("generic/3.1", "a DATA frame")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"test", end=True))
    response(c)


@case("generic/3.1", "several DATA frames")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"test"), w.data(1, b"test", end=True))
    response(c)


@case("generic/3.1", "DATA with padding")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"test", end=True, pad=6))
    response(c)


@case("generic/3.2", "a HEADERS frame")
def _(c):
    c.handshake()
    get(c)
    response(c)


@case("generic/3.2", "HEADERS with padding")
def _(c):
    c.handshake()
    get(c, pad=8)
    response(c)


@case("generic/3.2", "HEADERS with priority")
def _(c):
    c.handshake()
    get(c, priority=(0, 255, False))
    response(c)


def priority_then_request(what, *frames):
    @case("generic/3.3", what)
    def _(c):
        c.handshake()
        c.send(*frames)
        get(c)
        response(c)


priority_then_request("PRIORITY with weight 1", w.priority(1, weight=0))
priority_then_request("PRIORITY with weight 256", w.priority(1, weight=255))
priority_then_request("PRIORITY with a dependency", w.priority(3, depends=1, weight=0))
priority_then_request("PRIORITY, exclusive", w.priority(1, weight=0, exclusive=True))
priority_then_request("PRIORITY for an idle stream, then HEADERS on a lower one", w.priority(3))


@case("generic/3.4", "RST_STREAM")
def _(c):
    c.handshake()
    get(c, end=False)
    c.send(w.rst(1), w.ping())
    pong(c, bytes(8), or_close=True)


@case("generic/3.5", "SETTINGS")
def _(c):
    c.handshake()
    c.send(w.settings((w.ENABLE_PUSH, 0)))
    wait(c, "SETTINGS acknowledged", lambda e: is_kind(e, w.SETTINGS) and e.ack)


@case("generic/3.7", "PING")
def _(c):
    c.handshake()
    c.send(w.ping())
    pong(c, bytes(8))


@case("generic/3.8", "GOAWAY")
def _(c):
    c.handshake()
    c.send(w.goaway(0, w.NO_ERROR, b"h2spec"), w.ping())
    pong(c, bytes(8), or_close=True)


@case("generic/3.9", "WINDOW_UPDATE on the connection")
def _(c):
    c.handshake()
    c.send(w.window_update(0, 1), w.ping())
    pong(c, bytes(8))


@case("generic/3.9", "WINDOW_UPDATE on a stream")
def _(c):
    c.handshake()
    get(c)
    c.send(w.window_update(1, 1))
    response(c)


@case("generic/3.10", "a CONTINUATION frame")
def _(c):
    c.handshake()
    block = c.encode(c.request)
    c.send(w.headers(1, block[:5], end=True, end_headers=False), w.continuation(1, block[5:]))
    response(c)


@case("generic/3.10", "several CONTINUATION frames")
def _(c):
    c.handshake()
    block = c.encode(c.request)
    c.send(w.headers(1, block[:5], end=True, end_headers=False), w.continuation(1, block[5:10], end_headers=False),
           w.continuation(1, block[10:]))
    response(c)


@case("generic/4", "a GET request")
def _(c):
    c.handshake()
    get(c)
    response(c)


@case("generic/4", "a HEAD request")
def _(c):
    c.handshake()
    c.send(w.headers(1, c.encode([(":method", "HEAD"), *c.request[1:]]), end=True))
    response(c)


@case("generic/4", "a POST request")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"test", end=True))
    response(c)


@case("generic/4", "a POST request with trailers")
def _(c):
    c.handshake()
    start_post(c, fields=[("trailer", "x-test")])
    c.send(w.data(1, b"test"), w.headers(1, c.encode([("x-test", "ok")]), end=True))
    response(c)


USER_AGENT, USER_AGENT_HUFFMAN = b"\x0auser-agent", b"\x87" + bytes.fromhex("b505b161cc5a93")
X_TEST, X_TEST_HUFFMAN = b"\x06x-test", b"\x85" + bytes.fromhex("f2b24a84ff")
VALUE, VALUE_HUFFMAN = b"\x06h2spec", b"\x84" + bytes.fromhex("9c48aca4")


def representation(what, tail=b"", head=b""):
    @case("generic/5", what)
    def _(c):
        c.handshake()
        get(c, tail=tail, head=head)
        response(c)


representation("indexed field", b"\xba")
for first, kind in ((b"\x40", "with incremental indexing"), (b"\x00", "without indexing"), (b"\x10", "never indexed")):
    representation(f"literal {kind}, known name", first + USER_AGENT + VALUE)
    representation(f"literal {kind}, known name, Huffman", first + USER_AGENT_HUFFMAN + VALUE_HUFFMAN)
    representation(f"literal {kind}, new name", first + X_TEST + VALUE)
    representation(f"literal {kind}, new name, Huffman", first + X_TEST_HUFFMAN + VALUE_HUFFMAN)
representation("size update of the dynamic table", head=b"\x20")
representation("several size updates of the dynamic table", head=b"\x20\x3f\xe1\x1f")


# http2: what must be answered as RFC 7540 (9113) says

@case("http2/3.5", "SETTINGS is the server's first frame")
def _(c):
    c.send(w.PREFACE, w.settings((w.INITIAL_WINDOW_SIZE, 65535)))
    first = wait(c, "a frame", lambda e: e not in (None, w.Closed))
    if first.kind != w.SETTINGS or first.ack:
        raise AssertionError(f"the first frame is {first}")


@case("http2/3.5", "invalid preface")
def _(c):
    c.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    closed(c)


@case("http2/4.1", "frame of unknown type")
def _(c):
    c.handshake()
    c.send(w.frame(0x16, 0, 0, bytes(8)), w.ping())
    pong(c, bytes(8))


@case("http2/4.1", "undefined flags")
def _(c):
    c.handshake()
    c.send(w.frame(w.PING, 0x16, 0, bytes(8)))
    pong(c, bytes(8))


@case("http2/4.1", "reserved bit set")
def _(c):
    c.handshake()
    c.send(w.frame(w.PING, 0x16, 0x80000000, bytes(8)))
    pong(c, bytes(8))


def max_frame(c):
    return c.settings.get(w.MAX_FRAME_SIZE, 16384)


@case("http2/4.2", "DATA of 2^14 bytes")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"x" * 16384, end=True))
    response(c)


@case("http2/4.2", "DATA above SETTINGS_MAX_FRAME_SIZE")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"x" * (max_frame(c) + 1), end=True))
    stream_error(c, w.FRAME_SIZE_ERROR)


@case("http2/4.2", "HEADERS above SETTINGS_MAX_FRAME_SIZE")
def _(c):
    c.handshake()
    block = c.encode(c.request)
    while len(block) <= max_frame(c):
        block += w.literal(f"x-dummy{len(block)}", "x" * 4000)
    c.send(w.headers(1, block, end=True))
    connection_error(c, w.FRAME_SIZE_ERROR)


@case("http2/4.3", "invalid header block")
def _(c):
    c.handshake()
    c.send(w.headers(1, b"\x40", end=True))
    connection_error(c, w.COMPRESSION_ERROR)


def interrupted(section, what, interruption, end=False, last=True):
    """A header block with another frame in its middle."""
    @case(section, what)
    def _(c):
        c.handshake()
        get(c, end=end, end_headers=False)
        c.send(interruption(c))
        if last:
            c.send(w.continuation(1, c.encode(dummy())))
        connection_error(c, w.PROTOCOL_ERROR)


interrupted("http2/4.3", "PRIORITY within a header block", lambda c: w.priority(1))
interrupted("http2/4.3", "HEADERS of another stream within a header block",
            lambda c: w.headers(3, c.encode(c.request), end=True))


def idle(what, make):
    @case("http2/5.1", what)
    def _(c):
        c.handshake()
        c.send(make(c))
        connection_error(c, w.PROTOCOL_ERROR)


idle("idle: DATA", lambda c: w.data(1, b"test", end=True))
idle("idle: RST_STREAM", lambda c: w.rst(1))
idle("idle: WINDOW_UPDATE", lambda c: w.window_update(1, 100))
idle("idle: CONTINUATION", lambda c: w.continuation(1, c.encode(c.request)))


def half_closed(what, make, *codes):
    @case("http2/5.1", what)
    def _(c):
        c.handshake()
        get(c)
        c.send(make(c))
        stream_error(c, *codes)


half_closed("half-closed (remote): DATA", lambda c: w.data(1, b"test", end=True), w.STREAM_CLOSED)
half_closed("half-closed (remote): HEADERS", lambda c: w.headers(1, c.encode(c.request), end=True), w.STREAM_CLOSED)
half_closed("half-closed (remote): CONTINUATION", lambda c: w.continuation(1, c.encode(c.request)),
            w.STREAM_CLOSED, w.PROTOCOL_ERROR)


def after_reset(what, make, *codes):
    @case("http2/5.1", what)
    def _(c):
        c.handshake()
        get(c, end=False)
        c.send(w.rst(1))
        c.send(make(c))
        stream_error(c, *codes)


after_reset("closed by RST_STREAM: DATA", lambda c: w.data(1, b"test", end=True), w.STREAM_CLOSED)
after_reset("closed by RST_STREAM: HEADERS", lambda c: w.headers(1, c.encode(c.request), end=True), w.STREAM_CLOSED)
after_reset("closed by RST_STREAM: CONTINUATION", lambda c: w.continuation(1, c.encode(dummy())),
            w.STREAM_CLOSED, w.PROTOCOL_ERROR)


def after_end(what, make, *codes):
    @case("http2/5.1", what)
    def _(c):
        c.handshake()
        get(c)
        stream_end(c)
        c.send(make(c))
        connection_error(c, *codes)


after_end("closed: DATA", lambda c: w.data(1, b"test", end=True), w.STREAM_CLOSED)
after_end("closed: HEADERS", lambda c: w.headers(1, c.encode(c.request), end=True), w.STREAM_CLOSED)
after_end("closed: CONTINUATION", lambda c: w.continuation(1, c.encode(dummy())), w.STREAM_CLOSED, w.PROTOCOL_ERROR)


@case("http2/5.1.1", "even stream identifier")
def _(c):
    c.handshake()
    get(c, stream=2)
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/5.1.1", "stream identifier lower than the last")
def _(c):
    c.handshake()
    get(c, stream=5)
    get(c, stream=3)
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/5.1.2", "more streams than allowed")
def _(c):
    c.handshake()
    most = c.settings.get(w.MAX_CONCURRENT_STREAMS)
    if most is None:
        raise Skipped("SETTINGS_MAX_CONCURRENT_STREAMS is unlimited")
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 0)))
    c.send(*[w.headers(1 + 2 * i, c.encode(c.request), end=True) for i in range(most + 1)])
    stream_error(c, w.PROTOCOL_ERROR, w.REFUSED_STREAM)


@case("http2/5.3.1", "HEADERS that depends on itself")
def _(c):
    c.handshake()
    get(c, priority=(1, 255, False))
    stream_error(c, w.PROTOCOL_ERROR)


@case("http2/5.3.1", "PRIORITY that depends on itself")
def _(c):
    c.handshake()
    c.send(w.priority(1, depends=1))
    stream_error(c, w.PROTOCOL_ERROR)


@case("http2/5.4.1", "a connection error closes the connection")
def _(c):
    c.handshake()
    c.send(w.frame(w.PING, 0, 3, bytes(8)))
    closed(c)


@case("http2/5.4.1", "a connection error is said by GOAWAY")
def _(c):
    c.handshake()
    c.send(w.frame(w.PING, 0, 3, bytes(8)))
    some(c, w.GOAWAY)


@case("http2/5.5", "unknown extension frame")
def _(c):
    c.handshake()
    c.send(w.frame(0x16, 0, 0, bytes(8)), w.ping())
    pong(c, bytes(8))


interrupted("http2/5.5", "unknown extension frame within a header block", lambda c: w.frame(0x16, 0, 0, bytes(8)), end=True, last=False)


def wrong(section, what, make, *codes, verify=connection_error):
    """One wrong frame right after the handshake."""
    @case(section, what)
    def _(c):
        c.handshake()
        c.send(make(c))
        verify(c, *codes)


def wrong_on_stream(section, what, make, *codes, end=True, verify=stream_error):
    """One wrong frame on a stream that is open (or half-closed with `end`)."""
    @case(section, what)
    def _(c):
        c.handshake()
        get(c, end=end)
        c.send(make(c))
        verify(c, *codes)


wrong("http2/6.1", "DATA on stream 0", lambda c: w.data(0, b"test", end=True), w.PROTOCOL_ERROR)


@case("http2/6.1", "DATA on a stream that is not open")
def _(c):
    c.handshake()
    start_post(c, end=True)
    c.send(w.data(1, b"test", end=True))
    stream_error(c, w.STREAM_CLOSED)


@case("http2/6.1", "DATA with invalid pad length")
def _(c):
    c.handshake()
    start_post(c, fields=[("content-length", "4")])
    c.send(w.frame(w.DATA, w.PADDED | w.END_STREAM, 1, b"\x06Test"))
    connection_error(c, w.PROTOCOL_ERROR)


interrupted("http2/6.2", "HEADERS without END_HEADERS, then PRIORITY", lambda c: w.priority(1))
interrupted("http2/6.2", "HEADERS without END_HEADERS, then HEADERS of another stream",
            lambda c: w.headers(3, c.encode(c.request), end=True))
wrong("http2/6.2", "HEADERS on stream 0", lambda c: w.headers(0, c.encode(c.request), end=True), w.PROTOCOL_ERROR)


@case("http2/6.2", "HEADERS with invalid pad length")
def _(c):
    c.handshake()
    block = c.encode(c.request)
    c.send(w.frame(w.HEADERS, w.PADDED | w.END_HEADERS | w.END_STREAM, 1, bytes([len(block) + 2]) + block))
    stream_error(c, w.PROTOCOL_ERROR)


wrong("http2/6.3", "PRIORITY on stream 0", lambda c: w.priority(0), w.PROTOCOL_ERROR)
wrong_on_stream("http2/6.3", "PRIORITY of a length other than 5", lambda c: w.frame(w.PRIORITY, 0, 1, b"\x80\0\0\x01"), w.FRAME_SIZE_ERROR)
wrong("http2/6.4", "RST_STREAM on stream 0", lambda c: w.rst(0), w.PROTOCOL_ERROR)
wrong("http2/6.4", "RST_STREAM on an idle stream", lambda c: w.rst(1), w.PROTOCOL_ERROR)
wrong_on_stream("http2/6.4", "RST_STREAM of a length other than 4", lambda c: w.frame(w.RST_STREAM, 0, 1, bytes(3)), w.FRAME_SIZE_ERROR)
wrong("http2/6.5", "SETTINGS ACK with a payload", lambda c: w.frame(w.SETTINGS, w.ACK, 0, b"\0"), w.FRAME_SIZE_ERROR)
wrong("http2/6.5", "SETTINGS on stream 1", lambda c: w.frame(w.SETTINGS, 0, 1, b"\0\x03\0\0\0\x64"), w.PROTOCOL_ERROR)
wrong("http2/6.5", "SETTINGS of a length that is no multiple of 6",
      lambda c: w.frame(w.SETTINGS, 0, 0, b"\0\x03\0\0\0\x64\0\x02\0"), w.PROTOCOL_ERROR, w.FRAME_SIZE_ERROR, verify=stream_error)
wrong("http2/6.5.2", "ENABLE_PUSH other than 0 or 1", lambda c: w.settings((w.ENABLE_PUSH, 2)), w.PROTOCOL_ERROR)
wrong("http2/6.5.2", "INITIAL_WINDOW_SIZE above the maximum", lambda c: w.settings((w.INITIAL_WINDOW_SIZE, 1 << 31)), w.FLOW_CONTROL_ERROR)
wrong("http2/6.5.2", "MAX_FRAME_SIZE below the least", lambda c: w.settings((w.MAX_FRAME_SIZE, 16383)), w.PROTOCOL_ERROR)
wrong("http2/6.5.2", "MAX_FRAME_SIZE above the most", lambda c: w.settings((w.MAX_FRAME_SIZE, 1 << 24)), w.PROTOCOL_ERROR)


@case("http2/6.5.2", "unknown setting")
def _(c):
    c.handshake()
    c.send(w.settings((0xFF, 1)), w.ping())
    pong(c, bytes(8))


def acknowledged(c):
    wait(c, "SETTINGS acknowledged", lambda e: is_kind(e, w.SETTINGS) and e.ack)


def needs_body(c, least):
    if c.body_length < least:
        raise Skipped("the response to / has no body")


@case("http2/6.5.3", "values in the order in which they stand")
def _(c):
    needs_body(c, 1)
    c.handshake()
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 100), (w.INITIAL_WINDOW_SIZE, 1)))
    acknowledged(c)
    get(c)
    data_of(c, 1)


@case("http2/6.5.3", "SETTINGS is acknowledged")
def _(c):
    c.handshake()
    c.send(w.settings((w.ENABLE_PUSH, 0)))
    acknowledged(c)


@case("http2/6.7", "PING is answered with its payload")
def _(c):
    c.handshake()
    c.send(w.ping(b"h2spec\0\0"))
    pong(c, b"h2spec\0\0")


@case("http2/6.7", "PING ACK is not answered")
def _(c):
    c.handshake()
    c.send(w.ping(b"invalid\0", ack=True), w.ping(b"h2spec\0\0"))
    got = some(c, w.PING)
    if not got.ack or got.payload != b"h2spec\0\0":
        raise AssertionError(f"answered the acknowledgement: {got.payload!r}")


wrong("http2/6.7", "PING on a stream", lambda c: w.frame(w.PING, 0, 1, bytes(8)), w.PROTOCOL_ERROR)
wrong("http2/6.7", "PING of a length other than 8", lambda c: w.frame(w.PING, 0, 0, bytes(6)), w.FRAME_SIZE_ERROR)
wrong("http2/6.8", "GOAWAY on a stream", lambda c: w.frame(w.GOAWAY, 0, 1, bytes(8)), w.PROTOCOL_ERROR)
wrong("http2/6.9", "WINDOW_UPDATE of 0", lambda c: w.window_update(0, 0), w.PROTOCOL_ERROR)
wrong_on_stream("http2/6.9", "WINDOW_UPDATE of 0 on a stream", lambda c: w.window_update(1, 0), w.PROTOCOL_ERROR, end=False)
wrong("http2/6.9", "WINDOW_UPDATE of a length other than 4", lambda c: w.frame(w.WINDOW_UPDATE, 0, 0, b"\0\0\x01"), w.FRAME_SIZE_ERROR)


@case("http2/6.9.1", "window of 1")
def _(c):
    needs_body(c, 1)
    c.handshake()
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 1)))
    acknowledged(c)
    get(c)
    data_of(c, 1)


@case("http2/6.9.1", "connection window above 2^31-1")
def _(c):
    c.handshake()
    c.send(w.window_update(0, 0x7FFFFFFF), w.window_update(0, 0x7FFFFFFF))
    goaway_with(c, w.FLOW_CONTROL_ERROR)


@case("http2/6.9.1", "stream window above 2^31-1")
def _(c):
    c.handshake()
    get(c, end=False)
    c.send(w.window_update(1, 0x7FFFFFFF), w.window_update(1, 0x7FFFFFFF))
    rst_with(c, 1, w.FLOW_CONTROL_ERROR)


@case("http2/6.9.2", "INITIAL_WINDOW_SIZE changed after HEADERS")
def _(c):
    needs_body(c, 1)
    c.handshake()
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 0)))
    acknowledged(c)
    get(c)
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 1)))
    data_of(c, 1)


@case("http2/6.9.2", "negative window")
def _(c):
    needs_body(c, 5)
    c.handshake()
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 3)))
    acknowledged(c)
    get(c)
    data_of(c, 3)
    c.send(w.settings((w.INITIAL_WINDOW_SIZE, 2)))
    acknowledged(c)
    c.send(w.window_update(1, 2))
    data_of(c, 1)


wrong("http2/6.9.2", "INITIAL_WINDOW_SIZE above the maximum", lambda c: w.settings((w.INITIAL_WINDOW_SIZE, 1 << 31)), w.FLOW_CONTROL_ERROR)


@case("http2/6.10", "several CONTINUATION frames")
def _(c):
    c.handshake()
    get(c, end_headers=False)
    c.send(w.continuation(1, c.encode(dummy()), end_headers=False), w.continuation(1, c.encode(dummy())))
    response(c)


@case("http2/6.10", "CONTINUATION, then another frame")
def _(c):
    c.handshake()
    start_post(c, end_headers=False)
    c.send(w.continuation(1, c.encode(dummy()), end_headers=False), w.data(1, b"test", end=True))
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/6.10", "CONTINUATION on stream 0")
def _(c):
    c.handshake()
    get(c, end_headers=False)
    c.send(w.continuation(0, c.encode(dummy())))
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/6.10", "CONTINUATION after HEADERS with END_HEADERS")
def _(c):
    c.handshake()
    get(c)
    c.send(w.continuation(1, c.encode(dummy())))
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/6.10", "CONTINUATION after CONTINUATION with END_HEADERS")
def _(c):
    c.handshake()
    get(c, end_headers=False)
    c.send(w.continuation(1, c.encode(dummy())), w.continuation(1, c.encode(dummy())))
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/6.10", "CONTINUATION after DATA")
def _(c):
    c.handshake()
    start_post(c, end_headers=False)
    c.send(w.data(1, b"test", end=True), w.continuation(1, c.encode(dummy()), end_headers=False), w.continuation(0, c.encode(dummy())))
    connection_error(c, w.PROTOCOL_ERROR)


@case("http2/7", "GOAWAY with an unknown code")
def _(c):
    c.handshake()
    c.send(w.goaway(0, 0xFF), w.ping())
    pong(c, bytes(8), or_close=True)


@case("http2/7", "RST_STREAM with an unknown code")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.rst(1, 0xFF), w.ping())
    pong(c, bytes(8))


@case("http2/8.1", "second HEADERS without END_STREAM")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"test"), w.headers(1, c.encode([("x-test", "ok")])))
    stream_error(c, w.PROTOCOL_ERROR)


def malformed(section, what, change):
    """A request whose fields are wrong."""
    @case(section, what)
    def _(c):
        c.handshake()
        c.send(w.headers(1, c.encode(change(c.request)), end=True))
        stream_error(c, w.PROTOCOL_ERROR)


malformed("http2/8.1.2", "uppercase name", lambda r: [*r, ("X-TEST", "ok")])
malformed("http2/8.1.2.1", "unknown pseudo-header", lambda r: [*r, (":test", "ok")])
malformed("http2/8.1.2.1", "pseudo-header of responses", lambda r: [*r, (":status", "200")])


@case("http2/8.1.2.1", "pseudo-header in trailers")
def _(c):
    c.handshake()
    start_post(c)
    c.send(w.data(1, b"test"), w.headers(1, c.encode([(":method", "POST")]), end=True))
    stream_error(c, w.PROTOCOL_ERROR)


malformed("http2/8.1.2.1", "pseudo-header after a regular field", lambda r: [("x-test", "ok"), *r])
malformed("http2/8.1.2.2", "connection-specific field", lambda r: [*r, ("connection", "keep-alive")])
malformed("http2/8.1.2.2", "te other than trailers", lambda r: [*r, ("trailers", "test"), ("te", "trailers, deflate")])
malformed("http2/8.1.2.3", "empty :path", lambda r: [*r[:2], (":path", ""), r[3]])
malformed("http2/8.1.2.3", "no :method", lambda r: r[1:])
malformed("http2/8.1.2.3", "no :scheme", lambda r: [r[0], *r[2:]])
malformed("http2/8.1.2.3", "no :path", lambda r: [*r[:2], r[3]])
malformed("http2/8.1.2.3", "two :method", lambda r: [*r, r[0]])
malformed("http2/8.1.2.3", "two :scheme", lambda r: [*r, r[1]])
malformed("http2/8.1.2.3", "two :path", lambda r: [*r, r[2]])


def wrong_length(what, *bodies):
    @case("http2/8.1.2.6", what)
    def _(c):
        c.handshake()
        start_post(c, fields=[("content-length", "1")])
        c.send(*[w.data(1, body, end=i == len(bodies) - 1) for i, body in enumerate(bodies)])
        stream_error(c, w.PROTOCOL_ERROR)


wrong_length("content-length other than the DATA frame", b"test")
wrong_length("content-length other than the sum of DATA frames", b"test", b"test")
wrong("http2/8.2", "PUSH_PROMISE", lambda c: w.frame(w.PUSH_PROMISE, w.END_HEADERS, 1, b"\0\0\0\x03" + c.encode(c.request)), w.PROTOCOL_ERROR)


# hpack: what is a decoding error

def undecodable(section, what, tail=b"", head=lambda c: b""):
    @case(section, what)
    def _(c):
        c.handshake()
        get(c, tail=tail, head=head(c))
        connection_error(c, w.COMPRESSION_ERROR)


def larger_table(c):
    return w.integer(c.settings.get(w.HEADER_TABLE_SIZE, 4096) + 1, 5, 0x20)


undecodable("hpack/2.3.3", "indexed field beyond both tables", b"\xfe")
undecodable("hpack/2.3.3", "literal with a name beyond both tables", b"\x7f\x3f\x04test")
undecodable("hpack/4.2", "size update at the end of a block", b"\x21")
undecodable("hpack/5.2", "Huffman padding longer than 7 bits", b"\0" + X_TEST_HUFFMAN + b"\x84\x49\x50\x9f\xff")
undecodable("hpack/5.2", "Huffman padding with zeros", b"\0" + X_TEST_HUFFMAN + b"\x83\x49\x50\x90")
undecodable("hpack/5.2", "EOS within a Huffman string", b"\0\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f")
undecodable("hpack/6.1", "indexed field with index 0", b"\x80")
undecodable("hpack/6.3", "size update above SETTINGS_HEADER_TABLE_SIZE", head=larger_table)
