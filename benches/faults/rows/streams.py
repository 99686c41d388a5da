"""Open streams, and a backend that dies."""

import asyncio
import math
import statistics
import time

import grpc

from row import Figure, Row

STREAMS = 200


async def end(stream, ends, server):
    """Waits for the end of a stream."""
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError:
        pass
    ends.append((server, time.monotonic(), (await stream.code()).name))


class Streams(Row):
    key = "streams"
    title = "200 bidirectional streams, kill -9 of one of three"
    figures = (Figure("streams of others that ended", most=0), Figure("streams on it"), Figure("told UNAVAILABLE", "%", least=1),
               Figure("told after, median", "ms", most=0.01))
    without = ("http1",)

    async def play(self, world):
        victim, ends, streams, waiting = world.backends[0], [], [], []
        for number in range(STREAMS):
            stream = world.channels[number % len(world.channels)].stream()
            await stream.write(b"")
            streams.append((stream, (await stream.read()).decode()))
        for stream, server in streams:
            waiting.append(asyncio.create_task(end(stream, ends, server)))
        await asyncio.sleep(1)
        killed = time.monotonic()
        await victim.kill()
        await asyncio.sleep(2)
        ended = list(ends)
        for stream, _ in streams:
            stream.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await victim.start()
        its = [(at - killed, code) for server, at, code in ended if server == victim.name]
        on_it = sum(server == victim.name for _, server in streams)
        return {"streams of others that ended": len(ended) - len(its), "streams on it": on_it,
                "told UNAVAILABLE": sum(code == "UNAVAILABLE" for _, code in its) / max(1, on_it),
                "told after, median": statistics.median([took for took, _ in its] or [math.inf])}
