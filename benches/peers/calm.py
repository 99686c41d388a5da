"""Runs that the host has disturbed are made again: what it gives to other machines counts as work of whoever waits."""

import pathlib
import sys

TRIES = 5
STOLEN = 0.02  # of the time of the two cores, at most
CORES = ("cpu0", "cpu1")


def calm(run, failed, tries=TRIES):
    """What `run` returns, of the first of some tries that the host left alone; if it left none, of the calmest.
    A run in which requests failed is never made again."""
    best = None
    for _ in range(tries):
        before = times()
        result = run()
        stolen, total = (after - start for after, start in zip(times(), before))
        share = stolen / max(1, total)
        if share <= STOLEN or failed(result):
            return result
        if best is None or share < best[0]:
            best = share, result
    print(f"  disturbed: the host took {best[0]:.0%} of the calmest of {tries} tries", file=sys.stderr, flush=True)
    return best[1]


def times():
    """Ticks that the host took away, and all of them, of the two cores. Without a host to tell of, it took none."""
    lines = [line.split() for line in pathlib.Path("/proc/stat").read_text().splitlines()]
    ticks = [[int(word) for word in words[1:9]] for words in lines if words[0] in CORES]
    return sum(core[7] for core in ticks if len(core) > 7), sum(map(sum, ticks))
