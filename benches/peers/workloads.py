"""What is asked of the gateways, and what each may cost beside the best peer."""

import dataclasses
import struct


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    requests: int
    connections: int
    streams: int  # at a time on each connection
    bar: float  # CPU per request against the best peer, at most
    size: int = 100  # bytes of one message
    count: int = 0  # messages of a server stream; 0 is a unary call
    metadata: int = 0  # entries of 40 bytes
    tls: bool = False
    http1: bool = False

    @property
    def path(self):
        return f"/bench.Echo/Stream{self.count}x{self.size}" if self.count else "/bench.Echo/Unary"

    @property
    def request(self):
        """The body: one length-prefixed message."""
        size = 100 if self.count else self.size
        return b"\0" + struct.pack(">I", size) + bytes(size)

    @property
    def answer(self):
        """How many bytes of body come back."""
        return max(1, self.count) * (5 + self.size)

    @property
    def headers(self):
        if self.http1:
            return ["content-type: application/octet-stream"]
        entries = [f"x-metadata-{i:02}: {f'value-{i:02}-':x<40}" for i in range(self.metadata)]
        return ["te: trailers", "content-type: application/grpc", *entries]


KIB16 = 16 << 10
WORKLOADS = [
    Workload("unary 100 B, 10 x 10", 60_000, 10, 10, bar=0.5),
    Workload("unary 100 B, 1 x 100", 60_000, 1, 100, bar=0.35),
    Workload("unary 100 B, 100 x 1", 40_000, 100, 1, bar=0.8),
    Workload("unary 100 B, 1 x 1", 10_000, 1, 1, bar=0.8),
    Workload("unary 16 KiB, 10 x 10", 20_000, 10, 10, bar=0.8, size=KIB16),
    Workload("unary, 20 metadata of 40 B, 10 x 10", 40_000, 10, 10, bar=0.5, metadata=20),
    Workload("server stream 1000 x 100 B, 10 x 1", 2_000, 10, 1, bar=0.7, count=1000),
    Workload("server stream 100 x 16 KiB, 10 x 1", 1_000, 10, 1, bar=0.8, count=100, size=KIB16),
    Workload("TLS, unary 100 B, 10 x 10", 40_000, 10, 10, bar=0.8, tls=True),
    Workload("TLS, unary 16 KiB, 10 x 10", 15_000, 10, 10, bar=0.8, size=KIB16, tls=True),
    Workload("HTTP/1.1, POST 100 B, 100 x 1", 40_000, 100, 1, bar=0.8, http1=True),
]
# The one that is also held against a plain relay of the same bytes.
RELAYED = WORKLOADS[0]
