"""Output of commands: tables and colours on a terminal, plain text in a pipe, JSON on request.

`cell` escapes all text from the service: the submitter of a job determines its names and error
messages, and a terminal would interpret control characters in them. rich is imported late, since
help works without it.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

from asgard_async.cli.sanitiser import UNPRINTABLE, multi_line, one_line

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
UNLIMITED_WIDTH = 10_000


def wants_colours(stream: TextIO) -> bool:
    """Return whether to write colours: if the terminal supports colours and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not is_dumb()


def is_dumb() -> bool:
    """Return whether TERM names a terminal without control sequences."""
    return os.environ.get("TERM", "") in {"dumb", "unknown"}


def console(stream: TextIO) -> "Console":
    """Create a rich console on a standard stream, with unlimited width in a pipe."""
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        color_system="auto" if wants_colours(stream) else None,
        width=None if stream.isatty() else UNLIMITED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def cell(value: object, style: str = "") -> "Text":
    """Return a value on one line, with control characters escaped."""
    from rich.text import Text

    return Text("-" if value is None or value == "" else one_line(str(value)), style=style)


def multi_line_cell(text: str, style: str = "") -> "Text":
    """Return a text of any number of lines, with control characters escaped."""
    from rich.text import Text

    return Text(multi_line(text), style=style)


def status_cell(status: str) -> "Text":
    """Return a status in its colour."""
    return cell(status, STYLES.get(status, ""))


def empty_table(*names: str, **options: Any) -> "Table":
    """Create an empty table with these columns; only the last column wraps."""
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


def print_fields(fields: list[tuple[str, "Text"]], stream: TextIO | None = None) -> None:
    """Print names and values to `stream` (default: stdout).

    The terminal itself wraps long lines, so that URLs can be copied.
    """
    from rich.text import Text

    out = console(stream or sys.stdout)
    indent = max(len(name) for name, _ in fields) + 2
    for name, value in fields:
        for number, line in enumerate(value.split("\n", allow_blank=True)):
            label = Text("" if number else name, style="bold")
            label.pad_right(indent - len(label))
            out.print(Text.assemble(label, line), soft_wrap=True)


def print_json(document: Any) -> None:
    """Print a JSON document to stdout."""
    click.echo(_json_text(document, indent=2))


def print_json_line(document: Any) -> None:
    """Print a JSON document to stdout as a single line."""
    click.echo(_json_text(document))


def _json_text(document: Any, *, indent: int | None = None) -> str:
    """Encode a document without characters that a terminal would interpret."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return UNPRINTABLE.sub(
        lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text
    )


def duration(seconds: float | None) -> str | None:
    """Format a duration, such as "0.4 s", "12 s", "3 min 05 s", "2 h 07 min"."""
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
    """Format the time since a moment in one unit, such as "4 min"."""
    if moment is None:
        return None
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def local_time(moment: datetime | None) -> str | None:
    """Format a moment in the user's time zone."""
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def size(count: int | None) -> str | None:
    """Format a number of bytes, such as "512 B" or "3.4 MiB"."""
    if count is None:
        return None
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
