"""Printing figures alike."""

import statistics
from collections.abc import Sequence


def milliseconds(seconds: Sequence[float]) -> str:
    """Median and 95th percentile."""
    p95 = percentile(seconds, 95)
    return f"median {statistics.median(seconds) * 1000:7.1f} ms, p95 {p95 * 1000:7.1f} ms"


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def line(what: str, figure: str) -> None:
    """One line of a table."""
    print(f"  {what:<52} {figure}", flush=True)
