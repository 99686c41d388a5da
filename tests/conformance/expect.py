"""What a case may expect of the server. Each raises `Failed` with what came instead."""

import time

import wire


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def events(conn, limit):
    """Frames as they come, then None at the time limit or `Closed` once the connection is closed."""
    deadline = time.monotonic() + limit
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            yield None
            return
        try:
            got = conn.recv(left)
        except wire.Closed:
            yield wire.Closed
            return
        if got is not None and got.kind == wire.DATA and conn.refill and got.payload:
            try:
                conn.send(wire.window_update(0, len(got.payload)))
            except wire.Closed:
                pass
        yield got
        if got is None:
            return


def wait(conn, wanted, accept):
    """Reads until `accept` likes an event. It may also raise."""
    last = "nothing"
    for event in events(conn, conn.limit):
        if accept(event):
            return event
        if event is wire.Closed:
            last = "the connection closed"
        elif event is not None:
            last = str(event)
    raise Failed(f"wanted {wanted}, last came {last}")


def error_name(code):
    names = ("NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR "
             "REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED").split()
    return names[code] if code < len(names) else hex(code)


def connection_error(conn, *codes):
    """GOAWAY with one of the codes, or the connection closed (with `exact`, not after another code)."""
    wanted = "GOAWAY " + " or ".join(map(error_name, codes)) + " or a close"

    def accept(event):
        if event is wire.Closed:
            return True
        if event is not None and event.kind == wire.GOAWAY:
            if event.code in codes:
                return True
            if conn.exact:
                raise Failed(f"wanted {wanted}, got GOAWAY {error_name(event.code)}")
        return False
    wait(conn, wanted, accept)


def stream_error(conn, *codes):
    """RST_STREAM or GOAWAY with one of the codes, or the connection closed (with `exact`, not after another code)."""
    wanted = "RST_STREAM or GOAWAY " + " or ".join(map(error_name, codes)) + " or a close"

    def accept(event):
        if event is wire.Closed:
            return True
        if event is not None and event.kind in (wire.GOAWAY, wire.RST_STREAM):
            if event.code in codes:
                return True
            if conn.exact:
                raise Failed(f"wanted {wanted}, got {event.name} {error_name(event.code)}")
        return False
    wait(conn, wanted, accept)


def closed(conn):
    wait(conn, "the connection closed", lambda e: e is wire.Closed)


def is_kind(event, kind):
    return event not in (None, wire.Closed) and event.kind == kind


def response(conn, stream=1):
    """HEADERS on the stream."""
    return wait(conn, f"HEADERS on stream {stream}", lambda e: is_kind(e, wire.HEADERS) and e.stream == stream)


def stream_end(conn):
    """A frame with END_STREAM."""
    return wait(conn, "the end of the stream", lambda e: e not in (None, wire.Closed) and e.ends)


def some(conn, kind):
    return wait(conn, wire.TYPES[kind], lambda e: is_kind(e, kind))


def pong(conn, payload, or_close=False):
    def accept(event):
        if event is wire.Closed:
            return or_close
        return is_kind(event, wire.PING) and event.ack and event.payload == payload
    wait(conn, "PING acknowledged", accept)


def data_of(conn, length):
    """The next DATA has this length."""
    got = some(conn, wire.DATA)
    if len(got.payload) != length:
        raise Failed(f"wanted DATA of length {length}, got {got}")


def goaway_with(conn, code):
    wait(conn, f"GOAWAY {error_name(code)}", lambda e: is_kind(e, wire.GOAWAY) and e.code == code)


def rst_with(conn, stream, code):
    wait(conn, f"RST_STREAM {error_name(code)}",
         lambda e: is_kind(e, wire.RST_STREAM) and e.stream == stream and e.code == code)
