#!/usr/bin/env python3
"""A gRPC backend that fails as it is told, one process each.

    backend.py NAME [--host HOST] [--port PORT] [--tls DIRECTORY] [--http1]

Each line on standard input is a JSON object of switches to set (see `Switches`); each is answered by one line
with what was seen since the line before: when requests were sent, by their `x-sent`, with when they came, and
when requests were reset. The first line of all has the port. SIGTERM ends it in good order.
Of `/bench.Faults/`: `Call` and `New` answer with the backend's name, `Stream` says it at once and then echoes.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import ssl
import sys
import time

import backend_http1
import backend_http2


@dataclasses.dataclass
class Switches:
    delay: float = 0.005  # seconds before an answer
    fail: float = 0.0  # share of calls that are answered with UNAVAILABLE, evenly spread
    after_head: bool = False  # whether that stands in trailers after a head, or alone
    silent: bool = False  # whether nothing is answered
    late: float = 0.0  # seconds between a head and the message; 0 sends both at once
    lacks_new: bool = False  # whether the method `New` is UNIMPLEMENTED


class Backend:
    """What its connections share."""

    def __init__(self, name):
        self.name, self.switches = name.encode(), Switches()
        self.requests, self.resets, self.connections = [], [], set()
        self.owed = 0.0  # failures

    def seen(self):
        """What was seen since the last time."""
        said = {"requests": self.requests, "resets": self.resets}
        self.requests, self.resets = [], []
        return said

    def came(self, sent):
        self.requests.append((float(sent or "nan"), time.monotonic()))

    def was_reset(self):
        self.resets.append(time.monotonic())

    def fails(self):
        self.owed += self.switches.fail
        if self.owed < 1:
            return False
        self.owed -= 1
        return True

    async def end(self, server):
        """In good order: no new connections, and those that are there end with their requests."""
        server.close()
        for connection in list(self.connections):
            connection.drain()
        while self.connections:
            await asyncio.sleep(0.01)


async def commands(backend):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        for name, value in json.loads(line).items():
            setattr(backend.switches, name, value)
        print(json.dumps(backend.seen()), flush=True)
    os._exit(0)  # whoever started it is gone


def context(directory, http1):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
    tls.set_alpn_protocols(["http/1.1" if http1 else "h2"])
    return tls


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="what its answers say")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", help="a directory with cert.pem and key.pem")
    parser.add_argument("--http1", action="store_true", help="HTTP/1.1 instead of HTTP/2")
    options = parser.parse_args()
    backend = Backend(options.name)
    connection = (backend_http1 if options.http1 else backend_http2).Connection
    loop = asyncio.get_running_loop()
    tls = context(options.tls, options.http1) if options.tls else None
    server = await loop.create_server(lambda: connection(backend), options.host, options.port, ssl=tls, backlog=1024)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # of the terminal: it is for who started it
    print(server.sockets[0].getsockname()[1], flush=True)
    reading = asyncio.create_task(commands(backend))
    await ended.wait()
    await backend.end(server)
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(main())
