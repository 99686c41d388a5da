"""Long requests, and a backend that dies in the middle of them: what was let go cannot be sent again."""

import asyncio
import concurrent.futures
import threading
import urllib.request

import grpc

from gateways import HOST
from load import OPTIONS
from row import Figure, Row
from rows.idle import total

UPLOADS, CHUNK, CHUNKS = 12, 64 << 10, 160


class Uploads(Row):
    key = "retry-uploads"
    title = "12 client streams of 10 MB, kill -9 of one of three in the middle, `retry: {}`"
    figures = (Figure("whole"), Figure("UNAVAILABLE"), Figure("other codes", most=0),
               Figure("counted as too long", most="UNAVAILABLE", least=1), Figure("resident MiB more", most=32))
    route, without = "retry: {}", ("base", "haproxy", "envoy", "http1", "health")

    async def play(self, world):
        # Not asyncio's calls: to those a write that comes too late is an error of its own, INTERNAL.
        before, half, killed = world.front.rss(), threading.Semaphore(0), threading.Event()
        target = f"{HOST}:{world.front.plain[1]}"
        threads, loop = concurrent.futures.ThreadPoolExecutor(UPLOADS + 1), asyncio.get_running_loop()
        uploads = [loop.run_in_executor(threads, upload, target, half, killed) for _ in range(UPLOADS)]
        for _ in range(UPLOADS):
            await loop.run_in_executor(threads, half.acquire)
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


def upload(target, half, killed):
    """The code of one."""
    def chunks():
        for number in range(CHUNKS):
            if number == CHUNKS // 2:
                half.release()
                killed.wait()
            yield bytes(CHUNK)

    with grpc.insecure_channel(target, options=OPTIONS) as channel:
        try:
            channel.stream_unary("/bench.Faults/Upload")(chunks(), timeout=60)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"
