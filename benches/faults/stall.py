#!/usr/bin/env python3
"""Readers that stall, with innocent calls beside them: what the others pay for them.

    benches/faults/stall.py GATEWAY...            each binary by turns, medians of five rounds
    benches/faults/stall.py --rounds 9 OLD NEW
    benches/faults/stall.py --echo PATH           where `peers-echo` is (benches/peers/tools)

100 connections each ask for two responses of 1.6 MB and read nothing. Three kinds of them: `wide` grant
as much as they can by HTTP/2, so that only the socket holds up; `default` say nothing of windows; `shut`
have windows of 0. Per kind and binary: p99 of the innocents without and with them (ms), by how much the
process grew (MiB), CPU that the burst took beyond that of the innocents (ms).
"""

import argparse
import os
import pathlib
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
READERS, CALLS_A_SECOND, SECONDS = 100, 500, 1.5
KINDS = {"wide": ((1 << 31) - 1, (1 << 31) - 65536), "default": (None, None), "shut": (0, None)}
TICK = os.sysconf("SC_CLK_TCK")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def request(path):
    def literal(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"a"),
              (b"te", b"trailers"), (b"content-type", b"application/grpc")]
    return b"".join(literal(*field) for field in fields)


def connect(port, window=None, connection=None):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    settings = struct.pack(">HI", 4, window) if window is not None else b""
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, 1, 0)
                 + (frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", connection)) if connection else b""))
    return sock


def innocents(port):
    """Calls at a steady rate for as long as stdin says, and how long they took (ms)."""
    sock = connect(port, connection=1 << 30)
    reader = sock.makefile("rb")
    head, stream = request(b"/e.E/Unary"), 1

    def call():
        nonlocal stream
        sock.sendall(frame(HEADERS, 4, stream, head) + frame(DATA, 1, stream, bytes(4) + b"\x64" + bytes(100)))
        while True:
            length, kind, flags, at = struct.unpack(">3sBBI", reader.read(9))
            reader.read(int.from_bytes(length, "big"))
            if at == stream and kind == HEADERS and flags & 1:
                break
        stream += 2

    for _ in range(200):
        call()
    for line in sys.stdin:
        end, times = time.monotonic() + float(line), []
        print("begun", flush=True)
        due = time.monotonic()
        while (started := time.monotonic()) < end:
            call()
            times.append(time.monotonic() - due)  # of when it was to be made: who waits is not forgotten
            due = max(due + 1 / CALLS_A_SECOND, started)
            time.sleep(max(0, due - time.monotonic()))
        times.sort()
        print(1000 * times[int(0.99 * len(times))], flush=True)


class Gateway:
    def __init__(self, binary, backend, workers):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        self.file.write(f"""workers: {workers}
listeners: [ {{ address: "127.0.0.1:{self.port}", profile: internal }} ]
control: {{ address: "127.0.0.1:0" }}
metrics: {{ address: "127.0.0.1:0" }}
services: {{ e: {{ endpoints: [ {{ address: "127.0.0.1:{backend}" }} ] }} }}
routes: [ {{ service: e }} ]
""")
        self.file.flush()
        self.process = subprocess.Popen([binary, "serve", "--config", self.file.name], stderr=subprocess.DEVNULL)
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.05)

    def rss(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4 / 1024

    def cpu(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / TICK

    def stop(self):
        self.process.kill()
        self.process.wait()


def run(binary, backend, kind, options):
    gateway = Gateway(binary, backend, options.workers)
    calls = subprocess.Popen([sys.executable, __file__, "--innocents", str(gateway.port)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)

    def begin():
        calls.stdin.write(f"{SECONDS}\n")
        calls.stdin.flush()
        calls.stdout.readline()

    try:
        readers = [connect(gateway.port, *KINDS[kind]) for _ in range(READERS)]
        cpu = gateway.cpu()
        begin()
        calm = float(calls.stdout.readline())
        calm_cpu, grown = gateway.cpu() - cpu, gateway.rss()
        cpu = gateway.cpu()
        ask = b"".join(frame(HEADERS, 5, stream, request(b"/e.E/Stream100x16384")) for stream in (1, 3))
        begin()
        time.sleep(0.1)
        for reader in readers:
            reader.sendall(ask)
        beside = float(calls.stdout.readline())
        return calm, beside, gateway.rss() - grown, 1000 * (gateway.cpu() - cpu - calm_cpu)
    finally:
        calls.kill()
        gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gateways", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--echo", default=str(ROOT / "target/peers/release/peers-echo"))
    parser.add_argument("--innocents", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.innocents:
        return innocents(options.innocents)
    with socket.create_server(("127.0.0.1", 0)) as free:
        backend = free.getsockname()[1]
    echo = subprocess.Popen([options.echo, str(backend)])
    time.sleep(0.2)
    try:
        print(f"{'':34}{'kind':9}{'calm':>7}{'beside':>8}{'MiB':>7}{'CPU ms':>8}")
        for kind in options.kind or KINDS:
            seen = {binary: [] for binary in options.gateways}
            for turn in range(options.rounds):
                for binary in options.gateways[:: 1 if turn % 2 else -1]:
                    seen[binary].append(run(binary, backend, kind, options))
            for binary, rounds in seen.items():
                calm, beside, grown, cpu = (statistics.median(column) for column in zip(*rounds))
                print(f"{binary[-32:]:34}{kind:9}{calm:7.1f}{beside:8.1f}{grown:7.1f}{cpu:8.0f}", flush=True)
    finally:
        echo.kill()


if __name__ == "__main__":
    main()
