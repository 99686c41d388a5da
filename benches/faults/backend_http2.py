"""A connection of a backend over HTTP/2."""

import asyncio
import struct

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

CONFIG = h2.config.H2Configuration(client_side=False, header_encoding="latin-1", validate_inbound_headers=False)
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
UNAVAILABLE = [("grpc-status", "14"), ("grpc-message", "told to fail")]
UNIMPLEMENTED = [("grpc-status", "12")]
ALL_STREAMS = (1 << 31) - 1
SETTINGS = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: ALL_STREAMS}  # as most gRPC servers have it
NOTICE = 0.1  # seconds between the first GOAWAY and the one that has the last stream


def message(payload):
    return b"\0" + struct.pack(">I", len(payload)) + payload


class Connection(asyncio.Protocol):
    def __init__(self, backend):
        self.backend, self.loop = backend, asyncio.get_running_loop()
        self.h2 = h2.connection.H2Connection(CONFIG)
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=SETTINGS)
        self.paths = {}  # of streams that have no answer yet, or are open
        self.last, self.draining = 0, False

    def connection_made(self, transport):
        self.transport = transport
        self.backend.connections.add(self)
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, error):
        self.backend.connections.discard(self)
        self.paths.clear()

    def flush(self):
        if not self.transport.is_closing():
            self.transport.write(self.h2.data_to_send())

    def data_received(self, data):
        try:
            for event in self.h2.receive_data(data):
                self.handle(event)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.transport.close()
            return
        self.flush()

    def handle(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            if not self.draining:
                self.last = stream
                self.request(stream, dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            if self.paths.get(stream, "").endswith("/Stream"):
                self.h2.send_data(stream, event.data)
        elif isinstance(event, h2.events.StreamEnded):
            self.requested(stream)
        elif isinstance(event, h2.events.StreamReset):
            if stream in self.paths:
                self.backend.was_reset()
            self.over(stream)

    def request(self, stream, head):
        path = self.paths[stream] = head[":path"]
        if path.startswith("/bench.Faults/"):
            self.backend.came(head.get("x-sent"))
        if path.endswith("/Stream"):
            self.h2.send_headers(stream, HEAD)
            self.h2.send_data(stream, message(self.backend.name))

    def requested(self, stream):
        """A request is whole."""
        path = self.paths.get(stream, "")
        if path.endswith("/Stream"):
            self.h2.send_headers(stream, OK, end_stream=True)
            self.over(stream)
        elif not path.startswith("/bench.Faults/"):  # a health check
            self.h2.send_headers(stream, HEAD[:1], end_stream=True)
            self.over(stream)
        elif not self.backend.switches.silent:
            self.loop.call_later(self.backend.switches.delay, self.answer, stream, path)

    def answer(self, stream, path):
        if stream not in self.paths or self.transport.is_closing():
            return
        switches = self.backend.switches
        if switches.lacks_new and path.endswith("/New"):
            self.h2.send_headers(stream, HEAD + UNIMPLEMENTED, end_stream=True)
        elif self.backend.fails():
            if switches.after_head:
                self.h2.send_headers(stream, HEAD)
                self.flush()
                self.h2.send_headers(stream, UNAVAILABLE, end_stream=True)
            else:
                self.h2.send_headers(stream, HEAD + UNAVAILABLE, end_stream=True)
        elif switches.late:
            self.h2.send_headers(stream, HEAD)
            self.flush()
            self.loop.call_later(switches.late, self.finish, stream)
            return
        else:
            self.h2.send_headers(stream, HEAD)
            self.finish(stream)
            return
        self.over(stream)
        self.flush()

    def finish(self, stream):
        """What follows the head."""
        if stream not in self.paths or self.transport.is_closing():
            return
        self.h2.send_data(stream, message(self.backend.name))
        self.h2.send_headers(stream, OK, end_stream=True)
        self.over(stream)
        self.flush()

    def over(self, stream):
        self.paths.pop(stream, None)
        if self.draining and not self.paths:
            self.flush()
            self.transport.close()

    def drain(self):
        """As gRPC servers do: a notice first, so that nothing which is under way is refused."""
        self.goaway(ALL_STREAMS)
        self.loop.call_later(NOTICE, self.drained)

    def drained(self):
        self.draining = True
        self.goaway(self.last)
        if not self.paths and not self.transport.is_closing():
            self.transport.close()

    def goaway(self, last):
        """Written past the state machine, which would take no more requests."""
        if not self.transport.is_closing():
            self.flush()
            self.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + struct.pack(">II", last, 0))
