"""The results in Markdown: docs/benchmarks.md."""

import math

from bars import bars, best, cpu_ratio, p99_ratio
from calm import STOLEN, TRIES
from machine import describe
from measure import CROWD, CROWD_RATE, IDLE, NAMES, OURS, RATE_CONNECTIONS

METHOD = f"""\
One worker each, alone on core 0; the load generator and three echo backends share core 1. Every repetition
visits every gateway, in another order each time, each run warms up first, and medians count. On a virtual
machine a run (but those of idle connections and of the crowd) from which the host took more than {STOLEN:.0%} of the two
cores' time is made again, at most {TRIES - 1} times; the calmest counts. A figure counts only as a ratio to others of
the same run: absolute times move by a factor of two between machines and hours, and CPU time is steadier
than throughput, as the generator shares the machine. CPU time is that of the whole process tree, from
/proc: the sum to the nanosecond, parted in user and system by ticks.

Each gateway is set up as its users would for gRPC ([setups.py](../tests/harness/setups.py)): HTTP/2 and kept
connections to the backends, 1,000 streams a connection, windows of 1 MiB and 16 MiB (but HAProxy's, whose streams
fail with them), no access log, no request ids. Equipoise runs as it comes: `p2c_ewma`, all limits, all metrics, and `flow_pause`, without which
streams of small messages cost half as much again. The others balance by turns. `10 x 10` is
ten connections with ten requests each under way at a time. TLS is 1.3 with AES-128-GCM in front, clear text
behind. HTTP/1.1 is spoken in front, and
behind what costs a gateway less: HTTP/2, but for NGINX, which cannot, and for HAProxy and Envoy, whose answers h2load
then takes for failed. The plain relay copies bytes between one client's and
one backend's connection; it parses nothing and balances nothing but connections.

A request has failed if its status is not 200 or its body is not whole. A peer with failures is shown, and is
not the best of a row."""


def markdown(results, options):
    parts = [describe(options), "" if options.quick else summary(results), by_workload(results), rates(results), idle(results), crowd(results),
             workers(results), "## Method\n\n" + METHOD + "\n", detail(results)]
    return "# Benchmarks\n\n" + "\n".join(part for part in parts if part)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def figure(value):
    """Three digits that count."""
    if math.isnan(value):
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def mishaps(count):
    return f" ({count:,} failed)" if count else ""


def milliseconds(row):
    return f"{row['p50'] / 1e3:.2f} / {row['p99'] / 1e3:.2f} / {row['p99.9'] / 1e3:.2f}{mishaps(row['failed'])}"


def summary(results):
    rows = [[bar.what, figure(bar.measured) + bar.unit, figure(bar.limit) + bar.unit, "yes" if bar.ok else "**no**"] for bar in bars(results)]
    return "## What it is held to\n\n" + table(["figure", "measured", "at most", "ok"], rows) if rows else ""


def by_workload(results):
    """CPU microseconds per request: a row a workload, a column a gateway."""
    if not results.cpu:
        return ""
    kinds = list(next(iter(results.cpu.values())))
    rows = []
    for name, row in results.cpu.items():
        cells = [figure(row[kind].cpu) + mishaps(row[kind].failed) if kind in row else "–" for kind in kinds]
        rows.append([name, *cells, f"**{figure(cpu_ratio(row))}**" if OURS in row else "–"])
    return ("## CPU microseconds per request\n\n![CPU per request beside other gateways](benchmarks.svg)\n\n"
            + table(["workload", *[NAMES[kind] for kind in kinds], "Equipoise / best peer"], rows))


def rates(results):
    if not results.rates:
        return ""
    kinds = list(next(iter(results.rates.values())))
    rows = []
    for rate, row in results.rates.items():
        ratio = p99_ratio(row) if OURS in row else math.nan
        rows.append([f"{rate:,} requests/s", *[milliseconds(row[kind]) for kind in kinds], f"**{figure(ratio)}**"])
    return (f"## Latency at a fixed rate\n\nMilliseconds p50 / p99 / p99.9 over {RATE_CONNECTIONS} connections, with Poisson arrivals that "
            "do not wait for answers; a request's time\ncounts from when it was due, so a gateway that stalls pays for all that it kept waiting.\n\n"
            + table(["rate", *[NAMES[kind] for kind in kinds], "p99 / best peer"], rows))


def idle(results):
    if not results.idle:
        return ""
    rows = [[NAMES[kind], f"{row['bytes'] / 1024:.1f} KiB{mishaps(row['failed'])}"] for kind, row in results.idle.items()]
    return (f"## Memory per idle HTTP/2 connection\n\n{IDLE:,} connections that have made one request each, one after the other; the growth of resident memory.\n\n"
            + table(["gateway", "per connection"], rows))


def crowd(results):
    if not results.crowd:
        return ""
    rows = [[NAMES[kind], f"{row['made']:,}", f"{row['failed']:,}", figure(row["cpu"]), f"{row['p50'] / 1e3:.2f}", f"{row['p99'] / 1e3:.2f}",
             f"{row['rss'] / 2**20:,.0f}"] for kind, row in results.crowd.items()]
    return (f"## {CROWD:,} connections\n\nAll open at a time, {CROWD_RATE:,} requests a second over them by turns.\n\n"
            + table(["gateway", "requests", "failed", "CPU µs per request", "p50 ms", "p99 ms", "resident MiB"], rows))


def workers(results):
    if not results.workers:
        return ""
    rows = [[str(n), figure(f.cpu) + mishaps(f.failed), f"{f.rate:,.0f}"] for n, f in results.workers.items()]
    return ("## Two workers\n\nEquipoise alone. Gateway, generator and backends may all use both cores, and each worker has ten connections\n"
            "with ten requests under way: what a second worker costs the first, not how much faster two are, as\n"
            "two cores are also all that generator and backends have.\n\n"
            + table(["workers", "CPU µs per request", "requests/s"], rows))


def detail(results):
    rows = []
    for name, row in results.cpu.items():
        least = best(row, lambda f: f.cpu)
        for kind, f in row.items():
            rows.append([name, NAMES[kind], figure(f.user), figure(f.system), figure(f.cpu / least), f"{f.rate:,.0f}",
                         f"{f.p50 / 1e3:.2f}", f"{f.p99 / 1e3:.2f}", f"{f.rss / 2**20:.1f}", f"{f.failed:,}"])
    return "## All figures\n\n" + table(["workload", "gateway", "user µs", "system µs", "CPU / best peer", "requests/s", "p50 ms", "p99 ms",
                                         "resident MiB", "failed"], rows) if rows else ""
