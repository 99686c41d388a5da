"""The same faults where the route retries or hedges, and what that costs the backends."""

import asyncio
import statistics
import time

from load import failed, quantile
from row import Figure, Row
from rows.blackhole import BlackHole
from rows.freeze import Freeze
from rows.kill import Kill
from rows.unavailable import Unavailable

PEERS = ("base", "haproxy", "envoy")
WITHOUT_RETRIES = ("base", "haproxy")  # HAProxy does not see the codes of gRPC


class KillRetried(Kill):
    key = "retry-kill"
    title = "kill -9 of one of three, `retry: {}`"
    figures = (Figure("failed", most=0), Figure("back: a fair share", "s", most=1))
    route, without = "retry: {}", WITHOUT_RETRIES + ("http1",)  # POST of plain HTTP is not retried


class FreezeHedged(Freeze):
    key = "hedge-freeze"
    title = "SIGSTOP of one of three for 10 s, deadlines of 2 s, `hedge: { after: 50ms }`"
    figures = (Figure("failed", most=0), Figure("p99 meanwhile", "ms", most=0.1))
    route, without = "hedge: { after: 50ms }", PEERS + ("http1",)

    async def play(self, world):
        victim = world.backends[0]
        async with world.load(timeout=self.timeout) as load:
            victim.freeze()
            frozen = time.monotonic()
            await world.sleep(10)
            thawed = time.monotonic()
            victim.thaw()
            await world.sleep(1)
        return {"failed": failed(load.since(frozen - self.timeout)), "p99 meanwhile": quantile(load.since(frozen, thawed), 0.99)}


class UnavailableRetried(Unavailable):
    figures = (Figure("failed", "%", most=0),)
    route = "retry: {}"

    def __init__(self, share, after_head):
        super().__init__(share, after_head)
        self.key, self.title = f"retry-{self.key}", self.title.replace("no retry", "`retry: {}`")
        self.without = WITHOUT_RETRIES + ("http1",)


class AllFail(Row):
    """A storm of retries would keep backends down."""

    key = "retry-storm"
    title = "all three answer UNAVAILABLE for 30 s, `retry: {}`"
    figures = (Figure("calls at backends, of those made", "%", most=1.2), Figure("failed from 2 s after", most=0))
    route, without = "retry: {}", WITHOUT_RETRIES + ("http1",)

    async def play(self, world):
        async def switch(**switches):
            """How many calls have come since the last time."""
            return sum([len((await backend.set(**switches))["requests"]) for backend in world.backends])

        await switch()
        async with world.load() as load:
            came = await switch(fail=1.0)
            await world.sleep(30)
            came += await switch(fail=0.0)
            until = time.monotonic()
            await asyncio.sleep(5)
        came += await switch()
        return {"calls at backends, of those made": came / len(load.calls), "failed from 2 s after": failed(load.since(until + 2))}


class BlackHoleRetried(BlackHole):
    key = "retry-black-hole"
    title = "packets to and from one of three dropped for 20 s, `retry: { per_attempt_timeout: 500ms }`"
    figures = (Figure("failed", most=0), Figure("back: first answer", "s", most=2))
    route, without = "retry: { per_attempt_timeout: 500ms }", PEERS + ("http1",)


class LateMessage(Row):
    key = "retry-hold"
    title = "a head at once and its message after 5 s, `retry: {}`; medians of five"
    figures = (Figure("a call's head", "ms", most=0.04), Figure("a stream's head", "ms", most=0.01))
    route, without = "retry: {}", PEERS + ("http1", "tls", "health", "workers")

    async def play(self, world):
        calls, streams = [], []
        async with world.switched(*world.backends, delay=0, late=5):
            for channel in world.channels[:5]:
                began = time.monotonic()
                # As a call whose client may see the head before the message.
                call = channel.channel.unary_stream("/bench.Faults/Call")(b"", timeout=20)
                await call.initial_metadata()
                calls.append(time.monotonic() - began)
                call.cancel()
                began = time.monotonic()
                stream = channel.stream()
                await stream.write(b"")
                await stream.initial_metadata()
                streams.append(time.monotonic() - began)
                stream.cancel()
        return {"a call's head": statistics.median(calls), "a stream's head": statistics.median(streams)}


RETRIES = [KillRetried(), FreezeHedged(), *(UnavailableRetried(share, after_head) for share in (0.5, 1.0) for after_head in (False, True)),
           AllFail(), BlackHoleRetried(), LateMessage()]
