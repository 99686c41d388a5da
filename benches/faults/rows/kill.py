"""kill -9 of one of three, and its return."""

import asyncio
import math
import time

from load import failed, share
from row import Figure, Row

WINDOW = 0.5  # seconds in which a share is taken
FAIR = 0.25  # of three


def fair(calls, server, start, end):
    """Seconds until a window begins in which the server has its share."""
    at = start
    while at + WINDOW <= end:
        if share([call for call in calls if at <= call.due < at + WINDOW], server) >= FAIR:
            return at - start
        at += 0.02
    return math.inf


class Kill(Row):
    key = "kill"
    title = "kill -9 of one of three, calls of 10 ms, no retry"
    figures = (Figure("failed", most="in flight when it died"), Figure("in flight when it died"),
               Figure("failed of those begun 50 ms later", most=0),
               Figure("back: first answer", "s", most=0.2), Figure("back: a fair share", "s", most=1))

    async def play(self, world):
        victim = world.backends[0]
        async with world.switched(*world.backends, delay=0.010), world.load() as load:
            killed, in_flight = time.monotonic(), len(load.open)
            await victim.kill()
            await world.sleep(4)
            await victim.start()
            back = time.monotonic()
            await victim.set(delay=0.010)
            await asyncio.sleep(8)
            end = time.monotonic()
        answered = [call.due + call.took for call in load.since(back - 1) if call.server == victim.name]
        first = min((at for at in answered if at > back), default=math.inf)
        return {"failed": failed(load.since(killed - 1, back)), "in flight when it died": in_flight,
                "failed of those begun 50 ms later": failed(load.since(killed + 0.05)),
                "back: first answer": first - back,
                "back: a fair share": fair(load.calls, victim.name, first, end) if math.isfinite(first) else math.inf}
