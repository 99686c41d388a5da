"""One of three that takes 200 ms longer."""

from load import failed, quantile, share
from row import Figure, Row


class Slow(Row):
    key = "slow"
    title = "one of three slowed by 200 ms for 10 s"
    figures = (Figure("its share", "%", most=0.03), Figure("p99 of all calls", "ms", most=0.05), Figure("failed", most=0))

    async def play(self, world):
        victim = world.backends[0]
        async with world.load() as load, world.switched(victim, delay=0.205) as since:
            await world.sleep(10)
        calls = load.since(since)
        return {"its share": share(calls, victim.name), "p99 of all calls": quantile(calls, 0.99), "failed": failed(calls)}
