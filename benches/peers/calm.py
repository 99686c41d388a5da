"""Runs that the host has disturbed are made again: what it gives to other machines counts as work of whoever waits."""

import pathlib

TRIES = 5
STOLEN = 0.02  # of the time of all cores, at most


def calm(run, failed):
    """What `run` returns, of the first of some tries that the host left alone; if it left none, of the calmest.
    A run in which requests failed is never made again."""
    best = None
    for _ in range(TRIES):
        before = times()
        result = run()
        stolen, total = (after - start for after, start in zip(times(), before))
        share = stolen / max(1, total)
        if share <= STOLEN or failed(result):
            return result
        if best is None or share < best[0]:
            best = share, result
    return best[1]


def times():
    """Ticks that the host took away, and all of them, of all cores."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)
