"""Write docs/benchmarks.md and its picture from stored figures and benchmarks/notes.md.

python -m benchmarks.render [--json FILE] [--into DIRECTORY]
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.figures import Row, number, shown, spread, verdict
from benchmarks.stored import DOCUMENTED, Results
from benchmarks.targets import FURTHER_ROWS, ISSUE_TARGETS

NOTES = Path(__file__).parent / "notes.md"
DOCUMENT, PICTURE = "benchmarks.md", "benchmarks.svg"

HEAD = """# Benchmarks

<!-- Written by `python -m benchmarks.render` from benchmarks/results/bench.json and
benchmarks/notes.md: edit those. -->

`make bench` measures every figure next to its peer in one run, with interleaved rounds, prints the
table and writes this page. `make bench ROWS=hello,status` measures some rows, `make bench QUICK=1`
all rows in a short form; both write to `build/` and leave this page alone, unless `RECORD=1` is
set. Peers are installed below `.bench/`, which `make clean` removes.

`python -m benchmarks.compare_versions --before DIRECTORY` compares this checkout with an older one.
"""
EXPLAINED = """
Figures are medians, followed by the smallest and largest value and the number of values. The ratio
is Asgard's median divided by the peer's. Compare the ratios rather than the seconds.
"""


def document(results: Results, notes: str) -> str:
    """The page as Markdown."""
    targeted = [row for row in results.rows if row.id in ISSUE_TARGETS.keys() | FURTHER_ROWS]
    more = [row for row in results.rows if row not in targeted]
    parts = [HEAD, measured_on(results), f"![relative cost as bars]({PICTURE})", EXPLAINED]
    parts += ["## Figures with targets", table(targeted)]
    if more:
        parts += ["## Other figures", table(more)]
    known = {row.id for row in results.rows}
    parts += [
        f"## Notes on {', '.join(f'`{one}`' for one in ids)}\n\n{text}"
        for ids, text in notes_in(notes)
        if known.intersection(ids)
    ]
    parts += ["## Time and load of each measurement", occasions(results.rows)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def measured_on(results: Results) -> str:
    """A sentence about the machine."""
    machine = results.machine
    short = sum(row.quick for row in results.rows)
    text = (
        f"Measured on a machine with {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory']} of memory, Linux {machine['kernel']}; Python {machine['python']},"
        f" MLflow {machine['mlflow']}."
    )
    if short:
        text += (
            f" **{short} of {len(results.rows)} rows were measured in the short form and must be"
            " measured again.**"
        )
    return text


def table(rows: Iterable[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| row | figure | Asgard | peer | ratio | target | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        what = f"{row.what}. {row.remark}".rstrip(". ") if row.remark else row.what
        ratio = "—" if row.ratio is None else number(row.ratio)
        target = row.target.text if row.target else ""
        peer = f"{row.peer}: {figure(row.peer_values, row.unit)}"
        lines.append(
            f"| `{row.id}` | {what} | {figure(row.asgard, row.unit)}"
            f" | {peer} | {ratio} | {target} | {verdict(row)} |"
        )
    return "\n".join(lines)


def figure(values: Sequence[float], unit: str) -> str:
    """The median in bold, with the spread."""
    return f"**{shown(values, unit)}** ({spread(values)})" if values else "not measured"


def occasions(rows: Iterable[Row]) -> str:
    """The time of each measurement, and the load average."""
    lines = ["| rows | ended (UTC) | load average before, after |", "|---|---|---|"]
    for row in rows:
        before, after = row.load
        moment = row.measured_at[:16].replace("T", " ")
        lines.append(f"| `{row.id}` | {moment} | {before:g}, {after:g} |")
    return "\n".join(lines)


def notes_in(text: str) -> list[tuple[list[str], str]]:
    """The sections of notes.md: row ids and text."""
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    parted = (section.partition("\n") for section in sections)
    return [([one.strip() for one in ids.split(",")], body.strip()) for ids, _, body in parted]


def render(file: Path, into: Path) -> None:
    """Write the page and its picture."""
    results = Results.read(file)
    targeted = [row for row in results.rows if row.id in ISSUE_TARGETS.keys() | FURTHER_ROWS]
    into.mkdir(parents=True, exist_ok=True)
    (into / DOCUMENT).write_text(document(results, NOTES.read_text("utf-8")), "utf-8")
    (into / PICTURE).write_text(chart(targeted or results.rows), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=DOCUMENTED, metavar="FILE")
    parser.add_argument("--into", type=Path, default=Path("docs"), metavar="DIRECTORY")
    options = parser.parse_args()
    render(options.json, options.into)
    print(f"{options.into / DOCUMENT} and {options.into / PICTURE}, from {options.json}")


if __name__ == "__main__":
    main()
