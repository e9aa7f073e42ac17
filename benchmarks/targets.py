"""Targets by row id."""

from benchmarks.figures import Target


def _ratio(limit: float, text: str = "") -> Target:
    return Target(text=text or f"≤ {limit:g} ×", limit=limit)


ISSUE_TARGETS = {
    "training": _ratio(0.16),
    "model": _ratio(0.3),
    "inferred": _ratio(0.8, "≤ 0.8 ×, ideally 0.4 ×"),
    "burst": _ratio(0.2),
    "cold": Target(text="≤ 1.05 ×, or within the spread", limit=1.05, or_within_spread=True),
    "second-job-memory": _ratio(0.5),
    "hello": Target(text="≤ 120 ms", limit=120, of="median"),
    "hello-ray": _ratio(1 / 30, "≤ 1/30 of Ray"),
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
FURTHER_ROWS = {"tiny-ray", "tiny-tsp"}
"""Further rows of the same run, without a target of their own."""
OTHERS = {
    **{f"built-first-{who}": _ratio(1.0) for who in ("root", "user")},
    **{f"built-third-{who}": _ratio(0.3) for who in ("root", "user")},
    **{f"built-burst-{who}": _ratio(0.5) for who in ("root", "user")},
    "env-cached": Target(text="≤ 20 ms", limit=20, of="median"),
    "env-new": _ratio(0.25),
    "training-sandbox": _ratio(1.05),
    "guard-cost": Target(text="≤ 3.5 ms", limit=3.5, of="median"),
    "upload-memory": Target(text="≤ 30 MiB", limit=30, of="median"),
}
"""Targets of earlier issues."""
TARGETS = ISSUE_TARGETS | OTHERS
