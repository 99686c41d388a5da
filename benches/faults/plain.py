"""A client of plain HTTP/2, for backends of HTTP/1.1, to which no gRPC goes. It has the shape of `load.Channel`.

It posts: a GET might be sent once more, like any request that does no harm twice.
"""

import asyncio
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

CONFIG = h2.config.H2Configuration(header_encoding="latin-1")


class PlainChannel(asyncio.Protocol):
    def __init__(self, target):
        self.host, self.port = target.rsplit(":", 1)
        self.transport, self.answers, self.h2 = None, {}, None

    async def ready(self):
        """Connects, unless it is."""
        if self.transport is None or self.transport.is_closing():
            self.h2, self.answers = h2.connection.H2Connection(CONFIG), {}
            self.h2.initiate_connection()
            await asyncio.get_running_loop().create_connection(lambda: self, self.host, int(self.port))

    async def call(self, method, timeout):
        try:
            await self.ready()
            stream, answer = self.h2.get_next_available_stream_id(), asyncio.get_running_loop().create_future()
            self.answers[stream] = [answer, "", b""]
            self.h2.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":authority", "faults"),
                                          (":path", f"/bench.Faults/{method}"), ("x-sent", repr(time.monotonic()))], end_stream=True)
            self.flush()
            status, body = await asyncio.wait_for(answer, timeout)
            return ("OK", body.decode()) if status == "200" else (status, "")
        except asyncio.TimeoutError:
            self.cancel(stream)
            return "TIMEOUT", ""
        except (OSError, h2.exceptions.ProtocolError) as error:
            return type(error).__name__, ""

    def cancel(self, stream):
        if self.answers.pop(stream, None) and not self.transport.is_closing():
            self.h2.reset_stream(stream, 8)
            self.flush()

    def connection_made(self, transport):
        self.transport = transport
        self.flush()

    def connection_lost(self, error):
        for answer, *_ in self.answers.values():
            if not answer.done():
                answer.set_result(("LOST", b""))

    def flush(self):
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data):
        for event in self.h2.receive_data(data):
            kept = self.answers.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ConnectionTerminated):
                self.transport.close()
            elif not kept:
                continue
            elif isinstance(event, h2.events.ResponseReceived):
                kept[1] = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                kept[2] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                del self.answers[event.stream_id]
                if not kept[0].done():
                    kept[0].set_result((kept[1], kept[2]) if isinstance(event, h2.events.StreamEnded) else ("RESET", b""))
        if not self.transport.is_closing():
            self.flush()

    async def close(self):
        if self.transport:
            self.transport.close()
