"""The description of a benchmark, its rows, and its command line."""

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
    """Its rows, in the order of measurement."""
    measure: Callable[[Set[str], Size, Path], AsyncIterator[Row]]
    """Measures the wanted rows in an empty directory; may yield others as well."""
    full: Size
    """A frozen dataclass of numbers: repetitions and amounts."""
    quick: Size

    async def rows(self, wanted: Set[str], size: Size, quick: bool = False) -> AsyncIterator[Row]:
        """Measure the wanted rows, each with its target, the time and the machine's load."""
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
    """Run the command line of one benchmark: sizes as options, `--quick`, `--rows`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the short form, for trying")
    parser.add_argument("--rows", nargs="*", choices=bench.ids, default=list(bench.ids))
    for one in fields(bench.full):
        default = getattr(bench.full, one.name)
        option = f"--{one.name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), help=f"default: {default}")
    options = vars(parser.parse_args())
    size = bench.quick if options["quick"] else bench.full
    size = replace(
        size,
        **{one.name: options[one.name] for one in fields(size) if options[one.name] is not None},
    )

    async def show() -> None:
        async for row in bench.rows(set(options["rows"]), size, options["quick"]):
            print(table([row]), flush=True)

    asyncio.run(show())
