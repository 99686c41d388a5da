"""A backend that does on the wire exactly what a case says.

`Backend(on_request=..., on_end=...)` calls back with a `Stream` when a request's head has come and
when it has ended. What is sent by `Stream.data` waits for flow control; frames sent after it keep
their place behind it.
"""

import contextlib
import socket
import threading
import time

import wire as w


class Stream:
    """One request and what goes back on it."""

    def __init__(self, conn, number, fields):
        self.conn, self.number, self.fields = conn, number, fields
        self.body, self.ended, self.reset = bytearray(), False, None
        self.came = time.monotonic()
        self.ended_at = self.reset_at = None
        self.window = conn.initial
        self.queue = []

    def get(self, name):
        return dict(self.fields).get(name.encode(), b"").decode("latin-1")

    def head(self, *extra, status="200", end=False, kind="application/grpc"):
        fields = [(":status", status), *([("content-type", kind)] if kind else []), *extra]
        self.queue.append(w.headers(self.number, w.block(fields), end=end))
        self.conn.pump()
        return self

    def data(self, payload, end=False, pad=None):
        self.queue.append([memoryview(bytes(payload)), end, pad])
        self.conn.pump()
        return self

    def trailers(self, *extra, status="0"):
        self.queue.append(w.headers(self.number, w.block([("grpc-status", status), *extra]), end=True))
        self.conn.pump()
        return self

    def rst(self, code):
        self.queue.append(w.rst(self.number, code))
        self.conn.pump()
        return self

    def ok(self, payload=b"ok"):
        return self.head().data(w.message(payload)).trailers()


class Connection(w.Wire):
    """One connection from the gateway, on a thread of its own."""

    def __init__(self, sock, backend):
        super().__init__(sock)
        self.backend = backend
        self.streams, self.open = {}, 0
        self.initial, self.window = 65535, 65535
        self.pumping = threading.RLock()

    def run(self):
        try:
            while len(self.buffer) < len(w.PREFACE):
                chunk = self.sock.recv(65536)
                if not chunk:
                    return
                self.buffer += chunk
            del self.buffer[:len(w.PREFACE)]
            self.send(w.settings((w.INITIAL_WINDOW_SIZE, 1 << 20), *self.backend.settings), w.window_update(0, 1 << 26))
            while True:
                got = self.recv(60)
                if got is None:
                    return
                self.handle(got)
        except (w.Closed, OSError, ValueError):
            pass
        finally:
            self.gone()

    def gone(self):
        for stream in self.streams.values():
            if stream.reset_at is None and not stream.ended:
                stream.reset_at = time.monotonic()
        self.close()

    def handle(self, got):
        if got.kind == w.SETTINGS and not got.ack:
            self.apply(dict(got.settings()))
            self.send(w.settings_ack())
        elif got.kind == w.PING and not got.ack:
            self.send(w.ping(got.payload, ack=True))
        elif got.kind == w.WINDOW_UPDATE:
            with self.pumping:
                step = int.from_bytes(got.payload, "big")
                if got.stream == 0:
                    self.window += step
                elif got.stream in self.streams:
                    self.streams[got.stream].window += step
            self.pump()
        elif got.kind == w.HEADERS:
            block = got.data
            flags = got.flags
            while not flags & w.END_HEADERS:
                more = self.recv(5)
                block, flags = block + more.payload, flags | more.flags
            self.request(got, block)
        elif got.kind == w.DATA:
            stream = self.streams.get(got.stream)
            self.send(w.window_update(0, max(1, len(got.payload))))
            if stream is not None:
                stream.body += got.data
                if got.payload and not got.ends:
                    self.send(w.window_update(got.stream, len(got.payload)))
                if self.backend.on_data:
                    self.backend.on_data(stream)
                if got.ends:
                    self.end(stream)
        elif got.kind == w.RST_STREAM and got.stream in self.streams:
            stream = self.streams[got.stream]
            if stream.reset is None:
                stream.reset, stream.reset_at = got.code, got.at
                stream.queue.clear()

    def apply(self, settings):
        if w.INITIAL_WINDOW_SIZE in settings:
            with self.pumping:
                change = settings[w.INITIAL_WINDOW_SIZE] - self.initial
                self.initial += change
                for stream in self.streams.values():
                    stream.window += change

    def request(self, got, block):
        fields = self.decode(block)
        stream = self.streams.get(got.stream)
        if stream is None:
            stream = self.streams[got.stream] = Stream(self, got.stream, fields)
            self.backend.streams.append(stream)
            if self.backend.on_request:
                self.backend.on_request(stream)
        if got.ends:
            self.end(stream)

    def end(self, stream):
        stream.ended, stream.ended_at = True, time.monotonic()
        if self.backend.on_end:
            self.backend.on_end(stream)

    def pump(self):
        """Sends what the windows allow, in each stream's order."""
        with self.pumping:
            out = []
            for stream in list(self.streams.values()):
                while stream.queue:
                    item = stream.queue[0]
                    if isinstance(item, bytes):
                        out.append(item)
                        stream.queue.pop(0)
                        continue
                    payload, end, pad = item
                    extra = 0 if pad is None else pad + 1
                    size = min(len(payload), 16384 - extra, stream.window - extra, self.window - extra)
                    if size <= 0 and len(payload):
                        break
                    size = max(size, 0)
                    last = size == len(payload)
                    out.append(w.data(stream.number, bytes(payload[:size]), end=end and last, pad=pad))
                    stream.window -= size + extra
                    self.window -= size + extra
                    if last:
                        stream.queue.pop(0)
                    else:
                        item[0] = payload[size:]
            try:
                if out:
                    self.send(*out)
            except w.Closed:
                pass


class Backend:
    """Listens on loopback; `streams` are all requests so far, `conns` all connections."""

    def __init__(self, on_request=None, on_end=None, on_data=None, settings=()):
        self.on_request, self.on_end, self.on_data, self.settings = on_request, on_end, on_data, settings
        self.streams, self.conns = [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(60)
            conn = Connection(sock, self)
            self.conns.append(conn)
            threading.Thread(target=conn.run, daemon=True).start()

    def stop(self):
        with contextlib.suppress(OSError):  # stopped before
            self.listener.shutdown(socket.SHUT_RDWR)  # the thread that accepts would keep it open
        self.listener.close()
        for conn in self.conns:
            conn.close()
