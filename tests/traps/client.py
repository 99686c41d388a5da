"""The client's side of a trap: raw frames, or grpcio."""

import time

import grpc

import wire as w


class Response:
    """What came back on one stream."""

    def __init__(self):
        self.blocks, self.data, self.frames = [], bytearray(), []
        self.ended, self.rst, self.closed, self.goaway = False, None, False, None

    def field(self, name, block=-1):
        return dict(self.blocks[block]).get(name.encode(), b"").decode("latin-1") if self.blocks else ""

    @property
    def status(self):
        """grpc-status, '' if none came."""
        return next((dict(b)[b"grpc-status"].decode() for b in self.blocks if b"grpc-status" in dict(b)), "")

    def __str__(self):
        kinds = " ".join(str(f) for f in self.frames[:6])
        return (f"grpc-status {self.status or 'none'}, {len(self.data)} bytes, ended {self.ended}, rst {self.rst}, "
                f"closed {self.closed}, frames: {kinds}")


def request(*extra, path="/trap.Trap/Call", kind="application/grpc", te=True, method="POST"):
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "trap.test"),
            *([("te", "trailers")] if te else []), *([("content-type", kind)] if kind else []), *extra]


def connect(front, *settings):
    return w.Wire.connect(front.plain).handshake(*settings)


def open_stream(conn, stream=1, fields=None, end=False):
    block = w.block(fields or request())
    parts = [block[i:i + 16000] for i in range(0, len(block), 16000)]
    conn.send(w.headers(stream, parts[0], end=end, end_headers=len(parts) == 1),
              *[w.continuation(stream, part, end_headers=i == len(parts) - 2) for i, part in enumerate(parts[1:])])


def read(conn, stream=1, timeout=5.0, refill=True, until=None):
    """Reads a response until it ends, is reset or the connection closes, or `until(response)`."""
    got = Response()
    deadline = time.monotonic() + timeout
    block, ends = b"", False
    try:
        while (left := deadline - time.monotonic()) > 0:
            frame = conn.recv(left)
            if frame is None:
                break
            if frame.kind == w.GOAWAY:
                got.goaway = frame.code
            if frame.stream != stream:
                continue
            got.frames.append(frame)
            if frame.kind in (w.HEADERS, w.CONTINUATION):
                block += frame.data
                ends = ends or frame.ends
                if frame.flags & w.END_HEADERS:
                    got.blocks.append(conn.decode(block))
                    block, got.ended = b"", ends
            elif frame.kind == w.DATA:
                got.data += frame.data
                got.ended = frame.ends
                if refill and frame.payload:
                    conn.send(w.window_update(0, len(frame.payload)))
                    if not frame.ends:
                        conn.send(w.window_update(stream, len(frame.payload)))
            elif frame.kind == w.RST_STREAM:
                got.rst = frame.code
            if got.rst is not None or got.ended or until and until(got):
                break
    except w.Closed:
        got.closed = True
    return got


def call(front, body=b"ping", fields=None, timeout=5.0):
    """A whole unary call on a connection of its own."""
    conn = connect(front)
    try:
        open_stream(conn, fields=fields)
        conn.send(w.data(1, w.message(body), end=True))
        return read(conn, timeout=timeout)
    finally:
        conn.close()


def grpc_call(address, body=b"ping", timeout=5, metadata=None):
    """A unary call by grpcio; gives (code name, details)."""
    with grpc.insecure_channel(f"{address[0]}:{address[1]}", options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0),
                                                                      ("grpc.max_receive_message_length", -1)]) as channel:
        unary = channel.unary_unary("/trap.Trap/Call", request_serializer=bytes, response_deserializer=bytes)
        try:
            unary(body, timeout=timeout, metadata=metadata)
            return "OK", ""
        except grpc.RpcError as error:
            return error.code().name, error.details()
