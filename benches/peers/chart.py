"""The chart of the README: CPU per request, the best peer's being 1, as SVG. It follows the reader's light or dark theme."""

import math
from xml.sax.saxutils import escape

from bars import best, cpu_ratio
from measure import NAMES, OURS, PEERS

WIDTH, TOP, ROW, FOOT = 900, 104, 34, 46
LEFT, RIGHT = 312, 800  # of the plot
MOST = 4  # where the axis ends; what lies beyond stands behind it, in figures

# Shapes of about ten units around (0, 0), so that nobody needs the colours to tell them apart.
SHAPES = {
    "haproxy": '<circle r="5.2" class="mark haproxy"/>',
    "nghttpx": '<rect x="-4.6" y="-4.6" width="9.2" height="9.2" class="mark nghttpx"/>',
    "nginx": '<path d="M0-5.8 5.8 4.6H-5.8Z" class="mark nginx"/>',
    "envoy": '<path d="M0-6.4 6.4 0 0 6.4-6.4 0Z" class="mark envoy"/>',
}

STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .faint { fill: #59636e; font-size: 12px } .value { font-weight: 700 }
.paper { fill: #ffffff; stroke: #d1d9e0 } .grid { stroke: #d1d9e0 } .one { stroke: #59636e; stroke-width: 1.5 }
.span { stroke: #afb8c1; stroke-width: 2 } .mark { stroke: #ffffff; stroke-width: 1.2 } .ours { fill: #0969da }
.haproxy { fill: #bc4c00 } .nghttpx { fill: #1a7f37 } .nginx { fill: #8250df } .envoy { fill: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 } .paper { fill: #0d1117; stroke: #3d444d } .grid { stroke: #2a3038 }
  .one { stroke: #9198a1 } .span { stroke: #57606a } .mark { stroke: #0d1117 } .ours { fill: #4493f8 }
  .haproxy { fill: #f0883e } .nghttpx { fill: #3fb950 } .nginx { fill: #ab7df8 } .envoy { fill: #9198a1 }
}"""


def svg(cpu):
    """`cpu` is {workload: {gateway: Figures}}."""
    rows = [(name, row) for name, row in cpu.items() if OURS in row and not math.isnan(cpu_ratio(row))]
    bottom = TOP + ROW * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + FOOT}" role="img">',
             "<title>CPU time per request beside other gateways</title>", f"<style>{STYLE}</style>",
             f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{bottom + FOOT - 1}" rx="8" class="paper"/>',
             text(24, 34, "CPU time per request, best other gateway = 1", "title"),
             text(24, 55, "One worker each, medians of interleaved runs, those without a failed request. Shorter is better.", "faint"),
             legend(80), axis(bottom)]
    parts += [workload(name, row, TOP + ROW * i + ROW / 2) for i, (name, row) in enumerate(rows)]
    return "\n".join([*parts, "</svg>\n"])


def x(ratio):
    return round(LEFT + (RIGHT - LEFT) * min(ratio, MOST) / MOST, 1)


def text(at, y, words, kind="", anchor="start"):
    return f'<text x="{at}" y="{y}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def shape(peer, at, y):
    return f'<g transform="translate({at} {y})">{SHAPES[peer]}</g>'


def legend(y):
    parts, at = [f'<rect x="24" y="{y - 6}" width="22" height="12" rx="2" class="ours"/>', text(52, y + 4.5, NAMES[OURS])], 146
    for peer in PEERS:
        parts += [shape(peer, at, y), text(at + 12, y + 4.5, NAMES[peer])]
        at += 96
    return "\n".join(parts)


def axis(bottom):
    lines = []
    for tick in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4):
        lines.append(f'<path d="M{x(tick)} {TOP - 4}V{bottom}" class="{"one" if tick == 1 else "grid"}"/>')
        lines.append(text(x(tick), bottom + 18, f"{tick:g}", "faint", "middle"))
    lines.append(text(x(1), bottom + 34, "best other gateway", "faint", "middle"))
    return "\n".join(lines)


def workload(name, row, y):
    """Our bar, and the peers as marks on a line."""
    least = best(row, lambda figures: figures.cpu)
    ours = row[OURS].cpu / least
    peers = sorted((row[peer].cpu / least, peer) for peer in PEERS if peer in row and not row[peer].failed)
    parts = [text(LEFT - 58, y + 4.5, name, anchor="end"), text(LEFT - 12, y + 4.5, f"{ours:.2f}", "value", "end"),
             f'<path d="M{x(1)} {y}H{x(peers[-1][0])}" class="span"/>',
             f'<rect x="{LEFT}" y="{y - 9}" width="{x(ours) - LEFT}" height="18" rx="2" class="ours"/>']
    parts += [shape(peer, x(ratio), y) for ratio, peer in peers if ratio <= MOST]
    beyond = [(ratio, peer) for ratio, peer in peers if ratio > MOST]
    for i, (ratio, peer) in enumerate(beyond):
        parts += [shape(peer, RIGHT + 12 + 44 * i, y), text(RIGHT + 21 + 44 * i, y + 4.5, f"{ratio:.1f}", "faint")]
    return "\n".join(parts)
