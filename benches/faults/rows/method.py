"""A rolling upgrade: backends that have a new method, beside some that do not."""

from load import failed
from row import Figure, Row


class Method(Row):
    key = "method"
    title = "calls of a method that two of three lack, then one, then none"
    figures = (Figure("failed", most=0), Figure("of"))
    without = ("http1",)

    async def play(self, world):
        _, second, third = world.backends
        async with world.switched(second, third, lacks_new=True), world.load(method="New") as load:
            await world.sleep(1)
            await second.set(lacks_new=False)
            await world.sleep(3)
            await third.set(lacks_new=False)
            await world.sleep(3)
        return {"failed": failed(load.calls), "of": len(load.calls)}
