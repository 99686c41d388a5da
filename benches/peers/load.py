"""The two clients: h2load, as fast as answers come, and peers-steady, at a fixed rate."""

import dataclasses
import pathlib
import re
import subprocess
import tempfile

import fronts

# The gateway has core 0 for itself; clients and backends share the other.
GATEWAY, OTHERS = "0", "1"
TOOLS = fronts.ROOT / "target/peers/release"
PATIENCE = 300  # seconds


@dataclasses.dataclass(frozen=True)
class Load:
    failed: int
    rate: float  # requests per second
    p50: float  # microseconds, of the requests that did not fail
    p99: float


def percentile(ordered, part):
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def h2load(front, workload, requests, cores=OTHERS, connections=None):
    """Loads the front, and says what came of it. A request whose answer is not whole has failed."""
    address = front.tls if workload.tls else front.plain
    connections = connections or workload.connections
    with tempfile.TemporaryDirectory() as directory:
        body, log = pathlib.Path(directory, "body"), pathlib.Path(directory, "log")
        body.write_bytes(workload.request)
        command = ["taskset", "-c", cores, "h2load", "-n", str(requests), "-c", str(connections), "-m", str(workload.streams),
                   "-w", "20", "-W", "24", "-d", str(body), "--log-file", str(log), "--tls13-ciphers=TLS_AES_128_GCM_SHA256",
                   *(["--h1"] if workload.http1 else []), *[part for header in workload.headers for part in ("-H", header)],
                   f"{'https' if workload.tls else 'http'}://{address[0]}:{address[1]}{workload.path}"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout
        except subprocess.TimeoutExpired:
            said = ""
        rows = [line.split("\t") for line in log.read_text().splitlines()] if said else []
    times = sorted(int(took) for _, status, took in rows if status == "200")

    def number(pattern):
        found = re.search(pattern, said)
        return float(found[1]) if found else 0.0

    whole = number(r"traffic: .*headers.*, .*\((\d+)\) data") // workload.answer
    good = min(number(r"(\d+) succeeded"), number(r"status codes: (\d+) 2xx"), whole)
    return Load(requests - int(good), number(r"([\d.]+) req/s"), percentile(times, 0.5), percentile(times, 0.99))


class Steady:
    """Connections that have each made a call, and make more at a fixed rate when told to."""

    def __init__(self, front, connections, rate=0, seconds=0):
        self.process = subprocess.Popen(["taskset", "-c", OTHERS, str(TOOLS / "peers-steady"), str(front.plain[1]), str(connections),
                                         str(rate), str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.failed = int(self.process.stdout.readline().split()[1])  # of the first calls

    def load(self):
        """What came of the calls: made, failed, and the times in microseconds p50, p99, p99.9."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        return {name: int(value) for name, value in zip(words[::2], words[1::2])}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
