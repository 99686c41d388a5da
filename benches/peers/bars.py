"""What the gateway is held to, and whether it is."""

import dataclasses
import math

from measure import CROWD, OURS, PEERS, RELAY, failed
from workloads import RELAYED, WORKLOADS


@dataclasses.dataclass(frozen=True)
class Bar:
    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def ok(self):
        return self.measured <= self.limit


def best(row, field):
    """The least of `field` among the peers that failed no request."""
    values = [field(row[peer]) for peer in PEERS if peer in row and not failed(row[peer])]
    return min(values, default=math.nan)


def ratio(row, field):
    """Ours to the best peer's; none where a request of ours failed, or of every peer."""
    return math.nan if failed(row[OURS]) else field(row[OURS]) / best(row, field)


def cpu_ratio(row):
    return ratio(row, lambda figures: figures.cpu)


def p99_ratio(row):
    return ratio(row, lambda figures: figures["p99"])


def compared(row):
    """Whether ours was measured beside a peer."""
    return OURS in row and any(peer in row for peer in PEERS)


def bars(results):
    """Of what was measured, in the order of the tables. One that could not be told is not met."""
    found = []
    for w in WORKLOADS:
        if compared(row := results.cpu.get(w.name, {})):
            found.append(Bar(f"CPU against the best peer: {w.name}", cpu_ratio(row), w.bar))
    if OURS in (row := results.cpu.get(RELAYED.name, {})):
        found.append(Bar(f"CPU against a plain relay: {RELAYED.name}", row[OURS].cpu / row[RELAY].cpu, 3))
    for rate, row in results.rates.items():
        if compared(row):
            found.append(Bar(f"p99 against the best peer: {rate:,} requests/s", p99_ratio(row), 1))
    if OURS in results.idle:
        found.append(Bar("memory per idle HTTP/2 connection", results.idle[OURS]["bytes"] / 1024, 10, " KiB"))
    if OURS in results.crowd:
        found.append(Bar(f"failed requests with {CROWD:,} connections", results.crowd[OURS]["failed"], 0))
    if results.workers:
        found.append(Bar("CPU per request, 2 workers against 1", results.workers[2].cpu / results.workers[1].cpu, 1.1))
    return found


def failures(results):
    """Requests that failed through our gateway, in all tables."""
    tables = [*results.cpu.values(), *results.rates.values(), results.idle, results.crowd]
    ours = [row[OURS] for row in tables if OURS in row] + list(results.workers.values())
    return sum(failed(figures) for figures in ours)
