"""Runs the server cases of h2spec 2.6.0 (147, strict) and prints `N passed, N failed, N skipped`.

    tests/conformance/h2spec                                  the gateway, with a backend of our own
    tests/conformance/h2spec --front haproxy                  a peer in its place
    tests/conformance/h2spec --address 127.0.0.1:8080 [--tls] something that already runs
    tests/conformance/h2spec --only http2/6.9.1               a section, or one case: http2/6.9.1/3

h2spec itself is a Go program that no package registry ships, so its cases are written anew here,
with its numbers. Like h2spec, a closed connection passes where an error is due; `--exact` also
wants the error code that the RFC names.
"""

import sys
import time

import expect
import fronts
import origin
import wire
from cases import CASES


def connect(options, address):
    conn = wire.Wire.connect(address, tls=options.tls, timeout=options.timeout)
    conn.limit, conn.exact, conn.refill = options.timeout, options.exact, True
    host = f"{address[0]}:{address[1]}"
    conn.request = [(":method", "GET"), (":scheme", "https" if options.tls else "http"), (":path", options.path), (":authority", host)]
    return conn


def body_length(options, address):
    """Bytes in the response to a plain request: some cases need a few."""
    conn = connect(options, address).handshake()
    conn.send(wire.headers(1, conn.encode(conn.request), end=True))
    total = 0
    while (got := conn.recv(options.timeout)) is not None:
        total += len(got.data) if got.kind == wire.DATA else 0
        if got.ends:
            break
    conn.close()
    return total


def run(options, address, length, body):
    conn = connect(options, address)
    conn.body_length = length
    try:
        body(conn)
        return "passed", ""
    except expect.Skipped as reason:
        return "skipped", str(reason)
    except (expect.Failed, AssertionError, TimeoutError) as reason:
        return "failed", str(reason)
    except wire.Closed as reason:
        return "failed", f"the connection closed ({reason})"
    finally:
        conn.close()


def main():
    parser = fronts.arguments(__doc__)
    parser.add_argument("--address", help="test this host:port and start nothing")
    parser.add_argument("--tls", action="store_true", help="connect by TLS")
    parser.add_argument("--path", default="/", help="path that answers 200 with a body")
    parser.add_argument("--only", default="", help="cases whose number starts so")
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds to wait for an answer")
    parser.add_argument("--exact", action="store_true", help="want the error code that the RFC names")
    parser.add_argument("--empty", action="store_true", help="the backend answers without a body")
    parser.add_argument("--quiet", action="store_true", help="print failures and the sum alone")
    options = parser.parse_args()

    if options.address:
        host, port = options.address.rsplit(":", 1)
        address = (host, int(port))
    else:
        backend = origin.Origin(body=b"" if options.empty else b"hello from the origin\n")
        front = fronts.start(options.front, [backend.port], gateway=options.gateway, protocol="http2")
        address = front.tls if options.tls else front.plain
    length = body_length(options, address)
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    started = time.monotonic()
    for section, number, what, body in CASES:
        name = f"{section}/{number}"
        if not (name == options.only or name.startswith(options.only)):
            continue
        outcome, reason = run(options, address, length, body)
        totals[outcome] += 1
        if not options.quiet or outcome == "failed":
            print(f"{outcome:7} {name:16} {what}{': ' + reason if reason else ''}", flush=True)
    print(f"{sum(totals.values())} tests, {totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped"
          f" ({time.monotonic() - started:.1f} s)")
    sys.exit(1 if totals["failed"] else 0)


main()
