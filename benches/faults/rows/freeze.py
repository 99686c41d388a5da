"""SIGSTOP of one of three."""

import asyncio
import time

from load import failed
from row import Figure, Row


class Freeze(Row):
    key = "freeze"
    title = "SIGSTOP of one of three for 10 s, deadlines of 2 s"
    figures = (Figure("failed", most=3), Figure("last call sent there", "s", most=0.7))
    timeout = 2

    async def play(self, world):
        victim = world.backends[0]
        async with world.load(timeout=self.timeout) as load:
            await victim.set()
            victim.freeze()
            frozen = time.monotonic()
            await world.sleep(10)
            thawed = time.monotonic()
            victim.thaw()
            await asyncio.sleep(0.5)  # until it has read what was sent to it
            seen = await victim.set()
            await world.sleep(1)
        sent = [began for began, came in seen["requests"] if frozen < began < thawed <= came]
        return {"failed": failed(load.since(frozen - self.timeout)), "last call sent there": max(sent, default=frozen) - frozen,
                "calls sent there": len(sent)}


class FreezeByTurns(Freeze):
    key = "freeze-by-turns"
    title = "the same under round_robin, deadlines of 20 s"
    figures = (Figure("failed", most=0), Figure("last call sent there", "s", most=0.7), Figure("calls sent there"))
    timeout = 20
    turns = True
