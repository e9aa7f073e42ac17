"""What every benchmark is: some rows, and how to measure them; and its command line."""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Set
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks.figures import Row, load_average, table
from benchmarks.targets import TARGETS

Size = TypeVar("Size")


@dataclass(frozen=True, kw_only=True)
class Bench(Generic[Size]):
    """A benchmark; `python -m benchmarks.NAME` runs it alone."""

    ids: tuple[str, ...]
    """Its rows, in the order in which they come."""
    measure: Callable[[Set[str], Size, Path], AsyncIterator[Row]]
    """Measures the rows that are wanted, in an empty directory; may give others that it has."""
    full: Size
    """A frozen dataclass of numbers: how often, how many."""
    quick: Size

    async def rows(self, wanted: Set[str], size: Size, quick: bool = False) -> AsyncIterator[Row]:
        """The wanted ones of its rows, each with its target, the time, and the machine's load."""
        before = load_average()
        with tempfile.TemporaryDirectory(prefix="asgard-bench-") as folder:
            async for row in self.measure(wanted, size, Path(folder)):
                after = load_average()
                if row.id in wanted:
                    yield replace(
                        row,
                        target=TARGETS.get(row.id),
                        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
                        load=(before, after),
                        quick=quick,
                    )


def run(bench: Bench[Any], description: str | None) -> None:
    """The command line of one benchmark: its sizes as options, `--quick`, and which rows."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the short form, to try it")
    parser.add_argument("--rows", nargs="*", choices=bench.ids, default=list(bench.ids))
    for one in fields(bench.full):
        default = getattr(bench.full, one.name)
        option = f"--{one.name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), help=f"default: {default}")
    given = vars(parser.parse_args())
    size = bench.quick if given["quick"] else bench.full
    size = replace(
        size,
        **{one.name: given[one.name] for one in fields(size) if given[one.name] is not None},
    )

    async def show() -> None:
        async for row in bench.rows(set(given["rows"]), size, given["quick"]):
            print(table([row]), flush=True)

    asyncio.run(show())
