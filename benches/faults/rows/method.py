"""A rolling upgrade: backends that have a new method, beside some that do not."""

from load import failed
from row import Figure, Row


class Method(Row):
    key = "method"
    title = "calls of a method that two of three lack, then one, then none"
    figures = (Figure("failed", most=0), Figure("of"))
    without = ("http1",)

    async def play(self, world):
        old = world.backends[1:]
        for backend in old:
            await backend.set(lacks_new=True)
        async with world.load(method="New") as load:
            await world.sleep(1)
            for backend in old:
                await backend.set(lacks_new=False)
                await world.sleep(3)
        return {"failed": failed(load.calls), "of": len(load.calls)}
