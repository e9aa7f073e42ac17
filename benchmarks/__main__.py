"""All figures in one table, each next to its peer.

    python -m benchmarks [--quick] [--rows hello,status] [--json FILE]

Rows replace those with the same id in the file; others stay. `python -m benchmarks.render` writes
the document from it.
"""

import argparse
import asyncio
import sys
import traceback
from collections.abc import Set
from pathlib import Path

from benchmarks.figures import Row, load_average, table
from benchmarks.names import names_among
from benchmarks.stored import kept
from benchmarks.table import BENCHES, IDS


async def take(wanted: Set[str], quick: bool, file: Path) -> list[str]:
    """Measure, print and store the wanted rows; return the names of failed benchmarks."""
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
        except Exception:  # measure the remaining ones all the same
            traceback.print_exc()
            failed.append(name)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="the short form, for trying")
    parser.add_argument(
        "--rows", type=names_among(IDS, "row"), default=set(IDS), help="ids, default: all"
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    options = parser.parse_args()
    before = load_average()
    failed = asyncio.run(take(options.rows, options.quick, options.json))
    rows: list[Row] = [one for one in kept(options.json, (), IDS).rows if one.id in options.rows]
    print(f"\n{table(rows)}\n\nload average: {before} before, {load_average()} after")
    if missed := [row.id for row in rows if row.reached is False]:
        print(f"not reached: {', '.join(missed)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
