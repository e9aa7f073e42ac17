"""Makes docs/benchmarks.md and its picture from stored figures and benchmarks/notes.md.

python -m benchmarks.render [--json FILE] [--into DIRECTORY]
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.figures import Row, number, shown, spread, verdict
from benchmarks.stored import DOCUMENTED, Results
from benchmarks.targets import ASKED, BESIDE

NOTES = Path(__file__).parent / "notes.md"
DOCUMENT, PICTURE = "benchmarks.md", "benchmarks.svg"

HEAD = """# What it costs

<!-- Made by `python -m benchmarks.render` from benchmarks/results/bench.json and
benchmarks/notes.md: change those. -->

`make bench` measures all of this, each figure in one run with what it is compared to, both sides in
turns; it prints the table and makes this page. `make bench ROWS=hello,status` measures some rows,
`make bench QUICK=1` all of them in a short form; both write to `build/` and leave this page alone,
unless `RECORD=1` says otherwise. What Asgard is compared to is installed below `.bench/`, which
`make clean` removes.
"""
EXPLAINED = """
Figures are medians; behind each stands the smallest and the largest value, and how many there were.
The ratio is Asgard's to the other's. Compare the ratios rather than the seconds.
"""


def document(results: Results, notes: str) -> str:
    """The page, in Markdown."""
    asked = [row for row in results.rows if row.id in ASKED.keys() | BESIDE]
    more = [row for row in results.rows if row not in asked]
    parts = [HEAD, measured_on(results), f"![costs as bars]({PICTURE})", EXPLAINED]
    parts += ["## What is asked for", table(asked)]
    if more:
        parts += ["## More", table(more)]
    known = {row.id for row in results.rows}
    parts += [
        f"## Notes on {', '.join(f'`{one}`' for one in ids)}\n\n{text}"
        for ids, text in notes_in(notes)
        if known.intersection(ids)
    ]
    parts += ["## When, and how busy the machine was", occasions(results.rows)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def measured_on(results: Results) -> str:
    """A sentence on the machine."""
    machine = results.machine
    short = sum(row.quick for row in results.rows)
    text = (
        f"Measured on a machine with {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory']} of memory, Linux {machine['kernel']}; Python {machine['python']},"
        f" MLflow {machine['mlflow']}."
    )
    if short:
        text += f" **{short} of {len(results.rows)} rows are of the short form, to be replaced.**"
    return text


def table(rows: Iterable[Row]) -> str:
    """Rows as a table in Markdown."""
    lines = [
        "| row | what | Asgard | beside | ratio | asked for | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        what = f"{row.what}. {row.remark}".rstrip(". ") if row.remark else row.what
        ratio = "—" if row.ratio is None else number(row.ratio)
        asked = row.target.text if row.target else ""
        lines.append(
            f"| `{row.id}` | {what} | {figure(row.asgard, row.unit)}"
            f" | {row.peer}: {figure(row.theirs, row.unit)} | {ratio} | {asked} | {verdict(row)} |"
        )
    return "\n".join(lines)


def figure(values: Sequence[float], unit: str) -> str:
    """The median in bold, and the spread."""
    return f"**{shown(values, unit)}** ({spread(values)})" if values else "not measured"


def occasions(rows: Iterable[Row]) -> str:
    """When the rows were measured, those of one benchmark together, and the load average."""
    lines = ["| rows | ended (UTC) | load average before, after |", "|---|---|---|"]
    for row in rows:
        before, after = row.load
        moment = row.measured_at[:16].replace("T", " ")
        lines.append(f"| `{row.id}` | {moment} | {before:g}, {after:g} |")
    return "\n".join(lines)


def notes_in(text: str) -> list[tuple[list[str], str]]:
    """The notes of notes.md: the rows that each is about, and what it says."""
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    parted = (section.partition("\n") for section in sections)
    return [([one.strip() for one in ids.split(",")], body.strip()) for ids, _, body in parted]


def render(file: Path, into: Path) -> None:
    """Write the page and its picture."""
    results = Results.read(file)
    asked = [row for row in results.rows if row.id in ASKED.keys() | BESIDE]
    into.mkdir(parents=True, exist_ok=True)
    (into / DOCUMENT).write_text(document(results, NOTES.read_text("utf-8")), "utf-8")
    (into / PICTURE).write_text(chart(asked or results.rows), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=DOCUMENTED, metavar="FILE")
    parser.add_argument("--into", type=Path, default=Path("docs"), metavar="DIRECTORY")
    given = parser.parse_args()
    render(given.json, given.into)
    print(f"{given.into / DOCUMENT} and {given.into / PICTURE}, of {given.json}")


if __name__ == "__main__":
    main()
