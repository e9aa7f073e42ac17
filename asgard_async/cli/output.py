"""What commands print: tables and colours on a terminal, plain text in a pipe, JSON when asked.

Everything that comes from the service is shown by `cell`: names and errors are written by whoever
submitted a job, and a terminal would obey them. rich is imported late: help does without.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

from asgard_async.cli.sanitiser import one_line, several_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {
    "queued": "yellow",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "accessible": "green",
    "starting": "yellow",
    "unreachable": "red",
}
UNBOUNDED = 10_000


def wants_colours(stream: TextIO) -> bool:
    """Whether colours may be written there: on a terminal that knows them, without NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not is_dumb()


def is_dumb() -> bool:
    """Whether the terminal says that it knows no control sequences."""
    return os.environ.get("TERM", "") in {"dumb", "unknown"}


def console(stream: TextIO) -> "Console":
    """rich's console on a standard stream; in a pipe nothing is cut to a width."""
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        color_system="auto" if wants_colours(stream) else None,
        width=None if stream.isatty() else UNBOUNDED,
        markup=False,
        highlight=False,
        emoji=False,
    )


def cell(value: object, style: str = "") -> "Text":
    """A value in one line; what a terminal would obey in it is written out."""
    from rich.text import Text

    return Text("-" if value is None or value == "" else one_line(str(value)), style=style)


def lines(value: str, style: str = "") -> "Text":
    """A text that may have several lines; what a terminal would obey in it is written out."""
    from rich.text import Text

    return Text(several_lines(value), style=style)


def status_cell(status: str) -> "Text":
    """A status in its colour."""
    return cell(status, STYLES.get(status, ""))


def columns(*names: str, **options: Any) -> "Table":
    """An empty table of these columns; the last one takes what is too long in several lines."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", **options)
    for name in names:
        table.add_column(name, no_wrap=name != names[-1], overflow="ellipsis")
    return table


def print_table(table: "Table") -> None:
    """Print a table to stdout."""
    out = console(sys.stdout)
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def print_facts(facts: list[tuple[str, "Text"]], stream: TextIO | None = None) -> None:
    """Print names and values, to stdout where nothing else is given. The terminal wraps what is
    too long, so that addresses can be copied."""
    from rich.text import Text

    out = console(stream or sys.stdout)
    indent = max(len(name) for name, _ in facts) + 2
    for name, value in facts:
        for number, line in enumerate(value.split("\n", allow_blank=True)):
            shown = Text("" if number else name, style="bold")
            shown.pad_right(indent - len(shown))
            out.print(Text.assemble(shown, line), soft_wrap=True)


def print_json(document: Any) -> None:
    """Print a document to stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_line(document: Any) -> None:
    """Print a document as one line to stdout, at once."""
    click.echo(json.dumps(document, ensure_ascii=False))


def duration(seconds: float | None) -> str | None:
    """Such as "0.4 s", "12 s", "3 min 05 s", "2 h 07 min"."""
    if seconds is None:
        return None
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def age(moment: datetime | None) -> str | None:
    """How long ago, such as "4 min"; coarse, for tables."""
    if moment is None:
        return None
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def local_time(moment: datetime | None) -> str | None:
    """In the time zone of whoever looks."""
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def size(count: int | None) -> str | None:
    """Such as "512 B", "3.4 MiB"."""
    if count is None:
        return None
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
