"""Attacks a front by hand-made frames while innocent clients call the same backend through it.

    tests/attacks/run                            all attacks on the gateway, under 5 minutes
    tests/attacks/run --quick                    the main ones at a tenth of the load, under 1 minute
    tests/attacks/run --front haproxy            a peer instead
    tests/attacks/run --only "rapid reset"       attacks whose name has this in it
    tests/attacks/run --list

An attack passes when every call of the innocents succeeds, their p99 is at most twice what it is
without an attack (or 25 ms more), the front's memory grows by at most 64 MiB, the backend sees at
most 250 resets in any second, and the attacker is closed in time where the front must close it.
Everything is on loopback and bounded in count and time.
"""

import sys
import threading
import time

import attack
import control_frames  # noqa: F401  (each module registers its attacks)
import fronts
import header_blocks  # noqa: F401
import innocents
import legitimate  # noqa: F401
import malformed  # noqa: F401
import origin
import resets  # noqa: F401
import slow  # noqa: F401
import wire

MEMORY = 64 << 20
RESETS = 250
SLACK = 25.0


class Watch(threading.Thread):
    """The front's largest resident memory while it runs."""

    def __init__(self, front):
        super().__init__(daemon=True)
        self.front, self.peak, self.done = front, front.rss(), threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.02):
            self.peak = max(self.peak, self.front.rss())

    def stop(self):
        self.done.set()
        self.join()
        return self.peak


def baseline(options, backend, calls):
    front = options.start([backend.port])
    calls.begin(front.plain)
    time.sleep(1.5)
    result = calls.end()
    front.stop()
    if result["failed"]:
        raise SystemExit(f"calls fail without any attack: {result['errors']}\n{front.kind}")
    return result["p99"]


def run(options, one, backend, calls, calm):
    front = options.start([backend.port])
    backend.reset()
    calls.begin(front.plain)
    target = attack.Target(front, backend, options.seconds, options.scale)
    before, cpu, started = front.rss(), front.cpu(), time.monotonic()
    watch = Watch(front)
    target.started = time.monotonic()
    try:
        one.run(target)
    except (wire.Closed, OSError, TimeoutError) as error:
        target.note += f" {type(error).__name__}: {error}"
        target.closed_after = target.closed_after or time.monotonic() - target.started
    time.sleep(max(0.2, started + 1.0 - time.monotonic()))  # enough calls for a p99
    took, cpu = time.monotonic() - started, front.cpu() - cpu
    result = calls.end()
    peak = watch.stop()
    target.close()
    time.sleep(0.1)
    after, seen, alive = front.rss(), backend.stats(), front.alive()
    front.stop()

    reasons = []
    if not alive:
        reasons.append("the front died")
    if result["failed"]:
        reasons.append(f"{result['failed']} innocent calls failed ({result['errors'][0]})")
    if result["p99"] > max(2 * calm, calm + SLACK):
        reasons.append(f"innocents' p99 {result['p99']} ms against {calm} ms")
    if peak - before > MEMORY:
        reasons.append(f"memory grew by {(peak - before) >> 20} MiB")
    if one.must_close and target.closed_after is None and target.verdict is None:
        reasons.append("the attacker was not closed")
    if one.must_close and target.closed_after is not None and target.closed_after > one.close_within and not options.quick:
        reasons.append(f"the attacker was closed after {target.closed_after:.1f} s")
    if seen["reset_rate"] > RESETS:
        reasons.append(f"the backend saw {seen['reset_rate']} resets in a second")
    if target.verdict is False:
        reasons.append("wrong outcome")
    closed = f"{target.closed_after:.2f}" if target.closed_after is not None else "-"
    print(f"{'FAIL' if reasons else 'ok':5}{one.name[:52]:53}{result['ok']:>5}{result['failed']:>5}{result['p99']:>7.1f}"
          f"{before / 2**20:>7.1f}{peak / 2**20:>7.1f}{after / 2**20:>7.1f}{100 * cpu / took:>6.0f}{closed:>7}{seen['reset_rate']:>6}"
          f"  {target.note[:400]}", flush=True)
    for reason in reasons:
        print(f"      {reason}")
    return not reasons


def main():
    parser = fronts.arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="the main attacks, a tenth of the load")
    parser.add_argument("--only", default="", help="attacks whose name has this in it")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--profile", default="edge", choices=["edge", "internal"], help="profile of the gateway's listeners")
    parser.add_argument("--seconds", type=float, default=None, help="the longest one attack lasts")
    options = parser.parse_args()
    chosen = [a for a in attack.ATTACKS if options.only in a.name and (a.quick or not options.quick)]
    if options.list:
        print("\n".join(a.name for a in chosen))
        return
    options.scale = 0.1 if options.quick else 1
    options.seconds = options.seconds or (1.5 if options.quick else 4.0)
    options.start = lambda ports: fronts.start(options.front, ports, gateway=options.gateway, profile=options.profile)

    backend, calls = origin.Apart(), innocents.Innocents()
    started = time.monotonic()
    try:
        calm = baseline(options, backend, calls)
        print(f"without an attack: innocents' p99 {calm} ms")
        print(f"{'':5}{'attack':53}{'ok':>5}{'fail':>5}{'p99':>7}{'RSS':>7}{'peak':>7}{'after':>7}{'CPU%':>6}{'closed':>7}{'RST/s':>6}")
        passed = sum(run(options, one, backend, calls, calm) for one in chosen)
    finally:
        calls.stop()
        backend.stop()
    print(f"{passed} passed, {len(chosen) - passed} failed ({time.monotonic() - started:.0f} s)")
    sys.exit(0 if passed == len(chosen) else 1)


main()
