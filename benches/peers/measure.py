"""The measurements. Each that compares visits every gateway in each repetition, in another order each time."""

import contextlib
import dataclasses
import random
import statistics
import sys
import time

import fronts
from calm import TRIES, calm
from load import GATEWAY, Steady, h2load
from workloads import RELAYED, WORKLOADS

OURS = "equipoise"
PEERS = ["haproxy", "nghttpx", "nginx", "envoy"]
RELAY = "relay"
NAMES = {OURS: "Equipoise", "haproxy": "HAProxy", "nghttpx": "nghttpx", "nginx": "NGINX", "envoy": "Envoy", RELAY: "TCP relay"}
IDLE = 3_000
CROWD = 16_500
CROWD_RATE = 3_000
RATES = (2_000, 5_000)
RATE_CONNECTIONS = 20
RATE_TURNS, RATE_SECONDS = 5, 3  # many short ones: a tail is the host's as often as the gateway's


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one gateway at one workload: per request in microseconds of CPU, and what h2load saw."""
    user: float
    system: float
    rate: float
    p50: float
    p99: float
    rss: float
    failed: int

    @property
    def cpu(self):
        return self.user + self.system


def failed(figures):
    return figures["failed"] if isinstance(figures, dict) else figures.failed


def median(runs):
    """The run made of the medians, but with all failures."""
    fields = [field.name for field in dataclasses.fields(runs[0])]
    merged = {name: statistics.median(getattr(run, name) for run in runs) for name in fields}
    return dataclasses.replace(runs[0], **merged | {"failed": sum(run.failed for run in runs)})


class Bench:
    """What all measurements share: the options and the backends."""

    def __init__(self, options, backends):
        self.options, self.backends = options, backends
        self.kinds = options.only or [OURS, *PEERS]
        self.tries = 1 if options.quick else TRIES

    def start(self, kind, **more):
        return fronts.start(kind, self.backends, gateway=self.options.gateway, profile="internal", streams=1000,
                            **{"cores": GATEWAY} | more)

    @contextlib.contextmanager
    def fronts(self, kinds, **more):
        """All of `kinds`, running."""
        running = {kind: self.start(kind, **more) for kind in kinds}
        try:
            yield running
        finally:
            for front in running.values():
                front.stop()

    def wanted(self, name):
        return self.options.workload.lower() in name.lower()

    def requests(self, workload):
        return max(workload.connections * workload.streams, int(workload.requests * self.options.scale))

    def seconds(self, full):
        return max(1, full * min(1, self.options.scale))

    def cpu(self):
        """{workload: {gateway: Figures}}"""
        table = {}
        for protocol in ("grpc", "http1"):
            workloads = [w for w in WORKLOADS if w.http1 == (protocol == "http1") and self.wanted(w.name)]
            if workloads:
                with self.fronts([*self.kinds, RELAY], protocol=protocol) as running:
                    table |= self.side_by_side(workloads, running)
        return table

    def side_by_side(self, workloads, running):
        runs = {(w.name, kind): [] for w in workloads for kind in running if not (w.tls and kind == RELAY)}
        for turn in range(self.options.repeat):
            for w in workloads:
                say(f"{turn + 1}/{self.options.repeat} {w.name}")
                for kind in shuffled(running):
                    if (w.name, kind) in runs:
                        runs[w.name, kind].append(one(running[kind], w, self.requests(w), self.tries))
        return {w.name: {kind: median(runs[w.name, kind]) for kind in running if (w.name, kind) in runs} for w in workloads}

    def rates(self):
        """{rate: {gateway: {failed, p50, p99, p99.9}}}"""
        table = {rate: {kind: [] for kind in self.kinds} for rate in RATES}
        with self.fronts(self.kinds) as running:
            for front in running.values():
                h2load(front, RELAYED, 2000)  # so that there are connections to the backends
            turns = 1 if self.options.quick else RATE_TURNS * self.options.repeat
            for turn in range(turns):
                for rate in RATES:
                    say(f"{turn + 1}/{turns} fixed rate, {rate} requests/s")
                    for kind in shuffled(running):
                        table[rate][kind].append(steady(running[kind], rate, self.seconds(RATE_SECONDS), self.tries))
        return {rate: {kind: medians(runs) for kind, runs in row.items()} for rate, row in table.items()}

    def idle(self):
        """{gateway: {failed, bytes}}: memory of one idle connection."""
        table = {}
        for kind in self.kinds:
            say(f"idle connections, {kind}")
            with self.fronts([kind]) as running:
                front = running[kind]
                h2load(front, RELAYED, 2000)
                before = front.rss()
                with Steady(front, IDLE) as client:
                    time.sleep(self.seconds(5))
                    table[kind] = {"failed": client.failed, "bytes": (front.rss() - before) / IDLE}
        return table

    def crowd(self):
        """{gateway: {made, failed, p50, p99, rss, cpu}}: many connections with traffic on them."""
        table = {}
        for kind in self.kinds:
            say(f"{CROWD:,} connections, {kind}")
            with self.fronts([kind]) as running:
                front = running[kind]
                with Steady(front, CROWD, CROWD_RATE, self.seconds(20)) as client:
                    before = front.cpu()
                    row = client.load()
                    cpu = 1e6 * (front.cpu() - before) / max(1, row["made"])
                    table[kind] = row | {"failed": row["failed"] + client.failed, "rss": front.rss(), "cpu": cpu}
        return table

    def workers(self):
        """{1: Figures, 2: Figures}: ours. Everything may use both cores, and each worker has ten connections."""
        runs = {1: [], 2: []}
        with contextlib.ExitStack() as stack:
            running = {n: stack.enter_context(self.fronts([OURS], workers=n, cores="0,1"))[OURS] for n in runs}
            for turn in range(self.options.repeat):
                say(f"{turn + 1}/{self.options.repeat} workers")
                for n in shuffled(running):
                    front = running[n]
                    runs[n].append(one(front, RELAYED, n * self.requests(RELAYED), self.tries, cores="0,1", connections=10 * n))
        return {n: median(figures) for n, figures in runs.items()}


def medians(runs):
    row = {name: statistics.median(run[name] for run in runs) for name in ("p50", "p99", "p99.9")}
    return row | {"failed": sum(run["failed"] for run in runs)}


def shuffled(running):
    """In another order each time: who always comes first after a pause might have it worse."""
    return random.sample(list(running), len(running))


def steady(front, rate, seconds, tries):
    """One run at a fixed rate: failed, p50, p99, p99.9."""
    def run():
        with Steady(front, RATE_CONNECTIONS, rate, seconds) as client:
            row = client.load()
            return row | {"failed": row["failed"] + client.failed}
    return calm(run, failed, tries)


def one(front, workload, requests, tries, **more):
    """One run, after a tenth of one to warm up."""
    def run():
        before = front.times()
        load = h2load(front, workload, requests, **more)
        seconds, user, system = (after - start for after, start in zip(front.times(), before))
        cpu = 1e6 * seconds / requests
        part = user / max(1, user + system)
        return Figures(cpu * part, cpu * (1 - part), load.rate, load.p50, load.p99, front.rss(), load.failed)
    h2load(front, workload, max(workload.connections, requests // 10), **more)
    return calm(run, failed, tries)


def say(what):
    print(f"  {what}", file=sys.stderr, flush=True)
