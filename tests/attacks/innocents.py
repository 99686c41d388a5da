"""Innocent clients: grpcio calls at a steady rate on a connection of their own, in a process of their own."""

import json
import subprocess
import sys
import threading
import time

RATE = 100


class Innocents:
    """`begin(address)` starts the calls, `end()` stops them and gives ok, failed, p50, p99 (ms) and the errors."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, address):
        self.process.stdin.write(f"{address[0]}:{address[1]}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def end(self):
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait()


def work(call, stop, times, errors):
    import grpc
    payload = bytes(100)
    due = time.monotonic()
    while not stop.is_set():
        started = time.monotonic()
        try:
            assert call(payload, timeout=5) == payload
            times.append(time.monotonic() - started)
        except (grpc.RpcError, AssertionError) as error:
            errors.append(f"{error.code().name}: {error.details()}" if isinstance(error, grpc.RpcError) else "wrong echo")
        due = max(due + 2 / RATE, time.monotonic() - 0.1)
        stop.wait(max(0, due - time.monotonic()))


def main():
    import grpc
    while (line := sys.stdin.readline()):
        channel = grpc.insecure_channel(line.strip(), options=[("grpc.use_local_subchannel_pool", 1)])
        call = channel.unary_unary("/innocent.Innocent/Echo", request_serializer=bytes, response_deserializer=bytes)
        stop, times, errors = threading.Event(), [], []
        try:
            call(b"first", timeout=5)
        except grpc.RpcError as error:
            errors.append(error.code().name)
        workers = [threading.Thread(target=work, args=(call, stop, times, errors)) for _ in range(2)]
        for worker in workers:
            worker.start()
        print("begun", flush=True)
        sys.stdin.readline()
        stop.set()
        for worker in workers:
            worker.join()
        channel.close()
        times.sort()
        at = lambda q: round(1000 * times[min(len(times) - 1, int(q * len(times)))], 1) if times else 0
        print(json.dumps({"ok": len(times), "failed": len(errors), "p50": at(0.5), "p99": at(0.99), "errors": errors[:3]}), flush=True)


if __name__ == "__main__":
    main()
