"""What operators do on any day: restarts of backends, reloads, changes of weights."""

import asyncio
import os
import signal
import socket

from gateways import HOST, configuration, envoy_endpoints
from load import failed
from row import Figure, Row

NONE_FAILED = (Figure("failed", most=0),)


class Restart(Row):
    key = "restart"
    title = "graceful restart of all three, one after the other"
    figures = NONE_FAILED

    async def play(self, world):
        async with world.load() as load:
            for backend in world.backends:
                await backend.end()
                await backend.start()
                await world.sleep(2)
        return {"failed": failed(load.calls)}


class Reloads(Row):
    key = "reloads"
    title = "20 reloads of the gateway, weights of backends changed each time"
    figures = NONE_FAILED
    without = ("envoy",)  # begins anew, or asks a control plane

    async def play(self, world):
        front = world.front
        async with world.load() as load:
            for reload in range(20):
                if world.column.ours:
                    front.setup.write("gateway.yaml", configuration(world.setup, front.setup, reload + 1))
                os.kill(front.process.pid, signal.SIGHUP if world.column.ours else signal.SIGUSR2)
                await world.sleep(0.5)
            if world.column.ours:
                front.setup.write("gateway.yaml", configuration(world.setup, front.setup))
            await world.sleep(0.5)
        return {"failed": failed(load.calls)}


class Weights(Row):
    key = "weights"
    title = "1,000 changes of weights"
    figures = NONE_FAILED

    async def play(self, world):
        change = {"haproxy": self.haproxy, "envoy": self.envoy}.get(world.column.kind, self.ours)
        async with world.load() as load:
            for number in range(int(1000 * world.pace)):
                await change(world, [1 + (number + i) % 5 for i in range(3)])
            await change(world, [1, 1, 1])
            await world.sleep(0.5)
        return {"failed": failed(load.calls)}

    async def ours(self, world, weights):
        pairs = [f"{backend.address}={weight}" for backend, weight in zip(world.backends, weights)]
        control = f"http://{HOST}:{world.front.setup.other[0]}"
        done = await asyncio.create_subprocess_exec(world.binary, "ctl", "--control", control, "set-weight", "back", *pairs,
                                                    stdout=asyncio.subprocess.DEVNULL)
        if await done.wait():
            raise RuntimeError("a change of weights was refused")

    async def haproxy(self, world, weights):
        changes = "; ".join(f"set weight back/b{i} {weight}" for i, weight in enumerate(weights))
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(world.front.directory / "admin"))
            admin.sendall(changes.encode() + b"\n")
            admin.recv(4096)

    async def envoy(self, world, weights):
        envoy_endpoints(world.setup, world.front.setup, weights)
        await asyncio.sleep(0.01)  # it is not told when it has taken effect
