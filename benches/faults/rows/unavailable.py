"""One of three that answers UNAVAILABLE."""

import time

from load import failed
from row import Figure, Row


class Unavailable(Row):
    figures = (Figure("failed", "%", most=0.005), Figure("failed after 5 s", most=0))

    def __init__(self, share, after_head):
        self.share, self.after_head = share, after_head
        form = "after the head" if after_head else "trailers-only"
        self.key = f"unavailable-{share:.0%}-{'after-head' if after_head else 'trailers-only'}".replace("%", "")
        self.title = f"one of three answers {share:.0%} of its calls with UNAVAILABLE, {form}, for 10 s, no retry".replace("%", " %")
        if after_head:
            self.without = ("http1",)

    async def play(self, world):
        async with world.load() as load:
            switches = {"fail": self.share, "after_head": self.after_head}
            async with world.switched(world.backends[0], **switches) as since:
                await world.sleep(10)
                until = time.monotonic()
        calls = load.since(since, until)
        return {"failed": failed(calls) / len(calls), "failed after 5 s": failed(load.since(since + 5 * world.pace, until))}


UNAVAILABLE = [Unavailable(share, after_head) for share in (0.5, 1.0) for after_head in (False, True)]
