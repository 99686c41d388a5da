"""HTTP/2 on the wire, without any state machine in the way: frames as they are sent and received.

Used as a client and as a server. Nothing is checked on sending, so anything wrong can be said.
"""

import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
TYPES = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
 INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass
class Frame:
    """One frame as received; `at` is when."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    at: float = 0.0

    @property
    def name(self):
        return TYPES[self.kind] if self.kind < len(TYPES) else f"type {self.kind}"

    @property
    def ends(self):
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def ack(self):
        return bool(self.flags & ACK)

    @property
    def code(self):
        """The error code of RST_STREAM or GOAWAY."""
        return struct.unpack(">I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    @property
    def last_stream(self):
        return struct.unpack(">I", self.payload[:4])[0] & 0x7FFFFFFF

    @property
    def data(self):
        """The payload without padding and priority."""
        body = self.payload
        if self.flags & PADDED:
            body = body[1:len(body) - body[0]]
        if self.kind == HEADERS and self.flags & WITH_PRIORITY:
            body = body[5:]
        return body

    def settings(self):
        return [struct.unpack(">HI", self.payload[i:i + 6]) for i in range(0, len(self.payload), 6)]

    def __str__(self):
        detail = f", code {self.code}" if self.kind in (RST_STREAM, GOAWAY) else ""
        return f"{self.name} (stream {self.stream}, flags {self.flags:#04x}, length {len(self.payload)}{detail})"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def settings_ack():
    return frame(SETTINGS, ACK, 0)


def data(stream, payload, end=False, pad=None):
    if pad is None:
        return frame(DATA, END_STREAM if end else 0, stream, payload)
    return frame(DATA, PADDED | (END_STREAM if end else 0), stream, bytes([pad]) + payload + bytes(pad))


def headers(stream, block, end=False, end_headers=True, pad=None, priority=None):
    flags = (END_STREAM if end else 0) | (END_HEADERS if end_headers else 0)
    if priority is not None:
        flags |= WITH_PRIORITY
        block = priority_field(*priority) + block
    if pad is not None:
        flags |= PADDED
        block = bytes([pad]) + block + bytes(pad)
    return frame(HEADERS, flags, stream, block)


def continuation(stream, block, end_headers=True):
    return frame(CONTINUATION, END_HEADERS if end_headers else 0, stream, block)


def priority_field(depends, weight=255, exclusive=False):
    return struct.pack(">IB", depends | (0x80000000 if exclusive else 0), weight)


def priority(stream, depends=0, weight=255, exclusive=False):
    return frame(PRIORITY, 0, stream, priority_field(depends, weight, exclusive))


def rst(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def ping(payload=bytes(8), ack=False):
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last=0, code=NO_ERROR, debug=b""):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + debug)


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def literal(name, value):
    """A header field as a literal, never indexed, no Huffman: any bytes go."""
    def string(raw):
        raw = raw if isinstance(raw, bytes) else raw.encode()
        return integer(len(raw), 7) + raw
    return b"\x10" + string(name) + string(value)


def integer(value, prefix, first=0):
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


def message(payload):
    """A gRPC message with its prefix."""
    return b"\0" + struct.pack(">I", len(payload)) + payload


class Closed(Exception):
    """The other side has closed the connection."""


class Wire:
    """One connection. `recv` gives frames, `send` takes bytes."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.encoder = hpack.Encoder()
        self.settings = {}
        self.lock = threading.Lock()

    @classmethod
    def connect(cls, address, tls=False, rcvbuf=None, timeout=5, alpn=("h2",)):
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.settimeout(timeout)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl._create_unverified_context()
            context.set_alpn_protocols(list(alpn))
            sock = context.wrap_socket(sock, server_hostname="localhost")
        return cls(sock)

    def send(self, *frames):
        try:
            with self.lock:
                self.sock.sendall(b"".join(frames))
        except (OSError, ValueError) as error:
            raise Closed(str(error)) from error

    def encode(self, fields):
        return self.encoder.encode(fields, huffman=True)

    def decode(self, received):
        return [(name, value) for name, value in self.decoder.decode(received, raw=True)]

    def recv(self, timeout=2.0):
        """The next frame, None after `timeout`; raises `Closed`."""
        deadline = time.monotonic() + timeout
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                    payload = bytes(self.buffer[9:9 + size])
                    del self.buffer[:9 + size]
                    return Frame(kind, flags, stream & 0x7FFFFFFF, payload, time.monotonic())
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                self.sock.settimeout(left)
                chunk = self.sock.recv(65536)
            except (socket.timeout, ssl.SSLWantReadError):
                return None
            except (OSError, ValueError) as error:
                raise Closed(str(error)) from error
            if not chunk:
                raise Closed("end of file")
            self.buffer += chunk

    def handshake(self, *pairs, timeout=2.0):
        """The client's preface, until both sides have acknowledged the other's settings."""
        self.send(PREFACE, settings(*pairs))
        mine = theirs = False
        while not (mine and theirs):
            got = self.recv(timeout)
            if got is None:
                raise TimeoutError("no SETTINGS from the server")
            if got.kind == SETTINGS and got.ack:
                mine = True
            elif got.kind == SETTINGS:
                theirs = True
                self.settings.update(got.settings())
                self.send(settings_ack())
        return self

    def is_closed(self, timeout):
        """True as soon as the other side has closed, False when it has not after `timeout`."""
        deadline = time.monotonic() + timeout
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.recv(left)
        except Closed:
            return True
        return False

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass
