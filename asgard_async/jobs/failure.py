"""The exception that ended a script, found in its output. Standard library only.

A script may write anything, so the output may be truncated, interleaved or forged. The search is
therefore a single pass, and the results are of bounded length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from asgard_async.jobs.tracebacks import HEADER, Printed, is_part_of_a_group, printed_tracebacks

LONGEST_LINE = 1000
# Text after the last traceback may belong to its message, up to this number of lines.
LONGEST_MESSAGE_LINES = 200
# Of a traceback, the last lines tell where the exception was raised.
TRACEBACK_LINES = 60
LONGEST_TRACEBACK_LINE = 400

# Colours, and the links in rich's tracebacks.
TERMINAL_CODES = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\))"
)
MEMORY_ERRORS = {"MemoryError", "_ArrayMemoryError"}
# Lines that MLflow prints after the traceback if the interpreter's exit ends a run.
AFTERWORDS = ("🏃 View run ", "🧪 View experiment at")
UNCAUGHT = 1
"""The exit code of an interpreter that an exception ended."""
ENDED_RUN = re.compile(r"🏃 View run .*/runs/([0-9a-f]{32})\b")


@dataclass(frozen=True, kw_only=True)
class UncaughtException:
    """An exception that ended a script."""

    line: str
    """Its name and the first line of its message."""
    traceback: str
    """The last lines of its traceback, which tell where it was raised."""


def uncaught_exception(log_tail: str, exit_code: int | None = None) -> UncaughtException | None:
    """Return the exception that ended the script's main thread, or None.

    The last of several tracebacks counts; for chained exceptions, that is the uncaught one.
    Tracebacks of threads, finalizers, exit handlers and other processes do not count. An exception
    that the script caught counts only if its traceback is the last output before the script's end.
    """
    lines = plain_text(log_tail).split("\n")
    if (last := _final_traceback(lines, exit_code)) is None:
        return None
    first = max(last.starts_at, last.ends_at - TRACEBACK_LINES)
    traceback = "\n".join(line[:LONGEST_TRACEBACK_LINE] for line in lines[first : last.ends_at])
    return UncaughtException(line=_presentable(_whole(last, lines)), traceback=traceback)


def _final_traceback(lines: list[str], exit_code: int | None = None) -> Printed | None:
    """Return the traceback of the exception that ended the script."""
    last: Printed | None = None
    elsewhere: list[Printed] = []
    for printed in printed_tracebacks(lines):
        if printed.is_elsewhere:
            elsewhere.append(printed)
        elif not (last is not None and _is_in_the_message_of(last, printed)):
            last, elsewhere = printed, []
    if last is None or not _ended_the_script(last, elsewhere, lines, exit_code):
        return None
    return last


def last_exception_line(log_tail: str, exit_code: int | None = None) -> str | None:
    """Return the line that names the exception which ended the script, or None.

    Of a multi-line message, only the first line is returned, after the exception's name.
    """
    exception = uncaught_exception(log_tail, exit_code)
    return None if exception is None else exception.line


def runs_ended_at_exit(log_tail: str) -> frozenset[str] | None:
    """Return the MLflow runs that the script's exit ended after its exception; None if unknown.

    MLflow prints a line as it ends a run, unless that is turned off. Only a script that dies of an
    exception prints its traceback before the exit.
    """
    lines = plain_text(log_tail).split("\n")
    if (last := _final_traceback(lines)) is None:
        return None
    ended = [(index, match[1]) for index, match in enumerate(map(ENDED_RUN.match, lines)) if match]
    return frozenset(run_id for index, run_id in ended if index > last.ends_at) if ended else None


def is_memory_error(exception_line: str) -> bool:
    """Return whether the line names a MemoryError, or numpy's subclass of it."""
    return exception_line.partition(":")[0].rpartition(".")[2] in MEMORY_ERRORS


def plain_text(output: str) -> str:
    """Return output without terminal codes and carriage returns at ends of lines."""
    if "\x1b" in output:
        output = TERMINAL_CODES.sub("", output)
    return "\n".join(line.rstrip("\r") for line in output.split("\n"))


def _is_in_the_message_of(outer: Printed, inner: Printed) -> bool:
    """Return whether a traceback is text in the message of the exception before it.

    An exception's message may quote a worker's traceback. The outer one starts at module level, as
    that of an uncaught exception does; the quoted one is that of a caught exception.
    """
    return inner.starts_at == outer.ends_at + 1 and outer.is_outermost and not inner.is_outermost


def _ended_the_script(
    last: Printed, elsewhere: list[Printed], lines: list[str], exit_code: int | None
) -> bool:
    written = list(_written_after(last, elsewhere, lines))
    if not written:
        return True
    # The rest is either the end of a long message, or output of a script that caught and printed
    # the exception. A caught exception's traceback has only the frames up to its handler.
    return (
        last.is_outermost
        and len(written) <= LONGEST_MESSAGE_LINES
        and exit_code in {None, UNCAUGHT}
    )


def _written_after(last: Printed, elsewhere: list[Printed], lines: list[str]) -> Iterator[str]:
    """Yield the lines after a traceback that the script or the exception's message may contain."""
    position = last.ends_at + 1
    for printed in [*elsewhere, None]:
        until = len(lines) if printed is None else printed.starts_at
        for line in lines[position:until]:
            if line.strip() and not line.startswith(AFTERWORDS) and not is_part_of_a_group(line):
                yield line
        if printed is not None:
            position = printed.ends_at + 1


def _whole(printed: Printed, lines: list[str]) -> str:
    """Return the exception's line, joined with what belongs to it on the next ones."""
    line = printed.line
    rest = iter(lines[printed.ends_at + 1 :])
    if printed.wrapped_at:
        # rich breaks a line after a space, or within a word that is longer than a line
        width = printed.wrapped_at
        part = line
        while (part.endswith(" ") or len(part) >= width) and len(line) <= LONGEST_LINE:
            part = next(rest, "")
            if not part.strip():
                break
            line += part
    if line.rstrip().endswith(":"):  # the message starts on the next line
        message = next(filter(str.strip, rest), "")
        line = f"{line.rstrip()} {'' if message.endswith(HEADER) else message}"
    return line


def _presentable(line: str) -> str:
    if len(line) > LONGEST_LINE:
        line = line[: LONGEST_LINE - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in line).rstrip()
