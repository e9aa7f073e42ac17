"""The exception that ended a script, found in its output. Standard library only.

A script may write anything, so the output may be truncated, interleaved or forged. The search is
therefore a single pass, and the result is one line of bounded length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 1000
# Text after the last traceback may belong to its message, up to this number of lines.
LONGEST_MESSAGE_LINES = 200

HEADER = "Traceback (most recent call last):"
# Python prints an exception group behind a margin, and its parts behind a wider margin.
GROUP_HEADER = f"  + Exception Group {HEADER}"
GROUP_MARGIN = "  | "
INSIDE_GROUP = re.compile(r" +(?:\||\+-)")
FRAME = re.compile(r' {2}File "[^"]{1,4096}", line \d{1,9}(?:, in (?P<function>.{1,400}))?$')
EXCEPTION = re.compile(r"[^\W\d][\w.<>]{0,300}(?:: .*|:)?$")
MEMORY_ERRORS = {"MemoryError", "_ArrayMemoryError"}
# Lines that MLflow prints after the traceback if the interpreter's exit ends a run.
AFTERWORDS = ("🏃 View run ", "🧪 View experiment at")
ENDED_RUN = re.compile(r"🏃 View run .*/runs/([0-9a-f]{32})\b")


@dataclass(frozen=True, kw_only=True)
class _Traceback:
    line: str
    ends_at: int
    """Index of `line` in the output."""
    outermost: bool
    """True if the traceback starts at module level, as that of an uncaught exception does."""


def last_exception_line(log_tail: str) -> str | None:
    """Return the line that names the exception which ended the script, or None.

    The last of several tracebacks counts; for chained exceptions, that is the uncaught exception.
    Of a multi-line message, only the first line is returned, after the exception's name.
    """
    lines = _lines(log_tail)
    if (last := _final_traceback(lines)) is None:
        return None
    line = last.line
    if line.rstrip().endswith(":"):  # the message starts on the next line
        line = f"{line.rstrip()} {next(filter(str.strip, lines[last.ends_at + 1 :]), '')}"
    return _presentable(line)


def runs_ended_at_exit(log_tail: str) -> frozenset[str] | None:
    """Return the MLflow runs that the script's exit ended after its exception; None if unknown.

    MLflow prints a line as it ends a run, unless that is turned off. Only a script that dies of an
    exception prints its traceback before the exit.
    """
    lines = _lines(log_tail)
    if (last := _final_traceback(lines)) is None:
        return None
    ended = [(index, match[1]) for index, match in enumerate(map(ENDED_RUN.match, lines)) if match]
    return frozenset(run_id for index, run_id in ended if index > last.ends_at) if ended else None


def is_memory_error(exception_line: str) -> bool:
    """Return whether the line names a MemoryError, or numpy's subclass of it."""
    return exception_line.partition(":")[0].rpartition(".")[2] in MEMORY_ERRORS


def _lines(log_tail: str) -> list[str]:
    return [line.rstrip("\r") for line in log_tail.split("\n")]


def _final_traceback(lines: list[str]) -> _Traceback | None:
    """Return the traceback of the exception that ended the script."""
    last = None
    for last in _tracebacks(lines):  # noqa: B007  # only the last one counts
        pass
    return last if last is not None and _ended_the_script(last, lines) else None


def _tracebacks(lines: list[str]) -> Iterator[_Traceback]:
    inside = ignored = False
    margin = ""
    outermost: bool | None = None
    for index, line in enumerate(lines):
        if line.endswith(HEADER):
            inside = line == GROUP_HEADER or not INSIDE_GROUP.match(line)
            margin = GROUP_MARGIN if line == GROUP_HEADER else ""
            outermost = None
            ignored = index > 0 and lines[index - 1].startswith("Exception ignored")
            continue
        bare = line.removeprefix(margin)
        if frame := FRAME.match(bare):
            if not inside:  # the header is cut off, or a SyntaxError in the script has none
                inside, ignored, outermost, margin = True, False, True, ""
            elif outermost is None:
                outermost = frame["function"] in {"<module>", None}
        elif inside and not bare.startswith(" "):
            inside, margin = False, ""
            if EXCEPTION.match(bare) and not ignored:
                yield _Traceback(line=bare, ends_at=index, outermost=outermost is not False)


def _ended_the_script(last: _Traceback, lines: list[str]) -> bool:
    after = lines[last.ends_at + 1 :]
    if all(_is_not_output_of_the_script(line) for line in after):
        return True
    # The rest is either the end of a long message, or output of a script that caught and printed
    # the exception. A caught exception's traceback has only the frames up to its handler.
    return last.outermost and len(after) <= LONGEST_MESSAGE_LINES


def _is_not_output_of_the_script(line: str) -> bool:
    return not line.strip() or line.startswith(AFTERWORDS) or bool(INSIDE_GROUP.match(line))


def _presentable(line: str) -> str:
    if len(line) > LONGEST_LINE:
        line = line[: LONGEST_LINE - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in line).rstrip()
