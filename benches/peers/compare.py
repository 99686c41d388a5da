"""Measures CPU microseconds per request (user and system, whole process tree) of gateways side by side.

    benches/peers/run --gateway target/release/equipoise
    benches/peers/run --only haproxy --only nghttpx --repeat 5

Each gateway has one worker on core 0; h2load and three echo backends share core 1. Every repetition
visits every gateway, medians count. A figure means something only as a ratio to peers of the same
run, and only if no request failed.
"""

import argparse
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile

import fronts

# name, requests, connections, streams, path
WORKLOADS = [
    ("unary 100 B, 10 x 10", 200000, 10, 10, "/bench.Echo/Unary"),
    ("unary 100 B, 1 x 100", 200000, 1, 100, "/bench.Echo/Unary"),
    ("server stream 1000 x 100 B, 10 x 1", 3000, 10, 1, "/bench.Echo/Stream"),
]


def load(front, body, requests, connections, streams, path):
    """Runs h2load and gives CPU microseconds per request and how many requests failed."""
    before = front.cpu()
    done = subprocess.run(["taskset", "-c", "1", "h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams), "-w", "20", "-W", "24",
                           "-d", body, "-H", "te: trailers", "-H", "content-type: application/grpc",
                           f"http://{front.plain[0]}:{front.plain[1]}{path}"], capture_output=True, text=True, timeout=120)
    cpu = front.cpu() - before
    succeeded = int((re.search(r"(\d+) succeeded", done.stdout) or [0, 0])[1])
    answered = int((re.search(r"status codes: (\d+) 2xx", done.stdout) or [0, 0])[1])
    return 1e6 * cpu / requests, requests - min(succeeded, answered)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", help="the gateway's binary")
    parser.add_argument("--only", action="append", choices=["equipoise", "haproxy", "nghttpx"], help="what to measure (default: all)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of requests")
    options = parser.parse_args()
    kinds = options.only or (["equipoise"] if options.gateway else []) + ["haproxy", "nghttpx"]
    if os.cpu_count() < 2:
        sys.exit("two cores are needed")

    ports = [fronts.free_port() for _ in range(3)]
    backends = subprocess.Popen(["taskset", "-c", "1", str(fronts.ROOT / "target/peers/release/peers-echo"), *map(str, ports)])
    try:
        for port in ports:
            fronts.wait_for((fronts.HOST, port))
        compare(options, kinds, ports)
    finally:
        backends.kill()


def compare(options, kinds, ports):
    running = {kind: fronts.start(kind, ports, gateway=options.gateway, profile="internal", streams=1000, pin=0) for kind in kinds}
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + struct.pack(">I", 100) + bytes(100))
        body.flush()
        for front in running.values():
            load(front, body.name, 2000, 10, 10, WORKLOADS[0][4])  # warm up
        figures = {(w[0], k): [] for w in WORKLOADS for k in kinds}
        failures = dict.fromkeys(figures, 0)
        for _ in range(options.repeat):
            for name, requests, connections, streams, path in WORKLOADS:
                for kind, front in running.items():
                    cpu, failed = load(front, body.name, max(1, int(requests * options.scale)), connections, streams, path)
                    figures[name, kind].append(cpu)
                    failures[name, kind] += failed
    print(f"CPU us per request, medians of {options.repeat}")
    print(f"{'workload':38}" + "".join(f"{kind:>20}" for kind in kinds) + (f"{'ours / best peer':>20}" if "equipoise" in kinds else ""))
    for name, *_ in WORKLOADS:
        medians = {kind: statistics.median(figures[name, kind]) for kind in kinds}
        cells = [f"{medians[k]:.1f}" + (f" ({failures[name, k]} failed)" if failures[name, k] else "") for k in kinds]
        ratio = ""
        if "equipoise" in kinds and len(kinds) > 1:
            ratio = f"{medians['equipoise'] / min(m for k, m in medians.items() if k != 'equipoise'):.2f}"
        print(f"{name:38}" + "".join(f"{cell:>20}" for cell in cells) + f"{ratio:>20}")
    for front in running.values():
        front.stop()
    if any(failures.values()):
        sys.exit("requests failed")


main()
