"""Puts a front before backends that behave oddly and asserts what clients see.

    tests/traps/run                     the gateway
    tests/traps/run --front nghttpx     a peer
    tests/traps/run --only 8            one row of the list of traps
"""

import sys
import time

import cases
import fronts
import wire


def run(options, case):
    running = []

    def start(backend):
        running.append(backend)
        front = fronts.start(options.front, [backend.port], gateway=options.gateway, profile=options.profile)
        running.append(front)
        return front, backend
    try:
        case(start)
        return ""
    except cases.Wrong as wrong:
        return str(wrong)
    except (wire.Closed, TimeoutError, OSError, IndexError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for one in running:
            if isinstance(one, fronts.Front) and not one.alive():
                print(f"      the front died:\n{one.log()}")
            one.stop()


def main():
    parser = fronts.arguments(__doc__)
    parser.add_argument("--only", type=int, action="append", help="a row")
    parser.add_argument("--profile", default="internal", choices=["edge", "internal"], help="profile of the gateway's listeners")
    options = parser.parse_args()
    passed = failed = 0
    started = time.monotonic()
    for row, what, case in cases.CASES:
        if options.only and row not in options.only:
            continue
        wrong = run(options, case)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        print(f"{'FAIL' if wrong else 'ok':5}{row:>3}  {what}", flush=True)
        if wrong:
            print(f"           {wrong[:500]}", flush=True)
    print(f"{passed} passed, {failed} failed ({time.monotonic() - started:.0f} s)")
    sys.exit(1 if failed else 0)


main()
