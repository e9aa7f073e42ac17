"""Tracebacks in the output of a script: Python's, and those of rich and loguru.

Standard library only. One pass over the lines, whatever they contain.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEADER = "Traceback (most recent call last):"
# Python prints an exception group behind a margin, and its parts behind a wider margin.
GROUP_HEADER = f"  + Exception Group {HEADER}"
GROUP_MARGIN = "  | "
INSIDE_GROUP = re.compile(r" +(?:\||\+-)")
# loguru marks the frame that caught the exception with ">"
FRAME = re.compile(r'[ >] File "[^"]{1,4096}", line \d{1,9}(?:, in (?P<function>.{1,400}))?$')
EXCEPTION = re.compile(r"(?P<name>[^\W\d][\w.<>]{0,300}(?:\([\w.]{1,300}\))?)(?:: .*|:)?$")
"""Ray names the class of the original exception in parentheses."""
USUAL_NAME = re.compile(r"(?:Error|Exception|Warning|Interrupt|Exit|Group|Iteration|Timeout)$")
SYNTAX_ERRORS = {"SyntaxError", "IndentationError", "TabError"}

ELSEWHERE = re.compile(
    r"Exception in thread .{0,400}:$"
    r"|Unhandled exception in thread"
    r"|^Exception ignored "
    r"|^Error in atexit"
    r"|^Process [\w.-]{1,200}:$"  # multiprocessing
    r"|(?:Task|Future) exception was never retrieved$"
    r"|Exception in callback "
    r"|exception calling callback "
    r"|^--- Logging error ---$"
)
"""The line before a traceback that is not of the main thread, or did not end it."""
ABOUT = re.compile(r"(?:future|task|handle|protocol|transport|socket|asyncgen): ")
"""asyncio's lines between such a line and the traceback."""
MOST_ABOUT = 5
QUOTED = re.compile(r"Original (?:Exception )?Traceback \(most recent call last\):$")
"""PyTorch appends a worker's traceback to the message of the exception that it raises."""
STACKS = ("Call stack:", "Stack (most recent call last):")
"""Headers of stacks, whose frames look like those of a traceback."""

RICH_HEADER = re.compile(r"[╭┌+][─-]+ Traceback \(most recent call last\) [─-]+[╮┐+]$")
RICH_BORDERS = ("╭", "┌", "+-", "│", "|", "╰", "└")
RICH_ENDS = ("╰", "└", "+-")


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A traceback in the output."""

    line: str
    """The exception's name and message, or as much of it as is on the first line."""
    starts_at: int
    """Index of the header, or of the line before it if that belongs to the traceback."""
    ends_at: int
    """Index of `line`."""
    is_outermost: bool
    """True if it starts at module level, as that of an uncaught exception does."""
    is_elsewhere: bool
    """True if it is that of a thread, another process, a finalizer or an exit handler."""
    wrapped_at: int = 0
    """The width at which the line was wrapped; 0 if lines are not wrapped."""


def printed_tracebacks(lines: Sequence[str]) -> Iterator[Printed]:
    """Yield the tracebacks in the output, without terminal codes, in their order."""
    scanner = _Scanner()
    for index, line in enumerate(lines):
        if RICH_HEADER.match(line):
            scanner.begin(index, lines, width=len(line))
        elif line.endswith(HEADER):
            scanner.begin(index, lines)
        elif scanner.width:
            yield from scanner.read_rich(index, line)
        else:
            yield from scanner.read(index, line, lines)


def is_part_of_a_group(line: str) -> bool:
    """Return whether a line after an exception group shows one of its parts."""
    return bool(INSIDE_GROUP.match(line)) or line.startswith(RICH_BORDERS)


class _Scanner:
    def __init__(self) -> None:
        self._starts_at = 0
        self._inside = False
        self._ignored = False
        self._is_elsewhere = False
        self._margin = ""
        self._is_outermost: bool | None = None
        """None until the first frame."""
        self._only: frozenset[str] | None = None
        """The names that an exception may have whose header is missing; empty for usual ones."""
        self._may_be_cut_off = True
        """True as long as the output may have started inside a traceback."""
        self.width = 0
        """The width of rich's frame around the traceback; 0 outside of one."""

    def begin(self, index: int, lines: Sequence[str], *, width: int = 0) -> None:
        """Start a traceback at its header."""
        line = lines[index]
        is_group = line == GROUP_HEADER
        marker = _marker(index, lines)
        self._starts_at = index if marker is None else marker
        self._inside = is_group or not INSIDE_GROUP.match(line)
        self._ignored = bool(QUOTED.search(line))
        self._is_elsewhere = marker is not None
        self._margin = GROUP_MARGIN if is_group else ""
        self._is_outermost = True if width else None
        self._only = None
        self._may_be_cut_off = False
        self.width = width

    def read(self, index: int, line: str, lines: Sequence[str]) -> Iterator[Printed]:
        """Read a line other than a header."""
        bare = line.removeprefix(self._margin)
        if frame := FRAME.match(bare):
            if not self._inside:
                self._begin_without_header(index, frame["function"], lines)
            elif self._is_outermost is None:
                self._is_outermost = frame["function"] in {"<module>", None}
        elif not self._inside:
            self._may_be_cut_off = self._may_be_cut_off and (index == 0 or line.startswith(" "))
        elif bare.strip() and not bare.startswith(" "):
            yield from self._end(index, bare)
        elif not bare and self._is_outermost is not None and not self._is_spaced(lines):
            self._inside = False  # cut off by other output

    def read_rich(self, index: int, line: str) -> Iterator[Printed]:
        """Read a line inside rich's frame, or after it."""
        if line.startswith(RICH_BORDERS) or not line.strip():
            return
        width, self.width = self.width, 0
        yield from self._end(index, line, width)

    def _begin_without_header(self, index: int, function: str | None, lines: Sequence[str]) -> None:
        """Start a traceback whose header is cut off, or that of a SyntaxError in the script."""
        is_stack = index > 0 and lines[index - 1].startswith(STACKS)
        if function is None:
            self._only = frozenset(SYNTAX_ERRORS)
        elif self._may_be_cut_off or is_stack:
            self._only = frozenset()
        else:
            return
        self._starts_at = index
        self._inside, self._ignored, self._is_elsewhere = True, is_stack, False
        self._margin, self._is_outermost = "", True

    def _end(self, index: int, line: str, width: int = 0) -> Iterator[Printed]:
        self._inside, self._margin = False, ""
        match = EXCEPTION.match(line)
        if match is None or self._ignored or not self._is_possible(match["name"]):
            return
        yield Printed(
            line=line,
            starts_at=self._starts_at,
            ends_at=index,
            is_outermost=self._is_outermost is not False,
            is_elsewhere=self._is_elsewhere,
            wrapped_at=width,
        )

    def _is_possible(self, name: str) -> bool:
        if self._only is None:
            return True
        return name in self._only if self._only else bool(USUAL_NAME.search(name))

    def _is_spaced(self, lines: Sequence[str]) -> bool:
        """Return whether blank lines separate the frames, as loguru prints them."""
        following = self._starts_at + 1
        return following < len(lines) and not lines[following]


def _marker(index: int, lines: Sequence[str]) -> int | None:
    """Return the index of the line that says that a traceback is not of the main thread."""
    above = index - 1
    while above >= 0 and index - above <= MOST_ABOUT and ABOUT.match(lines[above]):
        above -= 1
    return above if above >= 0 and ELSEWHERE.search(lines[above]) else None
