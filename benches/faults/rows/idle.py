"""All that can happen, to one gateway, and then nothing."""

import asyncio
import re
import urllib.request

from gateways import HOST
from row import Figure, Row

GAUGES = ["equipoise_open_exchanges", "equipoise_backend_in_flight", "equipoise_backend_open_streams"]
PACE = 0.4
SETTLE = 20  # seconds in which what was gives way to what is


def total(page, name, label=""):
    """Of all series of that name."""
    found = re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)$", page, re.MULTILINE)
    return sum(float(value) for labels, value in found if label in labels)


class Idle(Row):
    key = "idle"
    title = "all of the above that can be, on one gateway; then no clients"
    figures = (Figure("gauges that are not 0", most=0), Figure("client connections", most=0), Figure("backend connections more", most=0),
               Figure("descriptors more", most=0), Figure("threads more", most=0), Figure("CPU more, each second", "ms", most=0.002),
               Figure("resident MiB more", most=8), Figure("panics, and tasks that ended", most=0))
    alone = True
    without = ("tls", "http1", "health", "haproxy", "envoy")

    def __init__(self, rows):
        self.rows = [row for row in rows if not (row.alone or row.turns or row.route)]

    async def play(self, world):
        before = await self.rest(world)
        full, world.pace = world.pace, min(world.pace, PACE)
        for row in self.rows:
            await world.connect()
            await row.play(world)
            await world.disconnect()
        world.pace = full
        after = await self.rest(world)
        more = {name: after[name] - before[name] for name in after}
        return {"gauges that are not 0": after["gauges"], "client connections": after["clients"],
                "backend connections more": max(0, more["backends"]), "descriptors more": max(0, more["descriptors"]),
                "threads more": max(0, more["threads"]), "CPU more, each second": max(0, more["cpu"]),
                "resident MiB more": max(0, more["memory"]), "panics, and tasks that ended": after["mishaps"]}

    async def rest(self, world):
        """What a gateway without clients has, a moment after it had some."""
        if world.every:
            async with world.load():
                await world.sleep(3)
            await world.disconnect()
        await asyncio.sleep(SETTLE * world.pace)
        cpu = world.front.cpu()
        await asyncio.sleep(5)
        cpu = (world.front.cpu() - cpu) / 5
        address = f"http://{HOST}:{world.front.setup.other[1]}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(address).read().decode())
        return {"gauges": sum(total(page, name) != 0 for name in GAUGES), "cpu": cpu, "memory": world.front.rss() / 2**20,
                "clients": total(page, "equipoise_connections", 'side="downstream"'),
                "backends": total(page, "equipoise_connections", 'side="upstream"'),
                "descriptors": total(page, "process_open_fds"), "threads": total(page, "process_threads"),
                "mishaps": total(page, "equipoise_panics_total") + total(page, "equipoise_tasks_ended_total")}
