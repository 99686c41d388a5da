"""The clients: calls at a fixed rate over some channels, whatever becomes of those before."""

import asyncio
import dataclasses
import time

import grpc

RATE, CHANNELS = 300, 20
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
OK = "OK"


@dataclasses.dataclass
class Call:
    due: float
    took: float  # seconds from when it was due
    code: str
    server: str  # who answered, if anybody did

    @property
    def ok(self):
        return self.code == OK


class Channel:
    """A connection of its own, of a gRPC client as it is; but it sends nothing again by itself."""

    def __init__(self, target):
        self.channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        self.methods = {name: self.channel.unary_unary(f"/bench.Faults/{name}") for name in ("Call", "New")}
        self.stream = self.channel.stream_stream("/bench.Faults/Stream")

    async def ready(self):
        await asyncio.wait_for(self.channel.channel_ready(), 10)

    async def call(self, method, timeout):
        """The code and who answered."""
        sent = (("x-sent", repr(time.monotonic())),)
        try:
            return OK, (await self.methods[method](b"", timeout=timeout, metadata=sent)).decode()
        except grpc.aio.AioRpcError as error:
            return error.code().name, ""

    async def close(self):
        await self.channel.close()


async def channels(target, skewed, kind=Channel):
    """So many as are to be used, and all there are. A gateway that gives each connection to the worker with the
    fewest has every other one on the same worker; skewed, nine in ten of those that are used are on one of two."""
    every = []
    for _ in range(18 * CHANNELS // 10 if skewed else CHANNELS):
        every.append(kind(target))
        await every[-1].ready()
    if not skewed:
        return every, every
    few = CHANNELS // 10
    return every[::2][:CHANNELS - few] + every[1::2][:few], every


class Load:
    """Calls `RATE` times a second from `start` to `stop`."""

    def __init__(self, channels, method="Call", timeout=None):
        self.channels, self.method, self.timeout = channels, method, timeout
        self.calls, self.open = [], {}

    def start(self):
        self.issuing = asyncio.create_task(self.issue())

    async def issue(self):
        start, count = time.monotonic(), 0
        while True:
            due = start + count / RATE
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.one(self.channels[count % len(self.channels)], due))
            self.open[task] = due
            task.add_done_callback(self.open.pop)
            count += 1

    async def one(self, channel, due):
        code, server = await channel.call(self.method, self.timeout)
        self.calls.append(Call(due, time.monotonic() - due, code, server))

    async def stop(self, patience=25):
        """No further calls; those that have not ended after `patience` seconds have failed."""
        self.issuing.cancel()
        left = dict(self.open)
        if left:
            _, hanging = await asyncio.wait(left, timeout=patience)
            for task in hanging:
                task.cancel()
                self.calls.append(Call(left[task], patience, "HANGING", ""))
        self.calls.sort(key=lambda call: call.due)

    def since(self, start, end=float("inf")):
        """Calls that began then, of those that are over."""
        return [call for call in self.calls if start <= call.due < end]


def failed(calls):
    return sum(not call.ok for call in calls)


def share(calls, server):
    """Of those that were answered, by whom."""
    answered = [call for call in calls if call.ok]
    return sum(call.server == server for call in answered) / len(answered) if answered else 0.0


def quantile(calls, part):
    """Of the time of calls, in seconds."""
    times = sorted(call.took for call in calls)
    return times[min(len(times) - 1, int(part * len(times)))] if times else float("nan")
