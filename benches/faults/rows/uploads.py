"""Long requests, and a backend that dies in the middle of them: what was let go cannot be sent again."""

import asyncio
import urllib.request

import grpc

from gateways import HOST
from row import Figure, Row
from rows.idle import total

UPLOADS, CHUNK, CHUNKS = 12, 64 << 10, 160


class Uploads(Row):
    key = "retry-uploads"
    title = "12 client streams of 10 MB, kill -9 of one of three in the middle, `retry: {}`"
    figures = (Figure("whole"), Figure("UNAVAILABLE"), Figure("other codes", most=0),
               Figure("counted as too long", most="UNAVAILABLE", least=1), Figure("resident MiB more", most=16))
    route, without = "retry: {}", ("base", "haproxy", "envoy", "http1", "health")

    async def play(self, world):
        before, half, killed = world.front.rss(), asyncio.Semaphore(0), asyncio.Event()
        uploads = [asyncio.create_task(upload(channel, half, killed)) for channel in world.channels[:UPLOADS]]
        for _ in range(UPLOADS):
            await half.acquire()
        more = world.front.rss() - before
        await world.backends[0].kill()
        killed.set()
        codes = await asyncio.gather(*uploads)
        more = max(more, world.front.rss() - before)
        await world.backends[0].start()
        address = f"http://{HOST}:{world.front.setup.other[1]}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(address).read().decode())
        return {"whole": codes.count("OK"), "UNAVAILABLE": codes.count("UNAVAILABLE"),
                "other codes": sum(code not in ("OK", "UNAVAILABLE") for code in codes),
                "counted as too long": total(page, "equipoise_retries_total", 'result="body"'), "resident MiB more": more / 2**20}


async def upload(channel, half, killed):
    """The code of one."""
    call = channel.channel.stream_unary("/bench.Faults/Upload")(timeout=60)
    try:
        for number in range(CHUNKS):
            if number == CHUNKS // 2:
                half.release()
                await killed.wait()
            await call.write(bytes(CHUNK))
        await call.done_writing()
        await call
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    return (await call.code()).name
