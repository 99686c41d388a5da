"""A connection of a backend over HTTP/1.1: one request at a time, without a body in either direction but names."""

import asyncio


class Connection(asyncio.Protocol):
    def __init__(self, backend):
        self.backend, self.loop = backend, asyncio.get_running_loop()
        self.buffer, self.busy, self.draining = b"", False, False

    def connection_made(self, transport):
        self.transport = transport
        self.backend.connections.add(self)

    def connection_lost(self, error):
        self.backend.connections.discard(self)
        if self.busy:
            self.backend.was_reset()

    def data_received(self, data):
        self.buffer += data
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank or self.busy:
            return
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer, self.busy = rest[length:], True
        if not lines[0].split()[1].startswith("/bench.Faults/"):
            self.answer("200 OK", b"well")
            return
        self.backend.came(fields.get("x-sent"))
        if not self.backend.switches.silent:
            self.loop.call_later(self.backend.switches.delay, self.decide)

    def decide(self):
        if self.backend.fails():
            self.answer("503 Service Unavailable", b"")
        else:
            self.answer("200 OK", self.backend.name)

    def answer(self, status, body):
        if self.transport.is_closing():
            return
        close = "connection: close\r\n" if self.draining else ""
        self.transport.write(f"HTTP/1.1 {status}\r\n{close}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.busy = False
        if self.draining:
            self.transport.close()

    def drain(self):
        """One that is idle may get a request in this moment, and takes it."""
        self.draining = True
        self.loop.call_later(0.5, lambda: self.busy or self.transport.close())
