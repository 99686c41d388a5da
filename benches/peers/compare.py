"""Holds the gateway against HAProxy, nghttpx, NGINX and Envoy: CPU per request (user and system), requests
per second, latency, resident memory, failed requests, side by side on this machine.

    benches/peers/run                                # everything: builds the gateway, 20 minutes
    benches/peers/run --quick                        # whether all of it works: three minutes, no figures to keep
    benches/peers/run --workload "10 x 10" --only equipoise --only haproxy
    benches/peers/run --out docs                     # renews docs/benchmarks.md and docs/benchmarks.svg

Writes benchmarks.md and benchmarks.svg, and prints the former. Fails if a request through our gateway failed;
bars that are missed are shown. A figure means something only as a ratio to others of the same run. It needs
two cores and Debian; what it installs, but for four packages of Debian, goes into target/ and .venv/.
"""

import argparse
import dataclasses
import os
import pathlib
import resource
import subprocess
import sys

import fronts
from bars import failures
from chart import svg
from load import OTHERS, TOOLS
from measure import CROWD, OURS, PEERS, RATES, Bench
from report import markdown
from workloads import WORKLOADS

# A crowd of connections, and what else a gateway opens.
DESCRIPTORS = CROWD + 2_000


@dataclasses.dataclass
class Results:
    cpu: dict = dataclasses.field(default_factory=dict)
    rates: dict = dataclasses.field(default_factory=dict)
    idle: dict = dataclasses.field(default_factory=dict)
    crowd: dict = dataclasses.field(default_factory=dict)
    workers: dict = dataclasses.field(default_factory=dict)


def arguments():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default=str(fronts.ROOT / "target/peers/equipoise"), help="a binary (default: builds it)")
    parser.add_argument("--only", action="append", choices=[OURS, *PEERS], help="what to measure, again and again (default: all)")
    parser.add_argument("--workload", default="", help="what to measure: a part of its name, such as TLS, stream, idle, fixed rate, workers")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of requests")
    parser.add_argument("--quick", action="store_true", help="one short repetition: --repeat 1 --scale 0.02")
    parser.add_argument("--out", type=pathlib.Path, default=fronts.ROOT / "target/peers", help="where to write (default: target/peers)")
    options = parser.parse_args()
    if options.repeat < 1 or options.scale <= 0:
        parser.error("--repeat and --scale are more than nothing")
    if options.out.resolve() == fronts.ROOT / "docs" and (options.quick or options.only or options.workload):
        parser.error("docs/benchmarks.md has all figures: without --quick, --only and --workload")
    if options.quick:
        options.repeat, options.scale = 1, 0.02
    return options


def main():
    options = arguments()
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("cores 0 and 1 are needed")
    raise_descriptors()
    ports = fronts.free_ports(3)
    backends = subprocess.Popen(["taskset", "-c", OTHERS, str(TOOLS / "peers-echo"), *map(str, ports)])
    try:
        for port in ports:
            fronts.wait_for((fronts.HOST, port))
        results = measure(Bench(options, ports))
    finally:
        backends.kill()
    if results == Results():
        names = [w.name for w in WORKLOADS] + [f"fixed rate, {rate}" for rate in RATES]
        names += ["idle connections", f"{CROWD} connections", "two workers"]
        sys.exit("\n  ".join([f"--workload {options.workload!r} is no part of:", *names]))
    text = markdown(results, options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "benchmarks.md").write_text(text)
    (options.out / "benchmarks.svg").write_text(svg(results.cpu))
    print(text)
    if failed := failures(results):
        sys.exit(f"{failed} requests failed through {OURS}")


def raise_descriptors():
    """Those of this process, and so of all that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < DESCRIPTORS:
        sys.exit(f"{DESCRIPTORS:,} descriptors are needed: ulimit -Hn says {most:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measure(bench):
    results = Results(cpu=bench.cpu())
    if any(bench.wanted(f"fixed rate, {rate}") for rate in RATES):
        results.rates = bench.rates()
    if bench.wanted("idle connections"):
        results.idle = bench.idle()
    if bench.wanted(f"{CROWD} connections"):
        results.crowd = bench.crowd()
    if bench.wanted("two workers") and OURS in bench.kinds:
        results.workers = bench.workers()
    return results


main()
