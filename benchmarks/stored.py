"""Stored figures: one row per line, and the machine they were measured on."""

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from benchmarks.figures import Row

DOCUMENTED = Path(__file__).parent / "results" / "bench.json"
"""The figures in docs/benchmarks.md."""


@dataclass(frozen=True)
class Results:
    """Rows in table order, and the machine of the last run."""

    machine: Mapping[str, str]
    rows: Sequence[Row]

    @classmethod
    def read(cls, file: Path) -> Self:
        stored = json.loads(file.read_text("utf-8"))
        return cls(stored["machine"], [Row.from_json(row) for row in stored["rows"]])

    def write(self, file: Path) -> None:
        """Write one row per line, so that a diff shows which rows were measured again."""
        rows = ",\n".join(json.dumps(row.as_json(), ensure_ascii=False) for row in self.rows)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = f'{{"machine": {json.dumps(self.machine)},\n"rows": [\n{rows}\n]}}\n'
        file.write_text(text, "utf-8")


def kept(file: Path, new: Iterable[Row], spec: Sequence[str]) -> Results:
    """The rows of the file, with new rows replacing those of the same id."""
    rows = {row.id: row for row in (Results.read(file).rows if file.exists() else ())}
    rows |= {row.id: row for row in new}
    return Results(machine(), [rows[row_id] for row_id in spec if row_id in rows])


def machine() -> dict[str, str]:
    """The properties of the machine that matter, without anything that identifies it."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": processor[1] if processor else platform.machine(),
        "memory": f"{memory / 1e9:.0f} GB",
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "mlflow": version("mlflow"),
    }
