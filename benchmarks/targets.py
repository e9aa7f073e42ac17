"""What issue 5 asks for, by the id of the row that shows it."""

from benchmarks.figures import Target


def _ratio(limit: float, text: str = "", **more: bool) -> Target:
    return Target(text=text or f"≤ {limit:g} ×", limit=limit, **more)


TARGETS = {
    "training": _ratio(0.16),
    "model": _ratio(0.3),
    "inferred": _ratio(0.8, "≤ 0.8 ×, aim 0.4 ×"),
    "burst": _ratio(0.2),
    "cold": _ratio(1.05, "≤ 1.05 ×, or in the spread", or_within_spread=True),
    "second-job-memory": _ratio(0.5),
    "hello": Target(text="≤ 120 ms", limit=120, of="median"),
    "hello-ray": _ratio(1 / 30, "Ray ≥ 30 × as long"),
    "tiny": Target(text="≥ 12 jobs/s", limit=12, of="median", at_least=True),
    "accepts": Target(text="≥ 300 /s", limit=300, of="median", at_least=True),
    "status": _ratio(0.5, "≥ 0.5 ×", at_least=True),
    "status-hanging": Target(text="p99 ≤ 15 ms", limit=15, of="median"),
    "list": _ratio(1.5),
    "memory-idle": Target(text="≤ 75 MB", limit=75, of="median"),
    "memory-10000": _ratio(1.2, "≤ 1.2 × idle"),
    "mlflow-ready": _ratio(0.7),
    "mlflow-memory": _ratio(0.6),
}
BESIDE = {"tiny-ray", "tiny-tsp"}
"""Rows that the issue wants in the same run without a limit of their own."""
