"""What of a job's log may reach the terminal: the log is written by whoever wrote the script.

Kept: text, colours and the few movements that progress bars need, none of which leaves the lines
that the job itself has written. Everything else that a terminal would obey is dropped: positions,
titles, the clipboard, queries (whose answers would be typed into the user's shell), other screens,
modes, character sets. What passes is written anew, so no terminal parses it in another way.
"""

import codecs
import enum
import re

MAX_SEQUENCE = 64
"""Characters of a control sequence that are looked at; a longer one is dropped, and not kept."""

MAX_STEPS = 9999
"""Columns that one movement within a line may go."""

# Embedding, overriding and isolating marks show text in another order than it was written.
_BIDI = "\u202a-\u202e\u2066-\u2069"
_PLAIN = re.compile(f"[^\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f{_BIDI}]+")
_PARAMETERS = re.compile("[\x20-\x3f]*")
_STRING_END = re.compile("[\x07\x18\x1a\x1b\x9c\n]")
_COLOURS = re.compile("[0-9;:]*")
_NUMBER = re.compile("[0-9]{0,9}")
_UNSEEN = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}]")
_C1 = {
    "\x90": "P",
    "\x98": "X",
    "\x9b": "[",
    "\x9d": "]",
    "\x9e": "^",
    "\x9f": "_",
}


class _Mode(enum.Enum):
    TEXT = enum.auto()
    ESCAPE = enum.auto()
    ESCAPE_MORE = enum.auto()
    SEQUENCE = enum.auto()
    STRING = enum.auto()


class Sanitiser:
    """Turns the bytes of one log, in whatever pieces they come, into text for a terminal.

    The pieces do not matter: the concatenated results are the same however a log was cut. Of what
    is not yet decided, at most `MAX_SEQUENCE` characters are held back.

    The bound on movements counts line feeds alone. A line that the terminal wraps takes more rows
    than that, and one at its upper edge goes up fewer, so the real row is never above the counted
    one, whatever the terminal's size is or becomes.
    """

    def __init__(self, *, colours: bool = True, movements: bool = True) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._colours = colours
        self._movements = movements
        self._mode = _Mode.TEXT
        self._sequence = ""
        self._styled = False
        # rows below the one where the log began: where the cursor is, and the lowest written to
        self._row = 0
        self._last_row = 0
        self._last_row_has_text = False

    def feed(self, data: bytes) -> str:
        """What may be written for the next bytes of the log."""
        return self._filtered(self._decoder.decode(data))

    def end(self) -> str:
        """What is left at the end of the log, and `leave`."""
        rest = self._filtered(self._decoder.decode(b"", final=True))
        return rest + self.leave()

    def leave(self) -> str:
        """What brings the cursor to a fresh line below the log, in plain colours, so that
        something else can be written. The log does not get back above it."""
        down = "\n" * (self._last_row - self._row + self._last_row_has_text)
        plain = "\x1b[0m" if self._styled else ""
        self._row = self._last_row = 0
        self._last_row_has_text = self._styled = False
        return plain + down

    def _filtered(self, text: str) -> str:
        written: list[str] = []
        at = 0
        while at < len(text):
            if self._mode is _Mode.TEXT:
                if plain := _PLAIN.match(text, at):
                    self._count(plain[0])
                    written.append(plain[0])
                    at = plain.end()
                else:
                    self._control(text[at])
                    at += 1
            elif self._mode is _Mode.SEQUENCE:
                parameters = _PARAMETERS.match(text, at)
                assert parameters is not None  # it may be empty  # noqa: S101
                self._sequence = (self._sequence + parameters[0])[: MAX_SEQUENCE + 1]
                at = parameters.end()
                if at < len(text):
                    self._mode = _Mode.TEXT
                    if "@" <= text[at] <= "~":
                        written.append(self._obeyed(self._sequence, text[at]))
                        at += 1
            elif self._mode is _Mode.STRING:
                end = _STRING_END.search(text, at)
                if end is None:
                    break
                # also at the end of a line, or one forgotten terminator would hide all that follows
                self._mode = _Mode.ESCAPE if end[0] == "\x1b" else _Mode.TEXT
                at = end.start() if end[0] == "\n" else end.end()
            else:
                at += self._escaped(text[at])
        return "".join(written)

    def _count(self, plain: str) -> None:
        self._row += plain.count("\n")
        has_text = bool(plain[plain.rfind("\n") + 1 :].strip("\r\b"))
        if self._row > self._last_row:
            self._last_row, self._last_row_has_text = self._row, has_text
        elif self._row == self._last_row:
            self._last_row_has_text |= has_text

    def _control(self, char: str) -> None:
        if char == "\x1b":
            self._mode = _Mode.ESCAPE
        elif char in _C1:
            self._begin(_C1[char])

    def _escaped(self, char: str) -> int:
        """Goes on after ESC; how many characters were taken."""
        first = self._mode is _Mode.ESCAPE
        self._mode = _Mode.TEXT
        if " " <= char <= "/":
            self._mode = _Mode.ESCAPE_MORE
        elif first and char in _C1.values():
            self._begin(char)
        elif not "0" <= char <= "~":
            return 0  # no part of it
        return 1

    def _begin(self, kind: str) -> None:
        self._mode = _Mode.SEQUENCE if kind == "[" else _Mode.STRING
        self._sequence = ""

    def _obeyed(self, parameters: str, final: str) -> str:
        """A control sequence as it may pass, or nothing."""
        if len(parameters) > MAX_SEQUENCE:
            return ""
        if final == "m":
            if not (self._colours and _COLOURS.fullmatch(parameters)):
                return ""
            self._styled = True
            return f"\x1b[{parameters}m"
        if not (self._movements and _NUMBER.fullmatch(parameters)):
            return ""
        number = int(parameters or 0)
        if final == "K":
            return f"\x1b[{number}K" if number <= 2 else ""
        if final in "CDG":
            self._last_row_has_text |= self._row == self._last_row
            return f"\x1b[{min(max(number, 1), MAX_STEPS)}{final}"
        if final in "ABEF":
            return self._to_another_row(max(number, 1), final)
        return ""

    def _to_another_row(self, steps: int, final: str) -> str:
        up = final in "AF"
        steps = min(steps, self._row if up else self._last_row - self._row)
        self._row += -steps if up else steps
        moved = f"\x1b[{steps}{'A' if up else 'B'}" if steps else ""
        return moved + ("\r" if final in "EF" else "")


def one_line(text: str) -> str:
    """A name or message from elsewhere, fit to be shown within a line: whatever a terminal would
    obey is written out, as in `\\x1b`."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def several_lines(text: str) -> str:
    """The same for a text that may have line ends."""
    return "\n".join(one_line(line) for line in text.split("\n"))
