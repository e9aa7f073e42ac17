"""A figure: values of Asgard, values of its peer, and a target."""

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target of a figure."""

    text: str
    """The target in words."""
    limit: float
    of: str = "ratio"
    """`ratio` of the medians, Asgard's to its peer's, or the `median` of Asgard alone."""
    at_least: bool = False
    """The limit is a lower bound."""
    or_within_spread: bool = False
    """Also met if Asgard's median is between the peer's smallest and largest value."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Both sides of a figure, interleaved in one run.

    There is one value per repetition, in `unit`.
    """

    id: str
    what: str
    unit: str
    peer: str
    asgard: Sequence[float]
    peer_values: Sequence[float] = ()
    more_is_better: bool = False
    target: Target | None = None
    remark: str = ""
    """A note on the measurement, or the reason why there is no peer."""
    measured_at: str = ""
    """RFC 3339; filled in by the run."""
    load: Sequence[float] = ()
    """The machine's load average before and after the benchmark; filled in by the run."""
    quick: bool = False
    """Measured with the short form; filled in by the run."""

    @property
    def ratio(self) -> float | None:
        """Asgard's median divided by the peer's; None without a peer, or if its median is 0."""
        peer_values = statistics.median(self.peer_values) if self.peer_values else 0.0
        return statistics.median(self.asgard) / peer_values if peer_values else None

    @property
    def cost(self) -> float | None:
        """The ratio, inverted for rates, so that less is always better."""
        return self._as_cost(self.ratio)

    @property
    def target_cost(self) -> float | None:
        """The cost at which the target is just met; None without target or peer."""
        if self.target is None or self.ratio is None:
            return None
        limit = self.target.limit
        ratio = limit if self.target.of == "ratio" else limit / statistics.median(self.peer_values)
        return self._as_cost(ratio)

    def _as_cost(self, ratio: float | None) -> float | None:
        return 1 / ratio if ratio and self.more_is_better else ratio

    @property
    def reached(self) -> bool | None:
        """True if the target is met; None without a target, or without a peer to compare with."""
        if (target := self.target) is None:
            return None
        median = statistics.median(self.asgard)
        value = median if target.of == "median" else self.ratio
        if value is None:
            return None
        if value >= target.limit if target.at_least else value <= target.limit:
            return True
        return (
            target.or_within_spread
            and bool(self.peer_values)
            and min(self.peer_values) <= median <= max(self.peer_values)
        )

    def as_json(self) -> dict[str, Any]:
        """The row, with ratio and verdict for readers of the JSON."""
        values = {
            side: [float(f"{value:.5g}") for value in getattr(self, side)]
            for side in ("asgard", "peer_values")
        }
        judged = {"ratio": self.ratio, "reached": self.reached}
        return asdict(self) | values | {"load": list(self.load)} | judged

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        target = Target(**row["target"]) if row["target"] else None
        fields = {k: v for k, v in row.items() if k not in {"ratio", "reached", "target"}}
        return cls(target=target, **fields)


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def load_average() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)


# --- as text --------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A number with two or three significant digits."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 0.1:
        return f"{value:.{1 if abs(value) >= 10 else 2}f}"
    return f"{value:.2g}"


def shown(values: Sequence[float], unit: str) -> str:
    """The median, with its unit."""
    return f"{number(statistics.median(values))} {unit}" if values else "—"


def spread(values: Sequence[float]) -> str:
    """The smallest and largest value, and the number of values."""
    if not values:
        return "—"
    if len(values) == 1:
        return "once"
    return f"{number(min(values))} to {number(max(values))}, {len(values)} ×"


def verdict(row: Row) -> str:
    """The verdict on the target, in a word."""
    return {True: "yes", False: "NO", None: "" if row.target is None else "?"}[row.reached]


def table(rows: Sequence[Row], *, head: bool = True) -> str:
    """Rows for a terminal, each with its description below."""
    titles = f"{'':<22} {'Asgard':>12} {'peer':>12} {'ratio':>7}  {'target':<26} {'met':<8}spread"
    lines = [titles] if head else []
    for row in rows:
        ratio = "—" if row.ratio is None else number(row.ratio)
        target = row.target.text if row.target else ""
        lines.append(
            f"{row.id:<22} {shown(row.asgard, row.unit):>12} {shown(row.peer_values, row.unit):>12}"
            f" {ratio:>7}  {target:<26} {verdict(row):<8}"
            f"{spread(row.asgard)}  |  {spread(row.peer_values)}"
        )
        lines.append(f"    {row.what}; compared with {row.peer}")
        if row.remark:
            lines.append(f"    {row.remark}")
    return "\n".join(lines)
