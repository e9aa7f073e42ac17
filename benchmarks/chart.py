"""The picture: bars on a logarithmic axis, as SVG for light and dark pages."""

import math
from collections.abc import Callable, Sequence
from html import escape

from benchmarks.figures import Row, number

WIDTH, LEFT, RIGHT = 960, 340, 190
"""Widths of the picture, of the labels, and of the figures at the end of a line."""
TOP, LINE, BAR = 64, 26, 12
PLOT = WIDTH - LEFT - RIGHT

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .page { fill: #ffffff; } .small { font-size: 11px; fill: #59636e; }
  .grid { stroke: #d1d9e0; } .one { stroke: #59636e; } .target { stroke: #1f2328; stroke-width: 2; }
  .reached { fill: #1a7f37; } .missed { fill: #bc4c00; } .plain { fill: #818b98; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .page { fill: #0d1117; } .small { fill: #9198a1; }
    .grid { stroke: #3d444d; } .one { stroke: #9198a1; } .target { stroke: #f0f6fc; }
    .reached { fill: #3fb950; } .missed { fill: #db6d28; } .plain { fill: #656c76; }
  }
"""


def chart(rows: Sequence[Row]) -> str:
    """Draw the cost of each row relative to its peer; rows without a peer are left out."""
    drawn = [(row, row.cost) for row in rows if row.cost]
    values = [cost for _, cost in drawn if cost]
    values += [row.target_cost for row, _ in drawn if row.target_cost]
    low = math.floor(math.log10(min([0.1, *values])))
    high = math.ceil(math.log10(max([10, *values])))

    def x(value: float) -> float:
        return LEFT + PLOT * (math.log10(value) - low) / (high - low)

    bottom = TOP + LINE * len(drawn)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 30}">',
        "<title>Cost of Asgard relative to its peers</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{bottom + 30}" rx="6"/>',
        _text(12, 22, "Cost of Asgard relative to its peers"),
        _text(12, 40, "less is better; rates are inverted; | marks the target", "small"),
    ]
    for power in range(low, high + 1):
        at = x(10**power)
        parts.append(_line(at, TOP - 6, at, bottom, "one" if power == 0 else "grid"))
        parts.append(_text(at, bottom + 18, f"{10**power:g} ×", "small", "middle"))
    for place, (row, cost) in enumerate(drawn):
        assert cost is not None
        parts += _bar(row, cost, x, TOP + LINE * place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(row: Row, cost: float, x: Callable[[float], float], top: float) -> list[str]:
    kind = {True: "reached", False: "missed", None: "plain"}[row.reached]
    begin, end = sorted((x(1), x(cost)))
    middle = top + LINE / 2
    peer = row.peer if len(row.peer) <= 34 else f"{row.peer[:33]}…"
    label = f"{number(cost)} ×" + {True: "  met", False: "  not met", None: ""}[row.reached]
    size = f'width="{max(end - begin, 2):.1f}" height="{BAR}"'
    parts = [
        _text(12, middle + 4, row.id),
        _text(LEFT - 12, middle + 4, peer, "small", "end"),
        f'<rect class="{kind}" x="{begin:.1f}" y="{middle - BAR / 2:.1f}" {size} rx="2"/>',
        _text(LEFT + PLOT + 12, middle + 4, label),
    ]
    if row.target_cost:
        at = x(row.target_cost)
        parts.append(_line(at, middle - BAR, at, middle + BAR, "target"))
    return parts


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attribute} text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
