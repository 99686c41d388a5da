"""A deadline that only the gateway keeps: the client does not cancel, and the backend is silent."""

import asyncio
import math
import statistics
import time

import wire

from row import Figure, Row

PATIENCE = 2  # seconds


def call(address):
    """The gRPC status and the seconds after which it came, and when that was."""
    connection = wire.Wire.connect(address).handshake()
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/bench.Faults/Call"), (":authority", "faults"),
              ("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "300m")]
    began = time.monotonic()
    connection.send(wire.headers(1, connection.encode(fields)), wire.data(1, wire.message(b""), end=True))
    try:
        while (got := connection.recv(began + PATIENCE - time.monotonic())) is not None:
            if got.kind == wire.HEADERS:
                found = dict(connection.decode(got.data))
                if status := found.get(b"grpc-status"):
                    return int(status), got.at - began, got.at
            elif got.ends or got.kind == wire.RST_STREAM:
                return math.nan, got.at - began, got.at
        return math.nan, math.inf, math.inf
    finally:
        connection.close()


class Deadline(Row):
    key = "deadline"
    title = "a deadline of 300 ms, a client that does not cancel, silent backends; medians of five"
    figures = (Figure("gRPC status", least=4, most=4), Figure("answered after", "ms", least=0.3, most=0.31),
               Figure("reset at the backend, after the answer", "ms", most=0.005))
    without = ("http1",)

    async def play(self, world):
        async with world.switched(*world.backends, silent=True):
            seen = [await self.once(world) for _ in range(5)]
        medians = [statistics.median(column) for column in zip(*seen)]
        return dict(zip((figure.name for figure in self.figures), medians))

    async def once(self, world):
        """The values of the figures for one call."""
        status, took, at = await asyncio.to_thread(call, world.front.plain)
        await asyncio.sleep(0.1)
        resets = [reset for backend in world.backends for reset in (await backend.set())["resets"]]
        return status, took, max(0, min(resets, default=math.inf) - at) if math.isfinite(at) else math.inf
