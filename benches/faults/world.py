"""Three backends, a gateway and its clients: what a row plays with."""

import asyncio
import contextlib
import dataclasses
import time

import fronts

from backend import Switches
from backends import Backend
from gateways import Setup
from load import Load, channels
from plain import PlainChannel

HOST = "127.0.0.1"
USUAL = dataclasses.asdict(Switches())


class World:
    """`async with World(column, binary, directory) as world`. `pace` shortens whatever may be shorter; `hosts` are those of
    backends elsewhere; `direct` is without a gateway; `route` has more keys of our route."""

    def __init__(self, column, binary, directory, pace=1.0, turns=False, hosts=(), direct=False, route=""):
        self.column, self.binary, self.directory = column, binary, directory
        self.pace, self.turns, self.hosts, self.direct, self.route = pace, turns, hosts, direct, route
        self.backends, self.front, self.every = [], None, []

    async def __aenter__(self):
        try:
            await self.begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def begin(self):
        tls = self.directory if self.column.tls else None
        for number in range(3):
            host, prefix = self.hosts[number] if number < len(self.hosts) else (HOST, ())
            self.backends.append(Backend(f"b{number}", tls, self.column.http1, host, prefix=prefix))
        await asyncio.gather(*(backend.start() for backend in self.backends))
        addresses = [backend.address for backend in self.backends]
        self.setup = Setup(self.column, self.binary, addresses, self.directory, self.turns, self.route)
        if not self.direct:
            self.front = fronts.start(self.column.kind, [], command=self.setup.command)
        await self.connect()

    async def connect(self):
        kind = {"kind": PlainChannel} if self.column.http1 else {}
        target = f"{HOST}:{self.front.plain[1]}" if self.front else self.backends[0].address
        self.channels, self.every = await channels(target, self.column.workers > 1, **kind)

    async def disconnect(self):
        for channel in self.every:
            await channel.close()
        self.every = []

    async def __aexit__(self, *_):
        await self.disconnect()
        if self.front:
            self.front.stop()
        for backend in self.backends:
            with contextlib.suppress(AttributeError, ProcessLookupError):
                await backend.kill()

    async def sleep(self, seconds):
        """Of how long a fault lasts, or is watched."""
        await asyncio.sleep(seconds * self.pace)

    @contextlib.asynccontextmanager
    async def load(self, **how):
        """Calls, from two seconds before; at the end none is open."""
        load = Load(self.channels, **how)
        load.start()
        try:
            await self.sleep(2)
            yield load
        finally:
            await load.stop()

    @contextlib.asynccontextmanager
    async def switched(self, *backends, **switches):
        """Backends with some switches set, for a while; since when."""
        for backend in backends:
            await backend.set(**switches)
        try:
            yield time.monotonic()
        finally:
            for backend in backends:
                await backend.set(**{name: USUAL[name] for name in switches})
