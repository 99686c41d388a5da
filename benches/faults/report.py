"""The table in Markdown, and where it goes."""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys

from backend import Switches
from gateways import COLUMNS

sys.path.append(str(pathlib.Path(__file__).parent.parent / "peers"))
from machine import VERSIONS, processor, version  # noqa: E402

BROKEN = "broken"
CALM = 0.004  # seconds that a call without a gateway may take more at p99
BEGIN, END = "<!-- faults: made by benches/faults/run -->\n", "<!-- end of faults -->\n"


def cell(figure, rounds):
    """The median, and the worst if it is another and one is worse."""
    values = [found[figure.name] for found in rounds]
    said = figure.write(statistics.median(values))
    worst = max(values) if figure.most is not None else min(values) if figure.least is not None else statistics.median(values)
    return said if said == figure.write(worst) else f"{said} ({figure.write(worst)})"


def table(options, names, figures, medians, missing):
    lines = [["", *[COLUMNS[name].title for name in names], "bound"], ["---"] * (len(names) + 2)]
    for row in options.rows:
        there = [name for name in names if (row.key, name) in figures]
        why = next((why for (key, _), why in missing.items() if key == row.key and why != BROKEN), "")
        lines.append([f"**{row.title}**" + (f" ({why})" if why else ""), *[""] * len(names), ""])
        for figure in () if why else row.figures:
            cells = []
            for name in names:
                if name not in there:
                    cells.append(BROKEN if missing.get((row.key, name)) == BROKEN else "–")
                    continue
                said = cell(figure, figures[row.key, name])
                ours = COLUMNS[name].kind == "equipoise" and not options.quick
                cells.append(f"**{said}**" if ours and figure.missed(medians[row.key, name]) else said)
            lines.append([figure.name, *cells, figure.bound()])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def commit():
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    return said.stdout.strip() or "?"


def build(binary):
    """A version, with the commit that it tells."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip()
    return said.removeprefix("equipoise ") or "?"


def markdown(options, names, figures, medians, missing, noises):
    ours = [f"Equipoise {build(options.gateway)}"] + ([f"version 1: {build(options.base)}"] if "base" in names else [])
    peers = [f"{title} {version(*VERSIONS[title])}" for name, title in (("haproxy", "HAProxy"), ("envoy", "Envoy")) if name in names]
    quick = "**A quick run: it shows that all of it works. No figure of it means anything.**\n\n" if options.quick else ""
    alone = " and ".join(f"{1000 * statistics.median(column):.1f} ms at {name}" for name, column in zip(("the median", "p99"), zip(*noises)))
    late = statistics.median(p99 for _, p99 in noises) - Switches.delay
    busy = "" if late <= CALM else " **The machine had other things to do: what is said of times and of single failures means little.**"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    rounds = "One round" if options.rounds == 1 else f"Medians of {options.rounds} rounds"
    worst = "" if options.rounds == 1 else ", in brackets the worst"
    return (f"{quick}{rounds} of `benches/faults/run` on {datetime.date.today():%-d %B %Y}{worst}; **bold** is out of its bound.\n"
            f"Machine: {os.cpu_count()} cores of {processor()}, {memory:.0f} GiB, Linux {platform.release()}.\n"
            f"Versions: {', '.join(ours + peers)}; the tools' commit {commit()}.\n"
            f"Without a gateway, calls for which a backend takes {1000 * Switches.delay:.0f} ms take {alone}: what these clients, backends and "
            f"this machine add.{busy}\n\n"
            + table(options, names, figures, medians, missing))


def renew(path, text):
    """Puts the text between the marks."""
    page = path.read_text()
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{path} has no marks for the table")
    path.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
