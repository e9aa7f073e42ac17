"""What the figures are to reach, by the id of the row that shows it."""

from benchmarks.figures import Target


def _ratio(limit: float, text: str = "") -> Target:
    return Target(text=text or f"≤ {limit:g} ×", limit=limit)


ASKED = {
    "training": _ratio(0.16),
    "model": _ratio(0.3),
    "inferred": _ratio(0.8, "≤ 0.8 ×, aim 0.4 ×"),
    "burst": _ratio(0.2),
    "cold": Target(text="≤ 1.05 ×, or in the spread", limit=1.05, or_within_spread=True),
    "second-job-memory": _ratio(0.5),
    "hello": Target(text="≤ 120 ms", limit=120, of="median"),
    "hello-ray": _ratio(1 / 30, "Ray ≥ 30 × as long"),
    "tiny": Target(text="≥ 12 jobs/s", limit=12, of="median", at_least=True),
    "accepts": Target(text="≥ 300 /s", limit=300, of="median", at_least=True),
    "status": Target(text="≥ 0.5 ×", limit=0.5, at_least=True),
    "status-hanging": Target(text="p99 ≤ 15 ms", limit=15, of="median"),
    "list": _ratio(1.5),
    "memory-idle": Target(text="≤ 75 MB", limit=75, of="median"),
    "memory-10000": _ratio(1.2, "≤ 1.2 × idle"),
    "mlflow-ready": _ratio(0.7),
    "mlflow-memory": _ratio(0.6),
}
"""The table of issue 5, "Faster than running it by hand"."""
BESIDE = {"tiny-ray", "tiny-tsp"}
"""Rows that it wants in the same run, without a limit of their own."""
OTHERS = {
    "env-cached": Target(text="≤ 20 ms", limit=20, of="median"),
    "env-new": _ratio(0.25),
    "training-sandbox": _ratio(1.05),
    "upload-memory": Target(text="≤ 30 MiB", limit=30, of="median"),
}
"""What was asked for before."""
TARGETS = ASKED | OTHERS
