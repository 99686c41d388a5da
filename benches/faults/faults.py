"""What callers see when backends die, freeze, slow down, fail and are restarted: 300 calls a second over 20 channels
to three backends, whatever becomes of the calls before. Figures are medians of the rounds, with the worst where it differs.

    benches/faults/run                                  # all rows, three rounds; builds the gateway
    benches/faults/run --quick                          # whether all of it works: one short round, no figures to keep
    benches/faults/run --only kill --only unavailable   # some rows, by what they begin with
    benches/faults/run --columns equipoise,haproxy      # some gateways
    benches/faults/run --base OLD --out docs            # beside an older gateway; renews the table of docs/resilience.md

Prints the table, and exits with 1 if a figure of ours misses its bound (not with --quick). Every run has a gateway and backends of its own.
The row `black-hole` needs root and nft. benches/faults/stall.py is about clients that do not read.
"""

import argparse
import asyncio
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
import traceback

import fronts
from setups import ENVOY

import report
from gateways import COLUMNS
from load import quantile
from report import BROKEN
from row import Impossible
from rows import ROWS
from world import World

QUICK = 0.25


def arguments():
    parser = argparse.ArgumentParser(prog="benches/faults/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default=str(fronts.ROOT / "target/faults/equipoise"), help="a binary (default: builds it)")
    parser.add_argument("--base", help="the binary of an older version, to stand beside it")
    parser.add_argument("--only", action="append", metavar="ROW", help=f"a row, or what several begin with: {', '.join(row.key for row in ROWS)}")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="default: %(default)s; those that are not installed are left out")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one round, faults a quarter as long")
    parser.add_argument("--out", type=pathlib.Path, help="a folder whose resilience.md gets the table, between its marks")
    options = parser.parse_args()
    if unknown := set(options.columns.split(",")) - COLUMNS.keys():
        parser.error(f"no such columns: {', '.join(sorted(unknown))}")
    if options.out and (options.quick or options.only):
        parser.error("docs/resilience.md has all rows and whole figures: without --quick and --only")
    if options.quick:
        options.rounds = 1
    options.rows = [row for row in ROWS if not options.only or row.key.startswith(tuple(options.only))]
    if not options.rows:
        parser.error("--only: no such row")
    return options


def columns(options):
    """Those that can be measured here."""
    there = {"haproxy": shutil.which("haproxy"), "envoy": ENVOY.exists(), "base": options.base}
    wanted = options.columns.split(",")
    for name in (name for name in wanted if not there.get(name, True)):
        say(f"{name} is left out: {'no --base' if name == 'base' else 'not installed'}")
    return [name for name in wanted if there.get(name, True)]


def say(what):
    print(f"  {what}", file=sys.stderr, flush=True)


async def measure(row, name, options, directory):
    column = COLUMNS[name]
    binary = options.base if column.kind == "base" else options.gateway
    pace = QUICK if options.quick else 1
    with row.place() as hosts:
        async with World(column, binary, directory, pace, row.turns, hosts, route=row.route) as world:
            found = await row.play(world)
            if not world.front.alive():
                raise RuntimeError(f"the gateway has died:\n{world.front.log()}")
            return found


async def noise(directory):
    """The p50 and p99 of calls that go to a backend itself, in seconds."""
    async with World(COLUMNS["equipoise"], None, directory, direct=True) as world:
        async with world.load() as load:
            await asyncio.sleep(5)
    return quantile(load.calls, 0.5), quantile(load.calls, 0.99)


async def measure_all(options, names, directory):
    """Figures by row and column, each a list of rounds; why some are missing; the times without a gateway of each round."""
    figures, missing, noises = {}, {}, []
    for turn in range(options.rounds):
        noises.append(await noise(directory))
        say(f"round {turn + 1} of {options.rounds}: without a gateway p50 {1000 * noises[-1][0]:.1f} ms, p99 {1000 * noises[-1][1]:.1f} ms")
        for row in options.rows:
            for name in names[:: -1 if turn % 2 else 1]:
                if name in row.without or (row.key, name) in missing:
                    continue
                began = time.monotonic()
                try:
                    found = await measure(row, name, options, directory)
                except Impossible as error:
                    missing[row.key, name] = str(error)
                    say(f"{row.key:28} {name:10} left out: {error}")
                    continue
                except Exception:  # of one gateway, which shall not cost the figures of the others
                    missing[row.key, name] = BROKEN
                    say(f"{row.key:28} {name:10} {BROKEN}:\n{traceback.format_exc()}")
                    continue
                figures.setdefault((row.key, name), []).append(found)
                shown = ", ".join(f"{figure.name} {figure.write(found[figure.name])}" for figure in row.figures)
                say(f"{row.key:28} {name:10} {shown} ({time.monotonic() - began:.0f} s)")
    return figures, missing, noises


def missed(options, medians, missing):
    """What of ours is broken, or out of bounds, in words."""
    for row in options.rows:
        for (key, name), why in missing.items():
            if key == row.key and why == BROKEN and COLUMNS[name].kind == "equipoise":
                yield f"{row.title}, {COLUMNS[name].title}: {BROKEN}"
        for (key, name), found in medians.items():
            if key == row.key and COLUMNS[name].kind == "equipoise" and not options.quick:
                for figure in row.figures:
                    if figure.missed(found):
                        yield f"{row.title}, {COLUMNS[name].title}: {figure.name} {figure.write(found[figure.name])}, to be {figure.bound()}"


def main():
    options = arguments()
    names = columns(options)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        fronts.certificate(directory)
        figures, missing, noises = asyncio.run(measure_all(options, names, str(directory)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    medians = {at: {name: statistics.median(found[name] for found in rounds) for name in rounds[0]} for at, rounds in figures.items()}
    text = report.markdown(options, names, figures, medians, missing, noises)
    print(text)
    if options.out:
        report.renew(options.out / "resilience.md", text)
    if wrong := list(missed(options, medians, missing)):
        sys.exit("\n".join(["out of bounds:", *wrong]))


main()
