"""What an attack is and how it speaks.

An attack is a function of a `Target`. It attacks for at most `target.seconds`, and tells what it saw:
`target.closed_after` (seconds until the front closed the attacker), `target.wire_bytes`, `target.note`.
"""

import dataclasses
import time

import wire as w

ATTACKS = []


@dataclasses.dataclass
class Attack:
    """`must_close`: the front has to close the attacker. `holds`: memory it holds is set against bytes sent."""

    name: str
    run: object
    must_close: bool = False
    close_within: float = 2.0
    quick: bool = True
    answer: bool = False  # judged by `target.verdict` instead


def attack(name, **options):
    def register(run):
        ATTACKS.append(Attack(name, run, **options))
        return run
    return register


class Target:
    """The front as the attacker sees it."""

    def __init__(self, front, origin, seconds, scale):
        self.front, self.origin, self.seconds, self.scale = front, origin, seconds, scale
        self.address = front.plain
        self.conns = []
        self.closed_after = None
        self.wire_bytes = 0
        self.note = ""
        self.verdict = None
        self.started = time.monotonic()

    def many(self, number):
        """`number` scaled down in quick runs."""
        return max(1, int(number * self.scale))

    def raw(self, **options):
        conn = w.Wire.connect(self.address, **options)
        self.conns.append(conn)
        return conn

    def connect(self, *settings, **options):
        conn = self.raw(**options)
        conn.handshake(*settings)
        return conn

    def request(self, *extra, path="/attack.Attack/Call"):
        return [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "attack.test"),
                ("te", "trailers"), ("content-type", "application/grpc"), *extra]

    def open(self, conn, stream, *extra, end=False):
        return w.headers(stream, conn.encode(self.request(*extra)), end=end)

    def deadline(self):
        return time.monotonic() + self.seconds

    def flood(self, conn, make, number, pause=0.0, every=1):
        """Sends `make(i)` for i below `number` until closed or out of time; notes when it was closed.

        The answers are read and thrown away, so that a full pipe does not hide a front that keeps writing.
        """
        end = self.deadline()
        sent = 0
        try:
            while sent < number and time.monotonic() < end:
                batch = b"".join(make(i) for i in range(sent, min(number, sent + every)))
                conn.send(batch)
                self.wire_bytes += len(batch)
                sent += every
                self.drain(conn)
                if pause:
                    time.sleep(pause)
            while time.monotonic() < min(end, time.monotonic() + 2) and self.drain(conn):
                time.sleep(0.02)
        except w.Closed:
            self.closed_after = time.monotonic() - self.started
        self.note = self.note or f"{min(sent, number)} sent"
        return sent

    def drain(self, conn):
        """Reads what is there without waiting; raises `Closed`."""
        conn.sock.settimeout(0)
        try:
            chunk = conn.sock.recv(1 << 20)
        except (BlockingIOError, TimeoutError):
            return True
        except OSError as error:
            raise w.Closed(str(error)) from error
        finally:
            conn.sock.settimeout(5)
        if not chunk:
            raise w.Closed("end of file")
        conn.buffer += chunk
        self.seen(conn)
        return True

    def seen(self, conn):
        """Takes whole frames off the buffer and keeps the code of a GOAWAY."""
        while (got := conn.recv(0.0)) is not None if len(conn.buffer) >= 9 and \
                len(conn.buffer) >= 9 + int.from_bytes(conn.buffer[:3], "big") else False:
            if got.kind == w.GOAWAY:
                self.note = f"GOAWAY {got.code}"

    def wait_closed(self, conns, limit):
        """How many of the connections are closed, waiting at most `limit` seconds for all."""
        end = time.monotonic() + limit
        waiting = list(conns)
        while waiting and time.monotonic() < end:
            for conn in list(waiting):
                try:
                    self.drain(conn)
                except w.Closed:
                    waiting.remove(conn)
            time.sleep(0.05)
        if not waiting:
            self.closed_after = time.monotonic() - self.started
        return len(conns) - len(waiting)

    def answer(self, frames, stream=1, timeout=2.0, settings=()):
        """What a connection that sends these frames gets on the stream: ('status', n), ('rst', code), ('goaway', code),
        ('closed', 0) or ('nothing', 0)."""
        conn = self.connect(*settings)
        try:
            conn.send(*(frames(conn) if callable(frames) else frames))
            end = time.monotonic() + timeout
            while (left := end - time.monotonic()) > 0:
                got = conn.recv(left)
                if got is None:
                    break
                if got.kind == w.GOAWAY and got.code:
                    return "goaway", got.code
                if got.kind == w.RST_STREAM and got.stream == stream:
                    return "rst", got.code
                if got.kind == w.HEADERS and got.stream == stream:
                    fields = dict(conn.decode(got.data))
                    return "status", int(fields.get(b":status", b"0"))
        except w.Closed:
            return "closed", 0
        finally:
            conn.close()
        return "nothing", 0

    def close(self):
        for conn in self.conns:
            conn.close()
