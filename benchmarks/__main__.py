"""All figures in one table, each beside what it is compared to.

    python -m benchmarks [--quick] [--rows hello,status] [--json FILE]

Rows that the file has already are replaced, others of it are kept. `python -m benchmarks.render`
makes the document of it.
"""

import argparse
import asyncio
import sys
import traceback
from collections.abc import Set
from pathlib import Path

from benchmarks.figures import Row, load_average, table
from benchmarks.stored import kept
from benchmarks.table import BENCHES, IDS


async def take(wanted: Set[str], quick: bool, file: Path) -> list[str]:
    """Measure, print and store rows as they come; the names of the benchmarks that failed."""
    failed = []
    for name, bench in BENCHES.items():
        if wanted.isdisjoint(bench.ids):
            continue
        print(f"… {name}", file=sys.stderr, flush=True)
        try:
            size = bench.quick if quick else bench.full
            async for row in bench.rows(wanted & set(bench.ids), size, quick):
                print(table([row], head=False), flush=True)
                kept(file, [row], IDS).write(file)
        except Exception:  # the others are to be measured all the same
            traceback.print_exc()
            failed.append(name)
    return failed


def rows_named(text: str) -> set[str]:
    """Ids separated by commas or spaces."""
    named = set(text.replace(",", " ").split())
    if unknown := named - set(IDS):
        raise argparse.ArgumentTypeError(
            f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(IDS)}"
        )
    return named


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="the short form, to try it")
    parser.add_argument("--rows", type=rows_named, default=set(IDS), help="ids, default all")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    given = parser.parse_args()
    before = load_average()
    failed = asyncio.run(take(given.rows, given.quick, given.json))
    rows: list[Row] = [one for one in kept(given.json, (), IDS).rows if one.id in given.rows]
    print(f"\n{table(rows)}\n\nload average: {before} before, {load_average()} after")
    if missed := [row.id for row in rows if row.reached is False]:
        print(f"not reached: {', '.join(missed)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
