"""The backends from outside: processes that are started, switched, killed, frozen and ended."""

import asyncio
import json
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).parent


class Backend:
    """One backend; it comes back on the same port."""

    def __init__(self, name, tls=None, http1=False, host="127.0.0.1", port=0, prefix=()):
        self.name, self.host, self.port = name, host, port
        self.command = [*prefix, sys.executable, str(HERE / "backend.py"), name, "--host", host]
        self.command += [*(["--tls", tls] if tls else []), *(["--http1"] if http1 else [])]

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    async def start(self):
        """Returns when it listens."""
        pipe = asyncio.subprocess.PIPE
        command = [*self.command, "--port", str(self.port)]
        self.process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 26)
        self.port = int(await self.process.stdout.readline())

    async def set(self, **switches):
        """Sets switches; returns what was seen since the last time."""
        self.process.stdin.write(json.dumps(switches).encode() + b"\n")
        return json.loads(await self.process.stdout.readline())

    def signal(self, number):
        os.kill(self.process.pid, number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    async def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def end(self):
        """In good order; returns when it has ended."""
        self.signal(signal.SIGTERM)
        await self.process.wait()
