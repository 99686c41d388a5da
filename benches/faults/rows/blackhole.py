"""A backend whose packets get lost: it has a network namespace of its own, in which nft drops all."""

import asyncio
import contextlib
import math
import subprocess
import time

from load import failed
from row import Figure, Impossible, Row

SPACE, OUTSIDE, INSIDE = "equipoise-faults", "10.213.91.1", "10.213.91.2"
DEVICE = "eq-faults"
IN_IT = ["ip", "netns", "exec", SPACE]
SLOW = 0.5  # seconds: a call that took longer has waited for it
DROP = """table inet faults {
  chain in { type filter hook input priority 0; policy drop; }
  chain out { type filter hook output priority 0; policy drop; }
}"""


def run(*command, **more):
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, **more)
    except FileNotFoundError as error:
        raise Impossible(f"needs {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise Impossible(f"{' '.join(command)}: {error.stderr.strip()}") from error


class BlackHole(Row):
    key = "black-hole"
    title = "packets to and from one of three dropped for 20 s, deadlines of 2 s"
    figures = (Figure("failed"), Figure("last call that waited for it", "s", most=1), Figure("back: first answer", "s", most=2))
    alone = True

    @contextlib.contextmanager
    def place(self):
        """A namespace, joined to this one by a pair of devices. Needs root, and nft."""
        self.forget()
        try:
            run("ip", "netns", "add", SPACE)
            run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", "inside", "netns", SPACE)
            run("ip", "addr", "add", f"{OUTSIDE}/30", "dev", DEVICE)
            run("ip", "link", "set", DEVICE, "up")
            run(*IN_IT, "ip", "addr", "add", f"{INSIDE}/30", "dev", "inside")
            run(*IN_IT, "ip", "link", "set", "inside", "up")
            run(*IN_IT, "nft", "list", "ruleset")
            yield [(INSIDE, IN_IT)]
        finally:
            self.forget()

    def forget(self):
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["ip", "link", "del", DEVICE], capture_output=True)
            subprocess.run(["ip", "netns", "del", SPACE], capture_output=True)

    async def play(self, world):
        victim = world.backends[0]
        async with world.load(timeout=2) as load:
            run(*IN_IT, "nft", "-f", "-", input=DROP)
            dropped = time.monotonic()
            await world.sleep(20)
            back = time.monotonic()
            run(*IN_IT, "nft", "delete", "table", "inet", "faults")
            await asyncio.sleep(8)
        waited = [call.due - dropped for call in load.since(dropped - 1, back) if not call.ok or call.took > SLOW]
        answered = [call.due + call.took for call in load.since(back) if call.server == victim.name]
        return {"failed": failed(load.since(dropped - 2)), "last call that waited for it": max(waited, default=0),
                "back: first answer": min(answered, default=math.inf) - back}
