"""One figure: what Asgard took, what its peer took, and what is asked for."""

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked of a figure."""

    text: str
    """As a person reads it."""
    limit: float
    of: str = "ratio"
    """`ratio` of the medians, Asgard's to its peer's, or the `median` of Asgard alone."""
    at_least: bool = False
    """The limit is a lower one."""
    or_within_spread: bool = False
    """Also reached when Asgard's median lies between the peer's smallest and largest value."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Both sides of a figure, measured in turns in one run.

    Values are what each repetition gave, in `unit`.
    """

    id: str
    what: str
    unit: str
    peer: str
    asgard: Sequence[float]
    theirs: Sequence[float] = ()
    more_is_better: bool = False
    target: Target | None = None
    remark: str = ""
    """What a reader must know of how it was measured, or why there is no peer."""
    measured_at: str = ""
    """RFC 3339; filled in by the run."""
    load: Sequence[float] = ()
    """The machine's load average before its benchmark, and after it; filled in by the run."""
    quick: bool = False
    """Measured by the short form, which is for trying; filled in by the run."""

    @property
    def ratio(self) -> float | None:
        """Asgard's median to the peer's; None where the peer is missing, or took nothing."""
        theirs = statistics.median(self.theirs) if self.theirs else 0.0
        return statistics.median(self.asgard) / theirs if theirs else None

    @property
    def cost(self) -> float | None:
        """The ratio such that less is better, whatever the unit."""
        return self._as_cost(self.ratio)

    @property
    def cost_asked_for(self) -> float | None:
        """The cost at which the target is just reached; None without target or peer."""
        if self.target is None or self.ratio is None:
            return None
        limit = self.target.limit
        ratio = limit if self.target.of == "ratio" else limit / statistics.median(self.theirs)
        return self._as_cost(ratio)

    def _as_cost(self, ratio: float | None) -> float | None:
        return 1 / ratio if ratio and self.more_is_better else ratio

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none, or nothing to compare to."""
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
            and bool(self.theirs)
            and min(self.theirs) <= median <= max(self.theirs)
        )

    def as_json(self) -> dict[str, Any]:
        """The row, with what follows from it for those who read the JSON."""
        values = {
            side: [float(f"{value:.5g}") for value in getattr(self, side)]
            for side in ("asgard", "theirs")
        }
        judged = {"ratio": self.ratio, "reached": self.reached}
        return asdict(self) | values | {"load": list(self.load)} | judged

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        target = Target(**row["target"]) if row["target"] else None
        given = {k: v for k, v in row.items() if k not in {"ratio", "reached", "target"}}
        return cls(target=target, **given)


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


# --- as text ------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A figure with two or three digits that count."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 0.1:
        return f"{value:.{1 if abs(value) >= 10 else 2}f}"
    return f"{value:.2g}"


def shown(values: Sequence[float], unit: str) -> str:
    """The median, with its unit."""
    return f"{number(statistics.median(values))} {unit}" if values else "—"


def spread(values: Sequence[float]) -> str:
    """From the smallest to the largest, and how many."""
    if not values:
        return "—"
    if len(values) == 1:
        return "once"
    return f"{number(min(values))} to {number(max(values))}, {len(values)} ×"


def verdict(row: Row) -> str:
    """Whether the target is reached, in a word."""
    return {True: "yes", False: "NO", None: "" if row.target is None else "?"}[row.reached]


def table(rows: Sequence[Row], *, head: bool = True) -> str:
    """Rows for a terminal, one line each, what they are beneath."""
    titles = (
        f"{'':<22} {'Asgard':>12} {'peer':>12} {'ratio':>7}  {'asked for':<26} {'reached':<8}spread"
    )
    lines = [titles] if head else []
    for row in rows:
        ratio = "—" if row.ratio is None else number(row.ratio)
        asked = row.target.text if row.target else ""
        lines.append(
            f"{row.id:<22} {shown(row.asgard, row.unit):>12} {shown(row.theirs, row.unit):>12}"
            f" {ratio:>7}  {asked:<26} {verdict(row):<8}"
            f"{spread(row.asgard)}  |  {spread(row.theirs)}"
        )
        lines.append(f"    {row.what}, beside {row.peer}")
        if row.remark:
            lines.append(f"    {row.remark}")
    return "\n".join(lines)
